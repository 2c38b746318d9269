package app

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestPanelsKnowNoSession: a panel names what it asks of the window in an interface of its own, so that what it can do
// to the others stands in one place.
func TestPanelsKnowNoSession(t *testing.T) {
	files, err := filepath.Glob("*_panel.go")
	if err != nil || len(files) < 8 {
		t.Fatalf("%d panels, %v", len(files), err)
	}
	for _, file := range append(files, "slot.go", "start_page.go", "prompt_entry.go", "prompt_text.go") {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "session") {
			t.Errorf("%s speaks of the session, want an interface", file)
		}
	}
}
