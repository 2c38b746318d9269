package app

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/test"
	"github.com/adrg/xdg"

	"github.com/kleinbild/kleinbild/app/shell"
	"github.com/kleinbild/kleinbild/app/studio"
	"github.com/kleinbild/kleinbild/app/ui"
	"github.com/kleinbild/kleinbild/inference/picture"
)

// take takes what a notice of s offers.
func (b *bench) take(s *session, offer string) {
	b.t.Helper()
	for _, a := range s.notice.Actions {
		if a.Text == offer {
			test.Tap(a)
			b.settle()
			return
		}
	}
	b.t.Fatalf("no %q beside %q", offer, s.notice.said())
}

// tapUndo takes the notice's offer to undo.
func (b *bench) tapUndo() {
	b.t.Helper()
	b.take(b.session, "Undo")
}

func TestUndoOfSlots(t *testing.T) {
	b := newBench(t, usual)
	b.Desk.Undo() // of nothing
	one, two, three := b.file("one.png", 64, 64, 1), b.file("two.png", 64, 64, 2), b.file("three.png", 64, 64, 3)
	b.slots.add(0, []string{one, two})
	b.settle()
	b.prompt.setText("before")

	b.slots.clear(1)
	b.wantSaid("Image 1 was removed.")
	b.prompt.setText("typed since")
	b.tapUndo()
	b.wantNames("one.png", "two.png")
	if got := b.prompt.entry.Text; got != "typed since" {
		t.Errorf("prompt %q: what was typed since is not part of the step", got)
	}
	b.Desk.Redo()
	b.wantNames("two.png")
	b.Desk.Undo()

	b.slots.add(1, []string{three})
	b.settle()
	b.wantSaid("Image 1 was replaced.")
	b.wantNames("three.png", "two.png")
	b.tapUndo()
	b.wantNames("one.png", "two.png")

	broken := filepath.Join(b.dir, "broken.png")
	if err := os.WriteFile(broken, []byte("no picture"), 0o600); err != nil {
		t.Fatal(err)
	}
	b.slots.add(1, []string{broken})
	b.settle()
	b.wantNames("two.png")
	b.Desk.Undo()
	b.settle()
	b.wantNames("one.png", "two.png")

	b.slots.move(1, 2)
	b.shape.choose(picture.Square)
	b.shape.setCount(4)
	b.Desk.Undo()
	b.Desk.Undo()
	if b.shape.count() != 1 || b.shape.aspect() != picture.Match {
		t.Errorf("count %d, aspect %s", b.shape.count(), b.shape.aspect())
	}
	b.wantNames("two.png", "one.png")
	b.Desk.Undo()
	b.wantNames("one.png", "two.png")
	b.Desk.Undo() // both came in one step
	b.wantNames()
	b.Desk.Undo()
	b.wantNames()
	for range 4 {
		b.Desk.Redo()
	}
	b.settle()
	b.wantNames("two.png", "one.png")
	if b.shape.count() != 4 {
		t.Errorf("count %d after all was done again", b.shape.count())
	}
}

// TestUndoKeys sends Ctrl+Z where it may go: the text's own undo first, the desk's where the text has nothing left.
func TestUndoKeys(t *testing.T) {
	b := newBench(t, usual)
	b.slots.add(0, []string{b.file("one.png", 64, 64, 1)})
	b.settle()
	b.slots.clear(1)
	test.Type(b.prompt.entry, "fox")
	b.prompt.entry.TypedShortcut(&fyne.ShortcutUndo{})
	if b.prompt.entry.Text != "" {
		t.Fatalf("prompt %q", b.prompt.entry.Text)
	}
	b.wantNames()
	b.prompt.entry.TypedShortcut(&fyne.ShortcutUndo{})
	b.wantNames("one.png")
	b.shape.seedEntry.TypedShortcut(ui.CtrlShiftZ)
	b.wantNames()
	canvas := b.win.Canvas().(interface{ TypedShortcut(fyne.Shortcut) })
	b.win.Canvas().Unfocus()
	canvas.TypedShortcut(&fyne.ShortcutUndo{})
	b.wantNames("one.png")
	canvas.TypedShortcut(&fyne.ShortcutRedo{})
	b.wantNames()
	canvas.TypedShortcut(&fyne.ShortcutUndo{})
	canvas.TypedShortcut(ui.CtrlShiftZ)
	b.wantNames()
}

// TestRestoreIsUndone overwrites an unfinished prompt and takes it back.
func TestRestoreIsUndone(t *testing.T) {
	b := newBench(t, usual)
	b.engine.info.NativeSize = 128
	b.make("made")
	b.prompt.setText("unfinished")
	b.shape.setSeed("5")
	b.shape.setLocked(true)
	b.slots.add(0, []string{b.file("one.png", 64, 64, 1)})
	b.settle()
	b.restore(b.Album.Entries()[0].Picture, studio.Mask{})
	if b.prompt.entry.Text != "made" || b.shape.seedEntry.Text != firstSeed || b.shape.locked() || b.slots.count() != 0 {
		t.Errorf("restored %q, seed %s locked %v", b.prompt.entry.Text, b.shape.seedEntry.Text, b.shape.locked())
	}
	b.tapUndo()
	if b.prompt.entry.Text != "unfinished" || b.shape.seedEntry.Text != "5" || !b.shape.locked() {
		t.Errorf("undone: %q, seed %s locked %v", b.prompt.entry.Text, b.shape.seedEntry.Text, b.shape.locked())
	}
	b.wantNames("one.png")
	b.Desk.Redo()
	if b.prompt.entry.Text != "made" {
		t.Errorf("done again: %q", b.prompt.entry.Text)
	}

	b.make("made") // the seed was for one picture
	if b.shape.seedEntry.Text == firstSeed {
		t.Error("the restored seed stayed")
	}
}

func TestQueueIsUndone(t *testing.T) {
	b := newBench(t, usual)
	b.engine.info.NativeSize = 128
	b.engine.hold = make(chan struct{})
	for _, p := range []string{"first", "second", "third"} {
		b.prompt.setText(p)
		b.generate()
	}
	waits := func(want string) {
		t.Helper()
		var prompts []string
		for _, j := range b.Queue.Batches() {
			prompts = append(prompts, j.Desk.Prompt)
		}
		if got := strings.Join(prompts, " "); got != want {
			t.Errorf("%q wait, want %q", got, want)
		}
	}
	second := b.Queue.Batches()[0].Seed
	b.prompt.setText("unfinished")
	b.queued.edit(0)
	waits("third")
	if b.prompt.entry.Text != "second" || b.shape.locked() || b.Queue.Batches()[0].Seed == second {
		t.Errorf("prompt %q, locked %v", b.prompt.entry.Text, b.shape.locked())
	}
	b.tapUndo()
	waits("second third")
	if b.prompt.entry.Text != "unfinished" {
		t.Errorf("prompt %q", b.prompt.entry.Text)
	}
	b.Desk.Redo()
	waits("third")
	b.Desk.Undo()
	b.queued.remove(1)
	b.wantSaid("Removed from the queue.")
	waits("second")
	b.prompt.setText("more of it")
	b.tapUndo()
	waits("second third")
	if b.prompt.entry.Text != "more of it" {
		t.Errorf("prompt %q: the queue's undo took the text", b.prompt.entry.Text)
	}
	close(b.engine.hold)
	b.until("all is made", func() bool { return b.Maker.Run() == nil && len(b.Album.Entries()) == 3 })
}

func TestBinIsUndone(t *testing.T) {
	if !shell.CanUnbin {
		t.Skip("this system's bin gives nothing back")
	}
	home := xdg.DataHome
	xdg.DataHome = t.TempDir()
	defer func() { xdg.DataHome = home }()
	b := newBench(t, usual)
	b.engine.info.NativeSize = 128
	for _, p := range []string{"older", "binned", "newer"} {
		b.make(p)
	}
	e := b.Album.Entries()[1]
	b.strip.open(e.ID)
	b.settle()
	b.prompt.setText("unfinished")
	there := func(want bool) {
		t.Helper()
		b.settle()
		_, err := os.Stat(e.Path)
		if i := b.strip.index(e.ID); (i >= 0) != want || (err == nil) != want || want && i != 1 {
			t.Errorf("at %d of the history, file: %v; want it there: %v; says %q", i, err, want, b.said())
		}
	}
	b.bin(e.ID)
	there(false)
	if b.view.shown != nil {
		t.Error("it is still on the canvas")
	}
	b.tapUndo()
	there(true)
	if b.view.shown == nil || b.view.shown.ID != e.ID || b.prompt.entry.Text != "unfinished" {
		t.Errorf("shown %v, prompt %q", b.view.shown, b.prompt.entry.Text)
	}
	b.Desk.Redo()
	there(false)
	b.Desk.Undo()
	there(true)
}

// TestBinThatGivesNothingBack waits with the picture instead.
func TestBinThatGivesNothingBack(t *testing.T) {
	b := newBench(t, usual)
	b.engine.info.NativeSize = 128
	b.make("binned")
	e := b.Album.Entries()[0]
	b.Album.Bin = studio.Bin{Throw: os.Remove}
	b.bin(e.ID)
	if _, err := os.Stat(e.Path); err != nil || len(b.Album.Entries()) != 0 {
		t.Fatalf("%v, %d in the history", err, len(b.Album.Entries()))
	}
	b.Desk.Undo()
	if len(b.Album.Entries()) != 1 {
		t.Errorf("%d in the history", len(b.Album.Entries()))
	}
	b.bin(e.ID)
	b.leave()
	if _, err := os.Stat(e.Path); err == nil {
		t.Error("the window closed, and the picture is still there")
	}
	again := b.open(b.app, b.cfg, usual)
	if len(again.Album.Entries()) != 0 {
		t.Error("the history still has it")
	}
}

// TestUndoOfMatch removes the picture that the size matches. The size falls back to another one then, which is part of
// the same step: one undo brings back both.
func TestUndoOfMatch(t *testing.T) {
	b := newBench(t, usual)
	b.slots.add(0, []string{b.file("one.png", 64, 128, 1)})
	b.settle()
	steps := b.Desk.Steps()
	b.slots.clear(1)
	if got := b.shape.aspect(); got != picture.DefaultAspectRatio || b.Desk.Steps() != steps+1 {
		t.Errorf("removed: aspect %s after %d steps, want %s after 1",
			got, b.Desk.Steps()-steps, picture.DefaultAspectRatio)
	}
	b.tapUndo()
	b.wantNames("one.png")
	if got := b.shape.aspect(); got != picture.Match {
		t.Errorf("undone: aspect %s, want %s", got, picture.Match)
	}
	b.Desk.Redo()
	b.wantNames()
}

// TestRestoreKeepsSize restores a picture whose size is that of the image 1 which is on the desk, but goes with it.
func TestRestoreKeepsSize(t *testing.T) {
	b := newBench(t, usual)
	own := picture.Size{Width: 64, Height: 128}
	b.shape.setSize(own)
	b.make("of an own size")
	b.shape.choose(picture.Square)
	b.slots.add(0, []string{b.file("one.png", 64, 128, 1)})
	b.settle()
	b.restorePicture(*b.view.shown)
	b.settle()
	if got := b.size(); got != own || b.shape.aspect() != "" {
		t.Errorf("restored: %v, aspect %q, want %v", got, b.shape.aspect(), own)
	}
}
