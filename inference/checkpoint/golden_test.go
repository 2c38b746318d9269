package checkpoint

import (
	"bytes"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/kleinbild/kleinbild/inference/goldentest"
	"github.com/kleinbild/kleinbild/inference/tensor"
)

// golden returns the folder of the reference's checkpoints. It skips the test if there is none.
func golden(t *testing.T) string {
	t.Helper()
	single := goldentest.Find(goldentest.Folders(), "models", "single")
	if single == "" {
		t.Skip("no folder of goldens has these checkpoints")
	}
	return filepath.Dir(single)
}

func mustOpen(t *testing.T, spec string) *Checkpoint {
	t.Helper()
	c, err := Open(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func mustTensor(t *testing.T, src tensor.Source, name string) tensor.Tensor {
	t.Helper()
	x, err := src.Tensor(name)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// TestGoldenSingleFilesEqualFolder checks that every weight has the same shape and values in the single files as in the
// Diffusers folder, from which they were converted.
func TestGoldenSingleFilesEqualFolder(t *testing.T) {
	dir := golden(t)
	single := func(name string) string { return filepath.Join(dir, "single", name) }
	want := mustOpen(t, filepath.Join(dir, "distilled"))
	got := mustOpen(t, strings.Join([]string{
		single("qwen_3_4b.safetensors"), single("flux2-vae.safetensors"), " " + single("flux-2-klein-4b.safetensors"),
	}, ","))
	compareSources(t, got.Transformer.Source, want.Transformer.Source)
	compareSources(t, got.VAE.Source, want.VAE.Source)
	compareSources(t, got.TextEncoder.Source, want.TextEncoder.Source)
}

func compareSources(t *testing.T, got, want tensor.Source) {
	t.Helper()
	if !slices.Equal(got.Names(), want.Names()) {
		t.Fatalf("names differ: %d, want %d", len(got.Names()), len(want.Names()))
	}
	for _, name := range want.Names() {
		g, w := mustTensor(t, got, name), mustTensor(t, want, name)
		if !slices.Equal(g.Shape, w.Shape) {
			t.Errorf("%s: shape %v, want %v", name, g.Shape, w.Shape)
		} else if g.DType == w.DType && !bytes.Equal(g.Data, w.Data) {
			t.Errorf("%s: bytes differ", name)
		} else if !slices.Equal(g.Float32s(), w.Float32s()) {
			t.Errorf("%s: values differ", name)
		}
	}
}

// TestGoldenFoldersOpen opens the reference's checkpoints, which include a sharded transformer, a narrow decoder and a
// text encoder in one file, and reads all their weights.
func TestGoldenFoldersOpen(t *testing.T) {
	dir := golden(t)
	for name, distilled := range map[string]bool{"distilled": true, "base": false, "demo": true} {
		c := mustOpen(t, filepath.Join(dir, name))
		if d := c.Index.IsDistilled; c.Name != name || d == nil || *d != distilled {
			t.Errorf("%s: name %q, distilled %v", name, c.Name, d)
		}
		for _, p := range c.components() {
			for _, tensorName := range p.Source.Names() {
				mustTensor(t, p.Source, tensorName)
			}
		}
	}
}
