//go:build !windows

package history

import (
	"errors"
	"os"
	"syscall"
)

// isHeld reports whether err means that another program keeps a file from being opened.
func isHeld(err error) bool { return errors.Is(err, syscall.EBUSY) || errors.Is(err, syscall.ETXTBSY) }

// release unlocks and closes a file. Closing alone would keep the lock while the file is mapped.
func release(file *os.File) {
	_ = syscall.Flock(int(file.Fd()), syscall.LOCK_UN)
	file.Close()
}
