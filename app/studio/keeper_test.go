package studio

import (
	"path/filepath"
	"testing"

	"kleinbild/inference/picture"
)

// TestDeskSurvives closes a studio while a batch is being made and opens it again: desk and queue are as they were,
// with what is left of the batch in front.
func TestDeskSurvives(t *testing.T) {
	dir := t.TempDir()
	r := newRig(t, dir, &painter{hold: make(chan struct{}, 9)})
	read := func(r *rig) (desk Desk, ok bool) {
		t.Helper()
		desk, ok, err := r.Keeper.Open(filepath.Join(dir, "desk"))
		if err != nil {
			t.Fatal(err)
		}
		r.Keeper.ReadQueue(filepath.Join(dir, "desk"), desk, func(_ []Batch, broken, err error) {
			if broken != nil || err != nil {
				t.Error(broken, err)
			}
		})
		r.until("the queue is read", r.Keeper.Loaded)
		return desk, ok
	}
	if _, ok := read(r); ok {
		t.Fatal("a new folder has a desk")
	}
	r.Queue.Add(small("first", 3))
	r.Queue.Add(small("second", 1))
	r.Maker.Next()
	r.engine.hold <- struct{}{}
	r.until("one picture", func() bool { return r.Maker.Run().Done == 1 })
	r.Desk.Type(func(d *Desk) { d.Prompt = "unfinished" })
	r.Desk.Choose(func(d *Desk) { d.Aspect, d.Count = picture.Wide, 4 })
	r.Keeper.Last()
	r.Loop.Close()

	again := newRig(t, dir, &painter{})
	desk, ok := read(again)
	if !ok || desk.Prompt != "unfinished" || desk.Aspect != picture.Wide || desk.Count != 4 {
		t.Errorf("the desk is %+v", desk)
	}
	if !again.Queue.Paused() || again.Queue.prompts() != "first second" {
		t.Fatalf("paused %v: %+v", again.Queue.Paused(), again.Queue.Batches())
	}
	if first := again.Queue.Batches()[0]; first.Count != 2 || first.Seed != 8 {
		t.Errorf("of the first batch %+v is left", first)
	}
	again.Keeper.Discard()
	again.Keeper.Last()
	again.Loop.Close()
	third := newRig(t, dir, &painter{})
	if read(third); !third.Queue.Empty() {
		t.Errorf("%q wait though they were discarded", third.Queue.prompts())
	}
}
