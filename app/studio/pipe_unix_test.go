//go:build unix

package studio

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestPipesInTheFolder: reading or locking a pipe in the place of a file of the desk would block the window for ever.
func TestPipesInTheFolder(t *testing.T) {
	for _, name := range []string{"lock", deskFile, queueFile} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			if err := syscall.Mkfifo(filepath.Join(root, name), 0o600); err != nil {
				t.Fatal(err)
			}
			done := make(chan error, 1)
			go func() {
				s, err := OpenStore(root)
				if err == nil {
					_, _, err = s.LoadDesk()
					if err == nil {
						_, err = s.LoadQueue()
					}
					_ = s.Close()
				}
				done <- err
			}()
			select {
			case err := <-done:
				if name != "lock" && (err == nil || !strings.Contains(err.Error(), "found a pipe, want a file; it is kept as ")) {
					t.Errorf("%v", err)
				}
			case <-time.After(5 * time.Second):
				t.Fatal("it waits")
			}
			if info, err := os.Lstat(filepath.Join(root, name)); name != "lock" && err == nil {
				t.Errorf("%s is there still: %v", name, info.Mode())
			}
		})
	}
}
