package tensor

import (
	"encoding/binary"
	"fmt"
	"math"
)

// BF16ToF32 widens a bfloat16; the result is exact.
func BF16ToF32(b uint16) float32 { return math.Float32frombits(uint32(b) << 16) }

// F32ToBF16 rounds to the nearest bfloat16, ties to even, as torch does; a NaN stays a quiet NaN.
func F32ToBF16(f float32) uint16 {
	bits := math.Float32bits(f)
	if bits&0x7fffffff > 0x7f800000 {
		return uint16(bits>>16) | 0x40
	}
	return uint16((bits + 0x7fff + (bits>>16)&1) >> 16)
}

// F16ToF32 widens an IEEE half; the result is exact.
func F16ToF32(h uint16) float32 {
	sign := uint32(h&0x8000) << 16
	exp := uint32(h>>10) & 0x1f
	frac := uint32(h & 0x3ff)
	switch exp {
	case 0: // zero and subnormals: frac · 2^-24
		f := float32(frac) * (1.0 / (1 << 24))
		return math.Float32frombits(math.Float32bits(f) | sign)
	case 0x1f:
		return math.Float32frombits(sign | 0x7f800000 | frac<<13)
	}
	return math.Float32frombits(sign | (exp+112)<<23 | frac<<13)
}

// f8e4m3 holds every value of the 8-bit format with 4 exponent bits (bias 7) and 3 fraction bits, which has
// no infinities: 0x7f and 0xff are NaN (torch.float8_e4m3fn).
var f8e4m3 = func() (table [256]float32) {
	for i := range table {
		exp, frac := i>>3&15, i&7
		v := math.Ldexp(float64(8+frac), exp-10)
		switch {
		case i&0x7f == 0x7f:
			v = math.NaN()
		case exp == 0:
			v = math.Ldexp(float64(frac), -9)
		}
		if i&0x80 != 0 {
			v = math.Copysign(v, -1)
		}
		table[i] = float32(v)
	}
	return table
}()

// F8E4M3ToF32 widens a float8_e4m3fn; the result is exact.
func F8E4M3ToF32(b byte) float32 { return f8e4m3[b] }

// Widen converts len(dst) values of format dtype from src to float32, exactly. src holds at least
// len(dst)·dtype.SizeBytes() bytes; dtype satisfies Float.
func Widen(dst []float32, dtype DType, src []byte) {
	switch dtype {
	case F32:
		for i := range dst {
			dst[i] = math.Float32frombits(binary.LittleEndian.Uint32(src[4*i:]))
		}
	case F16:
		for i := range dst {
			dst[i] = F16ToF32(binary.LittleEndian.Uint16(src[2*i:]))
		}
	case BF16:
		for i := range dst {
			dst[i] = BF16ToF32(binary.LittleEndian.Uint16(src[2*i:]))
		}
	case F8E4M3:
		for i := range dst {
			dst[i] = f8e4m3[src[i]]
		}
	default:
		panic(fmt.Sprintf("tensor: Widen of %v: the loader lets only float formats through", dtype))
	}
}
