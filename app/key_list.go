package app

import (
	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"

	"github.com/kleinbild/kleinbild/app/ui"
)

// toggleKeyList opens the list of all keys over the window, or closes it. Behind another dialog, nothing happens.
func (s *session) toggleKeyList() {
	switch {
	case s.keyList.IsOpen():
		s.keyList.Close()
	case !s.blocked():
		s.keyList = ui.ShowPage(s.win.Canvas(), "Keys", keyColumns())
	}
}

// toggleFullScreen takes the whole screen, or gives it back.
func (s *session) toggleFullScreen() { s.win.SetFullScreen(!s.win.FullScreen()) }

// keyColumns shows keyTable in as many columns as there is room for. A heading stays with its rows.
func keyColumns() fyne.CanvasObject {
	var groups []fyne.CanvasObject
	for _, where := range keyPlaces() {
		groups = append(groups, keyGroup(where))
	}
	return container.New(&ui.Columns{Width: keyColumnWidth, Between: 2 * ui.Margin}, groups...)
}

// keyPlaces returns the headings of keyTable in their order.
func keyPlaces() (list []string) {
	for _, b := range keyTable() {
		if len(list) == 0 || list[len(list)-1] != b.where {
			list = append(list, b.where)
		}
	}
	return list
}

const (
	keyColumnWidth float32 = 400
	keyNameWidth   float32 = 176
	keyRowHeight   float32 = 22
)

// keyGroup shows a heading and its rows: the keys, and what they do.
func keyGroup(where string) fyne.CanvasObject {
	title := ui.NewHeading(where)
	objects := []fyne.CanvasObject{title}
	var does, keys []*ui.Label
	for _, b := range keyTable() {
		if b.where == where {
			d, k := ui.NewLabel(b.does, ui.ColorText, ui.SizeText), ui.NewLabel(b.text(), ui.ColorDim, ui.SizeText)
			does, keys, objects = append(does, d), append(keys, k), append(objects, d, k)
		}
	}
	height := float32(len(does)+1)*keyRowHeight + ui.Margin
	return ui.Arranged(ui.Fixed(0, height), func(size fyne.Size) {
		ui.At(title, 0, 0, size.Width, keyRowHeight)
		for i := range does {
			y := float32(i+1) * keyRowHeight
			ui.At(keys[i], 0, y, keyNameWidth-ui.Gap, keyRowHeight)
			ui.At(does[i], keyNameWidth, y, size.Width-keyNameWidth, keyRowHeight)
		}
	}, objects...)
}
