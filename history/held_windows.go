package history

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

// isHeld reports whether err means that another program keeps a file from being opened.
func isHeld(err error) bool {
	return errors.Is(err, windows.ERROR_SHARING_VIOLATION) || errors.Is(err, windows.ERROR_LOCK_VIOLATION)
}

// release closes a file, which also unlocks it.
func release(file *os.File) { file.Close() }
