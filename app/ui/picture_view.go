package ui

import (
	"image"
	"image/color"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/widget"
)

// PictureView shows one picture: the wheel zooms at the pointer, dragging pans, a double click goes to 1:1 and back.
// With a second picture it compares the two: on either side of a divider, or one after the other. Views that are linked
// zoom and pan together.
type PictureView struct {
	widget.BaseWidget
	// Background runs work away from Fyne's goroutine, and then what the work returns on it.
	Background func(work func() (done func()))
	OnChanged  func()              // scale or place changed
	OnPlaced   func()              // the same, and also while the view is resized or gets another picture
	OnMenu     func(fyne.Position) // the picture was clicked on for its menu, at a place in the window
	OnStep     func(by int)        // the user asks for the picture after (+1) or before (-1) this one
	// OnCarry says whether a drag at a place in the window takes the picture along, out of the view, instead of panning
	// it. OnDrop ends such a drag.
	OnCarry func(fyne.Position) bool
	OnDrop  func()
	OnHold  func(down bool) // the space bar or the pointer is pressed on the picture, or let go; nil for nothing
	// One of a group of views is chosen: OnPress says that the pointer was pressed on this one, OnRow that the user asks
	// for one by rows further down, OnOpen that this one is meant, by Enter or a double click. Passed says whether Tab
	// passes over it, as the group has one stop. All of them are nil for a view on its own.
	OnPress func()
	OnRow   func(by int)
	OnOpen  func()
	OnFocus func(focused bool) // shows who has the keyboard, instead of a ring in the view
	Passed  func() bool
	Border  float32 // around a picture that is fitted

	// size is that of the frame that all places are in: the picture's, in pixels. What is drawn may have fewer, as a
	// preview has or a copy shrunk to the screen's.
	size              image.Point
	full              *image.RGBA
	before            *image.RGBA // nil if nothing is compared
	fullAt, beforeAt  Area        // in the frame
	turns, showBefore bool        // the two are shown one after the other; the one on show is before
	peers             []*PictureView
	room              image.Rectangle // what is shown when the picture is fitted, in its pixels; empty for the picture

	fit    bool
	scale  float32 // points for a pixel of the picture, unless it is fitted
	offset fyne.Position
	split  float32 // the divider, 0 … 1 of the picture's width

	after, left *layer
	clip        *container.Clip
	leftHolder  *fyne.Container
	bands       *Box // beside a reference of another shape
	ring        *Box // the focus
	divider     *canvas.Rectangle
	handle      *canvas.Circle
	grip        *canvas.Text

	moving   int // what a drag does
	carrying bool
	holding  bool       // the space bar is down
	from     viewState  // before the drag
	moved    fyne.Delta // since then
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

// NewPictureView returns an empty view; its owner sets what it does.
func NewPictureView() *PictureView {
	v := &PictureView{fit: true, split: 0.5, Border: 24}
	v.divider, v.grip = canvas.NewRectangle(color.White), canvas.NewText("‹ ›", gripInk)
	v.after, v.left = newLayer(), newLayer()
	v.bands, v.ring = NewBox(ColorCanvas, 0), NewBox(ColorNone, 0)
	v.ring.Stroke, v.ring.StrokeWidth = ColorAccent, 2
	v.ring.Hide()
	v.leftHolder = container.NewWithoutLayout(v.bands, v.left.Container)
	v.clip = container.NewClip(v.leftHolder)
	v.handle = canvas.NewCircle(color.White)
	v.grip.Alignment, v.grip.TextSize = fyne.TextAlignCenter, 12
	v.ExtendBaseWidget(v)
	return v
}

// Set shows img, drawn as large as a picture of the given size in pixels. If before is not nil, it is compared with
// img. A picture of the same size keeps zoom and place if the last one was looked at closer; otherwise it is fitted or
// centred.
func (v *PictureView) Set(img *image.RGBA, size image.Point, before *image.RGBA) {
	v.SetFramed(size, Framed{img, Area{Width: float32(size.X), Height: float32(size.Y)}}, Framed{Image: before})
}

// Framed is a picture in a frame, at its place there in the frame's pixels. Without a place it is as large as there is
// room for.
type Framed struct {
	Image *image.RGBA
	At    Area
}

// SetFramed is Set for pictures that take a part of a frame of the given size in pixels each, such as a picture and
// what it was before it was made larger.
func (v *PictureView) SetFramed(size image.Point, after, before Framed) {
	if size != v.size || v.scale == v.fitScale() {
		v.fit = true
	} else if !v.fit && !v.zoomedIn() {
		w, h := float32(size.X)*v.scale, float32(size.Y)*v.scale
		v.offset = fyne.NewPos((v.Size().Width-w)/2, (v.Size().Height-h)/2)
	}
	v.full, v.size, v.before = after.Image, size, before.Image
	v.fullAt, v.beforeAt = after.placeIn(size), before.placeIn(size)
	v.after.background, v.left.background = v.Background, v.Background
	v.after.set(v.full)
	v.left.set(v.before)
	v.place()
	v.sharpen()
}

// SetRoom has the view show a rectangle in pixels of the picture, which may be larger than the picture, where it is
// fitted. The empty rectangle stands for the picture.
func (v *PictureView) SetRoom(room image.Rectangle) {
	if v.room != room {
		v.room = room
		v.rescaled()
	}
}

// placeIn returns the place of the picture in a frame of the given size.
func (f Framed) placeIn(frame image.Point) Area {
	if f.Image == nil || f.At != (Area{}) {
		return f.At
	}
	w, h := float32(f.Image.Rect.Dx()), float32(f.Image.Rect.Dy())
	s := min(float32(frame.X)/w, float32(frame.Y)/h)
	return Area{(float32(frame.X) - w*s) / 2, (float32(frame.Y) - h*s) / 2, w * s, h * s}
}

// TakeTurns says whether two pictures are shown one after the other instead of on both sides of a divider.
func (v *PictureView) TakeTurns(turns bool) {
	if v.turns != turns {
		v.turns, v.showBefore = turns, false
		v.place()
	}
}

// ShowBefore shows the picture before, of two that take turns, or the other one.
func (v *PictureView) ShowBefore(before bool) {
	if v.showBefore != before {
		v.showBefore = before
		v.place()
	}
}

// ShowsBefore says whether of two pictures that take turns the one before is on show.
func (v *PictureView) ShowsBefore() bool { return v.turns && v.showBefore }

// Picture returns what is on show, nil for nothing.
func (v *PictureView) Picture() *image.RGBA { return v.full }

// Comparing says whether a second picture is compared with the one on show.
func (v *PictureView) Comparing() bool { return v.before != nil }

// Fitted says whether the picture is shown as large as there is room for.
func (v *PictureView) Fitted() bool { return v.fit }

// Attended says whether the user looks closer at the picture, compares it, or drags it.
func (v *PictureView) Attended() bool {
	return v.zoomedIn() || v.Comparing() || v.moving != dragNothing
}

// Placed returns where the picture's frame lies in the view, and how large it is drawn.
func (v *PictureView) Placed() (fyne.Position, fyne.Size) {
	s, screen := v.CurrentScale(), screenScale(v)
	return fyne.NewPos(toPixel(v.offset.X, screen), toPixel(v.offset.Y, screen)),
		fyne.NewSize(float32(v.size.X)*s, float32(v.size.Y)*s)
}

// ToPicture returns the place in the picture, in its pixels, that lies at a place in the view. It may lie outside of
// the picture. ToView is the way back.
func (v *PictureView) ToPicture(pos fyne.Position) (x, y float32) {
	s := v.CurrentScale()
	return (pos.X - v.offset.X) / s, (pos.Y - v.offset.Y) / s
}

// ToView returns the place in the view of a place in the picture, in its pixels.
func (v *PictureView) ToView(x, y float32) fyne.Position {
	s := v.CurrentScale()
	return fyne.NewPos(v.offset.X+x*s, v.offset.Y+y*s)
}

// Pixels returns how many pixels of the screen a pixel of the picture takes.
func (v *PictureView) Pixels() float32 { return v.CurrentScale() * screenScale(v) }

// CurrentScale returns how many units of the window a pixel of the picture takes.
func (v *PictureView) CurrentScale() float32 {
	if !v.fit || v.size.X == 0 {
		return v.scale
	}
	return v.fitScale()
}

// fitScale returns the scale at which the whole picture shows.
func (v *PictureView) fitScale() float32 {
	if v.size.X == 0 {
		return 1
	}
	size, room := v.Size(), v.fitted()
	s := min((size.Width-2*v.Border)/float32(room.Dx()), (size.Height-2*v.Border)/float32(room.Dy()))
	return max(s, minScale)
}

// fitted returns what is to be seen when the picture is fitted, in its pixels.
func (v *PictureView) fitted() image.Rectangle {
	if v.room.Empty() {
		return image.Rectangle{Max: v.size}
	}
	return v.room
}

// zoomedIn says whether less than the whole picture is meant to be seen.
func (v *PictureView) zoomedIn() bool { return !v.fit && v.scale > v.fitScale()*1.001 }

// place puts the picture where scale and offset say.
func (v *PictureView) place() {
	if v.full == nil {
		for _, o := range []fyne.CanvasObject{v.after, v.clip, v.divider, v.handle, v.grip} {
			o.Hide()
		}
		canvas.Refresh(v)
		return
	}
	s := v.CurrentScale()
	w, h := float32(v.size.X)*s, float32(v.size.Y)*s
	if v.fit {
		room := v.fitted() // its middle is the view's
		x, y := float32(room.Min.X+room.Max.X)*s/2, float32(room.Min.Y+room.Max.Y)*s/2
		v.offset = fyne.NewPos(float32(int(v.Size().Width/2-x)), float32(int(v.Size().Height/2-y)))
	} else {
		v.offset.X = hold(v.offset.X, w, v.Size().Width)
		v.offset.Y = hold(v.offset.Y, h, v.Size().Height)
	}
	pixels := !v.fit && v.Pixels() >= 3 // at this scale the user looks at single pixels
	at := v.fullAt
	v.after.place(v.offset.X+at.X*s, v.offset.Y+at.Y*s, at.Width*s, at.Height*s, pixels)
	v.after.Show()
	comparing := v.before != nil
	Show(v.clip, comparing && (!v.turns || v.showBefore))
	for _, o := range []fyne.CanvasObject{v.divider, v.handle, v.grip} {
		Show(o, comparing && !v.turns)
	}
	if comparing {
		x := v.offset.X + w*v.split
		if v.turns {
			x = v.offset.X + w
		}
		At(v.clip, v.offset.X, v.offset.Y, x-v.offset.X, h)
		at := v.beforeAt
		v.left.place(at.X*s, at.Y*s, at.Width*s, at.Height*s, pixels)
		At(v.bands, 0, 0, w, h)
		top, bottom := max(v.offset.Y, 0), min(v.offset.Y+h, v.Size().Height)
		At(v.divider, x-1, top, 2, bottom-top)
		middle := (top + bottom) / 2
		At(v.handle, x-14, middle-14, 28, 28)
		At(v.grip, x-14, middle-15, 28, 28)
	}
	canvas.Refresh(v)
	if v.OnPlaced != nil {
		v.OnPlaced()
	}
}

// hold returns the offset that keeps a picture of the given length in sight: at least half of it if it is smaller than
// the room, or else so much that it fills half of the room.
func hold(offset, length, room float32) float32 {
	if length <= room {
		return Between(-length/2, offset, room-length/2)
	}
	return Between(room/2-length, offset, room/2)
}

// Area is a place with a size, in the pixels of a frame.
type Area struct{ X, Y, Width, Height float32 }

// sharpen has what is drawn replaced by copies shrunk to the screen's pixels: graphics cards skip pixels when they
// shrink.
func (v *PictureView) sharpen() {
	v.sharpenLayer(v.after, v.fullAt)
	v.sharpenLayer(v.left, v.beforeAt)
}

// sharpenLayer does that for one picture, which takes an area of the frame.
func (v *PictureView) sharpenLayer(l *layer, at Area) {
	if l.full == nil || at.Width <= 0 || at.Height <= 0 {
		return
	}
	scale := screenScale(v)
	room := int(v.Size().Width * v.Size().Height * scale * scale)
	natural := l.full.Rect.Size()
	kx, ky := float32(natural.X)/at.Width, float32(natural.Y)/at.Height // its pixels for one of the frame's
	pixels := v.Pixels()
	size := image.Pt(int(at.Width*pixels+0.5), int(at.Height*pixels+0.5))
	left, top := v.ToPicture(fyne.Position{})
	right, bottom := v.ToPicture(fyne.NewPos(v.Size().Width, v.Size().Height))
	seen := image.Rect(int((left-at.X)*kx), int((top-at.Y)*ky), int((right-at.X)*kx)+1, int((bottom-at.Y)*ky)+1)
	l.sharpen(size, seen, room)
}

func (v *PictureView) Resize(size fyne.Size) {
	if size == v.Size() {
		return
	}
	v.BaseWidget.Resize(size)
	v.place()
	v.sharpen()
	if v.OnChanged != nil {
		v.OnChanged()
	}
}

func (v *PictureView) MinSize() fyne.Size { return fyne.NewSize(64, 64) }

func (v *PictureView) CreateRenderer() fyne.WidgetRenderer {
	// The ring lies outside of the clip, which would cut it.
	shown := container.NewClip(container.NewWithoutLayout(v.after.Container, v.clip, v.divider, v.handle, v.grip))
	return widget.NewSimpleRenderer(Arranged(NoSize, func(size fyne.Size) {
		shown.Resize(size)
		v.ring.Resize(size)
	}, shown, v.ring))
}
