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

// TestPipesBesideAModel: nothing waits for a pipe in the place of a lock or a manifest; rm names the one that is in its way.
func TestPipesBesideAModel(t *testing.T) {
	dir := t.TempDir()
	model := filepath.Join(dir, "m")
	err := errors.Join(os.Mkdir(model, 0o755), syscall.Mkfifo(filepath.Join(model, manifestName), 0o600), syscall.Mkfifo(filepath.Join(dir, ".m.lock"), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		_, err := Verify(t.Context(), model, nil)
		if err == nil {
			err = errors.New("a model whose manifest is a pipe is sound")
		} else {
			if err = Remove(dir, "m"); err == nil || !strings.Contains(err.Error(), ".m.lock: is no ordinary file") {
				err = fmt.Errorf("rm: %v, want the name of what is no lock", err)
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
		t.Fatal("it waits")
	}
}
