package studio

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"kleinbild/history"
)

// TestBin throws a picture away, in a bin that gives it back and in one that does not.
func TestBin(t *testing.T) {
	for _, row := range []struct {
		name  string
		gives bool
	}{{"gives back", true}, {"gives nothing back", false}} {
		t.Run(row.name, func(t *testing.T) {
			r := newRig(t, t.TempDir(), &painter{})
			for _, p := range []string{"older", "thrown", "newer"} {
				r.Queue.Add(small(p, 1))
			}
			r.Maker.Next()
			r.until("all is made", func() bool { return len(r.Album.Entries()) == 3 && r.Maker.Run() == nil })
			if row.gives {
				bin := filepath.Join(r.dir, "bin")
				r.Album.Bin = Bin{
					Throw:    func(path string) error { return os.Rename(path, bin) },
					TakeBack: func(path string) error { return os.Rename(bin, path) },
				}
			}
			e := r.Album.Entries()[1]
			gone := uint64(0)
			r.Album.Removed.Subscribe(func(id uint64) { gone = id })
			done := false
			finished := func(err error) { done = err == nil }
			r.Album.Throw(e, finished, finished)
			r.until("it is away", func() bool { return done })
			_, found := r.Album.Find(e.ID)
			if _, err := os.Stat(e.Path); found || gone != e.ID || (err == nil) == row.gives {
				t.Errorf("in the album: %v, gone %d, file: %v", found, gone, err)
			}
			done = false
			r.Album.TakeBack(e, finished)
			r.until("it is back", func() bool { return done })
			if _, err := os.Stat(e.Path); err != nil || r.Album.Entries()[1].ID != e.ID {
				t.Errorf("%v; entries %+v", err, r.Album.Entries())
			}
			r.Album.Throw(e, finished, finished)
			r.until("it is away again", func() bool { return len(r.Album.Entries()) == 2 })
			r.Album.ThrowNow()
			if _, err := os.Stat(e.Path); err == nil {
				t.Error("the file is still there at the end")
			}
			if !row.gives { // undo comes too late
				for _, w := range []*waste{nil, {moving: true}} {
					if delete(r.Album.binned, e.ID); w != nil {
						r.Album.binned[e.ID] = w
					}
					var failed error
					r.Album.TakeBack(e, func(err error) { failed = err })
					if !errors.Is(failed, errInBin) {
						t.Errorf("taken back from the bin itself: %v, want %v", failed, errInBin)
					}
				}
			}
			store := history.At(filepath.Join(r.dir, "history.db"), nil)
			if n := len(store.List()); n != 2 {
				t.Errorf("%d entries are stored", n)
			}
		})
	}
}
