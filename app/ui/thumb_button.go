package ui

import (
	"image"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/driver/desktop"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"
)

// ThumbButton is a small picture. If it leads somewhere, it can be clicked, and is a stop of Tab or one of a group that
// has one.
type ThumbButton struct {
	widget.BaseWidget
	Image    *image.RGBA // nil for none; whoever changes it calls Refresh
	Text     string      // in the place of a picture that is not there
	OnTapped func()      // nil if it leads nowhere
	Passed   func() bool // says whether Tab passes over this one of the group
	OnArrow  func(by int)

	hovered, focused bool
}

// NewThumbButton returns one without a picture.
func NewThumbButton() *ThumbButton {
	b := &ThumbButton{}
	b.ExtendBaseWidget(b)
	return b
}

func (b *ThumbButton) activate() {
	if b.OnTapped != nil {
		b.OnTapped()
	}
}

func (b *ThumbButton) Tapped(*fyne.PointEvent)        { b.activate() }
func (b *ThumbButton) MouseIn(*desktop.MouseEvent)    { b.hovered = true; b.Refresh() }
func (b *ThumbButton) MouseMoved(*desktop.MouseEvent) {}
func (b *ThumbButton) MouseOut()                      { b.hovered = false; b.Refresh() }
func (b *ThumbButton) FocusGained()                   { b.focused = true; b.Refresh() }
func (b *ThumbButton) FocusLost()                     { b.focused = false; b.Refresh() }
func (b *ThumbButton) TypedRune(rune)                 {}

func (b *ThumbButton) TypedKey(e *fyne.KeyEvent) {
	switch {
	case e.Name == fyne.KeyReturn, e.Name == fyne.KeyEnter, e.Name == fyne.KeySpace:
		b.activate()
	case b.OnArrow != nil && (e.Name == fyne.KeyLeft || e.Name == fyne.KeyUp):
		b.OnArrow(-1)
	case b.OnArrow != nil && (e.Name == fyne.KeyRight || e.Name == fyne.KeyDown):
		b.OnArrow(1)
	default:
		Forward(b, e)
	}
}

// Disabled says whether Tab passes over the picture.
func (b *ThumbButton) Disabled() bool { return b.OnTapped == nil || b.Passed != nil && b.Passed() }
func (b *ThumbButton) Enable()        {}
func (b *ThumbButton) Disable()       {}

func (b *ThumbButton) CreateRenderer() fyne.WidgetRenderer {
	r := &thumbButtonRenderer{
		button: b, ground: NewBox(ColorRaised, 4), veil: NewBox(ColorNone, 4), edge: NewBox(ColorNone, 5),
		picture: canvas.NewImageFromImage(nil), text: NewCaption(""),
	}
	r.picture.FillMode, r.picture.ScaleMode = canvas.ImageFillContain, canvas.ImageScaleFastest
	r.text.Align = fyne.TextAlignCenter
	r.edge.StrokeWidth = 2
	r.Refresh()
	return r
}

type thumbButtonRenderer struct {
	button             *ThumbButton
	ground, veil, edge *Box
	picture            *canvas.Image
	text               *Label
}

func (r *thumbButtonRenderer) MinSize() fyne.Size { return fyne.NewSize(24, 24) }
func (r *thumbButtonRenderer) Destroy()           {}

func (r *thumbButtonRenderer) Objects() []fyne.CanvasObject {
	return []fyne.CanvasObject{r.ground, r.text, r.picture, r.veil, r.edge}
}

func (r *thumbButtonRenderer) Layout(size fyne.Size) {
	for _, o := range []fyne.CanvasObject{r.ground, r.text, r.picture, r.veil} {
		o.Resize(size)
	}
	At(r.edge, -2, -2, size.Width+4, size.Height+4)
}

func (r *thumbButtonRenderer) Refresh() {
	b := r.button
	if b.Image != nil && r.picture.Image != image.Image(b.Image) {
		r.picture.Image = b.Image
		r.picture.Refresh()
	}
	Show(r.picture, b.Image != nil)
	r.text.Set(b.Text, ColorDim)
	veil, edge := ColorNone, ColorNone
	if b.hovered && b.OnTapped != nil {
		veil, edge = theme.ColorNameHover, ColorLine
	}
	if b.focused {
		edge = ColorAccent
	}
	r.veil.Set(veil, ColorNone)
	r.edge.Set(ColorNone, edge)
	canvas.Refresh(b)
}
