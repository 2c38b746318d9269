package app

import (
	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/driver/desktop"
)

// shortcuts are the keys that work wherever the focus is.
func (s *session) shortcuts() map[fyne.KeyName]func() {
	return map[fyne.KeyName]func(){
		fyne.KeyReturn: s.generate,
		fyne.KeyEnter:  s.generate,
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
		canvas.AddShortcut(&desktop.CustomShortcut{KeyName: key, Modifier: fyne.KeyModifierShortcutDefault}, func(c fyne.Shortcut) { s.shortcut(c) })
	}
	canvas.AddShortcut(&fyne.ShortcutPaste{}, func(fyne.Shortcut) { s.paste(nil) })
	canvas.AddShortcut(&fyne.ShortcutCopy{}, func(fyne.Shortcut) { s.copyPicture() })
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
	if ok {
		do()
	}
	return ok
}

// escape gives up what is under way; without a run it closes the notice.
func (s *session) escape() {
	if s.run != nil {
		s.cancelRun()
		return
	}
	s.waiting = false
	s.notice.dismiss()
	s.prompt.refresh()
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
