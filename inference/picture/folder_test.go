package picture

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

func TestCompareNames(t *testing.T) {
	want := []string{
		"", "1.png", "01.png.bak", "2.png", "10.png", "999999999999999999999.png", "9999999999999999999990.png",
		"a1b2", "a1b10", "a2", "A.png", "a.png", "B.png", "img", "img-2", "img-010", "img-11", "ünï 3", "ünï 20",
	}
	got := slices.Clone(want)
	slices.Reverse(got)
	slices.SortFunc(got, CompareNames)
	if !slices.Equal(got, want) {
		t.Errorf("%q\nwant %q", got, want)
	}
	for _, a := range want {
		for _, b := range want {
			if x, y := CompareNames(a, b), CompareNames(b, a); x != -y || (x == 0) != (a == b) {
				t.Errorf("%q and %q: %d and %d", a, b, x, y)
			}
		}
	}
}

// TestInFolder checks which files of a folder count as pictures.
func TestInFolder(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("photo 10.JPG", "damaged")
	write("photo 9.png", pngSignature)
	write("scan", "\xff\xd8\xff\xe0")
	write("empty.webp", "")
	write("notes.txt", "no picture")
	write("film.mov", "\x00\x00\x00\x14ftypqt  \x00\x00\x00\x00qt  ")
	write("none", "")
	write(".hidden.png", pngSignature)
	write("._photo 9.png", "notes of a Mac")
	if err := os.MkdirAll(filepath.Join(dir, "below.png"), 0o755); err != nil {
		t.Fatal(err)
	}
	write("below.png/more.png", pngSignature)
	pictures := "empty.webp photo 9.png photo 10.JPG scan"
	if runtime.GOOS != "windows" {
		for link, to := range map[string]string{"link.png": "scan", "folder": "below.png", "gone.txt": "nowhere"} {
			if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
				t.Fatal(err)
			}
		}
		pictures = "empty.webp link.png photo 9.png photo 10.JPG scan"
	}
	got, others, err := InFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	bases := func(paths []string) string {
		var list []string
		for _, p := range paths {
			if filepath.Dir(p) != dir {
				t.Errorf("%s is not in the folder", p)
			}
			list = append(list, filepath.Base(p))
		}
		return strings.Join(list, " ")
	}
	if bases(got) != pictures {
		t.Errorf("pictures %q, want %q", bases(got), pictures)
	}
	if want := "film.mov none notes.txt"; strings.ReplaceAll(bases(others), "gone.txt ", "") != want {
		t.Errorf("others %q, want %q", bases(others), want)
	}
	if _, _, err := InFolder(filepath.Join(dir, "gone")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a folder that is not there: %v", err)
	}
	if _, _, err := InFolder(filepath.Join(dir, "scan")); err == nil {
		t.Error("a file is taken for a folder")
	}
}
