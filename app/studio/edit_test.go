package studio

import (
	"bytes"
	"errors"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kleinbild/kleinbild/inference"
	"github.com/kleinbild/kleinbild/inference/picture"
)

// maskFile writes a mask that is white in white, and returns its path.
func (r *rig) maskFile(name string, white image.Rectangle) string {
	r.t.Helper()
	mask := image.NewGray(image.Rect(0, 0, 64, 64))
	for y := white.Min.Y; y < white.Max.Y; y++ {
		for x := white.Min.X; x < white.Max.X; x++ {
			mask.SetGray(x, y, color.Gray{Y: 255})
		}
	}
	var file bytes.Buffer
	if err := png.Encode(&file, mask); err != nil {
		r.t.Fatal(err)
	}
	path := filepath.Join(r.dir, name)
	if err := os.WriteFile(path, file.Bytes(), 0o600); err != nil {
		r.t.Fatal(err)
	}
	return path
}

// withMask puts a picture and a mask on the desk, and reads them.
func (r *rig) withMask(white image.Rectangle) (photo, mask string) {
	r.t.Helper()
	photo, mask = r.files("photo.png")[0], r.maskFile("mask.png", white)
	r.fill(0, photo)
	r.Desk.Choose(func(d *Desk) { d.Edit.Mask = Mask{Path: mask, Of: d.Slots[0]} })
	r.until("photo and mask are read", func() bool { return !r.Desk.Desk().Reading() })
	return photo, mask
}

// TestMaskIsRead reads the mask of the desk, and takes one that cannot be used off it.
func TestMaskIsRead(t *testing.T) {
	r := newRig(t, t.TempDir(), &painter{})
	var told []error
	r.Reader.MaskRead.Subscribe(func(err error) { told = append(told, err) })
	_, mask := r.withMask(image.Rect(8, 8, 32, 24))
	m := r.Desk.Desk().Edit.Mask
	if m.Path != mask || m.Digest == "" || m.Look.GrayAt(10, 10).Y != 255 || m.Look.GrayAt(40, 40).Y != 0 {
		t.Errorf("%+v", m)
	}
	if len(told) != 1 || told[0] != nil {
		t.Errorf("told %v", told)
	}
	for _, row := range []struct{ name, path, want string }{
		{"black", r.maskFile("black.png", image.Rectangle{}), "nothing to change"},
		{"gone", filepath.Join(r.dir, "gone.png"), "gone.png"},
	} {
		told = nil
		r.Desk.Choose(func(d *Desk) { d.Edit.Mask = Mask{Path: row.path, Of: d.Slots[0]} })
		r.until("the mask is read", func() bool { return len(told) > 0 })
		if told[0] == nil || !strings.Contains(told[0].Error(), row.want) || !r.Desk.Desk().Edit.Mask.None() {
			t.Errorf("%s: %v, mask %+v", row.name, told[0], r.Desk.Desk().Edit.Mask)
		}
	}
}

// TestMaskLeavesWithImage1 checks that a mask leaves the desk with its picture, and comes back with it by one undo.
func TestMaskLeavesWithImage1(t *testing.T) {
	for _, row := range []struct {
		name   string
		change func(d *Desk)
		leaves bool
	}{
		{"image 1 is removed", func(d *Desk) { d.Empty(1) }, true},
		{"image 1 is replaced", func(d *Desk) { d.Fill(1, []string{d.Slots[1].Path}) }, true},
		{"image 1 is moved", func(d *Desk) { d.Swap(1, 2) }, true},
		{"image 2 is removed", func(d *Desk) { d.Empty(2) }, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := newRig(t, t.TempDir(), &painter{})
			_, mask := r.withMask(image.Rect(8, 8, 32, 24))
			r.fill(0, r.files("photo.png", "other.png")[1])
			r.until("all is read", func() bool { return !r.Desk.Desk().Reading() })
			r.Desk.Choose(row.change)
			r.until("all is read", func() bool { return !r.Desk.Desk().Reading() })
			if r.Desk.Desk().Edit.Mask.None() != row.leaves {
				t.Errorf("mask %+v", r.Desk.Desk().Edit.Mask)
			}
			r.Desk.Undo()
			r.until("all is read", func() bool { return !r.Desk.Desk().Reading() })
			if d := r.Desk.Desk(); d.Edit.Mask.Path != mask || len(d.Slots) != 2 || d.Slots[0].Name() != "photo.png" {
				t.Errorf("after undo: %s, mask %+v", r.onDesk(), d.Edit.Mask)
			}
		})
	}
}

// TestEditIsMade checks that a batch with a mask reads image 1 and the mask when it is made, also pictures that lie in
// no file.
func TestEditIsMade(t *testing.T) {
	white := image.Rect(8, 8, 32, 24)
	for _, pasted := range []bool{false, true} {
		r := newRig(t, t.TempDir(), &painter{})
		if _, _, err := r.Keeper.Open(filepath.Join(r.dir, "desk")); err != nil {
			t.Fatal(err)
		}
		if pasted {
			r.Reader.Paste(pngFile(t, 20))
			levels := image.NewGray(image.Rect(0, 0, 64, 64))
			for y := white.Min.Y; y < white.Max.Y; y++ {
				for x := white.Min.X; x < white.Max.X; x++ {
					levels.SetGray(x, y, color.Gray{Y: 255})
				}
			}
			mask, err := r.Keeper.Store().KeepMask(levels)
			if err != nil {
				t.Fatal(err)
			}
			r.Desk.Choose(func(d *Desk) {
				d.Edit.Mask = mask
				d.Edit.Mask.Of = d.Slots[0]
			})
			r.until("all is read", func() bool { return !r.Desk.Desk().Reading() })
		} else {
			r.withMask(white)
		}
		r.Desk.Choose(func(d *Desk) {
			d.Prompt, d.Steps = "a fox", "4"
			d.Edit.Strength, d.Edit.Feather, d.Edit.Hidden = "0,5", "3", true
		})
		b, err := r.NextBatch()
		if err != nil {
			t.Fatal(err)
		}
		r.Queue.Add(b)
		r.Maker.Next()
		r.until("it is made", func() bool { return r.Maker.Run() == nil })
		if len(r.engine.made) != 1 {
			t.Fatalf("pasted %v: %d were made: %q", pasted, len(r.engine.made), r.events)
		}
		req := r.engine.made[0]
		e, ok := req.Editing()
		if !ok || req.Mask().Bounds() != white || e.Strength != 0.5 || e.Feather != 3 || !e.Hidden ||
			req.PictureSize() != (picture.Size{Width: 64, Height: 64}) {
			t.Errorf("pasted %v: %+v", pasted, e)
		}
	}
}

// TestChangedMaskIsNotUsed checks that a batch whose mask has other bytes than it had on the desk is not made.
func TestChangedMaskIsNotUsed(t *testing.T) {
	r := newRig(t, t.TempDir(), &painter{})
	r.withMask(image.Rect(8, 8, 32, 24))
	r.Desk.Choose(func(d *Desk) { d.Prompt = "a fox" })
	b, err := r.NextBatch()
	if err != nil {
		t.Fatal(err)
	}
	r.maskFile("mask.png", image.Rect(0, 0, 9, 9))
	if _, err := b.Read(t.Context(), nil); !errors.Is(err, ErrChanged) {
		t.Errorf("%v, want ErrChanged", err)
	}
	r.Queue.Add(b)
	r.Maker.Next()
	r.until("it has ended", func() bool { return r.Maker.Run() == nil })
	if len(r.engine.made) != 0 || !strings.Contains(strings.Join(r.events, " "), "has changed since") {
		t.Errorf("%q", r.events)
	}
}

// TestEditIsKept checks that the edit of the desk is there at the next start, with a mask that lies in no file of the
// user's, and that such a mask goes when nothing names it.
func TestEditIsKept(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir)
	mask, err := s.KeepMask(image.NewGray(image.Rect(0, 0, 3, 3)))
	if err != nil {
		t.Fatal(err)
	}
	want := Desk{Slots: []Slot{{Path: "a.png"}}, Edit: Edit{
		Mask: mask, Strength: "0.5", Left: "1", Bottom: "2", Feather: "3", Context: "4", Whole: true, Hidden: true,
		MatchColours: MatchOff, Keep: 0.25,
	}}
	want.Edit.Mask.Of, want.Edit.Mask.Area = want.Slots[0], image.Rect(1, 0, 3, 2)
	if err := s.SaveDesk(want); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	again := mustOpen(t, dir)
	got, ok, err := again.LoadDesk()
	if err != nil || !ok || got.Edit != want.Edit {
		t.Errorf("%+v, %v, want %+v", got.Edit, err, want.Edit)
	}
	if err := again.Prune([]Desk{got}, nil, false); err != nil || !again.Has(mask.slot()) {
		t.Errorf("%v: the mask is gone", err)
	}
	got.Edit.Mask = Mask{}
	if err := again.Prune([]Desk{got}, []Batch{{Desk: want}}, false); err != nil || !again.Has(mask.slot()) {
		t.Errorf("%v: the mask of a batch is gone", err)
	}
	if err := again.Prune([]Desk{got}, nil, false); err != nil || again.Has(mask.slot()) {
		t.Errorf("%v: a mask that nothing names is kept", err)
	}
}

// TestEditOfMetadata checks that what a desk asks for after its settings were restored is the edit that was made.
func TestEditOfMetadata(t *testing.T) {
	feather, around := 7, 30
	for _, meta := range []*picture.Edit{
		{Strength: 0.5, Feather: &feather, Context: &around, MatchColours: true, Extend: [4]int{1, 0, 0, 2}},
		{Strength: 1, MatchColours: false, KeepUnchanged: 0.25},
		{Strength: 0.75, MatchColours: true, SourceHidden: true},
		{Strength: 1, Whole: true, MatchColours: false, SourceHidden: true, Extend: [4]int{0, 9, 0, 0}, Feather: &feather},
	} {
		d := Desk{Slots: []Slot{{Path: "a.png"}}, Edit: EditOf(meta)}
		e, err := d.edit(nil)
		if err != nil {
			t.Fatal(err)
		}
		strength, keep := 1.0, 0.0
		if e.Strength != nil {
			strength = *e.Strength
		}
		if e.KeepUnchanged != nil {
			keep = *e.KeepUnchanged
		}
		same := func(a, b *int) bool { return a == b || a != nil && b != nil && *a == *b }
		margins := inference.Margins{
			Left: meta.Extend[0], Top: meta.Extend[1], Right: meta.Extend[2], Bottom: meta.Extend[3],
		}
		if strength != meta.Strength || keep != meta.KeepUnchanged || *e.MatchColours != meta.MatchColours ||
			e.Whole != meta.Whole || e.Hidden != meta.SourceHidden || e.Extend.Margins != margins ||
			!same(e.Feather, meta.Feather) || !same(e.Context, meta.Context) {
			t.Errorf("%+v of %+v", e, meta)
		}
	}
}
