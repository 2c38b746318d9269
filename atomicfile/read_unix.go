//go:build unix

package atomicfile

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

func stat(path string) (fs.FileInfo, error) { return os.Stat(path) }

// openNonblocking opens a file that may have become a pipe or a terminal since stat. It does not wait for a writer of
// the pipe (O_NONBLOCK), and does not make the terminal the process's controlling one (O_NOCTTY). If another program,
// such as a file server, has a lease on the file, the first open fails with EWOULDBLOCK, and the system asks that
// program to give the lease up; the second open waits for that.
func openNonblocking(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOCTTY, 0)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return os.OpenFile(path, os.O_RDONLY|syscall.O_NOCTTY, 0)
	}
	return file, err
}
