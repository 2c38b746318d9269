package fynelog

import (
	"errors"
	"log"
	"strings"
	"testing"
)

// TestFyneLog leaves out what is no fault or is told otherwise, and nothing else.
func TestFyneLog(t *testing.T) {
	var out strings.Builder
	l := &filter{out: &out}
	logger := log.Default().Writer()
	log.SetOutput(l)
	defer log.SetOutput(logger)
	for _, reason := range []string{"Error parsing user locale C", "failed to initialise GLFW", "window creation error"} {
		logError(reason, errors.New("left out"))
	}
	log.Println("PlatformError: X11: Failed to open display :77")
	if out.Len() > 0 || !l.noWindow {
		t.Errorf("wrote %q; no window: %v", out.String(), l.noWindow)
	}
	logError("font load error", errors.New("bad table"))
	if got := out.String(); !strings.Contains(got, "font load error") || !strings.Contains(got, "bad table") || strings.Count(got, "\n") != 3 {
		t.Errorf("wrote %q", got)
	}
}

// TestHostileNames: what a message quotes drives no terminal.
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

// logError logs as fyne.LogError does. This package may not import Fyne, not even in a test: see init.
func logError(reason string, err error) {
	log.Println("Fyne error: ", reason)
	log.Println("  Cause:", err)
	log.Println("  At:", "app.go:1")
}
