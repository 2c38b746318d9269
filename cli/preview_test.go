package cli

import (
	"bytes"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestPreview checks that --preview leaves a whole PNG file, and leaves the picture alone.
func TestPreview(t *testing.T) {
	t.Chdir(t.TempDir())
	mustMake(t, small(t, "-p", "a red fox", "-s", "7", "--steps", "2", "-o", "fox.png")...)
	mustMake(t, small(t, "-p", "a red fox", "-s", "7", "--steps", "2", "-o", "same.png", "--preview", "now.png")...)
	if !bytes.Equal(readFile(t, "fox.png"), readFile(t, "same.png")) {
		t.Error("--preview changes the picture")
	}
	if _, err := png.Decode(bytes.NewReader(readFile(t, "now.png"))); err != nil {
		t.Error(err)
	}
	got := mustMake(t, small(t, "-p", "a red fox", "--steps", "2", "-o", "c.png", "--preview", "nowhere/now.png")...)
	if !strings.Contains(got.err, "note: the preview could not be written: ") {
		t.Errorf("standard error %q", got.err)
	}
}

// TestPreviewRefused checks that a preview never takes the file of a picture that is read or made, by whatever name.
func TestPreviewRefused(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	var file bytes.Buffer
	if err := png.Encode(&file, image.NewRGBA(image.Rect(0, 0, 64, 64))); err != nil {
		t.Fatal(err)
	}
	writeFile(t, "photo.png", file.String())
	photo := readFile(t, "photo.png")
	type row struct {
		args []string
		want string
	}
	rows := []row{
		{[]string{"--preview", "now.jpg"}, "--preview now.jpg, want a .png file"},
		{[]string{"-o", "fox.png", "--preview", "./fox.png"}, "is one of the other pictures, fox.png"},
		{[]string{"-o", "fox.png", "--preview", filepath.Join(dir, "fox.png")}, "is one of the other pictures, fox.png"},
		{[]string{"-o", "fox.png", "--preview", "Fox.PNG"}, "is one of the other pictures, fox.png"},
		{[]string{"-i", "photo.png", "--preview", filepath.Join(dir, "photo.png")}, "the other pictures, photo.png"},
		{[]string{"-o", "out.png", "-n", "2", "-s", "7", "--preview", "out-7.png"}, "the other pictures, out-7.png"},
		{[]string{"-o", "out.png", "-n", "2", "-s", "7", "--preview", "out-8.png"}, "the other pictures, out-8.png"},
		{[]string{"-s", "7", "--preview", "kleinbild-7.png"}, "the other pictures, kleinbild-7.png"},
	}
	if os.Symlink("photo.png", "link.png") == nil && os.Symlink(dir, "folder") == nil {
		rows = append(rows,
			row{[]string{"-i", "photo.png", "--overwrite", "--preview", "link.png"}, "the other pictures, photo.png"},
			row{[]string{"-o", "out.png", "--preview", "folder/out.png"}, "the other pictures, out.png"})
	}
	for _, row := range rows {
		got := call("", small(t, append([]string{"-p", "x"}, row.args...)...)...)
		if got.code != exitUsage || !strings.Contains(got.err, row.want) {
			t.Errorf("%q: exit code %d: %s", row.args, got.code, got.err)
		}
	}
	if !bytes.Equal(readFile(t, "photo.png"), photo) {
		t.Error("the photo was changed")
	}
}
