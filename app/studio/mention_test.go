package studio

import (
	"slices"
	"testing"
)

func TestMentions(t *testing.T) {
	next := func(n int) int { return n + 1 }
	for _, row := range []struct{ text, want string }{
		{"", ""},
		{"image 1", "image 2"},
		{"Image 1, image 2 and IMAGE 3.", "Image 2, image 3 and IMAGE 4."},
		{"(image 1)'s sky\nimage 9", "(image 2)'s sky\nimage 10"},
		{"把image 1的房子放在image 2里", "把image 2的房子放在image 3里"},
		{"кот с image 2", "кот с image 3"},
		{"image 12", "image 13"},
		// None of these is a name that the model knows.
		{"image1, image  1, image #1, images 1, image one", "image1, image  1, image #1, images 1, image one"},
		{"imagen 1, preimage 1, éimage 1, image 1st, image 01", "imagen 1, preimage 1, éimage 1, image 1st, image 01"},
		{"Bild 1, изображение 1, 图1", "Bild 1, изображение 1, 图1"},
		{"image 12345678", "image 12345678"},
	} {
		if got := renumbered(row.text, next); got != row.want {
			t.Errorf("%q: %q, want %q", row.text, got, row.want)
		}
	}
	d := Desk{Prompt: "image 3, image 1, image 7, image 3 and image 0", Slots: make([]Slot, 2)}
	if got := d.Missing(); !slices.Equal(got, []int{0, 3, 7}) {
		t.Errorf("missing %v", got)
	}
}

// TestSlotsRenumberThePrompt: "image 2" means the same picture after slots were swapped or emptied. Undo takes the
// numbers back in what was typed since, too.
func TestSlotsRenumberThePrompt(t *testing.T) {
	const prompt = "the a of image 1, the b of image 2, the c of image 3"
	for _, row := range []struct {
		name   string
		do     func(w *Workspace)
		slots  string
		prompt string
	}{
		{"swap", func(w *Workspace) { w.SwapSlots(1, 3) }, "c b a", "the a of image 3, the b of image 2, the c of image 1"},
		{"remove the first", func(w *Workspace) { w.EmptySlot(1) }, "b c",
			"the a of image 3, the b of image 1, the c of image 2"},
		{"remove the second", func(w *Workspace) { w.EmptySlot(2) }, "a c",
			"the a of image 1, the b of image 3, the c of image 2"},
		{"remove the last", func(w *Workspace) { w.EmptySlot(3) }, "a b", prompt},
		{"remove all", func(w *Workspace) { w.EmptySlots() }, "", prompt},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := newRig(t, t.TempDir(), &painter{})
			r.fill(0, r.files("a", "b", "c")...)
			r.wantOnDesk("a b c")
			r.Desk.Type(func(d *Desk) { d.Prompt = prompt })
			want := func(slots, prompt string) {
				t.Helper()
				r.wantOnDesk(slots)
				if got := r.Desk.Desk().Prompt; got != prompt {
					t.Errorf("prompt %q, want %q", got, prompt)
				}
			}
			steps := r.Desk.Steps()
			row.do(r.Desk)
			want(row.slots, row.prompt)
			if got := r.Desk.Steps() - steps; got != 1 {
				t.Errorf("%d steps", got)
			}
			r.Desk.Undo()
			want("a b c", prompt)
			r.Desk.Redo()
			want(row.slots, row.prompt)
			r.Desk.Type(func(d *Desk) { d.Prompt += " at night" })
			r.Desk.Undo()
			want("a b c", prompt+" at night")
			r.Desk.Redo()
			want(row.slots, row.prompt+" at night")
		})
	}
	// Inside of another step it is a part of that one.
	r := newRig(t, t.TempDir(), &painter{})
	r.fill(0, r.files("a", "b")...)
	r.wantOnDesk("a b")
	r.Desk.Type(func(d *Desk) { d.Prompt = "image 1" })
	steps := r.Desk.Steps()
	r.Desk.Change(func() { r.Desk.SwapSlots(1, 2) })
	if r.Desk.Steps() != steps+1 || r.Desk.Desk().Prompt != "image 2" {
		t.Errorf("%d steps, %q", r.Desk.Steps()-steps, r.Desk.Desk().Prompt)
	}
	r.Desk.Undo()
	if got := r.Desk.Desk().Prompt; got != "image 1" {
		t.Errorf("undone: %q", got)
	}
}
