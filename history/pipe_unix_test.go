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

	"kleinbild/inference/picture"
)

// TestPipesAsHistory: a pipe in the place of the store or of its lock keeps nobody.
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
				t.Error("a pipe is a store")
			}
		case <-time.After(8 * time.Second):
			t.Fatalf("%s: it waits", name)
		}
		if info, err := os.Lstat(filepath.Join(dir, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%v, %v", info, err)
		}
	}
}
