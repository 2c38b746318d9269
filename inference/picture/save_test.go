package picture

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"kleinbild/atomicfile"
)

// TestSave: a picture that cannot be written where it was to go is kept beside it, or in the first folder that takes
// it.
func TestSave(t *testing.T) {
	dir := t.TempDir()
	beside, pictures, temporary := filepath.Join(dir, "beside"), filepath.Join(dir, "Pictures", "made"), filepath.Join(dir, "tmp")
	if err := errors.Join(os.Mkdir(beside, 0o755), os.WriteFile(filepath.Join(beside, "fox.png"), []byte("old"), 0o644)); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(beside, "fox.png")
	inUse := syscall.Errno(32) // ERROR_SHARING_VIOLATION
	for _, row := range []struct {
		name   string
		exists OnExist
		fails  func(place string, exists OnExist) bool
		want   string // "" for nowhere
	}{
		{"nothing fails", Replace, func(string, OnExist) bool { return false }, path},
		{"open in another program", Replace, func(_ string, exists OnExist) bool { return exists == Replace }, filepath.Join(beside, "fox-2.png")},
		{"a name that the disk does not take", Number, func(p string, _ OnExist) bool { return filepath.Base(p) == "fox.png" }, filepath.Join(beside, "kleinbild-7.png")},
		{"the folder has vanished", Number, func(p string, _ OnExist) bool { return filepath.Dir(p) == beside }, filepath.Join(pictures, "fox.png")},
		{"and so has that of pictures", Replace, func(p string, _ OnExist) bool { return filepath.Dir(p) != temporary }, filepath.Join(temporary, "fox.png")},
		{"all disks are full", Replace, func(string, OnExist) bool { return true }, ""},
	} {
		got, failed, err := save(path, row.exists, []string{pictures, "", temporary}, 7, func(place string, exists OnExist) (string, error) {
			if row.fails(place, exists) {
				return "", &os.PathError{Op: "rename", Path: place, Err: inUse}
			}
			if exists == Number && place == path {
				return numbered(place, 2), nil
			}
			return place, nil
		})
		if got != row.want || (err != nil) != (row.want == "") || (failed != nil) != (row.want != path) {
			t.Errorf("%s: %q, %v, %v, want %q", row.name, got, failed, err, row.want)
		}
		if failed != nil && !strings.Contains(failed.Error(), path) || err != nil && !errors.Is(err, inUse) {
			t.Errorf("%s: %v, %v", row.name, failed, err)
		}
	}
	// In earnest: a file that is protected stays.
	if err := os.Chmod(path, 0o444); err != nil {
		t.Fatal(err)
	}
	defer os.Chmod(path, 0o644)
	if err := CheckWritable(path, Replace); !errors.Is(err, atomicfile.ErrProtected) {
		t.Errorf("beforehand: %v", err)
	}
	got, failed, err := Save(path, cornered(), example(), Replace, pictures)
	if err != nil || got != filepath.Join(beside, "fox-2.png") || !errors.Is(failed, atomicfile.ErrProtected) || string(content(t, path)) != "old" {
		t.Errorf("%q, %v, %v", got, failed, err)
	}
	if list := names(t, beside); !slices.Equal(list, []string{"fox-2.png", "fox.png"}) {
		t.Errorf("files %v", list)
	}
}
