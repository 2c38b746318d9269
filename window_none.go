//go:build !cgo

package main

import (
	"fmt"
	"os"

	"github.com/kleinbild/kleinbild/cli"
)

// openWindow prints that this program has no window, because Fyne needs cgo, and returns false.
func openWindow(cli.WindowArguments) (ok bool) {
	fmt.Fprintln(os.Stderr, "kleinbild: this is the command line; the window comes with the packages and with "+
		"make build:")
	return false
}
