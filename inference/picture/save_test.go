package picture

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/kleinbild/kleinbild/atomicfile"
)

// TestSave checks that a picture which cannot be written under its path is written beside it, or else into the first
// folder that accepts it.
func TestSave(t *testing.T) {
	dir := t.TempDir()
	beside, pictures := filepath.Join(dir, "beside"), filepath.Join(dir, "Pictures", "made")
	temporary := filepath.Join(dir, "tmp")
	if err := errors.Join(
		os.Mkdir(beside, 0o755), os.WriteFile(filepath.Join(beside, "fox.png"), []byte("old"), 0o644),
	); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(beside, "fox.png")
	inUse := syscall.Errno(32) // ERROR_SHARING_VIOLATION
	for _, row := range []struct {
		name   string
		exists OnExist
		fails  func(place string, exists OnExist) bool
		want   string // "" if no place accepts the picture
	}{
		{"nothing fails", Replace, func(string, OnExist) bool { return false }, path},
		{"open in another program", Replace, func(_ string, exists OnExist) bool { return exists == Replace },
			filepath.Join(beside, "fox-2.png")},
		{"a name that the file system refuses", Number,
			func(p string, _ OnExist) bool { return filepath.Base(p) == "fox.png" },
			filepath.Join(beside, "kleinbild-7.png")},
		{"the folder is gone", Number, func(p string, _ OnExist) bool { return filepath.Dir(p) == beside },
			filepath.Join(pictures, "fox.png")},
		{"the next folder is gone, too", Replace, func(p string, _ OnExist) bool { return filepath.Dir(p) != temporary },
			filepath.Join(temporary, "fox.png")},
		{"all disks are full", Replace, func(string, OnExist) bool { return true }, ""},
	} {
		write := func(place string, exists OnExist) (string, error) {
			if row.fails(place, exists) {
				return "", &os.PathError{Op: "rename", Path: place, Err: inUse}
			}
			if exists == Number && place == path {
				return numbered(place, 2), nil
			}
			return place, nil
		}
		got, failed, err := save(path, row.exists, []string{pictures, "", temporary}, 7, write)
		if got != row.want || (err != nil) != (row.want == "") || (failed != nil) != (row.want != path) {
			t.Errorf("%s: %q, %v, %v, want %q", row.name, got, failed, err, row.want)
		}
		if failed != nil && !strings.Contains(failed.Error(), path) || err != nil && !errors.Is(err, inUse) {
			t.Errorf("%s: %v, %v", row.name, failed, err)
		}
	}
	// The same with real files: a protected file is not replaced.
	if err := os.Chmod(path, 0o444); err != nil {
		t.Fatal(err)
	}
	defer os.Chmod(path, 0o644)
	if err := CheckWritable(path, Replace); !errors.Is(err, atomicfile.ErrProtected) {
		t.Errorf("CheckWritable: %v, want ErrProtected", err)
	}
	got, failed, err := Save(path, cornered(), example(), Replace, pictures)
	if err != nil || got != filepath.Join(beside, "fox-2.png") || !errors.Is(failed, atomicfile.ErrProtected) ||
		string(content(t, path)) != "old" {
		t.Errorf("%q, %v, %v", got, failed, err)
	}
	if list := names(t, beside); !slices.Equal(list, []string{"fox-2.png", "fox.png"}) {
		t.Errorf("files %v", list)
	}
}
