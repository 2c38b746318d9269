package app

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/test"

	"github.com/kleinbild/kleinbild/app/studio"
	"github.com/kleinbild/kleinbild/app/ui"
	"github.com/kleinbild/kleinbild/inference"
)

// TestNoticeOfADroppedPicture starts the program with a picture that it made, while the demo model serves: the notice
// about the model does not take the place of the offer to restore the picture's settings.
func TestNoticeOfADroppedPicture(t *testing.T) {
	made := newBench(t, usual)
	made.engine.info.NativeSize = 128
	made.make("a lighthouse")
	path := made.Album.Entries()[0].Path
	for _, row := range []struct {
		name   string
		option benchOption
		says   string
	}{
		{"demo model", func(b *bench, _ *Config) {
			b.engine = demoEngine()
			b.engine.info.Missing = nil
		}, "Demo model"},
		{"no driver", func(b *bench, _ *Config) {
			b.engine.info.Notices = []string{"no driver: computing on the processor"}
		}, "No driver"},
		{"no model", func(_ *bench, cfg *Config) {
			cfg.Open = func(context.Context, inference.Options) (Engine, error) { return nil, errors.New("none") }
		}, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			b := newBench(t, usual, row.option, func(_ *bench, cfg *Config) { cfg.Dropped = []string{path} })
			b.settle()
			b.wantSaid("Kleinbild made this picture: “a lighthouse”")
			b.wantSaid(row.says)
			b.clock.pass(time.Hour)
			if b.said() != "Kleinbild made this picture: “a lighthouse”" {
				t.Errorf("after an hour the window says %q", b.said())
			}
			test.Tap(b.notice.Actions[0])
			b.settle()
			if b.prompt.entry.Text != "a lighthouse" || b.notice.Visible() {
				t.Errorf("prompt %q, says %q", b.prompt.entry.Text, b.said())
			}
		})
	}
}

func TestNotices(t *testing.T) {
	b := newBench(t, usual)
	b.view.show(&studio.Picture{Image: landscape(1200, 400, 1)})
	b.settle()
	where, size := b.view.view.Placed()
	b.notice.Say("Copied.")
	if now, as := b.view.view.Placed(); now != where || as != size {
		t.Error("a notice moved the picture")
	}
	b.clock.pass(time.Second)
	b.wantSaid("Copied.")
	b.focusLost = true
	b.clock.pass(time.Minute)
	b.wantSaid("Copied.") // nobody looked
	b.focusLost = false
	b.clock.pass(time.Minute)
	if b.notice.Visible() {
		t.Errorf("after a minute the window says %q", b.said())
	}

	answered := ""
	answer := func(what string) ui.Action { return ui.Action{Text: what, Do: func() { answered = what }} }
	b.notice.Ask("Restore?", answer("Restore"))
	b.notice.Say("Agree?", answer("Yes"), answer("No"))
	b.notice.Ask("A third?", answer("Third"))
	b.notice.Say("Image 1 was removed.", answer("Undo"))
	b.notice.Say("Image 2 was removed.", answer("Undo"))
	b.notice.fail(errors.New("inference: it is broken"))
	got := strings.Split(b.said(), "\n")
	if strings.Join(got, "|") != "Restore?|Agree?|Image 2 was removed.|It is broken." {
		t.Errorf("the window says %q", got)
	}
	b.clock.pass(time.Hour)
	b.notice.Hide()
	if b.said() != "Restore?\nAgree?" {
		t.Errorf("the window says %q, want the questions", b.said())
	}
	test.Tap(b.notice.Actions[2])
	if answered != "No" || b.said() != "Restore?\nA third?" {
		t.Errorf("answered %q, then the window says %q", answered, b.said())
	}
	for range 2 {
		b.win.Canvas().OnTypedKey()(&fyne.KeyEvent{Name: fyne.KeyEscape})
	}
	if b.notice.Visible() {
		t.Errorf("Escape leaves %q", b.said())
	}
}

// TestNoticesBelowTools: a notice leaves the tools of a mode in sight, in every mode that has some, and goes back up
// when the mode is left.
func TestNoticesBelowTools(t *testing.T) {
	b := newBench(t, usual)
	b.slots.add(0, []string{b.file("one.png", 128, 96, 1)})
	b.settle()
	b.make("first")
	b.make("second")
	b.notice.Say("Something has happened.")
	top := func() float32 { return b.notice.Content.Position().Y }
	usually := top()
	for _, m := range b.view.modes {
		b.view.leaveMode()
		if !b.view.offers(m.canvasMode) {
			continue // such as the grid, without a batch
		}
		b.view.enterMode(m.canvasMode)
		b.settle()
		if bar := m.bar(); bar != nil && top() < bar.Position().Y+bar.Size().Height {
			t.Errorf("%T: the notice lies over the tools", m.canvasMode)
		}
		b.openGallery()
		if top() != usually {
			t.Errorf("%T: over the gallery at %v", m.canvasMode, top())
		}
		b.leaveGallery()
	}
	if b.view.leaveMode(); top() != usually {
		t.Errorf("without a mode at %v, want %v", top(), usually)
	}
}
