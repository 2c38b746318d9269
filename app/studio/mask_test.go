package studio

import (
	"image"
	"path/filepath"
	"testing"

	"github.com/kleinbild/kleinbild/app/studio/paint"
	"github.com/kleinbild/kleinbild/inference/picture"
)

// stroke returns a mask with a rectangle painted on it.
func stroke(m *paint.Mask, r image.Rectangle) *paint.Mask {
	w := m.Edit()
	w.Rectangle(r)
	return w.Done()
}

// TestPaintedMask paints on the desk: a stroke is a step, Generate waits until the mask is kept, the engine gets what
// was painted, and the next start has it.
func TestPaintedMask(t *testing.T) {
	r := newRig(t, t.TempDir(), &painter{})
	if _, _, err := r.Keeper.Open(filepath.Join(r.dir, "desk")); err != nil {
		t.Fatal(err)
	}
	r.fill(0, r.files("photo.png")[0])
	r.until("the photo is read", func() bool { return !r.Desk.Desk().Reading() })
	put := func(m *paint.Mask) {
		r.Desk.Choose(func(d *Desk) {
			d.Edit.Mask.Painted, d.Edit.Mask.Kept, d.Edit.Mask.Of = m, false, d.Slots[0]
		})
	}
	one := stroke(paint.New(image.Pt(64, 64)), image.Rect(3, 4, 9, 30))
	two := stroke(one, image.Rect(20, 20, 41, 30))
	put(one)
	if !r.Desk.Desk().Reading() || r.Desk.Desk().Edit.Mask.None() {
		t.Error("a batch could be made before the mask is kept")
	}
	put(two)
	if r.Desk.Undo(); r.Desk.Desk().Edit.Mask.Painted != one {
		t.Error("a stroke is no step")
	}
	r.until("it is kept", func() bool { return !r.Desk.Desk().Reading() })
	first := r.Desk.Desk().Edit.Mask
	if first.Painted != one || first.Digest == "" || first.Look.GrayAt(4, 5).Y != 255 || first.Look.GrayAt(30, 25).Y != 0 {
		t.Errorf("%+v", first)
	}
	if r.Desk.Redo(); r.Desk.Desk().Edit.Mask.Painted != two {
		t.Error("redo did not bring the stroke back")
	}
	r.until("it is kept", func() bool { return !r.Desk.Desk().Reading() })
	second := r.Desk.Desk().Edit.Mask
	if second.Digest == first.Digest || second.Look.GrayAt(30, 25).Y != 255 {
		t.Errorf("%+v", second)
	}

	r.Desk.Type(func(d *Desk) { d.Prompt, d.Steps = "a fox", "4" })
	b, err := r.NextBatch()
	if err != nil {
		t.Fatal(err)
	}
	put(one) // painted on while the batch waits
	r.Queue.Add(b)
	r.Maker.Next()
	r.until("it is made", func() bool { return r.Maker.Run() == nil && !r.Desk.Desk().Reading() })
	if len(r.engine.made) != 1 {
		t.Fatalf("%d were made: %q", len(r.engine.made), r.events)
	}
	if got := r.engine.made[0].Mask().Gray(); string(got.Pix) != string(two.Gray().Pix) {
		t.Error("the engine got another mask")
	}

	r.Keeper.Last()
	again := mustOpen(t, filepath.Join(r.dir, "desk"))
	desk, ok, err := again.LoadDesk()
	if err != nil || !ok {
		t.Fatal(err)
	}
	levels, err := again.ReadMask(t.Context(), desk.Edit.Mask)
	if err != nil || string(levels.Pixels.(*image.Gray).Pix) != string(one.Gray().Pix) {
		t.Errorf("the mask of the next start is another one: %v", err)
	}
	if b.Desk.Edit.Mask.Digest != second.Digest {
		t.Error("the batch names another file")
	}
}

// TestPaintedUndoIsBounded: steps share what of their masks is the same, and masks that share nothing go first.
func TestPaintedUndoIsBounded(t *testing.T) {
	size := image.Pt(4096, 4096) // 16 MiB
	var h UndoHistory
	m := paint.New(size)
	for i := range MaxSteps {
		m = stroke(m, image.Rect(40*i, 10, 40*i+30, 20))
		h.Do(Step{Desk: Desk{Edit: Edit{Mask: Mask{Painted: m}}}})
	}
	if len(h.undo) != MaxSteps {
		t.Errorf("%d strokes, want all", len(h.undo))
	}
	for range 40 {
		w := paint.New(size).Edit()
		for y := 0; y < size.Y; y += 100 {
			w.Line(paint.Brush{Size: 3, Hardness: 1}, 0, float64(y), 4096, float64(y))
		}
		h.Do(Step{Desk: Desk{Edit: Edit{Mask: Mask{Painted: w.Done()}}}})
	}
	if n := len(h.undo); n != MaxPictureBytes/(size.X*size.Y) {
		t.Errorf("%d masks, want %d", n, MaxPictureBytes/(size.X*size.Y))
	}
}

// TestPaintedIsKeptAtTheEnd paints and closes at once: the next start has the last stroke.
func TestPaintedIsKeptAtTheEnd(t *testing.T) {
	r := newRig(t, t.TempDir(), &painter{})
	if _, _, err := r.Keeper.Open(filepath.Join(r.dir, "desk")); err != nil {
		t.Fatal(err)
	}
	r.fill(0, r.files("photo.png")[0])
	r.until("the photo is read", func() bool { return !r.Desk.Desk().Reading() })
	mask := stroke(paint.New(image.Pt(64, 64)), image.Rect(3, 4, 9, 30))
	r.Desk.Choose(func(d *Desk) { d.Edit.Mask = d.Edit.Mask.WithPainted(mask, d.Slots[0]) })
	r.Keeper.Last()
	again := newRig(t, r.dir, &painter{})
	d, ok, err := again.Keeper.Open(filepath.Join(r.dir, "desk"))
	if err != nil || !ok || d.Edit.Mask.Digest == "" {
		t.Errorf("%+v, %v, %v", d.Edit.Mask, ok, err)
	}
	again.Keeper.Last()
}

// TestMaskArea checks that a chosen area is asked for, grows with what is painted, is a choice that undo takes back,
// and stays when the mask is kept.
func TestMaskArea(t *testing.T) {
	square := func(r image.Rectangle) *paint.Mask {
		w := paint.New(image.Pt(200, 100)).Edit()
		w.Rectangle(r)
		return w.Done()
	}
	of := Slot{Path: "a.png"}
	m := Mask{}.WithPainted(square(image.Rect(10, 10, 30, 30)), of)
	d := Desk{Slots: []Slot{of}, Edit: Edit{Mask: m, Context: "9"}}
	if e, err := d.edit(nil); err != nil || e.Area != nil || e.Context == nil || d.Edit.Framed() {
		t.Errorf("without an area: %+v, %v", e, err)
	}
	framed := d
	framed.Edit.Mask.Area = image.Rect(0, 0, 64, 64)
	if framed.SameChoices(d) || framed.Edit.withTexts(d.Edit).Mask.Area.Empty() {
		t.Error("undo does not see the area")
	}
	if e, err := framed.edit(nil); err != nil || e.Area == nil || *e.Area != image.Rect(0, 0, 64, 64) || e.Context != nil {
		t.Errorf("with an area: %+v, %v", e, err)
	}
	if s := framed.Edit.Settings(); s.Area == nil || s.Context != nil {
		t.Errorf("shown: %+v", s)
	}
	more := framed.Edit.Mask.WithPainted(square(image.Rect(50, 20, 120, 90)), of)
	if more.Area != image.Rect(0, 0, 120, 90) {
		t.Errorf("the area of a larger mask is %v", more.Area)
	}
	if none := more.WithPainted(paint.New(image.Pt(200, 100)), of); none != (Mask{}) {
		t.Errorf("a mask of nothing is %+v", none)
	}
	kept, err := (*Store)(nil).keepPainted(more)
	if err != nil || kept.Area != more.Area {
		t.Errorf("kept: %+v, %v", kept, err)
	}
	whole := framed
	whole.Edit.Whole = true
	if e, err := whole.edit(nil); err != nil || e.Area != nil || !e.Whole {
		t.Errorf("the whole picture: %+v, %v", e, err)
	}
	if a := AreaOf(&picture.Edit{Area: [4]int{1, 2, 30, 40}}); a != image.Rect(1, 2, 31, 42) || !AreaOf(nil).Empty() {
		t.Errorf("of metadata: %v", a)
	}
}
