// Package shell is what the window asks of the desktop around it: pictures on the clipboard, the bin, the file manager, the
// window's place on the screen. Each call but KeepOnScreen may wait for another program: it is not for the goroutine that
// draws.
package shell

import (
	"errors"
	"fmt"
)

// ErrNoPicture is returned by PastePicture where the clipboard holds no picture.
var ErrNoPicture = errors.New("the clipboard holds no picture")

// mostBytes is the largest picture that is taken from the clipboard: twice a bitmap of 8192 × 8192 pixels.
const mostBytes = 512 << 20

var errTooLarge = fmt.Errorf("clipboard: the picture is larger than %d MB", mostBytes>>20)
