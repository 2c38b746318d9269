package ui

import (
	"image"
	"slices"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/driver/desktop"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"
)

// ThumbRow is a row of thumbnails with its scroller. Only those in sight are there as objects, and only those are
// read, so that thousands of items cost no more than a screenful.
type ThumbRow struct {
	widget.BaseWidget
	*Thumbs
	// OnOpen and OnBin are called when the user opens an item or throws it away. Menu returns an item's menu, nil for
	// none.
	OnOpen, OnBin func(id uint64)
	Menu          func(id uint64) *fyne.Menu
	// OnDrag is told where in the window a picture is dragged, OnDrop that it was let go.
	OnDrag func(img *image.RGBA, pos fyne.Position)
	OnDrop func(path string)

	Scroll *container.Scroll // the row in its scroller
	Marked uint64            // the item with a frame, 0 for none
	Cells  []*Thumb          // the thumbnails in sight, and some spare
	items  []ThumbItem
}

const (
	// ThumbEdge is the room left of the first thumbnail, for its frame.
	ThumbEdge float32 = 4

	thumbWidth  float32 = 112
	thumbHeight float32 = 68
	thumbPitch          = thumbWidth + 8 // from one thumbnail to the next
	knownThumbs         = 400            // that are kept in memory
)

// NewThumbRow returns an empty row; its owner sets what it does.
func NewThumbRow() *ThumbRow {
	r := &ThumbRow{}
	r.Thumbs = newThumbs(knownThumbs, r.drawFound)
	r.ExtendBaseWidget(r)
	r.Scroll = container.NewHScroll(r)
	r.Scroll.OnScrolled = func(fyne.Position) { r.Refresh() }
	return r
}

func (r *ThumbRow) MinSize() fyne.Size {
	return fyne.NewSize(ThumbEdge+float32(len(r.items))*thumbPitch, thumbHeight)
}

// Set shows other items.
func (r *ThumbRow) Set(items []ThumbItem) {
	r.items = items
	r.Refresh()
	r.Scroll.Refresh()
}

// Mark frames an item and brings it into sight; 0 frames none.
func (r *ThumbRow) Mark(id uint64) {
	r.Marked = id
	if i := r.index(id); i >= 0 {
		x := float32(i)*thumbPitch + ThumbEdge
		if left, width := r.Scroll.Offset.X, r.Scroll.Size().Width; x < left || x+thumbPitch > left+width {
			r.Scroll.ScrollToOffset(fyne.NewPos(max(x-width/2+thumbPitch/2, 0), 0))
		}
	}
	r.Refresh()
}

// index returns the place of an item in the row, -1 if it is not there.
func (r *ThumbRow) index(id uint64) int {
	return slices.IndexFunc(r.items, func(item ThumbItem) bool { return item.ID == id })
}

func (r *ThumbRow) CreateRenderer() fyne.WidgetRenderer { return &thumbRowRenderer{row: r} }

type thumbRowRenderer struct{ row *ThumbRow }

func (r *thumbRowRenderer) MinSize() fyne.Size { return r.row.MinSize() }
func (r *thumbRowRenderer) Destroy()           {}
func (r *thumbRowRenderer) Layout(fyne.Size)   { r.row.place() }
func (r *thumbRowRenderer) Refresh()           { r.row.place(); canvas.Refresh(r.row) }

func (r *thumbRowRenderer) Objects() []fyne.CanvasObject {
	var list []fyne.CanvasObject
	for _, c := range r.row.Cells {
		list = append(list, c)
	}
	return list
}

// place gives the items in sight a cell.
func (r *ThumbRow) place() {
	items, scroll := r.items, r.Scroll
	first := max(int(scroll.Offset.X/thumbPitch), 0)
	last := min(int((scroll.Offset.X+scroll.Size().Width)/thumbPitch)+1, len(items))
	n := max(last-first, 0)
	for len(r.Cells) < n {
		r.Cells = append(r.Cells, newThumb(r))
	}
	r.want(items[min(first, len(items)):last])
	y := (r.Size().Height - thumbHeight) / 2
	for i, c := range r.Cells {
		Show(c, i < n)
		if i >= n {
			continue
		}
		At(c, ThumbEdge+float32(first+i)*thumbPitch, y, thumbWidth, thumbHeight)
		c.show(items[first+i])
	}
}

// drawFound draws the thumbnail of a path.
func (r *ThumbRow) drawFound(path string) {
	for _, c := range r.Cells {
		if c.item.Path == path {
			c.Refresh()
		}
	}
}

// tabStop is the thumbnail that Tab goes to: the marked one, or else the first in sight.
func (r *ThumbRow) tabStop() *Thumb {
	var first *Thumb
	for _, c := range r.Cells {
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
func (r *ThumbRow) openBeside(c *Thumb, by int) {
	i := r.index(c.item.ID) + by
	if i < 0 || i >= len(r.items) {
		return
	}
	id := r.items[i].ID
	r.OnOpen(id)
	for _, c := range r.Cells {
		if c.Visible() && c.item.ID == id {
			TakeFocus(c)
		}
	}
}

// Thumb is one picture of the row. It can be opened, dragged elsewhere, and asked for its menu.
type Thumb struct {
	widget.BaseWidget
	row              *ThumbRow
	item             ThumbItem
	hovered, focused bool
	dragging         bool
	marked           bool
}

func newThumb(r *ThumbRow) *Thumb {
	t := &Thumb{row: r}
	t.ExtendBaseWidget(t)
	return t
}

func (t *Thumb) show(item ThumbItem) {
	if marked := t.row.Marked == item.ID; t.item != item || t.marked != marked {
		t.item, t.marked = item, marked
		t.Refresh()
	}
}

func (t *Thumb) Tapped(*fyne.PointEvent) {
	TakeFocus(t)
	t.row.OnOpen(t.item.ID)
}

func (t *Thumb) TappedSecondary(e *fyne.PointEvent) {
	if menu := t.row.Menu(t.item.ID); menu != nil {
		ShowMenu(t, menu, e.AbsolutePosition)
	}
}

func (t *Thumb) MouseIn(*desktop.MouseEvent)    { t.hovered = true; t.Refresh() }
func (t *Thumb) MouseMoved(*desktop.MouseEvent) {}
func (t *Thumb) MouseOut()                      { t.hovered = false; t.Refresh() }
func (t *Thumb) FocusGained()                   { t.focused = true; t.Refresh() }
func (t *Thumb) FocusLost()                     { t.focused = false; t.Refresh() }
func (t *Thumb) TypedRune(rune)                 {}

func (t *Thumb) TypedKey(e *fyne.KeyEvent) {
	switch e.Name {
	case fyne.KeyReturn, fyne.KeyEnter, fyne.KeySpace:
		t.row.OnOpen(t.item.ID)
	case fyne.KeyLeft:
		t.row.openBeside(t, -1)
	case fyne.KeyRight:
		t.row.openBeside(t, 1)
	case fyne.KeyDelete:
		t.row.OnBin(t.item.ID)
	default:
		Forward(t, e)
	}
}

// Disabled keeps all thumbnails but one out of the order of Tab.
func (t *Thumb) Disabled() bool { return t.row.tabStop() != t }
func (t *Thumb) Enable()        {}
func (t *Thumb) Disable()       {}

func (t *Thumb) Dragged(e *fyne.DragEvent) {
	t.dragging = true
	t.row.OnDrag(t.row.known[t.item.Path], e.AbsolutePosition)
}

func (t *Thumb) DragEnd() {
	if !t.dragging {
		return
	}
	t.dragging = false
	t.row.OnDrop(t.item.Path)
}

func (t *Thumb) CreateRenderer() fyne.WidgetRenderer {
	r := &thumbRenderer{
		thumb: t, ground: NewBox(ColorRaised, 4), edge: NewBox(ColorNone, 5), veil: NewBox(ColorNone, 4),
		picture: canvas.NewImageFromImage(nil), gone: NewLabel("file is gone", ColorDim, SizeCaption), star: newStarBadge(),
	}
	r.gone.Align = fyne.TextAlignCenter
	r.edge.StrokeWidth = 2
	r.picture.FillMode, r.picture.ScaleMode = canvas.ImageFillContain, canvas.ImageScaleFastest
	r.Refresh()
	return r
}

type thumbRenderer struct {
	thumb              *Thumb
	ground, edge, veil *Box
	picture            *canvas.Image
	gone               *Label
	star               *starBadge
}

func (r *thumbRenderer) MinSize() fyne.Size { return fyne.NewSize(thumbWidth, thumbHeight) }
func (r *thumbRenderer) Destroy()           {}

func (r *thumbRenderer) Objects() []fyne.CanvasObject {
	return []fyne.CanvasObject{r.ground, r.picture, r.gone, r.veil, r.star.Content, r.edge}
}

func (r *thumbRenderer) Layout(size fyne.Size) {
	r.ground.Resize(size)
	r.veil.Resize(size)
	r.picture.Resize(size)
	At(r.gone, 4, 0, size.Width-8, size.Height)
	At(r.star.Content, size.Width-starSide-3, 3, starSide, starSide)
	At(r.edge, -2, -2, size.Width+4, size.Height+4)
}

func (r *thumbRenderer) Refresh() {
	t := r.thumb
	if img := t.row.get(t.item.Path); img != nil {
		if r.picture.Image != image.Image(img) {
			r.picture.Image = img
			r.picture.Refresh()
		}
		Show(r.picture, true)
	} else {
		Show(r.picture, false)
	}
	Show(r.gone, t.row.gone[t.item.Path])
	r.star.set(t.item.Starred, false)
	edge, veil := ColorNone, ColorNone
	if t.marked {
		edge = ColorAccent
	}
	if t.focused {
		edge = ColorText
	}
	if t.hovered {
		veil = theme.ColorNameHover
	}
	r.edge.Set(ColorNone, edge)
	r.veil.Set(veil, ColorNone)
	r.Layout(t.Size())
	canvas.Refresh(t)
}
