package simd

// The assembly computes whole groups of 8 elements (32 in dot products). The functions below copy the remaining
// elements to a padded group, so that the result for an element does not depend on its position. Sums and dot products
// add the remaining elements in plain Go.

func tail1[D, A any](f func(dst *D, a *A, n int)) func([]D, []A) {
	return func(dst []D, a []A) {
		n := len(dst) &^ 7
		if n > 0 {
			f(&dst[0], &a[0], n)
		}
		if n < len(dst) {
			var x [8]A
			var y [8]D
			copy(x[:], a[n:])
			f(&y[0], &x[0], 8)
			copy(dst[n:], y[:])
		}
	}
}

func tail2[A any](f func(dst *float32, a, b *A, n int)) func(dst []float32, a, b []A) {
	return func(dst []float32, a, b []A) {
		n := len(dst) &^ 7
		if n > 0 {
			f(&dst[0], &a[0], &b[0], n)
		}
		if n < len(dst) {
			var x, y [8]A
			var z [8]float32
			copy(x[:], a[n:])
			copy(y[:], b[n:])
			f(&z[0], &x[0], &y[0], 8)
			copy(dst[n:], z[:])
		}
	}
}

func tail3(dst, a, b, c []float32) {
	n := len(dst) &^ 7
	if n > 0 {
		mulAddAVX2(&dst[0], &a[0], &b[0], &c[0], n)
	}
	if n < len(dst) {
		var x, y, z [8]float32
		copy(x[:], a[n:])
		copy(y[:], b[n:])
		copy(z[:], c[n:])
		mulAddAVX2(&x[0], &x[0], &y[0], &z[0], 8)
		copy(dst[n:], x[:])
	}
}

var vectorAVX2 = vector{
	exp:     tail1(expAVX2),
	silu:    tail1(siluAVX2),
	relu:    tail1(reluAVX2),
	siluMul: tail2(siluMulAVX2),
	add:     tail2(addAVX2),
	mulAdd:  tail3,
	scale: func(dst, a []float32, s float32) {
		tail1(func(dst, a *float32, n int) { scaleAVX2(dst, a, n, s) })(dst, a)
	},
	normalize: func(dst, a []float32, mean, r float32) {
		tail1(func(dst, a *float32, n int) { normalizeAVX2(dst, a, n, mean, r) })(dst, a)
	},
	widenBF16: tail1(widenBF16AVX2),
	widenF16:  tail1(widenF16AVX2),
	widenF8:   tail1(widenF8AVX2),
	widen:     widenBlocks(blocksAVX2),
	scaleI8:   tailI8(scaleI8AVX2),
	magnitude: magnitude,
	roundI8:   roundedI8(roundI8AVX2, 32),
	rotated: func(dst, a []float32, group int) (largest, factor float32) {
		copy(dst, a)
		rotateAVX2(dst, group)
		return magnitude(dst), 1
	},
	rotatedBF16: func(dst []float32, a []uint16, group int) (largest, factor float32) {
		tail1(widenBF16AVX2)(dst, a)
		rotateAVX2(dst, group)
		return magnitude(dst), 1
	},
	scaleI32: func(dst, a []float32, s float32, offset int32, scales []float32) {
		n := len(a) &^ 7
		if n > 0 {
			scaleI32AVX2(&dst[0], &a[0], &scales[0], n, s, int(offset))
		}
		vectorGeneric.scaleI32(dst[n:], a[n:], s, offset, scales[n:])
	},
	widenI8: func(dst []int16, a []byte) {
		n := len(a) &^ 15
		if n > 0 {
			widenI8AVX2(&dst[0], &a[0], n)
		}
		vectorGeneric.widenI8(dst[n:], a[n:])
	},
	nvfp4:       nvfp4(widenNVFP4AVX2, widenNVFP4LowAVX2),
	swizzled:    swizzledAVX2,
	scaleBlocks: blockScalesAVX2,
	mul:         tail2(mulAVX2),
	rotate:      rotateAVX2,
	roundBF16:   tail1(roundBF16AVX2),
	pairBF16:    tail2(pairBF16AVX2),
	sum: func(a []float32) (s float64) {
		n := len(a) &^ 7
		if n > 0 {
			s = sumAVX2(&a[0], n)
		}
		return s + vectorGeneric.sum(a[n:])
	},
	sumSquares: func(a []float32, shift float64) (s float64) {
		n := len(a) &^ 7
		if n > 0 {
			s = sumSquaresAVX2(&a[0], n, shift)
		}
		return s + vectorGeneric.sumSquares(a[n:], shift)
	},
	max: func(a []float32) float32 {
		n := len(a) &^ 7
		if n == 0 {
			return vectorGeneric.max(a)
		}
		m := maxAVX2(&a[0], n)
		for _, v := range a[n:] {
			m = max(m, v)
		}
		return m
	},
	dot: func(a, b []float32) (s float32) {
		n := len(a) &^ 31
		if n > 0 {
			s = dotAVX2(&a[0], &b[0], n)
		}
		return s + vectorGeneric.dot(a[n:], b[n:])
	},
	dotBF16: func(a []float32, b []uint16) (s float32) {
		n := len(a) &^ 31
		if n > 0 {
			s = dotBF16AVX2(&a[0], &b[0], n)
		}
		return s + vectorGeneric.dotBF16(a[n:], b[n:])
	},
	panelMax: func(p []float32, rows int, m []float32) { panelMaxAVX2(&p[0], rows, &m[0]) },
	panelMul: func(p []float32, rows int, s []float32) { panelScaleAVX2(&p[0], rows, &s[0]) },
	panelExp: func(p []float32, rows int, m, sum []float32, scale float32) {
		panelExpAVX2(&p[0], rows, &m[0], &sum[0], scale)
	},
}

// vectorAVX512 differs from vectorAVX2 in the operations on panels, whose rows are two vectors, and in the conversion
// of quantised weights.
var vectorAVX512 = func() vector {
	v := vectorAVX2
	v.widen, v.scaleI8 = widenBlocks(blocksAVX512), tailI8(scaleI8AVX512)
	v.nvfp4 = nvfp4(widenNVFP4AVX512, widenNVFP4LowAVX512)
	v.roundI8 = roundedI8(roundI8AVX512, 64)
	v.rotated = rotated256(rotate256F32AVX512, vectorAVX2.rotated)
	v.rotatedBF16 = rotated256(rotate256BF16AVX512, vectorAVX2.rotatedBF16)
	v.panelMax = func(p []float32, rows int, m []float32) { panelMaxAVX512(&p[0], rows, &m[0]) }
	v.panelMul = func(p []float32, rows int, s []float32) { panelScaleAVX512(&p[0], rows, &s[0]) }
	v.panelExp = func(p []float32, rows int, m, sum []float32, scale float32) {
		panelExpAVX512(&p[0], rows, &m[0], &sum[0], scale)
	}
	return v
}()

func magnitude(a []float32) float32 {
	n := len(a) &^ 31
	m := magnitudeGeneric(a[n:])
	if n > 0 {
		m = max(m, magnitudeAVX2(&a[0], n))
	}
	return m
}

// roundedI8 returns roundI8 for a function that takes multiples of unit values.
func roundedI8(f func(dst *int8, a *float32, n int, r float32), unit int) func(dst []int8, a []float32, r float32) {
	return func(dst []int8, a []float32, r float32) {
		n := len(a) &^ (unit - 1)
		if n > 0 {
			f(&dst[0], &a[0], n, r)
		}
		vectorGeneric.roundI8(dst[n:], a[n:], r)
	}
}

// rotated256 returns a function that rotates groups of 256 values with f, whose results are 16 times too large, and
// others as before.
func rotated256[T float32 | uint16](
	f func(dst *float32, a *T, groups int) float32, before func(dst []float32, a []T, group int) (float32, float32),
) func(dst []float32, a []T, group int) (largest, factor float32) {
	return func(dst []float32, a []T, group int) (largest, factor float32) {
		if group != 256 || len(a) == 0 {
			return before(dst, a, group)
		}
		_, _ = dst[len(a)-1], a[len(a)/256*256-1]
		return f(&dst[0], &a[0], len(a)/256), 1.0 / 16
	}
}
