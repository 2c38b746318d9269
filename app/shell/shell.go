// Package shell uses the desktop around the window: it copies and pastes pictures and files, moves files to the bin and
// back, shows a file in the file manager, opens it in another program, and keeps the window on the screen. Every call
// except KeepOnScreen may wait for another program, so it must not run on the goroutine that draws.
package shell

import (
	"errors"
	"fmt"
)

// ErrNoPicture is returned by PastePicture if the clipboard holds no picture.
var ErrNoPicture = errors.New("the clipboard holds no picture")

// maxPictureBytes is the size of the largest picture that is read from the clipboard: twice that of a bitmap of 8192 ×
// 8192 pixels with 32 bits each.
const maxPictureBytes = 512 << 20

var errTooLarge = fmt.Errorf("clipboard: the picture has more than %d MiB, want at most that", maxPictureBytes>>20)
