package flux2

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kleinbild/kleinbild/inference/backend"
	"github.com/kleinbild/kleinbild/inference/cpu"
	"github.com/kleinbild/kleinbild/inference/tensor"
)

// formula is a source of weights of any size in bfloat16, whose values repeat.
type formula struct{ shapes map[string][]int }

func (f formula) Names() []string { return nil }

func (f formula) Tensor(name string) (tensor.Tensor, error) {
	shape, ok := f.shapes[name]
	if !ok {
		return tensor.Tensor{}, fmt.Errorf("%s: %w", name, tensor.ErrMissing)
	}
	data := make([]byte, 2*tensor.Elements(shape))
	t := tensor.Tensor{Name: name, DType: tensor.BF16, Shape: shape, Scale: 1, Data: data}
	for i := range len(t.Data) / 2 {
		v := tensor.F32ToBF16(float32(i%251-125) / 8000)
		t.Data[2*i], t.Data[2*i+1] = byte(v), byte(v>>8)
	}
	return t, nil
}

// of4B returns the source of a transformer with the widths of the 4B model and one block of each kind.
func of4B(cfg Config) formula {
	d, mlp := cfg.Hidden(), cfg.MLPHidden()
	s := map[string][]int{
		"context_embedder.weight": {d, cfg.ContextDim}, "x_embedder.weight": {d, cfg.InChannels},
		"time_guidance_embed.timestep_embedder.linear_1.weight": {d, cfg.TimeChannels},
		"time_guidance_embed.timestep_embedder.linear_2.weight": {d, d},
		"double_stream_modulation_img.linear.weight":            {6 * d, d},
		"double_stream_modulation_txt.linear.weight":            {6 * d, d},
		"single_stream_modulation.linear.weight":                {3 * d, d},
		"norm_out.linear.weight":                                {2 * d, d}, "proj_out.weight": {cfg.OutChannels, d},
		"single_transformer_blocks.0.attn.to_qkv_mlp_proj.weight": {3*d + 2*mlp, d},
		"single_transformer_blocks.0.attn.to_out.weight":          {d, d + mlp},
		"single_transformer_blocks.0.attn.norm_q.weight":          {cfg.HeadDim},
		"single_transformer_blocks.0.attn.norm_k.weight":          {cfg.HeadDim},
	}
	for _, name := range []string{"to_q", "to_k", "to_v", "to_out.0", "add_q_proj", "add_k_proj", "add_v_proj",
		"to_add_out"} {
		s["transformer_blocks.0.attn."+name+".weight"] = []int{d, d}
	}
	for _, name := range []string{"norm_q", "norm_k", "norm_added_q", "norm_added_k"} {
		s["transformer_blocks.0.attn."+name+".weight"] = []int{cfg.HeadDim}
	}
	for _, name := range []string{"ff", "ff_context"} {
		s["transformer_blocks.0."+name+".linear_in.weight"] = []int{2 * mlp, d}
		s["transformer_blocks.0."+name+".linear_out.weight"] = []int{d, mlp}
	}
	return formula{s}
}

// BenchmarkAdapters measures what adapters of all layers of the blocks add to a step: one block of each kind with the
// widths of the 4B model, 512 tokens of text and 1024 of a picture of 512×512. It compares processor times, on which
// the load of the machine has little influence, of steps with and without adapters in turn.
func BenchmarkAdapters(b *testing.B) {
	cfg := defaults()
	cfg.OutChannels, cfg.DoubleBlocks, cfg.SingleBlocks, cfg.Heads, cfg.ContextDim = 128, 1, 1, 24, 7680
	source := of4B(cfg)
	for _, activation := range []tensor.DType{tensor.F32, tensor.BF16} {
		dev := cpu.New(activation)
		t, err := New(dev, cfg, source)
		if err != nil {
			b.Fatal(err)
		}
		for _, kind := range []struct {
			name   string
			change func(c *Change)
		}{
			{"rank 32", func(c *Change) {
				c.Rank, c.A, c.B = 32, make([]float32, 32*c.Cols), make([]float32, 32*(c.To-c.From))
			}},
			{"LoKr 16", func(c *Change) {
				c.P1, c.Q1, c.P2, c.Q2 = 16, 16, (c.To-c.From)/16, c.Cols/16
				c.W1, c.W2 = make([]float32, 256), make([]float32, c.P2*c.Q2)
			}},
		} {
			b.Run(fmt.Sprint(activation, " ", kind.name), func(b *testing.B) {
				dev.Begin(b.Context())
				a := t.NewAdapters()
				for name, shape := range t.shapes {
					if strings.Contains(name, "transformer_blocks.") {
						c := Change{Weight: name, To: shape[0], Cols: shape[1], Source: name}
						kind.change(&c)
						if err := a.Add(c, 1); err != nil {
							b.Fatal(err)
						}
					}
				}
				if len(a.layers) != 14 {
					b.Fatalf("%d layers, want all of the two blocks", len(a.layers))
				}
				a.Finish()
				defer a.Free()
				scope := backend.NewScope(dev)
				defer scope.Free()
				grid := Grid{Height: 32, Width: 32}
				prompt := scope.Upload(512, cfg.ContextDim, make([]float32, 512*cfg.ContextDim))
				latents := scope.Upload(grid.Tokens(), cfg.InChannels, make([]float32, grid.Tokens()*cfg.InChannels))
				dst := scope.AllocAs(grid.Tokens(), cfg.InChannels, tensor.F32)
				step := func(with *Adapters) time.Duration {
					t.Adapt(with)
					r := t.NewRun([]backend.Matrix{prompt}, grid, backend.Matrix{}, nil)
					defer r.Free()
					start := processorTime()
					r.Velocity(dst, latents, 0, 0.5, func(int, int) {})
					return processorTime() - start
				}
				step(a)
				var plain, adapted []time.Duration
				for b.Loop() {
					plain, adapted = append(plain, step(nil)), append(adapted, step(a))
				}
				b.ReportMetric(100*(float64(slices.Min(adapted))/float64(slices.Min(plain))-1), "%_of_a_step")
			})
		}
		if err := dev.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

// processorTime returns the processor time that this process has used.
func processorTime() time.Duration {
	var usage unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_SELF, &usage)
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// joining is a processor that claims to join matrices beside weights.
type joining struct{ backend.Backend }

func (joining) JoinsBeside() bool { return true }

// TestAdapterValuesLetGo checks that the values of an adapter of a low rank stay in the host's memory only where they
// may come to stand beside the weight, and until Finish.
func TestAdapterValuesLetGo(t *testing.T) {
	cfg := defaults()
	cfg.OutChannels, cfg.DoubleBlocks, cfg.SingleBlocks, cfg.Heads, cfg.ContextDim = 128, 1, 1, 1, 128
	plain := cpu.New(tensor.F32)
	defer plain.Close()
	const listed, unlisted = "transformer_blocks.0.attn.to_q", "x_embedder" // in Transformer.ranges
	for _, row := range []struct {
		name, weight string
		b            backend.Backend
		kept         bool
	}{
		{"processor", listed, plain, false},
		{"joining", listed, joining{plain}, true},
		{"joining, a weight without ranges", unlisted, joining{plain}, false},
	} {
		tr, err := New(row.b, cfg, of4B(cfg))
		if err != nil {
			t.Fatal(err)
		}
		rows, cols, ok := tr.Layer(row.weight)
		if !ok {
			t.Fatalf("%s: no %s", row.name, row.weight)
		}
		row.b.Begin(t.Context())
		a := tr.NewAdapters()
		c := Change{Weight: row.weight, To: rows, Cols: cols, Source: "x", Rank: 3}
		c.A, c.B = make([]float32, 3*cols), make([]float32, 3*rows)
		if err := a.Add(c, 0.5); err != nil {
			t.Fatal(err)
		}
		term := &a.layers[row.weight].terms[0]
		if kept := term.downValues != nil && term.upValues != nil; kept != row.kept || kept == (term.a.Buffer != nil) {
			t.Errorf("%s: values are kept: %v, want %v, or else their matrices", row.name, kept, row.kept)
		}
		a.Finish()
		if term.downValues != nil || term.upValues != nil || row.kept != (len(a.beside) > 0) {
			t.Errorf("%s: values after Finish, or %d weights joined", row.name, len(a.beside))
		}
		a.Free()
	}
}
