package ui

import (
	"image"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"
)

// ThumbCell is one picture of a grid. The grid has the pointer and the keyboard.
type ThumbCell struct {
	widget.BaseWidget
	grid  *ThumbGrid
	item  ThumbItem
	state cellState
}

type cellState struct{ chosen, cursor, hovered bool }

func newThumbCell(g *ThumbGrid) *ThumbCell {
	c := &ThumbCell{grid: g}
	c.ExtendBaseWidget(c)
	return c
}

func (c *ThumbCell) show(item ThumbItem, state cellState) {
	if c.item != item || c.state != state {
		c.item, c.state = item, state
		c.Refresh()
	}
}

// Drawn says whether the cell's thumbnail has been read.
func (c *ThumbCell) Drawn() bool { return c.grid.known[c.item.Path] != nil }

// onStar says whether a place in the cell lies on its star, or where one would be.
func onStar(pos fyne.Position, cell fyne.Size) bool {
	return pos.X > cell.Width-starSide-10 && pos.Y < starSide+10
}

func (c *ThumbCell) CreateRenderer() fyne.WidgetRenderer {
	r := &thumbCellRenderer{
		cell: c, ground: NewBox(ColorRaised, 4), chosen: NewBox(ColorNone, Radius), edge: NewBox(ColorNone, Radius),
		veil: NewBox(ColorNone, 4), picture: canvas.NewImageFromImage(nil), star: newStarBadge(),
		gone: NewLabel("file is gone", ColorDim, SizeCaption),
	}
	r.gone.Align = fyne.TextAlignCenter
	r.chosen.StrokeWidth, r.edge.StrokeWidth = 3, 2
	r.picture.FillMode, r.picture.ScaleMode = canvas.ImageFillContain, canvas.ImageScaleFastest
	r.Refresh()
	return r
}

type thumbCellRenderer struct {
	cell         *ThumbCell
	ground, veil *Box
	chosen, edge *Box
	picture      *canvas.Image
	star         *starBadge
	gone         *Label
}

func (r *thumbCellRenderer) MinSize() fyne.Size { return fyne.Size{} }
func (r *thumbCellRenderer) Destroy()           {}

func (r *thumbCellRenderer) Objects() []fyne.CanvasObject {
	return []fyne.CanvasObject{r.ground, r.picture, r.gone, r.veil, r.chosen, r.star.Content, r.edge}
}

func (r *thumbCellRenderer) Layout(size fyne.Size) {
	r.ground.Resize(size)
	r.veil.Resize(size)
	r.picture.Resize(size)
	At(r.gone, 4, 0, size.Width-8, size.Height)
	At(r.star.Content, size.Width-starSide-6, 6, starSide, starSide)
	At(r.chosen, -2, -2, size.Width+4, size.Height+4)
	At(r.edge, -4, -4, size.Width+8, size.Height+8)
}

func (r *thumbCellRenderer) Refresh() {
	c := r.cell
	img := c.grid.get(c.item.Path)
	if img != nil && r.picture.Image != image.Image(img) {
		r.picture.Image = img
		r.picture.Refresh()
	}
	Show(r.picture, img != nil)
	Show(r.gone, c.grid.gone[c.item.Path])
	r.star.set(c.item.Starred, c.state.hovered)
	// What is chosen has another ground and an edge: its own colours stay as they are.
	ground, chosen, veil, edge := ColorRaised, ColorNone, ColorNone, ColorNone
	if c.state.chosen {
		ground, chosen = theme.ColorNameSelection, ColorAccent
	} else if c.state.hovered {
		veil = theme.ColorNameHover
	}
	if c.state.cursor {
		edge = ColorText
	}
	r.ground.Set(ground, ColorNone)
	r.chosen.Set(ColorNone, chosen)
	r.veil.Set(veil, ColorNone)
	r.edge.Set(ColorNone, edge)
	canvas.Refresh(c)
}
