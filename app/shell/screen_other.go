//go:build !windows

package shell

// KeepOnScreen does nothing on this system, because the window manager of X11 places windows.
func KeepOnScreen(window uintptr) {}
