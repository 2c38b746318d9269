package cli

import (
	"bytes"
	"image/png"
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

func TestPreviewRefused(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, row := range []struct{ preview, want string }{
		{"now.jpg", "--preview now.jpg, want a .png file"},
		{"./fox.png", "--preview ./fox.png is one of the other pictures"},
	} {
		var out, stderr strings.Builder
		args := small(t, "-p", "x", "-o", "fox.png", "--preview", row.preview)
		if code := Main(args, Streams{In: strings.NewReader(""), Out: &out, Err: &stderr}); code != exitUsage ||
			!strings.Contains(stderr.String(), row.want) {
			t.Errorf("%s: exit code %d: %s", row.preview, code, stderr.String())
		}
	}
}
