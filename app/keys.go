package app

import (
	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/driver/desktop"
	"fyne.io/fyne/v2/widget"

	"github.com/kleinbild/kleinbild/app/ui"
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

func (s *session) addShortcuts() {
	canvas := s.win.Canvas()
	for key := range s.shortcuts() {
		shortcut := &desktop.CustomShortcut{KeyName: key, Modifier: fyne.KeyModifierShortcutDefault}
		canvas.AddShortcut(shortcut, func(c fyne.Shortcut) { s.shortcut(c) })
	}
	for _, k := range []struct {
		shortcut fyne.Shortcut
		do       func(fyne.Shortcut)
	}{
		{&fyne.ShortcutPaste{}, func(c fyne.Shortcut) { s.paste(func() { s.pasteText(c) }) }},
		{&fyne.ShortcutCopy{}, func(fyne.Shortcut) { s.copyPicture() }},
		{&fyne.ShortcutUndo{}, func(fyne.Shortcut) { s.Desk.Undo() }},
		{&fyne.ShortcutRedo{}, func(fyne.Shortcut) { s.Desk.Redo() }},
		{ui.CtrlShiftZ, func(fyne.Shortcut) { s.Desk.Redo() }},
	} {
		canvas.AddShortcut(k.shortcut, func(c fyne.Shortcut) {
			if !s.blocked() {
				k.do(c)
			}
		})
	}
	canvas.SetOnTypedKey(func(e *fyne.KeyEvent) {
		switch {
		case e.Name == fyne.KeyEscape:
			s.escape()
		case e.Name == fyne.KeyE && !s.blocked():
			s.editShown()
		case e.Name == fyne.KeyI && !s.blocked():
			s.toggleInfo()
		case !s.blocked():
			s.view.modeKey(e.Name)
		}
	})
}

// shortcut runs a shortcut of the window, and says whether it was one.
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

// escape takes back one thing, the first of these that there is: a menu or dialog, the page of models, the mode of the
// canvas, the comparison, the run under way, a Generate that waits, the notices.
func (s *session) escape() {
	top := s.win.Canvas().Overlays().Top()
	switch {
	case s.modal.Is(top):
		s.modal.Close()
	case top != nil:
		top.Hide()
	case s.start.canLeave():
		s.start.leave()
	case s.view.leaveMode():
	case s.view.view.Comparing():
		s.view.toggleCompare()
	case s.Maker.Run() != nil:
		s.Maker.Cancel()
	case s.waiting:
		s.waiting = false
		s.prompt.refresh()
	default:
		s.notice.Dismiss()
	}
}

// blocked says whether a dialog is open that has to be answered first, one of the window or one of the system.
func (s *session) blocked() bool {
	_, dialog := s.win.Canvas().Overlays().Top().(*widget.PopUp)
	return dialog || s.picking
}

// pasteText pastes text into the prompt if the focus is elsewhere.
func (s *session) pasteText(paste fyne.Shortcut) {
	if s.app.Clipboard().Content() == "" {
		s.notice.Say("There is neither a picture nor text to paste.")
		return
	}
	s.win.Canvas().Focus(s.prompt.entry)
	s.prompt.entry.TypedShortcut(paste)
}
