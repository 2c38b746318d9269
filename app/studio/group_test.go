package studio

import (
	"fmt"
	"testing"

	"github.com/kleinbild/kleinbild/history"
)

// TestBatchInTheHistory: the pictures of one batch are known as such, also if the batch was interrupted by the end of
// the program; pictures that were made alone belong to none.
func TestBatchInTheHistory(t *testing.T) {
	dir := t.TempDir()
	r := newRig(t, dir, &painter{})
	r.Desk.Choose(func(d *Desk) { d.Prompt, d.Seed, d.Count = "tries", "7", 3 })
	tries, err := r.NextBatch()
	if err != nil || tries.Group == 0 {
		t.Fatalf("group %d, %v", tries.Group, err)
	}
	if again, err := r.NextBatch(); err != nil || again.Group == tries.Group {
		t.Errorf("a second batch has the group %d, too, %v", again.Group, err)
	}
	r.Desk.Choose(func(d *Desk) { d.Count = 1 })
	alone, err := r.NextBatch()
	if err != nil || alone.Group != 0 {
		t.Errorf("one picture has the group %d, %v", alone.Group, err)
	}
	first := tries
	first.Count = 1 // as far as it came
	r.Queue.Add(first)
	r.Queue.Add(alone)
	store, err := OpenStore(dir + "/desk")
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	if err := store.SaveQueue([]Batch{tries.After(1)}); err != nil {
		t.Fatal(err)
	}
	kept, err := store.LoadQueue()
	if err != nil || len(kept) != 1 {
		t.Fatal(kept, err)
	}
	r.Queue.Add(kept[0])
	r.Maker.Next()
	r.until("all are made", func() bool { return r.Maker.Run() == nil && len(r.Album.Entries()) == 4 })
	seeds := func(list []history.Entry) (text string) {
		for _, e := range list {
			text += fmt.Sprint(e.Picture.Seed, " ")
		}
		return text
	}
	for _, e := range r.Album.Entries() {
		want := "7 8 9 "
		if e.Batch == 0 {
			want = ""
		}
		if got := seeds(r.Album.Batch(e.ID)); got != want {
			t.Errorf("seed %d: with it were made %q, want %q", e.Picture.Seed, got, want)
		}
	}
	if got := seeds(r.Album.Store().List()); got != seeds(r.Album.Entries()) {
		t.Errorf("in the file are %q", got)
	}
	if list := r.Album.Store().List(); len(list) == 4 && list[0].Batch != tries.Group {
		t.Errorf("the file has the group %d, want %d", list[0].Batch, tries.Group)
	}
	if r.Album.Batch(12345) != nil {
		t.Error("a picture that is not there belongs to a batch")
	}
}
