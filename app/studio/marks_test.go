package studio

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/kleinbild/kleinbild/history"
	"github.com/kleinbild/kleinbild/inference/picture"
)

// rigWith returns a rig whose history has entries with these prompts, the newest last, and whose files are there.
func rigWith(t *testing.T, prompts ...string) *rig {
	t.Helper()
	dir := t.TempDir()
	store := history.At(filepath.Join(dir, "history.db"), nil)
	for i, p := range prompts {
		path := filepath.Join(dir, fmt.Sprintf("%d.png", i))
		if err := os.WriteFile(path, []byte(p), 0o600); err != nil {
			t.Fatal(err)
		}
		store.Add(history.Entry{Path: path, Picture: picture.Metadata{Prompt: p}})
	}
	r := newRig(t, dir, &painter{})
	r.Album.Reload()
	r.until("the history is read", func() bool { return len(r.Album.Entries()) == len(prompts) })
	return r
}

// stored reads the history as another window does.
func (r *rig) stored() (list []history.Entry, folders []history.Folder) {
	s := history.At(filepath.Join(r.dir, "history.db"), nil)
	return s.List(), s.Folders()
}

func (r *rig) written() { r.until("all is written", func() bool { return len(r.Album.changes) == 0 }) }

func noError(t *testing.T) func(error) {
	return func(err error) {
		if err != nil {
			t.Error(err)
		}
	}
}

// TestMarks: stars and folders show at once, and of several changes in a row the last one is stored.
func TestMarks(t *testing.T) {
	r := rigWith(t, "a red house", "a blue house", "a bird")
	a := r.Album
	bird, blue := a.Entries()[0], a.Entries()[1]
	for i := range 5 {
		a.Star([]uint64{bird.ID, blue.ID}, i%2 == 0, noError(t))
		if a.Entries()[0].Starred != (i%2 == 0) {
			t.Fatalf("change %d does not show", i)
		}
	}
	a.Star([]uint64{blue.ID}, false, noError(t))
	var houses history.Folder
	a.PutFolder(history.Folder{Name: "Houses"}, func(f history.Folder, err error) {
		noError(t)(err)
		houses = f
		a.File([]uint64{blue.ID}, f.ID, true, noError(t))
	})
	a.Reload() // between changes: it shows none of them undone
	a.Search("HOUSE")
	r.written()
	list, folders := r.stored()
	if !list[0].Starred || list[1].Starred || !list[1].Filed(houses.ID) || len(folders) != 1 || houses.ID == 0 {
		t.Errorf("stored: %+v, %+v", list, folders)
	}
	if f, ok := a.Folder(houses.ID); !ok || f.Name != "Houses" || len(a.Found()) != 2 || !a.Found()[0].Filed(f.ID) {
		t.Errorf("folders %v, found %+v", a.Folders(), a.Found())
	}
	a.PutFolder(history.Folder{Name: "houses"}, func(_ history.Folder, err error) {
		if !errors.Is(err, history.ErrFolderTaken) {
			t.Errorf("a second folder of that name: %v", err)
		}
	})
	a.RemoveFolder(houses.ID, noError(t))
	r.written()
	if len(a.Folders()) != 0 || len(a.Entries()) != 3 {
		t.Errorf("after the folder was removed: %v, %d pictures", a.Folders(), len(a.Entries()))
	}
}

// TestReloadKeepsChanges: what another window has changed comes without undoing what is not written yet.
func TestReloadKeepsChanges(t *testing.T) {
	r := rigWith(t, "one", "two")
	a := r.Album
	first := a.Entries()[1].ID
	a.Reload()
	a.Star([]uint64{first}, true, noError(t)) // waits for the reading
	var seen []bool
	a.Changed.Subscribe(func() { seen = append(seen, a.Entries()[1].Starred) })
	r.written()
	for i, starred := range seen {
		if !starred {
			t.Errorf("event %d of %d shows the star taken away", i, len(seen))
		}
	}
	if len(seen) == 0 {
		t.Error("nothing was read")
	}
}

// TestMarksThatCannotBeStored are taken back, and told.
func TestMarksThatCannotBeStored(t *testing.T) {
	r := rigWith(t, "one")
	file, err := bbolt.Open(filepath.Join(r.dir, "history.db"), 0o644, nil)
	if err != nil {
		t.Fatal(err)
	}
	var failed error
	r.Album.Star([]uint64{r.Album.Entries()[0].ID}, true, func(err error) { failed = err })
	r.until("it fails", func() bool { return failed != nil })
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	r.written()
	if !errors.Is(failed, history.ErrHeld) || r.Album.Entries()[0].Starred {
		t.Errorf("%v; starred %v", failed, r.Album.Entries()[0].Starred)
	}
}

// TestWriteNow: a star that was given just before the window closes is stored.
func TestWriteNow(t *testing.T) {
	r := rigWith(t, "one", "two")
	for _, e := range r.Album.Entries() {
		r.Album.Star([]uint64{e.ID}, true, noError(t))
	}
	r.Album.WriteNow()
	if list, _ := r.stored(); !list[0].Starred || !list[1].Starred {
		t.Errorf("stored: %+v", list)
	}
	r.written()
}

// TestThrowSeveral: several pictures go to the bin and come back in one step.
func TestThrowSeveral(t *testing.T) {
	r := rigWith(t, "one", "two", "three", "four")
	a := r.Album
	a.Bin = Bin{
		Throw:    func(path string) error { return os.Rename(path, path+".bin") },
		TakeBack: func(path string) error { return os.Rename(path+".bin", path) },
	}
	some := []history.Entry{a.Entries()[1], a.Entries()[3]}
	if err := os.Remove(a.Entries()[2].Path); err != nil { // cannot be thrown
		t.Fatal(err)
	}
	var gone []history.Entry
	var failed error
	ended := false
	throw := func(list []history.Entry) {
		ended = false
		a.Throw(list, func(g []history.Entry, err error) { gone, failed, ended = g, err, true }, noError(t))
		r.until("the bin", func() bool { return ended })
	}
	throw(some)
	if len(gone) != 2 || failed != nil || len(a.Entries()) != 2 {
		t.Errorf("gone %d, %v, left %d", len(gone), failed, len(a.Entries()))
	}
	back := false
	a.TakeBack(gone, func(err error) { noError(t)(err); back = true })
	r.until("it is back", func() bool { return back })
	list, _ := r.stored()
	if len(list) != 4 || len(a.Entries()) != 4 || a.Entries()[1].ID != some[0].ID || a.Entries()[3].ID != some[1].ID {
		t.Errorf("back: %d stored, entries %+v", len(list), a.Entries())
	}
	throw(a.Entries()[1:])
	if len(gone) != 1 || gone[0].ID != some[0].ID || !errors.Is(failed, os.ErrNotExist) || len(a.Entries()) != 3 {
		t.Errorf("gone %+v, %v, left %d", gone, failed, len(a.Entries()))
	}
}

func TestExport(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	write := func(path, text string) string {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	fox, cat := write(filepath.Join(from, "fox.png"), "a fox"), write(filepath.Join(from, "cat.png"), "a cat")
	write(filepath.Join(to, "fox.png"), "another fox")
	n, err := Export(context.Background(), to, []string{fox, filepath.Join(from, "gone.png"), cat, fox})
	if n != 3 || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%d copies, %v", n, err)
	}
	for name, want := range map[string]string{
		"fox.png": "another fox", "fox-2.png": "a fox", "fox-3.png": "a fox", "cat.png": "a cat",
	} {
		if got, err := os.ReadFile(filepath.Join(to, name)); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v, want %q", name, got, err, want)
		}
	}
	if files, err := os.ReadDir(to); err != nil || len(files) != 4 {
		t.Errorf("%d files, %v", len(files), err)
	}
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	if n, err := Export(ended, to, []string{fox}); n != 0 || !errors.Is(err, context.Canceled) {
		t.Errorf("after the end: %d copies, %v", n, err)
	}
	if _, err := Export(context.Background(), filepath.Join(to, "no folder"), []string{fox}); err == nil {
		t.Error("a folder that is not there: no error")
	}
}

// TestSearchIsQuick: the window searches while the user types.
func TestSearchIsQuick(t *testing.T) {
	const n, most = 10_000, 50 * time.Millisecond
	list := make([]history.Entry, n)
	for i := range list {
		list[i].ID = uint64(n - i)
		list[i].Picture.Prompt = fmt.Sprint("A Painting of a red House in the light of the Evening, with clouds over the "+
			"hills and a river that winds through the valley to a distant sea, painted in oil, number ", i)
	}
	best := time.Hour // of five, because other tests run at the same time
	for range 5 {
		start := time.Now()
		if found := history.Search(list, "9999 valley HOUSE"); len(found) != 1 {
			t.Fatalf("found %d", len(found))
		}
		best = min(best, time.Since(start))
	}
	t.Logf("%v for %d entries", best, n)
	if best > most {
		t.Errorf("%v, want at most %v", best, most)
	}
}
