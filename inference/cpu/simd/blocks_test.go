package simd

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
	"unsafe"

	"github.com/kleinbild/kleinbild/inference/tensor"
)

// same reports whether two values are equal or both NaN.
func same(a, b float32) bool { return a == b || a != a && b != b }

// TestWidenBlocks converts random bytes of every format, which include infinite and NaN scales, and compares with plain
// Go: to the bit.
func TestWidenBlocks(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	eachLevel(t, func(t *testing.T) {
		for dtype := tensor.Q4_0; dtype <= tensor.F4E2M1; dtype++ {
			for _, blocks := range []int{0, 1, 2, 7, 300} {
				n := blocks * dtype.BlockValues()
				src := make([]byte, dtype.Bytes(n))
				for i := range src {
					src[i] = byte(r.Uint32())
				}
				have, want := make([]float32, n+1), make([]float32, n)
				have[n] = 7
				Widen(have[:n], dtype, src)
				tensor.Widen(want, dtype, src)
				for i := range want {
					if !same(have[i], want[i]) {
						t.Fatalf("%v, value %d of %d: %v, want %v", dtype, i, n, have[i], want[i])
					}
				}
				if have[n] != 7 {
					t.Fatalf("%v: wrote behind %d values", dtype, n)
				}
			}
		}
	})
}

func TestScales(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	eachLevel(t, func(t *testing.T) {
		for _, n := range []int{1, 5, 8, 16, 33, 160} {
			bytes, a := make([]byte, 512*n), random(r, n)
			for i := range bytes {
				bytes[i] = byte(r.Uint32())
			}
			have := make([]float32, n)
			ScaleI8(have, bytes, 0.37)
			for i, v := range have {
				if want := float32(int8(bytes[i])) * 0.37; v != want {
					t.Fatalf("ScaleI8 of %d: value %d is %v, want %v", n, i, v, want)
				}
			}
			b := random(r, n)
			Multiply(have, a, b)
			for i, v := range have {
				if want := a[i] * b[i]; v != want {
					t.Fatalf("Multiply of %d: value %d is %v, want %v", n, i, v, want)
				}
			}
			scales := make([]float32, 4*n)
			SwizzledF8E4M3(scales, bytes, 0.3)
			for i, v := range scales {
				if want := tensor.F8E4M3ToF32(bytes[i/4*512+i%4]) * 0.3; !same(v, want) {
					t.Fatalf("SwizzledF8E4M3: scale %d is %v, want %v", i, v, want)
				}
			}
			values, wide := make([]float32, 16*n), make([]float32, 16*n)
			for dtype, low := range map[tensor.DType]bool{tensor.F4E2M1: false, tensor.F4E2M1Low: true} {
				WidenNVFP4(values, bytes, a, low)
				tensor.Widen(wide, dtype, bytes)
				for i, v := range values {
					if want := wide[i] * a[i/16]; v != want {
						t.Fatalf("WidenNVFP4 of %v: value %d is %v, want %v", dtype, i, v, want)
					}
				}
			}
			for _, width := range []int{3, 16, 32, 128} {
				values := random(r, n*width)
				want := slices.Clone(values)
				for i := range want {
					want[i] *= a[i/width]
				}
				if ScaleBlocks(values, a); !slices.Equal(values, want) {
					t.Fatalf("ScaleBlocks of %d blocks of %d: another result than plain multiplications", n, width)
				}
			}
		}
	})
}

func TestRotate(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	eachLevel(t, func(t *testing.T) {
		for _, group := range []int{0, 1, 4, 16, 64, 256, 1024} {
			have := random(r, 3*max(group, 1))
			want := slices.Clone(have)
			tensor.Rotate(want, group)
			Rotate(have, group)
			for i, v := range have {
				if d := math.Abs(float64(v - want[i])); !(d < 1e-6*math.Sqrt(float64(max(group, 1)))) {
					t.Fatalf("group %d: value %d is %v, want %v", group, i, v, want[i])
				}
			}
		}
	})
}

// touch reads a byte of each line of src, as fast as one core reads memory.
func touch(src []byte) (sum uint64) {
	for i := 0; i < len(src); i += 64 {
		sum += uint64(src[i])
	}
	return sum
}

var sink uint64

// BenchmarkWiden converts weights from memory into a buffer of the size of a panel's rows. It reports the rate at which
// bytes are read, its share of the bandwidth at which one core reads memory, and the rate of values. Conversions and
// plain reads take turns over the same memory, and the best turn of each counts, so that other programs disturb less.
func BenchmarkWiden(b *testing.B) {
	const values = 256 << 20
	const part = 3072
	src := make([]byte, 2*values)
	r := rand.New(rand.NewPCG(9, 10))
	for i := 0; i+8 <= len(src); i += 8 {
		v := r.Uint64() & 0x3f3f3f3f3f3f3f3f // no infinite scales, which some processors multiply slowly
		for j := range 8 {
			src[i+j] = byte(v >> (8 * j))
		}
	}
	scales := make([]byte, part/64*512)
	for i := range scales {
		scales[i] = 0x38
	}
	dst, wide := make([]float32, part), make([]float32, part/16)
	direct := func(dtype tensor.DType) func(src []byte) {
		return func(src []byte) { Widen(dst, dtype, src) }
	}
	for _, row := range []struct {
		name  string
		bytes int // read for a part
		widen func(src []byte)
	}{
		{"BF16", 2 * part, nil},
		{"Q8_0", tensor.Q8_0.Bytes(part), direct(tensor.Q8_0)},
		{"Q4_0", tensor.Q4_0.Bytes(part), direct(tensor.Q4_0)},
		{"Q4_K", tensor.Q4_K.Bytes(part), direct(tensor.Q4_K)},
		{"Q5_K", tensor.Q5_K.Bytes(part), direct(tensor.Q5_K)},
		{"Q6_K", tensor.Q6_K.Bytes(part), direct(tensor.Q6_K)},
		{"Q2_K", tensor.Q2_K.Bytes(part), direct(tensor.Q2_K)},
		{"Q3_K", tensor.Q3_K.Bytes(part), direct(tensor.Q3_K)},
		{"Q4_1", tensor.Q4_1.Bytes(part), direct(tensor.Q4_1)},
		{"Q5_0", tensor.Q5_0.Bytes(part), direct(tensor.Q5_0)},
		{"Q5_1", tensor.Q5_1.Bytes(part), direct(tensor.Q5_1)},
		{"IQ4_NL", tensor.IQ4_NL.Bytes(part), direct(tensor.IQ4_NL)},
		{"IQ4_XS", tensor.IQ4_XS.Bytes(part), direct(tensor.IQ4_XS)},
		{"MXFP4", tensor.MXFP4.Bytes(part), direct(tensor.MXFP4)},
		{"nvfp4", part/2 + part/16, func(src []byte) {
			SwizzledF8E4M3(wide, scales, 0.01)
			WidenNVFP4(dst, src, wide, false)
		}},
		{"int8", part, func(src []byte) { ScaleI8(dst, src, 0.01) }},
		{"fp8", part, func(src []byte) { WidenF8E4M3(dst, src) }},
	} {
		b.Run(row.name, func(b *testing.B) {
			if row.widen == nil {
				row.widen = func(src []byte) { WidenBF16(dst, wordsOf(src, part)) }
			}
			const turn = 2 << 20
			best, reads := 0.0, 0.0
			for at := 0; b.Loop(); at += turn {
				if at+turn > len(src) {
					at = 0
				}
				// Half of the memory, far from what is converted, is read; neither is in the caches of the core.
				far := src[(at+len(src)/2)%len(src):][:turn]
				begin := time.Now()
				sink += touch(far)
				reads = max(reads, turn/time.Since(begin).Seconds())
				begin = time.Now()
				n := 0
				for ; n+row.bytes <= turn; n += row.bytes {
					row.widen(src[at+n : at+n+row.bytes])
				}
				best = max(best, float64(n)/time.Since(begin).Seconds())
			}
			b.ReportMetric(best*1e-9, "GB/s")
			b.ReportMetric(100*best/reads, "%bandwidth")
			b.ReportMetric(best/float64(row.bytes)*part*1e-9, "Gvalues/s")
		})
	}
}

// wordsOf returns n bfloat16 values at src, which is aligned.
func wordsOf(src []byte, n int) []uint16 {
	return unsafe.Slice((*uint16)(unsafe.Pointer(unsafe.SliceData(src))), n)
}

// BenchmarkRotate rotates rows of activations.
func BenchmarkRotate(b *testing.B) {
	x := make([]float32, 3072)
	n := 0
	for b.Loop() {
		Rotate(x, 256)
		n++
	}
	b.ReportMetric(b.Elapsed().Seconds()*1e9/float64(n*len(x)), "ns/value")
}
