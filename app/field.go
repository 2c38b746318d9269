package app

import (
	"strings"
	"unicode/utf8"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/driver/desktop"
	"fyne.io/fyne/v2/widget"
)

// keys are the keys that a text box leaves to the window: an entry of Fyne's would swallow them.
type keys struct {
	shortcut func(fyne.Shortcut) bool // runs a shortcut of the window's and says whether it was one
	escape   func()
	undo     func(*widget.Entry, fyne.Shortcut) // undo or redo, of the text or of the window
}

// ctrlShiftZ is redo as well as Ctrl + Y, which is all that Fyne knows.
var ctrlShiftZ = &desktop.CustomShortcut{KeyName: fyne.KeyZ, Modifier: fyne.KeyModifierShortcutDefault | fyne.KeyModifierShift}

// undoes handles undo and redo in an entry, and says whether shortcut was one of them.
func (k *keys) undoes(e *widget.Entry, shortcut fyne.Shortcut) bool {
	switch c := shortcut.(type) {
	case *fyne.ShortcutUndo, *fyne.ShortcutRedo:
		k.undo(e, shortcut)
		return true
	case *desktop.CustomShortcut:
		if *c == *ctrlShiftZ {
			k.undo(e, &fyne.ShortcutRedo{})
			return true
		}
	}
	return false
}

// field is an entry of one line that lets the window's shortcuts through. It takes maxFieldRunes characters of what is
// pasted.
type field struct {
	widget.Entry
	keys *keys
}

const (
	// fieldHeight is what an entry of one line needs.
	fieldHeight float32 = 36
	// maxFieldRunes bounds the text in a box of one line: numbers, and words to search for.
	maxFieldRunes = 400
)

func newField(k *keys) *field {
	f := &field{keys: k}
	f.ExtendBaseWidget(f)
	return f
}

func (f *field) TypedShortcut(shortcut fyne.Shortcut) {
	if f.keys.undoes(&f.Entry, shortcut) {
		return
	}
	if c, ok := shortcut.(*fyne.ShortcutPaste); ok {
		f.paste(c.Clipboard)
		return
	}
	if !f.keys.shortcut(shortcut) {
		f.Entry.TypedShortcut(shortcut)
	}
}

func (f *field) TypedKey(key *fyne.KeyEvent) {
	if key.Name == fyne.KeyEscape {
		f.keys.escape()
		return
	}
	f.Entry.TypedKey(key)
}

// paste pastes the beginning of the clipboard's text, as much as there is room for.
func (f *field) paste(clipboard fyne.Clipboard) {
	room := maxFieldRunes - utf8.RuneCountInString(f.Text) + utf8.RuneCountInString(f.SelectedText())
	text := strings.ToValidUTF8(firstRunes(clipboard.Content(), max(room, 0)), "")
	if text != "" {
		f.Entry.TypedShortcut(&fyne.ShortcutPaste{Clipboard: bounded(text)})
	}
}

// bounded is a clipboard that holds one text: a widget.Entry pastes from a clipboard only.
type bounded string

func (b bounded) Content() string { return string(b) }
func (bounded) SetContent(string) {}

// firstRunes returns the first n runes of text.
func firstRunes(text string, n int) string {
	for i := range text {
		if n == 0 {
			return text[:i]
		}
		n--
	}
	return text
}
