package history

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

// held says that another program keeps a file from being opened.
func held(err error) bool {
	return errors.Is(err, windows.ERROR_SHARING_VIOLATION) || errors.Is(err, windows.ERROR_LOCK_VIOLATION)
}

// release closes a file, which gives its lock back.
func release(file *os.File) { file.Close() }
