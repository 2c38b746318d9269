package studio

import (
	"testing"

	"github.com/kleinbild/kleinbild/inference"
)

// TestWorkspace: a choice is a step; typing is none, but its text belongs to the next step; what is done in one call of
// Do is undone as a whole.
func TestWorkspace(t *testing.T) {
	var w Workspace
	changed, chosen, laid := 0, 0, 0
	w.Changed.Subscribe(func() { changed++ })
	w.Chosen.Subscribe(func() { chosen++ })
	w.Laid.Subscribe(func(Desk) { laid++ })
	typed := func(text string) { w.Type(func(d *Desk) { d.Prompt = text }) }
	count := func(n int) { w.Choose(func(d *Desk) { d.Count = n }) }
	typed("one")
	if w.Steps() != 0 || changed != 1 || chosen != 0 {
		t.Errorf("typing: %d steps, told %d and %d", w.Steps(), changed, chosen)
	}
	count(2)
	count(2) // no other choice
	if w.Steps() != 1 || chosen != 2 {
		t.Errorf("a choice: %d steps, told %d", w.Steps(), chosen)
	}
	queue := "full"
	if !w.Do(Step{Undo: func() { queue = "full" }, Redo: func() { queue = "empty" }}, func() {
		queue = "empty"
		count(3)
		typed("two")
		count(4)
	}) || w.Steps() != 2 || chosen != 3 {
		t.Errorf("a whole: %d steps, told %d", w.Steps(), chosen)
	}
	if w.Change(func() {}) {
		t.Error("nothing was changed, and it is a step")
	}
	w.Undo()
	if d := w.Desk(); d.Count != 2 || d.Prompt != "one" || queue != "full" || laid != 1 {
		t.Errorf("undone: %+v, %s, laid out %d times", d, queue, laid)
	}
	typed("typed since")
	w.Undo()
	if d := w.Desk(); d.Count != 0 || d.Prompt != "typed since" {
		t.Errorf("undone twice: %+v", d)
	}
	w.Undo() // of nothing
	w.Redo()
	w.Redo()
	if d := w.Desk(); d.Count != 4 || d.Prompt != "two" || queue != "empty" {
		t.Errorf("done again: %+v, %s", d, queue)
	}
	w.Amend(func() { count(5) })
	w.Undo()
	if d := w.Desk(); d.Count != 2 {
		t.Errorf("amended, then undone: %+v", d)
	}
}

// TestExtendLeavesTexts: undo and redo of larger margins leave what was typed since.
func TestExtendLeavesTexts(t *testing.T) {
	var w Workspace
	w.Extend(inference.Margins{Left: 90})
	w.Extend(inference.Margins{Left: 90, Top: 40})
	w.Extend(inference.Margins{Left: 90, Top: 40}) // no others
	if w.Steps() != 2 {
		t.Errorf("%d steps, want 2", w.Steps())
	}
	w.Type(func(d *Desk) { d.Prompt, d.Seed = "typed since", "7" })
	for _, row := range []struct {
		turn func()
		want inference.Margins
	}{
		{w.Undo, inference.Margins{Left: 90}}, {w.Undo, inference.Margins{}},
		{w.Redo, inference.Margins{Left: 90}}, {w.Redo, inference.Margins{Left: 90, Top: 40}},
	} {
		row.turn()
		if d := w.Desk(); d.Edit.Margins() != row.want || d.Prompt != "typed since" || d.Seed != "7" {
			t.Errorf("%+v, prompt %q, seed %q; want %+v", d.Edit.Margins(), d.Prompt, d.Seed, row.want)
		}
	}
}

// TestMarginsLeaveWithImage1: the margins leave with the picture that they were for, and come back with it by undo,
// which leaves what was typed since.
func TestMarginsLeaveWithImage1(t *testing.T) {
	margins := inference.Margins{Left: 90, Bottom: 3}
	for _, row := range []struct {
		name string
		do   func(w *Workspace)
		stay bool
	}{
		{"dropped over", func(w *Workspace) { w.Choose(func(d *Desk) { d.Fill(1, []string{"c.png"}) }) }, false},
		{"dropped over the other", func(w *Workspace) { w.Choose(func(d *Desk) { d.Fill(2, []string{"c.png"}) }) }, true},
		{"the same again", func(w *Workspace) { w.Choose(func(d *Desk) { d.Fill(1, []string{"a.png"}) }) }, true},
		{"one more", func(w *Workspace) { w.Choose(func(d *Desk) { d.Fill(0, []string{"c.png"}) }) }, true},
		{"swapped", func(w *Workspace) { w.SwapSlots(1, 2) }, false},
		{"removed", func(w *Workspace) { w.EmptySlot(1) }, false},
		{"the other removed", func(w *Workspace) { w.EmptySlot(2) }, true},
		{"cleared", (*Workspace).EmptySlots, false},
		{"another one edited", func(w *Workspace) { w.Choose(func(d *Desk) { d.EditPicture("c.png") }) }, false},
	} {
		var w Workspace
		w.Choose(func(d *Desk) { d.Slots = []Slot{{Path: "a.png"}, {Path: "b.png"}} })
		w.Extend(margins)
		row.do(&w)
		if got := w.Desk().Edit.Margins(); (got == margins) != row.stay {
			t.Errorf("%s: margins %+v", row.name, got)
		}
		if !row.stay {
			w.Type(func(d *Desk) { d.Seed = "7" })
			w.Undo()
			if d := w.Desk(); d.Edit.Margins() != margins || d.Slots[0].Path != "a.png" || d.Seed != "7" {
				t.Errorf("%s, undone: %+v, %v, seed %q", row.name, d.Edit.Margins(), d.Slots, d.Seed)
			}
			w.Redo()
			if d := w.Desk(); d.Edit.Margins() != (inference.Margins{}) || d.Seed != "7" {
				t.Errorf("%s, done again: %+v", row.name, d.Edit.Margins())
			}
		}
	}
}
