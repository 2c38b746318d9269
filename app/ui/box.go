package ui

import (
	"image/color"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"
)

// Box is a rectangle in colours of the theme.
type Box struct {
	widget.BaseWidget
	Stroke      fyne.ThemeColorName // of the edge
	StrokeWidth float32             // 1 at first
	fill        fyne.ThemeColorName
	radius      float32
}

// NewBox returns a box without an edge; radius is that of its corners.
func NewBox(fill fyne.ThemeColorName, radius float32) *Box {
	b := &Box{fill: fill, radius: radius, StrokeWidth: 1}
	b.ExtendBaseWidget(b)
	return b
}

// Set changes the colours of the ground and of the edge.
func (b *Box) Set(fill, stroke fyne.ThemeColorName) {
	if b.fill != fill || b.Stroke != stroke {
		b.fill, b.Stroke = fill, stroke
		b.Refresh()
	}
}

func (b *Box) CreateRenderer() fyne.WidgetRenderer {
	r := &boxRenderer{box: b, rect: canvas.NewRectangle(color.Transparent)}
	r.Refresh()
	return r
}

type boxRenderer struct {
	box  *Box
	rect *canvas.Rectangle
}

func (r *boxRenderer) Layout(size fyne.Size)        { r.rect.Resize(size) }
func (r *boxRenderer) MinSize() fyne.Size           { return fyne.Size{} }
func (r *boxRenderer) Objects() []fyne.CanvasObject { return []fyne.CanvasObject{r.rect} }
func (r *boxRenderer) Destroy()                     {}

func (r *boxRenderer) Refresh() {
	r.rect.FillColor = theme.Color(r.box.fill)
	r.rect.StrokeColor = theme.Color(r.box.Stroke)
	r.rect.CornerRadius = r.box.radius
	r.rect.StrokeWidth = 0
	if r.box.Stroke != ColorNone {
		r.rect.StrokeWidth = r.box.StrokeWidth
	}
	r.rect.Refresh()
}
