package app

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/kleinbild/kleinbild/app/studio"
	"github.com/kleinbild/kleinbild/history"
)

// TestNothingCanBeWritten runs its second half in a process that may not make any file longer, as if the disk were
// full: what was on the disk stays, each failure is told in one sentence, and the window works again when there is
// space.
func TestNothingCanBeWritten(t *testing.T) {
	child := exec.Command(os.Args[0], "-test.run=^TestNothingCanBeWrittenChild$", "-test.v")
	child.Env = append(os.Environ(), childVariable+"="+t.TempDir())
	out, err := child.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("--- PASS: TestNothingCanBeWrittenChild")) {
		t.Errorf("%v:\n%s", err, out)
	}
}

// mayWrite allows or forbids this process to make files longer.
func mayWrite(t *testing.T, allowed bool) {
	t.Helper()
	var limit unix.Rlimit
	err := unix.Getrlimit(unix.RLIMIT_FSIZE, &limit)
	if limit.Cur = 0; allowed {
		limit.Cur = limit.Max
	}
	if err = errors.Join(err, unix.Setrlimit(unix.RLIMIT_FSIZE, &limit)); err != nil {
		t.Fatal(err)
	}
}

func TestNothingCanBeWrittenChild(t *testing.T) {
	if os.Getenv(childVariable) == "" {
		t.Skip("the other half of TestNothingCanBeWritten")
	}
	signal.Ignore(syscall.SIGXFSZ)
	b := newBench(t, usual)
	b.engine.info.NativeSize = 128
	b.make("before")
	b.Keeper.Keep()
	b.settle()
	read := func(path string) string {
		t.Helper()
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	desk := filepath.Join(b.cfg.DeskDir, "desk.json")
	keptDesk, picture := read(desk), read(b.view.shown.Path)

	kept := filepath.Join(b.dir, "kept")
	if err := os.WriteFile(kept, []byte(`{"prompt":"a fox"}`), 0o600); err != nil {
		t.Fatal(err)
	}

	mayWrite(t, false)
	b.prompt.setText("while nothing can be written")
	b.Keeper.Keep()
	b.settle()
	b.wantSaid("may not be there the next time")
	if read(desk) != keptDesk {
		t.Errorf("desk %q, want the old one", read(desk))
	}
	b.notice.Dismiss()
	b.Keeper.Keep()
	b.settle()
	if b.notice.Visible() {
		t.Errorf("said again: %q", b.said())
	}
	b.pastePicture([]byte(picture))
	b.settle()
	b.wantSaid("What was pasted or painted may not be there the next time")
	b.wantNames(".")
	b.slots.clearAll()
	b.generate()
	b.until("the sentence", func() bool { return b.Maker.Run() == nil && b.view.shown.Path == "" })
	b.wantSaid("The picture could not be saved")
	e := b.Album.Store().Add(history.Entry{Path: "/made.png"})
	b.settle()
	b.wantSaid("The history cannot be written at present")
	if list := b.Album.Store().List(); len(list) != 2 || list[0].ID != e.ID {
		t.Errorf("history %+v", list)
	}
	if _, err := b.strip.row.Load(b.Album.Entries()[len(b.Album.Entries())-1].Path); err != nil {
		t.Errorf("a thumbnail without a cache: %v", err)
	}
	target := filepath.Join(b.dir, "copy.png")
	if err := os.Link(b.Album.Entries()[len(b.Album.Entries())-1].Path, target); err != nil {
		t.Fatal(err)
	}
	b.saveTo(b.view.shown, target, true)
	b.settle()
	if read(target) != picture || b.view.shown.Path != "" {
		t.Error("a copy that failed has destroyed what was there")
	}

	settings := filepath.Join(b.dir, "preferences.json")
	if err := errors.Join(os.WriteFile(settings, nil, 0o600), os.Rename(kept, settings+".kept")); err != nil {
		t.Fatal(err)
	}
	keepPreferences(settings)
	if read(settings) != `{"prompt":"a fox"}` {
		t.Errorf("settings %q, want those of the last start", read(settings))
	}

	mayWrite(t, true)
	b.saveTo(b.view.shown, target, true)
	b.Album.Store().Retry()
	b.Keeper.Keep()
	b.settle()
	if b.view.shown.Path != target || read(target) == picture {
		t.Error("the picture is not saved")
	}
	if store := history.At(b.cfg.HistoryFile, nil); len(store.List()) != 2 || store.List()[0].Path != "/made.png" {
		t.Errorf("history %+v", store.List())
	}
	if text := read(desk); !strings.Contains(text, "while nothing can be written") {
		t.Errorf("desk %q", text)
	}
	if leftover, _ := filepath.Glob(filepath.Join(b.cfg.PicturesDir, ".*")); len(leftover) != 0 {
		t.Errorf("left over: %v", leftover)
	}
	if _, err := studio.OpenStore(b.cfg.DeskDir); err != nil {
		t.Error(err)
	}
}
