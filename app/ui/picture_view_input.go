package ui

import (
	"math"
	"slices"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/driver/desktop"
)

// Zoom sets the scale and keeps the picture's point at pos where it is.
func (v *PictureView) Zoom(scale float32, pos fyne.Position) {
	if v.full == nil {
		return
	}
	old, fit := v.CurrentScale(), v.fitScale()
	// Zooming out ends at the scale that shows all of the picture, or at 1:1 if that is smaller.
	v.scale = Between(min(fit, 1/screenScale(v)), scale, maxScale)
	if v.fit = v.scale == fit; v.fit {
		v.rescaled()
		return
	}
	k := v.scale / old
	v.offset = fyne.NewPos(pos.X-(pos.X-v.offset.X)*k, pos.Y-(pos.Y-v.offset.Y)*k)
	v.rescaled()
}

// ZoomToFit shows the picture as large as there is room for.
func (v *PictureView) ZoomToFit() {
	v.fit = true
	v.rescaled()
}

// OneToOne shows a pixel of the picture as one pixel of the screen.
func (v *PictureView) OneToOne(pos fyne.Position) { v.Zoom(1/screenScale(v), pos) }

func (v *PictureView) rescaled() {
	v.place()
	v.sharpen()
	v.lead()
	if v.OnChanged != nil {
		v.OnChanged()
	}
}

// Link has views zoom and pan together: what one of them does, the others follow. Their pictures may differ in size.
func Link(views ...*PictureView) {
	for _, v := range views {
		v.peers = slices.DeleteFunc(slices.Clone(views), func(p *PictureView) bool { return p == v })
	}
}

// lead has the linked views follow this one.
func (v *PictureView) lead() {
	for _, p := range v.peers {
		p.Follow(v)
	}
}

// Follow shows the same part of the frame as another view does, at the same scale beside that of the whole frame.
func (v *PictureView) Follow(o *PictureView) {
	if v.size.X == 0 || o.size.X == 0 || v.size.Y == 0 || o.size.Y == 0 {
		return
	}
	v.split = o.split
	v.fit = o.fit
	switch {
	case v.fit:
	case v.size == o.size && v.Size() == o.Size():
		v.scale, v.offset = o.scale, o.offset
	default:
		x, y := o.ToPicture(o.Middle())
		x, y = x/float32(o.size.X)*float32(v.size.X), y/float32(o.size.Y)*float32(v.size.Y)
		v.scale = o.scale / o.fitScale() * v.fitScale()
		v.offset = v.Middle().SubtractXY(x*v.scale, y*v.scale)
	}
	v.place()
	v.sharpen()
	if v.OnChanged != nil {
		v.OnChanged()
	}
}

// Middle is the middle of the view.
func (v *PictureView) Middle() fyne.Position {
	return fyne.NewPos(v.Size().Width/2, v.Size().Height/2)
}

func (v *PictureView) Scrolled(e *fyne.ScrollEvent) {
	// A notch of the wheel is 10 units. It changes the scale by about a tenth, which feels even at every scale.
	v.Zoom(v.CurrentScale()*pow(1.012, e.Scrolled.DY), e.Position)
}

func (v *PictureView) Dragged(e *fyne.DragEvent) {
	if v.full == nil {
		return
	}
	if v.moving == dragNothing {
		v.moving, v.moved, v.from = dragPan, fyne.Delta{}, viewState{v.fit, v.scale, v.offset}
		from := e.Position.X - e.Dragged.DX
		line := v.offset.X + float32(v.size.X)*v.CurrentScale()*v.split
		if v.before != nil && !v.turns && from > line-18 && from < line+18 {
			v.moving = dragDivider
		}
	}
	if v.moving == dragDivider {
		v.setSplit((e.Position.X - v.offset.X) / (float32(v.size.X) * v.CurrentScale()))
		return
	}
	v.moved.DX += e.Dragged.DX
	v.moved.DY += e.Dragged.DY
	v.fit, v.scale, v.offset = v.from.fit, v.from.scale, v.from.offset
	at := fyne.CurrentApp().Driver().AbsolutePositionForObject(v).Add(e.Position)
	if v.carrying = v.OnCarry != nil && v.OnCarry(at); !v.carrying {
		v.scale = v.CurrentScale()
		v.fit = false
		v.offset = v.offset.Add(v.moved)
	}
	v.rescaled()
}

func (v *PictureView) DragEnd() {
	v.moving = dragNothing
	if v.carrying {
		v.carrying = false
		v.OnDrop()
	}
}

func (v *PictureView) setSplit(split float32) {
	v.split = min(max(split, 0), 1)
	v.place()
}

func (v *PictureView) DoubleTapped(e *fyne.PointEvent) {
	TakeFocus(v) // a double click comes without a single one before it
	if v.OnOpen != nil {
		v.OnOpen()
		return
	}
	if v.Pixels() > 0.999 && v.Pixels() < 1.001 && !v.fit {
		v.ZoomToFit()
		return
	}
	v.OneToOne(e.Position)
}

func (v *PictureView) Tapped(*fyne.PointEvent) { TakeFocus(v) }

// MouseDown comes at once, while a click is told only when it can't be a double click any more.
func (v *PictureView) MouseDown(e *desktop.MouseEvent) {
	if e.Button != desktop.MouseButtonPrimary {
		return
	}
	if v.OnPress != nil {
		v.OnPress()
	}
	v.holds(true)
}

func (v *PictureView) MouseUp(*desktop.MouseEvent) { v.holds(false) }

// Disabled keeps the views of a group but one out of the order of Tab.
func (v *PictureView) Disabled() bool { return v.Passed != nil && v.Passed() }
func (v *PictureView) Enable()        {}
func (v *PictureView) Disable()       {}

func (v *PictureView) TappedSecondary(e *fyne.PointEvent) {
	if v.full != nil && v.OnMenu != nil {
		v.OnMenu(e.AbsolutePosition)
	}
}

func (v *PictureView) Cursor() desktop.Cursor {
	if v.full != nil && !v.fit {
		return desktop.PointerCursor
	}
	return desktop.DefaultCursor
}

func (v *PictureView) FocusGained()   { v.focus(true) }
func (v *PictureView) TypedRune(rune) {}

func (v *PictureView) FocusLost() {
	v.focus(false)
	v.holds(false)
}

func (v *PictureView) focus(focused bool) {
	if v.OnFocus != nil {
		v.OnFocus(focused)
		return
	}
	Show(v.ring, focused)
}

func (v *PictureView) KeyDown(e *fyne.KeyEvent) {
	if e.Name == fyne.KeySpace {
		v.holds(true)
	}
}

func (v *PictureView) KeyUp(e *fyne.KeyEvent) {
	if e.Name == fyne.KeySpace {
		v.holds(false)
	}
}

func (v *PictureView) holds(down bool) {
	if v.holding != down {
		v.holding = down
		if v.OnHold != nil {
			v.OnHold(down)
		}
	}
}
func (v *PictureView) TypedKey(e *fyne.KeyEvent) {
	const nudge = 0.02
	switch e.Name {
	case fyne.KeyPlus, fyne.KeyEqual:
		v.Zoom(v.CurrentScale()*1.25, v.Middle())
	case fyne.KeyMinus:
		v.Zoom(v.CurrentScale()/1.25, v.Middle())
	case fyne.Key0:
		v.ZoomToFit()
	case fyne.Key1:
		v.OneToOne(v.Middle())
	case fyne.KeyComma:
		v.setSplit(v.split - nudge)
	case fyne.KeyPeriod:
		v.setSplit(v.split + nudge)
	case fyne.KeyLeft:
		v.OnStep(-1)
	case fyne.KeyRight:
		v.OnStep(1)
	case fyne.KeyUp, fyne.KeyDown, fyne.KeyReturn, fyne.KeyEnter:
		v.typedInGroup(e)
	default:
		Forward(v, e)
	}
}

// typedInGroup takes the keys that only mean something for one of several views.
func (v *PictureView) typedInGroup(e *fyne.KeyEvent) {
	switch {
	case e.Name == fyne.KeyUp && v.OnRow != nil:
		v.OnRow(-1)
	case e.Name == fyne.KeyDown && v.OnRow != nil:
		v.OnRow(1)
	case (e.Name == fyne.KeyReturn || e.Name == fyne.KeyEnter) && v.OnOpen != nil:
		v.OnOpen()
	default:
		Forward(v, e)
	}
}

func pow(x, y float32) float32 { return float32(math.Pow(float64(x), float64(y))) }
