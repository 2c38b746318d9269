package studio

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kleinbild/kleinbild/inference/picture"
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

// TestKeptSoon changes what is kept in each way, and reads the files that a killed program would leave.
func TestKeptSoon(t *testing.T) {
	dir := t.TempDir()
	r := newRig(t, dir, &painter{hold: make(chan struct{}, 9)})
	folder := filepath.Join(dir, "desk")
	if _, _, err := r.Keeper.Open(folder); err != nil {
		t.Fatal(err)
	}
	r.Keeper.ReadQueue(folder, Desk{}, func([]Batch, error, error) {})
	kept := func(file, part string) bool {
		text, err := os.ReadFile(filepath.Join(folder, file))
		return err == nil && strings.Contains(string(text), part)
	}
	for _, row := range []struct {
		name       string
		do         func()
		file, want string
	}{
		{"the queue is read", func() {}, queueFile, "null"},
		{"typing", func() { r.Desk.Type(func(d *Desk) { d.Prompt = "typed" }) }, deskFile, `"typed"`},
		{"a batch is added", func() { r.Queue.Add(small("made", 2)) }, queueFile, `"seed":7,"count":2`},
		{"the run begins", func() { // which writes the same again
			if err := os.Remove(filepath.Join(folder, queueFile)); err != nil {
				t.Error(err)
			}
			r.Maker.Next()
		}, queueFile, `"seed":7,"count":2`},
		{"a picture is made", func() { r.engine.hold <- struct{}{} }, queueFile, `"seed":8,"count":1`},
		{"the run ends", func() { r.Maker.Cancel() }, queueFile, "null"},
	} {
		row.do()
		r.until(row.name, func() bool { return kept(row.file, row.want) })
	}
}
