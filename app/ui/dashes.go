package ui

import (
	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"
)

// Dashes is a dashed outline, which marks an empty place that something can be put into.
type Dashes struct {
	widget.BaseWidget
	Color fyne.ThemeColorName
}

// NewDashes returns an outline in the colour of lines.
func NewDashes() *Dashes {
	d := &Dashes{Color: ColorLine}
	d.ExtendBaseWidget(d)
	return d
}

func (d *Dashes) CreateRenderer() fyne.WidgetRenderer { return &dashesRenderer{dashes: d} }

type dashesRenderer struct {
	dashes *Dashes
	lines  []fyne.CanvasObject
}

func (r *dashesRenderer) MinSize() fyne.Size           { return fyne.Size{} }
func (r *dashesRenderer) Objects() []fyne.CanvasObject { return r.lines }
func (r *dashesRenderer) Destroy()                     {}

// Layout begins and ends each side with a dash, so that the sides meet in the corners.
func (r *dashesRenderer) Layout(size fyne.Size) {
	const length, every float32 = 4, 7
	r.lines = r.lines[:0]
	scale := screenScale(r.dashes)
	dash := func(x, y, width, height float32) {
		line := canvas.NewRectangle(theme.Color(r.dashes.Color))
		line.Move(fyne.NewPos(toPixel(x, scale), toPixel(y, scale)))
		line.Resize(fyne.NewSize(width, height))
		r.lines = append(r.lines, line)
	}
	// apart returns how far the dashes of a side lie apart, and how many follow the first one.
	apart := func(side float32) (distance float32, n int) {
		n = max(int((side-length)/every+0.5), 1)
		return (side - length) / float32(n), n
	}
	distance, n := apart(size.Width)
	for i := range n + 1 {
		x := float32(i) * distance
		dash(x, 0, length, 1)
		dash(x, size.Height-1, length, 1)
	}
	distance, n = apart(size.Height)
	for i := range n + 1 {
		y := float32(i) * distance
		dash(0, y, 1, length)
		dash(size.Width-1, y, 1, length)
	}
}

func (r *dashesRenderer) Refresh() {
	for _, o := range r.lines {
		line := o.(*canvas.Rectangle)
		line.FillColor = theme.Color(r.dashes.Color)
		line.Refresh()
	}
}
