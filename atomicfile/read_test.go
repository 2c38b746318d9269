package atomicfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func TestRead(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "small")
	if err := os.WriteFile(path, []byte("12345678"), 0o600); err != nil {
		t.Fatal(err)
	}
	for limit, want := range map[int64]string{8: "12345678", 9: "12345678", 7: ""} {
		text, err := Read(path, limit)
		if string(text) != want || (err == nil) != (want != "") {
			t.Errorf("limit %d: %q, %v", limit, text, err)
		}
	}
	// A sparse file of 1 GiB.
	large := filepath.Join(dir, "large")
	if err := errors.Join(os.WriteFile(large, nil, 0o600), os.Truncate(large, 1<<30)); err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(1, func() {
		_, err := Read(large, 1<<20)
		if err == nil || !strings.Contains(err.Error(), "found 1073741824 bytes, want at most 1048576") {
			t.Errorf("%v", err)
		}
	}); n > 100 {
		t.Errorf("%v allocations", n)
	}
	if _, err := Read(dir, 8); err == nil || !strings.Contains(err.Error(), "found a folder, want a file") {
		t.Errorf("a folder: %v", err)
	}
	if _, err := Read(filepath.Join(dir, "gone"), 8); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	if runtime.GOOS == "windows" {
		for _, name := range []string{"CON", `C:\CON`, "NUL", "com1", `\\.\pipe\x`, `//./pipe/x`} {
			_, err := Read(name, 8)
			if err == nil || !strings.Contains(err.Error(), "found the name of a device, want a file") {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}
