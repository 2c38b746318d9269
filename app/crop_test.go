package app

import (
	"image"
	"strings"
	"testing"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/test"

	"github.com/kleinbild/kleinbild/app/studio"
	"github.com/kleinbild/kleinbild/inference/picture"
)

// TestCrop crops, turns and mirrors a picture on the canvas: each change is a step on the desk, the picture is prepared
// anew, and what is made says how it was arranged.
func TestCrop(t *testing.T) {
	b := newBench(t, usual)
	b.slots.add(0, []string{b.file("one.png", 600, 400, 1), b.file("two.png", 320, 480, 2)})
	b.settle()
	b.slots.slots[1].DoubleTapped(nil)
	b.settle()
	m := b.crop
	if b.view.mode != canvasMode(m) || b.win.Canvas().Focused() != fyne.Focusable(m.frame) {
		t.Fatalf("mode %v, focus %T", b.view.mode, b.win.Canvas().Focused())
	}
	want := func(what string, shown image.Point, frame image.Rectangle, a picture.Arrangement, seen picture.Size) {
		t.Helper()
		b.settle()
		slot := b.Desk.Desk().Slots[1]
		if slot.Arrangement != a || slot.Ref == nil || slot.Ref.Size != seen || slot.Ref.Arrangement != a {
			t.Fatalf("%s: %+v, read as %+v; want %+v, %v", what, slot.Arrangement, slot.Ref, a, seen)
		}
		if got := b.view.view.Picture().Rect.Size(); got != shown || m.frame.Rect() != frame {
			t.Errorf("%s: %v on the canvas with a frame at %v, want %v, %v", what, got, m.frame.Rect(), shown, frame)
		}
	}
	portrait, landscape := image.Pt(320, 480), image.Pt(480, 320)
	want("at first", portrait, image.Rect(0, 0, 320, 480), picture.Arrangement{}, picture.Size{Width: 320, Height: 480})
	pull(b.view.view, m.frame, image.Pt(320, 480), image.Pt(250, 300))
	cropped := picture.Arrangement{Crop: image.Rect(0, 0, 250, 300)}
	want("cropped", portrait, image.Rect(0, 0, 250, 300), cropped, picture.Size{Width: 240, Height: 288})
	if text := m.frame.Label(); !strings.Contains(text, "250 × 300 › 240 × 288") {
		t.Errorf("the label says %q", text)
	}
	test.Tap(m.turns[1])
	cropped.Turns = 1
	want("turned", landscape, image.Rect(180, 0, 480, 250), cropped, picture.Size{Width: 288, Height: 240})
	pull(b.view.view, m.frame, image.Pt(330, 100), image.Pt(320, 110))
	cropped.Crop = image.Rect(10, 10, 260, 310)
	want("moved", landscape, image.Rect(170, 10, 470, 260), cropped, picture.Size{Width: 288, Height: 240})
	test.Tap(m.turns[2])
	cropped = cropped.MirrorAcross()
	want("mirrored", landscape, image.Rect(10, 10, 310, 260), cropped, picture.Size{Width: 288, Height: 240})
	b.Desk.Undo()
	want("undone", landscape, image.Rect(170, 10, 470, 260), cropped.MirrorAcross(), picture.Size{Width: 288, Height: 240})
	b.Desk.Redo()
	test.Tap(m.ratio.buttons[1])
	b.settle()
	if r := m.frame.Rect(); r.Dx() != r.Dy() {
		t.Errorf("square: %v", r)
	}
	kept := b.Desk.Desk().Slots[1].Arrangement
	b.make("a fox like image 2")
	if b.view.mode != nil {
		t.Error("the mode stays")
	}
	made := b.engine.made()[0].References()[1]
	if made.Arrangement != kept || made.File().Arrangement != kept {
		t.Errorf("made with %+v, want %+v", made.Arrangement, kept)
	}
	test.Tap(m.reset) // does nothing where nothing is cropped
	if b.Desk.Desk().Slots[1].Arrangement != kept {
		t.Error("Reset works without the mode")
	}
	b.cropSlot(2)
	b.settle()
	test.Tap(m.reset)
	want("reset", portrait, image.Rect(0, 0, 320, 480), picture.Arrangement{}, picture.Size{Width: 320, Height: 480})
	b.slots.clear(2)
	if b.settle(); b.view.mode != nil {
		t.Error("the mode stays without its picture")
	}
}

// TestRestoreArranged: “Use all” of a picture brings back how its references were arranged.
func TestRestoreArranged(t *testing.T) {
	b := newBench(t, usual)
	path := b.file("one.png", 600, 400, 1)
	b.slots.add(0, []string{path})
	b.settle()
	a := picture.Arrangement{Crop: image.Rect(8, 8, 408, 308), Mirrored: true, Turns: 3}
	b.Desk.Choose(func(d *studio.Desk) { d.Arrange(1, a) })
	b.settle()
	slot := b.Desk.Desk().Slots[0]
	meta := picture.Metadata{Prompt: "a fox", Steps: 4, Guidance: 1, Width: 512, Height: 512}
	meta.References = []picture.ReferenceFile{{Path: path, SHA256: slot.Digest, Arrangement: a}}
	b.slots.clearAll()
	b.restorePicture(studio.Picture{Meta: meta})
	b.settle()
	if got := b.Desk.Desk().Slots; len(got) != 1 || got[0].Arrangement != a || got[0].Ref.Size != slot.Ref.Size {
		t.Errorf("%+v", got)
	}
}

// TestCropOfAnother: a frame that is let go after its picture has gone crops no other picture.
func TestCropOfAnother(t *testing.T) {
	b := newBench(t, usual)
	m := b.crop
	if m.enter() {
		t.Error("the mode begins without a picture")
	}
	b.slots.add(0, []string{b.file("one.png", 600, 400, 1)})
	b.settle()
	b.slots.add(0, []string{b.file("two.png", 600, 400, 2)})
	b.settle()
	for _, row := range []struct {
		name  string
		away  func()
		slots int
	}{
		{"swapped", func() { b.slots.move(1, 2) }, 2},
		{"gone", func() { b.slots.clear(2) }, 1},
	} {
		b.cropSlot(2)
		b.settle()
		from, to := b.view.view.ToView(600, 400), b.view.view.ToView(500, 300)
		m.frame.Dragged(&fyne.DragEvent{
			PointEvent: fyne.PointEvent{Position: to}, Dragged: fyne.NewDelta(to.X-from.X, to.Y-from.Y),
		})
		row.away()
		m.frame.DragEnd()
		b.settle()
		slots := b.Desk.Desk().Slots
		if len(slots) != row.slots || b.view.mode != nil {
			t.Errorf("%s: %d pictures, mode %v", row.name, len(slots), b.view.mode)
		}
		for i, s := range slots {
			if s.Arrangement != (picture.Arrangement{}) {
				t.Errorf("%s: image %d is arranged as %+v", row.name, i+1, s.Arrangement)
			}
		}
	}
}

// TestCropDropsTheMask: the window says that a mask goes with the arrangement that it belongs to, and brings both back.
func TestCropDropsTheMask(t *testing.T) {
	b := newBench(t, usual)
	b.slots.add(0, []string{b.file("one.png", 600, 400, 1)})
	b.settle()
	b.Desk.Choose(func(d *studio.Desk) { d.Edit.Mask = studio.Mask{Alpha: true, Of: d.Slots[0]} })
	b.cropSlot(1)
	b.settle()
	test.Tap(b.crop.turns[1])
	b.wantSaid("The mask was removed")
	if d := b.Desk.Desk(); !d.Edit.Mask.None() || d.Slots[0].Arrangement.Turns != 1 {
		t.Errorf("turned: %+v", d)
	}
	b.crop.undoAction().Do()
	if d := b.Desk.Desk(); d.Edit.Mask.None() || d.Slots[0].Arrangement.Turns != 0 {
		t.Errorf("undone: %+v", d)
	}
}
