//go:build cgo

package app

import (
	"errors"

	"fyne.io/fyne/v2"
	fyneapp "fyne.io/fyne/v2/app"

	"kleinbild/app/fynelog"
	"kleinbild/app/shell"
	"kleinbild/assets/look"
)

// The reasons for Run to open no window.
var (
	ErrNoScreen = errors.New("there is no screen to open the window on")
	ErrNoOpenGL = errors.New("the screen has no OpenGL 2.1 or later, which the window is drawn with: " +
		"install the graphics card's driver")
)

// Run opens the window and returns when it was closed. It is to be called on the program's first goroutine. The error
// says why no window opened.
func Run(cfg Config) error {
	if path, err := preferencesFile(ID); err == nil {
		keepPreferences(path)
	}
	if path, err := fyneSettingsFile(); err == nil {
		if err := checkFyneSettings(path); err != nil {
			return err
		}
	}
	a := fyneapp.NewWithID(ID)
	a.SetIcon(fyne.NewStaticResource("icon.png", look.Icon))
	w, err := openOn(a)
	if err != nil {
		return err
	}
	w.SetMaster()
	cfg.room = primaryScreen(a.Settings().Scale()).makeRoom()
	New(a, w, cfg)
	started := func() {}
	if l, ok := a.Lifecycle().(interface{ OnStarted() func() }); ok && l.OnStarted() != nil {
		started = l.OnStarted()
	}
	// Fyne goes on without a window where it could not make one.
	a.Lifecycle().SetOnStarted(func() {
		if fynelog.NoWindow() {
			a.Quit()
			return
		}
		started()
	})
	endWhenTold(closesIn, func() { fyne.Do(a.Quit) })
	w.Show()
	shell.KeepOnScreen(nativeHandle(w))
	a.Run()
	// Fyne hands the stop hook to its loop by a queue, and drops it where the loop is the first to end. The hook, and
	// Fyne's own part of it that writes the preferences out, is no different the second time.
	if l, ok := a.Lifecycle().(interface{ OnStopped() func() }); ok {
		l.OnStopped()()
	}
	if fynelog.NoWindow() {
		return ErrNoOpenGL
	}
	return nil
}

// openOn makes the window. Fyne panics where the system shows none.
func openOn(a fyne.App) (w fyne.Window, err error) {
	defer func() {
		if recover() != nil {
			err = ErrNoScreen
		}
	}()
	return a.NewWindow("Kleinbild"), nil
}
