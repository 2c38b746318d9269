// Package simd holds the inner loops of the CPU backend: matrix micro-kernels, the packing that feeds them, and row
// operations on float32 and bfloat16 slices. Each exists in plain Go and, on amd64, in assembly for AVX2 with FMA and
// for AVX-512. The widest vectors that the processor has are used from the start; products of bfloat16 are used only
// after Use, because their instructions are faster than float32's on some processors and slower on others (Measure,
// Fastest). It knows neither threads nor matrices larger than a panel, and trusts its callers' lengths: a short slice
// panics.
//
// A bfloat16 is the upper half of a float32, kept in a uint16.
package simd

import (
	"fmt"
	"strings"
	"sync/atomic"
)

//go:generate go run ./gen -part amx -out amx_amd64.s -stubs amx_amd64.go -pkg simd
//go:generate go run ./gen -part cpuid -out cpuid_amd64.s -stubs cpuid_amd64.go -pkg simd
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
	AMX // tiles of bfloat16
)

// Highest is the last of the levels.
const Highest = AMX

var levelNames = [...]string{"generic", "AVX2", "AVX-512", "AVX512-BF16", "AMX"}

// String gives the usual name.
func (l Level) String() string { return levelNames[l] }

// ParseLevel reads what String writes, in letters of either case.
func ParseLevel(name string) (Level, error) {
	for l, n := range levelNames {
		if strings.EqualFold(name, n) {
			return Level(l), nil
		}
	}
	return 0, fmt.Errorf("level %q, want one of %s", name, strings.Join(levelNames[:], ", "))
}

// MarshalText writes String.
func (l Level) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// UnmarshalText is ParseLevel.
func (l *Level) UnmarshalText(text []byte) (err error) {
	*l, err = ParseLevel(string(text))
	return err
}

// MultipliesBF16 says whether the level's products of bfloat16 have instructions of their own.
func (l Level) MultipliesBF16() bool { return l >= AVX512BF16 }

// set is what one level offers.
type set struct {
	level     Level
	f32, bf16 Kernel // bf16 is the zero Kernel where the level has no such product
	peak      func(n int)
	peakFlops int // of one round of peak
	peakBF16  func(n int)
	// peakBF16Flops is of one round of peakBF16.
	peakBF16Flops int
	vector
}

// current is the set in use. Only Use changes it.
var current atomic.Pointer[set]

func init() { current.Store(setOf(widest())) }

// setOf returns the kernels of a level, or nil if the processor lacks it.
func setOf(l Level) *set {
	if l == Generic {
		return &generic
	}
	return setFor(l)
}

// widest is the highest level whose products are of float32.
func widest() Level {
	l := AVX512
	for setOf(l) == nil {
		l--
	}
	return l
}

// Current is the level in use.
func Current() Level { return current.Load().level }

// Use switches all kernels to a level and returns the function that switches back. It fails if the processor lacks the
// level. Levels from AVX-512 on differ in their products of bfloat16 only. An operation that is under way must not
// see a change between levels below.
func Use(l Level) (restore func(), err error) {
	s := setOf(l)
	if s == nil {
		return nil, fmt.Errorf("simd: this processor, or the system that runs on it, lacks %v", l)
	}
	old := current.Swap(s)
	return func() { current.Store(old) }, nil
}
