//go:build unix

package atomicfile

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestReadDoesNotWait reads files on which os.ReadFile waits for ever or reads without end.
func TestReadDoesNotWait(t *testing.T) {
	dir := t.TempDir()
	pipe, loop, link := filepath.Join(dir, "pipe"), filepath.Join(dir, "loop"), filepath.Join(dir, "link")
	if err := errors.Join(syscall.Mkfifo(pipe, 0o600), os.Symlink("loop", loop), os.Symlink("pipe", link)); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		pipe: "found a pipe, want a file", link: "found a pipe, want a file", loop: "too many levels of symbolic links",
		"/dev/zero": "found a device, want a file", "/dev/tty": "found a device, want a file",
	} {
		done := make(chan error, 1)
		go func() {
			_, err := Read(path, 8)
			done <- err
		}()
		select {
		case err := <-done:
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %s", path, err, want)
			}
		case <-time.After(5 * time.Second):
			t.Fatalf("%s: Read waits", path)
		}
	}
	// If a file becomes a pipe after stat, opening it must not wait either.
	file, err := openNonblocking(pipe)
	if err != nil {
		t.Fatal(err)
	}
	file.Close()
}
