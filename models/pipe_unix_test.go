//go:build unix

package models

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestPipesBesideAModel uses pipes as a model's lock and manifest: Verify and Remove must not wait, and Remove's error
// names the lock.
func TestPipesBesideAModel(t *testing.T) {
	dir := t.TempDir()
	model := filepath.Join(dir, "m")
	err := errors.Join(os.Mkdir(model, 0o755), syscall.Mkfifo(filepath.Join(model, manifestName), 0o600),
		syscall.Mkfifo(filepath.Join(dir, ".m.lock"), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		_, err := Verify(t.Context(), model, nil)
		if err == nil {
			err = errors.New("verifying a model whose manifest is a pipe: no error")
		} else {
			if err = Remove(dir, "m"); err == nil || !strings.Contains(err.Error(), ".m.lock: is not a regular file") {
				err = fmt.Errorf("Remove: %v, want the name of the lock", err)
			} else {
				err = nil
			}
		}
		done <- err
	}()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(5 * time.Second):
		t.Fatal("Verify or Remove waits")
	}
}
