//go:build unix

package cli

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/adrg/xdg"

	"github.com/kleinbild/kleinbild/models"
)

// TestListDoctorAndWindowAgree puts a model into linked folders of ComfyUI and one into the hub's cache, beside folders
// that hold no usable model. models list, doctor and the window's list (models.List) must show the same models, and -m
// must accept every name.
func TestListDoctorAndWindowAgree(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("HOME", dir)
	t.Setenv("XDG_DATA_HOME", filepath.Join(dir, "data"))
	t.Setenv("XDG_CONFIG_HOME", filepath.Join(dir, "config"))
	for _, name := range []string{"HF_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME", "KLEINBILD_MODEL", "COMFYUI_PATH"} {
		t.Setenv(name, "")
	}
	xdg.Reload()
	t.Cleanup(xdg.Reload)

	comfyUI, store, single := filepath.Join(dir, "ComfyUI"), filepath.Join(dir, "store"), model(t, "single")
	for folder, file := range map[string]string{
		"diffusion_models": "flux-2-klein-4b.safetensors", "text_encoders": "qwen_3_4b.safetensors",
		"vae": "flux2-vae.safetensors",
	} {
		if err := os.MkdirAll(filepath.Join(store, folder), 0o755); err != nil {
			t.Fatal(err)
		}
		writeFile(t, filepath.Join(store, folder, file), string(readFile(t, filepath.Join(single, file))))
		if err := errors.Join(os.MkdirAll(filepath.Join(comfyUI, "models"), 0o755),
			os.Symlink(filepath.Join(store, folder), filepath.Join(comfyUI, "models", folder))); err != nil {
			t.Fatal(err)
		}
	}
	tokenizer := filepath.Join(model(t, "distilled"), "tokenizer", "tokenizer.json")
	writeFile(t, filepath.Join(store, "vae", "tokenizer.json"), string(readFile(t, tokenizer)))
	gone := filepath.Join(comfyUI, "models", "vae", "a-flux2-gone.safetensors")
	hub := filepath.Join(dir, ".cache", "huggingface", "hub")
	snapshot := filepath.Join(hub, "models--black-forest-labs--FLUX.2-klein-4B", "snapshots", "abc")
	broken := filepath.Join(hub, "models--black-forest-labs--FLUX.2-klein-9B", "snapshots", "def")
	err := errors.Join(os.Symlink(filepath.Join(dir, "nothing"), gone),
		os.CopyFS(snapshot, os.DirFS(model(t, "distilled"))),
		os.CopyFS(broken, os.DirFS(model(t, "distilled"))), os.Remove(filepath.Join(broken, "vae",
			"diffusion_pytorch_model.safetensors")))
	if err != nil {
		t.Fatal(err)
	}

	list := mustMake(t, "models", "list", "--json")
	var rows []modelRow
	if err := json.Unmarshal([]byte(list.out), &rows); err != nil {
		t.Fatal(err)
	}
	var listed []string
	for _, r := range rows {
		if r.Path != "" {
			listed = append(listed, r.Name+" ("+r.Path+")")
		}
	}
	if len(listed) != 2 || !strings.HasPrefix(listed[0], "FLUX.2-klein-4B ("+snapshot) ||
		!strings.HasPrefix(listed[1], "flux-2-klein-4b ("+comfyUI) {
		t.Fatalf("listed %q", listed)
	}
	doctor := mustMake(t, "doctor")
	var window []string
	found, err := models.List(t.Context(), "", os.Getenv)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range found {
		window = append(window, m.Name+" ("+m.Path+")")
	}
	if strings.Join(window, "\n") != strings.Join(listed, "\n") {
		t.Errorf("the window lists %q, the command %q", window, listed)
	}
	for _, row := range listed {
		if !strings.Contains(doctor.out, row) {
			t.Errorf("doctor does not find %s:\n%s", row, doctor.out)
		}
	}
	for _, text := range []string{list.err, doctor.out} {
		if !strings.Contains(text, gone) || !strings.Contains(text, "is a link without a target") ||
			!strings.Contains(text, broken) {
			t.Errorf("a skipped folder is not shown:\n%s", text)
		}
	}
	if !strings.Contains(doctor.out, snapshot+" (diffusers") {
		t.Errorf("doctor uses another model than the first one listed:\n%s", doctor.out)
	}
	for name, path := range map[string]string{
		"FLUX.2-klein-4B": snapshot, "black-forest-labs/FLUX.2-klein-4B": snapshot,
		"flux-2-klein-4b": filepath.Join(comfyUI, "models", "diffusion_models"),
		"~/.cache/huggingface/hub/models--black-forest-labs--FLUX.2-klein-4B": filepath.Dir(filepath.Dir(snapshot)),
		"~/ComfyUI": comfyUI,
	} {
		if got := mustMake(t, "doctor", "-m", name); !strings.Contains(got.out, path) {
			t.Errorf("-m %s does not lead to %s:\n%s", name, path, got.out)
		}
		if got := mustMake(t, "models", "path", name); !strings.HasPrefix(got.out, path) {
			t.Errorf("models path %s: %s, want %s", name, got.out, path)
		}
	}
}
