package ui

import (
	"image"
	"sort"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"
)

// ThumbSection is a heading over some items of a grid.
type ThumbSection struct {
	Title string
	First int // the index of the first item below it; the items go on to the next section
}

// ThumbGrid is a page of thumbnails below headings, with its scroller, in which several items can be chosen. Only those
// in sight are there as objects, and only those are read. Tab stops once in it; the arrow keys move inside it.
type ThumbGrid struct {
	widget.BaseWidget
	*Thumbs
	// OnOpen is called when the user opens an item, OnChosen after others were chosen, OnBin and OnStar for the items that
	// are chosen. Menu returns their menu, nil for none.
	OnOpen                  func(id uint64)
	OnChosen, OnBin, OnStar func()
	Menu                    func() *fyne.Menu
	// OnDrag is told where in the window a picture is dragged, OnDrop that the chosen ones were let go.
	OnDrag func(img *image.RGBA, pos fyne.Position)
	OnDrop func()
	Held   func() fyne.KeyModifier // which modifiers are held down

	Scroll   *container.Scroll // the grid in its scroller
	Cells    []*ThumbCell      // the thumbnails in sight, and some spare
	items    []ThumbItem
	sections []ThumbSection
	selection

	rows    []gridRow
	columns int
	cell    fyne.Size
	titles  []*Label // as many as have been in sight at once
	band    *Box     // the rectangle that is drawn with the pointer

	focused          bool
	hovered, pressed int           // items; -1 for none
	from             fyne.Position // where a drag began
	dragging         gridDrag
	before           map[uint64]bool // what was chosen before the rectangle
}

// gridRow is a heading, or a row of items.
type gridRow struct {
	top, height float32
	title       string
	first, n    int // items; n is 0 for a heading
}

const (
	gridCell      float32 = 168 // the least width of a cell, unless the grid is narrower
	gridGap       float32 = 8
	gridTitle     float32 = 34 // the height of a heading
	gridThumbs            = 256
	scrollerWidth float32 = 12
)

// NewThumbGrid returns an empty grid; its owner sets what it does.
func NewThumbGrid() *ThumbGrid {
	g := &ThumbGrid{
		selection: newSelection(), band: NewBox(theme.ColorNameSelection, 2), hovered: -1, pressed: -1, Held: heldKeys,
	}
	g.Thumbs = newThumbs(gridThumbs, g.drawFound)
	g.band.Stroke = ColorAccent
	g.band.Hide()
	g.ExtendBaseWidget(g)
	g.Scroll = container.NewVScroll(g)
	g.Scroll.OnScrolled = func(fyne.Position) { g.Refresh() }
	return g
}

func (g *ThumbGrid) MinSize() fyne.Size {
	height := float32(0)
	if n := len(g.rows); n > 0 {
		height = g.rows[n-1].top + g.rows[n-1].height + Margin
	}
	return fyne.NewSize(gridGap, height)
}

// Set shows other items below other headings; the first heading is over the first item.
func (g *ThumbGrid) Set(items []ThumbItem, sections []ThumbSection) {
	ids := make([]uint64, len(items))
	for i, item := range items {
		ids[i] = item.ID
	}
	g.items, g.sections = items, sections
	g.hovered, g.pressed = -1, -1
	g.selection.set(ids)
	g.arrange(g.Size().Width)
	g.Scroll.Refresh()
	g.Refresh()
}

// Chosen returns the IDs of the chosen items, in their order.
func (g *ThumbGrid) Chosen() []uint64 { return g.list() }

// ChosenCount returns the number of the chosen items, IsChosen whether one is among them.
func (g *ThumbGrid) ChosenCount() int        { return len(g.chosen) }
func (g *ThumbGrid) IsChosen(id uint64) bool { return g.chosen[id] }

// Current returns the ID of the item that the keyboard is at, 0 for none.
func (g *ThumbGrid) Current() uint64 {
	if g.cursor < 0 || !g.chosen[g.ids[g.cursor]] {
		return 0
	}
	return g.ids[g.cursor]
}

// Choose chooses one item alone and brings it into sight.
func (g *ThumbGrid) Choose(id uint64) {
	for i := range g.items {
		if g.items[i].ID == id {
			g.only(i)
			g.show(i)
			g.chosenChanged()
			return
		}
	}
}

// ChooseAll chooses all items.
func (g *ThumbGrid) ChooseAll() {
	g.all()
	g.chosenChanged()
}

func (g *ThumbGrid) chosenChanged() {
	g.Refresh()
	g.OnChosen()
}

// arrange lays the rows out in a width.
func (g *ThumbGrid) arrange(width float32) {
	room := width - Margin - max(Margin, scrollerWidth)
	g.columns = max(int((room+gridGap)/(gridCell+gridGap)), min(2, int(room/60)), 1)
	w := float32(int((room - float32(g.columns-1)*gridGap) / float32(g.columns)))
	g.cell = fyne.NewSize(max(w, 1), max(float32(int(w*3/4)), 1))
	g.rows = g.rows[:0]
	top := float32(0)
	for i, s := range g.sections {
		end := len(g.items)
		if i+1 < len(g.sections) {
			end = g.sections[i+1].First
		}
		g.rows = append(g.rows, gridRow{top: top, height: gridTitle, title: s.Title, first: s.First})
		top += gridTitle
		for first := s.First; first < end; first += g.columns {
			g.rows = append(g.rows, gridRow{
				top: top, height: g.cell.Height + gridGap, first: first, n: min(g.columns, end-first),
			})
			top += g.cell.Height + gridGap
		}
	}
}

// rowAt returns the index of the row at a height, or of the first one below it.
func (g *ThumbGrid) rowAt(y float32) int {
	return sort.Search(len(g.rows), func(i int) bool { return g.rows[i].top+g.rows[i].height > y })
}

// rowOf returns the index of the row of an item.
func (g *ThumbGrid) rowOf(item int) int {
	return sort.Search(len(g.rows), func(i int) bool { return g.rows[i].first+g.rows[i].n > item })
}

// cellAt returns the place of an item.
func (g *ThumbGrid) cellAt(item int) fyne.Position {
	r := g.rows[g.rowOf(item)]
	return fyne.NewPos(Margin+float32(item-r.first)*(g.cell.Width+gridGap), r.top)
}

// itemAt returns the item at a place in the grid, -1 for none.
func (g *ThumbGrid) itemAt(pos fyne.Position) int {
	i := g.rowAt(pos.Y)
	if i >= len(g.rows) || pos.X < Margin {
		return -1
	}
	r := g.rows[i]
	column := int((pos.X - Margin) / (g.cell.Width + gridGap))
	inCell := pos.X-Margin-float32(column)*(g.cell.Width+gridGap) < g.cell.Width && pos.Y-r.top < g.cell.Height
	if column >= r.n || !inCell || pos.Y < r.top {
		return -1
	}
	return r.first + column
}

// show scrolls an item into sight, with the heading over it if it is in the first row.
func (g *ThumbGrid) show(item int) {
	i := g.rowOf(item)
	top, bottom := g.rows[i].top, g.rows[i].top+g.cell.Height+gridGap
	if i > 0 && g.rows[i-1].n == 0 {
		top = g.rows[i-1].top
	}
	switch offset, height := g.Scroll.Offset.Y, g.Scroll.Size().Height; {
	case top < offset:
		g.Scroll.ScrollToOffset(fyne.NewPos(0, top))
	case bottom > offset+height:
		g.Scroll.ScrollToOffset(fyne.NewPos(0, bottom-height))
	}
}

// drawFound draws the thumbnail of a path.
func (g *ThumbGrid) drawFound(path string) {
	for _, c := range g.Cells {
		if c.Visible() && c.item.Path == path {
			c.Refresh()
		}
	}
}

// InSight returns the paths of the items in sight.
func (g *ThumbGrid) InSight() (paths []string) {
	for _, c := range g.Cells {
		if c.Visible() {
			paths = append(paths, c.item.Path)
		}
	}
	return paths
}

func (g *ThumbGrid) CreateRenderer() fyne.WidgetRenderer { return &thumbGridRenderer{g} }

type thumbGridRenderer struct{ grid *ThumbGrid }

func (r *thumbGridRenderer) MinSize() fyne.Size { return r.grid.MinSize() }
func (r *thumbGridRenderer) Destroy()           {}
func (r *thumbGridRenderer) Refresh()           { r.grid.place(); canvas.Refresh(r.grid) }

func (r *thumbGridRenderer) Layout(size fyne.Size) {
	g := r.grid
	columns, cell := g.columns, g.cell
	if g.arrange(size.Width); g.columns != columns || g.cell != cell {
		g.Scroll.Refresh() // the height is another one
	}
	g.place()
}

func (r *thumbGridRenderer) Objects() []fyne.CanvasObject {
	list := make([]fyne.CanvasObject, 0, len(r.grid.Cells)+len(r.grid.titles)+1)
	for _, c := range r.grid.Cells {
		list = append(list, c)
	}
	for _, l := range r.grid.titles {
		list = append(list, l)
	}
	return append(list, r.grid.band)
}

// place gives the items in sight a cell, and the headings a label.
func (g *ThumbGrid) place() {
	top := g.Scroll.Offset.Y
	first, last, titles := len(g.items), 0, 0
	for i := g.rowAt(top); i < len(g.rows) && g.rows[i].top < top+g.Scroll.Size().Height; i++ {
		r := g.rows[i]
		if r.n > 0 {
			first, last = min(first, r.first), r.first+r.n
			continue
		}
		if titles == len(g.titles) {
			g.titles = append(g.titles, NewLabel("", ColorText, SizeText))
			g.titles[titles].Style.Bold = true
		}
		l := g.titles[titles]
		titles++
		l.Set(r.title, ColorText)
		At(l, Margin, r.top+8, g.Size().Width-2*Margin, gridTitle-10)
		Show(l, true)
	}
	for _, l := range g.titles[titles:] {
		Show(l, false)
	}
	n := max(last-first, 0)
	for len(g.Cells) < n {
		g.Cells = append(g.Cells, newThumbCell(g))
	}
	if n > 0 {
		g.want(g.items[first:last])
	}
	// An item keeps its cell while it is in sight, so that scrolling draws only what comes into sight.
	used := make([]bool, len(g.Cells))
	for i := first; i < last; i++ {
		c := g.Cells[i%len(g.Cells)]
		used[i%len(g.Cells)] = true
		pos := g.cellAt(i)
		At(c, pos.X, pos.Y, g.cell.Width, g.cell.Height)
		Show(c, true)
		c.show(g.items[i], cellState{
			chosen: g.chosen[g.items[i].ID], cursor: g.focused && i == g.cursor, hovered: i == g.hovered,
		})
	}
	for i, c := range g.Cells {
		Show(c, used[i])
	}
}
