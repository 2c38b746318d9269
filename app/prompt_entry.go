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
	p := e.panel
	p.mentions.close()
	if p.keys.Undoes(&e.Entry, shortcut) {
		return
	}
	switch c := shortcut.(type) {
	case *fyne.ShortcutPaste:
		p.host.paste(func() { e.pasteText(c.Clipboard) })
		return
	case *desktop.CustomShortcut:
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
	if !p.keys.Shortcut(shortcut) {
		e.Entry.TypedShortcut(shortcut)
	}
}

func (e *promptEntry) TypedKey(key *fyne.KeyEvent) {
	if e.panel.mentions.key(key.Name) || e.panel.keys.Typed(key) {
		return
	}
	if (key.Name == fyne.KeyReturn || key.Name == fyne.KeyEnter) && spaces(e.Text) >= maxPrompt {
		return
	}
	e.Entry.TypedKey(key)
}

// AcceptsTab leaves Tab to the window, as everything is to be reached by keyboard, unless it takes a picture of the
// list.
func (e *promptEntry) AcceptsTab() bool { return e.panel.mentions.isOpen() }

// FocusLost closes the list of pictures, but not before a click on it had its effect.
func (e *promptEntry) FocusLost() {
	e.Entry.FocusLost()
	if e.panel.mentions.isOpen() {
		e.panel.Loop.After(doubleClick, e.panel.mentions.close)
	}
}

// toEnd moves the cursor behind the text.
func (e *promptEntry) toEnd() {
	e.Entry.TypedKey(&fyne.KeyEvent{Name: fyne.KeyPageDown})
	e.Entry.TypedKey(&fyne.KeyEvent{Name: fyne.KeyEnd})
}
