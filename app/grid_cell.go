package app

import (
	"image"

	"fyne.io/fyne/v2"

	"github.com/kleinbild/kleinbild/app/ui"
	"github.com/kleinbild/kleinbild/history"
)

// gridCell is one picture of the grid, with its number, its seed or what it was made of, and its star.
type gridCell struct {
	at    int // its place in the grid
	entry history.Entry
	image *image.RGBA // nil before it was read
	asked bool        // it is being read, or was
	view  *ui.PictureView
	edge  *ui.Box // the frame of the chosen one
	chip  *ui.Chip
	star  *ui.Button
}

// newGridCell returns a cell of a grid.
func newGridCell(m *gridMode) *gridCell {
	c := &gridCell{view: ui.NewPictureView(), edge: ui.NewBox(ui.ColorNone, 8), chip: ui.NewChip("")}
	c.focus(false)
	v := c.view
	v.Background, v.Border = m.Loop.Background, 0
	v.OnPress = func() { m.pick(c.at); m.host.focus(v) }
	v.OnFocus = c.focus
	v.OnStep = func(by int) { m.pickBeside(c.at, by) }
	v.OnRow = func(by int) { m.pickBeside(c.at, by*m.columns) }
	v.OnOpen = func() { m.pick(c.at); m.panel.leaveMode() }
	v.OnMenu = func(pos fyne.Position) { m.pick(c.at); m.panel.showMenuOf(c.view, c.entry, pos) }
	v.Passed = func() bool { return m.chosen != c.at }
	c.star = ui.NewIconButton(ui.StarOutlineIcon, func() { m.star(c.at) })
	c.star.OverPicture = true
	c.star.Passed = v.Passed // F does the same
	return c
}

// focus shows whether the cell has the keyboard.
func (c *gridCell) focus(focused bool) {
	c.edge.StrokeWidth = 2
	if focused {
		c.edge.StrokeWidth = 4
	}
	c.edge.Refresh()
}

// show brings the cell up to date. text says which picture it is. beside is the view of another picture, nil for none:
// a picture that is new gets its zoom.
func (c *gridCell) show(text string, chosen bool, beside *ui.PictureView) {
	c.chip.SetText(text)
	icon := ui.StarOutlineIcon
	if c.entry.Starred {
		icon = ui.StarIcon
	}
	c.star.SetIcon(icon)
	c.star.SetChosen(c.entry.Starred)
	edge := ui.ColorNone
	if chosen {
		edge = ui.ColorAccent
	}
	c.edge.Set(ui.ColorNone, edge)
	size := image.Pt(c.entry.Picture.Width, c.entry.Picture.Height)
	if c.image != nil && c.view.Picture() != c.image {
		if size.X <= 0 || size.Y <= 0 {
			size = c.image.Rect.Size()
		}
		c.view.Set(c.image, size, nil)
		if beside != nil { // it has come while the others were looked at closely
			c.view.Follow(beside)
		}
	}
}

// place lays the cell out; x, y and size are those of its picture.
func (c *gridCell) place(x, y float32, size fyne.Size) {
	const gap = 5 // between the picture and the outer side of its frame
	ui.At(c.edge, x-gap, y-gap, size.Width+2*gap, size.Height+2*gap)
	ui.At(c.view, x, y, size.Width, size.Height)
	const star = 26
	ui.At(c.star, x+size.Width-star-6, y+6, star, star)
	ui.At(c.chip, x+8, y+8, min(c.chip.MinSize().Width, size.Width-star-24), c.chip.MinSize().Height)
}

func (c *gridCell) objects() []fyne.CanvasObject {
	return []fyne.CanvasObject{c.edge, c.view, c.chip, c.star}
}
