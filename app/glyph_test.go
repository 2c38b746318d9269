package app

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fyne.io/fyne/v2/theme"
	"golang.org/x/image/font/sfnt"
)

// TestGlyphs wants every character of the window's own texts in the font that comes with it: the system's fonts may
// lack the others, or draw them in another style.
func TestGlyphs(t *testing.T) {
	font, err := sfnt.Parse(theme.DefaultTextFont().Content())
	if err != nil {
		t.Fatal(err)
	}
	var files []string
	for _, pattern := range []string{"*.go", "ui/*.go", "studio/*.go"} {
		list, err := filepath.Glob(pattern)
		if err != nil || len(list) == 0 {
			t.Fatalf("%s: %d files, %v", pattern, len(list), err)
		}
		files = append(files, list...)
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range string(text) {
			if r == '\n' || r == '\t' {
				continue
			}
			if i, err := font.GlyphIndex(nil, r); err != nil || i == 0 {
				t.Errorf("%s: the font has no %q", file, r)
			}
		}
	}
}
