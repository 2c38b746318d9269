package history

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.etcd.io/bbolt"
)

// names are the folders' names with their IDs, as List orders them.
func names(list []Folder) (s string) {
	for _, f := range list {
		s += fmt.Sprintf("%d %s;", f.ID, f.Name)
	}
	return s
}

func mustPut(t *testing.T, s *Store, f Folder) Folder {
	t.Helper()
	f, err := s.PutFolder(f)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestFolders(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history.db")
	s := mustOpen(t, path)
	if list := s.Folders(); list != nil {
		t.Errorf("a new store has folders: %v", list)
	}
	houses, birds := mustPut(t, s, Folder{Name: "  houses\tof  clay "}), mustPut(t, s, Folder{Name: "Birds"})
	e := s.Add(entry("a red house"))
	mark := func(e *Entry) { e.Starred = true; e.File(houses.ID, true) }
	if err := s.Change([]uint64{e.ID, e.ID + 100}, mark); err != nil {
		t.Fatal(err)
	}
	other := mustOpen(t, path) // another window
	if got := names(other.Folders()); got != "2 Birds;1 houses of clay;" {
		t.Errorf("folders %q", got)
	}
	if got := mustList(t, other)[0]; !got.Starred || !got.Filed(houses.ID) || got.Filed(birds.ID) ||
		got.Picture.Prompt != "a red house" {
		t.Errorf("entry %+v", got)
	}
	for _, row := range []struct {
		name string
		f    Folder
		want error
	}{
		{"no name", Folder{Name: " \n"}, ErrFolderName},
		{"a long name", Folder{Name: strings.Repeat("ä", MaxFolderRunes+1)}, ErrFolderName},
		{"taken", Folder{Name: "bIRDS"}, ErrFolderTaken},
		{"renamed to one that is taken", Folder{ID: houses.ID, Name: "birds"}, ErrFolderTaken},
		{"renamed to itself", Folder{ID: birds.ID, Name: "BIRDS"}, nil},
		{"the longest name", Folder{ID: houses.ID, Name: strings.Repeat("ä", MaxFolderRunes)}, nil},
	} {
		if _, err := s.PutFolder(row.f); !errors.Is(err, row.want) {
			t.Errorf("%s: %v, want %v", row.name, err, row.want)
		}
	}
	// A folder that was removed comes back with its pictures, and its ID is given to no other one.
	if err := s.RemoveFolder(houses.ID); err != nil {
		t.Fatal(err)
	}
	if f := mustPut(t, s, Folder{Name: "cats"}); f.ID != 3 || names(s.Folders()) != "2 BIRDS;3 cats;" {
		t.Errorf("the next folder has the ID %d: %s", f.ID, names(s.Folders()))
	}
	mustPut(t, s, houses)
	if got := names(s.Folders()); got != "2 BIRDS;3 cats;1 houses of clay;" || !mustList(t, s)[0].Filed(houses.ID) {
		t.Errorf("put back: %s, %+v", got, mustList(t, s)[0])
	}
}

// TestStarsOfTwoWindows has two windows star the same entries at the same time: none loses what the other wrote.
func TestStarsOfTwoWindows(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history.db")
	s := mustOpen(t, path)
	var ids []uint64
	for i := range 20 {
		ids = append(ids, s.Add(entry(fmt.Sprint(i))).ID)
	}
	var wg sync.WaitGroup
	for w := range 2 {
		s := mustOpen(t, path)
		folder := mustPut(t, s, Folder{Name: fmt.Sprint("folder ", w)})
		wg.Go(func() {
			for _, id := range ids {
				if err := s.Change([]uint64{id}, func(e *Entry) { e.File(folder.ID, true) }); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	for _, e := range mustList(t, s) {
		if len(e.Folders) != 2 {
			t.Errorf("%s is in the folders %v, want both", e.Picture.Prompt, e.Folders)
		}
	}
}

// TestStarWhileHeld: an entry that waits cannot be starred while the file is held, and can once it is written.
func TestStarWhileHeld(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history.db")
	s, _ := listen(path)
	s.wait = shortTimeout
	file, err := bbolt.Open(path, 0o644, nil)
	if err != nil {
		t.Fatal(err)
	}
	e := s.Add(entry("waits"))
	star := func() error { return s.Change([]uint64{e.ID}, func(e *Entry) { e.Starred = true }) }
	if err := star(); !errors.Is(err, ErrHeld) {
		t.Errorf("while the file is held: %v", err)
	}
	if err := errors.Join(file.Close(), star()); err != nil {
		t.Fatal(err)
	}
	if list := mustList(t, s); len(list) != 1 || !list[0].Starred {
		t.Errorf("entries %+v", list)
	}
}

// TestMarksAreRescued damages a store with stars and folders at each of its pages: what can be read stays, and a new
// folder never gets the ID of one that still has pictures.
func TestMarksAreRescued(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "made.db")
	picture := put(t, filepath.Join(dir, "picture.png"), "a picture")
	s := mustOpen(t, path)
	const n = 40 // of one page and more
	// Few transactions, because rescue finds an older copy of an entry if the page with the latest one is damaged.
	if err := s.update(func(b *bbolt.Bucket) error {
		folders, err := b.Tx().CreateBucketIfNotExists(folderBucket)
		if err != nil {
			return err
		}
		for id := range uint64(n) {
			name := fmt.Sprint("folder ", id+1, strings.Repeat("x", 40))
			e := Entry{Path: picture, Starred: true, Folders: []uint64{n}}
			e.Picture.Prompt = strings.Repeat("a long prompt ", 20)
			if err := errors.Join(putFolder(folders, Folder{id + 1, name}), putEntry(b, id+1, e)); err != nil {
				return err
			}
		}
		return errors.Join(folders.SetSequence(n), b.SetSequence(n))
	}); err != nil {
		t.Fatal(err)
	}
	mustPut(t, s, Folder{ID: 1, Name: "another transaction"})
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := check(bytes.NewReader(whole), int64(len(whole))); err != nil {
		t.Fatal(err)
	}
	damages, rescuedFolders := 0, 0
	for at := 0; at < len(whole); at += 4096 {
		damaged := slices.Clone(whole)
		copy(damaged[at:min(at+4096, len(damaged))], make([]byte, 4096))
		list, aside := openDamaged(t, fmt.Sprint("page ", at/4096), dir, damaged)
		if aside == "" {
			continue // the page was free
		}
		damages++
		starred := 0
		for _, e := range list {
			if e.Starred && e.Filed(n) {
				starred++
			}
		}
		if starred < n/2 {
			t.Errorf("page %d: %d starred entries, want at least %d", at/4096, starred, n/2)
		}
		s := mustOpen(t, filepath.Join(dir, "history.db"))
		if got := s.Folders(); len(got) == n {
			rescuedFolders++
		}
		if f := mustPut(t, s, Folder{Name: "new"}); f.ID <= n {
			t.Errorf("page %d: a new folder has the ID %d, want one above %d", at/4096, f.ID, n)
		}
	}
	if damages == 0 || rescuedFolders < damages/2 {
		t.Errorf("all folders were rescued %d times of %d, want most times", rescuedFolders, damages)
	}
}

// TestEntriesOfEarlierVersions reads an entry as it was written before there were stars, folders and digests.
func TestEntriesOfEarlierVersions(t *testing.T) {
	s := mustOpen(t, filepath.Join(t.TempDir(), "history.db"))
	const old = `{"path":"/pictures/fox.png","made":"2026-01-02T03:04:05Z","took":5,"work":7,"Picture":{"prompt":"a fox"}}`
	if err := s.update(func(b *bbolt.Bucket) error { return b.Put(key(1), []byte(old)) }); err != nil {
		t.Fatal(err)
	}
	e := mustList(t, s)[0]
	if e.Starred || e.Folders != nil || e.SHA256 != "" || e.Picture.Prompt != "a fox" {
		t.Errorf("entry %+v", e)
	}
	if err := s.Change([]uint64{1}, func(e *Entry) { e.Starred = true }); err != nil {
		t.Fatal(err)
	}
	if e := mustList(t, s)[0]; !e.Starred || e.Took != 5 || e.Work != 7 || e.Path != "/pictures/fox.png" {
		t.Errorf("starred: %+v", e)
	}
}
