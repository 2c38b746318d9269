//go:build unix

package atomicfile

import (
	"io/fs"
	"os"
	"syscall"
)

func stat(path string) (fs.FileInfo, error) { return os.Stat(path) }

// openAtOnce opens a file that may have become a pipe or a terminal since it was looked at: it neither waits for a writer
// nor takes the terminal for the program's own.
func openAtOnce(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOCTTY, 0)
}
