package app

import (
	"image"
	"image/color"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/driver/desktop"
	"fyne.io/fyne/v2/widget"
	"golang.org/x/image/draw"
)

// pictureView shows one picture: the wheel zooms at the pointer, dragging pans, a double click goes to 1:1 and back.
// With a second picture it compares the two on either side of a divider.
type pictureView struct {
	widget.BaseWidget
	size   image.Point // of the picture, in pixels; what is drawn may have fewer pixels (a preview) or be shrunk to the screen's
	full   *image.RGBA
	before *image.RGBA // nil without comparison

	fit    bool
	scale  float32 // points for a picture's pixel, where it does not fit
	offset fyne.Position
	split  float32 // the divider, 0 … 1 of the picture's width

	after, left *canvas.Image
	clip        *container.Clip
	leftHolder  *fyne.Container
	bands       *box // beside a reference of another shape
	ring        *box // the focus
	divider     *canvas.Rectangle
	handle      *canvas.Circle
	grip        *canvas.Text

	moving     int // what a drag does
	carrying   bool
	from       viewState  // before the drag
	moved      fyne.Delta // since then
	asked      int        // counts what was asked of sharpen, to know the last
	sharpening bool       // a copy is being made

	background func(func() func())
	changed    func() // the scale changed
	menu       func(fyne.Position)
	step       func(int) // to the next older or newer picture
	// carry says whether a drag at a place in the window takes the picture along, out of the view, instead of panning it;
	// drop ends that.
	carry func(fyne.Position) bool
	drop  func()
}

// viewState is where a view is.
type viewState struct {
	fit    bool
	scale  float32
	offset fyne.Position
}

// gripInk is dark in every theme: the divider is white over any picture.
var gripInk = color.NRGBA{0x23, 0x23, 0x23, 0xff}

// What a drag does.
const (
	dragNothing = iota
	dragPan
	dragDivider
)

// The least and greatest scale of all pictures, in points for a pixel.
const minScale, maxScale = 1.0 / 256, 16

func newPictureView() *pictureView {
	v := &pictureView{fit: true, split: 0.5, divider: canvas.NewRectangle(color.White), grip: canvas.NewText("‹ ›", gripInk)}
	v.after, v.left = canvas.NewImageFromImage(nil), canvas.NewImageFromImage(nil)
	for _, img := range []*canvas.Image{v.after, v.left} {
		img.ScaleMode = canvas.ImageScaleFastest
		img.FillMode = canvas.ImageFillStretch
	}
	v.bands, v.ring = newBox(colorCanvas, 0), newBox(colorNone, 0)
	v.ring.stroke, v.ring.strokeWidth = colorAccent, 2
	v.ring.Hide()
	v.leftHolder = container.NewWithoutLayout(v.bands, v.left)
	v.clip = container.NewClip(v.leftHolder)
	v.handle = canvas.NewCircle(color.White)
	v.grip.Alignment, v.grip.TextSize = fyne.TextAlignCenter, 12
	v.ExtendBaseWidget(v)
	return v
}

// set shows img, drawn as large as a picture of the given size; before is compared with it where it is not nil.
// A picture of the same size keeps zoom and place where it was looked at closer; else it is fitted, or centred.
func (v *pictureView) set(img *image.RGBA, size image.Point, before *image.RGBA) {
	if size != v.size || v.scale == v.fitScale() {
		v.fit = true
	} else if !v.fit && !v.zoomedIn() {
		w, h := float32(size.X)*v.scale, float32(size.Y)*v.scale
		v.offset = fyne.NewPos((v.Size().Width-w)/2, (v.Size().Height-h)/2)
	}
	v.full, v.size, v.before = rgba(img), size, rgba(before)
	v.asked++ // a copy on its way is of the picture before
	if v.full == nil {
		v.after.Image, v.left.Image = nil, nil
	} else {
		v.after.Image = v.full
		v.after.Refresh()
	}
	if v.before != nil {
		v.left.Image = v.before
		v.left.Refresh()
	}
	v.place()
	v.sharpen()
}

// pixels is how many of the screen's pixels one of the picture's takes.
func (v *pictureView) pixels() float32 { return v.currentScale() * screenScale(v) }

func (v *pictureView) currentScale() float32 {
	if !v.fit || v.size.X == 0 {
		return v.scale
	}
	return v.fitScale()
}

// fitScale is the scale at which the whole picture shows.
func (v *pictureView) fitScale() float32 {
	if v.size.X == 0 {
		return 1
	}
	const border = 24
	size := v.Size()
	s := min((size.Width-2*border)/float32(v.size.X), (size.Height-2*border)/float32(v.size.Y))
	return max(s, minScale)
}

// zoomedIn says whether less than the whole picture is meant to be seen.
func (v *pictureView) zoomedIn() bool { return !v.fit && v.scale > v.fitScale()*1.001 }

// place puts the picture where scale and offset say.
func (v *pictureView) place() {
	if v.full == nil {
		for _, o := range []fyne.CanvasObject{v.after, v.clip, v.divider, v.handle, v.grip} {
			o.Hide()
		}
		canvas.Refresh(v)
		return
	}
	s := v.currentScale()
	w, h := float32(v.size.X)*s, float32(v.size.Y)*s
	if v.fit {
		v.offset = fyne.NewPos(float32(int((v.Size().Width-w)/2)), float32(int((v.Size().Height-h)/2)))
	} else {
		v.offset.X = hold(v.offset.X, w, v.Size().Width)
		v.offset.Y = hold(v.offset.Y, h, v.Size().Height)
	}
	mode := canvas.ImageScaleFastest
	if !v.fit && v.pixels() >= 3 {
		mode = canvas.ImageScalePixels // so near, the pixels themselves are looked at
	}
	v.after.ScaleMode, v.left.ScaleMode = mode, mode
	at(v.after, v.offset.X, v.offset.Y, w, h)
	v.after.Show()
	comparing := v.before != nil
	for _, o := range []fyne.CanvasObject{v.clip, v.divider, v.handle, v.grip} {
		show(o, comparing)
	}
	if comparing {
		x := v.offset.X + w*v.split
		at(v.clip, v.offset.X, v.offset.Y, x-v.offset.X, h)
		bx, by, bw, bh := contain(v.before.Rect, w, h)
		at(v.left, bx, by, bw, bh)
		at(v.bands, 0, 0, w, h)
		top, bottom := max(v.offset.Y, 0), min(v.offset.Y+h, v.Size().Height)
		at(v.divider, x-1, top, 2, bottom-top)
		middle := (top + bottom) / 2
		at(v.handle, x-14, middle-14, 28, 28)
		at(v.grip, x-14, middle-15, 28, 28)
	}
	canvas.Refresh(v)
}

// hold keeps a picture of the given length in sight: half of it where it is smaller than the room, else so much that half
// of the room is filled.
func hold(offset, length, room float32) float32 {
	if length <= room {
		return between(-length/2, offset, room-length/2)
	}
	return between(room/2-length, offset, room/2)
}

// contain is where all of a picture shows in w × h, in its own proportions.
func contain(r image.Rectangle, w, h float32) (x, y, width, height float32) {
	s := min(w/float32(r.Dx()), h/float32(r.Dy()))
	width, height = float32(r.Dx())*s, float32(r.Dy())*s
	return (w - width) / 2, (h - height) / 2, width, height
}

// sharpen replaces what is drawn by a copy shrunk to the screen's pixels: graphics cards skip pixels when they shrink.
// One copy is made at a time: of all the scales that a turn of the wheel passes, the last one counts.
func (v *pictureView) sharpen() {
	if v.full == nil || v.background == nil {
		return
	}
	v.asked++
	if v.sharpening {
		return
	}
	asked, full := v.asked, v.full
	width := int(float32(v.size.X)*v.pixels() + 0.5)
	height := int(float32(v.size.Y)*v.pixels() + 0.5)
	if width >= full.Rect.Dx() || width < 1 || height < 1 {
		if v.after.Image != full {
			v.after.Image = full
			v.after.Refresh()
		}
		return
	}
	v.sharpening = true
	v.background(func() func() {
		small := image.NewRGBA(image.Rect(0, 0, width, height))
		draw.CatmullRom.Scale(small, small.Rect, full, full.Rect, draw.Src, nil)
		return func() {
			v.sharpening = false
			if v.asked != asked {
				v.sharpen()
				return
			}
			v.after.Image = small
			v.after.Refresh()
		}
	})
}

// zoom sets the scale and keeps the picture's point at pos where it is.
func (v *pictureView) zoom(scale float32, pos fyne.Position) {
	if v.full == nil {
		return
	}
	old, fit := v.currentScale(), v.fitScale()
	// Zooming out ends where all of the picture shows, or at 1:1 where that is smaller.
	v.scale = between(min(fit, 1/screenScale(v)), scale, maxScale)
	if v.fit = v.scale == fit; v.fit {
		v.rescaled()
		return
	}
	k := v.scale / old
	v.offset = fyne.NewPos(pos.X-(pos.X-v.offset.X)*k, pos.Y-(pos.Y-v.offset.Y)*k)
	v.rescaled()
}

func (v *pictureView) zoomToFit() {
	v.fit = true
	v.rescaled()
}

// oneToOne shows a pixel of the picture as one of the screen.
func (v *pictureView) oneToOne(pos fyne.Position) { v.zoom(1/screenScale(v), pos) }

func (v *pictureView) rescaled() {
	v.place()
	v.sharpen()
	if v.changed != nil {
		v.changed()
	}
}

func (v *pictureView) middle() fyne.Position {
	return fyne.NewPos(v.Size().Width/2, v.Size().Height/2)
}

func (v *pictureView) Resize(size fyne.Size) {
	if size == v.Size() {
		return
	}
	v.BaseWidget.Resize(size)
	v.ring.Resize(size)
	v.place()
	v.sharpen()
	if v.changed != nil {
		v.changed()
	}
}

func (v *pictureView) Scrolled(e *fyne.ScrollEvent) {
	// A notch is 10 units here; a tenth of the scale each feels even at every scale.
	v.zoom(v.currentScale()*pow(1.012, e.Scrolled.DY), e.Position)
}

func (v *pictureView) Dragged(e *fyne.DragEvent) {
	if v.full == nil {
		return
	}
	if v.moving == dragNothing {
		v.moving, v.moved, v.from = dragPan, fyne.Delta{}, viewState{v.fit, v.scale, v.offset}
		from := e.Position.X - e.Dragged.DX
		line := v.offset.X + float32(v.size.X)*v.currentScale()*v.split
		if v.before != nil && from > line-18 && from < line+18 {
			v.moving = dragDivider
		}
	}
	if v.moving == dragDivider {
		v.setSplit((e.Position.X - v.offset.X) / (float32(v.size.X) * v.currentScale()))
		return
	}
	v.moved.DX += e.Dragged.DX
	v.moved.DY += e.Dragged.DY
	v.fit, v.scale, v.offset = v.from.fit, v.from.scale, v.from.offset
	at := fyne.CurrentApp().Driver().AbsolutePositionForObject(v).Add(e.Position)
	if v.carrying = v.carry != nil && v.carry(at); !v.carrying {
		v.scale = v.currentScale()
		v.fit = false
		v.offset = v.offset.Add(v.moved)
	}
	v.place()
	if v.changed != nil {
		v.changed()
	}
}

func (v *pictureView) DragEnd() {
	v.moving = dragNothing
	if v.carrying {
		v.carrying = false
		v.drop()
	}
}

func (v *pictureView) setSplit(split float32) {
	v.split = min(max(split, 0), 1)
	v.place()
}

func (v *pictureView) DoubleTapped(e *fyne.PointEvent) {
	takeFocus(v) // no single click is told of before
	if v.pixels() > 0.999 && v.pixels() < 1.001 && !v.fit {
		v.zoomToFit()
		return
	}
	v.oneToOne(e.Position)
}

func (v *pictureView) Tapped(*fyne.PointEvent) { takeFocus(v) }

func (v *pictureView) TappedSecondary(e *fyne.PointEvent) {
	if v.full != nil && v.menu != nil {
		v.menu(e.AbsolutePosition)
	}
}

func (v *pictureView) Cursor() desktop.Cursor {
	if v.full != nil && !v.fit {
		return desktop.PointerCursor
	}
	return desktop.DefaultCursor
}

func (v *pictureView) FocusGained()   { v.ring.Show() }
func (v *pictureView) FocusLost()     { v.ring.Hide() }
func (v *pictureView) TypedRune(rune) {}
func (v *pictureView) TypedKey(e *fyne.KeyEvent) {
	const nudge = 0.02
	switch e.Name {
	case fyne.KeyPlus, fyne.KeyEqual:
		v.zoom(v.currentScale()*1.25, v.middle())
	case fyne.KeyMinus:
		v.zoom(v.currentScale()/1.25, v.middle())
	case fyne.Key0:
		v.zoomToFit()
	case fyne.Key1:
		v.oneToOne(v.middle())
	case fyne.KeyComma:
		v.setSplit(v.split - nudge)
	case fyne.KeyPeriod:
		v.setSplit(v.split + nudge)
	case fyne.KeyLeft:
		v.step(-1)
	case fyne.KeyRight:
		v.step(1)
	default:
		forward(v, e)
	}
}

func (v *pictureView) MinSize() fyne.Size { return fyne.NewSize(64, 64) }

func (v *pictureView) CreateRenderer() fyne.WidgetRenderer {
	return widget.NewSimpleRenderer(container.NewClip(container.NewWithoutLayout(v.after, v.clip, v.divider, v.handle, v.grip, v.ring)))
}

// rgba returns img if it is what Fyne draws fast: at the origin.
func rgba(img *image.RGBA) *image.RGBA {
	if img == nil || img.Rect.Min == (image.Point{}) {
		return img
	}
	dst := image.NewRGBA(image.Rect(0, 0, img.Rect.Dx(), img.Rect.Dy()))
	for y := range dst.Rect.Dy() {
		copy(dst.Pix[y*dst.Stride:], img.Pix[img.PixOffset(img.Rect.Min.X, img.Rect.Min.Y+y):][:4*dst.Rect.Dx()])
	}
	return dst
}
