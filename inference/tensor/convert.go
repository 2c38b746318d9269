package tensor

import (
	"encoding/binary"
	"fmt"
	"math"
)

// BF16ToF32 converts the bits of a bfloat16 to float32. The result is exact.
func BF16ToF32(b uint16) float32 { return math.Float32frombits(uint32(b) << 16) }

// F32ToBF16 returns the bits of the bfloat16 nearest to f; ties go to even, as in torch. A NaN gives a quiet NaN.
func F32ToBF16(f float32) uint16 {
	bits := math.Float32bits(f)
	if bits&0x7fffffff > 0x7f800000 {
		return uint16(bits>>16) | 0x40
	}
	return uint16((bits + 0x7fff + (bits>>16)&1) >> 16)
}

// F16ToF32 converts the bits of an IEEE half to float32. The result is exact.
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

// F32ToF16 returns the bits of the IEEE half nearest to f; ties go to even. Magnitudes from 65520 on become infinite. A
// NaN gives a quiet NaN.
func F32ToF16(f float32) uint16 {
	bits := math.Float32bits(f)
	sign, magnitude := uint16(bits>>16&0x8000), bits&0x7fffffff
	switch {
	case magnitude > 0x7f800000:
		return sign | 0x7e00
	case magnitude >= 0x477ff000: // 65520, half-way between the largest half and 2^16
		return sign | 0x7c00
	case magnitude < 0x38800000: // below 2^-14: a multiple of 2^-24
		return sign | uint16(math.RoundToEven(float64(math.Float32frombits(magnitude))*(1<<24)))
	}
	return sign | uint16((magnitude+0xfff+(magnitude>>13)&1)>>13-112<<10)
}

// F32ToF8E4M3 returns the bits of the float8_e4m3fn nearest to f; ties go to even. Magnitudes above 448 become 448, and
// NaN stays NaN.
func F32ToF8E4M3(f float32) byte {
	bits := math.Float32bits(f)
	sign, magnitude := byte(bits>>24&0x80), bits&0x7fffffff
	switch {
	case magnitude > 0x7f800000:
		return sign | 0x7f
	case magnitude >= 0x43e00000: // 448
		return sign | 0x7e
	case magnitude < 0x3c800000: // below 2^-6: a multiple of 2^-9
		return sign | byte(math.RoundToEven(float64(math.Float32frombits(magnitude))*(1<<9)))
	}
	return sign | byte((magnitude+0x7ffff+(magnitude>>20)&1)>>20-120<<3)
}

// f8e4m3 holds the value of every bit pattern of torch.float8_e4m3fn: 4 exponent bits (bias 7) and 3 fraction bits.
// The format has no infinities; 0x7f and 0xff are NaN.
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

// F8E4M3ToF32 converts the bits of a float8_e4m3fn to float32. The result is exact.
func F8E4M3ToF32(b byte) float32 { return f8e4m3[b] }

// F8E5M2ToF32 converts the bits of a float8_e5m2, which are the upper half of an IEEE half, to float32. The result is
// exact.
func F8E5M2ToF32(b byte) float32 { return F16ToF32(uint16(b) << 8) }

// F8E8M0ToF32 returns 2^(b−127), the scale of a block of MX formats. As in the reference, b = 0 gives 0.
func F8E8M0ToF32(b byte) float32 { return math.Float32frombits(uint32(b) << 23) }

// e2m1 holds the values of the 16 codes of float4_e2m1, and e2m1Twice the doubled values, which are integers.
var (
	e2m1      = [16]float32{0, .5, 1, 1.5, 2, 3, 4, 6, 0, -.5, -1, -1.5, -2, -3, -4, -6}
	e2m1Twice = [16]int8{0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12}
)

// Widen converts len(dst) values of format dtype, which are stored in src in little-endian order, to float32: exactly,
// and for a format with scales in its blocks with one rounding for each operation of the reference. len(dst) must be a
// multiple of dtype.BlockValues, and src at least dtype.Bytes(len(dst)) bytes long. Widen panics if dtype.Float() is
// false; Loader.Get refuses such tensors.
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
	case F8E5M2:
		for i := range dst {
			dst[i] = F8E5M2ToF32(src[i])
		}
	case I8:
		for i := range dst {
			dst[i] = float32(int8(src[i]))
		}
	case F4E2M1:
		for i := range len(dst) / 2 {
			dst[2*i], dst[2*i+1] = e2m1[src[i]>>4], e2m1[src[i]&15]
		}
	case F4E2M1Low:
		for i := range len(dst) / 2 {
			dst[2*i], dst[2*i+1] = e2m1[src[i]&15], e2m1[src[i]>>4]
		}
	default:
		widen, values, bytes := blockWidener(dtype), dtype.BlockValues(), dtype.BlockBytes()
		if widen == nil {
			panic(fmt.Sprintf("tensor: Widen: dtype %v, want a format of weights", dtype))
		}
		for ; len(dst) >= values; dst, src = dst[values:], src[bytes:] {
			widen(dst[:values], src[:bytes])
		}
	}
}
