package app

import (
	"testing"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/test"

	"github.com/kleinbild/kleinbild/app/ui"
)

// TestSlotsAndPrompt: the prompt follows the slots, and names in vain are marked under it.
func TestSlotsAndPrompt(t *testing.T) {
	b := newBench(t, usual)
	if b.slots.all.Visible() {
		t.Error("clear all is there without pictures")
	}
	b.slots.add(0, []string{b.file("one.png", 64, 64, 1), b.file("two.png", 64, 64, 2)})
	b.settle()
	want := func(prompt, missing string) {
		t.Helper()
		b.settle()
		got := b.prompt.missing
		if b.prompt.entry.Text != prompt || got.Text != missing || got.Visible() != (missing != "") {
			t.Errorf("prompt %q, marked %q (%v), want %q and %q", b.prompt.entry.Text, got.Text, got.Visible(), prompt, missing)
		}
	}
	b.win.Canvas().Focus(b.prompt.entry)
	test.Type(b.prompt.entry, "image 2 in image 1")
	want("image 2 in image 1", "")
	b.prompt.entry.CursorColumn = 8
	b.slots.move(1, 2)
	want("image 1 in image 2", "")
	if got := b.prompt.entry.CursorColumn; got != 8 {
		t.Errorf("the cursor went to %d", got)
	}
	b.slots.clear(1)
	want("image 2 in image 1", "image 2 is empty")
	test.Type(b.prompt.entry, "image 4 ")
	want("image 2 image 4 in image 1", "image 2 and image 4 are empty")
	b.tapUndo()
	want("image 1 image 4 in image 2", "image 4 is empty")
	test.Tap(b.slots.all)
	b.wantSaid("2 pictures removed.")
	b.wantNames()
	want("image 1 image 4 in image 2", "image 1 and 2 others are empty")
	if b.slots.all.Visible() || !b.slots.slots[0].focused {
		t.Error("clear all is still there, or the keyboard is lost")
	}
	b.tapUndo()
	b.wantNames("two.png", "one.png")
	want("image 1 image 4 in image 2", "image 4 is empty")
}

// TestSlotNamesItsFile: the name of the file stands under the picture.
func TestSlotNamesItsFile(t *testing.T) {
	b := newBench(t, usual)
	b.slots.add(0, []string{b.file("garden.png", 64, 64, 1)})
	names := func() (list []string) {
		walk(b.slots.slots[0], b.slots.slots[0].Position(), func(o fyne.CanvasObject, _ fyne.Position) {
			if l, ok := o.(*ui.Label); ok && l.Text != "" {
				list = append(list, l.Text)
			}
		})
		return list
	}
	b.settle()
	if got := names(); len(got) != 3 || got[1] != "garden.png" || got[2] != "64 × 64" {
		t.Errorf("the slot says %q", got)
	}
	b.slots.clear(1)
	for _, text := range names() {
		if text == "garden.png" {
			t.Error("the name stays in the empty slot")
		}
	}
}
