package studio

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/kleinbild/kleinbild/history"
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
			e, stored := r.Album.Entries()[1], 2
			gone := uint64(0)
			r.Album.Removed.Subscribe(func(id uint64) { gone = id })
			done := false
			finished := func(err error) { done = err == nil }
			throw := func(e history.Entry) {
				away := func(gone []history.Entry, err error) { done = err == nil && len(gone) == 1 && gone[0].ID == e.ID }
				r.Album.Throw([]history.Entry{e}, away, finished)
			}
			throw(e)
			r.until("it is away", func() bool { return done })
			_, found := r.Album.Find(e.ID)
			if _, err := os.Stat(e.Path); found || gone != e.ID || (err == nil) == row.gives {
				t.Errorf("in the album: %v, gone %d, file: %v", found, gone, err)
			}
			done = false
			r.Album.TakeBack([]history.Entry{e}, finished)
			r.until("it is back", func() bool { return done })
			if _, err := os.Stat(e.Path); err != nil || r.Album.Entries()[1].ID != e.ID {
				t.Errorf("%v; entries %+v", err, r.Album.Entries())
			}
			throw(e)
			r.until("it is away again", func() bool { return len(r.Album.Entries()) == 2 })
			r.Album.ThrowNow()
			if _, err := os.Stat(e.Path); err == nil {
				t.Error("the file is still there at the end")
			}
			if !row.gives { // undo comes too late: the picture is in the bin, or is being moved there
				wantTooLate := func(e history.Entry) {
					t.Helper()
					var failed error
					r.Album.TakeBack([]history.Entry{e}, func(err error) { failed = err })
					if !errors.Is(failed, errInBin) {
						t.Errorf("%s is taken back: %v, want %v", e.Picture.Prompt, failed, errInBin)
					}
				}
				wantTooLate(e)
				last := r.Album.Entries()[1]
				throw(last)
				r.Album.move(r.Album.binned[last.ID], finished)
				wantTooLate(last)
				r.until("it is moved", func() bool { return r.Album.binned[last.ID] == nil })
				stored--
			}
			store := history.At(filepath.Join(r.dir, "history.db"), nil)
			if n := len(store.List()); n != stored {
				t.Errorf("%d entries are stored, want %d", n, stored)
			}
		})
	}
}
