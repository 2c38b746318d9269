package history

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kleinbild/inference/picture"
)

// TestFullDisk fills the disk of the store: nothing that is there suffers, and entries that are added wait in the place
// of the spare file until there is space.
func TestFullDisk(t *testing.T) {
	disk := t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", disk).CombinedOutput(); err != nil {
		t.Skipf("no disk to fill without the right to mount one: %s", out)
	}
	defer exec.Command("umount", disk).Run()
	s, news := listen(filepath.Join(disk, "history.db"))
	large := entry("large")
	large.Picture.Prompt = strings.Repeat("x", 5000)
	s.Add(large)
	filler := filepath.Join(disk, "filler")
	_ = os.WriteFile(filler, make([]byte, 4<<20), 0o644) // as much as there is space
	const more = 10
	for i := range more {
		large.Made = large.Made.Add(1)
		large.Took = time.Duration(i)
		s.Add(large)
	}
	list := s.List()
	// The space of the spare file lets the store itself grow once more.
	if len(list) != 1+more || len(*news) > 3 || (*news)[0].Err == nil || (*news)[0].Aside != "" {
		t.Fatalf("%d entries, %+v", len(list), *news)
	}
	for i, e := range list[:more] {
		if e.Took != time.Duration(more-1-i) {
			t.Errorf("entry %d is number %d, want the newest first", i, e.Took)
		}
	}
	// The program ends: what waits is on the disk all the same.
	if len(s.loose) != 0 {
		t.Errorf("%d entries are held by the program alone", len(s.loose))
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	next, news := listen(filepath.Join(disk, "history.db"))
	next.Add(Entry{Path: "/x.png", Picture: picture.Metadata{Prompt: "last"}})
	if list := next.List(); len(list) != 2+more || list[0].Picture.Prompt != "last" || len(next.pending()) != 0 {
		t.Errorf("%d entries, %+v", len(list), *news)
	}
	if _, err := os.Stat(next.sparePath()); err != nil {
		t.Errorf("the spare file: %v", err)
	}
}
