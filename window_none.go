//go:build !cgo

package main

import (
	"fmt"
	"os"
)

// openWindow says that this build has no window: Fyne's needs cgo.
func openWindow([]string) (ok bool) {
	fmt.Fprintln(os.Stderr, "kleinbild: this build has no window, as it was made without a C compiler; this is its command line:")
	return false
}
