package inference

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/kleinbild/kleinbild/inference/checkpoint/safetensors"
	"github.com/kleinbild/kleinbild/inference/checkpoint/synthetic"
	"github.com/kleinbild/kleinbild/inference/cuda"
	"github.com/kleinbild/kleinbild/inference/picture"
	"github.com/kleinbild/kleinbild/inference/tensor"
	"github.com/kleinbild/kleinbild/kernels/cu"
	"github.com/kleinbild/kleinbild/kernels/ptxsim"
)

// kinds is a component whose large matrices have the format that kind returns, or stay as they are if that is Invalid.
// Nobody reads their values.
type kinds struct {
	tensor.Source
	kind func(name string) tensor.DType
}

func (k kinds) Tensor(name string) (tensor.Tensor, error) {
	t, err := k.Source.Tensor(name)
	if dtype := k.kind(name); err == nil && dtype != tensor.Invalid && len(t.Shape) == 2 && t.Data == nil {
		t.DType = dtype
	}
	return t, err
}

// transformerKind returns the kinds of a file of ComfyUI-GGUF's converter: the embedders and the last layer are not
// quantised.
func transformerKind(dtype tensor.DType) func(name string) tensor.DType {
	return func(name string) tensor.DType {
		for _, part := range []string{"embedder", "time_guidance", "norm_out", "proj_out"} {
			if strings.Contains(name, part) {
				return tensor.Invalid
			}
		}
		return dtype
	}
}

// encoderQ4KM returns the kinds of a text encoder of 36 layers in Q4_K_M, after llama.cpp's use_more_bits: the values'
// projection and the last matrix of the MLP have more bits in the first eighth of the layers and in a third of those
// that follow. None of the last eighth is read.
func encoderQ4KM(name string) tensor.DType {
	const layers = 36
	var layer int
	if _, err := fmt.Sscanf(name, "model.layers.%d.", &layer); err != nil {
		return tensor.Q6_K // the embedding
	}
	more := layer < layers/8 || (layer-layers/8)%3 == 2
	if more && (strings.Contains(name, "v_proj") || strings.Contains(name, "down_proj")) {
		return tensor.Q6_K
	}
	return tensor.Q4_K
}

// TestQuantisedModelOnSmallCards plans pictures of a full-size 4B model whose transformer is Q4_K and whose text
// encoder is Q4_K_M, without its weights. All weights stay on a card of 6 GB, with one reference on one of 7 GB. If the
// transformer is Q8_0, they stay on one of 8 GB.
func TestQuantisedModelOnSmallCards(t *testing.T) {
	for _, row := range []struct {
		name       string
		dtype      tensor.DType
		references int
		limit      int64 // bytes
	}{
		{"Q4_K", tensor.Q4_K, 0, 6e9},
		{"Q4_K with a reference", tensor.Q4_K, 1, 7e9},
		{"Q8_0 with a reference", tensor.Q8_0, 1, 8e9},
	} {
		c, err := hollowCheckpoint(synthetic.Full4B(), nil)
		if err != nil {
			t.Fatal(err)
		}
		c.Transformer.Source = kinds{c.Transformer.Source, transformerKind(row.dtype)}
		c.TextEncoder.Source = kinds{c.TextEncoder.Source, encoderQ4KM}
		e, err := newEngine(t.Context(), c, Options{Device: DeviceSim, sim: &cuda.Options{Open: func() (cu.Context, error) {
			return ptxsim.Open(ptxsim.Device{TotalBytes: row.limit}), nil
		}}})
		if err != nil {
			t.Fatal(err)
		}
		ask := Ask{Prompt: "a fox", Size: &picture.Size{Width: 1024, Height: 1024}}
		for i := range row.references {
			ask.References = append(ask.References, reference(t, i, 1024, 1024))
		}
		p := plan(t, e, ask)
		t.Logf("%s: weights %.3f GB, working memory %.3f GB, kept %.3f GB, together %.3f GB", row.name,
			float64(p.WeightsBytes)/1e9, float64(p.ActivationsBytes)/1e9, float64(p.KeptBytes)/1e9, float64(p.PeakBytes)/1e9)
		if all := p.WeightsBytes + p.ActivationsBytes + p.KeptBytes; all > row.limit || p.PeakBytes != all {
			t.Errorf("%s: %d bytes with all weights, peak %d, want at most %d and the same", row.name, all, p.PeakBytes,
				row.limit)
		}
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	}
}

// smallTransformer writes a transformer with one head and one block of each kind, in bfloat16, and returns its path.
func smallTransformer(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "small.safetensors")
	spec := synthetic.TinyDistilled()
	spec.Transformer = synthetic.NewTransformer(1, 1, 1, 3*64)
	transformer, _, _ := spec.SingleFiles()
	out, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	if err := safetensors.Write(t.Context(), out, nil, transformer, nil); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestQuantisedTransformerOnTheDevice computes a velocity on the software device, with weights in Q8_0, which stay in
// their own bytes there, and with float32 weights of the same values, which the host rounds to bfloat16: the bits are
// the same.
func TestQuantisedTransformerOnTheDevice(t *testing.T) {
	dir, from := t.TempDir(), smallTransformer(t)
	var velocities [2][]float32
	var weights [2]int64
	for i, name := range []string{"q8_0.gguf", "f32.gguf"} {
		path := filepath.Join(dir, name)
		ggufTransformer(t, path, from, i == 1)
		e := openEngine(t, withTransformer(t, path), DeviceSim, BF16)
		velocities[i] = velocityOf(t, e, 32)
		weights[i] = plan(t, e, quick("a fox")).WeightsBytes
	}
	if !slices.Equal(velocities[0], velocities[1]) {
		t.Errorf("the velocities differ by %.3g, want the same bits", relativeRMS(velocities[0], velocities[1]))
	}
	if weights[0] >= weights[1] {
		t.Errorf("%d bytes of weights in Q8_0, %d otherwise, want fewer", weights[0], weights[1])
	}
}
