package app

import (
	"errors"
	"log"
	"strings"
	"testing"

	"fyne.io/fyne/v2"
)

// TestFyneLog leaves out what is no fault or is told otherwise, and nothing else.
func TestFyneLog(t *testing.T) {
	var out strings.Builder
	l := &fyneLog{out: &out}
	logger := log.Default().Writer()
	log.SetOutput(l)
	defer log.SetOutput(logger)
	for _, reason := range []string{"Error parsing user locale C", "failed to initialise GLFW", "window creation error"} {
		fyne.LogError(reason, errors.New("left out"))
	}
	log.Println("PlatformError: X11: Failed to open display :77")
	if out.Len() > 0 || !l.noWindow {
		t.Errorf("wrote %q; no window: %v", out.String(), l.noWindow)
	}
	fyne.LogError("font load error", errors.New("bad table"))
	if got := out.String(); !strings.Contains(got, "font load error") || !strings.Contains(got, "bad table") || strings.Count(got, "\n") != 3 {
		t.Errorf("wrote %q", got)
	}
}
