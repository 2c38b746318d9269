package flux2

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kleinbild/kleinbild/inference/backend"
	"github.com/kleinbild/kleinbild/inference/cpu"
	"github.com/kleinbild/kleinbild/inference/tensor"
)

// BenchmarkCachedReferences measures the steps of a picture with references in their rows, against steps with the
// references' keys and values cached: one double-stream and three single-stream blocks with the widths of the 9B model,
// which has 8 and 24, in bfloat16, 512 tokens of text, and 512×512 pixels for the picture and each reference. It
// compares processor times, on which the load of the machine has little influence. "first" is four plain steps over
// four cached ones and the filling of the cache, "next" is four plain steps over four cached ones.
func BenchmarkCachedReferences(b *testing.B) {
	cfg := defaults()
	cfg.OutChannels, cfg.DoubleBlocks, cfg.SingleBlocks, cfg.Heads, cfg.ContextDim = 128, 1, 3, 32, 12288
	source := of4B(cfg)
	for name, shape := range source.shapes {
		if rest, ok := strings.CutPrefix(name, "single_transformer_blocks.0."); ok {
			for i := 1; i < cfg.SingleBlocks; i++ {
				source.shapes[singleBlockName(i)+rest] = shape
			}
		}
	}
	dev := cpu.New(tensor.BF16)
	defer dev.Close()
	t, err := New(dev, cfg, source)
	if err != nil {
		b.Fatal(err)
	}
	image := Grid{Height: 32, Width: 32}
	n := image.Tokens()
	none := func(int, int) {}
	for _, count := range []int{1, 2, 4} {
		b.Run(fmt.Sprint(count, " references"), func(b *testing.B) {
			dev.Begin(b.Context())
			scope := backend.NewScope(dev)
			defer scope.Free()
			prompt := scope.Upload(512, cfg.ContextDim, make([]float32, 512*cfg.ContextDim))
			latents := scope.Upload(n, cfg.InChannels, make([]float32, n*cfg.InChannels))
			refs := slices.Repeat([]Grid{image}, count)
			refLatents := scope.Upload(count*n, cfg.InChannels, make([]float32, count*n*cfg.InChannels))
			dst := scope.AllocAs(n, cfg.InChannels, tensor.F32)
			rows, cols := cfg.CacheSize(count * n)
			kept := scope.Alloc(rows, cols)
			timed := func(f func()) time.Duration {
				start := processorTime()
				f()
				return processorTime() - start
			}
			step := func(r *Run) time.Duration {
				defer r.Free()
				return timed(func() { r.Velocity(dst, latents, 0, 0.5, none) })
			}
			prompts := []backend.Matrix{prompt}
			var plain, fill, cached []time.Duration
			for b.Loop() {
				fill = append(fill, timed(func() { t.CacheReferences(kept, refLatents, refs, none) }))
				cached = append(cached, step(t.NewCachedRun(prompts, image, kept)))
				plain = append(plain, step(t.NewRun(prompts, image, refLatents, refs)))
			}
			if err := dev.Sync(); err != nil {
				b.Fatal(err)
			}
			p, f, c := slices.Min(plain).Seconds(), slices.Min(fill).Seconds(), slices.Min(cached).Seconds()
			b.ReportMetric(4*p/(f+4*c), "first")
			b.ReportMetric(p/c, "next")
		})
	}
}
