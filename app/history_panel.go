package app

import (
	"fmt"
	"image"
	"slices"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/theme"

	"github.com/kleinbild/kleinbild/app/studio"
	"github.com/kleinbild/kleinbild/app/ui"
	"github.com/kleinbild/kleinbild/history"
)

// historyPanel is one row of earlier pictures, newest first, with a search by prompt. In a low window it folds to a
// button.
type historyPanel struct {
	common
	host historyHost

	search  *ui.Field
	count   *ui.Label
	gallery *ui.Button
	fold    *ui.Button
	row     *ui.ThumbRow
	scroll  *container.Scroll
	empty   *ui.Label
	ground  *ui.Box
	content *fyne.Container
}

// historyHost is what the panel asks of the window.
type historyHost interface {
	openEntry(e history.Entry) // shows an entry's picture on the canvas
	onCanvas(id uint64) bool   // says whether it is there
	pictureMenu(p studio.Picture, onCanvas bool) *fyne.Menu
	dragPicture(img *image.RGBA, pos fyne.Position) // shows a picture that is dragged inside the window
	dropPictures(paths ...string)                   // uses it as a reference, if it was dropped where that is meant
	bin(ids ...uint64)
	toggleGallery()
	galleryOpen() bool
	low() bool // says whether the window is too low for the history to stay open
	resized()  // lays the window out anew: the panel has another height
	focus(o fyne.Focusable)
}

func newHistoryPanel(c common, thumbnails *history.Thumbnails, host historyHost) *historyPanel {
	p := &historyPanel{
		common: c, host: host,
		ground: ui.NewBox(ui.ColorPanel, 0), count: ui.NewCaption(""),
		empty: ui.NewLabel("What you make appears here.", ui.ColorDim, ui.SizeText),
	}
	p.search = ui.NewField(c.keys)
	p.search.Tip.Tip = "Words of the prompts (Ctrl + F)"
	p.search.SetPlaceHolder("Search prompts")
	p.search.Icon = theme.SearchIcon()
	p.search.OnChanged = p.Album.Search
	p.gallery = ui.NewLink("Gallery", host.toggleGallery).Says("All pictures as a page (G)")
	p.gallery.Key = "G"
	p.fold = ui.NewLink("Show history", p.toggle).Says("Open or close the row of earlier pictures")
	p.row = ui.NewThumbRow()
	p.row.Load, p.row.Background = thumbnails.Get, c.Loop.Background
	p.row.OnOpen, p.row.OnBin, p.row.Menu = p.open, func(id uint64) { host.bin(id) }, p.menu
	p.row.OnDrag, p.row.OnDrop = host.dragPicture, func(path string) { host.dropPictures(path) }
	p.scroll = p.row.Scroll
	p.content = ui.Arranged(ui.NoSize, p.place, p.ground, p.fold, p.search, p.count, p.gallery, p.scroll, p.empty)
	p.Album.Changed.Subscribe(p.filter)
	return p
}

const (
	searchWidth       float32 = 176
	stripHeight       float32 = 92
	foldedStripHeight float32 = 32
)

func (p *historyPanel) folded() bool { return p.host.low() && !p.set.historyOpen() }

func (p *historyPanel) height() float32 {
	switch {
	case p.folded():
		return foldedStripHeight
	case p.host.low():
		return stripHeight + foldedStripHeight - 8
	}
	return stripHeight
}

func (p *historyPanel) toggle() {
	p.set.setHistoryOpen(p.folded())
	p.host.resized()
}

func (p *historyPanel) place(size fyne.Size) {
	p.ground.Resize(size)
	low, folded := p.host.low(), p.folded()
	ui.Show(p.fold, low)
	for _, o := range []fyne.CanvasObject{p.search, p.count, p.scroll} {
		ui.Show(o, !folded)
	}
	ui.Show(p.empty, !folded && len(p.Album.Found()) == 0)
	top := float32(0)
	if low {
		p.fold.SetText("Show history", "")
		if !folded {
			p.fold.SetText("Hide history", "")
		}
		ui.At(p.fold, ui.Margin-6, 4, p.fold.MinSize().Width, 24)
		top = 24
	}
	link := p.gallery.MinSize().Width
	if folded {
		ui.At(p.gallery, ui.Margin+p.fold.MinSize().Width, 4, link, 24)
		return
	}
	middle := top + (size.Height-top)/2
	ui.At(p.search, ui.Margin, middle-28, searchWidth, ui.FieldHeight)
	ui.At(p.count, ui.Margin+4, middle+12, searchWidth-link-4, 16)
	ui.At(p.gallery, ui.Margin+searchWidth+6-link, middle+8, link, 24)
	x := searchWidth + 2*ui.Margin - ui.ThumbEdge
	ui.At(p.scroll, x, top, size.Width-x, size.Height-top)
	ui.At(p.empty, x+ui.ThumbEdge, middle-28, size.Width-x-ui.Margin, ui.FieldHeight)
}

func (p *historyPanel) focusSearch() {
	if p.folded() {
		p.toggle()
	}
	p.host.focus(p.search)
}

func (p *historyPanel) filter() {
	found, text := p.Album.Found(), ""
	if query := p.Album.Query(); p.search.Text != query {
		p.search.SetText(query) // it was searched for in the gallery
	}
	switch {
	case p.search.Text != "":
		text = fmt.Sprintf("%d of %d", len(found), len(p.Album.Entries()))
	case len(p.Album.Entries()) > 0:
		text = pictureCount(len(p.Album.Entries()))
	}
	p.count.Set(text, ui.ColorDim)
	p.empty.Set("What you make appears here.", ui.ColorDim)
	if len(p.Album.Entries()) > 0 {
		p.empty.Set("No prompt has these words.", ui.ColorDim)
	}
	ui.Show(p.empty, len(found) == 0 && !p.folded())
	p.row.Set(itemsOf(found))
}

// refreshGallery says whether the gallery is open.
func (p *historyPanel) refreshGallery() { p.gallery.SetChosen(p.host.galleryOpen()) }

func (p *historyPanel) index(id uint64) int {
	return slices.IndexFunc(p.Album.Found(), func(e history.Entry) bool { return e.ID == id })
}

// mark frames the entry that is on the canvas; 0 frames none.
func (p *historyPanel) mark(id uint64) { p.row.Mark(id) }

// menu is what can be done with an entry.
func (p *historyPanel) menu(id uint64) *fyne.Menu {
	i := p.index(id)
	if i < 0 {
		return nil
	}
	e := p.Album.Found()[i]
	return p.host.pictureMenu(studio.Picture{Meta: e.Picture, Path: e.Path, ID: e.ID}, false)
}

// open shows an entry on the canvas.
func (p *historyPanel) open(id uint64) {
	if i := p.index(id); i >= 0 {
		p.host.openEntry(p.Album.Found()[i])
	}
}

// step goes to the picture before (-1, newer) or after (1, older) the one on the canvas.
func (p *historyPanel) step(by int) {
	if i := p.index(p.row.Marked) + by; i >= 0 && i < len(p.Album.Found()) {
		p.host.openEntry(p.Album.Found()[i])
	}
}

// forget removes an entry whose picture is gone.
func (p *historyPanel) forget(id uint64) { p.Album.Forget(id, p.notice.fail) }
