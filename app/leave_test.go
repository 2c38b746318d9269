package app

import (
	"bytes"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/test"

	"github.com/kleinbild/kleinbild/inference/picture"
)

// answer taps an answer of the question that the window asks.
func (b *bench) answer(s *session, text string) {
	b.t.Helper()
	if !s.modal.IsOpen() {
		b.t.Fatalf("nothing is asked; the window says %q", b.said())
	}
	for _, a := range s.modal.Buttons {
		if a.Text == text {
			test.Tap(a)
			return
		}
	}
	b.t.Fatalf("the question has no %q", text)
}

func TestCloseAsks(t *testing.T) {
	for _, row := range []struct {
		answer string
		made   int // in the history afterwards
		kept   string
	}{
		{"Finish", 4, ""},
		{"Keep for next time", 0, "first*2 second third"},
		{"Discard", 0, ""},
	} {
		t.Run(row.answer, func(t *testing.T) {
			b := newBench(t, usual)
			b.engine.info.NativeSize = 128
			b.engine.hold = make(chan struct{})
			closed := false
			b.win.SetOnClosed(func() { closed = true })

			b.shape.setCount(2)
			b.prompt.setText("first")
			b.generate()
			b.shape.setCount(1)
			b.prompt.setText("second")
			b.generate()
			b.slots.add(0, []string{b.file("ref.png", 64, 64, 1)})
			var pasted bytes.Buffer
			if err := png.Encode(&pasted, landscape(80, 64, 2)); err != nil {
				t.Fatal(err)
			}
			b.pastePicture(pasted.Bytes())
			b.until("both are read", func() bool { return b.slots.count() == 2 && !b.Desk.Desk().Reading() })
			b.prompt.setText("third")
			b.shape.setSeed("33")
			b.generate()
			b.prompt.setText("on the desk")
			b.until("the first is on its way", func() bool { return b.view.previewing })

			b.leave()
			if !b.session.modal.IsOpen() || closed {
				t.Fatal("closed unasked")
			}
			b.win.Canvas().Focused().TypedKey(&fyne.KeyEvent{Name: fyne.KeyEscape})
			if b.session.modal.IsOpen() || b.Maker.Run() == nil || closed {
				t.Fatal("Escape is no answer, and cancels nothing")
			}
			b.leave()
			b.answer(b.session, row.answer)
			if row.answer == "Finish" {
				close(b.engine.hold)
				b.engine.hold = nil
			}
			b.until("it closes", func() bool { return closed })
			b.until("all rests", func() bool { return b.working.Load() == 0 })

			b.engine.hold = nil
			again := b.open(b.app, b.cfg, usual)
			b.until("what waited is read", func() bool { return again.Keeper.Loaded() && !again.Desk.Desk().Reading() })
			if again.prompt.entry.Text != "on the desk" || len(again.Desk.Desk().References()) != 2 {
				t.Errorf("prompt %q, %d references", again.prompt.entry.Text, len(again.Desk.Desk().References()))
			}
			refs, size := again.Desk.Desk().References(), picture.Size{Width: 80, Height: 64}
			if len(refs) == 2 && (refs[1].Path != "" || refs[1].Size != size) {
				t.Errorf("the pasted one is %q, %v", refs[1].Path, refs[1].Size)
			}
			if len(again.Album.Entries()) != row.made {
				t.Errorf("%d in the history, want %d", len(again.Album.Entries()), row.made)
			}
			var kept []string
			for _, j := range again.Queue.Batches() {
				text := j.Desk.Prompt
				if j.Count > 1 {
					text += "*2"
				}
				kept = append(kept, text)
			}
			if got := strings.Join(kept, " "); got != row.kept {
				t.Fatalf("%q wait, want %q", got, row.kept)
			}
			if row.kept == "" {
				return
			}
			said := again.notice.said()
			if !again.Queue.Paused() || again.Maker.Run() != nil || !strings.Contains(said, "4 pictures wait from last time.") {
				t.Errorf("paused %v, says %q", again.Queue.Paused(), again.notice.said())
			}
			before := len(b.engine.made())
			b.take(again, "Go on")
			b.until("all is made", func() bool { return again.Maker.Run() == nil && again.Queue.Empty() })
			made := b.engine.made()[before:]
			last := made[len(made)-1]
			if len(made) != 4 || last.Seed() != 33 || len(last.References()) != 2 || last.References()[1].Image == nil {
				t.Errorf("made %d, the last with seed %d and %d references", len(made), last.Seed(), len(last.References()))
			}
		})
	}
}

// TestSystemEnd: if the system ends the program, nobody is asked and everything is kept, also what is left of the batch
// that is being made.
func TestSystemEnd(t *testing.T) {
	b := newBench(t, usual)
	b.engine.info.NativeSize = 128
	b.shape.setCount(3)
	b.shape.setSeed("7")
	b.prompt.setText("three")
	b.generate()
	b.until("one picture", func() bool { return len(b.Album.Entries()) >= 1 })
	done := b.Maker.Run().Done
	b.app.Lifecycle().(interface{ OnStopped() func() }).OnStopped()()
	b.Loop.Close()
	b.until("all rests", func() bool { return b.working.Load() == 0 })
	again := b.open(b.app, b.cfg, usual)
	b.until("what waited is read", func() bool { return again.Keeper.Loaded() })
	if len(again.Queue.Batches()) != 1 {
		t.Fatalf("%d batches wait", len(again.Queue.Batches()))
	}
	if j := again.Queue.Batches()[0]; j.Count != 3-done || j.Seed != 7+uint64(done) {
		t.Errorf("%d pictures from seed %d, want what is left of three", j.Count, j.Seed)
	}
	// Closed again without a word about it, it still waits.
	again.leave()
	if again.modal.IsOpen() {
		t.Error("asks about what rests since last time")
	}
	third := b.open(b.app, b.cfg, usual)
	b.until("what waited is read", func() bool { return third.Keeper.Loaded() })
	if len(third.Queue.Batches()) != 1 {
		t.Errorf("%d batches wait after another start", len(third.Queue.Batches()))
	}
	test.Tap(third.notice.Actions[1]) // Discard
	if !third.Queue.Empty() {
		t.Error("not discarded")
	}
}

// TestKilled reads the files that a killed window leaves: desk and queue are written soon after each change.
func TestKilled(t *testing.T) {
	b := newBench(t, usual)
	b.engine.hold = make(chan struct{})
	b.prompt.setText("being made")
	b.generate()
	b.slots.add(0, []string{b.file("ref.png", 64, 64, 1)})
	b.prompt.setText("unfinished")
	written := func() bool {
		desk, err := os.ReadFile(filepath.Join(b.cfg.DeskDir, "desk.json"))
		queue, err2 := os.ReadFile(filepath.Join(b.cfg.DeskDir, "queue.json"))
		return err == nil && err2 == nil && bytes.Contains(desk, []byte("unfinished")) &&
			bytes.Contains(desk, []byte("ref.png")) && bytes.Contains(queue, []byte("being made"))
	}
	b.until("it is written", written)
}

// TestReferenceGoneMeanwhile: a batch whose reference is gone at the next start is kept, and its desk is offered.
func TestReferenceGoneMeanwhile(t *testing.T) {
	b := newBench(t, usual)
	b.engine.info.NativeSize = 128
	b.engine.hold = make(chan struct{})
	b.prompt.setText("under way")
	b.generate()
	ref := b.file("ref.png", 64, 64, 1)
	b.slots.add(0, []string{ref})
	b.settle()
	b.prompt.setText("needs a picture")
	b.generate()
	b.slots.clear(1)
	b.prompt.setText("unfinished")
	b.leave()
	b.answer(b.session, "Keep for next time")
	b.until("all rests", func() bool { return b.working.Load() == 0 })
	if err := os.Remove(ref); err != nil {
		t.Fatal(err)
	}
	open := func() *session {
		s := b.open(b.app, b.cfg, usual)
		b.until("what waited is read", func() bool { return s.Keeper.Loaded() })
		if len(s.Queue.Batches()) != 1 || len(s.Keeper.Broken()) != 1 || !strings.Contains(s.notice.said(), "ref.png") {
			t.Fatalf("%d wait, %d cannot; says %q", len(s.Queue.Batches()), len(s.Keeper.Broken()), s.notice.said())
		}
		return s
	}
	open().leave() // without an answer, it waits for the next time
	again := open()
	b.take(again, "Put it on the desk")
	if again.prompt.entry.Text != "needs a picture" {
		t.Errorf("prompt %q", again.prompt.entry.Text)
	}
	again.Desk.Undo()
	if again.prompt.entry.Text != "unfinished" {
		t.Errorf("undone: %q", again.prompt.entry.Text)
	}
}
