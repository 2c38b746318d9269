// Package simd holds the inner loops of the CPU backend: matrix micro-kernels, the packing that feeds them, and
// row operations on float32 and bfloat16 slices. Each exists in plain Go and, on amd64, in assembly for AVX2 with
// FMA and for AVX-512; the best that the processor runs is chosen when the program starts. It knows neither
// threads nor matrices larger than a panel, and trusts its callers' lengths: a short slice panics.
//
// A bfloat16 is the upper half of a float32, kept in a uint16.
package simd

import "fmt"

//go:generate go run ./gen -part gemm -out gemm_amd64.s -stubs gemm_amd64.go -pkg simd
//go:generate go run ./gen -part pack -out pack_amd64.s -stubs pack_amd64.go -pkg simd
//go:generate go run ./gen -part vector -out vector_amd64.s -stubs vector_amd64.go -pkg simd

// Level names an instruction set that the kernels are written for.
type Level uint8

// The levels, each including those before it.
const (
	Generic Level = iota // plain Go
	AVX2                 // with FMA and F16C
	AVX512               // F, BW, DQ and VL
	AVX512BF16
)

// String gives the usual name.
func (l Level) String() string {
	return [...]string{"generic", "AVX2", "AVX-512", "AVX512-BF16"}[l]
}

// set is what one level offers.
type set struct {
	level     Level
	f32, bf16 Kernel // bf16.mul is nil where the processor has no such product
	peak      func(n int)
	peakFlops int // of one round of peak
	peakBF16  func(n int)
	vector
}

var current = best()

func best() *set {
	for l := AVX512BF16; l > Generic; l-- {
		if s := setFor(l); s != nil {
			return s
		}
	}
	return &generic
}

// Current is the level in use.
func Current() Level { return current.level }

// Use switches all kernels to a lower level than the processor's best, for tests and benchmarks, and returns the function that
// switches back. It fails where the processor lacks the level, and must not run beside other calls of this package.
func Use(l Level) (restore func(), err error) {
	s := &generic
	if l != Generic {
		s = setFor(l)
	}
	if s == nil {
		return nil, fmt.Errorf("simd: level %v: this processor has %v", l, best().level)
	}
	old := current
	current = s
	return func() { current = old }, nil
}
