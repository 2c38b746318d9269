package ui

import (
	"image"
	"testing"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/driver/desktop"
	"fyne.io/fyne/v2/test"
)

// framedView is a view of 900 × 600 with a picture of 600 × 400 pixels, at a scale of one, and a frame over it. changed
// and settled count the frame's calls.
type framedView struct {
	*Frame
	view             *PictureView
	win              fyne.Window
	changed, settled int
}

func newFramed(t *testing.T, rules FrameRules, rect image.Rectangle) *framedView {
	a := test.NewTempApp(t)
	a.Settings().SetTheme(NewTheme(ThemeDark))
	v := NewPictureView()
	f := &framedView{Frame: NewFrame(v), view: v, win: a.NewWindow("")}
	v.OnPlaced = f.Place
	f.Rules = rules
	f.OnChanged = func() { f.changed++ }
	f.OnSettled = func() { f.settled++ }
	f.win.SetPadded(false)
	f.win.SetContent(container.NewStack(v, f.Frame))
	f.win.Resize(fyne.NewSize(900, 600))
	v.Set(blank(600, 400), image.Pt(600, 400), nil)
	v.OneToOne(v.Middle())
	f.Set(rect)
	return f
}

// pull drags from one place in the picture to another one, in several moves.
func (f *framedView) pull(from, to image.Point) {
	a, b := f.view.ToView(float32(from.X), float32(from.Y)), f.view.ToView(float32(to.X), float32(to.Y))
	at := a
	for i := range 4 {
		next := fyne.NewPos(a.X+(b.X-a.X)*float32(i+1)/4, a.Y+(b.Y-a.Y)*float32(i+1)/4)
		f.Dragged(&fyne.DragEvent{
			PointEvent: fyne.PointEvent{Position: next}, Dragged: fyne.NewDelta(next.X-at.X, next.Y-at.Y),
		})
		at = next
	}
	f.DragEnd()
}

func TestDragFrame(t *testing.T) {
	f := newFramed(t, FrameRules{Within: photo, Least: image.Pt(32, 32)}, image.Rect(100, 100, 300, 200))
	for _, row := range []struct {
		name     string
		from, to image.Point
		want     image.Rectangle
	}{
		{"inside moves", image.Pt(200, 150), image.Pt(240, 140), image.Rect(140, 90, 340, 190)},
		{"left edge", image.Pt(140, 120), image.Pt(120, 60), image.Rect(120, 90, 340, 190)},
		{"near the corner, outside of it", image.Pt(346, 196), image.Pt(366, 226), image.Rect(120, 90, 360, 220)},
		{"lower edge, over the limit", image.Pt(200, 220), image.Pt(200, 900), image.Rect(120, 90, 360, 400)},
	} {
		settled, changed := f.settled, f.changed
		f.pull(row.from, row.to)
		if f.Rect() != row.want || f.settled != settled+1 || f.changed == changed {
			t.Errorf("%s: %v, want %v; settled %d times", row.name, f.Rect(), row.want, f.settled-settled)
		}
	}
	was, offset, settled := f.Rect(), f.view.offset, f.settled
	f.pull(image.Pt(500, 50), image.Pt(480, 80))
	if f.Rect() != was || f.settled != settled || f.view.offset != offset.AddXY(-20, 30) {
		t.Errorf("a drag outside of the frame made it %v, and panned by %v", f.Rect(), f.view.offset.Subtract(offset))
	}
	offset = f.view.offset
	f.KeyDown(&fyne.KeyEvent{Name: fyne.KeySpace})
	f.pull(image.Pt(200, 200), image.Pt(210, 200))
	f.KeyUp(&fyne.KeyEvent{Name: fyne.KeySpace})
	if f.Rect() != was || f.view.offset != offset.AddXY(10, 0) {
		t.Error("a drag while space is down does not pan")
	}
	// A frame with the picture's size cannot be moved: the picture is panned.
	f.Set(photo)
	offset = f.view.offset
	f.pull(image.Pt(300, 200), image.Pt(330, 200))
	if f.Rect() != photo || f.view.offset != offset.AddXY(30, 0) {
		t.Error("a drag inside of a frame that has nowhere to go does not pan")
	}
}

// TestFrameFollowsTheView: the frame lies where its pixels are, at every scale, and what the pointer does is meant in
// pixels.
func TestFrameFollowsTheView(t *testing.T) {
	f := newFramed(t, FrameRules{Within: photo}, image.Rect(100, 100, 300, 200))
	for _, scale := range []float32{0.5, 2, 7} {
		f.view.Zoom(scale, f.view.ToView(100, 100))
		r := test.WidgetRenderer(f.Frame).(*frameRenderer)
		handle := r.handles[4] // the upper left one
		want := f.view.ToView(100, 100)
		got := handle.Position().AddXY(handleSide/2, handleSide/2)
		if d := got.Subtract(want); d.X*d.X > 1 || d.Y*d.Y > 1 {
			t.Errorf("at %v: the handle is at %v, want %v", scale, got, want)
		}
		for _, o := range append(r.lines[:], r.dims[:]...) {
			if end := o.Position().Add(o.Size()); o.Visible() && (end.X > f.Size().Width || end.Y > f.Size().Height) {
				t.Errorf("at %v: something is drawn to %v, outside of the view", scale, end)
			}
		}
		f.Set(image.Rect(100, 100, 300, 200))
		f.pull(image.Pt(100, 100), image.Pt(90, 110))
		if want := image.Rect(90, 110, 300, 200); f.Rect() != want {
			t.Errorf("at %v: %v, want %v", scale, f.Rect(), want)
		}
		f.Set(image.Rect(100, 100, 300, 200))
	}
	was := f.view.CurrentScale()
	f.Scrolled(scrolled(f.view.Middle(), 10))
	if f.view.CurrentScale() <= was {
		t.Error("the wheel does not zoom")
	}
}

func TestFrameKeys(t *testing.T) {
	f := newFramed(t, FrameRules{Within: photo, Least: image.Pt(32, 32)}, image.Rect(100, 100, 300, 200))
	forwarded := 0
	f.win.Canvas().SetOnTypedKey(func(*fyne.KeyEvent) { forwarded++ })
	undone := 0
	f.win.Canvas().AddShortcut(&fyne.ShortcutUndo{}, func(fyne.Shortcut) { undone++ })
	f.Tapped(nil)
	if f.win.Canvas().Focused() != fyne.Focusable(f.Frame) {
		t.Fatal("a click does not give the frame the keys")
	}
	key := func(name fyne.KeyName) func() {
		return func() {
			f.TypedKey(&fyne.KeyEvent{Name: name})
			f.KeyUp(&fyne.KeyEvent{Name: name})
		}
	}
	with := func(modifier fyne.KeyModifier, name fyne.KeyName) func() {
		return func() {
			f.TypedShortcut(&desktop.CustomShortcut{KeyName: name, Modifier: modifier})
			f.KeyUp(&fyne.KeyEvent{Name: name})
		}
	}
	shifted := func(do func()) func() {
		return func() {
			f.KeyDown(&fyne.KeyEvent{Name: desktop.KeyShiftLeft})
			do()
			f.KeyUp(&fyne.KeyEvent{Name: desktop.KeyShiftLeft})
		}
	}
	const ctrl, alt, shift = fyne.KeyModifierShortcutDefault, fyne.KeyModifierAlt, fyne.KeyModifierShift
	for _, row := range []struct {
		name string
		do   func()
		want image.Rectangle
	}{
		{"right", key(fyne.KeyRight), image.Rect(101, 100, 301, 200)},
		{"up", key(fyne.KeyUp), image.Rect(101, 99, 301, 199)},
		{"ten to the left", shifted(key(fyne.KeyLeft)), image.Rect(91, 99, 291, 199)},
		{"one down", key(fyne.KeyDown), image.Rect(91, 100, 291, 200)},
		{"grow at the right", with(ctrl, fyne.KeyRight), image.Rect(91, 100, 292, 200)},
		{"grow at the top by ten", with(ctrl|shift, fyne.KeyUp), image.Rect(91, 90, 292, 200)},
		{"shrink at the left", with(alt, fyne.KeyLeft), image.Rect(92, 90, 292, 200)},
		{"shrink at the bottom by ten", with(alt|shift, fyne.KeyDown), image.Rect(92, 90, 292, 190)},
	} {
		settled := f.settled
		if row.do(); f.Rect() != row.want || f.settled != settled+1 {
			t.Errorf("%s: %v, want %v", row.name, f.Rect(), row.want)
		}
	}
	key(fyne.KeyEscape)()
	f.TypedShortcut(&fyne.ShortcutUndo{})
	if forwarded != 1 || undone != 1 {
		t.Error("keys that are not the frame's do not reach the window")
	}
	scale := f.view.CurrentScale()
	if key(fyne.KeyPlus)(); f.view.CurrentScale() <= scale {
		t.Error("+ does not zoom")
	}
}

// TestFrameHeldKey: a key that repeats settles once, when it or its modifier is let go, or before another key.
func TestFrameHeldKey(t *testing.T) {
	right := &fyne.KeyEvent{Name: fyne.KeyRight}
	grow := &desktop.CustomShortcut{KeyName: fyne.KeyRight, Modifier: fyne.KeyModifierShortcutDefault}
	for _, row := range []struct {
		name string
		hold func(f *framedView)
		end  func(f *framedView)
	}{
		{"the key", func(f *framedView) { f.TypedKey(right) }, func(f *framedView) { f.KeyUp(right) }},
		{"the modifier", func(f *framedView) { f.TypedShortcut(grow) }, func(f *framedView) {
			f.KeyUp(&fyne.KeyEvent{Name: desktop.KeyControlLeft})
		}},
		{"the focus", func(f *framedView) { f.TypedKey(right) }, func(f *framedView) { f.win.Canvas().Unfocus() }},
		{"another key", func(f *framedView) { f.TypedKey(right) }, func(f *framedView) {
			f.TypedKey(&fyne.KeyEvent{Name: fyne.KeyEscape})
		}},
		{"undo", func(f *framedView) { f.TypedKey(right) }, func(f *framedView) {
			f.TypedShortcut(&fyne.ShortcutUndo{})
		}},
	} {
		f := newFramed(t, FrameRules{Within: photo}, image.Rect(100, 100, 300, 200))
		f.Tapped(nil)
		for range 20 {
			row.hold(f)
		}
		if f.changed != 20 || f.settled != 0 || !f.Held() {
			t.Errorf("%s, held: changed %d times, settled %d times, held %v", row.name, f.changed, f.settled, f.Held())
		}
		row.end(f)
		f.KeyUp(right)
		if f.settled != 1 || f.Held() {
			t.Errorf("%s, let go: settled %d times, held %v", row.name, f.settled, f.Held())
		}
	}
}

func TestFrameCursor(t *testing.T) {
	f := newFramed(t, FrameRules{Within: photo}, image.Rect(100, 100, 300, 200))
	for _, row := range []struct {
		at   image.Point
		want desktop.Cursor
	}{
		{image.Pt(100, 150), desktop.HResizeCursor}, {image.Pt(200, 205), desktop.VResizeCursor},
		{image.Pt(295, 105), desktop.CrosshairCursor}, {image.Pt(200, 150), desktop.PointerCursor},
	} {
		e := &desktop.MouseEvent{}
		e.Position = f.view.ToView(float32(row.at.X), float32(row.at.Y))
		f.MouseMoved(e)
		if got := f.Cursor(); got != row.want {
			t.Errorf("at %v: cursor %v, want %v", row.at, got, row.want)
		}
	}
}

// TestFrameGrips: under something that takes the pointer, a frame is held by its handles and its label only, and not at
// all while it is disabled or hidden.
func TestFrameGrips(t *testing.T) {
	f := newFramed(t, FrameRules{Within: photo}, image.Rect(100, 100, 300, 200))
	f.Grips = true
	f.SetLabel("work area")
	tab := f.tab.AddXY(f.tabSize.Width/2, f.tabSize.Height/2)
	x, y := f.view.ToPicture(tab)
	label := image.Pt(rounded(x), rounded(y))
	held := func(at image.Point) bool { return f.Holds(f.view.ToView(float32(at.X), float32(at.Y))) }
	for _, row := range []struct {
		name string
		at   image.Point
		want bool
	}{
		{"a corner", image.Pt(100, 100), true}, {"a handle", image.Pt(200, 203), true}, {"the label", label, true},
		{"an edge", image.Pt(130, 200), false}, {"inside", image.Pt(200, 150), false}, {"outside", image.Pt(350, 150), false},
	} {
		if got := held(row.at); got != row.want {
			t.Errorf("%s: held %v", row.name, got)
		}
	}
	if f.pull(label, label.Add(image.Pt(30, 20))); f.Rect() != image.Rect(130, 120, 330, 220) || f.settled != 1 {
		t.Errorf("moved by its label to %v, settled %d times", f.Rect(), f.settled)
	}
	if f.pull(image.Pt(330, 220), image.Pt(350, 260)); f.Rect() != image.Rect(130, 120, 350, 260) {
		t.Errorf("resized to %v", f.Rect())
	}
	reset := 0
	f.OnReset = func() { reset++ }
	if f.TypedKey(&fyne.KeyEvent{Name: fyne.KeyDelete}); reset != 1 {
		t.Error("Delete does nothing")
	}
	if f.Disable(); held(image.Pt(130, 120)) {
		t.Error("a disabled frame is held")
	}
	f.Enable()
	if f.Hide(); held(image.Pt(130, 120)) {
		t.Error("a hidden frame is held")
	}
}

// TestRoom: where a view is fitted, it shows what its owner has it show, and the picture again afterwards.
func TestRoom(t *testing.T) {
	v := newView(t)
	fitted, at := v.CurrentScale(), v.offset
	room := image.Rect(-1200, -400, 1800, 400)
	v.SetRoom(room)
	least, most := v.ToView(float32(room.Min.X), 0), v.ToView(float32(room.Max.X), 0)
	if least.X < 0 || most.X > v.Size().Width || v.CurrentScale() >= fitted || !v.Fitted() {
		t.Errorf("the room lies from %v to %v of %v", least.X, most.X, v.Size().Width)
	}
	if middle := (least.X + most.X) / 2; middle < v.Middle().X-1 || middle > v.Middle().X+1 {
		t.Errorf("the room's middle is at %v, want %v", middle, v.Middle().X)
	}
	v.SetRoom(image.Rectangle{})
	if v.CurrentScale() != fitted || v.offset != at {
		t.Error("the picture is not where it was")
	}
}

// TestFrameIsDrawn: a frame that is dragged near to an edge, or to the middle, lies there; a key does not draw it.
func TestFrameIsDrawn(t *testing.T) {
	from := image.Rect(100, 100, 300, 200)
	for name, row := range map[string]struct{ by, want image.Point }{
		"left edge":   {image.Pt(-94, 20), image.Pt(-100, 20)},
		"right edge":  {image.Pt(308, 20), image.Pt(300, 20)},
		"middle":      {image.Pt(105, 55), image.Pt(100, 50)},
		"beyond":      {image.Pt(-109, 208), image.Pt(-100, 200)},
		"far from it": {image.Pt(-80, 20), image.Pt(-80, 20)},
	} {
		f := newFramed(t, FrameRules{Pull: photo, Near: 9}, from)
		if f.pull(image.Pt(150, 140), image.Pt(150, 140).Add(row.by)); f.Rect() != from.Add(row.want) {
			t.Errorf("%s: %v, want %v", name, f.Rect(), from.Add(row.want))
		}
	}
	f := newFramed(t, FrameRules{Pull: photo, Near: 9}, image.Rect(0, 100, 300, 200))
	f.TypedKey(&fyne.KeyEvent{Name: fyne.KeyRight})
	if f.Rect().Min.X != 1 {
		t.Errorf("a key leads to %v", f.Rect())
	}
}

// TestFrameHooks: the owner chooses what the pointer takes hold of, and takes keys, the wheel and the menu for itself.
func TestFrameHooks(t *testing.T) {
	f := newFramed(t, FrameRules{}, image.Rect(100, 100, 300, 200))
	other := image.Rect(400, 250, 500, 350)
	f.OnPress = func(pos fyne.Position) {
		if x, y := f.view.ToPicture(pos); image.Pt(int(x), int(y)).In(other) {
			f.Set(other)
		}
	}
	f.pull(image.Pt(450, 300), image.Pt(440, 310))
	if f.Rect() != other.Add(image.Pt(-10, 10)) {
		t.Errorf("the other one was dragged to %v", f.Rect())
	}
	f.Set(image.Rect(100, 100, 400, 250)) // its corner is a handle, whatever lies there
	f.pull(image.Pt(400, 250), image.Pt(420, 260))
	if f.Rect() != image.Rect(100, 100, 420, 260) {
		t.Errorf("the corner leads to %v", f.Rect())
	}
	var taken []fyne.KeyName
	f.OnKey = func(e *fyne.KeyEvent) bool {
		taken = append(taken, e.Name)
		return e.Name == fyne.KeyDelete
	}
	f.TypedKey(&fyne.KeyEvent{Name: fyne.KeyDelete})
	f.TypedKey(&fyne.KeyEvent{Name: fyne.KeyRight})
	if len(taken) != 2 || f.Rect().Min.X != 101 {
		t.Errorf("keys %v, the frame at %v", taken, f.Rect())
	}
	scale := f.view.CurrentScale()
	f.OnWheel = func(*fyne.ScrollEvent) bool { return true }
	f.Scrolled(scrolled(f.view.Middle(), 30))
	menus := 0
	f.OnMenu = func(*fyne.PointEvent) { menus++ }
	f.TappedSecondary(&fyne.PointEvent{})
	if f.view.CurrentScale() != scale || menus != 1 {
		t.Errorf("scale %v, %d menus", f.view.CurrentScale(), menus)
	}
}

// TestFrameSettle: a drag that is settled half-way has no more effect, and the owner is told once that nothing holds
// the frame; also after a pan, and after a drag that changed nothing.
func TestFrameSettle(t *testing.T) {
	f := newFramed(t, FrameRules{Within: photo}, image.Rect(100, 100, 300, 200))
	released := 0
	f.OnReleased = func() { released++ }
	drag := func(x, y, by int) {
		at := f.view.ToView(float32(x+by), float32(y))
		f.Dragged(&fyne.DragEvent{
			PointEvent: fyne.PointEvent{Position: at}, Dragged: fyne.NewDelta(float32(by), 0),
		})
	}
	drag(200, 150, 10)
	f.Settle()
	if f.settled != 1 || released != 1 || f.Held() {
		t.Errorf("settled %d times, released %d times, held %v", f.settled, released, f.Held())
	}
	f.Set(image.Rect(110, 100, 310, 200))
	drag(210, 150, 20)
	f.DragEnd()
	if f.Rect().Min.X != 110 || f.settled != 1 || released != 1 {
		t.Errorf("the rest of the drag leads to %v; settled %d times, released %d times", f.Rect(), f.settled, released)
	}
	if f.pull(image.Pt(200, 150), image.Pt(230, 150)); f.Rect().Min.X != 140 || f.settled != 2 || released != 2 {
		t.Errorf("the next drag leads to %v; settled %d times, released %d times", f.Rect(), f.settled, released)
	}
	drag(500, 50, 10) // pans
	if f.Settle(); !f.Held() {
		t.Error("a pan is settled")
	}
	f.DragEnd()
	f.pull(image.Pt(200, 150), image.Pt(200, 150))
	if f.settled != 2 || released != 4 {
		t.Errorf("settled %d times, released %d times", f.settled, released)
	}
	f.TypedKey(&fyne.KeyEvent{Name: fyne.KeyRight})
	f.Settle()
	if f.KeyUp(&fyne.KeyEvent{Name: fyne.KeyRight}); f.settled != 3 || released != 5 {
		t.Errorf("a key: settled %d times, released %d times", f.settled, released)
	}
}
