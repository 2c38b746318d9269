package app

import (
	"errors"
	"image"
	"io/fs"
	"slices"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/driver/desktop"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"
)

// thumbItem is one picture of a row.
type thumbItem struct {
	id   uint64
	path string
}

// thumbRow is a row of thumbnails with its scroller. Only those in sight are there as objects, and only those are read, so
// that thousands of items cost no more than a screenful.
type thumbRow struct {
	widget.BaseWidget
	// load reads the thumbnail of a file, away from Fyne's goroutine; background runs such work, and what it returns on Fyne's
	// goroutine.
	load       func(path string) (*image.RGBA, error)
	background func(work func() (done func()))
	open, bin  func(id uint64)
	menu       func(id uint64) *fyne.Menu
	// drag is told where a picture is dragged in the window, and drop that it was let go.
	drag func(img *image.RGBA, pos fyne.Position)
	drop func(path string)

	scroll *container.Scroll
	items  []thumbItem
	marked uint64                 // the item with a frame, 0 for none
	cells  []*thumb               // in sight, and some spare
	known  map[string]*image.RGBA // thumbnails by path; nil while being read or where unreadable
	gone   map[string]bool        // paths where no file is any more
	order  []string               // the paths in known, oldest first
	wait   []string               // to be read, the last one first
	busy   int                    // readers at work
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

// newThumbRow returns an empty row; its owner sets what it does.
func newThumbRow() *thumbRow {
	r := &thumbRow{known: map[string]*image.RGBA{}, gone: map[string]bool{}}
	r.ExtendBaseWidget(r)
	r.scroll = container.NewHScroll(r)
	r.scroll.OnScrolled = func(fyne.Position) { r.Refresh() }
	return r
}

func (r *thumbRow) MinSize() fyne.Size {
	return fyne.NewSize(thumbEdge+float32(len(r.items))*thumbPitch, thumbHeight)
}

// set shows other items.
func (r *thumbRow) set(items []thumbItem) {
	r.items = items
	r.Refresh()
	r.scroll.Refresh()
}

// mark frames an item and brings it into sight; 0 frames none.
func (r *thumbRow) mark(id uint64) {
	r.marked = id
	if i := r.index(id); i >= 0 {
		x := float32(i)*thumbPitch + thumbEdge
		if left, width := r.scroll.Offset.X, r.scroll.Size().Width; x < left || x+thumbPitch > left+width {
			r.scroll.ScrollToOffset(fyne.NewPos(max(x-width/2+thumbPitch/2, 0), 0))
		}
	}
	r.Refresh()
}

// index returns the place of an item in the row, -1 if it is not there.
func (r *thumbRow) index(id uint64) int {
	return slices.IndexFunc(r.items, func(item thumbItem) bool { return item.id == id })
}

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

// place gives the items in sight a cell.
func (r *thumbRow) place() {
	items, scroll := r.items, r.scroll
	first := max(int(scroll.Offset.X/thumbPitch), 0)
	last := min(int((scroll.Offset.X+scroll.Size().Width)/thumbPitch)+1, len(items))
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
		c.show(items[first+i])
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
	for r.busy < readers && len(r.wait) > 0 {
		path := r.wait[len(r.wait)-1]
		r.wait = r.wait[:len(r.wait)-1]
		if _, wanted := r.known[path]; !wanted {
			continue
		}
		r.busy++
		r.background(func() func() {
			img, err := r.load(path)
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
		if c.item.path == path {
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

// openBeside opens the item that lies by places after c, and gives it the keyboard.
func (r *thumbRow) openBeside(c *thumb, by int) {
	i := r.index(c.item.id) + by
	if i < 0 || i >= len(r.items) {
		return
	}
	id := r.items[i].id
	r.open(id)
	for _, c := range r.cells {
		if c.Visible() && c.item.id == id {
			takeFocus(c)
		}
	}
}

// thumb is one picture of the row. It can be opened, dragged elsewhere, and asked for its menu.
type thumb struct {
	widget.BaseWidget
	row              *thumbRow
	item             thumbItem
	hovered, focused bool
	dragging         bool
	marked           bool
}

func newThumb(r *thumbRow) *thumb {
	t := &thumb{row: r}
	t.ExtendBaseWidget(t)
	return t
}

func (t *thumb) show(item thumbItem) {
	if marked := t.row.marked == item.id; t.item != item || t.marked != marked {
		t.item, t.marked = item, marked
		t.Refresh()
	}
}

func (t *thumb) Tapped(*fyne.PointEvent) {
	takeFocus(t)
	t.row.open(t.item.id)
}

func (t *thumb) TappedSecondary(e *fyne.PointEvent) {
	if menu := t.row.menu(t.item.id); menu != nil {
		widget.ShowPopUpMenuAtPosition(menu, fyne.CurrentApp().Driver().CanvasForObject(t), e.AbsolutePosition)
	}
}

func (t *thumb) MouseIn(*desktop.MouseEvent)    { t.hovered = true; t.Refresh() }
func (t *thumb) MouseMoved(*desktop.MouseEvent) {}
func (t *thumb) MouseOut()                      { t.hovered = false; t.Refresh() }
func (t *thumb) FocusGained()                   { t.focused = true; t.Refresh() }
func (t *thumb) FocusLost()                     { t.focused = false; t.Refresh() }
func (t *thumb) TypedRune(rune)                 {}
func (t *thumb) TypedKey(e *fyne.KeyEvent) {
	switch e.Name {
	case fyne.KeyReturn, fyne.KeyEnter, fyne.KeySpace:
		t.row.open(t.item.id)
	case fyne.KeyLeft:
		t.row.openBeside(t, -1)
	case fyne.KeyRight:
		t.row.openBeside(t, 1)
	case fyne.KeyDelete:
		t.row.bin(t.item.id)
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
	t.row.drag(t.row.known[t.item.path], e.AbsolutePosition)
}

func (t *thumb) DragEnd() {
	if !t.dragging {
		return
	}
	t.dragging = false
	t.row.drop(t.item.path)
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
	if img := t.row.thumbnail(t.item.path); img != nil {
		if r.picture.Image != image.Image(img) {
			r.picture.Image = img
			r.picture.Refresh()
		}
		show(r.picture, true)
	} else {
		show(r.picture, false)
	}
	show(r.gone, t.row.gone[t.item.path])
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
