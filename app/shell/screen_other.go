//go:build !windows

package shell

// KeepOnScreen does nothing here: under X11 the window manager places windows.
func KeepOnScreen(window uintptr) {}
