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
