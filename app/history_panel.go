package app

import (
	"fmt"
	"image"
	"slices"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/theme"

	"kleinbild/app/studio"
	"kleinbild/app/ui"
	"kleinbild/history"
)

// historyPanel is one row of earlier pictures, newest first, with a search by prompt. In a low window it folds to a
// button.
type historyPanel struct {
	s     *session
	found []history.Entry // those that match the search

	search  *ui.Field
	count   *ui.Label
	fold    *ui.Button
	row     *ui.ThumbRow
	scroll  *container.Scroll
	empty   *ui.Label
	ground  *ui.Box
	content *fyne.Container
}

func newHistoryPanel(s *session) *historyPanel {
	p := &historyPanel{
		s: s, ground: ui.NewBox(ui.ColorPanel, 0), count: ui.NewLabel("", ui.ColorDim, ui.SizeCaption),
		empty: ui.NewLabel("What you make appears here.", ui.ColorDim, ui.SizeText),
	}
	p.search = ui.NewField(s.keys)
	p.search.SetPlaceHolder("Search prompts")
	p.search.Icon = theme.SearchIcon()
	p.search.OnChanged = func(string) { p.filter() }
	p.fold = ui.NewLink("Show history", p.toggle)
	p.row = ui.NewThumbRow()
	p.row.Load, p.row.Background = s.thumbnails.Get, s.Loop.Background
	p.row.OnOpen, p.row.OnBin, p.row.Menu = p.open, p.bin, p.menu
	p.row.OnDrag, p.row.OnDrop = func(img *image.RGBA, pos fyne.Position) { s.drag.Follow(img, pos) }, p.dropped
	p.scroll = p.row.Scroll
	p.content = ui.Arranged(ui.NoSize, p.place, p.ground, p.fold, p.search, p.count, p.scroll, p.empty)
	s.Album.Changed.Subscribe(p.filter)
	return p
}

const (
	searchWidth       float32 = 176
	stripHeight       float32 = 92
	foldedStripHeight float32 = 32
)

func (p *historyPanel) folded() bool { return p.s.frame.low() && !p.s.set.historyOpen() }

func (p *historyPanel) height() float32 {
	switch {
	case p.folded():
		return foldedStripHeight
	case p.s.frame.low():
		return stripHeight + foldedStripHeight - 8
	}
	return stripHeight
}

func (p *historyPanel) toggle() {
	p.s.set.setHistoryOpen(p.folded())
	p.s.frame.content.Refresh()
}

func (p *historyPanel) place(size fyne.Size) {
	p.ground.Resize(size)
	low, folded := p.s.frame.low(), p.folded()
	ui.Show(p.fold, low)
	for _, o := range []fyne.CanvasObject{p.search, p.count, p.scroll} {
		ui.Show(o, !folded)
	}
	ui.Show(p.empty, !folded && len(p.found) == 0)
	top := float32(0)
	if low {
		p.fold.SetText("Show history", "")
		if !folded {
			p.fold.SetText("Hide history", "")
		}
		ui.At(p.fold, ui.Margin-6, 4, p.fold.MinSize().Width, 24)
		top = 24
	}
	if folded {
		return
	}
	middle := top + (size.Height-top)/2
	ui.At(p.search, ui.Margin, middle-28, searchWidth, ui.FieldHeight)
	ui.At(p.count, ui.Margin+4, middle+12, searchWidth, 16)
	x := searchWidth + 2*ui.Margin - ui.ThumbEdge
	ui.At(p.scroll, x, top, size.Width-x, size.Height-top)
	ui.At(p.empty, x+ui.ThumbEdge, middle-28, size.Width-x-ui.Margin, ui.FieldHeight)
}

func (p *historyPanel) focusSearch() {
	if p.folded() {
		p.toggle()
	}
	p.s.win.Canvas().Focus(p.search)
}

// historyNews says what became of the history.
func (s *session) historyNews(n history.News) {
	switch {
	case n.Aside != "":
		found := "None of its entries could be read"
		if n.Rescued > 0 {
			found = pictureCount(n.Rescued) + " could be read and stayed in it"
		}
		s.notice.Say("The history was damaged. " + found + "; the damaged file is now " + n.Aside +
			". All pictures are still in their folder.")
	case n.Err != nil:
		s.notice.Say("The history cannot be written at present. " + explain(n.Err) +
			" What you make meanwhile is kept, and is added once it can be.")
	case n.Entered > 0:
		s.notice.Say("The history can be written: " + pictureCount(n.Entered) + " that waited were added.")
	case n.Back:
		s.notice.Say("The history can be written again.")
	}
}

// pictureCount counts pictures in words.
func pictureCount(n int) string {
	if n == 1 {
		return "1 picture"
	}
	return fmt.Sprintf("%d pictures", n)
}

// renumber finds the pictures on show again under the IDs that their entries have now: one that has waited gets another.
func (s *session) renumber() {
	for _, pic := range append([]*studio.Picture{s.shown}, s.view.unseen...) {
		if pic == nil || pic.ID == 0 {
			continue
		}
		if now, ok := s.Album.IDNow(pic.ID, pic.Path); ok && now != pic.ID {
			if s.strip.row.Marked == pic.ID {
				s.strip.row.Marked = now
			}
			pic.ID = now
		}
	}
}

func (p *historyPanel) filter() {
	p.found = nil
	for _, e := range p.s.Album.Entries() {
		if e.Matches(p.search.Text) {
			p.found = append(p.found, e)
		}
	}
	text := ""
	switch {
	case p.search.Text != "":
		text = fmt.Sprintf("%d of %d", len(p.found), len(p.s.Album.Entries()))
	case len(p.s.Album.Entries()) > 0:
		text = pictureCount(len(p.s.Album.Entries()))
	}
	p.count.Set(text, ui.ColorDim)
	p.empty.Set("What you make appears here.", ui.ColorDim)
	if len(p.s.Album.Entries()) > 0 {
		p.empty.Set("No prompt has these words.", ui.ColorDim)
	}
	ui.Show(p.empty, len(p.found) == 0 && (p.s.frame == nil || !p.folded()))
	items := make([]ui.ThumbItem, len(p.found))
	for i, e := range p.found {
		items[i] = ui.ThumbItem{ID: e.ID, Path: e.Path}
	}
	p.row.Set(items)
}

func (p *historyPanel) index(id uint64) int {
	return slices.IndexFunc(p.found, func(e history.Entry) bool { return e.ID == id })
}

// mark frames the entry that is on the canvas; 0 frames none.
func (p *historyPanel) mark(id uint64) { p.row.Mark(id) }

// menu is what can be done with an entry.
func (p *historyPanel) menu(id uint64) *fyne.Menu {
	i := p.index(id)
	if i < 0 {
		return nil
	}
	e := p.found[i]
	return p.s.pictureMenu(e.Picture, e.Path, e.ID, false)
}

// dropped uses a picture that was dragged out of the row as a reference: in the slot that it was dropped on, or in the next
// free one if it was dropped on the canvas.
func (p *historyPanel) dropped(path string) {
	s := p.s
	pos := s.drag.Pos
	if target := s.slotDropped(); target != nil {
		s.slots.add(target.number, []string{path})
	} else if ui.Within(s.view.view, pos) || ui.Within(s.view.emptyTitle, pos) {
		s.slots.add(0, []string{path})
	}
}

// open shows an entry on the canvas.
func (p *historyPanel) open(id uint64) {
	if i := p.index(id); i >= 0 {
		p.s.openEntry(p.found[i])
	}
}

// step goes to the picture before (-1, newer) or after (1, older) the one on the canvas.
func (p *historyPanel) step(by int) {
	if i := p.index(p.row.Marked) + by; i >= 0 && i < len(p.found) {
		p.s.openEntry(p.found[i])
	}
}

// forget removes an entry whose picture is gone.
func (p *historyPanel) forget(id uint64) { p.s.Album.Forget(id, p.s.notice.fail) }

// removed takes a picture off the canvas whose entry is gone.
func (s *session) removed(id uint64) {
	s.view.seen(&studio.Picture{ID: id})
	s.view.refreshTools()
	if s.shown != nil && s.shown.ID == id {
		s.shown = nil
		s.view.draw()
	}
}
