//go:build unix

package atomicfile

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

func stat(path string) (fs.FileInfo, error) { return os.Stat(path) }

// openAtOnce opens a file that may have become a pipe or a terminal since it was looked at: it neither waits for a writer
// nor takes the terminal for the program's own. It does wait where another program, such as a file server, holds a lease on
// the file: the system has told that program to give the lease up.
func openAtOnce(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOCTTY, 0)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return os.OpenFile(path, os.O_RDONLY|syscall.O_NOCTTY, 0)
	}
	return file, err
}
