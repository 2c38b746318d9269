package app

import (
	"os"
	"path/filepath"
	"testing"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/test"
)

// newGrid makes four pictures at once, with the seeds 5 to 8, and enters the grid by its key.
func newGrid(t *testing.T) (*bench, *gridMode) {
	b := newBench(t, usual)
	b.engine.info.NativeSize = 128
	b.shape.choose("square")
	b.make("alone")
	b.settle()
	b.shape.setCount(4)
	b.shape.setSeed("5")
	b.make("tries")
	b.settle()
	b.key(fyne.KeyT)
	if !b.grid.active() || len(b.grid.cells) != 4 || b.grid.chosen != 3 {
		t.Fatalf("active %v, %d cells, chosen %d", b.grid.active(), len(b.grid.cells), b.grid.chosen)
	}
	return b, b.grid
}

// chosenIs fails if another picture than that at place i is chosen, framed and on show.
func (m *gridMode) chosenIs(t *testing.T, b *bench, i int) {
	t.Helper()
	b.settle()
	if m.chosen != i || b.view.shown.ID != m.cells[i].entry.ID || b.strip.row.Marked != b.view.shown.ID {
		t.Fatalf("chosen %d, on show %d, want %d (%d)", m.chosen, b.view.shown.ID, i, m.cells[i].entry.ID)
	}
	for j, c := range m.cells {
		if (c.edge.Stroke != "") != (j == i) {
			t.Fatalf("frame of %d: %q", j, c.edge.Stroke)
		}
	}
}

// TestGrid chooses among the pictures of a batch, by keys and by the pointer, and opens one.
func TestGrid(t *testing.T) {
	b, m := newGrid(t)
	if m.cells[0].chip.Text() != "1 · seed 5" || m.cells[3].chip.Text() != "4 · seed 8" {
		t.Errorf("%q … %q", m.cells[0].chip.Text(), m.cells[3].chip.Text())
	}
	if b.view.view.Visible() || !m.rest.Visible() || b.view.save.Visible() || !b.view.edit.Visible() {
		t.Error("the view or its tools are there beside the grid's")
	}
	for i, c := range m.cells {
		if c.view.Picture() == nil || c.view.Size().Width < 100 {
			t.Errorf("cell %d shows nothing, in %v", i, c.view.Size())
		}
	}
	focused := func() fyne.Focusable { return b.win.Canvas().Focused() }
	b.win.Canvas().Focus(m.cells[3].view)
	for _, row := range []struct {
		key fyne.KeyName
		to  int
	}{{fyne.KeyUp, 1}, {fyne.KeyLeft, 0}, {fyne.KeyLeft, 0}, {fyne.KeyDown, 2}, {fyne.KeyRight, 3}, {fyne.KeyRight, 3}} {
		if m.columns != 2 {
			t.Fatalf("%d columns", m.columns)
		}
		focused().TypedKey(&fyne.KeyEvent{Name: row.key})
		m.chosenIs(t, b, row.to)
		if focused() != fyne.Focusable(m.cells[row.to].view) {
			t.Fatalf("%s: the keyboard is elsewhere", row.key)
		}
	}
	press(m.cells[1].view)
	m.chosenIs(t, b, 1)
	// One zoom for all.
	m.cells[1].view.Scrolled(&fyne.ScrollEvent{Scrolled: fyne.Delta{DY: 60}})
	if a, c := m.cells[1].view, m.cells[2].view; a.Fitted() || a.CurrentScale() != c.CurrentScale() {
		t.Errorf("scales %v and %v", a.CurrentScale(), c.CurrentScale())
	}
	test.Tap(m.fit)
	if !m.cells[3].view.Fitted() {
		t.Error("Fit all does not fit all")
	}
	m.cells[2].view.DoubleTapped(&fyne.PointEvent{})
	b.settle()
	if m.active() || b.view.shown.Meta.Seed != 7 || !b.view.view.Visible() || len(m.cells) > 0 {
		t.Errorf("a double click does not open the picture: seed %d", b.view.shown.Meta.Seed)
	}
	b.key(fyne.KeyT)
	m.chosenIs(t, b, 2)
	m.cells[2].view.TypedKey(&fyne.KeyEvent{Name: fyne.KeyReturn})
	if m.active() {
		t.Error("Enter does not open the picture")
	}
	b.strip.open(b.Album.Entries()[4].ID)
	b.settle()
	if m.offered() {
		t.Error("a grid is offered for a picture that was made alone")
	}
}

// TestGridStars keeps pictures by key, button and star, and bins the others: undo brings all of them back.
func TestGridStars(t *testing.T) {
	b, m := newGrid(t)
	bin := filepath.Join(b.dir, "bin")
	if err := os.MkdirAll(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	b.Album.Bin.Throw = func(path string) error { return os.Rename(path, filepath.Join(bin, filepath.Base(path))) }
	b.Album.Bin.TakeBack = func(path string) error { return os.Rename(filepath.Join(bin, filepath.Base(path)), path) }
	b.key(fyne.KeyF)
	test.Tap(m.cells[1].star)
	b.settle()
	m.chosenIs(t, b, 1)
	test.Tap(m.keep) // takes the star back
	b.settle()
	stars := ""
	for _, c := range m.cells {
		stars += map[bool]string{true: "*", false: "-"}[c.entry.Starred]
	}
	if stored := b.Album.Store().List(); stars != "---*" || !stored[0].Starred || stored[2].Starred || m.keep.Chosen {
		t.Fatalf("stars %s, Keep chosen %v", stars, m.keep.Chosen)
	}
	test.Tap(m.rest) // the picture with a star stays, not the chosen one
	b.settle()
	if m.active() || len(b.Album.Entries()) != 2 || b.view.shown == nil || b.view.shown.Meta.Seed != 8 {
		t.Fatalf("%d pictures, on show %+v", len(b.Album.Entries()), b.view.shown)
	}
	b.wantSaid("3 pictures moved to the bin")
	b.Desk.Undo()
	b.settle()
	if len(b.Album.Entries()) != 5 {
		t.Fatalf("undo brings back %d of 5 pictures", len(b.Album.Entries()))
	}
	for _, e := range b.Album.Entries() {
		if _, err := os.Stat(e.Path); err != nil {
			t.Error(err)
		}
	}
	b.key(fyne.KeyT)
	press(m.cells[3].view)
	b.settle()
	b.key(fyne.KeyF) // no star any more: the chosen one stays
	press(m.cells[0].view)
	b.settle()
	test.Tap(m.rest)
	b.settle()
	if len(b.Album.Entries()) != 2 || b.view.shown.Meta.Seed != 5 {
		t.Errorf("%d pictures, on show seed %d", len(b.Album.Entries()), b.view.shown.Meta.Seed)
	}
}

// TestGridGoesOn: E edits the chosen picture, A | B compares it, and a grid grows while its pictures are made.
func TestGridGoesOn(t *testing.T) {
	b, m := newGrid(t)
	press(m.cells[1].view)
	b.key(fyne.KeyE)
	if m.active() || filepath.Base(b.Desk.Desk().Slots[0].Path) != filepath.Base(b.view.shown.Path) ||
		b.view.shown.Meta.Seed != 6 {
		t.Errorf("edits %v, on show seed %d", b.names(), b.view.shown.Meta.Seed)
	}
	b.key(fyne.KeyT)
	test.Tap(m.blink)
	b.settle()
	if c := b.comparison; !c.active() || c.way != byTurns || c.entry.Picture.Seed != 7 || b.view.shown.Meta.Seed != 6 {
		t.Errorf("compares seed %d with %d", c.entry.Picture.Seed, b.view.shown.Meta.Seed)
	}
	b.key(fyne.KeyEscape)
	b.engine.hold = make(chan struct{}, 1)
	b.shape.setCount(3)
	b.prompt.setText("more")
	b.generate()
	n := len(b.Album.Entries())
	for i := range 2 {
		b.engine.hold <- struct{}{}
		b.until("another picture", func() bool { return len(b.Album.Entries()) == n+i+1 })
	}
	b.strip.open(b.Album.Entries()[0].ID)
	b.settle()
	b.view.enterMode(m)
	if len(m.cells) != 2 {
		t.Fatalf("%d cells, want 2", len(m.cells))
	}
	b.engine.hold <- struct{}{}
	b.until("the end", func() bool { return b.Maker.Run() == nil })
	b.settle()
	if len(m.cells) != 3 || m.chosen != 1 || m.cells[2].view.Picture() == nil {
		t.Errorf("%d cells, chosen %d", len(m.cells), m.chosen)
	}
}

// TestGridKeysAreForTheChosen: a key that comes before the chosen picture is read is for that picture all the same.
func TestGridKeysAreForTheChosen(t *testing.T) {
	b, m := newGrid(t)
	b.win.Canvas().Focus(m.cells[3].view)
	m.cells[3].view.TypedKey(&fyne.KeyEvent{Name: fyne.KeyLeft})
	if b.view.shown.Meta.Seed != 8 {
		t.Fatal("the picture is read already")
	}
	if p := b.inHand(); p == nil || p.ID != m.cells[2].entry.ID || p.Path != m.cells[2].entry.Path {
		t.Errorf("in hand: %+v", p)
	}
	b.starInHand()
	b.settle()
	if m.cells[3].entry.Starred || !m.cells[2].entry.Starred {
		t.Error("another picture has the star")
	}
	if b.inHand() != b.view.shown {
		t.Error("the picture on show is not the one in hand")
	}
}

// TestGridCellsStay: a picture that goes to the bin, or comes back, leaves the other cells their zoom and the keyboard.
func TestGridCellsStay(t *testing.T) {
	b, m := newGrid(t)
	last := m.cells[3]
	b.win.Canvas().Focus(last.view)
	last.view.Scrolled(&fyne.ScrollEvent{Scrolled: fyne.Delta{DY: 60}})
	scale := last.view.CurrentScale() / last.view.Size().Width
	same := func(when string, place int) {
		t.Helper()
		b.settle()
		if len(m.cells) != place+1 || m.cells[place] != last || last.at != place {
			t.Fatalf("%s: %d cells, another one at place %d", when, len(m.cells), place)
		}
		if b.win.Canvas().Focused() != fyne.Focusable(last.view) || last.view.Fitted() {
			t.Errorf("%s: focus %T, fitted %v", when, b.win.Canvas().Focused(), last.view.Fitted())
		}
	}
	gone := m.cells[0].entry.ID
	b.bin(gone)
	same("binned", 2)
	b.Desk.Undo()
	same("back", 3)
	back := m.cells[0]
	if back.entry.ID != gone || back.view.Fitted() {
		t.Errorf("picture %d came back without the zoom of the others", back.entry.ID)
	}
	if got := last.view.CurrentScale() / last.view.Size().Width; got < scale*0.98 || got > scale*1.02 {
		t.Errorf("scale %v of its width, want %v", got, scale)
	}
	last.view.TypedKey(&fyne.KeyEvent{Name: fyne.KeyLeft})
	m.chosenIs(t, b, 2)
}
