//go:build unix

package history

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kleinbild/kleinbild/inference/picture"
)

// TestPipesAsHistory uses a pipe as the store or as its lock file: operations must not wait for a writer.
func TestPipesAsHistory(t *testing.T) {
	for _, name := range []string{"history.db", "history.db.lock"} {
		dir := t.TempDir()
		if err := syscall.Mkfifo(filepath.Join(dir, name), 0o600); err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() {
			s := At(filepath.Join(dir, "history.db"), nil)
			s.List()
			done <- s.Remember([]picture.ReferenceFile{{Path: "/x.png", SHA256: strings.Repeat("ab", 32)}})
		}()
		select {
		case err := <-done:
			if name == "history.db" && err == nil {
				t.Error("a pipe as the store: no error")
			}
		case <-time.After(8 * time.Second):
			t.Fatalf("%s: the operation waits", name)
		}
		if info, err := os.Lstat(filepath.Join(dir, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%v, %v", info, err)
		}
	}
}
