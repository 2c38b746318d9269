package app

import (
	"image"
	"strings"
	"testing"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/test"

	"github.com/kleinbild/kleinbild/app/studio"
	"github.com/kleinbild/kleinbild/app/ui"
	"github.com/kleinbild/kleinbild/inference"
)

// pull drags in a frame from one place in the picture to another.
func pull(view *ui.PictureView, frame *ui.Frame, from, to image.Point) {
	a, b := view.ToView(float32(from.X), float32(from.Y)), view.ToView(float32(to.X), float32(to.Y))
	frame.Dragged(&fyne.DragEvent{
		PointEvent: fyne.PointEvent{Position: b}, Dragged: fyne.NewDelta(b.X-a.X, b.Y-a.Y),
	})
	frame.DragEnd()
}

// extendMode finds the mode of the canvas.
func (b *bench) extendMode() *extendMode {
	for _, m := range b.view.modes {
		if e, ok := m.canvasMode.(*extendMode); ok {
			return e
		}
	}
	return nil
}

// TestExtend pulls the frame around image 1: the margins of the desk follow it and it follows them, and what is made
// has the size of the frame.
func TestExtend(t *testing.T) {
	b := newBench(t, usual)
	m := b.extendMode()
	if m.offered() {
		t.Error("there is nothing to make larger")
	}
	b.slots.add(0, []string{b.file("one.png", 600, 400, 1)})
	b.settle()
	b.win.Canvas().OnTypedKey()(&fyne.KeyEvent{Name: fyne.KeyO})
	b.settle()
	if b.view.mode != canvasMode(m) || b.win.Canvas().Focused() != fyne.Focusable(m.frame) || !m.stage.full {
		t.Fatalf("mode %v, focus %T, full resolution %v", b.view.mode, b.win.Canvas().Focused(), m.stage.full)
	}
	if img := b.view.view.Picture(); img.Rect.Size() != image.Pt(600, 400) {
		t.Fatalf("%v is on the canvas, want image 1", img.Rect)
	}
	want := func(what string, r image.Rectangle, margins [4]string, button string) {
		t.Helper()
		b.settle()
		e := b.Desk.Desk().Edit
		if got := [4]string{e.Left, e.Top, e.Right, e.Bottom}; m.frame.Rect() != r || got != margins {
			t.Errorf("%s: frame %v, margins %q; want %v, %q", what, m.frame.Rect(), got, r, margins)
		}
		if got := b.advanced.edit.fields[1].Text; got != margins[0] {
			t.Errorf("%s: the field says %q", what, got)
		}
		if b.prompt.generate.Text != button {
			t.Errorf("%s: the button says %q", what, b.prompt.generate.Text)
		}
	}
	photo := image.Rect(0, 0, 600, 400)
	want("at first", photo, [4]string{}, "Generate")
	pull(b.view.view, m.frame, image.Pt(0, 200), image.Pt(-90, 200))
	want("pulled to the left", image.Rect(-90, 0, 600, 400), [4]string{"90", "", "", ""}, "Extend")
	pull(b.view.view, m.frame, image.Pt(600, 400), image.Pt(610, 440))
	want("pulled at a corner", image.Rect(-90, 0, 610, 440), [4]string{"90", "", "10", "40"}, "Extend")
	pull(b.view.view, m.frame, image.Pt(300, 200), image.Pt(340, 200))
	want("moved around the picture", image.Rect(-50, 0, 650, 440), [4]string{"50", "", "50", "40"}, "Extend")
	b.Desk.Undo()
	want("undone", image.Rect(-90, 0, 610, 440), [4]string{"90", "", "10", "40"}, "Extend")
	b.Desk.Redo()
	m.frame.TypedKey(&fyne.KeyEvent{Name: fyne.KeyRight})
	m.frame.KeyUp(&fyne.KeyEvent{Name: fyne.KeyRight})
	want("moved by a key", image.Rect(-49, 0, 651, 440), [4]string{"49", "", "51", "40"}, "Extend")
	b.advanced.edit.fields[1].SetText("100")
	want("typed", image.Rect(-100, 0, 651, 440), [4]string{"100", "", "51", "40"}, "Extend")

	test.Tap(m.ratio.buttons[1])
	want("square", image.Rect(0, -100, 600, 500), [4]string{"", "100", "", "100"}, "Extend")
	test.Tap(m.sides[placeEnd])
	want("square, picture at the end", image.Rect(0, -200, 600, 400), [4]string{"", "200", "", ""}, "Extend")
	test.Tap(m.ratio.buttons[4])
	want("16:9", image.Rect(-55, 0, 656, 400), [4]string{"55", "", "56", ""}, "Extend")
	test.Tap(m.ratio.buttons[4])
	if got := m.ratio.buttons[4].Text; got != "9:16" {
		t.Errorf("a second click makes it %q", got)
	}
	want("9:16", image.Rect(0, -333, 600, 734), [4]string{"", "333", "", "334"}, "Extend")
	test.Tap(m.sides[placeStart])
	want("9:16, picture at the start", image.Rect(0, 0, 600, 1067), [4]string{"", "", "", "667"}, "Extend")
	test.Tap(m.reset)
	want("reset", photo, [4]string{}, "Generate")

	test.Tap(m.ratio.buttons[1])
	b.prompt.setText("more sky")
	b.generate()
	if b.view.mode != nil {
		t.Error("Extend does not leave the mode")
	}
	b.until("a picture", func() bool { return len(b.engine.made()) == 1 && b.Maker.Run() == nil })
	if got := b.engine.made()[0].PictureSize(); got.Width != 600 || got.Height != 600 {
		t.Errorf("the picture has %v", got)
	}
}

// TestExtendLeaves: the mode ends with image 1, and does not begin where there is a mask.
func TestExtendLeaves(t *testing.T) {
	b := newBench(t, usual)
	m := b.extendMode()
	b.slots.add(0, []string{b.file("one.png", 600, 400, 1), b.file("two.png", 300, 500, 2)})
	b.settle()
	b.view.toggleMode(m)
	b.settle()
	b.slots.move(1, 2)
	b.settle()
	if img := b.view.view.Picture(); b.view.mode == nil || img.Rect.Size() != image.Pt(300, 500) || m.ratio.upright {
		t.Errorf("another image 1: mode %v, %v on the canvas", b.view.mode, img.Rect)
	}
	b.Desk.Choose(func(d *studio.Desk) { d.Edit.Mask = studio.Mask{Alpha: true, Of: d.Slots[0]} })
	if b.view.mode != nil {
		t.Error("a mask leaves the mode as it is")
	}
	b.view.toggleMode(m)
	if b.view.mode != nil {
		t.Error("the mode begins with a mask")
	}
	b.wantSaid("has a mask")
	b.Desk.Undo()
	b.view.toggleMode(m)
	b.slots.clearAll()
	b.settle()
	if b.view.mode != nil || b.view.view.Picture() != nil || m.frame.Visible() {
		t.Error("the mode stays without image 1")
	}
}

// TestExtendStopsAtTheEngine: a frame that the engine would refuse cannot be pulled.
func TestExtendStopsAtTheEngine(t *testing.T) {
	b := newBench(t, usual)
	m := b.extendMode()
	b.slots.add(0, []string{b.file("one.png", 600, 400, 1)})
	b.settle()
	b.view.toggleMode(m)
	pull(b.view.view, m.frame, image.Pt(600, 200), image.Pt(4000, 200))
	if got := m.frame.Rect(); got != image.Rect(0, 0, 600, 400) {
		t.Errorf("ten to one: %v", got)
	}
	pull(b.view.view, m.frame, image.Pt(600, 200), image.Pt(3000, 200))
	if got := m.frame.Rect().Dx(); got < 2990 || got > 3010 {
		t.Errorf("%d wide, want 3000", got)
	}
	if !strings.Contains(m.frame.Label(), b.Desk.Desk().Edit.Right+" right") {
		t.Errorf("the label says %q", m.frame.Label())
	}
	var none inference.Margins
	b.extendImage1(none)
	if got := m.frame.Rect(); got != image.Rect(0, 0, 600, 400) {
		t.Errorf("the frame does not follow the desk: %v", got)
	}
}

// TestPanHoldsNothingBack: Extend and Crop show what was undone while the view was panned.
func TestPanHoldsNothingBack(t *testing.T) {
	for name, row := range map[string]struct {
		key      fyne.KeyName
		frame    func(b *bench) *ui.Frame
		from, to image.Point // pulls the frame
		outside  image.Point
	}{
		"Extend": {fyne.KeyO, func(b *bench) *ui.Frame { return b.extendMode().frame }, image.Pt(600, 200),
			image.Pt(700, 200), image.Pt(300, 500)},
		"Crop": {fyne.KeyC, func(b *bench) *ui.Frame { return b.crop.frame }, image.Pt(600, 400),
			image.Pt(300, 200), image.Pt(500, 300)},
	} {
		b := newBench(t, usual)
		b.slots.add(0, []string{b.file("one.png", 600, 400, 1)})
		b.settle()
		b.win.Canvas().OnTypedKey()(&fyne.KeyEvent{Name: row.key})
		b.settle()
		frame := row.frame(b)
		before := frame.Rect()
		pull(b.view.view, frame, row.from, row.to)
		b.settle()
		pulled := frame.Rect()
		at := b.view.view.ToView(float32(row.outside.X), float32(row.outside.Y))
		frame.Dragged(&fyne.DragEvent{PointEvent: fyne.PointEvent{Position: at}, Dragged: fyne.NewDelta(5, 0)})
		if !frame.Held() || pulled == before {
			t.Fatalf("%s: the view is not panned, or the frame not pulled: %v", name, pulled)
		}
		b.Desk.Undo()
		b.settle()
		frame.DragEnd()
		b.settle()
		if got := frame.Rect(); got != before {
			t.Errorf("%s: the frame lies at %v after the pan, want %v", name, got, before)
		}
	}
}
