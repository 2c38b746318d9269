package history

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/kleinbild/kleinbild/inference/picture"
)

func entry(prompt string) Entry {
	return Entry{Path: "/pictures/" + prompt + ".png", Made: time.Unix(1_700_000_000, 0).UTC(), Took: 3 * time.Second,
		Work: 1e9, Picture: picture.Metadata{Prompt: prompt, Seed: 1 << 63}}
}

func mustOpen(t *testing.T, path string) *Store {
	t.Helper()
	s := At(path, func(n News) {
		if n.Err != nil || n.Aside != "" {
			t.Errorf("%s: %+v", path, n)
		}
	})
	s.Prepare()
	return s
}

// listen prepares a store and collects its news.
func listen(path string) (s *Store, news *[]News) {
	news = new([]News)
	s = At(path, func(n News) { *news = append(*news, n) })
	s.Prepare()
	return s, news
}

func mustList(t *testing.T, s *Store) []Entry {
	t.Helper()
	list := s.List()
	if s.lastErr != nil {
		t.Fatal(s.lastErr)
	}
	return list
}

func TestAddListRemove(t *testing.T) {
	path := filepath.Join(t.TempDir(), "deep", "history.db")
	s := mustOpen(t, path)
	before := s.Version()
	var added []Entry
	for _, prompt := range []string{"one", "zwei", "三"} {
		added = append(added, s.Add(entry(prompt)))
	}
	if s.Version() == before {
		t.Error("the version did not change")
	}
	list := mustList(t, mustOpen(t, path))
	if len(list) != 3 || list[0].Picture.Prompt != "三" || list[0].ID <= list[1].ID || list[2].Picture.Seed != 1<<63 ||
		list[2].Took != 3*time.Second {
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
	s.Restore(added[1])
	if list := mustList(t, s); len(list) != 3 || list[1].ID != added[1].ID || list[1].Picture.Prompt != "zwei" {
		t.Errorf("restored: %+v", list)
	}
	if e := s.Add(entry("new")); e.ID <= added[2].ID || e.ID >= waitingID {
		t.Errorf("ID %d, want one above %d", e.ID, added[2].ID)
	}
}

// TestTwoWindows adds entries to one file from two stores at the same time.
func TestTwoWindows(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history.db")
	const each = 20
	var wg sync.WaitGroup
	for w := range 2 {
		s := mustOpen(t, path)
		wg.Go(func() {
			for i := range each {
				s.Add(entry(fmt.Sprint(w, "-", i)))
				s.List()
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

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestSearch(t *testing.T) {
	e := entry("A red FOX in the Schnee")
	for query, want := range map[string]bool{"": true, "fox": true, "schnee RED": true, "  fox  ": true, "blue": false,
		"fox blue": false} {
		if found := Search([]Entry{e, entry("no other")}, query); slices.ContainsFunc(found, func(f Entry) bool {
			return f.Path == e.Path
		}) != want {
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
	thumbs := NewThumbnails(cache, ThumbnailWidth, ThumbnailHeight)
	small, err := thumbs.Get(path)
	if err != nil || small.Rect != image.Rect(0, 0, ThumbnailWidth, ThumbnailWidth/2) {
		t.Fatalf("%v, %v", small.Bounds(), err)
	}
	files, err := os.ReadDir(cache)
	if err != nil || len(files) != 1 {
		t.Fatalf("%d files in the cache, %v", len(files), err)
	}
	// The second Get must return the cached file, which the test replaces by another picture.
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
		t.Errorf("%v, %v: want a damaged thumbnail made again", again.Bounds(), err)
	}
	var large bytes.Buffer
	if err := png.Encode(&large, image.NewGray(image.Rect(0, 0, 9000, 20))); err != nil {
		t.Fatal(err)
	}
	write(t, cached, large.Bytes())
	if again, err := thumbs.Get(path); err != nil || again.Rect != small.Rect {
		t.Errorf("%v, %v: want a thumbnail of the wrong size made again", again.Bounds(), err)
	}
	if err := errors.Join(os.Remove(cached), os.Mkdir(cached, 0o755)); err != nil {
		t.Fatal(err)
	}
	if again, err := thumbs.Get(path); err != nil || again.Rect != small.Rect {
		t.Errorf("%v, %v: a folder in the thumbnail's place", again.Bounds(), err)
	}
	if _, err := NewThumbnails(filepath.Join(path, "no folder"), ThumbnailWidth, ThumbnailHeight).Get(path); err != nil {
		t.Errorf("without a cache: %v", err)
	}
	for _, bad := range []string{filepath.Join(dir, "gone.png"), dir, cached[:0]} {
		if _, err := thumbs.Get(bad); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
	write(t, path, []byte("not a picture"))
	if _, err := thumbs.Get(path); err == nil {
		t.Error("a file that is not a picture: no error")
	}
}

// TestThumbnailsOfPhotos: the results of edits have any size and 16 bits, and other pictures any shape.
func TestThumbnailsOfPhotos(t *testing.T) {
	dir := t.TempDir()
	thumbs := NewThumbnails(filepath.Join(dir, "cache"), 300, 200)
	for _, row := range []struct {
		name       string
		img        image.Image
		want       image.Point
		wantMiddle color.RGBA
	}{
		{"longer than 8192", image.NewGray(image.Rect(0, 0, 9000, 1200)), image.Pt(300, 40), color.RGBA{0, 0, 0, 255}},
		{"16 bits", uniform16(400, 400, 0x8080), image.Pt(200, 200), color.RGBA{128, 128, 128, 255}},
		{"smaller than a reference", image.NewGray(image.Rect(0, 0, 20, 10)), image.Pt(20, 10), color.RGBA{0, 0, 0, 255}},
		{"narrower than a reference", image.NewGray(image.Rect(0, 0, 4000, 10)), image.Pt(300, 1), color.RGBA{0, 0, 0, 255}},
	} {
		path := filepath.Join(dir, row.name+".png")
		var file bytes.Buffer
		if err := png.Encode(&file, row.img); err != nil {
			t.Fatal(err)
		}
		write(t, path, file.Bytes())
		for _, from := range []string{"made", "cached"} {
			got, err := thumbs.Get(path)
			if err != nil || got.Rect.Size() != row.want {
				t.Errorf("%s, %s: %v, %v, want %v", row.name, from, got.Bounds(), err, row.want)
			} else if c := got.RGBAAt(row.want.X/2, row.want.Y/2); c != row.wantMiddle {
				t.Errorf("%s, %s: the middle is %v, want %v", row.name, from, c, row.wantMiddle)
			}
		}
	}
}

func uniform16(width, height int, level uint16) image.Image {
	img := image.NewGray16(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			img.SetGray16(x, y, color.Gray16{Y: level})
		}
	}
	return img
}
