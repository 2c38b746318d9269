package ui

import (
	"image"
	"math"
	"testing"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/test"
)

// newView is a view of 900 × 600 in a window, with a picture of 1200 × 400 pixels.
func newView(t *testing.T) *PictureView {
	a := test.NewTempApp(t)
	a.Settings().SetTheme(NewTheme(ThemeDark))
	v := NewPictureView()
	w := a.NewWindow("")
	w.SetPadded(false)
	w.SetContent(v)
	w.Resize(fyne.NewSize(900, 600))
	v.Set(blank(1200, 400), image.Pt(1200, 400), nil)
	return v
}

func blank(w, h int) *image.RGBA { return image.NewRGBA(image.Rect(0, 0, w, h)) }

// pixelAt is the picture's point at a place in the view.
func (v *PictureView) pixelAt(pos fyne.Position) (x, y float64) {
	s := v.CurrentScale()
	return float64((pos.X - v.offset.X) / s), float64((pos.Y - v.offset.Y) / s)
}

func scrolled(pos fyne.Position, dy float32) *fyne.ScrollEvent {
	return &fyne.ScrollEvent{PointEvent: fyne.PointEvent{Position: pos}, Scrolled: fyne.Delta{DY: dy}}
}

func TestZoomAtThePointer(t *testing.T) {
	v := newView(t)
	got := v.after.Size()
	if math.Abs(float64(got.Width-(v.Size().Width-48))) > 1 || math.Abs(float64(got.Width/got.Height-3)) > 0.01 {
		t.Errorf("fits as %v", got)
	}
	pos := fyne.NewPos(400, 210)
	x, y := v.pixelAt(pos)
	for range 12 {
		v.Scrolled(scrolled(pos, 10))
	}
	if x2, y2 := v.pixelAt(pos); math.Abs(x-x2) > 0.5 || math.Abs(y-y2) > 0.5 || v.fit {
		t.Errorf("the point under the pointer went from %.1f,%.1f to %.1f,%.1f", x, y, x2, y2)
	}
	for range 500 {
		v.Scrolled(scrolled(pos, 10))
	}
	if v.scale > maxScale {
		t.Errorf("scale %v", v.scale)
	}
	for range 2000 {
		v.Scrolled(scrolled(pos, -10))
	}
	if !v.fit {
		t.Errorf("zooming out ends at %v, want the whole picture at %v", v.scale, v.fitScale())
	}
	v.DoubleTapped(&fyne.PointEvent{Position: pos})
	if v.Pixels() != 1 {
		t.Errorf("1:1 is %v", v.Pixels())
	}
	v.DoubleTapped(&fyne.PointEvent{Position: pos})
	if !v.fit {
		t.Error("a second double click does not fit the picture")
	}
	v.TypedKey(&fyne.KeyEvent{Name: fyne.KeyPlus})
	v.TypedKey(&fyne.KeyEvent{Name: fyne.KeyMinus})
	v.TypedKey(&fyne.KeyEvent{Name: fyne.Key0})
	if !v.fit {
		t.Error("0 does not fit the picture")
	}
}

// TestKeysAfterADoubleClick: a double click gives the view the focus, which a ring shows.
func TestKeysAfterADoubleClick(t *testing.T) {
	v := newView(t)
	if v.ring.Visible() {
		t.Error("a ring without the focus")
	}
	v.DoubleTapped(&fyne.PointEvent{Position: v.Middle()})
	c := fyne.CurrentApp().Driver().CanvasForObject(v)
	if c.Focused() != fyne.Focusable(v) || !v.ring.Visible() {
		t.Fatalf("the focus is on %T, ring %v", c.Focused(), v.ring.Visible())
	}
	c.Focused().TypedKey(&fyne.KeyEvent{Name: fyne.Key0})
	if !v.fit {
		t.Error("0 does not fit the picture")
	}
	c.Unfocus()
	if v.ring.Visible() {
		t.Error("the ring stays")
	}
}

func TestPan(t *testing.T) {
	v := newView(t)
	v.OneToOne(v.Middle())
	was := v.offset
	v.Dragged(dragged(fyne.NewPos(100, 100), 30, -20))
	v.DragEnd()
	if v.offset != was.AddXY(30, -20) {
		t.Errorf("%v, want %v", v.offset, was.AddXY(30, -20))
	}
	for range 100 {
		v.Dragged(dragged(fyne.NewPos(100, 100), 500, 500))
	}
	v.DragEnd()
	if v.offset.X > v.Size().Width/2 || v.offset.Y+v.after.Size().Height/2 > v.Size().Height {
		t.Errorf("the picture was dragged out of sight: %v", v.offset)
	}
	// Another picture of the same size keeps the place, one of another size is fitted.
	was = v.offset
	v.Set(blank(1200, 400), image.Pt(1200, 400), nil)
	if v.offset != was || v.fit {
		t.Error("the place was lost")
	}
	v.Set(blank(400, 400), image.Pt(400, 400), nil)
	if !v.fit {
		t.Error("another size is not fitted")
	}
}

// TestPlaceOfTheNext: the next picture is centred if the last one was only moved; it keeps zoom and place if the user
// looked closer.
func TestPlaceOfTheNext(t *testing.T) {
	v := newView(t)
	next := func() { v.Set(blank(v.size.X, v.size.Y), v.size, nil) }
	v.Dragged(dragged(v.Middle(), -40, 60))
	v.DragEnd()
	if v.fit {
		t.Fatal("the drag did nothing")
	}
	if next(); !v.fit {
		t.Errorf("the next picture is at %v", v.offset)
	}
	// A picture that is smaller than the window ends at 1:1, and lies in the middle.
	v.Set(blank(64, 64), image.Pt(64, 64), nil)
	for range 500 {
		v.Scrolled(scrolled(fyne.NewPos(30, 30), -10))
	}
	if v.Pixels() != 1 {
		t.Errorf("zooming out ends at %v of the screen's pixels", v.Pixels())
	}
	for range 100 {
		v.Dragged(dragged(v.Middle(), -500, -500))
	}
	v.DragEnd()
	if v.offset.X < -32 || v.offset.Y < -32 {
		t.Errorf("pushed out of sight, to %v", v.offset)
	}
	if next(); v.Pixels() != 1 || math.Abs(float64(v.offset.X+32-v.Size().Width/2)) > 1 {
		t.Errorf("the next small picture is at %v, %v", v.offset, v.Pixels())
	}
}

func dragged(pos fyne.Position, dx, dy float32) *fyne.DragEvent {
	return &fyne.DragEvent{PointEvent: fyne.PointEvent{Position: pos.AddXY(dx, dy)}, Dragged: fyne.Delta{DX: dx, DY: dy}}
}

func TestCompare(t *testing.T) {
	v := newView(t)
	if v.clip.Visible() {
		t.Error("compares though nobody asked")
	}
	v.Set(blank(1200, 400), image.Pt(1200, 400), blank(500, 500))
	if !v.clip.Visible() || v.clip.Size().Width != v.after.Size().Width/2 {
		t.Errorf("clip %v of %v", v.clip.Size(), v.after.Size())
	}
	// All of the reference is there, in its own proportions; beside it the picture does not show through.
	s := v.left.Size()
	if math.Abs(float64(s.Width/s.Height-1)) > 0.01 || math.Abs(float64(s.Height-v.after.Size().Height)) > 1 {
		t.Errorf("the reference is drawn as %v over %v", s, v.after.Size())
	}
	if !v.bands.Visible() || v.bands.Size() != v.after.Size() {
		t.Errorf("beside the reference %v of the picture are covered, want %v", v.bands.Size(), v.after.Size())
	}
	line := fyne.NewPos(v.offset.X+v.after.Size().Width/2, v.Middle().Y)
	v.Dragged(dragged(line, v.after.Size().Width/4, 0))
	v.DragEnd()
	if math.Abs(float64(v.split-0.75)) > 0.01 || !v.fit {
		t.Errorf("the divider is at %v", v.split)
	}
	v.Dragged(dragged(fyne.NewPos(v.offset.X+10, v.Middle().Y), -9, 0)) // away from the divider: pans
	v.DragEnd()
	if math.Abs(float64(v.split-0.75)) > 0.01 || v.fit {
		t.Error("a drag beside the divider moved it")
	}
	v.TypedKey(&fyne.KeyEvent{Name: fyne.KeyComma})
	if math.Abs(float64(v.split-0.73)) > 0.01 {
		t.Errorf("the divider is at %v after a key", v.split)
	}
	v.Set(blank(300, 300), image.Pt(300, 300), nil)
	if v.clip.Visible() {
		t.Error("compares with nothing")
	}
}
