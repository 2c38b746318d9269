package atomicfile

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// wantOneFile checks that folder contains one file, name, with content.
func wantOneFile(t *testing.T, folder, name, content string) {
	t.Helper()
	list, err := os.ReadDir(folder)
	if err != nil || len(list) != 1 || list[0].Name() != name {
		t.Errorf("%v, %v, want only %s", list, err, name)
	}
	if text, err := os.ReadFile(filepath.Join(folder, name)); err != nil || string(text) != content {
		t.Errorf("%s: %q, %v, want %q", name, text, err, content)
	}
}

func TestWrite(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "token")
	for _, text := range []string{"first", "second, longer", ""} {
		if err := Write(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		wantOneFile(t, dir, "token", text)
	}
	if info, err := os.Stat(path); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v, want 0600", info.Mode(), err)
	}
	if err := Write(filepath.Join(dir, "gone", "x"), nil, 0o600); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no folder: %v", err)
	}
}

// TestErrorsNameNoTemporaryFile checks that errors of Write and Finish do not contain the temporary name.
func TestErrorsNameNoTemporaryFile(t *testing.T) {
	f, err := Create(filepath.Join(t.TempDir(), "fox.png"), 0o666)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Discard()
	f.Close() // makes Write and Finish fail
	_, err = f.Write([]byte("x"))
	for _, err := range []error{err, f.Finish()} {
		if err == nil || strings.Contains(err.Error(), ".tmp") {
			t.Errorf("%v, want an error without the name", err)
		}
	}
}

// TestWriteFails lets the disk fill up in the middle: the old file stays, and no file appears where none was.
func TestWriteFails(t *testing.T) {
	full := errors.New("no space left on device")
	half := func(w io.Writer) error {
		_, err := w.Write([]byte("ha"))
		return errors.Join(err, full)
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "token")
	if err := write(path, 0o600, half); !errors.Is(err, full) {
		t.Errorf("%v, want %v", err, full)
	}
	if list, err := os.ReadDir(dir); err != nil || len(list) != 0 {
		t.Errorf("%v, %v, want nothing", list, err)
	}
	if err := Write(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := write(path, 0o600, half); !errors.Is(err, full) {
		t.Errorf("%v, want %v", err, full)
	}
	wantOneFile(t, dir, "token", "precious")
}

func TestWriteFollowsLinks(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "dotfiles"), 0o777); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "settings.json")
	if err := os.Symlink(filepath.Join("dotfiles", "settings.json"), link); err != nil {
		t.Skip("no symbolic links here:", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "dotfiles", "settings.json"), []byte("old"), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := Write(link, []byte("new"), 0o644); err != nil {
		t.Fatal(err)
	}
	wantOneFile(t, filepath.Join(dir, "dotfiles"), "settings.json", "new")
	if target, err := os.Readlink(link); err != nil {
		t.Errorf("not a link any more: %q, %v", target, err)
	}
}

func TestClaim(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a")
	claim := func(text string) error {
		f, err := Create(path, 0o666)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Discard()
		if _, err := f.WriteString(text); err != nil {
			t.Fatal(err)
		}
		return f.Claim(path)
	}
	if err := claim("first"); err != nil {
		t.Fatal(err)
	}
	if err := claim("second"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("%v, want fs.ErrExist", err)
	}
	wantOneFile(t, dir, "a", "first")
}

func TestClaimWithoutLinks(t *testing.T) {
	dir := t.TempDir()
	temporary, path := filepath.Join(dir, "temporary"), filepath.Join(dir, "fox.png")
	for _, text := range []string{"new", "newer"} {
		if err := os.WriteFile(temporary, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		err := claimWithoutLinks(temporary, path)
		if (err == nil) != (text == "new") || err != nil && !errors.Is(err, fs.ErrExist) {
			t.Errorf("%s: %v, want success for the first only", text, err)
		}
	}
	if err := os.Remove(temporary); err != nil {
		t.Fatal(err)
	}
	wantOneFile(t, dir, "fox.png", "new")
	other := filepath.Join(dir, "other.png")
	if err := claimWithoutLinks(temporary, other); err == nil {
		t.Error("a missing temporary file: no error")
	}
	wantOneFile(t, dir, "fox.png", "new")
}
