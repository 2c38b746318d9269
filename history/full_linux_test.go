package history

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kleinbild/kleinbild/inference/picture"
)

// TestFullDisk fills the disk of the store: stored entries stay, and new ones wait in the space of the spare file until
// the disk has space again.
func TestFullDisk(t *testing.T) {
	disk := t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", disk).CombinedOutput(); err != nil {
		t.Skipf("cannot mount a small disk: %s", out)
	}
	defer exec.Command("umount", disk).Run()
	s, news := listen(filepath.Join(disk, "history.db"))
	large := entry("large")
	large.Picture.Prompt = strings.Repeat("x", 5000)
	s.Add(large)
	filler := filepath.Join(disk, "filler")
	_ = os.WriteFile(filler, make([]byte, 4<<20), 0o644) // more than the disk has: it fills up
	const more = 10
	for i := range more {
		large.Made = large.Made.Add(1)
		large.Took = time.Duration(i)
		s.Add(large)
	}
	list := s.List()
	// The first waiting entry removes the spare file, whose space may let the store grow once more: up to three news.
	if len(list) != 1+more || len(*news) > 3 || (*news)[0].Err == nil || (*news)[0].Aside != "" {
		t.Fatalf("%d entries, %+v", len(list), *news)
	}
	for i, e := range list[:more] {
		if e.Took != time.Duration(more-1-i) {
			t.Errorf("entry %d is number %d, want the newest first", i, e.Took)
		}
	}
	// All waiting entries must have files, so that they are not lost if the program ends.
	if len(s.inMemory) != 0 {
		t.Errorf("%d entries are only in memory", len(s.inMemory))
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
