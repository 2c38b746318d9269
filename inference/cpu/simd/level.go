// Package simd holds the inner loops of the processor backend: matrix micro-kernels, the packing of their panels, and
// row operations on float32 and bfloat16 slices. Each exists in plain Go and, on amd64, in assembly for AVX2 with FMA
// and for AVX-512. The widest vectors of the processor are used from the start. Products of bfloat16 are used only
// after Use, since their instructions are faster than those of float32 on some processors and slower on others (see
// Measure and Fastest). The package starts no goroutines and knows no matrices larger than a panel. A slice that is too
// short panics.
//
// A bfloat16 is the upper half of a float32, kept in a uint16.
package simd

import (
	"fmt"
	"strings"
	"sync/atomic"
)

//go:generate go run ./gen -part amx -out amx_amd64.s -stubs amx_amd64.go -pkg simd
//go:generate go run ./gen -part blocks -out blocks_amd64.s -stubs blocks_amd64.go -pkg simd
//go:generate go run ./gen -part cpuid -out cpuid_amd64.s -stubs cpuid_amd64.go -pkg simd
//go:generate go run ./gen -part gemm -out gemm_amd64.s -stubs gemm_amd64.go -pkg simd
//go:generate go run ./gen -part int8 -out int8_amd64.s -stubs int8_amd64.go -pkg simd
//go:generate go run ./gen -part pack -out pack_amd64.s -stubs pack_amd64.go -pkg simd
//go:generate go run ./gen -part vector -out vector_amd64.s -stubs vector_amd64.go -pkg simd

// Level is an instruction set for which the kernels are written.
type Level uint8

// The levels. Each includes the ones before it.
const (
	Generic Level = iota // plain Go
	AVX2                 // with FMA and F16C
	AVX512               // F, BW, DQ and VL
	AVX512BF16
	AMX // tiles of bfloat16
)

// Highest is the highest level.
const Highest = AMX

var levelNames = [...]string{"generic", "AVX2", "AVX-512", "AVX512-BF16", "AMX"}

// String returns the usual name of the level.
func (l Level) String() string { return levelNames[l] }

// ParseLevel returns the level with the given name, ignoring case.
func ParseLevel(name string) (Level, error) {
	for l, n := range levelNames {
		if strings.EqualFold(name, n) {
			return Level(l), nil
		}
	}
	return 0, fmt.Errorf("level %q, want one of %s", name, strings.Join(levelNames[:], ", "))
}

// MarshalText returns the result of String.
func (l Level) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// UnmarshalText sets l to the result of ParseLevel.
func (l *Level) UnmarshalText(text []byte) (err error) {
	*l, err = ParseLevel(string(text))
	return err
}

// MultipliesBF16 reports whether the level has instructions for products of bfloat16.
func (l Level) MultipliesBF16() bool { return l >= AVX512BF16 }

// set holds the kernels and functions of a level.
type set struct {
	level     Level
	f32, bf16 Kernel // bf16 is the zero Kernel if the level has no products of bfloat16
	// peak and peakBF16 execute n rounds of multiply-adds; peakFlops and peakBF16Flops are the operations of a round.
	peak          func(n int)
	peakFlops     int
	peakBF16      func(n int)
	peakBF16Flops int
	vector
}

// current is the current set. Use and UseTileModel change it.
var current atomic.Pointer[set]

func init() { current.Store(setOf(widest())) }

// setOf returns the kernels of a level, or nil if the processor lacks it.
func setOf(l Level) *set {
	if l == Generic {
		return &generic
	}
	return setFor(l)
}

// widest returns the highest level of this processor without products of bfloat16.
func widest() Level {
	l := AVX512
	for setOf(l) == nil {
		l--
	}
	return l
}

// Current returns the current level.
func Current() Level { return current.Load().level }

// Use makes level l current and returns a function that restores the previous level. It returns an error if the
// processor lacks l. Levels from AVX-512 on differ only in their products of bfloat16. The level must not change during
// an operation, except between levels from AVX-512 on.
func Use(l Level) (restore func(), err error) {
	s := setOf(l)
	if s == nil {
		return nil, fmt.Errorf("simd: %v is not supported by this processor or its operating system", l)
	}
	old := current.Swap(s)
	return func() { current.Store(old) }, nil
}
