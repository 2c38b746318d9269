package inference

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/kleinbild/kleinbild/inference/checkpoint/safetensors"
)

// writeLoRAFor writes an adapter of a kind for layers of all sorts of a transformer of the given width.
func writeLoRAFor(t *testing.T, hidden int, add func(f *loraFile, module string, rows, cols int)) string {
	t.Helper()
	f := &loraFile{rng: rand.New(rand.NewPCG(11, 7))}
	for _, l := range []struct {
		name       string
		rows, cols int // in units of the width
	}{
		{"double_blocks.0.img_attn.qkv", 3, 1}, {"double_blocks.0.txt_attn.proj", 1, 1}, {"double_blocks.0.img_mlp.0", 6, 1},
		{"double_blocks.0.img_mlp.2", 1, 3}, {"single_blocks.0.linear1", 9, 1}, {"single_blocks.0.linear2", 1, 4},
	} {
		add(f, l.name, l.rows*hidden, l.cols*hidden)
	}
	path := filepath.Join(t.TempDir(), "adapter.safetensors")
	out, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(safetensors.Write(t.Context(), out, nil, f.entries, nil), out.Close()); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestLoRAsOnQuantisedWeights applies adapters to each kind of quantised weights, which stay as they are stored. The
// velocity is that of the weights' values with the adapter merged into them in float32.
func TestLoRAsOnQuantisedWeights(t *testing.T) {
	bases := []string{"fp8-scaled", "fp8-raw", "gguf-mixture", "gguf-both", "int8", "mxfp8", "nvfp4-marker"}
	for _, c := range formatCases(t) {
		if !slices.Contains(bases, c.name) {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			e := openEngine(t, c.model(t, true), DeviceCPU, Float32)
			a := loraTestCase().adapt(t, e)
			defer a.scope.Free()
			noise := a.noise(3)
			const sigma = 0.8
			plain := a.velocity(nil, noise, sigma)
			for _, kind := range loraKinds {
				if !slices.Contains([]string{"LoRA", "DoRA of rows", "DoRA of columns", "LoKr", "difference"}, kind.name) {
					continue
				}
				path := writeLoRAFor(t, e.transformer.Config().Hidden(), kind.add)
				list := []LoRA{{Path: path, Strength: 0.6}}
				have, want := a.velocity(list, noise, sigma), a.mergedVelocity(list, noise, sigma)
				off, moved := relativeRMS(have, want), relativeRMS(want, plain)
				said := fmt.Sprintf("%s: %.2g off, %.2g from the model without adapters", kind.name, off, moved)
				if t.Log(said); !(off <= float32Tolerance/10) || !(moved > 0.01) {
					t.Errorf("%s; want at most %.2g, and more than 0.01", said, float32Tolerance/10)
				}
			}
			if have := a.velocity(nil, noise, sigma); !slices.Equal(have, plain) {
				t.Error("after the adapters the model is another one")
			}
		})
	}
}
