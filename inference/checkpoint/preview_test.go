package checkpoint

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/kleinbild/kleinbild/inference/tensor"
)

// TestFindPreview checks where the decoder for previews is looked for, and that its folder is no broken model.
func TestFindPreview(t *testing.T) {
	dir, env := home(t)
	get := func(name string) string { return env[name] }
	if got := FindPreview(get); got != "" {
		t.Errorf("found %s where there is none", got)
	}
	mustWrite(t, filepath.Join(dir, "ComfyUI", "models", "vae_approx", "taesd_decoder.safetensors"), "x")
	mustWrite(t, filepath.Join(dir, "ComfyUI", "models", "vae_approx", "taef2_encoder.pth"), "x")
	if got := FindPreview(get); got != "" {
		t.Errorf("found %s among other files", got)
	}
	comfy := filepath.Join(dir, "ComfyUI", "models", "vae_approx", "TAEF2.safetensors")
	mustWrite(t, comfy, "x")
	if got := FindPreview(get); got != comfy {
		t.Errorf("found %q, want %s", got, comfy)
	}
	own := filepath.Join(ModelsDir(), PreviewName, PreviewFile)
	mustWrite(t, own, "x")
	if got := FindPreview(get); got != own {
		t.Errorf("found %q, want %s", got, own)
	}
	_, tried, err := Search(t.Context(), get)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range tried {
		if strings.Contains(p.Where, PreviewName) {
			t.Errorf("%+v passes for a broken model", p)
		}
	}
}

// TestReadPreviewBounds checks that a large file is not read into memory.
func TestReadPreviewBounds(t *testing.T) {
	path := tensorFile(t, "taef2.safetensors", of("decoder.layers.0.weight", tensor.F32, maxPreviewBytes/4+1))
	_, err := ReadPreview(t.Context(), path)
	wantError(t, "large", err, path, "more than 64 MB of decoder, want TAEF2")
}
