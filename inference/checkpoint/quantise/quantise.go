// Package quantise stores float32 values in the quantised formats of package tensor: in blocks of GGUF's formats, in
// float8 and in int8. It is the opposite of tensor.Widen.
//
// A plain function of GGUF's formats computes scales from the smallest and the largest values. Those of Q4_0, Q5_0 and
// Q8_0 give the same bytes as the reference functions of ggml (quantize_row_*_ref in src/ggml-quants.c), and those of
// Q4_K and Q6_K use the formulas of their formats. A weighted function tries several scales and keeps those with the
// least weighted square error (see search.go). It is slower, and closer to the values.
package quantise

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/kleinbild/kleinbild/inference/tensor"
)

// Largest is the largest magnitude that a block can have: its scale is a half.
const Largest = 65504

// Block stores the values of a block in dst. Their magnitudes are at most Largest. len(src) is the format's number of
// values of a block, and len(dst) its number of bytes.
type Block func(dst []byte, src []float32)

// Blocks returns the function for the blocks of a format, or nil if there is none. weighted is ignored if the format
// has only a plain function (see HasWeighted).
func Blocks(dtype tensor.DType, weighted bool) Block {
	switch dtype {
	case tensor.Q8_0:
		return q8_0
	case tensor.Q5_0:
		return func(dst []byte, src []float32) { q5_0(dst, src, weighted) }
	case tensor.Q4_0:
		return func(dst []byte, src []float32) { q4_0(dst, src, weighted) }
	case tensor.Q4_K:
		return func(dst []byte, src []float32) { q4K(dst, src, weighted) }
	case tensor.Q6_K:
		return func(dst []byte, src []float32) { q6K(dst, src, weighted) }
	}
	return nil
}

// HasWeighted reports whether a format has a weighted function. The 8 bits of Q8_0 leave nothing to search for.
func HasWeighted(dtype tensor.DType) bool {
	return dtype != tensor.Q8_0 && Blocks(dtype, true) != nil
}

// CheckFinite returns an error if a value is NaN or infinite, or its magnitude is over limit. at is the index of the
// first value, for the error.
func CheckFinite(values []float32, limit float32, at int) error {
	for i, v := range values {
		if !(v <= limit && v >= -limit) { // written so that NaN is refused too
			return fmt.Errorf("value %d is %v, want a number of at most ±%v", at+i, v, limit)
		}
	}
	return nil
}

// putHalf stores f as a half at b, and returns the value of the half.
func putHalf(b []byte, f float32) float32 {
	h := tensor.F32ToF16(f)
	binary.LittleEndian.PutUint16(b, h)
	return tensor.F16ToF32(h)
}

// inverse returns 1/f, or 0 if f is 0 or so small that 1/f is infinite.
func inverse(f float32) float32 {
	if max(f, -f) < 0x1p-126 {
		return 0
	}
	return 1 / f
}

// extreme returns the first value of the largest magnitude, with its sign.
func extreme(x []float32) (v float32) {
	largest := float32(0)
	for _, y := range x {
		if m := max(y, -y); m > largest {
			largest, v = m, y
		}
	}
	return v
}

// q8_0 stores 32 values as q·d. The reference rounds halves away from zero.
func q8_0(dst []byte, src []float32) {
	largest := extreme(src)
	d := max(largest, -largest) / 127
	putHalf(dst, d)
	id := inverse(d)
	for i, v := range src {
		q := float64(v * id) // 0.5 can be added exactly
		dst[2+i] = byte(int8(int(q + math.Copysign(0.5, q))))
	}
}

// q4_0 stores 32 values as (q − 8)·d. The value of the largest magnitude becomes −8·d, so that d may be negative.
func q4_0(dst []byte, src []float32, weighted bool) {
	codes, qs := [32]byte{}, dst[2:18]
	putHalf(dst, signed(codes[:], src, 8, weighted))
	for j := range qs {
		qs[j] = codes[j] | codes[j+16]<<4
	}
}

// q5_0 is like q4_0 with a fifth bit.
func q5_0(dst []byte, src []float32, weighted bool) {
	codes, qs := [32]byte{}, dst[6:22]
	putHalf(dst, signed(codes[:], src, 16, weighted))
	high := uint32(0)
	for j := range qs {
		qs[j] = codes[j]&15 | codes[j+16]&15<<4
		high |= uint32(codes[j]>>4)<<j | uint32(codes[j+16]>>4)<<(j+16)
	}
	binary.LittleEndian.PutUint32(dst[2:], high)
}

// signed stores the codes q + half of values x ≈ q·d with −half ≤ q < half, and returns d. As in the reference, a plain
// code is what remains of x/d + half + 0.5 without its fraction, where product and sum are rounded to float32 one after
// the other.
func signed(codes []byte, x []float32, half int, weighted bool) (d float32) {
	if !weighted {
		d = extreme(x) / float32(-half)
		id := inverse(d)
		for i, v := range x {
			codes[i] = byte(min(int(float32(v*id)+(float32(half)+0.5)), 2*half-1))
		}
		return d
	}
	var weights [32]float32
	d = searchScale(x, weigh(weights[:len(x)], x), half)
	id := inverse(tensor.F16ToF32(tensor.F32ToF16(d))) // the codes are those for the scale that is stored
	for i, v := range x {
		codes[i] = byte(clamped(v*id, -half, half-1) + half)
	}
	return d
}
