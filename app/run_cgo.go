//go:build cgo

package app

import (
	"fyne.io/fyne/v2"
	fyneapp "fyne.io/fyne/v2/app"

	"kleinbild/assets/look"
)

// Run opens the window and returns when it was closed. It is to be called on the program's first goroutine.
func Run(cfg Config) {
	a := fyneapp.NewWithID(ID)
	a.SetIcon(fyne.NewStaticResource("icon.png", look.Icon))
	w := a.NewWindow("Kleinbild")
	w.SetMaster()
	New(a, w, cfg)
	w.ShowAndRun()
}
