//go:build cgo

package app

import (
	"errors"

	"fyne.io/fyne/v2"
	fyneapp "fyne.io/fyne/v2/app"

	"github.com/kleinbild/kleinbild/app/fynelog"
	"github.com/kleinbild/kleinbild/app/shell"
	"github.com/kleinbild/kleinbild/assets/look"
)

// The reasons why Run may open no window.
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
	// If Fyne cannot make the window, it runs on without one.
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
	// Fyne puts the OnStopped hook into the queue of its loop, and drops it if the loop ends first. So the hook is called
	// here. If it was called already, calling it again changes nothing; that is so for Fyne's own part of it, too, which
	// writes the preferences.
	if l, ok := a.Lifecycle().(interface{ OnStopped() func() }); ok {
		l.OnStopped()()
	}
	if fynelog.NoWindow() {
		return ErrNoOpenGL
	}
	return nil
}

// openOn makes the window. Fyne panics if the system has no screen for it.
func openOn(a fyne.App) (w fyne.Window, err error) {
	defer func() {
		if recover() != nil {
			err = ErrNoScreen
		}
	}()
	return a.NewWindow("Kleinbild"), nil
}
