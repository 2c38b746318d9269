// Package shell is what the window asks of the desktop around it: pictures on the clipboard, the bin, the file
// manager. Each call may wait for another program: it is not for the goroutine that draws.
package shell

import "errors"

// ErrNoPicture is returned by PastePNG where the clipboard holds no picture.
var ErrNoPicture = errors.New("the clipboard holds no picture")
