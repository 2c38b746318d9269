//go:build !windows

package history

import (
	"errors"
	"os"
	"syscall"
)

// held says that another program keeps a file from being opened.
func held(err error) bool { return errors.Is(err, syscall.EBUSY) || errors.Is(err, syscall.ETXTBSY) }

// release closes a file and gives its lock back, which its mapping would keep.
func release(file *os.File) {
	_ = syscall.Flock(int(file.Fd()), syscall.LOCK_UN)
	file.Close()
}
