package history

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/kleinbild/kleinbild/inference/picture"
)

// made adds a picture that was made from files, and returns its entry.
func made(t *testing.T, s *Store, dir, prompt string, from ...string) Entry {
	t.Helper()
	e := entry(prompt)
	e.Path = put(t, filepath.Join(dir, prompt+".png"), "the picture of "+prompt)
	for _, path := range from {
		file, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		e.Picture.References = append(e.Picture.References, picture.ReferenceFile{Path: path, SHA256: digest(string(file))})
	}
	return s.Add(e)
}

func TestLineage(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, filepath.Join(dir, "history.db"))
	photo := put(t, filepath.Join(dir, "photo.jpg"), "a photo")
	house := made(t, s, dir, "house", photo)
	night := made(t, s, dir, "night", house.Path)
	moved := filepath.Join(dir, "moved away.png")
	if err := os.Rename(house.Path, moved); err != nil {
		t.Fatal(err)
	}
	both := made(t, s, dir, "both", night.Path, moved, photo)
	twice := made(t, s, dir, "twice", night.Path, night.Path)
	composed := entry("composed") // of two pictures, in a file that is in no folder
	composed.Path = put(t, filepath.Join(dir, "composed.png"), "the picture of composed")
	composed.Picture.References = []picture.ReferenceFile{{SHA256: digest("a board")}}
	for _, e := range []Entry{twice, both} {
		composed.Composed = append(composed.Composed, picture.ReferenceFile{Path: e.Path, SHA256: e.SHA256})
	}
	composed = s.Add(composed)
	enlarged := entry("enlarged") // with the references of the picture that was enlarged
	enlarged.Path = put(t, filepath.Join(dir, "enlarged.png"), "the picture of enlarged")
	enlarged.Picture.References = night.Picture.References
	enlarged.Enlarged = &picture.ReferenceFile{Path: night.Path, SHA256: night.SHA256}
	enlarged = s.Add(enlarged)
	if house.SHA256 != digest("the picture of house") {
		t.Errorf("the digest is %q", house.SHA256)
	}
	list := s.List()
	for _, row := range []struct {
		e           Entry
		from, ledTo string
	}{
		{house, "", "night both"},
		{night, "house", "both twice enlarged"},
		{enlarged, "night", ""},
		{both, "house night", "composed"},
		{twice, "night night", "composed"},
		{composed, "both twice", ""},
	} {
		from, ledTo := Lineage(list, row.e)
		if prompts(from) != row.from || prompts(ledTo) != row.ledTo {
			t.Errorf("%s: made from %q, led to %q, want %q, %q", row.e.Picture.Prompt, prompts(from), prompts(ledTo),
				row.from, row.ledTo)
		}
	}
}

// TestLineageByPath: an entry of an earlier version has no digest, and is known by its path. A later picture at that
// path is not taken for it. Of two equal files, the one that was read is the source.
func TestLineageByPath(t *testing.T) {
	ref := func(path string) picture.Metadata {
		return picture.Metadata{References: []picture.ReferenceFile{{Path: path, SHA256: digest("a")}}}
	}
	child := Entry{ID: 5, Path: "/child.png", Picture: ref("/a.png")}
	for _, row := range []struct {
		name string
		list []Entry
		want uint64
	}{
		{"an old entry", []Entry{child, {ID: 3, Path: "/a.png"}, {ID: 2, Path: "/b.png"}}, 3},
		{"a later picture at its place", []Entry{{ID: 7, Path: "/a.png"}, child}, 0},
		{"another file at its place", []Entry{child, {ID: 3, Path: "/a.png", SHA256: digest("b")}}, 0},
		{"two equal files", []Entry{child, {ID: 4, Path: "/c.png", SHA256: digest("a")},
			{ID: 3, Path: "/a.png", SHA256: digest("a")}}, 3},
		{"moved", []Entry{child, {ID: 4, Path: "/c.png", SHA256: digest("a")}}, 4},
	} {
		from, _ := Lineage(row.list, child)
		switch {
		case row.want == 0 && len(from) > 0, row.want != 0 && (len(from) != 1 || from[0].ID != row.want):
			t.Errorf("%s: made from %v, want %d", row.name, from, row.want)
		}
		for _, e := range row.list {
			_, ledTo := Lineage(row.list, e)
			if want := row.want != 0 && e.ID == row.want; (len(ledTo) == 1) != want && row.name != "two equal files" {
				t.Errorf("%s: %d led to %v", row.name, e.ID, ledTo)
			}
		}
	}
}

// TestLineageIsQuick: the window asks while it draws.
func TestLineageIsQuick(t *testing.T) {
	const n, most = 10_000, 20 * time.Millisecond
	list := make([]Entry, n)
	for i := range list {
		list[i] = entry(fmt.Sprint(i))
		list[i].ID, list[i].SHA256 = uint64(n-i), digest(fmt.Sprint(i))
		for j := range 4 {
			list[i].Picture.References = append(list[i].Picture.References,
				picture.ReferenceFile{Path: fmt.Sprintf("/pictures/%d.png", i+j+1), SHA256: digest(fmt.Sprint(i + j + 1))})
		}
	}
	best := time.Hour // of five, because other tests run at the same time
	for range 5 {
		start := time.Now()
		from, ledTo := Lineage(list, list[n/2])
		best = min(best, time.Since(start))
		if len(from) != 4 || len(ledTo) != 4 {
			t.Fatalf("made from %d pictures, led to %d", len(from), len(ledTo))
		}
	}
	t.Logf("%v for %d entries", best, n)
	if best > most {
		t.Errorf("%v for %d entries, want at most %v", best, n, most)
	}
}
