package quantise

import "math"

// This file finds scales. The error of a block is Σ w·(x − y)² for its values x, what is stored of them, y, and the
// weights w of this file's weigh. For given codes q the best scale and minimum are the solution of a weighted linear
// regression; for a given scale the best codes are the nearest ones. The search takes several scales near the plain
// one, rounds to codes, solves for the best scale of those codes, and keeps the pair with the least error.

// tries is the number of scales that are tried on either side of the plain one. One try moves the largest code by
// tryStep.
const (
	tries   = 6
	tryStep = 0.15
)

// weigh stores weights for the errors of values x in w and returns w: the root of the mean square of x, plus the
// magnitude of the value, as llama.cpp does where it has no measured weights. Large values count more, since a product
// with them is large.
func weigh(w, x []float32) []float32 {
	sum := float32(0)
	for _, v := range x {
		sum += v * v
	}
	spread := float32(math.Sqrt(float64(sum / float32(len(x)))))
	for i, v := range x {
		w[i] = spread + max(v, -v)
	}
	return w
}

// nearest returns the integer nearest to f, of two equally near ones the even one. |f| must be below 2²². Adding
// 1.5·2²³ leaves no bits for a fraction, which is several times as fast as math.RoundToEven and a conversion.
func nearest(f float32) int {
	const magic = 3 << 22
	return int(math.Float32bits(f+magic)&0x7fffff) - 1<<22
}

// clamped returns the integer nearest to f, but at least low and at most high, which are small.
func clamped(f float32, low, high int) int {
	switch { // nearest needs a small number; this is faster than min and max of floats
	case f > float32(high):
		return high
	case f < float32(low):
		return low
	}
	return nearest(f)
}

// searchScale returns the scale s for which the error of x ≈ q·s with −half ≤ q < half is least. The value of the
// largest magnitude has a code near −half, as in the plain formula, or near half.
func searchScale(x, w []float32, half int) float32 {
	largest := extreme(x)
	if largest == 0 {
		return 0
	}
	// The error is Σwx² − 2s·Σwxq + s²·Σwq². Its least value, at s = Σwxq/Σwq², is Σwx² − (Σwxq)²/Σwq².
	best, scale := float32(0), float32(0)
	for _, top := range [2]float32{float32(-half), float32(half)} {
		for try := -tries; try <= tries; try++ {
			inv := (top + tryStep*float32(try)) / largest
			var xq, qq float32
			for i, v := range x {
				q := float32(min(max(nearest(v*inv), -half), half-1))
				wq := w[i] * q
				xq += wq * v
				qq += wq * q
			}
			if xq*xq > best*qq {
				best, scale = xq*xq/qq, xq/qq
			}
		}
	}
	return scale
}

// searchRange returns the scale s and the minimum m ≥ 0 for which the error of x ≈ q·s − m with 0 ≤ q ≤ top is least.
func searchRange(x, w []float32, top int) (scale, least float32) {
	low, high := float32(0), x[0]
	for _, v := range x {
		low, high = min(low, v), max(high, v)
	}
	if high <= low {
		return 0, -low
	}
	var sw, sx, sxx float32
	for i, v := range x {
		sw += w[i]
		sx += w[i] * v
		sxx += w[i] * v * v
	}
	best := float32(math.Inf(1))
	for try := -tries; try <= tries; try++ {
		inv := (float32(top) + tryStep*float32(try)) / (high - low)
		var sq, sqq, sxq float32
		for i, v := range x {
			q := float32(min(nearest((v-low)*inv), top))
			wq := w[i] * q
			sq += wq
			sqq += wq * q
			sxq += wq * v
		}
		det := sw*sqq - sq*sq
		s, m := (sw*sxq-sq*sx)/det, (sq*sxq-sqq*sx)/det
		if !(det > 0) || m < 0 { // all codes are equal, or the minimum is one that the format does not have
			s, m = sxq/sqq, 0
		}
		if e := sxx - 2*s*sxq + 2*m*sx + s*s*sqq - 2*s*m*sq + m*m*sw; s > 0 && e < best {
			best, scale, least = e, s, m
		}
	}
	return scale, least
}

// rangeError returns the error of x ≈ q·s − m with the nearest codes.
func rangeError(x, w []float32, top int, s, m float32) (e float32) {
	inv := inverse(s)
	for i, v := range x {
		d := float32(clamped((v+m)*inv, 0, top))*s - m - v
		e += w[i] * d * d
	}
	return e
}

// scaleError returns the error of x ≈ q·s with −half ≤ q < half and the nearest codes.
func scaleError(x, w []float32, half int, s float32) (e float32) {
	inv := inverse(s)
	for i, v := range x {
		d := float32(clamped(v*inv, -half, half-1))*s - v
		e += w[i] * d * d
	}
	return e
}
