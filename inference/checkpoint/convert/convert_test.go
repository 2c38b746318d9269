package convert

import (
	"context"
	"encoding/binary"
	"errors"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/kleinbild/kleinbild/inference/checkpoint"
	"github.com/kleinbild/kleinbild/inference/checkpoint/synthetic"
	"github.com/kleinbild/kleinbild/inference/tensor"
)

// bounds are the largest relative RMS errors of uniform values, which the synthetic weights are. A step d of the
// largest value gives d/√12 of it, and the RMS of the values is 1/√3 of it, so that the relative error is d/2: 1/127
// for Q8_0, 1/16, 1/8, 1/32, and 2/15 for Q4_K. A float8 has three bits of fraction: its error is at most 1/16 and
// 1/16/√3 on average. ConvRot makes values normal: the largest of 192 or more is about 3σ, and its 127th part the
// step. Each bound is 1.1 times that, for scales that are rounded.
var bounds = map[tensor.DType]float64{
	tensor.Q8_0: 1.1 / 127 / 2, tensor.Q5_0: 1.1 / 16 / 2, tensor.Q4_0: 1.1 / 8 / 2, tensor.Q6_K: 1.1 / 32 / 2,
	tensor.Q4_K: 1.1 * 2 / 15 / 2, tensor.F8E4M3: 1.1 / 16 / 1.73, tensor.I8: 1.1 * 3.3 / 127 / 3.46,
	tensor.BF16: 0, tensor.F32: 0,
}

// TestRoundTrip converts both networks to all kinds, reads the files by their Diffusers names, and compares every value
// with the source.
func TestRoundTrip(t *testing.T) {
	for _, network := range []Network{Transformer, TextEncoder} {
		s := synthetic.TinyDistilled()
		s.TextEncoder = synthetic.NewTextEncoder(28, 256, 2, 1, 288, 600) // 288 is no multiple of 256
		s.Transformer = synthetic.NewTransformer(2, 1, 2, 768)
		dir := filepath.Join(t.TempDir(), "model")
		if err := synthetic.WriteTiny(dir, s); err != nil {
			t.Fatal(err)
		}
		c, err := checkpoint.OpenParts(t.Context(), filepath.Join(dir, "transformer"), false)
		if network == TextEncoder {
			c, err = checkpoint.OpenParts(t.Context(), filepath.Join(dir, "text_encoder"), true)
		}
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		source := component(c, network).Source
		for _, kind := range Kinds {
			path := filepath.Join(t.TempDir(), "x"+kind.Extension())
			last, all := int64(0), int64(0)
			job := Job{Source: source, Network: network, Kind: kind, Weighted: kind.WeightedIsBetter}
			err := Write(t.Context(), path, job, func(done, total int64) {
				if done < last || done > total {
					t.Errorf("progress went from %d to %d of %d", last, done, total)
				}
				last, all = done, total
			})
			if err != nil {
				t.Fatal(err)
			}
			if last != all || all == 0 {
				t.Errorf("%s: progress ended at %d of %d", kind.Name, last, all)
			}
			compare(t, path, network, kind, source)
		}
	}
}

func component(c *checkpoint.Checkpoint, network Network) checkpoint.Component {
	if network == TextEncoder {
		return c.TextEncoder
	}
	return c.Transformer
}

// compare opens the file at path as a network and compares its values with those of source.
func compare(t *testing.T, path string, network Network, kind Kind, source tensor.Source) {
	t.Helper()
	c, err := checkpoint.OpenParts(t.Context(), path, network == TextEncoder)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	have := component(c, network).Source
	if !slices.Equal(have.Names(), source.Names()) {
		t.Fatalf("%s: %d weights, want %d", kind.Name, len(have.Names()), len(source.Names()))
	}
	quantised := 0
	for _, name := range have.Names() {
		h, err := have.Tensor(name)
		if err != nil {
			t.Fatal(err)
		}
		w, err := source.Tensor(name)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(h.Shape, w.Shape) {
			t.Fatalf("%s: %s: shape %v, want %v", kind.Name, name, h.Shape, w.Shape)
		}
		bound, ok := bounds[h.DType]
		if !ok {
			t.Fatalf("%s: %s: %v, want a format of the kind", kind.Name, name, h.DType)
		}
		if bound > 0 {
			quantised++
		}
		var e, sum float64
		x, y := w.Float32s(), h.Float32s()
		for i := range x {
			e += math.Pow(float64(y[i]-x[i]), 2)
			sum += math.Pow(float64(x[i]), 2)
		}
		if r := math.Sqrt(e / sum); !(r <= bound) {
			t.Errorf("%s: %s: relative error %.5f in %v, want at most %.5f", kind.Name, name, r, h.DType, bound)
		}
	}
	if quantised < 8 {
		t.Errorf("%s: %d quantised weights, want those of all blocks", kind.Name, quantised)
	}
}

// TestFormats has the formats of some tensors in the files, as the makers of such files choose them.
func TestFormats(t *testing.T) {
	s := synthetic.TinyDistilled()
	transformer, encoder := sourceOf(t, s, Transformer), sourceOf(t, s, TextEncoder)
	type key struct {
		network Network
		kind    string
	}
	files := map[key]*checkpoint.Tensors{}
	for _, row := range []struct {
		network    Network
		kind, name string
		want       tensor.DType
	}{
		{Transformer, "Q4_K", "img_in.weight", tensor.BF16},
		{Transformer, "Q4_K", "final_layer.adaLN_modulation.1.weight", tensor.BF16},
		{Transformer, "Q4_K", "double_blocks.0.img_attn.norm.query_norm.scale", tensor.F32},
		{Transformer, "Q4_K", "double_stream_modulation_img.lin.weight", tensor.Q4_K},
		{Transformer, "Q4_K", "double_blocks.1.img_attn.qkv.weight", tensor.Q4_K},
		{Transformer, "Q8_0", "single_blocks.0.linear2.weight", tensor.Q8_0},
		{Transformer, "fp8", "single_blocks.0.linear2.weight", tensor.F8E4M3},
		{Transformer, "fp8", "double_stream_modulation_img.lin.weight", tensor.BF16}, // as in the published fp8 files
		{Transformer, "int8", "txt_in.weight", tensor.BF16},
		{Transformer, "int8", "double_blocks.0.txt_mlp.2.weight", tensor.I8},
		{TextEncoder, "Q6_K", "token_embd.weight", tensor.Q8_0}, // rows of 64
		{TextEncoder, "Q4_K", "blk.3.ffn_down.weight", tensor.Q5_0},
		{TextEncoder, "Q4_0", "blk.3.ffn_down.weight", tensor.Q4_0},
		{TextEncoder, "Q4_0", "output_norm.weight", tensor.F32},
		{TextEncoder, "fp8", "model.embed_tokens.weight", tensor.BF16},
		{TextEncoder, "fp8", "model.layers.27.mlp.up_proj.weight", tensor.F8E4M3},
	} {
		source := transformer
		if row.network == TextEncoder {
			source = encoder
		}
		file := key{row.network, row.kind}
		if files[file] == nil {
			files[file] = converted(t, source, row.network, row.kind)
		}
		x, err := files[file].Tensor(row.name)
		if err != nil {
			t.Fatal(err)
		}
		if x.DType != row.want {
			t.Errorf("%s: %s: %v, want %v", row.kind, row.name, x.DType, row.want)
		}
		if row.want == tensor.I8 && (x.Quant == nil || x.Quant.Rotation != 256) {
			t.Errorf("%s: %s: not rotated in groups of 256", row.kind, row.name)
		}
	}
}

func TestGroups(t *testing.T) {
	for row, want := range map[int]int{3072: 256, 9216: 256, 9728: 256, 192: 64, 96: 16, 288: 16, 100: 4, 6: 0} {
		if have := tensor.RotationFor(row); have != want {
			t.Errorf("rows of %d: groups of %d, want %d", row, have, want)
		}
	}
}

// changed is a source in which one weight is another.
type changed struct {
	tensor.Source
	name   string
	change func(tensor.Tensor) tensor.Tensor
}

func (c changed) Tensor(name string) (tensor.Tensor, error) {
	t, err := c.Source.Tensor(name)
	if err == nil && name == c.name {
		t = c.change(t)
	}
	return t, err
}

// TestErrors checks what each error names, and that nothing stays of the file.
func TestErrors(t *testing.T) {
	source := sourceOf(t, synthetic.TinyDistilled(), Transformer)
	withValue := func(bits uint16) func(tensor.Tensor) tensor.Tensor {
		return func(w tensor.Tensor) tensor.Tensor {
			w.Data = slices.Clone(w.Data)
			binary.LittleEndian.PutUint16(w.Data[2*777:], bits)
			return w
		}
	}
	const layer = "transformer_blocks.0.attn.to_k.weight"
	for _, row := range []struct {
		name   string
		kind   string
		change func(tensor.Tensor) tensor.Tensor
		want   []string
	}{
		{"NaN", "Q4_K", withValue(0x7fc0), []string{"value 777 is NaN", ".safetensors", "double_blocks.0.img_attn.qkv"}},
		{"infinity, int8", "int8", withValue(0xff80), []string{"value 777 is -Inf", "to_k"}},
		{"infinity, fp8", "fp8", withValue(0x7f80), []string{"value 777 is +Inf", "to_k"}},
		{"too large for a half", "Q8_0", withValue(0x4800), []string{"value 777 is 131072", "65504"}},
		{
			"float8", "Q8_0",
			func(w tensor.Tensor) tensor.Tensor {
				w.DType = tensor.F8E4M3
				w.Data = w.Data[:len(w.Data)/2]
				return w
			},
			[]string{"is F8_E4M3, want BF16, F16 or F32", "to_k"},
		},
		{
			"scale", "Q8_0", func(w tensor.Tensor) tensor.Tensor { w.Scale = 2; return w },
			[]string{"want BF16, F16 or F32"},
		},
		{
			"other width", "fp8", func(w tensor.Tensor) tensor.Tensor { w.Shape = []int{128, 512}; return w },
			[]string{"to_k", "[128 512]", "stacked"},
		},
		{"no dimension", "fp8", func(w tensor.Tensor) tensor.Tensor { w.Shape = nil; return w }, []string{"shape []"}},
	} {
		kind, err := ParseKind(row.kind)
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		err = Write(t.Context(), filepath.Join(dir, "x"+kind.Extension()),
			Job{Source: changed{source, layer, row.change}, Kind: kind}, nil)
		for _, want := range row.want {
			if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%s: error %v, want one line with %q", row.name, err, want)
			}
		}
		isEmpty(t, dir)
	}
}

func isEmpty(t *testing.T, dir string) {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil || len(list) != 0 {
		t.Errorf("%v stays, want nothing (%v)", list, err)
	}
}

func TestPaths(t *testing.T) {
	source := sourceOf(t, synthetic.TinyDistilled(), Transformer)
	dir := t.TempDir()
	there := filepath.Join(dir, "there.gguf")
	if err := os.WriteFile(there, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	kind, _ := ParseKind("q4_0")
	for path, want := range map[string]string{
		there: "exists already", filepath.Join(dir, "x.safetensors"): "ends in .gguf",
		filepath.Join(dir, "no", "x.gguf"): filepath.Join(dir, "no"), dir + string(filepath.Separator): "missing",
	} {
		err := Write(t.Context(), path, Job{Source: source, Kind: kind}, nil)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one with %q", path, err, want)
		}
	}
	// A file that another program makes meanwhile stays, too.
	late := filepath.Join(dir, "late.gguf")
	err := Write(t.Context(), late, Job{Source: source, Kind: kind}, func(done, total int64) {
		if done == total {
			if err := os.WriteFile(late, []byte("mine"), 0o600); err != nil {
				t.Error(err)
			}
		}
	})
	if !errors.Is(err, ErrExists) {
		t.Errorf("error %v, want %v", err, ErrExists)
	}
	for _, path := range []string{there, late} {
		if text, err := os.ReadFile(path); err != nil || string(text) != "mine" {
			t.Errorf("%s holds %q, want what it held (%v)", path, text, err)
		}
	}
	if list, _ := os.ReadDir(dir); len(list) != 2 {
		t.Errorf("%d files in the folder, want 2", len(list))
	}
}

// TestCancel ends the context in the middle.
func TestCancel(t *testing.T) {
	source := sourceOf(t, synthetic.TinyDistilled(), Transformer)
	for _, kind := range Kinds {
		ctx, cancel := context.WithCancelCause(t.Context())
		stopped, dir := errors.New("stopped"), t.TempDir()
		calls := 0
		err := Write(ctx, filepath.Join(dir, "x"+kind.Extension()), Job{Source: source, Kind: kind},
			func(_, _ int64) {
				if calls++; calls == 3 {
					cancel(stopped)
				}
			})
		if !errors.Is(err, stopped) {
			t.Errorf("%s: error %v, want the cause of the context", kind.Name, err)
		}
		isEmpty(t, dir)
	}
}

// TestMemory converts a transformer of 35 MB and counts all bytes that are allocated meanwhile. A tensor of it has 11
// MB.
func TestMemory(t *testing.T) {
	s := synthetic.TinyDistilled()
	s.Transformer = synthetic.NewTransformer(6, 0, 1, 192)
	source := sourceOf(t, s, Transformer)
	for _, kind := range Kinds {
		path := filepath.Join(t.TempDir(), "x"+kind.Extension())
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		err := Write(t.Context(), path, Job{Source: source, Kind: kind}, nil)
		runtime.ReadMemStats(&after)
		if err != nil {
			t.Fatal(err)
		}
		// Each core has one chunk of a megabyte; the header and the scales of the rows are small.
		limit := uint64(runtime.GOMAXPROCS(0)+1) << 20
		if n := after.TotalAlloc - before.TotalAlloc; n > limit {
			t.Errorf("%s: %d bytes were allocated, want at most %d", kind.Name, n, limit)
		}
	}
}
