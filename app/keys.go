package app

import (
	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/driver/desktop"
	"fyne.io/fyne/v2/widget"

	"kleinbild/plain"
)

// shortcuts are the keys that work wherever the focus is.
func (s *session) shortcuts() map[fyne.KeyName]func() {
	return map[fyne.KeyName]func(){
		fyne.KeyReturn: s.pressGenerate,
		fyne.KeyEnter:  s.pressGenerate,
		fyne.KeyS:      s.saveCopy,
		fyne.KeyO:      s.slots.browse,
		fyne.KeyL:      func() { s.win.Canvas().Focus(s.prompt.entry) },
		fyne.KeyF:      s.strip.focusSearch,
		fyne.KeyB:      s.view.toggleCompare,
	}
}

// ctrlShiftZ is redo as well as Ctrl + Y, which is all that Fyne knows.
var ctrlShiftZ = &desktop.CustomShortcut{KeyName: fyne.KeyZ, Modifier: fyne.KeyModifierShortcutDefault | fyne.KeyModifierShift}

func (s *session) addShortcuts() {
	canvas := s.win.Canvas()
	for key := range s.shortcuts() {
		canvas.AddShortcut(&desktop.CustomShortcut{KeyName: key, Modifier: fyne.KeyModifierShortcutDefault}, func(c fyne.Shortcut) { s.shortcut(c) })
	}
	for _, k := range []struct {
		shortcut fyne.Shortcut
		do       func(fyne.Shortcut)
	}{
		{&fyne.ShortcutPaste{}, func(c fyne.Shortcut) { s.paste(func() { s.pasteText(c) }) }},
		{&fyne.ShortcutCopy{}, func(fyne.Shortcut) { s.copyPicture() }},
		{&fyne.ShortcutUndo{}, func(fyne.Shortcut) { s.undo() }},
		{&fyne.ShortcutRedo{}, func(fyne.Shortcut) { s.redo() }},
		{ctrlShiftZ, func(fyne.Shortcut) { s.redo() }},
	} {
		canvas.AddShortcut(k.shortcut, func(c fyne.Shortcut) {
			if !s.blocked() {
				k.do(c)
			}
		})
	}
	canvas.SetOnTypedKey(func(e *fyne.KeyEvent) {
		if e.Name == fyne.KeyEscape {
			s.escape()
		}
	})
}

// shortcut runs a shortcut of the window's and says whether it was one.
func (s *session) shortcut(shortcut fyne.Shortcut) bool {
	c, ok := shortcut.(*desktop.CustomShortcut)
	if !ok || c.Modifier != fyne.KeyModifierShortcutDefault {
		return false
	}
	do, ok := s.shortcuts()[c.KeyName]
	if ok && !s.blocked() {
		do()
	}
	return ok
}

// escape takes back one thing, the nearest: a menu or dialog, the page of models, the comparison, what is under way, the
// notices.
func (s *session) escape() {
	top := s.win.Canvas().Overlays().Top()
	switch {
	case s.modal != nil && top == fyne.CanvasObject(s.modal.popUp):
		s.modal.close()
	case top != nil:
		top.Hide()
	case s.start.canLeave():
		s.start.leave()
	case s.view.view.before != nil:
		s.view.toggleCompare()
	case s.run != nil:
		s.cancelRun()
	case s.waiting:
		s.waiting = false
		s.prompt.refresh()
	default:
		s.notice.dismiss()
	}
}

// choice is a list to choose from that lets Escape through.
type choice struct {
	widget.Select
	escape func()
}

func (c *choice) TypedKey(e *fyne.KeyEvent) {
	if e.Name == fyne.KeyEscape {
		c.escape()
		return
	}
	c.Select.TypedKey(e)
}

// sentenceLabel is a text of several lines. It takes no focus, as a selectable one does, which then swallows the window's
// keys: a right click copies it.
type sentenceLabel struct {
	widget.Label
	s *session
}

func newSentenceLabel(s *session, text string) *sentenceLabel {
	l := &sentenceLabel{s: s}
	text = plain.Printable(text) // it may quote a file's name, or what a file says
	l.Text, l.Wrapping = text, fyne.TextWrapWord
	l.ExtendBaseWidget(l)
	return l
}

func (l *sentenceLabel) TappedSecondary(e *fyne.PointEvent) {
	copyText := fyne.NewMenuItem("Copy text", func() { l.s.app.Clipboard().SetContent(l.Text) })
	widget.ShowPopUpMenuAtPosition(fyne.NewMenu("", copyText), l.s.win.Canvas(), e.AbsolutePosition)
}

// blocked says whether a dialog is open that has to be answered first, the window's own or the system's.
func (s *session) blocked() bool {
	_, dialog := s.win.Canvas().Overlays().Top().(*widget.PopUp)
	return dialog || s.picking
}

// pasteText puts text that was pasted elsewhere into the prompt.
func (s *session) pasteText(paste fyne.Shortcut) {
	if s.app.Clipboard().Content() == "" {
		s.notice.say("There is neither a picture nor text to paste.")
		return
	}
	s.win.Canvas().Focus(s.prompt.entry)
	s.prompt.entry.TypedShortcut(paste)
}

// takeFocus gives an object that was clicked the keyboard, for the keys that belong to it.
func takeFocus(o fyne.Focusable) {
	if c := fyne.CurrentApp().Driver().CanvasForObject(o.(fyne.CanvasObject)); c != nil {
		c.Focus(o)
	}
}

// forward hands a key that a focused object has no use for to the window.
func forward(o fyne.CanvasObject, e *fyne.KeyEvent) {
	if c := fyne.CurrentApp().Driver().CanvasForObject(o); c != nil && c.OnTypedKey() != nil {
		c.OnTypedKey()(e)
	}
}
