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

// outside makes a folder with two files. untouched checks that they are unchanged.
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
		err = errors.Join(err, fileErr, mineErr)
		if err != nil || len(list) != 2 || string(text) != "precious" || string(mine) != "mine" {
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

// TestDownloadFollowsNoLinks starts downloads in folders that contain links to the user's files.
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
			staging := filepath.Join(models, "small.part")
			for _, name := range []string{"config.json", "config.json.part", manifestName} {
				err := errors.Join(os.MkdirAll(staging, 0o755), syscall.Mkfifo(filepath.Join(staging, name), 0o600))
				if err != nil {
					t.Fatal(err)
				}
			}
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			h, content := smallHub(t)
			opts := h.options(t)
			elsewhere, untouched := outside(t)
			// A manifest that lists all files, as an interrupted download leaves one.
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
			if path := filepath.Join(opts.Dir, "small.part"); row.name != "the folder itself" &&
				row.name != "the list of files" && row.name != "pipes" {
				mustWrite(t, filepath.Join(path, manifestName), string(manifest))
			}
			dir, err := Get(t.Context(), small(), opts)
			if err != nil {
				t.Fatal(err)
			}
			untouched()
			if got, err := os.ReadFile(filepath.Join(dir, "weights", "a.bin")); err != nil || !bytes.Equal(got, content) {
				t.Errorf("%d bytes, %v", len(got), err)
			}
			if info, err := os.Lstat(dir); err != nil || !info.IsDir() {
				t.Errorf("%v %v, want a folder", info, err)
			}
		})
	}
}

// TestRemoveFollowsNoLinks removes models that are links, and models that contain links.
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
				t.Errorf("%s still exists: %v", path, err)
			}
		}
	}
	untouched()
}

// TestLockIsAFile uses pipes as the lock and as a file of a model: opening one would wait for ever.
func TestLockIsAFile(t *testing.T) {
	h, _ := smallHub(t)
	opts := h.options(t)
	if err := errors.Join(os.MkdirAll(opts.Dir, 0o755),
		syscall.Mkfifo(filepath.Join(opts.Dir, ".small.lock"), 0o600)); err != nil {
		t.Fatal(err)
	}
	_, err := Get(t.Context(), small(), opts)
	if err == nil || !strings.Contains(err.Error(), ".small.lock: is not a regular file") {
		t.Error(err)
	}
	// Verify must not wait for a pipe in a model either.
	dir := filepath.Join(t.TempDir(), "small")
	mustWrite(t, filepath.Join(dir, manifestName),
		`{"files":[{"path":"a","size":1,"git_sha1":"`+strings.Repeat("a", 40)+`"}]}`)
	if err := syscall.Mkfifo(filepath.Join(dir, "a"), 0o600); err != nil {
		t.Fatal(err)
	}
	if damaged, err := Verify(t.Context(), dir, nil); err != nil || len(damaged) != 1 ||
		!strings.Contains(damaged[0].Err.Error(), "found a pipe") {
		t.Errorf("%v %v", damaged, err)
	}
}
