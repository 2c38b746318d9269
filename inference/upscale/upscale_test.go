package upscale

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/kleinbild/kleinbild/inference/checkpoint"
	"github.com/kleinbild/kleinbild/inference/cpu"
	"github.com/kleinbild/kleinbild/inference/tensor"
)

// source has tensors of zeros with the given shapes.
type source map[string][]int

func (s source) Names() []string { return slices.Sorted(maps.Keys(s)) }

func (s source) Tensor(name string) (tensor.Tensor, error) {
	shape, ok := s[name]
	if !ok {
		return tensor.Tensor{}, fmt.Errorf("%s: %w", name, tensor.ErrMissing)
	}
	return tensor.Tensor{
		Name: name, DType: tensor.F32, Shape: shape, Scale: 1, Data: make([]byte, 4*tensor.Elements(shape)),
	}, nil
}

// openGolden loads a network of the recordings on the processor, in float32.
func openGolden(t testing.TB, file string) *Network {
	t.Helper()
	src, _, err := checkpoint.ReadUpscaler(t.Context(), filepath.Join("..", "testdata", "golden", "upscale", file))
	if err != nil {
		t.Fatal(err)
	}
	b := cpu.New(tensor.F32)
	t.Cleanup(func() { b.Close() })
	b.Begin(t.Context())
	n, err := New(b, src)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

var goldenFiles = []string{"compact-x2.safetensors", "rrdb-x2plus.safetensors", "span-x2-no-norm.safetensors"}

func TestNewRefuses(t *testing.T) {
	compact := source{"body.0.weight": {8, 3, 3, 3}, "body.0.bias": {8}, "body.1.weight": {8},
		"body.2.weight": {12, 8, 3, 3}, "body.2.bias": {12}}
	with := func(name string, shape ...int) source {
		other := maps.Clone(compact)
		other[name] = shape
		return other
	}
	if _, err := New(cpu.New(tensor.F32), compact); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name string
		src  source
		want string
	}{
		{"nothing", source{}, "no network that enlarges pictures, want SRVGGNetCompact, RRDBNet (ESRGAN) or SPAN"},
		{"SwinIR", source{"layers.0.residual_group.blocks.0.attn.qkv.weight": {1}}, "of the architecture SwinIR, want"},
		{"DAT", source{"layers.0.blocks.0.attn.qkv.weight": {1}}, "of the architecture DAT, want"},
		{"no square", with("body.2.weight", 15, 8, 3, 3), "body.2.weight: 15 outputs, want 3·s²"},
		{"too large a square", with("body.2.weight", 3*81, 8, 3, 3), "243 outputs"},
		{"widths", with("body.2.weight", 12, 9, 3, 3), "body.2.weight: shape [12 9 3 3], want [12 8 3 3]"},
		{"slopes", with("body.1.weight", 7), "body.1.weight: shape [7], want [8]"},
		{"a missing bias", source{"body.0.weight": {12, 3, 3, 3}, "body.1.weight": {1}}, "no network that enlarges"},
		{"old names without an end", source{
			"model.0.weight": {8, 3, 3, 3}, "model.1.sub.0.RDB1.conv1.0.weight": {4, 8, 3, 3},
		}, "without its last layers"},
		{"grey", source{"conv_first.weight": {8, 1, 3, 3}, "body.0.rdb1.conv1.weight": {4, 8, 3, 3}},
			"1 channels of the picture, want 3, 12 or 48"},
		{"a trunk without its end", source{
			"conv_first.weight": {8, 3, 3, 3}, "conv_first.bias": {8}, "body.0.rdb1.conv1.weight": {4, 8, 3, 3},
		}, "tensor is missing"},
		{"a wide SPAN", source{
			"conv_1.sk.weight": {8, 3, 1, 1}, "conv_cat.weight": {1024, 4096, 1, 1}, "upsampler.0.weight": {12, 8, 3, 3},
		}, "1024 channels, want at most 512"},
		{"SPAN without blocks", source{
			"conv_1.sk.weight": {8, 3, 1, 1}, "conv_cat.weight": {8, 32, 1, 1}, "upsampler.0.weight": {12, 8, 3, 3},
		}, "tensor is missing"},
	} {
		if _, err := New(cpu.New(tensor.F32), row.src); err == nil || !strings.Contains(err.Error(), row.want) ||
			!strings.HasPrefix(err.Error(), "upscale: ") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want one line with %q", row.name, err, row.want)
		}
	}
}

// TestNamesOfRRDBNet loads the same network by all names that it was published under.
func TestNamesOfRRDBNet(t *testing.T) {
	path := filepath.Join("..", "testdata", "golden", "upscale", "rrdb-x2plus.safetensors")
	src, _, err := checkpoint.ReadUpscaler(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	pixels := noise(9, 6)
	enlarge := func(src tensor.Source) []float32 {
		t.Helper()
		b := cpu.New(tensor.F32)
		defer b.Close()
		b.Begin(t.Context())
		n, err := New(b, src)
		if err != nil {
			t.Fatal(err)
		}
		got, err := n.Enlarge(t.Context(), pixels, 6, 9, nil)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	want := enlarge(src)
	for release, old := range map[string]*strings.Replacer{
		"first": strings.NewReplacer("conv_first.", "model.0.", "body.0.rdb", "model.1.sub.0.RDB", "conv_body.",
			"model.1.sub.1.", "conv_up1.", "model.3.", "conv_up2.", "model.6.", "conv_hr.", "model.8.", "conv_last.",
			"model.10."),
		"second": strings.NewReplacer("body.0.rdb", "RRDB_trunk.0.RDB", "conv_body.", "trunk_conv.", "conv_up", "upconv",
			"conv_hr.", "HRconv."),
	} {
		r := renamed{src, map[string]string{}}
		for _, name := range src.Names() {
			to := old.Replace(name)
			if release == "first" && strings.Contains(name, ".rdb") {
				at := strings.LastIndex(to, ".")
				to = to[:at] + ".0" + to[at:]
			}
			r.names[to] = name
		}
		if !slices.Equal(enlarge(r), want) {
			t.Errorf("another result by the names of ESRGAN's %s release", release)
		}
	}
}

// TestSmallest enlarges pictures of a few pixels.
func TestSmallest(t *testing.T) {
	for _, file := range goldenFiles {
		n := openGolden(t, file)
		for _, size := range [][2]int{{1, 1}, {1, 2}, {3, 1}, {2, 3}} {
			height, width := size[0], size[1]
			pixels := make([]float32, 3*height*width)
			for i := range pixels {
				pixels[i] = 0.5
			}
			got, err := n.Enlarge(t.Context(), pixels, height, width, nil)
			if err != nil || len(got) != len(pixels)*n.Info().Scale*n.Info().Scale {
				t.Errorf("%s: %d×%d: %d values, %v", file, width, height, len(got), err)
			}
			for _, v := range got {
				if math.IsNaN(float64(v)) {
					t.Fatalf("%s: %d×%d: NaN", file, width, height)
				}
			}
		}
	}
}

// TestReach changes a pixel and looks how far the change goes: as far as Info says at most. Networks whose reach is
// short enough for that to be noticed go as far.
func TestReach(t *testing.T) {
	for _, file := range goldenFiles {
		n := openGolden(t, file)
		info := n.Info()
		side := 2*info.Reach + 9
		pixels := make([]float32, 3*side*side)
		for i := range pixels {
			pixels[i] = float32(i%97) / 97
		}
		enlarge := func() []float32 {
			result, err := n.Enlarge(t.Context(), pixels, side, side, nil)
			if err != nil {
				t.Fatal(err)
			}
			return result
		}
		before := enlarge()
		centre := side / 2
		for c := range 3 {
			pixels[3*(centre*side+centre)+c] += 1e6
		}
		farthest := 0
		for i, v := range enlarge() {
			if v != before[i] {
				x, y := i/3%(side*info.Scale)/info.Scale, i/3/(side*info.Scale)/info.Scale
				farthest = max(farthest, x-centre, centre-x, y-centre, centre-y)
			}
		}
		if farthest > info.Reach || info.Architecture != "RRDBNet" && farthest < info.Reach {
			t.Errorf("%s: a pixel changes others up to %d pixels away, want %d", file, farthest, info.Reach)
		}
	}
}

func TestEnlargeStops(t *testing.T) {
	n := openGolden(t, "rrdb-x2plus.safetensors")
	ctx, cancel := context.WithCancelCause(t.Context())
	n.b.Begin(ctx)
	reason := errors.New("enough")
	calls := 0
	_, err := n.Enlarge(ctx, make([]float32, 3*32*32), 32, 32, func(float64) {
		if calls++; calls == 3 {
			cancel(reason)
		}
	})
	if !errors.Is(err, reason) || calls != 3 {
		t.Errorf("%v after %d calls of progress, want %v after 3", err, calls, reason)
	}
}

// FuzzNew checks that no set of names and shapes makes New panic.
func FuzzNew(f *testing.F) {
	var names []string
	for _, file := range goldenFiles {
		src, _, err := checkpoint.ReadUpscaler(f.Context(), filepath.Join("..", "testdata", "golden", "upscale", file))
		if err != nil {
			f.Fatal(err)
		}
		names = append(names, src.Names()...)
	}
	names = append(names, "model.0.weight", "model.1.sub.0.RDB1.conv1.0.weight", "model.1.sub.1.weight", "model.3.weight",
		"model.6.weight", "model.-1.weight", "model.1.sub.x.weight", "model.1.sub.0.RDB9.conv.0.bias")
	slices.Sort(names)
	names = slices.Compact(names)
	f.Add("body.0.weight 8 3 3 3;body.0.bias 8;body.1.weight 8;body.2.weight 12 8 3 3;body.2.bias 12")
	f.Add("conv_first.weight 8 12 3 3;body.0.rdb1.conv1.weight 4 8 3 3;conv_up1.weight 8 8 3 3")
	f.Add("conv_1.sk.weight 8 3 1 1;conv_cat.weight 8 32 1 1;upsampler.0.weight 12 8 3 3;conv_1.conv.0.weight 6 3 1 1")
	f.Add("model.0.weight 8 3 3 3;model.1.sub.0.RDB1.conv1.0.weight 4 8 3 3;model.3.weight 8;model.6.weight 3")
	f.Fuzz(func(t *testing.T, text string) {
		src := source{}
		for i, part := range strings.Split(text, ";") {
			if i == 64 {
				break
			}
			name, dims, _ := strings.Cut(part, " ")
			if len(name) == 1 { // a number of a name, so that mutations find names
				name = names[int(name[0])%len(names)]
			}
			shape, elements := []int{}, 1
			for _, dim := range strings.Fields(dims) {
				n := 0
				fmt.Sscan(dim, &n)
				n = min(max(n, 0), 256)
				if elements *= max(n, 1); elements > 1<<16 || len(shape) == 5 {
					return
				}
				shape = append(shape, n)
			}
			src[name] = shape
		}
		b := cpu.New(tensor.F32)
		defer b.Close()
		n, err := New(b, src)
		if err == nil && (n.Info().Scale < 1 || n.Info().Work <= 0) {
			t.Errorf("%+v", n.Info())
		}
	})
}
