package app

import (
	"testing"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/test"

	"github.com/kleinbild/kleinbild/inference/picture"
)

// TestOwnSize types a size of no tile: the nearest valid one is chosen while it is typed, and is one step however many
// keys that takes.
func TestOwnSize(t *testing.T) {
	b := newBench(t, usual)
	own := b.shape.own
	b.shape.choose(picture.Square)
	steps := b.Desk.Steps()
	for _, row := range []struct {
		text string
		size picture.Size
		note string
	}{
		{"1", picture.Size{Width: 1024, Height: 1024}, "want two numbers"},
		{"1000x700", picture.Size{Width: 1008, Height: 704}, "› 1008 × 704"},
		{"3:2", picture.Size{Width: 1248, Height: 832}, "› 1248 × 832"},
		{"640 × 320", picture.Size{Width: 640, Height: 320}, "2:1"},
		{"", picture.Size{Width: 640, Height: 320}, "own size"},
		{"what?", picture.Size{Width: 640, Height: 320}, "want two numbers"},
		{"999999999999 by 1", picture.Size{Width: 2048, Height: 64}, "› 2048 × 64"},
	} {
		b.win.Canvas().Focus(own.field)
		own.field.TypedShortcut(&fyne.ShortcutSelectAll{})
		own.field.TypedKey(&fyne.KeyEvent{Name: fyne.KeyBackspace})
		test.Type(own.field, row.text)
		if got := b.size(); got != row.size || own.field.Text != row.text || own.note.Text != row.note {
			t.Errorf("%q: %v, the field says %q, the note %q", row.text, got, own.field.Text, own.note.Text)
		}
	}
	if got := b.Desk.Steps() - steps; got != 1 {
		t.Errorf("typing was %d steps", got)
	}
	b.shape.refresh() // such as when a picture was read
	if own.field.Text != "999999999999 by 1" {
		t.Errorf("while it is typed, the text becomes %q", own.field.Text)
	}
	own.field.TypedKey(&fyne.KeyEvent{Name: fyne.KeyReturn})
	if own.field.Text != "2048 × 64" || own.note.Text != "32.0:1" {
		t.Errorf("Enter leaves %q, %q", own.field.Text, own.note.Text)
	}
	b.win.Canvas().Focus(b.prompt.entry)
	b.Desk.Undo()
	if b.shape.aspect() != picture.Square || own.field.Text != "" {
		t.Errorf("undone: %s, the field says %q", b.shape.aspect(), own.field.Text)
	}
	b.Desk.Redo()
	if b.size() != (picture.Size{Width: 2048, Height: 64}) || own.field.Text != "2048 × 64" {
		t.Errorf("done again: %v, %q", b.size(), own.field.Text)
	}
	for _, tile := range b.shape.tiles {
		if tile.Chosen {
			t.Errorf("a tile is chosen beside an own size")
		}
	}
	b.win.Canvas().Focus(own.field)
	test.Type(own.field, "wide")
	b.win.Canvas().Focus(b.prompt.entry)
	if own.field.Text != "2048 × 64" || b.size() != (picture.Size{Width: 2048, Height: 64}) {
		t.Errorf("text that is no size stays: %q", own.field.Text)
	}
	test.Tap(b.shape.tiles[3])
	if own.field.Text != "" || b.shape.aspect() != picture.Photo {
		t.Errorf("a tile leaves %q", own.field.Text)
	}
	b.engine.info.NativeSize = 128
	b.engineChanged()
	b.win.Canvas().Focus(own.field)
	test.Type(own.field, "2:1")
	if b.size() != (picture.Size{Width: 176, Height: 96}) {
		t.Errorf("2:1 of a small model: %v", b.size())
	}
}
