package app

import (
	"errors"
	"image"
	"io/fs"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/driver/desktop"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"

	"kleinbild/history"
)

// thumbRow is the row of thumbnails inside its scroller. Only those in sight are there as objects, and only those are
// read, so that thousands of entries cost no more than a screenful.
type thumbRow struct {
	widget.BaseWidget
	panel *historyPanel
	cells []*thumb               // in sight, and some spare
	known map[string]*image.RGBA // thumbnails by path; nil while being read or where unreadable
	gone  map[string]bool        // paths where no file is any more
	order []string               // the paths in known, oldest first
	wait  []string               // to be read, the last one first
	busy  int                    // readers at work
}

// The place of one thumbnail, and how many are kept in memory.
const (
	thumbWidth  float32 = 112
	thumbHeight float32 = 68
	thumbPitch          = thumbWidth + 8
	thumbEdge   float32 = 4 // left of the first, for its frame
	knownThumbs         = 400
	readers             = 2
)

func newThumbRow(p *historyPanel) *thumbRow {
	r := &thumbRow{panel: p, known: map[string]*image.RGBA{}, gone: map[string]bool{}}
	r.ExtendBaseWidget(r)
	return r
}

func (r *thumbRow) MinSize() fyne.Size {
	return fyne.NewSize(thumbEdge+float32(len(r.panel.found))*thumbPitch, thumbHeight)
}

// changed is called when there are other entries.
func (r *thumbRow) changed() { r.Refresh() }

func (r *thumbRow) CreateRenderer() fyne.WidgetRenderer { return &thumbRowRenderer{row: r} }

type thumbRowRenderer struct{ row *thumbRow }

func (r *thumbRowRenderer) MinSize() fyne.Size { return r.row.MinSize() }
func (r *thumbRowRenderer) Destroy()           {}
func (r *thumbRowRenderer) Layout(fyne.Size)   { r.row.place() }
func (r *thumbRowRenderer) Refresh()           { r.row.place(); canvas.Refresh(r.row) }
func (r *thumbRowRenderer) Objects() []fyne.CanvasObject {
	var list []fyne.CanvasObject
	for _, c := range r.row.cells {
		list = append(list, c)
	}
	return list
}

// place gives the entries in sight a cell.
func (r *thumbRow) place() {
	found, scroll := r.panel.found, r.panel.scroll
	first := max(int(scroll.Offset.X/thumbPitch), 0)
	last := min(int((scroll.Offset.X+scroll.Size().Width)/thumbPitch)+1, len(found))
	n := max(last-first, 0)
	for len(r.cells) < n {
		r.cells = append(r.cells, newThumb(r))
	}
	y := (r.Size().Height - thumbHeight) / 2
	for i, c := range r.cells {
		show(c, i < n)
		if i >= n {
			continue
		}
		at(c, thumbEdge+float32(first+i)*thumbPitch, y, thumbWidth, thumbHeight)
		c.show(found[first+i])
	}
}

// thumbnail returns what is known of a path and has the rest read.
func (r *thumbRow) thumbnail(path string) *image.RGBA {
	img, asked := r.known[path]
	if !asked {
		r.known[path] = nil
		r.order = append(r.order, path)
		if len(r.order) > knownThumbs {
			delete(r.known, r.order[0])
			r.order = r.order[1:]
		}
		r.wait = append(r.wait, path)
		r.read()
	}
	return img
}

// read has the newest request read: what was scrolled past can wait.
func (r *thumbRow) read() {
	s := r.panel.s
	for r.busy < readers && len(r.wait) > 0 {
		path := r.wait[len(r.wait)-1]
		r.wait = r.wait[:len(r.wait)-1]
		if _, wanted := r.known[path]; !wanted {
			continue
		}
		r.busy++
		thumbnails := s.thumbnails
		s.background(func() func() {
			img, err := thumbnails.Get(path)
			return func() {
				r.busy--
				if _, wanted := r.known[path]; wanted {
					r.found(path, img, errors.Is(err, fs.ErrNotExist))
				}
				r.read()
			}
		})
	}
}

// found takes what is at a path: a thumbnail, nil for none, or no file at all.
func (r *thumbRow) found(path string, img *image.RGBA, gone bool) {
	r.known[path] = img
	if delete(r.gone, path); gone {
		r.gone[path] = true
	}
	for _, c := range r.cells {
		if c.entry.Path == path {
			c.Refresh()
		}
	}
}

// tabStop is the thumbnail that Tab goes to: the one on the canvas, or the first in sight.
func (r *thumbRow) tabStop() *thumb {
	var first *thumb
	for _, c := range r.cells {
		if c.Visible() && c.marked {
			return c
		}
		if c.Visible() && first == nil {
			first = c
		}
	}
	return first
}

// openBeside shows the picture that lies by places after c, and has the keyboard follow.
func (r *thumbRow) openBeside(c *thumb, by int) {
	i := r.panel.index(c.entry.ID) + by
	if i < 0 || i >= len(r.panel.found) {
		return
	}
	e := r.panel.found[i]
	r.panel.s.openEntry(e)
	for _, c := range r.cells {
		if c.Visible() && c.entry.ID == e.ID {
			r.panel.s.win.Canvas().Focus(c)
		}
	}
}

// thumb is one earlier picture. It can be opened, dragged into a slot, and asked for its menu.
type thumb struct {
	widget.BaseWidget
	row              *thumbRow
	entry            history.Entry
	hovered, focused bool
	dragging         bool
	marked           bool
}

func newThumb(r *thumbRow) *thumb {
	t := &thumb{row: r}
	t.ExtendBaseWidget(t)
	return t
}

func (t *thumb) show(e history.Entry) {
	marked := t.row.panel.marked == e.ID
	if t.entry.ID != e.ID || t.entry.Path != e.Path || t.marked != marked {
		t.entry, t.marked = e, marked
		t.Refresh()
	}
}

func (t *thumb) Tapped(*fyne.PointEvent) {
	takeFocus(t)
	t.row.panel.s.openEntry(t.entry)
}

func (t *thumb) TappedSecondary(e *fyne.PointEvent) {
	s := t.row.panel.s
	widget.ShowPopUpMenuAtPosition(s.pictureMenu(t.entry.Picture, t.entry.Path, t.entry.ID, false), s.win.Canvas(), e.AbsolutePosition)
}
func (t *thumb) MouseIn(*desktop.MouseEvent)    { t.hovered = true; t.Refresh() }
func (t *thumb) MouseMoved(*desktop.MouseEvent) {}
func (t *thumb) MouseOut()                      { t.hovered = false; t.Refresh() }
func (t *thumb) FocusGained()                   { t.focused = true; t.Refresh() }
func (t *thumb) FocusLost()                     { t.focused = false; t.Refresh() }
func (t *thumb) TypedRune(rune)                 {}
func (t *thumb) TypedKey(e *fyne.KeyEvent) {
	s := t.row.panel.s
	switch e.Name {
	case fyne.KeyReturn, fyne.KeyEnter, fyne.KeySpace:
		s.openEntry(t.entry)
	case fyne.KeyLeft:
		t.row.openBeside(t, -1)
	case fyne.KeyRight:
		t.row.openBeside(t, 1)
	case fyne.KeyDelete:
		s.strip.bin(t.entry.ID)
	default:
		forward(t, e)
	}
}

// Disabled keeps all thumbnails but one out of the order of Tab.
func (t *thumb) Disabled() bool { return t.row.tabStop() != t }
func (t *thumb) Enable()        {}
func (t *thumb) Disable()       {}

func (t *thumb) Dragged(e *fyne.DragEvent) {
	t.dragging = true
	t.row.panel.s.drag.follow(t.row.known[t.entry.Path], e.AbsolutePosition)
}

func (t *thumb) DragEnd() {
	if !t.dragging {
		return
	}
	t.dragging = false
	s := t.row.panel.s
	pos := s.drag.pos
	if target := s.drag.end(); target != nil {
		s.slots.add(target.number, []string{t.entry.Path})
	} else if within(s.view.view, pos) || within(s.view.emptyTitle, pos) {
		s.slots.add(0, []string{t.entry.Path})
	}
}

func (t *thumb) CreateRenderer() fyne.WidgetRenderer {
	r := &thumbRenderer{
		thumb: t, ground: newBox(colorRaised, 4), edge: newBox(colorNone, 5), veil: newBox(colorNone, 4),
		picture: canvas.NewImageFromImage(nil), gone: newLabel("file is gone", colorDim, sizeCaption),
	}
	r.gone.align = fyne.TextAlignCenter
	r.edge.strokeWidth = 2
	r.picture.FillMode, r.picture.ScaleMode = canvas.ImageFillContain, canvas.ImageScaleFastest
	r.Refresh()
	return r
}

type thumbRenderer struct {
	thumb              *thumb
	ground, edge, veil *box
	picture            *canvas.Image
	gone               *label
}

func (r *thumbRenderer) MinSize() fyne.Size { return fyne.NewSize(thumbWidth, thumbHeight) }
func (r *thumbRenderer) Destroy()           {}
func (r *thumbRenderer) Objects() []fyne.CanvasObject {
	return []fyne.CanvasObject{r.ground, r.picture, r.gone, r.veil, r.edge}
}

func (r *thumbRenderer) Layout(size fyne.Size) {
	r.ground.Resize(size)
	r.veil.Resize(size)
	r.picture.Resize(size)
	at(r.gone, 4, 0, size.Width-8, size.Height)
	at(r.edge, -2, -2, size.Width+4, size.Height+4)
}

func (r *thumbRenderer) Refresh() {
	t := r.thumb
	if img := t.row.thumbnail(t.entry.Path); img != nil {
		if r.picture.Image != image.Image(img) {
			r.picture.Image = img
			r.picture.Refresh()
		}
		show(r.picture, true)
	} else {
		show(r.picture, false)
	}
	show(r.gone, t.row.gone[t.entry.Path])
	edge, veil := colorNone, colorNone
	if t.marked {
		edge = colorAccent
	}
	if t.focused {
		edge = colorText
	}
	if t.hovered {
		veil = theme.ColorNameHover
	}
	r.edge.set(colorNone, edge)
	r.veil.set(veil, colorNone)
	r.Layout(t.Size())
	canvas.Refresh(t)
}
