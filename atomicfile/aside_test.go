package atomicfile

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// TestSetAside sets several files and a folder aside within a second: each gets another name.
func TestSetAside(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history.db")
	seen := map[string]bool{}
	for n := range 5 {
		text := fmt.Sprint(n)
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		aside, err := SetAside(path)
		if kept, read := os.ReadFile(aside); err != nil || seen[aside] || string(kept) != text {
			t.Errorf("%s: %q, %v, %v, want %q under a new name", aside, kept, err, read, text)
		}
		seen[aside] = true
		if _, err := os.Lstat(path); err == nil {
			t.Errorf("%s still exists", path)
		}
	}
	if err := os.MkdirAll(filepath.Join(path, "inside"), 0o777); err != nil {
		t.Fatal(err)
	}
	if aside, err := SetAside(path); err != nil || seen[aside] {
		t.Errorf("a folder: %s, %v", aside, err)
	}
	if _, err := SetAside(path); err == nil {
		t.Error("a missing file: no error")
	}
}
