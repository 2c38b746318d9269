package app

import (
	"os"
	"testing"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/test"

	"github.com/kleinbild/kleinbild/app/studio"
)

// key presses a key of the window, outside of text boxes.
func (b *bench) key(name fyne.KeyName) {
	b.t.Helper()
	b.win.Canvas().Unfocus()
	b.win.Canvas().OnTypedKey()(&fyne.KeyEvent{Name: name})
	b.settle()
}

// threePictures makes three pictures, each from the file one.png, in seeds 11, 12 and 13, the last one on show.
func threePictures(b *bench) {
	b.t.Helper()
	b.engine.info.NativeSize = 128
	b.slots.add(0, []string{b.file("one.png", 128, 96, 1)})
	b.settle()
	for _, seed := range []string{"11", "12", "13"} {
		b.shape.setSeed(seed)
		b.make("compared " + seed)
		b.settle()
	}
}

// TestCompare compares the picture on show with image 1 and with others, in each way, by keys and by the pointer.
func TestCompare(t *testing.T) {
	b := newBench(t, usual)
	threePictures(b)
	m, v := b.comparison, b.view.view
	b.key(fyne.KeyB)
	if !m.active() || !m.before || !v.Comparing() || m.names[0].Text() != "A · image 1" ||
		m.names[1].Text() != "B · seed 13" {
		t.Fatalf("active %v, image 1 %v, comparing %v, %q, %q", m.active(), m.before, v.Comparing(), m.names[0].Text(),
			m.names[1].Text())
	}
	if b.win.Canvas().Focused() != fyne.Focusable(v) {
		t.Errorf("the keyboard is at %T", b.win.Canvas().Focused())
	}
	// Side by side: two views of the same size, with one zoom.
	test.Tap(m.ways[sideBySide])
	b.settle()
	if !m.left.Visible() || m.left.Size() != v.Size() || v.Comparing() || m.left.Picture() != b.view.shown.Before {
		t.Fatalf("left %v of %v, right %v", m.left.Visible(), m.left.Size(), v.Size())
	}
	m.left.Zoom(3, m.left.Middle())
	if v.CurrentScale() != m.left.CurrentScale() || v.Fitted() {
		t.Errorf("scales %v and %v", m.left.CurrentScale(), v.CurrentScale())
	}
	// The ways are one stop of Tab, with arrows.
	b.win.Canvas().Focus(m.ways[sideBySide])
	m.ways[sideBySide].TypedKey(&fyne.KeyEvent{Name: fyne.KeyRight})
	if m.way != atDivider || m.left.Visible() || !v.Comparing() || b.win.Canvas().Focused() != fyne.Focusable(m.ways[1]) {
		t.Errorf("way %v, left %v, comparing %v", m.way, m.left.Visible(), v.Comparing())
	}
	// Others of the history as A.
	list := b.Album.Entries()
	b.key(fyne.KeyPageDown)
	if m.before || m.entry.ID != list[1].ID || m.names[0].Text() != "A · seed 12" {
		t.Errorf("A is %q, image 1: %v", m.names[0].Text(), m.before)
	}
	b.key(fyne.KeyPageDown)
	if m.entry.ID != list[2].ID {
		t.Errorf("A is %q", m.names[0].Text())
	}
	test.Tap(m.newer)
	b.settle()
	if m.entry.ID != list[1].ID {
		t.Errorf("A is %q", m.names[0].Text())
	}
	// Another B: A stays, unless it is that picture.
	v.TypedKey(&fyne.KeyEvent{Name: fyne.KeyRight})
	b.settle()
	if !m.active() || b.view.shown.ID != list[1].ID || m.a() == nil || m.a().ID == list[1].ID {
		t.Errorf("active %v, B is %d, A %+v", m.active(), b.view.shown.ID, m.a())
	}
	test.Tap(m.image1)
	v.TypedKey(&fyne.KeyEvent{Name: fyne.KeyLeft})
	b.settle()
	if !m.before || b.view.shown.ID != list[0].ID || m.a().Image != b.view.shown.Before {
		t.Error("image 1 does not follow the picture on show")
	}
	b.key(fyne.KeyEscape)
	if m.active() || v.Comparing() || m.left.Visible() || m.image != nil {
		t.Error("Escape leaves something of the comparison")
	}
	b.prompt.entry.TypedShortcut(ctrl(fyne.KeyB))
	if !m.active() {
		t.Error("Ctrl + B does not compare")
	}
	b.removed(b.view.shown.ID)
	if m.active() || m.offered() {
		t.Error("compares without a picture")
	}
}

// TestBlink: two pictures take turns while the window is in front, and only then a timer runs. The space bar and the
// pointer show A while they are pressed.
func TestBlink(t *testing.T) {
	b := newBench(t, usual)
	threePictures(b)
	timers := len(b.clock.timers)
	b.key(fyne.KeyB)
	if len(b.clock.timers) != timers {
		t.Fatal("a timer runs at the divider")
	}
	m, v := b.comparison, b.view.view
	test.Tap(m.ways[byTurns])
	for i := range 4 {
		if a := v.ShowsBefore(); a != (i%2 == 1) || m.names[0].Visible() != a || m.names[1].Visible() == a {
			t.Fatalf("turn %d: A on show %v, named %v, %v", i, v.ShowsBefore(), m.names[0].Visible(), m.names[1].Visible())
		}
		b.clock.pass(turn)
	}
	b.focusLost = true
	m.rest()
	if len(b.clock.timers) != timers {
		t.Error("a timer runs for a window that nobody sees")
	}
	m.takeTurn()
	if len(b.clock.timers) != timers {
		t.Error("a timer is begun for a window that nobody sees")
	}
	b.focusLost = false
	m.takeTurn()
	if len(b.clock.timers) != timers+1 {
		t.Error("the turns do not go on")
	}
	space := &fyne.KeyEvent{Name: fyne.KeySpace}
	v.KeyDown(space)
	if !v.ShowsBefore() || len(b.clock.timers) != timers {
		t.Error("the space bar does not show A, or the turns go on")
	}
	v.KeyUp(space)
	if v.ShowsBefore() {
		t.Error("A stays")
	}
	press(v)
	if v.ShowsBefore() {
		t.Error("A stays after a click")
	}
	test.Tap(m.ways[byTurns])
	if len(b.clock.timers) != timers+1 {
		t.Error("the button does not begin the turns again")
	}
	b.key(fyne.KeyEscape)
	if len(b.clock.timers) != timers || v.ShowsBefore() {
		t.Error("a timer goes on after the comparison")
	}
	b.key(fyne.KeySpace)
}

// TestCompareWithAny: any two pictures can be compared, by the menu, by a drag, and as the gallery asks for it.
func TestCompareWithAny(t *testing.T) {
	b := newBench(t, usual)
	threePictures(b)
	list := b.Album.Entries()
	m := b.comparison
	want := func(a, shown int) {
		t.Helper()
		b.settle()
		if !m.active() || m.before || m.entry.ID != list[a].ID || m.image == nil || b.view.shown.ID != list[shown].ID {
			t.Fatalf("active %v, A %d, B %d, want %d and %d", m.active(), m.entry.ID, b.view.shown.ID, list[a].ID,
				list[shown].ID)
		}
	}
	menu := func(i int) {
		for _, item := range b.pictureMenu(studio.Picture{ID: list[i].ID, Path: list[i].Path}, false).Items {
			if item.Label == "Compare with this" {
				item.Action()
			}
		}
	}
	menu(2)
	want(2, 0)
	b.strip.row.OnDrag(nil, middle(b.view.view))
	b.strip.row.OnDrop(list[1].Path)
	want(1, 0)
	if n := len(b.Desk.Desk().Slots); n != 1 {
		t.Errorf("the drop filled a slot, too: %d", n)
	}
	b.compareTwo(list[0].ID, list[2].ID)
	want(0, 2)
	b.key(fyne.KeyEscape)
	b.compareTwo(list[1].ID, list[2].ID)
	want(1, 2)
	b.compareTwo(list[2].ID, 12345)
	want(1, 2)
	b.Album.Forget(list[1].ID, func(err error) { t.Error(err) })
	b.settle()
	if !m.active() || m.entry.ID == list[1].ID || m.a() == nil {
		t.Errorf("A is gone: active %v, A %d", m.active(), m.entry.ID)
	}
}

// TestCompareUnreadable: a picture that cannot be read is not waited for.
func TestCompareUnreadable(t *testing.T) {
	b := newBench(t, usual, fivePictures)
	b.strip.open(b.Album.Entries()[0].ID)
	b.settle()
	if err := os.WriteFile(b.Album.Entries()[1].Path, []byte("no picture"), 0o644); err != nil {
		t.Fatal(err)
	}
	b.key(fyne.KeyB)
	if m := b.comparison; m.active() || m.reading != 0 {
		t.Errorf("compares with %q", m.names[0].Text())
	}
}
