package app

import (
	"testing"

	"fyne.io/fyne/v2"
)

// TestKeyboardAfterMode leaves modes while something of theirs has the keyboard: the keys are the canvas's then, and
// what is gone listens to none.
func TestKeyboardAfterMode(t *testing.T) {
	press := func(b *bench, name fyne.KeyName) {
		t.Helper()
		b.win.Canvas().Focused().TypedKey(&fyne.KeyEvent{Name: name})
		b.settle()
	}
	want := func(b *bench, what string) {
		t.Helper()
		if got := b.win.Canvas().Focused(); got != fyne.Focusable(b.view.view) {
			t.Errorf("%s: %T has the keyboard", what, got)
		}
	}
	b, m := newGrid(t)
	cell := m.cells[3].view
	b.focus(cell)
	press(b, fyne.KeyReturn) // opens the picture
	want(b, "the grid")
	cell.TypedKey(&fyne.KeyEvent{Name: fyne.KeyReturn}) // a repeated key that comes late
	if b.view.mode != nil {
		t.Error("a cell that is gone enters or stays in a mode")
	}
	mask := b.enterMask(b.file("photo.png", 300, 200, 1))
	if b.win.Canvas().Focused() != fyne.Focusable(mask.layer) {
		t.Fatal("the mask has no keyboard")
	}
	press(b, fyne.KeyEscape)
	want(b, "the mask")
	b.enterMask(b.file("photo.png", 300, 200, 1))
	b.focus(b.prompt.entry)
	b.view.leaveMode()
	if b.win.Canvas().Focused() != fyne.Focusable(b.prompt.entry) {
		t.Error("a mode that ends takes the keyboard from the prompt")
	}
}

// TestGenerateWaitsForMask presses Generate in the moment after a stroke: the picture begins by itself once the mask is
// on the disk.
func TestGenerateWaitsForMask(t *testing.T) {
	b := newBench(t, usual)
	m := b.enterMask(b.file("photo.png", 900, 600, 1))
	b.prompt.setText("a red sleeve")
	p := &maskPointer{maskLayer: m.layer, b: b}
	p.down(200, 150)
	p.to(320, 180)
	p.up()
	if !b.Desk.Desk().Reading() {
		t.Fatal("the mask is on the disk before anything was written")
	}
	b.generate()
	if !b.waiting || b.Maker.Run() != nil {
		t.Fatalf("waits %v, makes %v", b.waiting, b.Maker.Run() != nil)
	}
	b.until("a picture", func() bool { return len(b.engine.made()) == 1 && b.Maker.Run() == nil })
	if b.engine.made()[0].Mask() == nil {
		t.Error("the picture was made without the mask")
	}
}

// TestLeaveWhileMaskIsWorkedOn leaves the mode, or makes a picture, while a change of the mask is still being computed
// and a stroke of the keyboard is under way: neither is lost, and the picture waits for them.
func TestLeaveWhileMaskIsWorkedOn(t *testing.T) {
	b := newBench(t, usual)
	m := b.enterMask(b.file("photo.png", 900, 600, 1))
	b.prompt.setText("a red sleeve")
	p := &maskPointer{maskLayer: m.layer, b: b}
	m.layer.setSize(40)
	p.down(100, 100)
	p.to(120, 100) // and not up: the stroke is under way
	m.invert()
	b.view.leaveMode()
	if !m.working() {
		t.Fatal("nothing is left to do when the mode is left")
	}
	b.generate()
	if !b.waiting {
		t.Fatal("the picture does not wait for the mask")
	}
	b.until("a picture", func() bool { return len(b.engine.made()) == 1 && b.Maker.Run() == nil })
	painted := b.painted()
	if painted == nil || painted.At(700, 400) != 255 || m.working() {
		t.Fatalf("mask %v, working %v", painted, m.working())
	}
	if mask := b.engine.made()[0].Mask(); mask == nil || mask.Gray().GrayAt(700, 400).Y != 255 {
		t.Error("the picture was made without what was asked for")
	}
	// What was asked for is not done to the mask of another picture.
	m = b.enterMask(b.file("photo.png", 900, 600, 1))
	m.invert()
	b.view.leaveMode()
	b.slots.clear(1)
	b.settle()
	if !b.Desk.Desk().Edit.Mask.None() || m.working() {
		t.Error("a mask came without its picture")
	}
}
