package app

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/test"

	"github.com/kleinbild/kleinbild/app/studio"
	"github.com/kleinbild/kleinbild/app/ui"
	"github.com/kleinbild/kleinbild/inference/picture"
)

func TestSeedAndCount(t *testing.T) {
	b := newBench(t, usual)
	b.shape.setCount(3)
	b.shape.setLocked(true)
	b.shape.setSeed("7")
	b.make("three")
	var seeds []uint64
	for _, r := range b.engine.made() {
		seeds = append(seeds, r.Seed())
	}
	if len(seeds) != 3 || seeds[0] != 7 || seeds[1] != 8 || seeds[2] != 9 {
		t.Errorf("seeds %v, want 7, 8, 9", seeds)
	}
	if b.shape.seedEntry.Text != "7" {
		t.Errorf("a locked seed became %s", b.shape.seedEntry.Text)
	}
	test.Tap(b.shape.lock)
	b.shape.setCount(1)
	b.make("one more")
	if b.shape.seedEntry.Text == "7" {
		t.Error("a seed that is not locked stayed")
	}
	for _, bad := range []string{"", "-1", "1.5", "99999999999999999999", "fox"} {
		b.shape.setSeed(bad)
		b.generate()
		b.wantSaid("seed")
	}
	if n := len(b.engine.made()); n != 4 {
		t.Errorf("%d pictures, want 4: a bad seed makes none", n)
	}
}

// TestSeedOnShow: the seed of the picture on the canvas is shown, and Lock locks it.
func TestSeedOnShow(t *testing.T) {
	b := newBench(t, usual)
	b.engine.info.NativeSize = 128
	if b.shape.onShow.Visible() {
		t.Error("a seed is on show without a picture")
	}
	b.shape.setCount(2)
	b.shape.setSeed("41")
	b.make("two")
	if got := b.shape.onShow; !got.Visible() || got.Text != "on show: 42" {
		t.Errorf("says %q", got.Text)
	}
	if b.shape.seedEntry.Text == "42" {
		t.Fatal("the next seed is that of the picture on show")
	}
	b.strip.open(b.Album.Entries()[1].ID)
	b.settle()
	test.Tap(b.shape.lock)
	if b.shape.seedEntry.Text != "41" || !b.shape.locked() || b.set.LockedSeed() != "41" {
		t.Errorf("locked %s %v, want 41, that of the picture on show", b.shape.seedEntry.Text, b.shape.locked())
	}
	test.Tap(b.shape.lock)
	if b.shape.locked() {
		t.Error("still locked")
	}
	test.Tap(b.shape.dice)
	rolled := b.shape.seedEntry.Text
	test.Tap(b.shape.lock)
	if b.shape.seedEntry.Text != rolled || !b.shape.locked() {
		t.Errorf("locked %s, want the %s that was just rolled", b.shape.seedEntry.Text, rolled)
	}
	test.Tap(b.shape.lock)
	b.shape.seedEntry.SetText("123") // as typed
	test.Tap(b.shape.lock)
	test.Tap(b.shape.lock)
	if b.shape.seedEntry.Text != "123" || !b.shape.locked() {
		t.Errorf("locked %s, want the 123 that was typed", b.shape.seedEntry.Text)
	}
	test.Tap(b.shape.lock)
	b.shape.setCount(1)
	b.engine.hold = make(chan struct{})
	b.shape.setSeed("1234")
	b.prompt.setText("on its way")
	b.generate()
	b.until("a preview", func() bool { return b.view.previewing })
	if got := b.shape.onShow.Text; got != "on show: 1234" {
		t.Errorf("says %q of the picture on its way", got)
	}
	test.Tap(b.shape.onShow)
	if b.shape.seedEntry.Text != "1234" || !b.shape.locked() {
		t.Errorf("took %s", b.shape.seedEntry.Text)
	}
	b.escape()
	b.until("the end", func() bool { return b.Maker.Run() == nil })
}

func TestQueue(t *testing.T) {
	b := newBench(t, usual)
	b.shape.choose(picture.Square)
	b.engine.info.NativeSize = 128
	b.engine.hold = make(chan struct{})
	for _, p := range []string{"first", "second", "third", "fourth"} {
		b.prompt.setText(p)
		b.generate()
	}
	if len(b.Queue.Batches()) != 3 || !b.queued.content.Visible() {
		t.Fatalf("%d batches wait", len(b.Queue.Batches()))
	}
	b.Queue.Move(2, 1)
	b.queued.remove(2)
	b.queued.edit(0)
	if b.prompt.entry.Text != "second" || len(b.Queue.Batches()) != 1 {
		t.Fatalf("edit: prompt %q, %d wait", b.prompt.entry.Text, len(b.Queue.Batches()))
	}
	close(b.engine.hold)
	b.until("the queue is done", func() bool {
		return b.Maker.Run() == nil && b.Queue.Empty() && len(b.Album.Entries()) == 2
	})
	var prompts []string
	for _, r := range b.engine.made() {
		prompts = append(prompts, r.Prompt())
	}
	if strings.Join(prompts, " ") != "first fourth" {
		t.Errorf("made %v", prompts)
	}
}

// TestQueuedForAnotherModel: a batch that waits is made at the size that its shape has for the model that makes it.
func TestQueuedForAnotherModel(t *testing.T) {
	b := newBench(t, usual)
	b.engine.hold = make(chan struct{})
	b.prompt.setText("a fox")
	b.generate()
	b.until("the first", func() bool { return b.Maker.Run() != nil })
	b.generate()
	if got := b.Queue.Batches()[0].Size; got != (picture.Size{Width: 1344, Height: 768}) {
		t.Errorf("waits at %v", got)
	}
	b.engine.info.NativeSize = 128
	b.engineChanged()
	close(b.engine.hold)
	b.until("both", func() bool { return b.Maker.Run() == nil && b.Queue.Empty() })
	if made := b.engine.made(); len(made) != 2 || made[1].Size() != (picture.Size{Width: 160, Height: 96}) {
		t.Errorf("%d made, the second at %v", len(made), made[len(made)-1].Size())
	}
}

// TestLongQueue: the queue shows a part of what waits. It scrolls, and is moved, edited and cleared by the keyboard.
func TestLongQueue(t *testing.T) {
	b := newBench(t, usual)
	b.engine.hold = make(chan struct{})
	for i := range 8 {
		b.prompt.setText(fmt.Sprint("fox ", i))
		b.generate()
	}
	waits := func(want string) {
		t.Helper()
		var got []string
		for _, batch := range b.Queue.Batches() {
			got = append(got, strings.TrimPrefix(batch.Desk.Prompt, "fox "))
		}
		if s := strings.Join(got, ""); s != want {
			t.Errorf("%s wait, want %s", s, want)
		}
	}
	shows := func(first int) {
		t.Helper()
		for i, row := range b.queued.rows {
			if want := describe(b.Queue.Batches()[first+i]); row.text.Text != want {
				t.Errorf("row %d shows %q, want %q", i, row.text.Text, want)
			}
		}
	}
	waits("1234567")
	shows(0)
	if !strings.Contains(b.queued.title.Text, "7 waiting · 1 to 4 below") {
		t.Errorf("the title is %q", b.queued.title.Text)
	}
	down := &fyne.ScrollEvent{Scrolled: fyne.Delta{DY: -10}}
	b.queued.rows[1].Scrolled(down)
	shows(1)
	for range 5 {
		b.queued.rows[1].Scrolled(down)
	}
	shows(3)
	b.queued.choose(0)
	shows(0)
	press := func(key fyne.KeyName) {
		b.win.Canvas().Focused().TypedKey(&fyne.KeyEvent{Name: key})
		b.settle()
	}
	for range 5 {
		press(fyne.KeyDown)
	}
	shows(2)
	move := func(key fyne.KeyName) { b.win.Canvas().Focused().(fyne.Shortcutable).TypedShortcut(ctrl(key)) }
	move(fyne.KeyUp)
	move(fyne.KeyUp)
	waits("1236457")
	move(fyne.KeyDown)
	waits("1234657")
	if row := b.win.Canvas().Focused().(*queueRow); row.batch() != 4 {
		t.Errorf("the keyboard is at %d, want it at the batch that was moved", row.batch())
	}
	press(fyne.KeyDelete)
	waits("123457")
	b.tapUndo()
	waits("1234657")
	row := b.queued.rows[0]
	from := row.batch()
	row.Dragged(&fyne.DragEvent{PointEvent: fyne.PointEvent{AbsolutePosition: middle(b.queued.rows[2])}})
	row.DragEnd()
	if got := b.Queue.Batches()[from+2].Desk.Prompt; got != fmt.Sprint("fox ", from+1) {
		t.Errorf("dragged two rows down: %q is there", got)
	}
	b.queued.choose(0)
	b.win.Canvas().Focused().(fyne.Shortcutable).TypedShortcut(&fyne.ShortcutRedo{}) // is the window's
	if n := len(b.Queue.Batches()); n != 6 {
		t.Errorf("%d wait after redo, want 6", n)
	}
	b.Desk.Undo()
	b.queued.choose(0)
	press(fyne.KeyReturn)
	if b.prompt.entry.Text != "fox 1" || len(b.Queue.Batches()) != 6 {
		t.Errorf("edit: prompt %q, %d wait", b.prompt.entry.Text, len(b.Queue.Batches()))
	}
	test.Tap(b.queued.clear)
	if !b.Queue.Empty() {
		t.Error("clear left something")
	}
	b.tapUndo()
	if len(b.Queue.Batches()) != 6 {
		t.Errorf("%d wait after undo, want 6", len(b.Queue.Batches()))
	}
}

// TestNoCancelByAccident clicks and presses once too often, as people do who are not sure that once was enough.
func TestNoCancelByAccident(t *testing.T) {
	b := newBench(t, usual)
	b.engine.hold = make(chan struct{})
	b.prompt.setText("a fox")
	test.Tap(b.prompt.generate)
	test.Tap(b.prompt.generate) // of a double click
	if b.Maker.Run() == nil || len(b.Queue.Batches()) != 0 {
		t.Fatalf("after a double click: run %v, %d wait", b.Maker.Run(), len(b.Queue.Batches()))
	}
	first := b.Maker.Run()
	b.clock.pass(time.Second)
	if got := b.prompt.generate.Text; got != "Add to queue" {
		t.Errorf("the button says %q", got)
	}
	test.Tap(b.prompt.generate)
	b.clock.pass(time.Second)
	for range 20 { // the key is held down
		b.prompt.entry.TypedShortcut(ctrl(fyne.KeyReturn))
		b.clock.pass(50 * time.Millisecond)
	}
	b.clock.pass(time.Second)
	b.prompt.entry.TypedShortcut(ctrl(fyne.KeyReturn))
	b.settle()
	if b.Maker.Run() != first || len(b.Queue.Batches()) != 3 {
		t.Errorf("%d wait, want 3 behind the first", len(b.Queue.Batches()))
	}
	if near := b.prompt.generate; ui.Within(near, middle(b.prompt.cancel)) || !b.prompt.cancel.Visible() {
		t.Error("Cancel lies on Generate")
	}
	b.Queue.Clear()
	b.win.Canvas().Focus(b.prompt.cancel)
	test.Tap(b.prompt.cancel)
	b.until("the end", func() bool { return b.Maker.Run() == nil })
	if len(b.Album.Entries()) != 0 || b.prompt.cancel.Visible() ||
		b.win.Canvas().Focused() != fyne.Focusable(b.prompt.generate) {
		t.Errorf("cancelled: %d made, focus %T", len(b.Album.Entries()), b.win.Canvas().Focused())
	}
}

// TestNothingDescribed: if neither words nor pictures say what to make, the window asks for a prompt, also on the first
// page.
func TestNothingDescribed(t *testing.T) {
	for _, row := range []struct {
		name   string
		option benchOption
	}{{"with a model", func(*bench, *Config) {}}, {"first page", withoutModel}} {
		t.Run(row.name, func(t *testing.T) {
			b := newBench(t, usual, row.option)
			b.settle()
			page := b.start.content.Visible()
			b.prompt.setText(" \n\t")
			b.win.Canvas().Unfocus()
			test.Tap(b.prompt.generate)
			b.settle()
			b.wantSaid("Describe the picture first")
			if b.Maker.Run() != nil || len(b.Album.Entries()) != 0 || b.start.content.Visible() != page {
				t.Errorf("run %v, %d made, page %v", b.Maker.Run(), len(b.Album.Entries()), b.start.content.Visible())
			}
			if b.win.Canvas().Focused() != fyne.Focusable(b.prompt.entry) {
				t.Errorf("the focus is on %T", b.win.Canvas().Focused())
			}
		})
	}
	// A picture says what to make without words.
	b := newBench(t, usual)
	b.slots.add(0, []string{b.file("one.png", 64, 64, 1)})
	b.settle()
	b.make("")
}

// TestGenerateWhileReading waits for pictures that are still being read.
func TestGenerateWhileReading(t *testing.T) {
	b := newBench(t, usual)
	b.slots.add(0, []string{b.file("big.png", 1100, 1100, 1)})
	b.generate()
	if len(b.engine.made()) != 0 || !b.waiting {
		t.Fatal("did not wait")
	}
	b.until("a picture", func() bool { return len(b.Album.Entries()) == 1 })
	if n := len(b.engine.made()[0].References()); n != 1 {
		t.Errorf("%d references", n)
	}
}

func TestNotification(t *testing.T) {
	b := newBench(t, usual)
	b.focusLost = true
	test.AssertNotificationSent(t, fyne.NewNotification("Kleinbild", "Your picture is ready: a fox."), func() {
		b.make("a fox")
	})
}

// TestLookingBack opens an earlier picture while others are made: neither previews nor results take its place.
func TestLookingBack(t *testing.T) {
	b := newBench(t, usual)
	b.engine.info.NativeSize = 128
	b.make("earlier")
	b.engine.hold = make(chan struct{})
	b.engine.step = 10 * time.Millisecond
	b.prompt.setText("later")
	b.shape.setCount(2)
	b.generate()
	b.until("a preview", func() bool { return b.view.previewing })
	b.strip.open(b.Album.Entries()[0].ID)
	b.until("the earlier picture", func() bool { return !b.view.previewing })
	close(b.engine.hold)
	b.until("the later pictures", func() bool {
		if b.view.previewing || b.view.shown.Meta.Prompt != "earlier" {
			t.Error("the earlier picture lost its place")
		}
		return b.Maker.Run() == nil && len(b.Album.Entries()) == 3
	})
	if got := b.view.newer; !got.Visible() || got.Text != "2 new pictures: show" {
		t.Errorf("the sign says %q, visible %v", got.Text, got.Visible())
	}
	b.strip.forget(b.Album.Entries()[1].ID)
	b.settle()
	if got := b.view.newer.Text; got != "New picture: show" {
		t.Errorf("one of the two is gone, the sign says %q", got)
	}
	test.Tap(b.view.newer)
	if b.view.shown.ID != b.Album.Entries()[0].ID || b.view.newer.Visible() || b.strip.row.Marked != b.view.shown.ID {
		t.Errorf("shows %q", b.view.shown.Meta.Prompt)
	}
	// What is asked for while nothing is made is to be seen.
	b.strip.open(b.Album.Entries()[1].ID)
	b.settle()
	b.shape.setCount(1)
	b.make("the last")
	if b.view.shown.Meta.Prompt != "the last" {
		t.Errorf("shows %q", b.view.shown.Meta.Prompt)
	}
}

// TestToolsFit: the tools of a picture and the sign of a new one lie beside each other in the smallest window. What
// keys, wheel and menu do as well makes room.
func TestToolsFit(t *testing.T) {
	b := newBench(t, leastSize)
	b.view.show(&studio.Picture{Image: landscape(1200, 400, 1), Before: landscape(500, 500, 2)})
	b.view.view.Zoom(1, b.view.view.Middle())
	for id := range uint64(12) {
		b.view.offer(&studio.Picture{Path: "a.png", ID: id + 100, Image: landscape(64, 64, 1)})
	}
	b.settle()
	var shown []string
	for _, k := range b.view.tools {
		if !k.Visible() {
			continue
		}
		shown = append(shown, k.Text)
		if x := k.Position().X; x < 0 || x+k.Size().Width > b.view.content.Size().Width {
			t.Errorf("%q lies from %v to %v of %v", k.Text, x, x+k.Size().Width, b.view.content.Size().Width)
		}
	}
	want := []string{"12 new: show", "Edit this", "Info", "Mask", "Compare"}
	if !slices.Equal(shown, want) {
		t.Errorf("shown: %q, want %q", shown, want)
	}
}

// TestCanvasIsOccupied: a new picture does not interrupt a closer look, a comparison, a drag or the page of models.
func TestCanvasIsOccupied(t *testing.T) {
	for _, row := range []struct {
		name string
		do   func(b *bench)
	}{
		{"zoomed in", func(b *bench) { b.view.view.Zoom(b.view.view.CurrentScale()*2, b.view.view.Middle()) }},
		{"comparing", func(b *bench) { b.view.enterMode(b.comparison) }},
		{"dragging", func(b *bench) { b.view.view.Dragged(dragged(b.view.view.Middle(), 3, 3)) }},
		{"page of models", func(b *bench) { b.chooseModel() }},
	} {
		t.Run(row.name, func(t *testing.T) {
			b := newBench(t, usual)
			b.slots.add(0, []string{b.file("one.png", 128, 96, 1)})
			b.settle()
			b.engine.info.NativeSize = 128
			b.make("looked at")
			b.prompt.setText("a second")
			b.engine.hold = make(chan struct{})
			b.generate()
			b.until("a preview", func() bool { return b.view.previewing })
			b.strip.open(b.Album.Entries()[0].ID)
			b.settle()
			b.view.away = false
			row.do(b)
			close(b.engine.hold)
			b.until("the end", func() bool { return b.Maker.Run() == nil })
			if b.view.shown.Meta.Prompt != "looked at" || b.view.previewing {
				t.Errorf("the canvas shows %q", b.view.shown.Meta.Prompt)
			}
			b.view.view.DragEnd()
			b.start.leave()
			if !b.view.newer.Visible() {
				t.Error("no sign of the new picture")
			}
			b.strip.open(b.Album.Entries()[0].ID)
			b.settle()
			if b.view.shown.Meta.Prompt != "a second" || b.view.newer.Visible() {
				t.Errorf("opened %q, the sign is there: %v", b.view.shown.Meta.Prompt, b.view.newer.Visible())
			}
		})
	}
}

// TestNoHistory makes pictures although the history cannot be written.
func TestNoHistory(t *testing.T) {
	b := newBench(t, usual, func(b *bench, cfg *Config) {
		cfg.HistoryFile = filepath.Join(b.file("file.png", 64, 64, 1), "history.db")
		b.engine.info.NativeSize = 128
	})
	b.wantSaid("history cannot be written")
	b.prompt.setText("kept in its folder")
	b.generate()
	b.until("a picture", func() bool { return b.Maker.Run() == nil && b.view.shown != nil })
	if b.view.shown.Path == "" || len(b.Album.Entries()) != 1 {
		t.Errorf("path %q, %d in the history", b.view.shown.Path, len(b.Album.Entries()))
	}
}

// TestEngineFails: the window says in one sentence why.
func TestEngineFails(t *testing.T) {
	b := newBench(t, usual)
	b.engine.fail = errors.New("inference: the graphics card is gone")
	b.prompt.setText("a fox")
	b.generate()
	b.until("the end", func() bool { return b.Maker.Run() == nil })
	b.wantSaid("The graphics card is gone.")
}

// TestNoStall drives a slow engine and measures the longest time for which the window's goroutine does not answer.
func TestNoStall(t *testing.T) {
	e := newFakeEngine()
	e.step = 40 * time.Millisecond
	b := newBench(t, usual, withEngine(e))
	b.shape.setCount(2)
	b.noStall(func() {
		b.slots.clearAll()
		b.slots.add(0, []string{b.file("big.png", 2000, 1500, 1)})
		b.settle()
		b.make("slow")
		b.settle()
	})
}

// longestStall is the longest time allowed; on an idle machine the window needs a fifth of it.
const longestStall = 50 * time.Millisecond

// noStall does something that must not block the window. Another program can take the processor at any moment, so the
// best of three tries counts.
func (b *bench) noStall(do func()) {
	b.t.Helper()
	best := time.Hour
	for range 3 {
		b.longest = 0
		do()
		if best = min(best, b.longest); best <= longestStall {
			b.t.Logf("longest stall %v", best)
			return
		}
	}
	b.t.Errorf("the window was away for %v, want at most %v", best, longestStall)
}
