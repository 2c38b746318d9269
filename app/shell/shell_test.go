//go:build !windows

package shell

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/adrg/xdg"
)

func TestBin(t *testing.T) {
	home := t.TempDir()
	t.Setenv("XDG_DATA_HOME", home)
	xdg.Reload()
	t.Cleanup(xdg.Reload)
	dir := t.TempDir()
	path := filepath.Join(dir, "a fox %+#ä.png")
	for n, want := range []string{"a fox %+#ä.png", "a fox %+#ä.2.png"} {
		if err := os.WriteFile(path, []byte{byte(n)}, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := Bin(path); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the file is still there: %v", err)
		}
		moved, err := os.ReadFile(filepath.Join(home, "Trash", "files", want))
		if err != nil || moved[0] != byte(n) {
			t.Errorf("%v, %v", moved, err)
		}
		note, err := os.ReadFile(filepath.Join(home, "Trash", "info", want+".trashinfo"))
		if err != nil || !strings.HasPrefix(string(note), "[Trash Info]\nPath="+dir+"/a%20fox%20%25+%23%C3%A4.png\nDeletionDate=20") {
			t.Errorf("%q, %v", note, err)
		}
	}
	if err := Bin(filepath.Join(dir, "gone")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that is gone: %v", err)
	}
	if infos, _ := os.ReadDir(filepath.Join(home, "Trash", "info")); len(infos) != 2 {
		t.Errorf("%d notes for 2 files", len(infos))
	}
}

// TestClipboardPrograms uses stand-ins for xclip: one that holds a picture, one that holds none, none at all.
func TestClipboardPrograms(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PATH", dir)
	t.Setenv("WAYLAND_DISPLAY", "")
	if _, err := PastePNG(); !errors.Is(err, errNoTool) {
		t.Errorf("without a program: %v", err)
	}
	if err := CopyPNG([]byte("x")); !errors.Is(err, errNoTool) {
		t.Errorf("without a program: %v", err)
	}
	tool := func(name, script string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+script), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	tool("xclip", "exit 1\n")
	if _, err := PastePNG(); !errors.Is(err, ErrNoPicture) {
		t.Errorf("an empty clipboard: %v", err)
	}
	tool("xclip", `if [ "$5" = -out ]; then while read -r line; do printf '%s\n' "$line"; done <`+dir+`/kept; else while read -r line; do printf '%s\n' "$line"; done >`+dir+"/kept; fi\n")
	if err := CopyPNG([]byte("\x89PNG and more\n")); err != nil {
		t.Fatal(err)
	}
	if file, err := PastePNG(); err != nil || string(file) != "\x89PNG and more\n" {
		t.Errorf("%q, %v", file, err)
	}
}
