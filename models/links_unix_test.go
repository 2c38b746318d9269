//go:build unix

package models

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// outside is a folder with a file that nothing may touch.
func outside(t *testing.T) (dir string, untouched func()) {
	t.Helper()
	dir = t.TempDir()
	file := filepath.Join(dir, "precious.txt")
	mustWrite(t, file, "precious")
	mustWrite(t, filepath.Join(dir, "weights", "a.bin"), "mine")
	return dir, func() {
		t.Helper()
		list, err := os.ReadDir(dir)
		text, fileErr := os.ReadFile(file)
		mine, mineErr := os.ReadFile(filepath.Join(dir, "weights", "a.bin"))
		if err := errors.Join(err, fileErr, mineErr); err != nil || len(list) != 2 || string(text) != "precious" || string(mine) != "mine" {
			t.Errorf("%v: %.40q %.40q, %v: want them untouched", list, text, mine, err)
		}
	}
}

func symlink(t *testing.T, target, path string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.Symlink(target, path)); err != nil {
		t.Fatal(err)
	}
}

// TestDownloadFollowsNoLinks begins downloads in folders that somebody has filled with links to the user's own files.
func TestDownloadFollowsNoLinks(t *testing.T) {
	for _, row := range []struct {
		name string
		make func(t *testing.T, models, elsewhere string)
	}{
		{"the folder itself", func(t *testing.T, models, elsewhere string) {
			symlink(t, elsewhere, filepath.Join(models, "small.part"))
		}},
		{"a folder in it", func(t *testing.T, models, elsewhere string) {
			symlink(t, elsewhere+"/weights", filepath.Join(models, "small.part", "weights"))
		}},
		{"a file in it", func(t *testing.T, models, elsewhere string) {
			symlink(t, elsewhere+"/precious.txt", filepath.Join(models, "small.part", "weights", "a.bin.part"))
		}},
		{"a complete file", func(t *testing.T, models, elsewhere string) {
			symlink(t, elsewhere+"/precious.txt", filepath.Join(models, "small.part", "config.json"))
		}},
		{"the list of files", func(t *testing.T, models, elsewhere string) {
			symlink(t, elsewhere+"/precious.txt", filepath.Join(models, "small.part", manifestName))
		}},
		{"a folder for a file", func(t *testing.T, models, elsewhere string) {
			symlink(t, elsewhere, filepath.Join(models, "small.part", "config.json", "deeper"))
		}},
		{"pipes", func(t *testing.T, models, elsewhere string) {
			for _, name := range []string{"config.json", "config.json.part", manifestName} {
				if err := errors.Join(os.MkdirAll(filepath.Join(models, "small.part"), 0o755), syscall.Mkfifo(filepath.Join(models, "small.part", name), 0o600)); err != nil {
					t.Fatal(err)
				}
			}
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			h, content := smallHub(t)
			opts := h.options(t)
			elsewhere, untouched := outside(t)
			// A list that says all of it is wanted, as an earlier download would have left it.
			if _, err := Get(t.Context(), small(), opts); err != nil {
				t.Fatal(err)
			}
			manifest, err := os.ReadFile(filepath.Join(opts.Dir, "small", manifestName))
			if err != nil {
				t.Fatal(err)
			}
			if err := os.RemoveAll(filepath.Join(opts.Dir, "small")); err != nil {
				t.Fatal(err)
			}
			row.make(t, opts.Dir, elsewhere)
			if path := filepath.Join(opts.Dir, "small.part"); row.name != "the folder itself" && row.name != "the list of files" && row.name != "pipes" {
				mustWrite(t, filepath.Join(path, manifestName), string(manifest))
			}
			dir, err := Get(t.Context(), small(), opts)
			if err != nil {
				t.Fatal(err)
			}
			untouched()
			if have, err := os.ReadFile(filepath.Join(dir, "weights", "a.bin")); err != nil || !bytes.Equal(have, content) {
				t.Errorf("%d bytes, %v", len(have), err)
			}
			if info, err := os.Lstat(dir); err != nil || !info.IsDir() {
				t.Errorf("%v %v, want a folder", info, err)
			}
		})
	}
}

// TestRemoveFollowsNoLinks removes models that are links, and models that hold links.
func TestRemoveFollowsNoLinks(t *testing.T) {
	models := t.TempDir()
	elsewhere, untouched := outside(t)
	symlink(t, elsewhere, filepath.Join(models, "linked"))
	symlink(t, elsewhere, filepath.Join(models, "half.part"))
	symlink(t, elsewhere, filepath.Join(models, "holds", "links"))
	symlink(t, elsewhere+"/precious.txt", filepath.Join(models, "holds", "config.json"))
	symlink(t, "/", filepath.Join(models, "holds", "root"))
	for _, name := range []string{"linked", "half", "holds"} {
		if err := Remove(models, name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for _, path := range []string{name, name + ".part"} {
			if _, err := os.Lstat(filepath.Join(models, path)); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("%s is left: %v", path, err)
			}
		}
	}
	untouched()
}

// TestLockIsAFile: a pipe in the lock's place would wait for ever.
func TestLockIsAFile(t *testing.T) {
	h, _ := smallHub(t)
	opts := h.options(t)
	if err := errors.Join(os.MkdirAll(opts.Dir, 0o755), syscall.Mkfifo(filepath.Join(opts.Dir, ".small.lock"), 0o600)); err != nil {
		t.Fatal(err)
	}
	if _, err := Get(t.Context(), small(), opts); err == nil || !strings.Contains(err.Error(), ".small.lock: is no ordinary file") {
		t.Error(err)
	}
	// Nor do pipes in an installed model make its verification wait.
	dir := filepath.Join(t.TempDir(), "small")
	mustWrite(t, filepath.Join(dir, manifestName), `{"files":[{"path":"a","size":1,"git_sha1":"`+strings.Repeat("a", 40)+`"}]}`)
	if err := syscall.Mkfifo(filepath.Join(dir, "a"), 0o600); err != nil {
		t.Fatal(err)
	}
	if damaged, err := Verify(t.Context(), dir, nil); err != nil || len(damaged) != 1 || !strings.Contains(damaged[0].Err.Error(), "found a pipe") {
		t.Errorf("%v %v", damaged, err)
	}
}
