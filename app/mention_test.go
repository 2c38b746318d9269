package app

import (
	"testing"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/test"
)

// TestMentionList: "@" offers the pictures of the desk; keys, digits and clicks take one, and nothing else is lost.
func TestMentionList(t *testing.T) {
	b := newBench(t, usual)
	e, l := b.prompt.entry, b.prompt.mentions
	b.win.Canvas().Focus(e)
	test.Type(e, "a @")
	if l.isOpen() {
		t.Error("a list without pictures")
	}
	b.twoReferences()
	b.settle()
	key := func(names ...fyne.KeyName) func() {
		return func() {
			for _, name := range names {
				e.TypedKey(&fyne.KeyEvent{Name: name})
			}
		}
	}
	for _, row := range []struct {
		name, typed string
		do          func()
		want        string
		open        bool
	}{
		{"open", "the house of @", func() {}, "the house of @", true},
		{"Enter", "the house of @", key(fyne.KeyReturn), "the house of image 1 ", false},
		{"down", "the house of @", key(fyne.KeyDown, fyne.KeyEnter), "the house of image 2 ", false},
		{"down twice", "@", key(fyne.KeyDown, fyne.KeyDown, fyne.KeyTab), "image 1 ", false},
		{"up", "(@", key(fyne.KeyUp, fyne.KeyTab), "(image 2 ", false},
		{"a digit", "like @2", func() {}, "like image 2 ", false},
		{"a digit without a picture", "like @3", func() {}, "like @3", false},
		{"a click", "like @", func() { l.rows[1].Tapped(nil) }, "like image 2 ", false},
		{"Escape", "like @", key(fyne.KeyEscape), "like @", false},
		{"another key", "like @", key(fyne.KeyLeft), "like @", false},
		{"a word", "like @b", func() {}, "like @b", false},
		{"in a word", "me@", func() {}, "me@", false},
	} {
		e.SetText("")
		l.close()
		test.Type(e, row.typed)
		if row.do(); e.Text != row.want || l.isOpen() != row.open || e.AcceptsTab() != row.open {
			t.Errorf("%s: %q, open %v; want %q, %v", row.name, e.Text, l.isOpen(), row.want, row.open)
		}
	}
	// It lies at the cursor, above the prompt, inside of the window.
	e.SetText("")
	test.Type(e, "the house of @")
	top, bottom := l.content.Position().Y, l.content.Position().Y+l.content.Size().Height
	box := fyne.CurrentApp().Driver().AbsolutePositionForObject(e)
	if top < 0 || bottom > box.Y+e.CursorPosition().Y || l.content.Position().X <= box.X {
		t.Errorf("the list lies at %v, the prompt at %v", l.content.Position(), box)
	}
	b.win.Canvas().Unfocus()
	if b.clock.pass(doubleClick); l.isOpen() {
		t.Error("the list stays without the keyboard")
	}
}

// TestDropNumber: a slot that is dragged into the prompt puts its number there.
func TestDropNumber(t *testing.T) {
	b := newBench(t, usual)
	b.twoReferences()
	b.settle()
	b.prompt.setText("the light of")
	pos := middle(b.prompt.entry)
	slot := b.slots.slots[1]
	slot.Dragged(&fyne.DragEvent{PointEvent: fyne.PointEvent{AbsolutePosition: pos}})
	slot.DragEnd()
	if got := b.prompt.entry.Text; got != "the light of image 2 " {
		t.Errorf("prompt %q", got)
	}
	if b.win.Canvas().Focused() != fyne.Focusable(b.prompt.entry) {
		t.Error("the prompt has not the keyboard")
	}
}
