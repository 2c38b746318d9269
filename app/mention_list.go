package app

import (
	"fmt"
	"image"
	"unicode"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/driver/desktop"
	"fyne.io/fyne/v2/widget"

	"github.com/kleinbild/kleinbild/app/studio"
	"github.com/kleinbild/kleinbild/app/ui"
)

// mentionList offers the pictures of the desk where "@" was typed into the prompt. The prompt keeps the keyboard: it
// hands on the keys that are the list's.
type mentionList struct {
	common
	host   mentionHost
	chosen int // number of the picture, from 1 on
	rows   []*mentionRow
	ground *ui.Box
	// content lies over the window, in its own place and size.
	content *fyne.Container
}

// mentionHost is what the list asks of the window.
type mentionHost interface {
	slotThumb(number int) *image.RGBA // the picture of a slot in small, nil while there is none
	mention(number int)               // puts "image 2" in the place of the "@"
}

const (
	mentionWidth  float32 = 220
	mentionHeight float32 = 40
)

func newMentionList(c common, host mentionHost) *mentionList {
	l := &mentionList{common: c, host: host, ground: ui.NewBox(ui.ColorPanel, ui.Radius)}
	l.ground.Stroke = ui.ColorLine
	l.content = ui.Arranged(ui.NoSize, l.place, l.ground)
	l.content.Hide()
	c.Desk.Chosen.Subscribe(l.close)
	return l
}

func (l *mentionList) place(size fyne.Size) {
	l.ground.Resize(size)
	for i, row := range l.rows {
		ui.At(row, 4, 4+float32(i)*mentionHeight, size.Width-8, mentionHeight)
	}
}

func (l *mentionList) isOpen() bool { return l.content.Visible() }

// open shows the list above a place in the window.
func (l *mentionList) open(pos fyne.Position) {
	slots := l.Desk.Desk().Slots
	if len(slots) == 0 {
		return
	}
	l.rows, l.content.Objects = nil, []fyne.CanvasObject{l.ground}
	for i, s := range slots {
		row := newMentionRow(l, i+1, s, l.host.slotThumb(i+1))
		l.rows = append(l.rows, row)
		l.content.Objects = append(l.content.Objects, row)
	}
	l.choose(1)
	height := float32(len(l.rows))*mentionHeight + 8
	l.content.Resize(fyne.NewSize(mentionWidth, height))
	l.content.Move(fyne.NewPos(pos.X, max(pos.Y-height-4, 0)))
	l.content.Show()
	l.content.Refresh()
}

func (l *mentionList) close() { ui.Show(l.content, false) }

func (l *mentionList) choose(number int) {
	l.chosen = number
	for _, row := range l.rows {
		row.show()
	}
}

// key does what a key does while the list is open, and says whether it was one of the list's. Any other key closes it.
func (l *mentionList) key(name fyne.KeyName) bool {
	switch n := len(l.rows); {
	case !l.isOpen():
		return false
	case name == fyne.KeyUp:
		l.choose((l.chosen+n-2)%n + 1)
	case name == fyne.KeyDown:
		l.choose(l.chosen%n + 1)
	case name == fyne.KeyReturn, name == fyne.KeyEnter, name == fyne.KeyTab:
		l.take(l.chosen)
	case name == fyne.KeyEscape:
		l.close()
	default:
		l.close()
		return false
	}
	return true
}

// typed takes the picture of a number that is typed, and says whether it did. Any other character closes the list.
func (l *mentionList) typed(r rune) bool {
	if !l.isOpen() {
		return false
	}
	if number := int(r - '0'); number >= 1 && number <= len(l.rows) {
		l.take(number)
		return true
	}
	l.close()
	return false
}

func (l *mentionList) take(number int) {
	l.close()
	l.host.mention(number)
}

// begins says whether "@" after some text asks for a picture, and is not in the middle of a word, as in an address.
func (l *mentionList) begins(before []rune) bool {
	if len(before) == 0 {
		return true
	}
	last := before[len(before)-1]
	return !unicode.IsLetter(last) && !unicode.IsDigit(last)
}

// mentionRow is a picture in the list.
type mentionRow struct {
	widget.BaseWidget
	list    *mentionList
	number  int
	ground  *ui.Box
	thumb   *canvas.Image
	name    *ui.Label
	file    *ui.Label
	content *fyne.Container
}

func newMentionRow(l *mentionList, number int, slot studio.Slot, thumb *image.RGBA) *mentionRow {
	r := &mentionRow{
		list: l, number: number, ground: ui.NewBox(ui.ColorNone, ui.Radius), thumb: canvas.NewImageFromImage(nil),
		name: ui.NewLabel(fmt.Sprintf("image %d", number), ui.ColorText, ui.SizeText), file: ui.NewCaption(slot.Name()),
	}
	if thumb != nil {
		r.thumb.Image = thumb
	}
	r.thumb.FillMode, r.thumb.ScaleMode = canvas.ImageFillContain, canvas.ImageScaleFastest
	r.content = ui.Arranged(ui.NoSize, func(size fyne.Size) {
		r.ground.Resize(size)
		ui.At(r.thumb, 4, 4, 44, size.Height-8)
		ui.At(r.name, 56, 2, size.Width-60, 18)
		ui.At(r.file, 56, 20, size.Width-60, 16)
	}, r.ground, r.thumb, r.name, r.file)
	r.ExtendBaseWidget(r)
	return r
}

func (r *mentionRow) CreateRenderer() fyne.WidgetRenderer { return widget.NewSimpleRenderer(r.content) }
func (r *mentionRow) Tapped(*fyne.PointEvent)             { r.list.take(r.number) }
func (r *mentionRow) MouseIn(*desktop.MouseEvent)         { r.list.choose(r.number) }
func (r *mentionRow) MouseMoved(*desktop.MouseEvent)      {}
func (r *mentionRow) MouseOut()                           {}

func (r *mentionRow) show() {
	fill, ink, dim := ui.ColorNone, ui.ColorText, ui.ColorDim
	if r.list.chosen == r.number {
		fill, ink, dim = ui.ColorAccent, ui.ColorOnAccent, ui.ColorOnAccent
	}
	r.ground.Set(fill, ui.ColorNone)
	r.name.Set(r.name.Text, ink)
	r.file.Set(r.file.Text, dim)
}
