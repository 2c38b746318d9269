package studio

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kleinbild/kleinbild/inference/picture"
)

// TestNextEach: each file is image 1 of a batch of its own; references stay, a mask does not.
func TestNextEach(t *testing.T) {
	s := newRig(t, t.TempDir(), &painter{})
	s.Desk.Lay(Desk{
		Prompt: "winter", Seed: "7", Count: 2, Aspect: picture.Square,
		Slots: []Slot{{Path: "one.png"}, {Path: "two.png", Digest: "2"}},
		Edit:  Edit{Mask: Mask{Path: "mask.png", Of: Slot{Path: "one.png"}}, Strength: "0.5"},
	})
	batches, err := s.NextEach([]string{"a.jpg", "b.jpg", "c.jpg"})
	if err != nil || len(batches) != 3 {
		t.Fatalf("%d batches, %v", len(batches), err)
	}
	for i, b := range batches {
		d := b.Desk
		if d.Prompt != "winter" || b.Seed != 7 || b.Count != 2 || b.Each == 0 || b.Each != batches[0].Each {
			t.Errorf("batch %d: %+v", i, b)
		}
		if len(d.Slots) != 2 || d.Slots[0].Path != []string{"a.jpg", "b.jpg", "c.jpg"}[i] || d.Slots[1].Path != "two.png" ||
			d.Aspect != picture.Match || !d.Edit.Mask.None() || d.Edit.Strength != "0.5" {
			t.Errorf("desk %d: %+v", i, d)
		}
	}
	other, err := s.NextEach([]string{"a.jpg"})
	if err != nil || other[0].Each == batches[0].Each {
		t.Errorf("%v, or both calls have the same group", err)
	}
	for name, paths := range map[string][]string{"none": nil, "too many": make([]string, MaxEach+1)} {
		if _, err := s.NextEach(paths); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	for field, change := range map[string]func(*Desk){
		"seed": func(d *Desk) { d.Seed = "x" }, "steps": func(d *Desk) { d.Steps = "many" },
		"strength": func(d *Desk) { d.Edit.Strength = "half" },
	} {
		d := s.Desk.Desk()
		change(&d)
		s.Desk.Lay(d)
		if _, err := s.NextEach([]string{"a.jpg"}); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: %v", field, err)
		}
		s.Desk.Undo()
		d.Seed, d.Steps, d.Edit.Strength = "7", "", "0.5"
		s.Desk.Lay(d)
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
