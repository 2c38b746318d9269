package app

import (
	"bytes"
	"image"
	"os"
	"path/filepath"
	"testing"

	"fyne.io/fyne/v2/test"

	"github.com/kleinbild/kleinbild/app/studio"
	"github.com/kleinbild/kleinbild/inference/picture"
)

// withMask puts a picture and a mask on the desk.
func (b *bench) withMask() (photo, mask string) {
	b.t.Helper()
	photo, mask = b.file("photo.png", 96, 64, 1), b.write("mask.png", ellipse(96, 64, image.Rect(20, 10, 70, 50)))
	b.slots.add(0, []string{photo})
	b.until("image 1", func() bool { return len(b.Desk.Desk().References()) == 1 })
	b.advanced.edit.loadMask(mask)
	b.until("the mask", func() bool { return !b.Desk.Desk().Reading() })
	b.settle()
	return photo, mask
}

// TestEditRows checks which rows are shown: those that have an effect.
func TestEditRows(t *testing.T) {
	b := newBench(t, usual)
	b.advanced.toggle()
	r := b.advanced.edit
	shown := func() (names string) {
		for _, row := range r.rows {
			if !row.hidden && row.name.Text != "" {
				names += row.name.Text + ", "
			}
		}
		return names
	}
	want := func(state, rows string) {
		t.Helper()
		if got := shown(); got != rows {
			t.Errorf("%s: %s, want %s", state, got, rows)
		}
	}
	want("no picture", "Mask, ")
	if r.name.Text != "add a picture first" || !r.mask.change.Disabled() {
		t.Errorf("no picture: %q", r.name.Text)
	}
	b.withMask()
	want("a mask", "Mask, Strength, Soft edge, Context, Work on, Colours, Image 1, ")
	b.Desk.Choose(func(d *studio.Desk) { d.Edit.Whole = true })
	want("the whole picture", "Mask, Strength, Soft edge, Work on, Colours, Image 1, ")
	test.Tap(r.mask.change) // removes it
	want("no mask", "Mask, Strength, Extend by, Colours, Keep rest, ")
	b.wantSaid("The mask was removed.")
	b.tapUndo()
	if r.name.Text != "mask.png" {
		t.Errorf("after undo: %q", r.name.Text)
	}
	test.Tap(r.mask.change)
	for name, shown := range map[string]string{"half.png": "half.png", "square.png": "stretched: square.png"} {
		size := map[string]image.Point{"half.png": {48, 32}, "square.png": {64, 64}}[name]
		r.loadMask(b.write(name, ellipse(size.X, size.Y, image.Rect(10, 10, 30, 20))))
		b.until("the mask", func() bool { return !b.Desk.Desk().Reading() })
		b.settle()
		if r.name.Text != shown {
			t.Errorf("mask of %v: %q, want %q", size, r.name.Text, shown)
		}
		test.Tap(r.mask.change)
	}
	r.fields[1].SetText("100")
	want("a margin", "Mask, Strength, Extend by, Soft edge, Work on, Colours, Image 1, ")
	if b.shape.refresh(); b.shape.title.Text != "Size · that of image 1" {
		t.Errorf("title %q", b.shape.title.Text)
	}
}

// TestMaskIsSeen checks that the slot of image 1 shows the mask, and no other slot does.
func TestMaskIsSeen(t *testing.T) {
	b := newBench(t, usual)
	photo, _ := b.withMask()
	b.slots.add(0, []string{photo})
	b.until("image 2", func() bool { return len(b.Desk.Desk().References()) == 2 })
	b.settle()
	one, two := b.slots.slots[0].thumb, b.slots.slots[1].thumb
	if bytes.Equal(one.Pix, two.Pix) {
		t.Error("the mask is not shown")
	}
	if one.RGBAAt(1, 1) != two.RGBAAt(1, 1) || one.RGBAAt(45, 30) == two.RGBAAt(45, 30) {
		t.Error("the mask is shown in another place")
	}
	b.Desk.Choose(func(d *studio.Desk) { d.Edit.Mask = studio.Mask{} })
	b.settle()
	if !bytes.Equal(b.slots.slots[0].thumb.Pix, two.Pix) {
		t.Error("the mask is still shown")
	}
}

// TestEditIsRestored checks that a picture that was edited brings back its edit, with its mask's file or what the
// picture holds of it.
func TestEditIsRestored(t *testing.T) {
	for _, gone := range []bool{false, true} {
		b := newBench(t, usual)
		photo, mask := b.withMask()
		d := b.Desk.Desk()
		feather := 5
		levels := image.NewGray(image.Rect(0, 0, 96, 64))
		copy(levels.Pix[30*96:], bytes.Repeat([]byte{255}, 96))
		meta := picture.Metadata{
			Prompt: "a blue house", Seed: 7, Steps: 4, Guidance: 1, Width: 96, Height: 64,
			References: []picture.ReferenceFile{{Path: photo, SHA256: d.Slots[0].Digest}},
			Edit: &picture.Edit{
				Mask:     picture.NewMask(picture.ReferenceFile{Path: mask, SHA256: d.Edit.Mask.Digest}, levels),
				Strength: 0.5, Feather: &feather, MatchColours: true,
			},
		}
		made := filepath.Join(b.dir, "made.png")
		if _, err := picture.Write(made, image.NewRGBA(image.Rect(0, 0, 96, 64)), meta, picture.Replace); err != nil {
			t.Fatal(err)
		}
		if gone {
			if err := os.Remove(mask); err != nil {
				t.Fatal(err)
			}
		}
		b.slots.clearAll()
		b.settle()
		if !b.Desk.Desk().Edit.Mask.None() {
			t.Fatal("the mask stays without image 1")
		}
		b.dropAt(b.view.view, made)
		test.Tap(b.notice.Actions[0])
		b.until("all is read", func() bool { return len(b.Desk.Desk().Slots) == 1 && !b.Desk.Desk().Reading() })
		b.settle()
		e := b.Desk.Desk().Edit
		if e.Strength != "0.5" || e.Feather != "5" || e.MatchColours != studio.MatchOn || e.Mask.None() ||
			e.Mask.Look == nil || (e.Mask.Path == "") != gone || b.advanced.edit.fields[0].Text != "0.5" {
			t.Errorf("gone %v: %+v", gone, e)
		}
		b.Desk.Undo()
		if !b.Desk.Desk().Edit.Mask.None() || b.Desk.Desk().Edit.Strength != "" {
			t.Errorf("gone %v: after undo %+v", gone, b.Desk.Desk().Edit)
		}
		b.restorePicture(studio.Picture{Path: made, Meta: meta})
		b.until("it is restored", func() bool { return !b.Desk.Desk().Edit.Mask.None() })

		// A picture whose file is gone says that its mask is missing.
		meta.Edit.Mask.Levels, meta.Edit.Mask.File.SHA256 = nil, ""
		b.restorePicture(studio.Picture{Path: filepath.Join(b.dir, "gone.png"), Meta: meta})
		b.settle()
		b.wantSaid("the mask")
	}
}
