package app

import (
	"fmt"
	"strings"
	"testing"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/dialog"
	"fyne.io/fyne/v2/driver/desktop"
	"fyne.io/fyne/v2/test"

	"github.com/kleinbild/kleinbild/app/ui"
	"github.com/kleinbild/kleinbild/inference/picture"
)

func ctrl(key fyne.KeyName) fyne.Shortcut {
	return &desktop.CustomShortcut{KeyName: key, Modifier: fyne.KeyModifierShortcutDefault}
}

func TestTypingAndKeys(t *testing.T) {
	b := newBench(t, usual)
	if b.win.Canvas().Focused() != fyne.Focusable(b.prompt.entry) {
		t.Fatal("the prompt has not the focus")
	}
	test.Type(b.prompt.entry, "ein Fuchs, 狐, лиса")
	b.prompt.entry.TypedKey(&fyne.KeyEvent{Name: fyne.KeyReturn}) // a new line, also with Shift
	test.Type(b.prompt.entry, "im Schnee")
	b.settle()
	if got := b.prompt.entry.Text; got != "ein Fuchs, 狐, лиса\nim Schnee" {
		t.Errorf("prompt %q", got)
	}
	if !strings.Contains(b.prompt.tokens.Text, " of 512 tokens") {
		t.Errorf("tokens %q", b.prompt.tokens.Text)
	}
	b.prompt.entry.TypedShortcut(&fyne.ShortcutUndo{})
	if strings.Contains(b.prompt.entry.Text, "Schnee") {
		t.Error("undo did nothing")
	}
	b.prompt.entry.TypedShortcut(ctrl(fyne.KeyReturn))
	b.until("Ctrl+Enter makes a picture", func() bool { return len(b.Album.Entries()) == 1 })
	made := b.engine.made()
	if len(made) != 1 || made[0].Seed() != 1836311903 || made[0].Size() != (picture.Size{Width: 1344, Height: 768}) {
		t.Errorf("the engine got %+v", made)
	}
	if b.view.shown == nil || b.view.shown.Path == "" {
		t.Error("nothing is shown")
	}

	b.make("a second prompt")
	b.prompt.setText("being typed")
	b.prompt.entry.TypedShortcut(ctrl(fyne.KeyUp))
	if got := b.prompt.entry.Text; got != "a second prompt" {
		t.Errorf("recalled %q", got)
	}
	b.prompt.entry.TypedShortcut(ctrl(fyne.KeyUp))
	b.prompt.entry.TypedShortcut(ctrl(fyne.KeyUp))
	if got := b.prompt.entry.Text; !strings.HasPrefix(got, "ein Fuchs") {
		t.Errorf("recalled %q", got)
	}
	b.prompt.entry.TypedShortcut(ctrl(fyne.KeyDown))
	b.prompt.entry.TypedShortcut(ctrl(fyne.KeyDown))
	if got := b.prompt.entry.Text; got != "being typed" {
		t.Errorf("back at %q, want what was typed", got)
	}
}

// TestEscape: the key cancels the run, whatever has the focus.
func TestEscape(t *testing.T) {
	b := newBench(t, usual)
	b.engine.hold = make(chan struct{})
	b.prompt.setText("a fox")
	for _, focus := range []fyne.Focusable{
		b.prompt.entry, b.prompt.generate, b.slots.slots[0], b.shape.tiles[2], b.shape.seedEntry, b.view.view, nil,
	} {
		b.generate()
		b.until("a preview", func() bool { return b.view.previewing })
		b.win.Canvas().Unfocus()
		key := &fyne.KeyEvent{Name: fyne.KeyEscape}
		if focus != nil {
			b.win.Canvas().Focus(focus)
			focus.TypedKey(key)
		} else {
			b.win.Canvas().OnTypedKey()(key)
		}
		b.until("Escape cancels", func() bool { return b.Maker.Run() == nil })
		if b.view.previewing || len(b.Album.Entries()) > 0 {
			t.Errorf("focus %T: previewing %v, %d in the history", focus, b.view.previewing, len(b.Album.Entries()))
		}
	}
	b.wantSaid("Cancelled")
}

// TestEscapeByOrder: one press takes back one thing, in the order of session.escape, wherever the focus is.
func TestEscapeByOrder(t *testing.T) {
	b := newBench(t, usual)
	b.slots.add(0, []string{b.file("one.png", 64, 64, 1)})
	b.settle()
	b.engine.info.NativeSize = 128
	b.make("to compare")
	b.advanced.toggle()
	b.engine.hold = make(chan struct{})
	focuses := map[string]func() fyne.Focusable{
		"prompt":          func() fyne.Focusable { return b.prompt.entry },
		"list of devices": func() fyne.Focusable { return b.advanced.device },
		"list of themes":  func() fyne.Focusable { return b.advanced.theme },
		"steps":           func() fyne.Focusable { return b.advanced.steps },
		"search":          func() fyne.Focusable { return b.strip.search },
		"Cancel":          func() fyne.Focusable { return b.prompt.cancel },
		"thumbnail":       func() fyne.Focusable { return b.strip.row.Cells[0] },
		"nothing":         func() fyne.Focusable { return nil },
	}
	for name, focus := range focuses {
		t.Run(name, func(t *testing.T) {
			b.t = t
			b.prompt.setText("more")
			b.generate()
			b.until("a run", func() bool { return b.view.previewing })
			b.strip.open(b.Album.Entries()[0].ID)
			b.settle()
			b.notice.Ask("Restore?", ui.Action{Text: "Restore"})
			b.chooseModel()
			b.view.showMenu(fyne.NewPos(300, 200))
			escape := func() {
				c := b.win.Canvas()
				if top := c.Overlays().Top(); top != nil {
					c.Focused().TypedKey(&fyne.KeyEvent{Name: fyne.KeyEscape}) // a menu has the keyboard
					return
				}
				if f := focus(); f != nil {
					c.Focus(f)
					f.TypedKey(&fyne.KeyEvent{Name: fyne.KeyEscape})
				} else {
					c.Unfocus()
					c.OnTypedKey()(&fyne.KeyEvent{Name: fyne.KeyEscape})
				}
				b.settle()
			}
			state := func() string {
				s := ""
				for _, on := range []bool{
					b.win.Canvas().Overlays().Top() != nil, b.start.content.Visible(), b.comparison.active(),
					b.Maker.Run() != nil, b.notice.Visible(),
				} {
					s += map[bool]string{true: "1", false: "0"}[on]
				}
				return s
			}
			for _, want := range []string{"11011", "01011", "00111", "00011"} {
				if want == "00111" { // the page leaves no comparison open
					b.view.enterMode(b.comparison)
				}
				if got := state(); got != want {
					t.Fatalf("menu, page, comparison, run, notice: %s, want %s", got, want)
				}
				escape()
			}
			b.until("the end of the run", func() bool { return b.Maker.Run() == nil })
			for b.notice.Visible() {
				was := b.said()
				escape()
				if b.said() == was {
					t.Fatalf("Escape leaves %q", was)
				}
			}
		})
	}
	// Fyne's modal does not listen to the key: the window closes it.
	dialog.ShowInformation("A dialog", "with a text", b.win)
	b.win.Canvas().Unfocus()
	b.escape()
	if b.win.Canvas().Overlays().Top() != nil {
		t.Error("the dialog is still open")
	}
}

func TestInsertImage(t *testing.T) {
	b := newBench(t, usual)
	b.twoReferences()
	for _, row := range []struct {
		text   string
		column int
		want   string
	}{
		{"", 0, "image 2 "},
		{"the cat of", 10, "the cat of image 2 "},
		{"the cat of , red", 11, "the cat of image 2, red"},
		{"ab", 1, "a image 2 b"},
	} {
		b.prompt.entry.SetText(row.text)
		b.prompt.entry.CursorRow, b.prompt.entry.CursorColumn = 0, row.column
		test.Tap(b.prompt.images[1])
		if got := b.prompt.entry.Text; got != row.want {
			t.Errorf("%q at %d: %q, want %q", row.text, row.column, got, row.want)
		}
	}
	if !b.prompt.images[1].Visible() || b.prompt.images[2].Visible() {
		t.Error("want buttons for two images")
	}
}

// TestEverythingByKeyboard goes through the window with Tab.
func TestEverythingByKeyboard(t *testing.T) {
	b := newBench(t, usual)
	b.slots.add(0, []string{b.file("one.png", 64, 64, 1)})
	b.settle()
	b.shape.choose(picture.Landscape)
	b.engine.info.NativeSize = 128
	b.make("to have a picture")
	b.advanced.toggle()
	b.toggleInfo()
	b.make("a second, so that there is one beside it")
	reached := map[fyne.Focusable]bool{}
	stops := map[string]int{}
	for range 100 {
		b.win.Canvas().FocusNext()
		f := b.win.Canvas().Focused()
		if k, ok := f.(*ui.Button); ok && k.Passed != nil && !reached[f] {
			stops["counts"]++
		} else if !reached[f] {
			stops[fmt.Sprintf("%T", f)]++
		}
		reached[f] = true
	}
	if stops["*ui.Tile"] != 1 || stops["counts"] != 1 || stops["*ui.Thumb"] != 1 {
		t.Errorf("stops of Tab: %v, want one for the sizes, the counts and the thumbnails", stops)
	}
	want := []fyne.Focusable{
		b.prompt.entry, b.prompt.generate, b.prompt.earlier, b.prompt.images[0],
		b.shape.seedEntry, b.shape.dice, b.shape.lock,
		b.advanced.fold, b.advanced.steps, b.advanced.device, b.advanced.theme, b.strip.search, b.strip.row.Cells[0],
		b.slots.all, b.shape.own.field, b.view.view,
		b.view.percent, b.view.modes[1].button, b.view.edit, b.view.info, b.view.copy, b.view.save,
	}
	for _, c := range b.slots.slots {
		want = append(want, c)
	}
	for _, k := range b.info.use {
		want = append(want, k)
	}
	want = append(want, b.shape.tiles[1], b.shape.counts[0])
	for _, w := range want {
		if !reached[w] {
			t.Errorf("%T %+v is not reached", w, w)
		}
	}
	press := func(o fyne.Focusable, key fyne.KeyName) { o.TypedKey(&fyne.KeyEvent{Name: key}) }
	// Arrows choose inside a group, and the focus goes along.
	for _, row := range []struct {
		from fyne.Focusable
		keys []fyne.KeyName
		to   fyne.Focusable
	}{
		{b.shape.tiles[1], []fyne.KeyName{fyne.KeyLeft, fyne.KeyDown, fyne.KeyRight}, b.shape.tiles[4]},
		{b.shape.counts[0], []fyne.KeyName{fyne.KeyLeft, fyne.KeyRight, fyne.KeyRight}, b.shape.counts[2]},
		{b.strip.row.Cells[0], []fyne.KeyName{fyne.KeyRight}, b.strip.row.Cells[1]},
	} {
		b.win.Canvas().Focus(row.from)
		for _, key := range row.keys {
			press(b.win.Canvas().Focused(), key)
			b.settle()
		}
		if got := b.win.Canvas().Focused(); got != row.to {
			t.Errorf("arrows from %T %v lead to %T", row.from, row.keys, got)
		}
	}
	if b.shape.aspect() != picture.AspectRatios()[4] || b.shape.count() != 3 ||
		b.view.shown.ID != b.Album.Entries()[1].ID {
		t.Errorf("chosen: %s, %d, picture %d", b.shape.aspect(), b.shape.count(), b.view.shown.ID)
	}
	// The ring is there on what is chosen, too.
	b.win.Canvas().Focus(b.shape.tiles[4])
	ground := test.WidgetRenderer(b.shape.tiles[4]).Objects()[0].(*ui.Box)
	if ground.Stroke != ui.ColorText || ground.StrokeWidth != 2 {
		t.Errorf("a chosen tile with the focus has the edge %v", ground.Stroke)
	}
	press(b.shape.tiles[0], fyne.KeySpace)
	press(b.shape.counts[2], fyne.KeyReturn)
	press(b.slots.slots[0], fyne.KeyDelete)
	if b.shape.aspect() != picture.Square || b.shape.count() != 3 || b.slots.count() != 0 {
		t.Errorf("aspect %s, count %d, %d references", b.shape.aspect(), b.shape.count(), b.slots.count())
	}
}

// TestKeysOfWidgets presses the keys that keyTable lists, but leaves to widgets: none of them may go on to the window.
func TestKeysOfWidgets(t *testing.T) {
	b := newBench(t, usual)
	b.slots.add(0, []string{b.file("one.png", 64, 64, 1), b.file("two.png", 64, 64, 2)})
	b.settle()
	b.engine.info.NativeSize = 128
	b.make("first")
	b.make("second")
	b.engine.hold = make(chan struct{})
	for range 6 {
		b.generate()
	}
	b.prompt.setText("typed")
	b.queued.choose(1)
	widgets := map[string]fyne.Focusable{
		inPrompt: b.prompt.entry, onPicture: b.view.view, onSlots: b.slots.slots[0], inQueue: b.queued.rows[1],
		inGroups: b.shape.tiles[0], onFrame: b.extendMode().frame, onMask: b.mask.layer,
		onBoard: b.board.frame,
	}
	for _, row := range keyTable() {
		if row.do != nil {
			continue
		}
		f := widgets[row.where]
		if f == nil {
			t.Errorf("%s: %s: nothing has the keyboard there", row.where, row.does)
			continue
		}
		if (row.text() == "") != (len(row.keys)+len(row.shortcuts) == 0 && row.mouse == "") {
			t.Errorf("%s: no key is named", row.does)
		}
		if row.where == onFrame && b.view.mode == nil {
			b.view.toggleMode(b.extendMode())
		}
		if row.where == onBoard && !b.board.on {
			b.view.enterMode(b.board)
			b.board.choose(1)
		}
		b.win.Canvas().Focus(f)
		heard := b.win.Canvas().OnTypedKey()
		b.win.Canvas().SetOnTypedKey(func(e *fyne.KeyEvent) { t.Errorf("%s: %s does nothing", row.where, e.Name) })
		for _, key := range row.keys {
			if f == fyne.Focusable(b.slots.slots[0]) && key == fyne.KeyReturn || row.where == onBoard && key == fyne.KeyA {
				continue // opens the system's dialog
			}
			f.TypedKey(&fyne.KeyEvent{Name: key})
			b.settle()
		}
		b.win.Canvas().SetOnTypedKey(heard)
		for _, shortcut := range row.shortcuts {
			state := func() string { return fmt.Sprint(b.prompt.entry.Text, b.queued.chosen, b.extendMode().frame.Rect()) }
			before := state()
			b.win.Canvas().Focused().(fyne.Shortcutable).TypedShortcut(shortcut)
			if state() == before {
				t.Errorf("%s: %s does nothing", row.where, row.text())
			}
		}
	}
}

// TestKeyTable: no two rows of the window want the same key, and each row is in the list once.
func TestKeyTable(t *testing.T) {
	taken, places := map[string]string{}, map[string]bool{}
	for i, row := range keyTable() {
		if i > 0 && keyTable()[i-1].where != row.where && places[row.where] {
			t.Errorf("%s: the rows of a heading lie apart", row.where)
		}
		places[row.where] = true
		if row.do == nil {
			continue
		}
		for _, key := range strings.Split(row.text(), keysBetween) {
			if other := taken[key]; other != "" {
				t.Errorf("%s: both “%s” and “%s”", key, other, row.does)
			}
			taken[key] = row.does
		}
	}
	for key, does := range map[string]string{"Ctrl + Enter": "Make", "Ctrl + Shift + Z": "Redo", "F1": "This list"} {
		if !strings.HasPrefix(taken[key], does) {
			t.Errorf("%s: “%s”, want “%s…”", key, taken[key], does)
		}
	}
}

// TestKeyList opens and closes the list of keys, from a text box, too, and scrolls in it.
func TestKeyList(t *testing.T) {
	b := newBench(t, leastSize)
	f1 := &fyne.KeyEvent{Name: fyne.KeyF1}
	for range 2 {
		b.prompt.entry.TypedKey(f1)
		if !b.keyList.IsOpen() {
			t.Fatal("F1 in the prompt opens no list")
		}
		text := b.win.Canvas().Focused()
		text.TypedKey(&fyne.KeyEvent{Name: fyne.KeyDown})
		text.TypedKey(&fyne.KeyEvent{Name: fyne.KeyE}) // is not to edit anything meanwhile
		text.TypedKey(f1)
		if b.keyList.IsOpen() {
			t.Fatal("F1 does not close the list")
		}
	}
	if b.said() != "" {
		t.Errorf("the window says %q", b.said())
	}
	b.toggleKeyList()
	b.win.Canvas().Focused().TypedKey(&fyne.KeyEvent{Name: fyne.KeyEscape})
	if b.keyList.IsOpen() {
		t.Error("Escape does not close the list")
	}
	b.ask("A question?", ui.Action{Text: "No"})
	b.prompt.entry.TypedKey(f1)
	if b.keyList.IsOpen() {
		t.Error("the list lies over a question")
	}
}

// TestKeysBesideSlider: a slider leaves the window its keys.
func TestKeysBesideSlider(t *testing.T) {
	b := newBench(t, usual)
	b.advanced.toggle()
	b.win.Canvas().Focus(b.advanced.edit.amount)
	press := func(key fyne.KeyName) { b.advanced.edit.amount.TypedKey(&fyne.KeyEvent{Name: key}) }
	press(fyne.KeyI)
	if !b.info.open {
		t.Error("I does not open Info")
	}
	press(fyne.KeyRight)
	if v := b.advanced.edit.amount.Value; v != 0.05 {
		t.Errorf("→ leads to %v", v)
	}
}

// TestFullScreen: F11 takes the screen and gives it back; the size of the whole screen is not remembered.
func TestFullScreen(t *testing.T) {
	b := newBench(t, usual)
	b.prompt.entry.TypedKey(&fyne.KeyEvent{Name: fyne.KeyF11})
	if !b.win.FullScreen() {
		t.Fatal("F11 does not take the screen")
	}
	b.win.Resize(fyne.NewSize(1920, 1080))
	b.remember()
	if size := b.set.windowSize(fyne.Size{}); size == fyne.NewSize(1920, 1080) {
		t.Errorf("remembers %v", size)
	}
	b.escape() // is not Esc's
	b.prompt.entry.TypedKey(&fyne.KeyEvent{Name: fyne.KeyF11})
	if b.win.FullScreen() {
		t.Error("F11 does not give the screen back")
	}
}
