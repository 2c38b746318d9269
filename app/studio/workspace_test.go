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
