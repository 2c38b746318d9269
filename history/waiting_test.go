package history

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/kleinbild/kleinbild/inference/picture"
)

// hold locks a store's file as another program would, until free is called.
func hold(t *testing.T, path string) (free func()) {
	t.Helper()
	db, err := bbolt.Open(path, 0o644, &bbolt.Options{Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
}

// prompts returns the prompts of list, oldest first.
func prompts(list []Entry) string {
	var all []string
	for _, e := range list {
		all = append([]string{e.Picture.Prompt}, all...)
	}
	return strings.Join(all, " ")
}

// listenShortWait returns a store that waits for its lock for 60 ms, and collects its news. It does not call Prepare.
func listenShortWait(path string) (s *Store, news *[]News) {
	news = new([]News)
	s = At(path, func(n News) { *news = append(*news, n) })
	s.wait = 60 * time.Millisecond
	return s, news
}

// TestHeldStore lets another program hold the file from before the program's start until after its end. When the file
// is free, the next window writes the waiting entries into it, in their order and once.
func TestHeldStore(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history.db")
	stored := mustOpen(t, path)
	first := stored.Add(entry("first"))
	gone := stored.Add(entry("gone"))
	if err := stored.Remove(gone.ID); err != nil {
		t.Fatal(err)
	}
	free := hold(t, path)
	s, news := listenShortWait(path)
	s.Prepare()
	made := time.Now()
	var added []Entry
	for i, prompt := range []string{"second", "third", "dropped"} {
		e := entry(prompt)
		e.Made = made.Add(-time.Duration(i) * time.Hour) // as if the clock were set back
		added = append(added, s.Add(e))
	}
	s.Restore(gone)
	if got := prompts(s.List()); got != "gone second third dropped" {
		t.Errorf("held: %q", got)
	}
	if err := s.Remove(added[2].ID); err != nil {
		t.Error(err)
	}
	s.Retry()
	if len(*news) != 1 || !errors.Is((*news)[0].Err, ErrHeld) {
		t.Fatalf("news %+v, want only ErrHeld", *news)
	}
	// The program ends. Another window adds an entry while the file is still held.
	other, _ := listenShortWait(path)
	other.Add(entry("fourth"))
	if got := prompts(other.List()); got != "gone second third fourth" {
		t.Errorf("the next window: %q", got)
	}
	free()
	next, news := listen(path)
	if got := prompts(next.List()); got != "first gone second third fourth" || len(*news) != 1 || !(*news)[0].Back ||
		(*news)[0].Entered != 4 {
		t.Fatalf("free: %q, %+v", got, *news)
	}
	if left, err := os.ReadDir(next.waitingDir()); err != nil || len(left) != 0 {
		t.Errorf("files left: %v, %v", left, err)
	}
	if list := next.List(); list[4].ID != first.ID || list[3].ID != gone.ID || list[0].ID >= waitingID {
		t.Errorf("IDs %+v", list)
	}
	// next has written the entries and knows their new IDs; s does not, so that its Remove has no effect.
	if err := s.Remove(added[0].ID); err != nil || prompts(s.List()) != "first gone second third fourth" {
		t.Errorf("%v, %q: want no entry removed", err, prompts(s.List()))
	}
	if len(*news) != 1 {
		t.Errorf("news %+v", *news)
	}
}

// TestHeldForAWhile holds the file while a window uses it: List returns the stored and the waiting entries without a
// long wait, and the window knows an entry's new ID after the file is free.
func TestHeldForAWhile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history.db")
	s, news := listenShortWait(path)
	s.Prepare()
	s.Add(entry("first"))
	s.List()
	free := hold(t, path)
	e := s.Add(entry("second"))
	start := time.Now()
	if got := prompts(s.List()); got != "first second" {
		t.Errorf("held: %q", got)
	}
	if took := time.Since(start); took > time.Second {
		t.Errorf("List of a held file took %v", took)
	}
	free()
	s.Retry()
	if len(*news) != 2 || !(*news)[1].Back || (*news)[1].Entered != 1 {
		t.Errorf("news %+v", *news)
	}
	if err := s.Remove(e.ID); err != nil || prompts(s.List()) != "first" {
		t.Errorf("%v, %q: want the entry removed by its waiting ID", err, prompts(s.List()))
	}
}

// TestSharingViolation simulates Windows's error for a file that another program has open.
func TestSharingViolation(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history.db")
	mustOpen(t, path).Add(entry("first"))
	s, news := listenShortWait(path)
	const sharingViolation = syscall.Errno(32)
	s.openFile = func(name string, _ int, _ fs.FileMode) (*os.File, error) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: sharingViolation}
	}
	s.Prepare()
	s.Add(entry("second"))
	if len(*news) != 1 || (*news)[0].Err == nil || (*news)[0].Aside != "" {
		t.Fatalf("news %+v", *news)
	}
	s.openFile = os.OpenFile
	s.Retry()
	if got := prompts(s.List()); got != "first second" || len(*news) != 2 || !(*news)[1].Back {
		t.Errorf("%q, %+v", got, *news)
	}
}

// TestKilledWhileEntering checks that entries which are in the store and still wait are not entered twice.
func TestKilledWhileEntering(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history.db")
	s := mustOpen(t, path)
	for _, prompt := range []string{"one", "two"} {
		s.Add(entry(prompt))
		s.postpone(entry(prompt), 0)
	}
	write(t, filepath.Join(s.waitingDir(), fmt.Sprintf("%020d.json", waitingID)), []byte("{")) // damaged
	s.Retry()
	if got := prompts(s.List()); got != "one two" {
		t.Errorf("%q", got)
	}
	left, err := filepath.Glob(filepath.Join(s.waitingDir(), "*"))
	if err != nil || len(left) != 1 || !strings.Contains(left[0], ".damaged-") {
		t.Errorf("files left: %v, %v, want only the damaged one", left, err)
	}
}

// TestNowhereToWait: if files cannot be written beside the store either, entries stay in memory until they can.
func TestNowhereToWait(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "data", "history.db")
	write(t, filepath.Join(dir, "data"), nil) // a file instead of the folder
	s, news := listenShortWait(path)
	s.Prepare()
	s.Add(entry("first"))
	s.Add(entry("second"))
	s.Settle()
	if got := prompts(s.List()); got != "first second" || len(*news) != 1 {
		t.Errorf("%q, %+v", got, *news)
	}
	if err := errors.Join(os.Remove(filepath.Join(dir, "data")), os.Mkdir(filepath.Join(dir, "data"), 0o755)); err != nil {
		t.Fatal(err)
	}
	s.Settle()
	if files, err := os.ReadDir(s.waitingDir()); err != nil || len(files) != 2 {
		t.Errorf("%d files, %v, want both entries", len(files), err)
	}
	next := At(path, nil)
	next.Prepare()
	if got := prompts(next.List()); got != "first second" || next.List()[0].ID >= waitingID {
		t.Errorf("the next window: %q", got)
	}
}

// TestSpare checks that an entry that cannot be written removes the spare file.
func TestSpare(t *testing.T) {
	s := mustOpen(t, filepath.Join(t.TempDir(), "history.db"))
	if info, err := os.Stat(s.sparePath()); err != nil || info.Size() != spareBytes {
		t.Fatalf("the spare file: %v", err)
	}
	// The spare file and the waiting folder's name are two links to one file, so that creating the folder fails, as on
	// a full disk.
	if err := os.Rename(s.sparePath(), s.waitingDir()); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(s.waitingDir(), s.sparePath()); err != nil {
		t.Skip("no links here:", err)
	}
	s.postpone(entry("one"), 0)
	if _, err := os.Stat(s.sparePath()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the spare file is still there: %v", err)
	}
}

// TestClock checks that List keeps the order of Add whatever the entries' times are, and that impossible times become
// zero.
func TestClock(t *testing.T) {
	s := mustOpen(t, filepath.Join(t.TempDir(), "history.db"))
	now := time.Now()
	for i, made := range []time.Time{now, now.AddDate(-1, 0, 0), now, now.AddDate(10_000, 0, 0), {}} {
		e := entry(fmt.Sprint(i))
		e.Made, e.Took = made, -time.Hour
		s.Add(e)
	}
	list := s.List()
	if prompts(list) != "0 1 2 3 4" {
		t.Errorf("%q", prompts(list))
	}
	for _, e := range list {
		if e.Took < 0 || e.Made.Year() > 9999 {
			t.Errorf("%s: took %v, made %v", e.Picture.Prompt, e.Took, e.Made)
		}
	}
}

// TestReferencesUnderAClockThatIsSetBack checks that the last use counts as the latest one after the clock is set back.
func TestReferencesUnderAClockThatIsSetBack(t *testing.T) {
	s := At(filepath.Join(t.TempDir(), "history.db"), nil)
	path, err := filepath.Abs("x.jpg")
	if err != nil {
		t.Fatal(err)
	}
	all := make([]picture.ReferenceFile, maxReferences)
	for i := range all {
		all[i] = picture.ReferenceFile{Path: path, SHA256: digest(fmt.Sprint(i))}
	}
	latest := []picture.ReferenceFile{{Path: path, SHA256: digest("latest")}}
	for _, use := range []struct {
		references []picture.ReferenceFile
		when       int64
	}{{all, 2_000_000_000}, {latest, 1_900_000_000}, {all[:1], -5}} {
		if err := s.update(func(b *bbolt.Bucket) error {
			return remember(b.Tx(), use.references, time.Unix(use.when, 0))
		}); err != nil {
			t.Fatal(err)
		}
	}
	for _, r := range []picture.ReferenceFile{latest[0], all[0]} {
		sum, _ := digestOf(r)
		if got, err := s.remembered(sum); err != nil || got != path {
			t.Errorf("%q, %v: the last used reference was removed", got, err)
		}
	}
}
