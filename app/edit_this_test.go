package app

import (
	"slices"
	"testing"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/test"

	"github.com/kleinbild/kleinbild/app/studio"
	"github.com/kleinbild/kleinbild/inference/picture"
)

// TestEditThis takes the picture on show on as image 1: by the button, by the key and by the menus. What is typed next
// replaces the prompt, and undo brings back both the prompt and image 1.
func TestEditThis(t *testing.T) {
	b := newBench(t, usual)
	b.engine.info.NativeSize = 128
	b.editShown()
	b.wantSaid("no finished picture")
	b.make("a house")
	b.advanced.toggle()
	shown := b.view.shown.Path
	item := func(menu *fyne.Menu) func() {
		i := slices.IndexFunc(menu.Items, func(m *fyne.MenuItem) bool { return m.Label == "Edit this" })
		if i < 0 {
			t.Fatal("the menu has no Edit this")
		}
		return menu.Items[i].Action
	}
	key := &fyne.KeyEvent{Name: fyne.KeyE}
	for name, do := range map[string]func(){
		"the button":          func() { test.Tap(b.view.edit) },
		"the key":             func() { b.win.Canvas().Unfocus(); b.win.Canvas().OnTypedKey()(key) },
		"the key on a slot":   func() { b.slots.slots[1].TypedKey(key) },
		"the key on Generate": func() { b.prompt.generate.TypedKey(key) },
		"the key on a list":   func() { b.advanced.theme.TypedKey(key) },
		"the canvas' menu":    func() { item(b.pictureMenu(*b.view.shown, true))() },
		"the history's menu":  func() { item(b.strip.menu(b.Album.Entries()[0].ID))() },
	} {
		t.Run(name, func(t *testing.T) {
			b.t = t
			b.Desk.Change(func() {
				b.Desk.Choose(func(d *studio.Desk) { d.Slots = nil })
				b.slots.add(0, []string{b.file("one.png", 64, 64, 1), b.file("two.png", 64, 64, 2)})
			})
			b.shape.choose(picture.Square)
			b.prompt.setText("a draft")
			b.settle()
			do()
			b.settle()
			if got := b.Desk.Desk(); got.Slots[0].Path != shown || got.Slots[1].Name() != "two.png" || len(got.Slots) != 2 ||
				got.Aspect != picture.Match {
				t.Errorf("%+v", got)
			}
			b.wantSaid("Image 1 was replaced.")
			if b.win.Canvas().Focused() != fyne.Focusable(b.prompt.entry) || b.prompt.entry.SelectedText() != "a draft" {
				t.Errorf("focus %T, selected %q", b.win.Canvas().Focused(), b.prompt.entry.SelectedText())
			}
			test.Type(b.prompt.entry, "x")
			if got := b.prompt.entry.Text; got != "x" {
				t.Errorf("typed: %q", got)
			}
			for range 3 { // the letter, the text that it replaced, image 1
				b.prompt.entry.TypedShortcut(&fyne.ShortcutUndo{})
			}
			b.settle()
			b.wantNames("one.png", "two.png")
			if got := b.prompt.entry.Text; got != "a draft" || b.shape.aspect() != picture.Square {
				t.Errorf("undone: %q, %s", got, b.shape.aspect())
			}
		})
	}
	b.prompt.setText("")
	test.Type(b.prompt.entry, "E")
	b.wantNames("one.png", "two.png")
	b.view.shown = &studio.Picture{Image: landscape(64, 64, 1)}
	b.editShown()
	b.wantSaid("not saved yet")
}
