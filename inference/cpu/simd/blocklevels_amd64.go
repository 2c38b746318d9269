package simd

import (
	"math"

	"github.com/kleinbild/kleinbild/inference/tensor"
)

var (
	blocksAVX2 = map[tensor.DType]widenFunc{
		tensor.Q4_0:   widenQ4_0AVX2,
		tensor.Q4_1:   widenQ4_1AVX2,
		tensor.Q5_0:   widenQ5_0AVX2,
		tensor.Q5_1:   widenQ5_1AVX2,
		tensor.Q8_0:   widenQ8_0AVX2,
		tensor.Q2_K:   widenQ2KAVX2,
		tensor.Q3_K:   widenQ3KAVX2,
		tensor.Q4_K:   widenQ4KAVX2,
		tensor.Q5_K:   widenQ5KAVX2,
		tensor.Q6_K:   widenQ6KAVX2,
		tensor.IQ4_NL: widenIQ4_NLAVX2,
		tensor.IQ4_XS: widenIQ4XSAVX2,
		tensor.MXFP4:  widenMXFP4AVX2,
	}
	blocksAVX512 = map[tensor.DType]widenFunc{
		tensor.Q4_0:   widenQ4_0AVX512,
		tensor.Q4_1:   widenQ4_1AVX512,
		tensor.Q5_0:   widenQ5_0AVX512,
		tensor.Q5_1:   widenQ5_1AVX512,
		tensor.Q8_0:   widenQ8_0AVX512,
		tensor.Q2_K:   widenQ2KAVX512,
		tensor.Q3_K:   widenQ3KAVX512,
		tensor.Q4_K:   widenQ4KAVX512,
		tensor.Q5_K:   widenQ5KAVX512,
		tensor.Q6_K:   widenQ6KAVX512,
		tensor.IQ4_NL: widenIQ4_NLAVX512,
		tensor.IQ4_XS: widenIQ4XSAVX512,
		tensor.MXFP4:  widenMXFP4AVX512,
	}
	// blocksBF16 stores bfloat16, as PackBlocks needs it.
	blocksBF16 = map[tensor.DType]widenFunc{
		tensor.Q4_0:   widenQ4_0BF16,
		tensor.Q4_1:   widenQ4_1BF16,
		tensor.Q5_0:   widenQ5_0BF16,
		tensor.Q5_1:   widenQ5_1BF16,
		tensor.Q8_0:   widenQ8_0BF16,
		tensor.Q2_K:   widenQ2KBF16,
		tensor.Q3_K:   widenQ3KBF16,
		tensor.Q4_K:   widenQ4KBF16,
		tensor.Q5_K:   widenQ5KBF16,
		tensor.Q6_K:   widenQ6KBF16,
		tensor.IQ4_NL: widenIQ4_NLBF16,
		tensor.IQ4_XS: widenIQ4XSBF16,
	}
	// scaledBF16 are the functions of PackScaled.
	scaledBF16 = map[tensor.DType]scaledFunc{tensor.I8: scaleI8BF16, tensor.F8E4M3: scaleF8BF16}
	// nvfp4BF16 are the functions of PackNVFP4.
	nvfp4BF16 = [2]func(dst *float32, src *byte, scales *float32, groups int){widenNVFP4BF16, widenNVFP4LowBF16}
)

// widenBlocks returns Widen for the formats of functions.
func widenBlocks(functions map[tensor.DType]widenFunc) func(dst []float32, dtype tensor.DType, src []byte) bool {
	return func(dst []float32, dtype tensor.DType, src []byte) bool {
		f := functions[dtype]
		if f == nil {
			return false
		}
		if blocks := len(dst) / dtype.BlockValues(); blocks > 0 {
			_ = src[blocks*dtype.BlockBytes()-1]
			f(&dst[0], &src[0], blocks)
		}
		return true
	}
}

// tailI8 returns scaleI8 for a function that takes multiples of 64 values.
func tailI8(f func(dst *float32, a *uint8, n int, s float32)) func(dst []float32, a []uint8, s float32) {
	return func(dst []float32, a []uint8, s float32) {
		n := len(dst) &^ 63
		if n > 0 {
			f(&dst[0], &a[0], n, s)
		}
		vectorGeneric.scaleI8(dst[n:], a[n:], s)
	}
}

// nvfp4 returns WidenNVFP4 for the functions of the two orders of values in a byte.
func nvfp4(high, low func(dst *float32, src *byte, scales *float32, groups int)) nvfp4Func {
	return func(dst []float32, src []byte, scales []float32, lowFirst bool) {
		f := high
		if lowFirst {
			f = low
		}
		if len(dst) > 0 {
			f(&dst[0], &src[0], &scales[0], len(dst)/16)
		}
	}
}

func swizzledAVX2(dst []float32, src []byte, scale float32) {
	_ = src[len(dst)/4*512-509]
	swizzledF8AVX2(&dst[0], &src[0], len(dst)/4, scale)
}

func blockScalesAVX2(dst, scales []float32, width int) {
	if width%8 != 0 || width == 0 {
		vectorGeneric.scaleBlocks(dst, scales, width)
		return
	}
	_ = dst[len(scales)*width-1]
	scaleBlocksAVX2(&dst[0], &scales[0], len(scales), width/8)
}

// rotateAVX2 rotates in stages, each over all groups.
func rotateAVX2(x []float32, group int) {
	if group < 16 || len(x) == 0 {
		vectorGeneric.rotate(x, group)
		return
	}
	rotate16AVX2(&x[0], len(x)/16, float32(1/math.Sqrt(float64(group))))
	for step := 16; step < group; step *= 4 {
		rotateStageAVX2(&x[0], len(x)/(4*step), step)
	}
}
