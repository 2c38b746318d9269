package shell

import (
	"os"
	"path/filepath"
	"testing"
)

func TestBin(t *testing.T) {
	path := filepath.Join(os.TempDir(), "kleinbild test.png")
	if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(path)
	if err := Bin(path); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("the file is still there")
	}
	if err := Bin(path); err == nil {
		t.Error("a file that does not exist: no error, want one")
	}
}
