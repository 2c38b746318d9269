package app

import "fyne.io/fyne/v2"

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
