//go:build unix

package app

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// TestPreferencesAreAPipe: Fyne would wait at it. It is set aside, and the copy comes back.
func TestPreferencesAreAPipe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "preferences.json")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+".kept", []byte(`{"prompt":"a fox"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		err := checkFyneSettings(path)
		keepPreferences(path)
		done <- err
	}()
	select {
	case err := <-done:
		if err == nil {
			t.Error("Fyne's settings may be a pipe")
		}
	case <-time.After(5 * time.Second):
		t.Fatal("it waits")
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != `{"prompt":"a fox"}` {
		t.Errorf("%q, %v, want the copy", text, err)
	}
	if err := checkFyneSettings(path); err != nil {
		t.Error(err)
	}
}
