package client

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/adrg/xdg"

	"github.com/kleinbild/kleinbild/inference"
)

// TestLoRAs has a server apply an adapter that it has by name, and refuses what it does not have.
func TestLoRAs(t *testing.T) {
	t.Setenv("XDG_DATA_HOME", t.TempDir())
	t.Setenv("COMFYUI_PATH", t.TempDir())
	xdg.Reload()
	t.Cleanup(xdg.Reload)
	path := filepath.Join(inference.LoRADir(), "style", "dusk.safetensors")
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	for golden, to := range map[string]string{
		"split-qkv": path, "text-encoder-only": filepath.Join(inference.LoRADir(), "bad.safetensors"),
	} {
		file, err := os.ReadFile("../inference/testdata/golden/lora/files/" + golden + ".safetensors")
		if err == nil {
			err = os.WriteFile(to, file, 0o666)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	local := tiny(t, false)
	remote := connect(t, serve(t, local, nil).URL)

	names, err := remote.LoRAs(t.Context())
	if err != nil || len(names) != 3 || names[1] != (inference.NamedLoRA{Name: "style/dusk"}) {
		t.Fatalf("names %v, %v", names, err)
	}
	l, ok := names.Find("DUSK")
	if !ok {
		t.Fatal("not found")
	}
	want, err := local.LoRA(t.Context(), inference.LoRA{Name: l.Name, Path: path})
	if err != nil {
		t.Fatal(err)
	}
	got, err := remote.LoRA(t.Context(), l)
	if err != nil || got.String() != want.String() || got.Digest != want.Digest || got.Kinds != want.Kinds ||
		got.Name != l.Name {
		t.Errorf("described as %+v, %v, want %+v", got, err, want)
	}
	ask := small("a red fox")
	l.Strength, l.Digest = -0.75, want.Digest
	ask.LoRAs = []inference.LoRA{l}
	there, err := remote.Generate(t.Context(), resolve(t, ask, remote), nil)
	if err != nil {
		t.Fatal(err)
	}
	ask.LoRAs = []inference.LoRA{{Name: l.Name, Path: path, Strength: -0.75}}
	here, err := local.Generate(t.Context(), resolve(t, ask, local), nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(there.Metadata.LoRAs) != 1 || !bytes.Equal(fileOf(t, there), fileOf(t, here)) {
		t.Errorf("another file: %v, want %v", there.Metadata.LoRAs, here.Metadata.LoRAs)
	}

	for name, row := range map[string]struct {
		lora inference.LoRA
		want string
	}{
		"a file here":   {inference.LoRA{Path: path, Strength: 1}, "does not have the LoRA file dusk.safetensors"},
		"unknown":       {inference.LoRA{Name: "nope", Strength: 1}, `"nope" is not here`},
		"another file":  {inference.LoRA{Name: "dusk", Strength: 1, Digest: "12"}, "want that with SHA-256 12"},
		"does not fit":  {inference.LoRA{Name: "bad", Strength: 1}, "cannot use the LoRA bad: lora: bad: lora_te1"},
		"no path there": {inference.LoRA{Name: path, Strength: 1}, "is not here"},
	} {
		if _, err := remote.LoRA(t.Context(), row.lora); err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: %v, want %q", name, err, row.want)
		}
		ask.LoRAs = []inference.LoRA{row.lora}
		if _, err := remote.Generate(context.Background(), resolve(t, ask, remote), nil); err == nil {
			t.Errorf("%s: made a picture", name)
		}
	}
}
