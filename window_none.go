//go:build !cgo

package main

// openWindow says that this build has no window: Fyne's needs cgo.
func openWindow() (ok bool) { return false }
