//go:build !cgo

package main

import (
	"fmt"
	"os"

	"kleinbild/cli"
)

// openWindow prints that this build has no window, because Fyne needs cgo, and returns false.
func openWindow(cli.WindowArguments) (ok bool) {
	fmt.Fprintln(os.Stderr, "kleinbild: this build has no window, as it was made without a C compiler; "+
		"this is its command line:")
	return false
}
