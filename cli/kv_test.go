package cli

import (
	"bytes"
	"fmt"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/adrg/xdg"
)

// TestKVModel has a model with a reference cache in the folder of models: the list and doctor say so, and pictures with
// a reference are made with it, again by --like.
func TestKVModel(t *testing.T) {
	home := t.TempDir()
	t.Cleanup(xdg.Reload) // when the variable is as it was: cleanups run from last to first
	t.Setenv("XDG_DATA_HOME", home)
	xdg.Reload()
	t.Chdir(t.TempDir())
	dir := filepath.Join(home, "kleinbild", "models", "mine")
	if err := os.CopyFS(dir, os.DirFS(model(t, "distilled"))); err != nil {
		t.Fatal(err)
	}
	index := filepath.Join(dir, "model_index.json")
	text := strings.ReplaceAll(string(readFile(t, index)), `"Flux2KleinPipeline"`, `"Flux2KleinKVPipeline"`)
	if err := os.WriteFile(index, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := mustMake(t, "models", "list"); !strings.Contains(got.out, "references computed once  ") ||
		!strings.Contains(got.out, dir) {
		t.Errorf("models list: %s", got.out)
	}
	if got := mustMake(t, "doctor", "-m", "mine"); !strings.Contains(got.out, ", kv)") {
		t.Errorf("doctor: %s", got.out)
	}
	writePicture(t, "a.png", 64, 80)
	got := mustMake(t, "generate", "-m", "mine", "-i", "a.png", "-p", "x", "--size", "64x64", "--steps", "1", "-s", "1",
		"--guidance", "4", "-o", "x.png")
	if !strings.Contains(got.err, "a distilled model does not use guidance") {
		t.Errorf("guidance: %s", got.err)
	}
	if got := mustMake(t, "info", "x.png"); !strings.Contains(got.out, "(kv)") {
		t.Errorf("info: %s", got.out)
	}
	// The same weights, with the variant from the picture, and with that of the folder.
	mustMake(t, "generate", "-m", model(t, "distilled"), "--like", "x.png", "-o", "like.png")
	mustMake(t, "generate", "-m", model(t, "distilled"), "--like", "x.png", "--variant", "distilled", "-o", "plain.png")
	pixels := func(path string) []byte {
		t.Helper()
		img, err := png.Decode(bytes.NewReader(readFile(t, path)))
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Appendf(nil, "%v", img)
	}
	if !bytes.Equal(pixels("x.png"), pixels("like.png")) {
		t.Error("--like makes another picture")
	}
	if bytes.Equal(pixels("x.png"), pixels("plain.png")) {
		t.Error("the plain scheme makes the same picture")
	}
}
