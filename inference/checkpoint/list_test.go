package checkpoint

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"kleinbild/inference/checkpoint/synthetic"
)

func TestCandidates(t *testing.T) {
	dir, env := home(t)
	get := func(key string) string { return env[key] }
	if got := Candidates(get); len(got) != 0 {
		t.Errorf("an empty home: %v", got)
	}
	own := model(t, ModelsDir(), "mine")
	mustWrite(t, filepath.Join(ModelsDir(), "mine.part", "x"), "")
	single := filepath.Join(dir, "single")
	if err := synthetic.WriteSingleFiles(context.Background(), single, small()); err != nil {
		t.Fatal(err)
	}
	// ComfyUI keeps a folder for each kind, with files of other models beside.
	comfy := filepath.Join(dir, "elsewhere", "ComfyUI")
	env["COMFYUI_PATH"] = comfy
	place := func(folder, name string) string {
		path := filepath.Join(comfy, "models", folder, name)
		file, err := os.ReadFile(filepath.Join(single, name))
		if err != nil {
			t.Fatal(err)
		}
		mustWrite(t, path, string(file))
		return path
	}
	want := place("diffusion_models", bf16File) + "," + place("text_encoders", textFile) + "," + place("vae", vaeFile)
	mustWrite(t, filepath.Join(comfy, "models", "vae", "sdxl.safetensors"), "another model's")
	mustWrite(t, filepath.Join(comfy, "models", "diffusion_models", "flux1-dev.safetensors"), "another model's")
	got := Candidates(get)
	if !slices.Equal(got, []string{own, want}) {
		t.Errorf("found %q, want %q and %q", got, own, want)
	}
	for _, spec := range got {
		mustOpen(t, spec)
	}
}
