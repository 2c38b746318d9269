package studio

import (
	"testing"

	"github.com/kleinbild/kleinbild/inference/picture"
)

// sizeOf says what size is chosen.
func sizeOf(d Desk) string {
	if d.Aspect != "" {
		return string(d.Aspect)
	}
	return d.Size.String()
}

// TestSizeFollowsImage1: the first picture on the desk brings Match, until another size is picked; without pictures
// the size before is back. None of it is a step of its own.
func TestSizeFollowsImage1(t *testing.T) {
	own := picture.Size{Width: 640, Height: 320}
	for _, row := range []struct {
		name   string
		before func(*Desk) // without pictures
		picked func(*Desk) // while there are pictures; nil for nothing
		during string
		after  string
	}{
		{"an aspect ratio", func(d *Desk) { d.PickAspect(picture.Wide) }, nil, "match", "wide"},
		{"a size", func(d *Desk) { d.PickSize(own) }, nil, "match", "640x320"},
		{"an aspect ratio after a size", func(d *Desk) {
			d.PickSize(own)
			d.PickAspect(picture.Wide)
		}, nil, "match", "wide"},
		{"another one is picked", func(d *Desk) { d.PickSize(own) },
			func(d *Desk) { d.PickAspect(picture.Square) }, "square", "square"},
		{"a size is picked", func(d *Desk) { d.PickAspect(picture.Wide) },
			func(d *Desk) { d.PickSize(own) }, "640x320", "640x320"},
		{"match is picked", func(d *Desk) { d.PickSize(own) },
			func(d *Desk) { d.PickAspect(picture.Match) }, "match", "640x320"},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := newRig(t, t.TempDir(), &painter{})
			r.Settings.SetAspect(picture.Wide)
			r.Desk.Choose(row.before)
			before, steps := sizeOf(r.Desk.Desk()), r.Desk.Steps()
			files := r.files("a.png", "b.png", "c.png")
			r.fill(0, files[0])
			if got := sizeOf(r.Desk.Desk()); got != "match" || r.Desk.Steps() != steps+1 {
				t.Errorf("filled: %s after %d steps", got, r.Desk.Steps()-steps)
			}
			r.Desk.Undo()
			if got := sizeOf(r.Desk.Desk()); got != before {
				t.Errorf("undone: %s, want %s", got, before)
			}
			r.Desk.Redo()
			if row.picked != nil {
				r.Desk.Choose(row.picked)
			}
			r.fill(0, files[1])
			r.fill(1, files[2]) // a pick stays when image 1 is replaced
			if got := sizeOf(r.Desk.Desk()); got != row.during {
				t.Errorf("with pictures: %s, want %s", got, row.during)
			}
			r.Desk.Choose(func(d *Desk) { d.Empty(1) })
			if got := sizeOf(r.Desk.Desk()); got != row.during {
				t.Errorf("with the last picture: %s, want %s", got, row.during)
			}
			r.Desk.Choose(func(d *Desk) { d.Empty(1) })
			if got := sizeOf(r.Desk.Desk()); got != row.after {
				t.Errorf("without pictures: %s, want %s", got, row.after)
			}
			r.Desk.Undo()
			if got := sizeOf(r.Desk.Desk()); got != row.during || len(r.Desk.Desk().Slots) != 1 {
				t.Errorf("undone: %s, want %s", got, row.during)
			}
		})
	}
}

// TestUnreadableLeavesSize: a file that is no picture leaves neither a slot nor Match behind.
func TestUnreadableLeavesSize(t *testing.T) {
	r := newRig(t, t.TempDir(), &painter{})
	r.Desk.Choose(func(d *Desk) { d.PickSize(picture.Size{Width: 640, Height: 320}) })
	r.fill(0, r.dir+"/nothing.png")
	r.wantOnDesk("")
	if got := sizeOf(r.Desk.Desk()); got != "640x320" {
		t.Errorf("size %s", got)
	}
}

// TestEditPicture: a picture to be edited takes slot 1 in one step and leaves the other slots. The mask and the margins
// of the picture before leave with it.
func TestEditPicture(t *testing.T) {
	r := newRig(t, t.TempDir(), &painter{})
	files := r.files("a.png", "b.png", "result.png")
	edit := func(path string) {
		r.Desk.Change(func() { r.Desk.Choose(func(d *Desk) { d.EditPicture(path) }) })
	}
	edit(files[2])
	r.wantOnDesk("result.png")
	r.Desk.Undo()
	r.wantOnDesk("")

	r.fill(0, files[0], files[1])
	r.Desk.Choose(func(d *Desk) { d.PickAspect(picture.Square) })
	r.Desk.Choose(func(d *Desk) {
		d.Prompt, d.Edit.Strength, d.Edit.Left = "a draft", "0.5", "64"
		d.Edit.Mask = Mask{Alpha: true, Of: d.Slots[0]}
	})
	r.wantOnDesk("a.png b.png")
	before, steps := r.Desk.Desk(), r.Desk.Steps()
	edit(files[2])
	r.wantOnDesk("result.png b.png")
	d := r.Desk.Desk()
	if sizeOf(d) != "match" || d.Prompt != "a draft" || d.Edit.Strength != "0.5" || d.Edit.Paints() {
		t.Errorf("%+v", d)
	}
	if r.Desk.Steps() != steps+1 {
		t.Errorf("%d steps", r.Desk.Steps()-steps)
	}
	ref := d.Slots[0].Ref
	edit(files[2])
	if d := r.Desk.Desk(); d.Slots[0].Ref != ref || r.Desk.Steps() != steps+1 {
		t.Error("the same picture again is read again, or a step")
	}
	r.Desk.Undo()
	r.wantOnDesk("a.png b.png")
	if d := r.Desk.Desk(); !d.Same(before) {
		t.Errorf("undone: %+v, want %+v", d, before)
	}
}

func TestReadSize(t *testing.T) {
	for _, row := range []struct {
		text   string
		native int
		want   string // "" for none
	}{
		{"1200x800", 0, "1200x800"},
		{" 1200 × 800 px", 0, "1200x800"},
		{"1200, 800", 0, "1200x800"},
		{"1200,800", 0, "1200x800"},
		{"1200 800", 0, "1200x800"},
		{"1200 mal 800", 0, "1200x800"},
		{"1000*700", 0, "1008x704"},
		{"1000.4 by 7", 0, "1008x64"},
		{"1200x-800", 0, "1200x800"},
		{"99999x99999", 0, "2048x2048"},
		{"1x" + "9999999999999999999999999999999999999999", 0, "64x2048"},
		{"0x0", 0, "64x64"},
		{"3:2", 0, "1248x832"},
		{"2/3", 1024, "832x1248"},
		{"2.35 : 1", 1024, "1568x672"},
		{"1:1", 128, "128x128"},
		{"1000000:1", 0, "2048x64"},
		{"0:1", 0, ""},
		{"1:0", 0, ""},
		{"0:0", 0, ""},
		{"", 0, ""},
		{"1200", 0, ""},
		{"1200x", 0, ""},
		{"large", 0, ""},
	} {
		size, ok := ReadSize(row.text, row.native)
		got := ""
		if ok {
			if got = size.String(); size.Check() != nil {
				t.Errorf("%q: %v", row.text, size.Check())
			}
		}
		if got != row.want {
			t.Errorf("%q: %s, want %s", row.text, got, row.want)
		}
	}
}

func TestRatio(t *testing.T) {
	want := map[picture.AspectRatio]string{
		picture.Square: "1:1", picture.Landscape: "16:9", picture.Portrait: "9:16", picture.Photo: "3:2",
		picture.PhotoV: "2:3", picture.Standard: "4:3", picture.StandardV: "3:4", picture.Wide: "21:9",
	}
	for a, name := range want {
		size, err := a.SizeFor(0)
		if got := Ratio(size); err != nil || got != name {
			t.Errorf("%s: %s, want %s", a, got, name)
		}
	}
	for _, row := range []struct {
		size picture.Size
		want string
	}{
		{picture.Size{}, ""},
		{picture.Size{Width: 1280, Height: 800}, "8:5"},
		{picture.Size{Width: 720, Height: 1000}, "1:1.39"},
		{picture.Size{Width: 1000, Height: 720}, "1.39:1"},
		{picture.Size{Width: 2048, Height: 64}, "32.0:1"},
	} {
		if got := Ratio(row.size); got != row.want {
			t.Errorf("%v: %s, want %s", row.size, got, row.want)
		}
	}
}
