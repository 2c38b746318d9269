package inference

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kleinbild/kleinbild/inference/backend"
	"github.com/kleinbild/kleinbild/inference/checkpoint"
	"github.com/kleinbild/kleinbild/inference/checkpoint/gguf/gguftest"
	"github.com/kleinbild/kleinbild/inference/checkpoint/safetensors"
	"github.com/kleinbild/kleinbild/inference/picture"
	"github.com/kleinbild/kleinbild/inference/tensor"
)

// ggufTransformer writes the transformer of single files as GGUF. Matrices are written in Q8_0, or, if widened is set,
// as the float32 values that the Q8_0 blocks mean.
func ggufTransformer(t *testing.T, path, from string, widened bool) {
	t.Helper()
	file, err := checkpoint.OpenTensors(t.Context(), from)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var tensors []gguftest.Tensor
	for _, name := range file.Names() {
		w, err := file.Tensor(name)
		if err != nil {
			t.Fatal(err)
		}
		x := gguftest.Tensor{Name: name, Shape: w.Shape, Kind: gguftest.F32}
		values := w.Float32s()
		if len(w.Shape) == 2 {
			blocks := gguftest.Quantise8(values)
			if !widened {
				x.Kind, x.Data = gguftest.Q8_0, blocks
			} else {
				tensor.Widen(values, tensor.Q8_0, blocks)
			}
		}
		if x.Data == nil {
			x.Data = gguftest.Floats(values)
		}
		tensors = append(tensors, x)
	}
	metadata := []gguftest.Pair{{Key: "general.architecture", Value: "flux"}}
	if err := os.WriteFile(path, gguftest.Bytes(metadata, tensors), 0o600); err != nil {
		t.Fatal(err)
	}
}

// withTransformer returns the spec of the tiny single files with another transformer.
func withTransformer(t *testing.T, path string) string {
	items := strings.Split(tinyModel(t, "single/flux-2-klein-4b.safetensors"), ",")
	items[0] = path
	return strings.Join(items, ",")
}

// velocityOf returns the first velocity of a picture of side×side pixels, with made-up prompt embeds.
func velocityOf(t *testing.T, e *Engine, side int) []float32 {
	t.Helper()
	ctx, b := t.Context(), e.b
	b.Begin(ctx)
	scope := backend.NewScope(b)
	defer scope.Free()
	embeds := make([]float32, 64*e.transformer.Config().ContextDim)
	for i := range embeds {
		embeds[i] = float32(math.Sin(float64(i)))
	}
	matrix := scope.Alloc(64, e.transformer.Config().ContextDim)
	b.Upload(matrix, embeds)
	grid := gridOf(picture.Size{Width: side, Height: side})
	run := e.transformer.NewRun([]backend.Matrix{matrix}, grid, backend.Matrix{}, nil)
	defer run.Free()
	channels := e.transformer.Config().InChannels
	latents := make([]float32, grid.Tokens()*channels)
	for i := range latents {
		latents[i] = float32(math.Cos(float64(3 * i)))
	}
	velocity := scope.AllocAs(grid.Tokens(), channels, tensor.F32)
	run.Velocity(velocity, scope.Upload(grid.Tokens(), channels, latents), 0, 0.7, func(int, int) {})
	have := download(e, velocity)
	if err := b.Sync(); err != nil {
		t.Fatal(err)
	}
	return have
}

// TestQuantisedTransformer computes with weights in Q8_0 and in rotated int8, and with float32 weights that have the
// same values. In float32 the velocities may differ only by the order of sums.
func TestQuantisedTransformer(t *testing.T) {
	dir := t.TempDir()
	from := strings.Split(tinyModel(t, "single/flux-2-klein-4b.safetensors"), ",")[0]
	at := func(name string) string { return filepath.Join(dir, name) }
	ggufTransformer(t, at("q8_0.gguf"), from, false)
	ggufTransformer(t, at("f32.gguf"), from, true)
	rotatedTransformer(t, at("int8.safetensors"), from, false)
	rotatedTransformer(t, at("f32.safetensors"), from, true)
	plain := velocityOf(t, openEngine(t, withTransformer(t, from), DeviceCPU, Float32), 64)
	for _, row := range []struct{ quantised, widened string }{
		{"q8_0.gguf", "f32.gguf"}, {"int8.safetensors", "f32.safetensors"},
	} {
		want := velocityOf(t, openEngine(t, withTransformer(t, at(row.widened)), DeviceCPU, Float32), 64)
		have := velocityOf(t, openEngine(t, withTransformer(t, at(row.quantised)), DeviceCPU, Float32), 64)
		if got := relativeRMS(have, want); !(got <= 1e-5) {
			t.Errorf("%s: relative RMS %.3g with respect to %s, want at most 1e-5", row.quantised, got, row.widened)
		}
		// The rounding to 8 bits itself changes the velocity by about 1 %. More would be a mistake of this test.
		if got := relativeRMS(have, plain); !(got > 1e-4 && got < 5e-2) {
			t.Errorf("%s: relative RMS %.3g with respect to bfloat16, want about 1e-2", row.quantised, got)
		}
	}
}

// rotatedTransformer writes the transformer of single files with matrices in int8, by row and rotated in groups of 64
// or 128 columns, or, if widened is set, with the float32 values that these mean.
func rotatedTransformer(t *testing.T, path, from string, widened bool) {
	t.Helper()
	file, err := checkpoint.OpenTensors(t.Context(), from)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var entries []safetensors.Entry
	add := func(name string, dtype tensor.DType, data []byte, shape ...int) {
		fill := func(dst []byte, first int) error {
			copy(dst, data[first*dtype.SizeBytes():])
			return nil
		}
		entries = append(entries, safetensors.Entry{Name: name, DType: dtype, Shape: shape, Fill: fill})
	}
	for _, name := range file.Names() {
		w, err := file.Tensor(name)
		if err != nil {
			t.Fatal(err)
		}
		values := w.Float32s()
		if len(w.Shape) != 2 {
			add(name, tensor.F32, gguftest.Floats(values), w.Shape...)
			continue
		}
		rows, cols := w.Shape[0], w.Shape[1]
		const group = 64
		tensor.Rotate(values, group)
		quantised, scales := make([]byte, rows*cols), make([]float32, rows)
		for r := range rows {
			row, largest := values[r*cols:(r+1)*cols], 0.0
			for _, v := range row {
				largest = max(largest, math.Abs(float64(v)))
			}
			scales[r] = float32(max(largest/127, 1e-30))
			for i, v := range row {
				q := int8(math.RoundToEven(float64(v / scales[r])))
				quantised[r*cols+i] = byte(q)
				row[i] = float32(q) * scales[r]
			}
		}
		if widened {
			tensor.Rotate(values, group)
			add(name, tensor.F32, gguftest.Floats(values), rows, cols)
			continue
		}
		layer := strings.TrimSuffix(name, ".weight")
		marker := []byte(`{"format":"int8_tensorwise","convrot":true,"convrot_groupsize":64}`)
		add(name, tensor.I8, quantised, rows, cols)
		add(layer+".weight_scale", tensor.F32, gguftest.Floats(scales), rows)
		add(layer+".comfy_quant", tensor.U8, marker, len(marker))
	}
	out, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	if err := safetensors.Write(t.Context(), out, nil, entries, nil); err != nil {
		t.Fatal(err)
	}
}
