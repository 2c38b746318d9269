package app

import (
	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/driver/desktop"
	"fyne.io/fyne/v2/widget"
)

// promptEntry is a text box of several lines that lets the window's shortcuts through.
type promptEntry struct {
	widget.Entry
	panel *promptPanel
}

func newPromptEntry(p *promptPanel) *promptEntry {
	e := &promptEntry{panel: p}
	e.MultiLine = true
	e.Wrapping = fyne.TextWrapWord
	e.SetPlaceHolder("Describe the picture…")
	e.SetMinRowsVisible(2)
	e.ExtendBaseWidget(e)
	return e
}

// TypedShortcut offers the window its shortcuts first: an entry would swallow them.
func (e *promptEntry) TypedShortcut(shortcut fyne.Shortcut) {
	s := e.panel.s
	switch c := shortcut.(type) {
	case *fyne.ShortcutPaste:
		s.paste(func() { e.pasteText(c.Clipboard) })
		return
	case *fyne.ShortcutUndo, *fyne.ShortcutRedo:
		s.undoText(&e.Entry, shortcut)
		return
	case *desktop.CustomShortcut:
		if *c == *ctrlShiftZ {
			s.undoText(&e.Entry, &fyne.ShortcutRedo{})
			return
		}
		if c.Modifier == fyne.KeyModifierShortcutDefault {
			switch c.KeyName {
			case fyne.KeyUp:
				e.panel.recall(1)
				return
			case fyne.KeyDown:
				e.panel.recall(-1)
				return
			}
		}
	}
	if !s.shortcut(shortcut) {
		e.Entry.TypedShortcut(shortcut)
	}
}

func (e *promptEntry) TypedKey(key *fyne.KeyEvent) {
	if key.Name == fyne.KeyEscape {
		e.panel.s.escape()
		return
	}
	if (key.Name == fyne.KeyReturn || key.Name == fyne.KeyEnter) && spaces(e.Text) >= maxPrompt {
		return
	}
	e.Entry.TypedKey(key)
}

// AcceptsTab leaves Tab to the window: everything is to be reached by keyboard.
func (e *promptEntry) AcceptsTab() bool { return false }

// toEnd moves the cursor behind the text.
func (e *promptEntry) toEnd() {
	e.Entry.TypedKey(&fyne.KeyEvent{Name: fyne.KeyPageDown})
	e.Entry.TypedKey(&fyne.KeyEvent{Name: fyne.KeyEnd})
}

// field is an entry of one line that lets the window's shortcuts through.
type field struct {
	widget.Entry
	s *session
}

// fieldHeight is what an entry of one line needs.
const fieldHeight float32 = 36

func newField(s *session) *field {
	f := &field{s: s}
	f.ExtendBaseWidget(f)
	return f
}

func (f *field) TypedShortcut(shortcut fyne.Shortcut) {
	switch c := shortcut.(type) {
	case *fyne.ShortcutPaste:
		f.paste(c.Clipboard)
		return
	case *fyne.ShortcutUndo, *fyne.ShortcutRedo:
		f.s.undoText(&f.Entry, shortcut)
		return
	case *desktop.CustomShortcut:
		if *c == *ctrlShiftZ {
			f.s.undoText(&f.Entry, &fyne.ShortcutRedo{})
			return
		}
	}
	if !f.s.shortcut(shortcut) {
		f.Entry.TypedShortcut(shortcut)
	}
}

func (f *field) TypedKey(key *fyne.KeyEvent) {
	if key.Name == fyne.KeyEscape {
		f.s.escape()
		return
	}
	f.Entry.TypedKey(key)
}
