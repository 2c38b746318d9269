//go:build unix

package models

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// TestPipesBesideAModel: a pipe in the place of a lock or a manifest keeps neither rm nor verify.
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
			err = Remove(dir, "m")
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
