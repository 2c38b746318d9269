package simd

import (
	"math"

	"github.com/kleinbild/kleinbild/inference/tensor"
)

// vector holds the row operations of a level. The length of dst, or of a if there is no dst, is the number of elements.
type vector struct {
	exp, silu    func(dst, a []float32)
	relu         func(dst, a []float32)
	siluMul, add func(dst, a, b []float32)
	mulAdd       func(dst, a, b, c []float32)
	scale        func(dst, a []float32, s float32)
	normalize    func(dst, a []float32, mean, r float32)
	widenBF16    func(dst []float32, a []uint16)
	widenF16     func(dst []float32, a []uint16)
	widenF8      func(dst []float32, a []uint8)
	// widen is Widen for the formats that the level has functions for. It returns false for any other format.
	widen              func(dst []float32, dtype tensor.DType, src []byte) bool
	scaleI8            func(dst []float32, a []uint8, s float32)
	magnitude          func(a []float32) float32
	roundI8            func(dst []int8, a []float32, r float32)
	rotated            func(dst, a []float32, group int) (largest, factor float32)
	rotatedBF16        func(dst []float32, a []uint16, group int) (largest, factor float32)
	scaleI32           func(dst, a []float32, s float32, offset int32, scales []float32)
	widenI8            func(dst []int16, a []byte)
	nvfp4              nvfp4Func
	swizzled           func(dst []float32, src []byte, scale float32)
	scaleBlocks        func(dst, scales []float32, width int)
	mul                func(dst, a, b []float32)
	rotate             func(x []float32, group int)
	roundBF16          func(dst []uint16, a []float32)
	pairBF16           func(dst []float32, a, b []uint16)
	sum                func(a []float32) float64
	sumSquares         func(a []float32, shift float64) float64
	max                func(a []float32) float32
	dot                func(a, b []float32) float32
	dotBF16            func(a []float32, b []uint16) float32
	panelMax, panelMul func(p []float32, rows int, m []float32)
	panelExp           func(p []float32, rows int, m, sum []float32, scale float32)
}

// In the operations below dst may be one of the inputs, but must not overlap one in any other way. Inputs must be at
// least as long as dst.

// Exp stores e^a, with an error of at most 2 ulp for all a. Denormal results are kept, overflow gives +Inf, and NaN
// gives NaN.
func Exp(dst, a []float32) { current.Load().exp(dst, a[:len(dst)]) }

// SiLU stores a / (1 + e^-a). The error is at most 4 ulp for a ≥ −87. Below that e^-a overflows, and the result goes to
// −0 as in the usual float32 formula, with an absolute error under 1.5e-36. For −Inf it is NaN.
func SiLU(dst, a []float32) { current.Load().silu(dst, a[:len(dst)]) }

// ReLU stores max(a, 0). NaN stays NaN, and −0 stays −0.
func ReLU(dst, a []float32) { current.Load().relu(dst, a[:len(dst)]) }

// SiLUMul stores SiLU(a)·b, as SwiGLU needs it. SiLU(a) is rounded before the multiplication.
func SiLUMul(dst, a, b []float32) { current.Load().siluMul(dst, a[:len(dst)], b[:len(dst)]) }

// Add stores a + b.
func Add(dst, a, b []float32) { current.Load().add(dst, a[:len(dst)], b[:len(dst)]) }

// MulAdd stores a·b + c with one rounding.
func MulAdd(dst, a, b, c []float32) {
	current.Load().mulAdd(dst, a[:len(dst)], b[:len(dst)], c[:len(dst)])
}

// Scale stores s·a.
func Scale(dst, a []float32, s float32) { current.Load().scale(dst, a[:len(dst)], s) }

// Normalize stores (a − mean)·r with a rounding after each operation.
func Normalize(dst, a []float32, mean, r float32) {
	current.Load().normalize(dst, a[:len(dst)], mean, r)
}

// WidenBF16 converts bfloat16 to float32, exactly.
func WidenBF16(dst []float32, a []uint16) { current.Load().widenBF16(dst, a[:len(dst)]) }

// WidenF16 converts IEEE halves to float32, exactly. A signalling NaN becomes quiet.
func WidenF16(dst []float32, a []uint16) { current.Load().widenF16(dst, a[:len(dst)]) }

// WidenF8E4M3 converts float8_e4m3fn to float32, exactly.
func WidenF8E4M3(dst []float32, a []uint8) { current.Load().widenF8(dst, a[:len(dst)]) }

// Widen converts len(dst) values of any format of weights from src, with the same results as tensor.Widen.
func Widen(dst []float32, dtype tensor.DType, src []byte) {
	src = src[:dtype.Bytes(len(dst))]
	if !current.Load().widen(dst, dtype, src) {
		tensor.Widen(dst, dtype, src)
	}
}

// ScaleI8 stores s·a for signed bytes a.
func ScaleI8(dst []float32, a []uint8, s float32) { current.Load().scaleI8(dst, a[:len(dst)], s) }

// Magnitude returns the largest |a|, 0 for an empty slice, and NaN if there is one.
func Magnitude(a []float32) float32 { return current.Load().magnitude(a) }

// QuantiseF32 rotates a row in groups (see Rotate), stores it as int8 and returns its scale, as tensor.QuantiseInt8
// does. scratch has the length of the row. dst is undefined if the scale is NaN.
func QuantiseF32(dst []int8, a, scratch []float32, group int) (scale float32) {
	v := current.Load()
	largest, factor := v.rotated(scratch, a, group)
	return v.quantise(dst, scratch, largest, factor)
}

// QuantiseBF16 is QuantiseF32 for a row of bfloat16.
func QuantiseBF16(dst []int8, a []uint16, scratch []float32, group int) (scale float32) {
	v := current.Load()
	largest, factor := v.rotatedBF16(scratch, a, group)
	return v.quantise(dst, scratch, largest, factor)
}

// quantise quantises the values a·factor, where factor is a power of two, and largest the largest magnitude of a.
func (v *vector) quantise(dst []int8, a []float32, largest, factor float32) float32 {
	scale := tensor.Int8Scale(largest * factor)
	v.roundI8(dst, a, 1/scale*factor)
	return scale
}

// ScaleI32 stores (a + offset)·s·scales, where a holds the bits of int32, whose sum with offset wraps around.
func ScaleI32(dst, a []float32, s float32, offset int32, scales []float32) {
	current.Load().scaleI32(dst, a[:len(dst)], s, offset, scales[:len(dst)])
}

// WidenI8 converts int8 to int16.
func WidenI8(dst []int16, a []byte) { current.Load().widenI8(dst, a[:len(dst)]) }

// nvfp4Func is the type of WidenNVFP4.
type nvfp4Func func(dst []float32, src []byte, scales []float32, lowFirst bool)

// WidenNVFP4 converts len(dst) values of format F4E2M1 or, if lowFirst is set, F4E2M1Low, and multiplies group i of 16
// values by scales[i]. len(dst) is a multiple of 16. The scales must not be denormal.
func WidenNVFP4(dst []float32, src []byte, scales []float32, lowFirst bool) {
	current.Load().nvfp4(dst, src[:len(dst)/2], scales[:len(dst)/16], lowFirst)
}

// SwizzledF8E4M3 stores scales of format float8_e4m3fn, multiplied by scale: four at src, four at src[512:], and so on.
// len(dst) is a multiple of 4.
func SwizzledF8E4M3(dst []float32, src []byte, scale float32) {
	if len(dst) > 0 {
		current.Load().swizzled(dst, src[:len(dst)/4*512-508], scale)
	}
}

// ScaleBlocks multiplies block i of dst, which has len(dst)/len(scales) values, by scales[i].
func ScaleBlocks(dst, scales []float32) {
	if len(scales) > 0 {
		current.Load().scaleBlocks(dst, scales, len(dst)/len(scales))
	}
}

// Multiply stores a·b.
func Multiply(dst, a, b []float32) { current.Load().mul(dst, a[:len(dst)], b[:len(dst)]) }

// Rotate is tensor.Rotate, with the same results to the bit.
func Rotate(x []float32, group int) { current.Load().rotate(x, group) }

// RoundBF16 converts float32 to the nearest bfloat16; ties go to even. Overflow gives infinity, and NaN a quiet NaN.
func RoundBF16(dst []uint16, a []float32) { current.Load().roundBF16(dst, a[:len(dst)]) }

// PairBF16 stores the words of a kernel with Pairs, with a in the lower halves and b in the upper halves.
func PairBF16(dst []float32, a, b []uint16) { current.Load().pairBF16(dst, a[:len(dst)], b[:len(dst)]) }

// Sum returns the sum of a in float64. The error is under len(a)·2^-53 of Σ|a|. The sum of an empty slice is 0.
func Sum(a []float32) float64 { return current.Load().sum(a) }

// SumSquares returns the sum of (a − shift)² in float64, with an error like Sum's. RMSNorm needs it with shift 0; with
// the mean as shift it gives a variance without cancellation.
func SumSquares(a []float32, shift float64) float64 { return current.Load().sumSquares(a, shift) }

// Max returns the largest element. It returns NaN if there is one, and −Inf for an empty slice.
func Max(a []float32) float32 {
	if len(a) == 0 {
		return float32(math.Inf(-1))
	}
	return current.Load().max(a)
}

// Dot returns the sum of a·b over len(a) elements. Assembly computes it in float32, in 32 interleaved sums, with an
// error under (len(a)/32+6)·2^-24 of Σ|a·b|. Plain Go computes it in float64 and rounds once.
func Dot(a, b []float32) float32 { return current.Load().dot(a, b[:len(a)]) }

// DotBF16 is like Dot for bfloat16 b.
func DotBF16(a []float32, b []uint16) float32 { return current.Load().dotBF16(a, b[:len(a)]) }

// PanelMax sets each m[j] to the maximum of m[j] and the values p[i·NR+j] of rows i.
func (k *Kernel) PanelMax(p []float32, rows int, m []float32) {
	if rows > 0 {
		current.Load().panelMax(p[:rows*k.NR], rows, m[:k.NR])
	}
}

// PanelScale multiplies column j of p by s[j].
func (k *Kernel) PanelScale(p []float32, rows int, s []float32) {
	if rows > 0 {
		current.Load().panelMul(p[:rows*k.NR], rows, s[:k.NR])
	}
}

// PanelExp replaces each p[i·NR+j] by exp((p[i·NR+j] − m[j])·scale) and adds the new values of column j to sum[j].
func (k *Kernel) PanelExp(p []float32, rows int, m, sum []float32, scale float32) {
	if rows > 0 {
		current.Load().panelExp(p[:rows*k.NR], rows, m[:k.NR], sum[:k.NR], scale)
	}
}

// PanelPairs rounds rows 2i and 2i+1 of p to bfloat16 and stores them as row i of dst, a panel of B. The values must be
// finite. Only a kernel with Pairs has this function.
func (k *Kernel) PanelPairs(dst, p []float32, pairs int) {
	if pairs > 0 {
		_, _ = dst[pairs*k.NR-1], p[2*pairs*k.NR-1]
		k.panelPairs(&dst[0], &p[0], pairs)
	}
}

func magnitudeGeneric(a []float32) float32 {
	m := uint32(0)
	for _, v := range a {
		m = max(m, math.Float32bits(v)&0x7fffffff)
	}
	return math.Float32frombits(m)
}

func exp32(x float32) float32 { return float32(math.Exp(float64(x))) }

func silu32(x float32) float32 { return x / (1 + exp32(-x)) }

func map1[D, A any](f func(A) D) func([]D, []A) {
	return func(dst []D, a []A) {
		for i := range dst {
			dst[i] = f(a[i])
		}
	}
}

func map2(f func(a, b float32) float32) func(dst, a, b []float32) {
	return func(dst, a, b []float32) {
		for i := range dst {
			dst[i] = f(a[i], b[i])
		}
	}
}

var vectorGeneric = vector{
	exp:  map1(exp32),
	silu: map1(silu32),
	relu: map1(func(v float32) float32 {
		if v < 0 {
			return 0
		}
		return v
	}),
	siluMul: map2(func(a, b float32) float32 { return silu32(a) * b }),
	add:     map2(func(a, b float32) float32 { return a + b }),
	mulAdd: func(dst, a, b, c []float32) {
		for i := range dst {
			dst[i] = float32(float64(a[i])*float64(b[i]) + float64(c[i]))
		}
	},
	scale: func(dst, a []float32, s float32) {
		for i := range dst {
			dst[i] = a[i] * s
		}
	},
	normalize: func(dst, a []float32, mean, r float32) {
		for i := range dst {
			dst[i] = (a[i] - mean) * r
		}
	},
	widenBF16: map1(tensor.BF16ToF32),
	widenF16:  map1(tensor.F16ToF32),
	widenF8:   map1(tensor.F8E4M3ToF32),
	widen:     func([]float32, tensor.DType, []byte) bool { return false },
	scaleI8: func(dst []float32, a []uint8, s float32) {
		for i := range dst {
			dst[i] = float32(int8(a[i])) * s
		}
	},
	magnitude: magnitudeGeneric,
	roundI8: func(dst []int8, a []float32, r float32) {
		for i, v := range a {
			dst[i] = int8(max(-128, min(127, math.RoundToEven(float64(v*r)))))
		}
	},
	rotated: func(dst, a []float32, group int) (largest, factor float32) {
		copy(dst, a)
		tensor.Rotate(dst, group)
		return magnitudeGeneric(dst), 1
	},
	rotatedBF16: func(dst []float32, a []uint16, group int) (largest, factor float32) {
		for i, v := range a {
			dst[i] = tensor.BF16ToF32(v)
		}
		tensor.Rotate(dst, group)
		return magnitudeGeneric(dst), 1
	},
	scaleI32: func(dst, a []float32, s float32, offset int32, scales []float32) {
		for i, v := range a {
			dst[i] = float32(float32(int32(math.Float32bits(v))+offset)*s) * scales[i]
		}
	},
	widenI8: func(dst []int16, a []byte) {
		for i, v := range a {
			dst[i] = int16(int8(v))
		}
	},
	nvfp4: func(dst []float32, src []byte, scales []float32, lowFirst bool) {
		dtype := tensor.F4E2M1
		if lowFirst {
			dtype = tensor.F4E2M1Low
		}
		tensor.Widen(dst, dtype, src)
		for i := range dst {
			dst[i] *= scales[i/16]
		}
	},
	swizzled: func(dst []float32, src []byte, scale float32) {
		for i := range dst {
			dst[i] = tensor.F8E4M3ToF32(src[i/4*512+i%4]) * scale
		}
	},
	scaleBlocks: func(dst, scales []float32, width int) {
		for i, s := range scales {
			block := dst[i*width : (i+1)*width]
			for j := range block {
				block[j] *= s
			}
		}
	},
	mul:       map2(func(a, b float32) float32 { return a * b }),
	rotate:    tensor.Rotate,
	roundBF16: map1(tensor.F32ToBF16),
	pairBF16: func(dst []float32, a, b []uint16) {
		for i := range dst {
			dst[i] = math.Float32frombits(uint32(a[i]) | uint32(b[i])<<16)
		}
	},
	sum: func(a []float32) (s float64) {
		for _, v := range a {
			s += float64(v)
		}
		return s
	},
	sumSquares: func(a []float32, shift float64) (s float64) {
		for _, v := range a {
			d := float64(v) - shift
			s += d * d
		}
		return s
	},
	max: func(a []float32) float32 {
		m := a[0]
		for _, v := range a {
			m = max(m, v)
		}
		return m
	},
	dot: func(a, b []float32) float32 {
		s := 0.0
		for i, v := range a {
			s += float64(v) * float64(b[i])
		}
		return float32(s)
	},
	dotBF16: func(a []float32, b []uint16) float32 {
		s := 0.0
		for i, v := range a {
			s += float64(v) * float64(tensor.BF16ToF32(b[i]))
		}
		return float32(s)
	},
	panelMax: func(p []float32, rows int, m []float32) {
		for i, v := range p {
			m[i%len(m)] = max(m[i%len(m)], v)
		}
	},
	panelMul: func(p []float32, rows int, s []float32) {
		for i := range p {
			p[i] *= s[i%len(s)]
		}
	},
	panelExp: func(p []float32, rows int, m, sum []float32, scale float32) {
		for i, v := range p {
			j := i % len(m)
			p[i] = exp32((v - m[j]) * scale)
			sum[j] += p[i]
		}
	},
}
