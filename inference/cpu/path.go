package cpu

import (
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/kleinbild/kleinbild/inference/cpu/simd"
)

// A Path is an instruction set with which products are computed. A Rate is the speed of a path on one thread.
type (
	Path = simd.Level
	Rate = simd.Rate
)

// Paths returns the paths that this processor has. The first is the fastest one for products of float32.
func Paths() []Path { return simd.Paths() }

// Measure measures the rate of each of Paths, which takes about a millisecond for each.
func Measure() []Rate { return simd.Measure() }

// Fastest returns the path to use, given the rates of Paths. It returns a path with products of bfloat16 only if that
// is clearly faster than float32.
func Fastest(rates []Rate) Path { return simd.Fastest(rates) }

// ParsePath returns the path with the given name.
func ParsePath(name string) (Path, error) { return simd.ParseLevel(name) }

// Use makes all backends use path p until restore is called. Before the first call products are float32. Use returns an
// error if the processor lacks the path. It must not be called during an operation.
func Use(p Path) (restore func(), err error) { return simd.Use(p) }

// Peak returns the highest rate of the current path on all threads together, in floating-point operations per second:
// multiply-adds in registers, of bfloat16 or of float32. It measures three times for the time limit and returns the
// best result, or 0 if the path has no products of bfloat16.
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

// Current returns the current path.
func Current() Path { return simd.Current() }

// Model returns the name of the processor's model, or "" on systems with only one path.
func Model() string { return simd.Processor() }

// Describe returns the number of threads and the current path, for people.
func Describe() string {
	return fmt.Sprintf("%d threads, %v", runtime.GOMAXPROCS(0), simd.Current())
}
