//go:build cgo

package app

import (
	"fmt"

	"fyne.io/fyne/v2"
	fyneapp "fyne.io/fyne/v2/app"

	"kleinbild/assets/look"
)

// Run opens the window and returns when it was closed. It is to be called on the program's first goroutine. The error
// says that there is no screen to open it on.
func Run(cfg Config) error {
	if path, err := preferencesFile(ID); err == nil {
		keepPreferences(path)
	}
	a := fyneapp.NewWithID(ID)
	a.SetIcon(fyne.NewStaticResource("icon.png", look.Icon))
	w, err := openOn(a)
	if err != nil {
		return err
	}
	w.SetMaster()
	New(a, w, cfg)
	w.ShowAndRun()
	// Fyne hands the stop hook to its loop by a queue, and drops it where the loop is the first to end. The hook, and Fyne's
	// own part of it that writes the preferences out, is no different the second time.
	if l, ok := a.Lifecycle().(interface{ OnStopped() func() }); ok {
		l.OnStopped()()
	}
	return nil
}

// openOn makes the window. Fyne panics where the system shows none.
func openOn(a fyne.App) (w fyne.Window, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("no screen to open the window on: %v", r)
		}
	}()
	return a.NewWindow("Kleinbild"), nil
}
