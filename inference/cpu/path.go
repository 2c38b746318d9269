package cpu

import (
	"fmt"
	"runtime"
	"sync"
	"time"

	"kleinbild/inference/cpu/simd"
)

// Path is a way to compute products: an instruction set. Rate is what one does on one thread.
type (
	Path = simd.Level
	Rate = simd.Rate
)

// Paths lists the paths that this processor has; the first is the best of float32.
func Paths() []Path { return simd.Paths() }

// Measure times each of Paths: about a millisecond for each.
func Measure() []Rate { return simd.Measure() }

// Fastest is the path to use, given the rates of Paths. It is one of bfloat16 only if that is clearly faster than
// float32.
func Fastest(rates []Rate) Path { return simd.Fastest(rates) }

// ParsePath reads a path's name.
func ParsePath(name string) (Path, error) { return simd.ParseLevel(name) }

// Use makes all backends compute by p, until restore. Until the first call products are of float32. It fails if the
// processor lacks the path, and must not run beside an operation.
func Use(p Path) (restore func(), err error) { return simd.Use(p) }

// Peak returns what the instructions of the path in use can do on all threads at once, in floating-point operations a
// second: products of bfloat16 or of float32, in registers, the best of three times limit. It returns 0 if the path has
// none.
func Peak(bf16 bool, limit time.Duration) float64 {
	f := simd.Peak
	if bf16 {
		f = simd.PeakBF16
	}
	best := 0.0
	for range 3 {
		done := make([]int, runtime.GOMAXPROCS(0))
		var wg sync.WaitGroup
		begin := time.Now()
		for i := range done {
			wg.Go(func() {
				for first := true; first || time.Since(begin) < limit; first = false {
					done[i] += f(1000)
				}
			})
		}
		wg.Wait()
		total := 0.0
		for _, n := range done {
			total += float64(n)
		}
		best = max(best, total/time.Since(begin).Seconds())
	}
	return best
}

// Current is the path in use.
func Current() Path { return simd.Current() }

// Model names the processor's model, "" where there is nothing to choose.
func Model() string { return simd.Processor() }

// Describe names the processor's threads and the path in use.
func Describe() string {
	return fmt.Sprintf("%d threads, %v", runtime.GOMAXPROCS(0), simd.Current())
}
