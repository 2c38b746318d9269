package simd

import (
	"fmt"
	"math"
	"runtime"
	"strings"
	"sync/atomic"
	"time"
	"unsafe"
)

// Int8Path is an instruction set with which products of int8 are computed. All paths give the same bits, since the sums
// are exact integers: the choice is one of speed alone.
type Int8Path uint8

// The paths. A processor can have any of them.
const (
	Int8Generic    Int8Path = iota // plain Go
	Int8AVX2                       // VPMADDWD on int16
	Int8AVX512                     // VPMADDWD on int16, F, BW and VL
	Int8AVXVNNI                    // VPDPBUSD on vectors of 256 bits
	Int8AVX512VNNI                 // VPDPBUSD on vectors of 512 bits
	Int8AMX                        // TDPBSSD
)

var int8Names = [...]string{"generic", "AVX2", "AVX-512", "AVX-VNNI", "AVX512-VNNI", "AMX-INT8"}

// String returns the usual name of the path.
func (p Int8Path) String() string { return int8Names[p] }

// ParseInt8Path returns the path with the given name, ignoring case.
func ParseInt8Path(name string) (Int8Path, error) {
	for p, n := range int8Names {
		if strings.EqualFold(name, n) {
			return Int8Path(p), nil
		}
	}
	return 0, fmt.Errorf("int8 path %q, want one of %s", name, strings.Join(int8Names[:], ", "))
}

// MarshalText returns the result of String.
func (p Int8Path) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText sets p to the result of ParseInt8Path.
func (p *Int8Path) UnmarshalText(text []byte) (err error) {
	*p, err = ParseInt8Path(string(text))
	return err
}

// int8Set holds the kernel of a path and the function that measures its peak.
type int8Set struct {
	path    Int8Path
	kernel  Kernel
	peak    func(n int)
	peakOps int // of a round
}

var currentInt8 atomic.Pointer[int8Set]

// The program starts with the widest path that needs no permission of the system.
func init() {
	for p := range Int8AMX {
		if s := int8SetOf(p); s != nil {
			currentInt8.Store(s)
		}
	}
}

// int8SetOf returns the kernel of a path, or nil if the processor lacks it.
func int8SetOf(p Int8Path) *int8Set {
	if p == Int8Generic {
		return &int8Generic
	}
	return int8SetFor(p)
}

// Int8 returns the kernel of the current path for products of int8 with sums of int32.
func Int8() Kernel { return currentInt8.Load().kernel }

// CurrentInt8 returns the current path.
func CurrentInt8() Int8Path { return currentInt8.Load().path }

// UseInt8 makes path p current and returns a function that restores the previous one. It returns an error if the
// processor lacks p. The path must not change during an operation.
func UseInt8(p Int8Path) (restore func(), err error) {
	s := int8SetOf(p)
	if s == nil {
		return nil, fmt.Errorf("simd: int8 by %v is not supported by this processor or its operating system", p)
	}
	old := currentInt8.Swap(s)
	return func() { currentInt8.Store(old) }, nil
}

// Int8Rate is the rate of a path's products on one thread, with panels in its caches, in operations per second: a
// product and its addition are two.
type Int8Rate struct {
	Path Int8Path
	OPS  float64
}

// Int8Paths returns the paths of this processor.
func Int8Paths() (all []Int8Path) {
	for p := range Int8Path(len(int8Names)) {
		if int8SetOf(p) != nil {
			all = append(all, p)
		}
	}
	return all
}

// MeasureInt8 measures the rate of each of Int8Paths, which takes about a millisecond for each.
func MeasureInt8() []Int8Rate {
	paths := Int8Paths()
	rates, runs := make([]Int8Rate, len(paths)), make([]func() float64, len(paths))
	for i, p := range paths {
		k := int8SetOf(p).kernel
		rates[i].Path, runs[i] = p, k.trial()
	}
	for range rateRounds {
		for i, run := range runs {
			ops, begin := 0.0, time.Now()
			for time.Since(begin) < rateTime {
				ops += run()
			}
			rates[i].OPS = max(rates[i].OPS, ops/time.Since(begin).Seconds())
		}
	}
	return rates
}

// FastestInt8 returns the rate of the fastest path.
func FastestInt8(rates []Int8Rate) Int8Rate {
	best := rates[0]
	for _, r := range rates[1:] {
		if r.OPS > best.OPS {
			best = r
		}
	}
	return best
}

// ClearlyFaster reports whether int8 at a rate is clearly faster than a float path at its rate, so that noise does not
// decide the precision of pictures. It is false if nothing was measured.
func (r Int8Rate) ClearlyFaster(than Rate) bool {
	return than.FLOPS > 0 && r.OPS >= clearlyFaster*than.FLOPS
}

// PeakInt8 executes n rounds of the current path's multiply-adds in registers and returns the number of operations.
func PeakInt8(n int) int {
	s := currentInt8.Load()
	s.peak(n)
	return n * s.peakOps
}

var int8Generic = int8Set{
	path:    Int8Generic,
	kernel:  Kernel{MR: 4, NR: 4, KC: 256, Quads: true, mul: mulInt8Generic, pack: packGeneric},
	peak:    peakInt8Generic,
	peakOps: 8,
}

// peakInt8Generic executes n rounds of the multiply-adds of a quad.
func peakInt8Generic(n int) {
	sum := int32(0)
	for i := range n {
		sum += dotQuad(uint32(i), uint32(sum))
	}
	runtime.KeepAlive(sum)
}

// mulInt8Generic is the micro-kernel of 4×4 results in plain Go.
func mulInt8Generic(k int, a, b, c *float32, ldc, add int) {
	as, bs := unsafe.Slice(a, 4*k), unsafe.Slice(b, 4*k)
	cs := unsafe.Slice(c, 3*ldc/4+4)
	for i := range 4 {
		for j := range 4 {
			sum := int32(0)
			for w := range k {
				sum += dotQuad(math.Float32bits(as[4*w+i]), math.Float32bits(bs[4*w+j]))
			}
			at := i*ldc/4 + j
			if add != 0 {
				sum += int32(math.Float32bits(cs[at]))
			}
			cs[at] = math.Float32frombits(uint32(sum))
		}
	}
}
