package fynelog

import (
	"errors"
	"log"
	"strings"
	"testing"
)

// TestFilter checks which messages are dropped and which are written.
func TestFilter(t *testing.T) {
	var out strings.Builder
	l := &filter{out: &out}
	logger := log.Default().Writer()
	log.SetOutput(l)
	defer log.SetOutput(logger)
	logError("Error parsing user locale C", errors.New("dropped"))
	logError("failed to initialise GLFW", errors.New("dropped"))
	logError("window creation error", errors.New("dropped"))
	log.Println("PlatformError: X11: Failed to open display :77")
	if out.Len() > 0 || !l.noWindow {
		t.Errorf("wrote %q, want nothing; no window: %v, want true", out.String(), l.noWindow)
	}
	logError("font load error", errors.New("bad table"))
	got := out.String()
	if !strings.Contains(got, "font load error") || !strings.Contains(got, "bad table") ||
		strings.Count(got, "\n") != 3 {
		t.Errorf("wrote %q, want the three lines of the font's error", got)
	}
}

// TestHostileNames checks that the names in a message cannot control a terminal or begin a line.
func TestHostileNames(t *testing.T) {
	var out strings.Builder
	l := &filter{out: &out}
	line := "Fyne error:  cannot load fox\x1b]0;x\a\u202egnp\nkleinbild: all is well\n"
	if n, err := l.Write([]byte(line)); err != nil || n != len(line) {
		t.Errorf("%d, %v", n, err)
	}
	if strings.ContainsAny(out.String(), "\x1b\a\u202e") || strings.Count(out.String(), "\n") != 1 {
		t.Errorf("%q", out.String())
	}
}

// logError logs as fyne.LogError does. A test of this package must not import Fyne either: see init.
func logError(reason string, err error) {
	log.Println("Fyne error: ", reason)
	log.Println("  Cause:", err)
	log.Println("  At:", "app.go:1")
}
