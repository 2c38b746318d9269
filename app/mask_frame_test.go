package app

import (
	"image"
	"strings"
	"testing"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/test"

	"github.com/kleinbild/kleinbild/app/studio"
	"github.com/kleinbild/kleinbild/inference"
)

// TestWorkAreaFrame moves and resizes the frame of the work area with the pointer and the keys: each is a step, and the
// engine works there.
func TestWorkAreaFrame(t *testing.T) {
	b := newBench(t, usual)
	m := b.enterMask(b.file("photo.png", 1800, 1200, 1))
	p := &maskPointer{maskLayer: m.layer, b: b}
	m.layer.setSize(60)
	p.stroke(900, 600, 960, 640)
	automatic := m.frame.Rect()
	if automatic.Empty() || m.frame.Disabled() || strings.Contains(m.frame.Label(), "automatic") {
		t.Fatalf("frame %v, %q", automatic, m.frame.Label())
	}
	area := func() image.Rectangle { return b.Desk.Desk().Edit.Mask.Area }
	mask := b.painted()

	// Its lower right corner is pulled outwards, which paints nothing.
	corner := automatic.Max
	p.stroke(float32(corner.X), float32(corner.Y), float32(corner.X+200), float32(corner.Y+100))
	if got := area(); got.Min != automatic.Min || got.Dx() < automatic.Dx()+190 || got.Dy() < automatic.Dy()+90 {
		t.Errorf("the frame was pulled from %v to %v", automatic, got)
	}
	if b.painted() != mask || !area().In(m.frame.Rect()) || !strings.Contains(m.frame.Label(), "double-click: automatic") {
		t.Errorf("frame %v for %v, label %q", m.frame.Rect(), area(), m.frame.Label())
	}
	pulled := area()

	// It cannot leave out a part of the mask.
	p.stroke(float32(m.frame.Rect().Min.X), float32(m.frame.Rect().Min.Y), 1000, 700)
	if got := area(); !mask.Bounds().In(got) || got == pulled {
		t.Errorf("the frame %v for a mask at %v", got, mask.Bounds())
	}
	b.Desk.Undo()
	b.settle()
	if area() != pulled || m.frame.Rect() != pulled {
		t.Errorf("undo leads to %v, frame %v, want %v", area(), m.frame.Rect(), pulled)
	}

	// The keyboard: one stop of Tab, arrows, Delete.
	b.win.Canvas().Focus(m.frame)
	m.frame.TypedKey(&fyne.KeyEvent{Name: fyne.KeyLeft})
	m.frame.KeyUp(&fyne.KeyEvent{Name: fyne.KeyLeft})
	b.settle()
	if area() != pulled.Sub(image.Pt(1, 0)) {
		t.Errorf("an arrow key leads to %v", area())
	}

	// What is painted outside of it makes it larger.
	m.layer.setTool(brushTool)
	p.stroke(1600, 1000, 1610, 1000)
	if got := area(); !b.painted().Bounds().In(got) {
		t.Errorf("the frame %v for a mask at %v", got, b.painted().Bounds())
	}
	want := area()
	b.prompt.setText("a red sleeve")
	test.Tap(b.prompt.generate)
	b.until("it is made", func() bool { return len(b.engine.made()) == 1 && b.Maker.Run() == nil })
	made, _ := b.engine.made()[0].Editing()
	if made.AskedArea != want || !want.In(made.Area) {
		t.Errorf("the engine works on %v for %v, want %v", made.Area, made.AskedArea, want)
	}
	b.Desk.Change(func() { b.slots.clear(1) })
	b.settle()
	meta := b.Album.Entries()[0].Picture
	meta.Edit = b.engine.made()[0].EditMetadata()
	b.restorePicture(studio.Picture{Meta: meta})
	b.until("it is back", func() bool { return area() == want })

	// A double click on its label has it follow from the mask again.
	b.view.modeKey(fyne.KeyM)
	b.until("image 1 is read", func() bool { return m.mask != nil && !m.frame.Rect().Empty() })
	b.settle()
	at := m.view.ToView(float32(m.frame.Rect().Min.X), float32(m.frame.Rect().Min.Y))
	e := &fyne.PointEvent{Position: at}
	m.layer.DoubleTapped(e)
	b.settle()
	wantArea, _ := inference.Edit{}.WorkArea(b.Desk.Desk().Slots[0].Ref.Original, m.mask.Bounds(), m.native())
	if !area().Empty() || m.frame.Rect() != wantArea {
		t.Errorf("automatic again: %v, frame %v, want %v", area(), m.frame.Rect(), wantArea)
	}
}

// TestWorkAreaRow: Advanced says that the model works in the frame, and takes that back.
func TestWorkAreaRow(t *testing.T) {
	b := newBench(t, usual)
	m := b.enterMask(b.file("photo.png", 900, 600, 1))
	p := &maskPointer{maskLayer: m.layer, b: b}
	p.stroke(400, 300, 420, 300)
	r := b.advanced.edit
	if r.area.Selected != "Around it" || len(r.area.Options) != 2 {
		t.Errorf("%q of %q", r.area.Selected, r.area.Options)
	}
	m.frame.TypedKey(&fyne.KeyEvent{Name: fyne.KeyLeft})
	m.frame.KeyUp(&fyne.KeyEvent{Name: fyne.KeyLeft})
	b.settle()
	if r.area.Selected != "The frame" || !r.context.hidden {
		t.Errorf("%q of %q, context hidden %v", r.area.Selected, r.area.Options, r.context.hidden)
	}
	r.area.SetSelected("All of image 1")
	b.settle()
	if !m.frame.Disabled() || m.frame.Rect().Dx() < 890 {
		t.Errorf("frame %v", m.frame.Rect())
	}
	r.area.SetSelected("Around it")
	b.settle()
	if !b.Desk.Desk().Edit.Mask.Area.Empty() || len(r.area.Options) != 2 || m.frame.Disabled() {
		t.Errorf("area %v, %q", b.Desk.Desk().Edit.Mask.Area, r.area.Options)
	}
}
