package tensor

import (
	"encoding/binary"
	"math"
)

// This file and kquants.go convert the blocks of GGUF's formats to float32, after the dequantize_row functions of
// ggml's src/ggml-quants.c. A product of a quantised value and its scales has at most 24 significant bits, so that only
// the addition of a minimum rounds. lo and hi in comments are the lower and the upper four bits of a byte.

// blockWidener returns the function that converts a block of format dtype, or nil if the format has no blocks.
func blockWidener(dtype DType) func(dst []float32, block []byte) {
	switch dtype {
	case Q4_0:
		return widenQ4_0
	case Q4_1:
		return widenQ4_1
	case Q5_0:
		return widenQ5_0
	case Q5_1:
		return widenQ5_1
	case Q8_0:
		return widenQ8_0
	case Q2_K:
		return widenQ2K
	case Q3_K:
		return widenQ3K
	case Q4_K:
		return widenQ4K
	case Q5_K:
		return widenQ5K
	case Q6_K:
		return widenQ6K
	case IQ4_NL:
		return widenIQ4NL
	case IQ4_XS:
		return widenIQ4XS
	case MXFP4:
		return widenMXFP4
	case NVFP4:
		return widenNVFP4
	}
	return nil
}

// half returns the IEEE half at b.
func half(b []byte) float32 { return F16ToF32(binary.LittleEndian.Uint16(b)) }

// widenQ4_0 converts 32 values (q − 8)·d. The block is d (half) and 16 bytes, whose lo are values 0 to 15 and whose hi
// are values 16 to 31. All formats with blocks of 32 have this order.
func widenQ4_0(dst []float32, b []byte) {
	d, qs := half(b), b[2:18]
	for j, q := range qs {
		dst[j], dst[j+16] = float32(int(q&15)-8)*d, float32(int(q>>4)-8)*d
	}
}

// widenQ4_1 converts 32 values q·d + m. The block is d, m (halves) and 16 bytes.
func widenQ4_1(dst []float32, b []byte) {
	d, m, qs := half(b), half(b[2:]), b[4:20]
	for j, q := range qs {
		dst[j], dst[j+16] = float32(q&15)*d+m, float32(q>>4)*d+m
	}
}

// widenQ5_0 converts 32 values (q − 16)·d. The block is d, 32 fifth bits, and 16 bytes.
func widenQ5_0(dst []float32, b []byte) {
	d, high, qs := half(b), binary.LittleEndian.Uint32(b[2:]), b[6:22]
	for j, q := range qs {
		lo := int(q&15) | int(high>>j&1)<<4
		hi := int(q>>4) | int(high>>(j+16)&1)<<4
		dst[j], dst[j+16] = float32(lo-16)*d, float32(hi-16)*d
	}
}

// widenQ5_1 converts 32 values q·d + m. The block is d, m, 32 fifth bits, and 16 bytes.
func widenQ5_1(dst []float32, b []byte) {
	d, m, high, qs := half(b), half(b[2:]), binary.LittleEndian.Uint32(b[4:]), b[8:24]
	for j, q := range qs {
		lo := int(q&15) | int(high>>j&1)<<4
		hi := int(q>>4) | int(high>>(j+16)&1)<<4
		dst[j], dst[j+16] = float32(lo)*d+m, float32(hi)*d+m
	}
}

// widenQ8_0 converts 32 values q·d. The block is d and 32 signed bytes.
func widenQ8_0(dst []float32, b []byte) {
	d := half(b)
	for j, q := range b[2:34] {
		dst[j] = float32(int8(q)) * d
	}
}

// iq4 is the table of IQ4_NL and IQ4_XS.
var iq4 = [16]int8{-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113}

// widenIQ4NL converts 32 values iq4[q]·d. The block is that of Q4_0.
func widenIQ4NL(dst []float32, b []byte) {
	d, qs := half(b), b[2:18]
	for j, q := range qs {
		dst[j], dst[j+16] = float32(iq4[q&15])*d, float32(iq4[q>>4])*d
	}
}

// widenMXFP4 converts 32 values of E2M1 with the scale 2^(e−127). The block is e and 16 bytes.
func widenMXFP4(dst []float32, b []byte) {
	scale, qs := float32(math.Ldexp(1, int(b[0])-128)), b[1:17]
	for j, q := range qs {
		dst[j], dst[j+16] = float32(e2m1Twice[q&15])*scale, float32(e2m1Twice[q>>4])*scale
	}
}

// widenNVFP4 converts 64 values of E2M1: four groups of 16 values and 8 bytes, each with a scale in E4M3 without sign.
// The block is the four scales and 32 bytes.
func widenNVFP4(dst []float32, b []byte) {
	for s := range 4 {
		scale := float32(0)
		if code := b[s] & 0x7f; code != 0x7f {
			scale = f8e4m3[code] * 0.5
		}
		to := dst[16*s : 16*s+16]
		for j, q := range b[4+8*s : 12+8*s] {
			to[j], to[j+8] = float32(e2m1Twice[q&15])*scale, float32(e2m1Twice[q>>4])*scale
		}
	}
}
