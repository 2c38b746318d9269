package studio

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/kleinbild/kleinbild/inference/picture"
)

// TestNextEach: each file is image 1 of a batch of its own; references stay, a mask does not.
func TestNextEach(t *testing.T) {
	s := newRig(t, t.TempDir(), &painter{})
	s.Desk.Lay(Desk{
		Prompt: "winter", Seed: "7", Count: 2, Aspect: picture.Match, Each: []string{"a.jpg", "b.jpg", "c.jpg"},
		Slots: []Slot{
			{Path: "a.jpg", Digest: "1", Arrangement: picture.Arrangement{Turns: 1}}, {Path: "two.png", Digest: "2"},
		},
		Edit: Edit{Mask: Mask{Path: "mask.png", Of: Slot{Path: "a.jpg"}}, Strength: "0.5"},
	})
	batches, err := s.NextEach()
	if err != nil || len(batches) != 3 {
		t.Fatalf("%d batches, %v", len(batches), err)
	}
	for i, b := range batches {
		d := b.Desk
		if d.Prompt != "winter" || b.Seed != 7 || b.Count != 2 || b.Each == 0 || b.Each != batches[0].Each ||
			b.Group != b.Each || b.Nth != i+1 || b.Of != 3 {
			t.Errorf("batch %d: %+v", i, b)
		}
		if len(d.Slots) != 2 || d.Slots[0].Path != []string{"a.jpg", "b.jpg", "c.jpg"}[i] || d.Slots[1].Path != "two.png" ||
			d.Aspect != picture.Match || !d.Edit.Mask.None() || d.Edit.Strength != "0.5" || d.Each != nil {
			t.Errorf("desk %d: %+v", i, d)
		}
		if turned := d.Slots[0].Arrangement.Turns == 1; turned != (i == 0) {
			t.Errorf("desk %d: %+v, want the first picture turned as on the desk", i, d.Slots[0])
		}
	}
	other, err := s.NextEach()
	if err != nil || other[0].Each == batches[0].Each {
		t.Errorf("%v, or both calls have the same group", err)
	}
	s.Desk.Choose(func(d *Desk) { d.Edit, d.Aspect = Edit{}, picture.Portrait })
	sized, err := s.NextEach()
	if err != nil || sized[1].Desk.Aspect != picture.Portrait || sized[1].Size.Height <= sized[1].Size.Width {
		t.Errorf("%v, a size that was chosen: %+v", err, sized)
	}
	for field, change := range map[string]func(*Desk){
		"seed": func(d *Desk) { d.Seed = "x" }, "steps": func(d *Desk) { d.Steps = "many" },
		"strength": func(d *Desk) { d.Edit.Strength = "half" },
	} {
		before := s.Desk.Desk()
		d := before
		change(&d)
		s.Desk.Lay(d)
		if _, err := s.NextEach(); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: %v", field, err)
		}
		s.Desk.Lay(before)
	}
	s.Desk.EmptySlots()
	if _, err := s.NextEach(); err == nil {
		t.Error("accepted without files")
	}
}

// TestEachOnTheDesk: files of one instruction come and go with image 1, and each change is a step.
func TestEachOnTheDesk(t *testing.T) {
	three := []string{"a.jpg", "b.jpg", "c.jpg"}
	laid := func() *Workspace {
		w := &Workspace{}
		w.Choose(func(d *Desk) { d.Fill(0, []string{"old.png", "b.jpg", "style.png"}) })
		w.Choose(func(d *Desk) { d.SetEach(three) })
		return w
	}
	w := laid()
	d := w.Desk()
	if !slices.Equal(d.EachOf(), three) || len(d.Slots) != 2 || d.Slots[0].Path != "a.jpg" ||
		d.Slots[1].Path != "style.png" || d.Aspect != picture.Match {
		t.Fatalf("%+v", d)
	}
	w.Undo()
	if d := w.Desk(); d.EachOf() != nil || len(d.Slots) != 3 || d.Slots[0].Path != "old.png" {
		t.Errorf("undone: %+v", d)
	}
	w.Redo()
	if d := w.Desk(); !slices.Equal(d.EachOf(), three) {
		t.Errorf("done again: %+v", d)
	}
	for name, end := range map[string]func(w *Workspace){
		"another image 1": func(w *Workspace) { w.Choose(func(d *Desk) { d.Fill(1, []string{"new.png"}) }) },
		"no image 1":      func(w *Workspace) { w.EmptySlot(1) },
		"another order":   func(w *Workspace) { w.SwapSlots(1, 2) },
		"a picture taken": func(w *Workspace) { w.Choose(func(d *Desk) { d.EditPicture("made.png") }) },
		"another desk":    func(w *Workspace) { w.Lay(Desk{Each: three, Slots: []Slot{{Path: "b.jpg"}}}) },
		"one file":        func(w *Workspace) { w.Lay(Desk{Each: three[:1], Slots: []Slot{{Path: "a.jpg"}}}) },
	} {
		w := laid()
		end(w)
		if d := w.Desk(); d.Each != nil {
			t.Errorf("%s: %v stay", name, d.Each)
		}
		if name == "another desk" || name == "one file" {
			continue // which is no step by itself
		}
		w.Undo()
		if d := w.Desk(); !slices.Equal(d.EachOf(), three) {
			t.Errorf("%s, undone: %v", name, d.Each)
		}
	}
	for name, stay := range map[string]func(w *Workspace){
		"a further reference": func(w *Workspace) { w.Choose(func(d *Desk) { d.Fill(0, []string{"more.png"}) }) },
		"one reference less":  func(w *Workspace) { w.EmptySlot(2) },
		"image 1 turned":      func(w *Workspace) { w.Choose(func(d *Desk) { d.Arrange(1, picture.Arrangement{Turns: 1}) }) },
		"another size":        func(w *Workspace) { w.Choose(func(d *Desk) { d.PickAspect(picture.Square) }) },
	} {
		w := laid()
		stay(w)
		if d := w.Desk(); !slices.Equal(d.EachOf(), three) {
			t.Errorf("%s: %v", name, d.Each)
		}
	}
}

// TestEachSkipsUnreadable: if image 1 cannot be read, the next file takes its place.
func TestEachSkipsUnreadable(t *testing.T) {
	d := Desk{Slots: []Slot{{Path: "a"}, {Path: "style"}}, Each: []string{"a", "b", "c"}}
	if d.skip(Slot{Path: "style"}) || !d.skip(d.Slots[0]) || d.Slots[0].Path != "b" || len(d.EachOf()) != 2 {
		t.Errorf("%+v", d)
	}
	if !d.skip(d.Slots[0]) || d.Slots[0].Path != "c" || d.Each != nil {
		t.Errorf("the last file is a picture like any other: %+v", d)
	}
	if d.skip(d.Slots[0]) {
		t.Error("skipped without a file to go on with")
	}
}

// TestUnreadBatchesStayUnread: batches that wait for files come back without reading them; a file that is gone is
// named.
func TestUnreadBatchesStayUnread(t *testing.T) {
	path := filepath.Join(t.TempDir(), "photo.jpg")
	b := Batch{Desk: Desk{Prompt: "p", Aspect: picture.Match, Slots: []Slot{{Path: path}}}, Seed: 1, Count: 1, Each: 3}
	if _, err := b.Read(t.Context(), nil); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("a file that is gone: %v", err)
	}
	if err := os.WriteFile(path, []byte("not read yet, so nobody knows that it is no picture"), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := b.Read(t.Context(), nil)
	if err != nil || got.Desk.Slots[0].Ref != nil || got.Each != 3 {
		t.Errorf("%+v, %v", got, err)
	}
}
