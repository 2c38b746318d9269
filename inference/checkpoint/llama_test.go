package checkpoint

import (
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/kleinbild/kleinbild/inference/checkpoint/gguf/gguftest"
	"github.com/kleinbild/kleinbild/inference/tensor"
)

// nvfp4 is GGUF's number of NVFP4. Its blocks of 64 values take 36 bytes: four scales in e4m3, then two values a byte.
const nvfp4 = 40

// nvfp4Blocks returns blocks of NVFP4 with any codes, and with the scale e4m3 1 for all of them.
func nvfp4Blocks(values int) (data []byte) {
	for block := range values / 64 {
		data = append(data, 0x38, 0x38, 0x38, 0x38)
		for i := range 32 {
			data = append(data, byte(37*(32*block+i)+11))
		}
	}
	return data
}

// encoderWith writes a text encoder in llama.cpp's names whose ffn_up weights are NVFP4, with more tensors, and returns
// its path. The shapes of tiny checkpoints are no multiples of 64, so the text encoder has its own.
func encoderWith(t *testing.T, more ...gguftest.Tensor) string {
	t.Helper()
	const layers, hidden, inner, heads, headDim, vocabulary = 28, 64, 64, 2, 32, 8
	floats := func(n int) []byte {
		values := make([]float32, n)
		for i := range values {
			values[i] = 1
		}
		return gguftest.Floats(values)
	}
	tensors := []gguftest.Tensor{
		{Name: "token_embd.weight", Shape: []int{vocabulary, hidden}, Data: floats(vocabulary * hidden)},
		{Name: "output_norm.weight", Shape: []int{hidden}, Data: floats(hidden)},
	}
	for i := range layers {
		for name, shape := range map[string][]int{
			"attn_norm": {hidden}, "ffn_norm": {hidden}, "attn_q_norm": {headDim}, "attn_k_norm": {headDim},
			"attn_q": {heads * headDim, hidden}, "attn_k": {heads * headDim, hidden}, "attn_v": {heads * headDim, hidden},
			"attn_output": {hidden, heads * headDim}, "ffn_gate": {inner, hidden}, "ffn_up": {inner, hidden},
			"ffn_down": {hidden, inner},
		} {
			x := gguftest.Tensor{
				Name: fmt.Sprintf("blk.%d.%s.weight", i, name), Shape: shape, Data: floats(tensor.Elements(shape)),
			}
			if name == "ffn_up" {
				x.Kind, x.Data = nvfp4, nvfp4Blocks(tensor.Elements(shape))
			}
			tensors = append(tensors, x)
		}
	}
	path := filepath.Join(t.TempDir(), "Qwen3-4B-NVFP4.gguf")
	mustWrite(t, path, string(gguftest.Bytes(nil, append(tensors, more...))))
	return path
}

// TestScalesOfLlama reads NVFP4 weights with the scale that llama.cpp's converter writes beside them, and without one.
func TestScalesOfLlama(t *testing.T) {
	one := func(name string, values ...float32) gguftest.Tensor {
		return gguftest.Tensor{Name: name, Shape: []int{len(values)}, Data: gguftest.Floats(values)}
	}
	c := &Checkpoint{}
	defer c.Close()
	if err := c.addFile(t.Context(), encoderWith(t, one("blk.1.ffn_up.scale", 0.375), one("blk.1.ffn_up.input_scale", 3),
		one("blk.2.attn_q.scale", 0.5), one("output.scale", 2))); err != nil {
		t.Fatal(err)
	}
	values := func(name string) []float32 {
		t.Helper()
		w, err := c.TextEncoder.Source.Tensor(name)
		if err != nil {
			t.Fatal(err)
		}
		return w.Float32s()
	}
	plain, scaled := values("model.layers.0.mlp.up_proj.weight"), values("model.layers.1.mlp.up_proj.weight")
	if slices.Max(plain) == 0 {
		t.Fatal("all weights are 0")
	}
	for i := range plain {
		if scaled[i] != 0.375*plain[i] {
			t.Fatalf("value %d is %v, want 0.375 · %v", i, scaled[i], plain[i])
		}
	}
	if v := values("model.layers.2.self_attn.q_proj.weight"); v[0] != 0.5 {
		t.Errorf("a scale beside a float32 weight: %v, want 0.5", v[0])
	}

	for _, row := range []struct {
		name, want string
		scale      gguftest.Tensor
	}{
		{"two scales", "blk.1.ffn_up.scale: shape [2], want one scale", one("blk.1.ffn_up.scale", 1, 2)},
		{"a scale without a weight", "is a scale without its weight", one("blk.40.ffn_up.scale", 1)},
		{"a scale of 0", "blk.1.ffn_up.scale: ", one("blk.1.ffn_up.scale", 0)},
		{"a scale that is no number", "blk.1.ffn_up.scale: ", one("blk.1.ffn_up.scale", float32(math.NaN()))},
		{"an unknown parameter", "do not belong to", one("blk.1.ffn_up.zero", 1)},
	} {
		c := &Checkpoint{}
		err := c.addFile(t.Context(), encoderWith(t, row.scale))
		if err == nil {
			_, err = c.TextEncoder.Source.Tensor("model.layers.1.mlp.up_proj.weight")
		}
		c.Close()
		if err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: %v, want %q", row.name, err, row.want)
		}
	}
}
