package history

import (
	"fmt"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"kleinbild/inference/picture"
)

func entry(prompt string) Entry {
	return Entry{Path: "/pictures/" + prompt + ".png", Made: time.Unix(1_700_000_000, 0).UTC(), Took: 3 * time.Second, Work: 1e9, Picture: picture.Metadata{Prompt: prompt, Seed: 1 << 63}}
}

func mustOpen(t *testing.T, path string) *Store {
	t.Helper()
	s, aside, err := Open(path)
	if err != nil || aside != "" {
		t.Fatalf("open: %v, aside %q", err, aside)
	}
	return s
}

func mustList(t *testing.T, s *Store) []Entry {
	t.Helper()
	list, err := s.List()
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestAddListRemove(t *testing.T) {
	path := filepath.Join(t.TempDir(), "deep", "history.db")
	s := mustOpen(t, path)
	before := s.Version()
	var added []Entry
	for _, prompt := range []string{"one", "zwei", "三"} {
		e, err := s.Add(entry(prompt))
		if err != nil {
			t.Fatal(err)
		}
		added = append(added, e)
	}
	if s.Version() == before {
		t.Error("the version did not change")
	}
	list := mustList(t, mustOpen(t, path))
	if len(list) != 3 || list[0].Picture.Prompt != "三" || list[0].ID <= list[1].ID || list[2].Picture.Seed != 1<<63 || list[2].Took != 3*time.Second {
		t.Errorf("list %+v", list)
	}
	if err := s.Remove(added[1].ID); err != nil {
		t.Fatal(err)
	}
	if err := s.Remove(added[1].ID); err != nil {
		t.Errorf("a second removal: %v", err)
	}
	if list := mustList(t, s); len(list) != 2 {
		t.Errorf("%d entries after one of three was removed", len(list))
	}
	if err := s.Restore(added[1]); err != nil {
		t.Fatal(err)
	}
	if list := mustList(t, s); len(list) != 3 || list[1].ID != added[1].ID || list[1].Picture.Prompt != "zwei" {
		t.Errorf("restored: %+v", list)
	}
	if e, err := s.Add(entry("new")); err != nil || e.ID <= added[2].ID {
		t.Errorf("id %d, %v: ids are not used again", e.ID, err)
	}
}

// TestTwoWindows adds from two stores on one file at a time.
func TestTwoWindows(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history.db")
	const each = 20
	var wg sync.WaitGroup
	for w := range 2 {
		s := mustOpen(t, path)
		wg.Go(func() {
			for i := range each {
				if _, err := s.Add(entry(fmt.Sprint(w, "-", i))); err != nil {
					t.Error(err)
				}
				if _, err := s.List(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	seen := map[uint64]bool{}
	for _, e := range mustList(t, mustOpen(t, path)) {
		seen[e.ID] = true
	}
	if len(seen) != 2*each {
		t.Errorf("%d entries, want %d", len(seen), 2*each)
	}
}

func TestDamagedStore(t *testing.T) {
	for _, row := range []struct {
		name   string
		damage func(t *testing.T, path string)
	}{
		{"text", func(t *testing.T, path string) {
			write(t, path, []byte(strings.Repeat("not a store\n", 4000)))
		}},
		{"short", func(t *testing.T, path string) { write(t, path, []byte("x")) }},
		{"zeros", func(t *testing.T, path string) { write(t, path, make([]byte, 32<<10)) }},
		{"bad entry", func(t *testing.T, path string) {
			db, err := bbolt.Open(path, 0o600, nil)
			if err != nil {
				t.Fatal(err)
			}
			err = db.Update(func(tx *bbolt.Tx) error { return tx.Bucket(bucket).Put(key(99), []byte("{")) })
			if err != nil || db.Close() != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "history.db")
			if _, err := mustOpen(t, path).Add(entry("kept")); err != nil {
				t.Fatal(err)
			}
			row.damage(t, path)
			s, aside, err := Open(path)
			if err != nil || aside == "" {
				t.Fatalf("aside %q, %v", aside, err)
			}
			if _, err := os.Stat(aside); err != nil {
				t.Error(err)
			}
			if _, err := s.Add(entry("new")); err != nil || len(mustList(t, s)) != 1 {
				t.Errorf("%d entries, %v", len(mustList(t, s)), err)
			}
		})
	}
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestStoreWhereNoneCanBe(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	write(t, file, nil)
	if _, aside, err := Open(filepath.Join(file, "history.db")); err == nil || aside != "" {
		t.Errorf("aside %q, %v", aside, err)
	}
	if _, aside, err := Open(t.TempDir()); err == nil || aside != "" {
		t.Errorf("a folder: aside %q, %v", aside, err)
	}
}

func TestMatches(t *testing.T) {
	e := entry("A red FOX in the Schnee")
	for query, want := range map[string]bool{"": true, "fox": true, "schnee RED": true, "  fox  ": true, "blue": false, "fox blue": false} {
		if e.Matches(query) != want {
			t.Errorf("%q: %v", query, !want)
		}
	}
}

func TestThumbnails(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "picture.png")
	img := image.NewRGBA(image.Rect(0, 0, 640, 320))
	for i := range img.Pix {
		img.Pix[i] = 200
	}
	img.SetRGBA(0, 0, color.RGBA{200, 200, 200, 255})
	save := func() {
		f, err := os.Create(path)
		if err == nil {
			err = png.Encode(f, img)
		}
		if err != nil || f.Close() != nil {
			t.Fatal(err)
		}
	}
	save()
	cache := filepath.Join(dir, "cache")
	thumbs := NewThumbnails(cache)
	small, err := thumbs.Get(path)
	if err != nil || small.Rect != image.Rect(0, 0, ThumbnailWidth, ThumbnailWidth/2) {
		t.Fatalf("%v, %v", small.Bounds(), err)
	}
	files, err := os.ReadDir(cache)
	if err != nil || len(files) != 1 {
		t.Fatalf("%d files in the cache, %v", len(files), err)
	}
	// The second time it comes from the cache, though the picture could not be read.
	cached := filepath.Join(cache, files[0].Name())
	f, err := os.Create(cached)
	if err != nil || png.Encode(f, image.NewGray(image.Rect(0, 0, 3, 2))) != nil || f.Close() != nil {
		t.Fatal(err)
	}
	if again, err := thumbs.Get(path); err != nil || again.Rect != image.Rect(0, 0, 3, 2) {
		t.Errorf("%v, %v: not from the cache", again.Bounds(), err)
	}
	write(t, cached, []byte("damaged"))
	if again, err := thumbs.Get(path); err != nil || again.Rect != small.Rect {
		t.Errorf("%v, %v: a damaged cache is made anew", again.Bounds(), err)
	}
	if _, err := NewThumbnails(filepath.Join(path, "no folder")).Get(path); err != nil {
		t.Errorf("without a cache: %v", err)
	}
	for _, bad := range []string{filepath.Join(dir, "gone.png"), dir, cached[:0]} {
		if _, err := thumbs.Get(bad); err == nil {
			t.Errorf("%q has a thumbnail", bad)
		}
	}
	write(t, path, []byte("not a picture"))
	if _, err := thumbs.Get(path); err == nil {
		t.Error("a file that is no picture has a thumbnail")
	}
}
