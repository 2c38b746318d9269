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
	return peakOf(f, limit)
}

// peakOf returns the highest rate of f, which returns the number of operations that it executes, on all threads.
func peakOf(f func(n int) int, limit time.Duration) float64 {
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

// An Int8Path is an instruction set with which products of int8 are computed. All of them give the same bits. An
// Int8Rate is the speed of one on one thread.
type (
	Int8Path = simd.Int8Path
	Int8Rate = simd.Int8Rate
)

// Int8Paths returns the paths for int8 that this processor has.
func Int8Paths() []Int8Path { return simd.Int8Paths() }

// MeasureInt8 measures the rate of each of Int8Paths, which takes about a millisecond for each.
func MeasureInt8() []Int8Rate { return simd.MeasureInt8() }

// FastestInt8 returns the rate of the fastest path.
func FastestInt8(rates []Int8Rate) Int8Rate { return simd.FastestInt8(rates) }

// ParseInt8Path returns the path for int8 with the given name.
func ParseInt8Path(name string) (Int8Path, error) { return simd.ParseInt8Path(name) }

// UseInt8 makes all backends use path p for int8 until restore is called. It returns an error if the processor lacks
// the path. It must not be called during an operation.
func UseInt8(p Int8Path) (restore func(), err error) { return simd.UseInt8(p) }

// CurrentInt8 returns the current path for int8.
func CurrentInt8() Int8Path { return simd.CurrentInt8() }

// PeakInt8 is like Peak for products of int8.
func PeakInt8(limit time.Duration) float64 { return peakOf(simd.PeakInt8, limit) }

// Current returns the current path.
func Current() Path { return simd.Current() }

// Model returns the name of the processor's model, or "" on systems with only one path.
func Model() string { return simd.Processor() }

// Describe returns the number of threads and the current path, for people.
func Describe() string {
	return fmt.Sprintf("%d threads, %v", runtime.GOMAXPROCS(0), simd.Current())
}
