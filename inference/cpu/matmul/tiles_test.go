package matmul

import (
	"io"
	"math/rand/v2"
	"runtime"
	"runtime/pprof"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/kleinbild/kleinbild/inference/cpu/simd"
	"github.com/kleinbild/kleinbild/inference/tensor"
)

// TestTilesUnderSignals checks that signals during a product of tiles, and goroutines that move between threads, do not
// change the result. The garbage collector and the profiler send signals while more goroutines than threads compute.
func TestTilesUnderSignals(t *testing.T) {
	restore, err := simd.Use(simd.AMX)
	if err != nil {
		t.Skip(err)
	}
	defer restore()
	r := rand.New(rand.NewPCG(13, 14))
	a, w := randomMatrix(r, 200, 900, true), randomWeight(r, tensor.BF16, 1, 333, 900)
	product := func() []float32 {
		dst := Matrix{Rows: 200, Cols: 333, Stride: 333, F32: make([]float32, 200*333)}
		Linear(nil, dst, a, w, BFloat16, Epilogue{})
		return dst.F32
	}
	want := product()
	if err := pprof.StartCPUProfile(io.Discard); err == nil { // an error means that a profile is being made already
		defer pprof.StopCPUProfile()
	}
	var done atomic.Bool
	var collector, workers sync.WaitGroup
	collector.Go(func() {
		for !done.Load() {
			runtime.GC()
		}
	})
	for range 2 * runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for range 20 {
				if !slices.Equal(product(), want) {
					t.Error("the result of a product changed under signals")
					return
				}
				runtime.Gosched()
			}
		})
	}
	workers.Wait()
	done.Store(true)
	collector.Wait()
}
