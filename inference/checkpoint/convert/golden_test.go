package convert

import (
	"bytes"
	"math"
	"path/filepath"
	"testing"

	"github.com/kleinbild/kleinbild/inference/checkpoint"
	"github.com/kleinbild/kleinbild/inference/checkpoint/synthetic"
	"github.com/kleinbild/kleinbild/inference/goldentest"
	"github.com/kleinbild/kleinbild/inference/tensor"
)

// TestGoldenBytes makes the weights of the goldens by their formula, converts them, and compares each quantised tensor
// with that of the golden file, byte by byte. Those files were made by other programs, from plain formulas.
func TestGoldenBytes(t *testing.T) {
	for _, row := range []struct {
		file    string
		context int // the width of the prompt embeds
		prefix  string
		kind    string
		dtype   tensor.DType
		// differ are tensors that the golden has in another spelling of the kind: with another or no rotation, or one
		// scale for all rows.
		differ []string
		want   int // the number of tensors that are compared
	}{
		{"flux-q4_0.gguf", 768, "", "Q4_0", tensor.Q4_0, nil, 13},
		{"sdcpp-q8_0.gguf", 192, "model.diffusion_model.", "Q8_0", tensor.Q8_0, nil, 13},
		{"fp8-scaled.safetensors", 192, "", "fp8", tensor.F8E4M3, nil, 6},
		{"int8.safetensors", 192, "", "int8", tensor.I8, []string{
			"double_blocks.0.img_attn.proj", "double_blocks.0.img_attn.qkv", "double_blocks.0.img_mlp.0",
			"double_blocks.0.txt_mlp.0", "single_blocks.0.linear1",
		}, 5},
	} {
		t.Run(row.kind, func(t *testing.T) {
			file := goldentest.Find(goldentest.Folders(), "formats", "files", row.file)
			if file == "" {
				t.Skip("no folder of goldens has these files")
			}
			golden, err := checkpoint.OpenTensors(t.Context(), file)
			if err != nil {
				t.Fatal(err)
			}
			defer golden.Close()
			s := synthetic.TinyDistilled()
			s.Seed, s.Transformer = 5, synthetic.NewTransformer(1, 1, 1, row.context)
			have := converted(t, sourceOf(t, s, Transformer), Transformer, row.kind)
			compared := 0
			for _, name := range have.Names() {
				h, err := have.Tensor(name)
				if err != nil {
					t.Fatal(err)
				}
				w, err := golden.Tensor(row.prefix + name)
				if err != nil {
					t.Fatal(err)
				}
				differs := false
				for _, layer := range row.differ {
					differs = differs || name == layer+".weight"
				}
				if h.DType != row.dtype || w.DType != row.dtype || differs {
					continue
				}
				compared++
				if !bytes.Equal(h.Data, w.Data) || h.Scale != w.Scale {
					t.Errorf("%s: other bytes than the golden's, or the scale %v, want %v", name, h.Scale, w.Scale)
				}
				if h.Quant != nil {
					for i, v := range h.Quant.Rows {
						// The golden's rotation is a sum in float64, ours one in float32 in eight stages.
						if !(math.Abs(float64(v/w.Quant.Rows[i]-1)) < 5e-7) {
							t.Fatalf("%s: the scale of row %d is %v, want %v", name, i, v, w.Quant.Rows[i])
						}
					}
				}
			}
			if compared != row.want {
				t.Errorf("%d tensors were compared, want %d", compared, row.want)
			}
		})
	}
}

// sourceOf writes a synthetic checkpoint and returns the weights of a network.
func sourceOf(t *testing.T, s synthetic.Spec, network Network) tensor.Source {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "model")
	if err := synthetic.WriteTiny(dir, s); err != nil {
		t.Fatal(err)
	}
	c, err := checkpoint.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if network == TextEncoder {
		return c.TextEncoder.Source
	}
	return c.Transformer.Source
}

// converted writes a file of the given kind and opens it.
func converted(t *testing.T, source tensor.Source, network Network, name string) *checkpoint.Tensors {
	t.Helper()
	kind, err := ParseKind(name)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "x"+kind.Extension())
	if err := Write(t.Context(), path, Job{Source: source, Network: network, Kind: kind}, nil); err != nil {
		t.Fatal(err)
	}
	file, err := checkpoint.OpenTensors(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	return file
}
