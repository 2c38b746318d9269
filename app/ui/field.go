package ui

import (
	"strings"
	"unicode/utf8"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/driver/desktop"
	"fyne.io/fyne/v2/widget"
)

// Keys are the keys that a text box leaves to the window: an entry of Fyne's would swallow them.
type Keys struct {
	Shortcut func(fyne.Shortcut) bool           // runs a shortcut of the window; false if it is none
	Typed    func(*fyne.KeyEvent) bool          // runs a key that types nothing, such as Escape; false if it is none
	Undo     func(*widget.Entry, fyne.Shortcut) // undoes or redoes in the entry, or else in the window
}

// CtrlShiftZ is redo as well as Ctrl + Y, which is all that Fyne knows.
var CtrlShiftZ = &desktop.CustomShortcut{
	KeyName: fyne.KeyZ, Modifier: fyne.KeyModifierShortcutDefault | fyne.KeyModifierShift,
}

// Undoes handles undo and redo in an entry, and says whether shortcut was one of them.
func (k *Keys) Undoes(e *widget.Entry, shortcut fyne.Shortcut) bool {
	switch c := shortcut.(type) {
	case *fyne.ShortcutUndo, *fyne.ShortcutRedo:
		k.Undo(e, shortcut)
		return true
	case *desktop.CustomShortcut:
		if *c == *CtrlShiftZ {
			k.Undo(e, &fyne.ShortcutRedo{})
			return true
		}
	}
	return false
}

// Field is an entry of one line that lets the window's shortcuts through. Pasting fills it up to MaxFieldRunes
// characters; the rest of the text is dropped.
type Field struct {
	widget.Entry
	Tip
	Focused bool   // has the keyboard; the field sets it, others only read it
	OnLeft  func() // the field loses the keyboard; may be nil
	keys    *Keys
}

const (
	// FieldHeight is what an entry of one line needs.
	FieldHeight float32 = 36
	// MaxFieldRunes bounds the text in a box of one line: numbers, and words to search for.
	MaxFieldRunes = 400
)

// NewField returns an empty field.
func NewField(k *Keys) *Field {
	f := &Field{keys: k}
	f.ExtendBaseWidget(f)
	return f
}

func (f *Field) FocusGained() {
	f.Focused = true
	f.Entry.FocusGained()
}

func (f *Field) FocusLost() {
	f.Focused = false
	f.Entry.FocusLost()
	if f.OnLeft != nil {
		f.OnLeft()
	}
}

func (f *Field) TypedShortcut(shortcut fyne.Shortcut) {
	if f.keys.Undoes(&f.Entry, shortcut) {
		return
	}
	if c, ok := shortcut.(*fyne.ShortcutPaste); ok {
		f.paste(c.Clipboard)
		return
	}
	if !f.keys.Shortcut(shortcut) {
		f.Entry.TypedShortcut(shortcut)
	}
}

func (f *Field) TypedKey(key *fyne.KeyEvent) {
	if f.keys.Typed(key) {
		return
	}
	f.Entry.TypedKey(key)
}

// paste pastes the beginning of the clipboard's text, as much as there is room for.
func (f *Field) paste(clipboard fyne.Clipboard) {
	room := MaxFieldRunes - utf8.RuneCountInString(f.Text) + utf8.RuneCountInString(f.SelectedText())
	text := strings.ToValidUTF8(FirstRunes(clipboard.Content(), max(room, 0)), "")
	if text != "" {
		f.Entry.TypedShortcut(&fyne.ShortcutPaste{Clipboard: Bounded(text)})
	}
}

// Bounded is a clipboard that holds one text: a widget.Entry pastes from a clipboard only.
type Bounded string

func (b Bounded) Content() string { return string(b) }

func (Bounded) SetContent(string) {}

// FirstRunes returns the first n runes of text.
func FirstRunes(text string, n int) string {
	for i := range text {
		if n == 0 {
			return text[:i]
		}
		n--
	}
	return text
}
