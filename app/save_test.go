package app

import (
	"bufio"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/test"

	"github.com/kleinbild/kleinbild/app/ui"
	"github.com/kleinbild/kleinbild/history"
	"github.com/kleinbild/kleinbild/inference/picture"
)

func TestResultsAreSaved(t *testing.T) {
	b := newBench(t, usual)
	b.engine.info.NativeSize = 128
	b.shape.setLocked(true)
	b.make("a fox")
	b.make("a fox")
	var names []string
	for _, e := range b.Album.Entries() {
		names = append(names, filepath.Base(e.Path))
		meta, err := picture.ReadMetadataFile(e.Path)
		if err != nil || meta.Prompt != "a fox" || meta.Version != "test" {
			t.Errorf("%s: %+v, %v", e.Path, meta, err)
		}
	}
	if want := []string{"a-fox-1836311903-2.png", "a-fox-1836311903.png"}; !slices.Equal(names, want) {
		t.Errorf("saved %v, want %v", names, want)
	}
	if b.view.shown.Path != b.Album.Entries()[0].Path || b.strip.row.Marked != b.Album.Entries()[0].ID {
		t.Errorf("shown %s, marked %d", b.view.shown.Path, b.strip.row.Marked)
	}
	if b.Estimate() <= 0 {
		t.Error("no estimate after two pictures")
	}
}

// TestFolderThatCannotBeWritten: the window says so before anything is computed.
func TestFolderThatCannotBeWritten(t *testing.T) {
	b := newBench(t, usual)
	file := b.file("file.png", 64, 64, 1)
	b.set.SetPicturesDir(filepath.Join(file, "inside"))
	b.prompt.setText("a fox")
	b.generate()
	b.generate()
	b.until("the sentence", func() bool { return b.Maker.Run() == nil && b.notice.Visible() })
	b.wantSaid("Pictures cannot be saved")
	if n := len(b.engine.made()); n != 0 {
		t.Errorf("%d pictures were computed", n)
	}
	if len(b.Queue.Batches()) != 2 || !b.Queue.Paused() {
		t.Errorf("%d wait, paused %v: what waits is kept", len(b.Queue.Batches()), b.Queue.Paused())
	}
	b.set.SetPicturesDir("")
	test.Tap(b.queued.resume)
	b.until("the queue goes on", func() bool { return len(b.Album.Entries()) == 2 })
}

// TestFullDisk fills a small disk: the picture goes to another folder, or stays on the canvas if there is none.
func TestFullDisk(t *testing.T) {
	b := newBench(t, usual)
	disk := filepath.Join(b.dir, "disk")
	if err := os.Mkdir(disk, 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk).CombinedOutput(); err != nil {
		t.Skipf("no disk to fill without the right to mount one: %s", out)
	}
	defer exec.Command("umount", disk).Run()
	b.set.SetPicturesDir(disk)
	if err := os.WriteFile(filepath.Join(disk, "filler"), make([]byte, 60<<10), 0o644); err != nil {
		t.Fatal(err)
	}
	make := func() {
		t.Helper()
		b.notice.Dismiss()
		b.prompt.setText("a fox")
		b.generate()
		b.until("the sentence", func() bool { return b.Maker.Run() == nil && b.notice.Visible() })
		b.settle()
		b.wantSaid("The disk is full")
		files, _ := filepath.Glob(filepath.Join(disk, "*"))
		more, _ := filepath.Glob(filepath.Join(disk, "Pictures", "*"))
		files = slices.DeleteFunc(files, func(f string) bool { return filepath.Base(f) == "Pictures" })
		if len(files)+len(more) != 1 {
			t.Errorf("%v %v on the disk, want the filler only", files, more)
		}
	}
	make()
	b.wantSaid("The last one is kept as " + b.cfg.PicturesDir)
	shown := b.view.shown.Path
	if len(b.Album.Entries()) != 1 || filepath.Dir(shown) != b.cfg.PicturesDir ||
		b.Album.Entries()[0].Path != shown || len(b.notice.Actions) != 2 {
		t.Fatalf("shown %+v, %d in the history, %d actions", b.view.shown, len(b.Album.Entries()), len(b.notice.Actions))
	}
	b.session.cfg.PicturesDir = filepath.Join(disk, "Pictures")
	t.Setenv("TMPDIR", disk)
	make()
	if b.view.shown == nil || b.view.shown.Path != "" || len(b.Album.Entries()) != 1 || len(b.notice.Actions) != 2 {
		t.Fatalf("shown %v, %d in the history, %d actions", b.view.shown, len(b.Album.Entries()), len(b.notice.Actions))
	}
	b.leave()
	if b.modal == nil || b.Loop.Closing.Err() != nil {
		t.Error("the window closes and the picture with it")
	} else {
		b.modal.Close()
	}
	elsewhere := filepath.Join(b.dir, "saved.png")
	b.saveTo(b.view.shown, elsewhere, false)
	b.settle()
	if _, err := history.Read(elsewhere); err != nil || b.view.shown.Path != elsewhere {
		t.Errorf("%v, shown as %q", err, b.view.shown.Path)
	}
}

func TestHistoryAcrossRestartsAndWindows(t *testing.T) {
	b := newBench(t, usual)
	b.engine.info.NativeSize = 128
	b.make("made by the first window")
	other := b.open(b.app, b.cfg, usual)
	b.until("the second window reads the history", func() bool { return len(other.Album.Entries()) == 1 })
	b.make("made while both are open")
	b.until("the second window sees it", func() bool { return len(other.Album.Entries()) == 2 })

	other.strip.search.SetText("BOTH open")
	if len(other.Album.Found()) != 1 || other.strip.count.Text != "1 of 2" {
		t.Errorf("found %d, %q", len(other.Album.Found()), other.strip.count.Text)
	}
	other.strip.search.SetText("")
	other.strip.step(1) // from none to the newest
	b.until("it is shown", func() bool { return other.view.shown != nil })
	other.strip.step(1)
	b.until("the older one is shown", func() bool { return other.view.shown.Meta.Prompt == "made by the first window" })

	gone := other.Album.Entries()[0]
	if err := os.Remove(gone.Path); err != nil {
		t.Fatal(err)
	}
	other.strip.open(gone.ID)
	b.until("a sentence", func() bool { return other.notice.Visible() })
	if said := other.notice.said(); !strings.Contains(said, "no longer there") {
		t.Errorf("says %q", said)
	}
	said := false
	walk(other.strip.row.Cells[0], fyne.Position{}, func(o fyne.CanvasObject, _ fyne.Position) {
		l, ok := o.(*ui.Label)
		said = said || ok && l.Text == "file is gone"
	})
	if !said {
		t.Error("the thumbnail does not say that its file is gone")
	}
	test.Tap(other.notice.Actions[0])
	b.until("both windows forget it", func() bool {
		return len(other.Album.Entries()) == 1 && len(b.Album.Entries()) == 1
	})
}

func TestMoveToBin(t *testing.T) {
	b := newBench(t, usual)
	b.engine.info.NativeSize = 128
	b.make("to be thrown away")
	e := b.Album.Entries()[0]
	// The bin of another user's home is no place for a test: the picture goes first, and the sentence says so.
	if err := os.Remove(e.Path); err != nil {
		t.Fatal(err)
	}
	b.bin(e.ID)
	b.until("a sentence", b.notice.Visible)
	b.wantSaid("could not be moved")
	if len(b.Album.Entries()) != 1 {
		t.Error("the entry went though the bin failed")
	}
}

// TestThousandsOfEntries scrolls through a long history.
func TestThousandsOfEntries(t *testing.T) {
	b := newBench(t, usual)
	path := b.file("one.png", 160, 96, 1)
	list := make([]history.Entry, 5000)
	for i := range list {
		list[i] = history.Entry{ID: uint64(len(list) - i), Path: path, Picture: picture.Metadata{Prompt: "a prompt"}}
	}
	b.Album.Show(list)
	b.noStall(func() {
		b.timed(b.strip.filter)
		b.settle()
		for i := range 200 {
			b.timed(func() {
				b.strip.scroll.Offset.X = float32(i) * 2900
				b.strip.scroll.Refresh()
				b.strip.row.Refresh()
			})
		}
		b.settle()
	})
	if n := len(b.strip.row.Cells); n > 20 {
		t.Errorf("%d thumbnails for one row", n)
	}
}

// childVariable names the folder in which TestKillChild works, which TestKill starts in a process of its own.
const childVariable = "KLEINBILD_TEST_CHILD"

// TestKill kills a window in the middle of its work, again and again: whatever it showed as done is on the disk and in
// the history.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	total := 0
	for round := range 4 {
		child := exec.Command(os.Args[0], "-test.run=^TestKillChild$")
		child.Env = append(os.Environ(), childVariable+"="+dir, "TMPDIR="+t.TempDir()) // a killed test leaves its folders
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		var done []string
		for lines.Scan() {
			if path, ok := strings.CutPrefix(lines.Text(), "done "); ok {
				done = append(done, path)
				if len(done) == 3 {
					time.Sleep(time.Duration(round*7) * time.Millisecond) // somewhere in the next one
					child.Process.Signal(syscall.SIGKILL)
				}
			}
		}
		child.Wait()
		if len(done) < 3 {
			t.Fatalf("the child made %d pictures", len(done))
		}
		total += len(done)
		store := history.At(filepath.Join(dir, "history.db"), func(n history.News) {
			if !n.Back {
				t.Errorf("round %d: %+v", round, n)
			}
		})
		list := store.List()
		if len(list) < total {
			t.Fatalf("round %d: %d entries; %d were shown as done", round, len(list), total)
		}
		for _, path := range done {
			if !slices.ContainsFunc(list, func(e history.Entry) bool { return e.Path == path }) {
				t.Errorf("%s was shown as done and is not in the history", path)
			}
			if _, err := history.Read(path); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestKillChild(t *testing.T) {
	dir := os.Getenv(childVariable)
	if dir == "" {
		t.Skip("the other half of TestKill")
	}
	b := newBench(t, usual, func(b *bench, cfg *Config) {
		cfg.HistoryFile, cfg.PicturesDir = filepath.Join(dir, "history.db"), filepath.Join(dir, "Pictures")
		b.engine.info.NativeSize = 128
	})
	for {
		was := b.view.shown
		b.prompt.setText("a fox")
		b.generate()
		b.until("a picture", func() bool { return b.view.shown != was && b.view.shown.Path != "" && b.Maker.Run() == nil })
		os.Stdout.WriteString("done " + b.view.shown.Path + "\n")
	}
}

func TestExplain(t *testing.T) {
	for _, row := range []struct {
		err  error
		want string
	}{
		{
			&os.PathError{Op: "open", Path: "/a/b.png", Err: syscall.ENOSPC},
			"The disk is full: free some space, then try again.",
		},
		{
			&os.PathError{Op: "open", Path: "/a/b.png", Err: syscall.EROFS},
			"The system does not allow writing to /a: choose another folder.",
		},
		{errors.New("inference: the engine is busy"), "The engine is busy."},
		{errors.New("picture: /a/b.png: found a folder"), "/a/b.png: found a folder."},
	} {
		if got := explain(row.err); got != row.want {
			t.Errorf("%v: %q, want %q", row.err, got, row.want)
		}
	}
}
