// Package openblas measures how fast the system's OpenBLAS multiplies float32 matrices, for comparison. Only benchmarks
// use it.
package openblas

import (
	"time"
)

// Library is a loaded OpenBLAS.
type Library struct {
	sgemm func(order, transA, transB, m, n, k int32, alpha float32, a *float32, lda int32, b *float32, ldb int32,
		beta float32, c *float32, ldc int32)
	// Config is the library's description of its version and build.
	Config string
}

// Constants of CBLAS.
const (
	rowMajor  = 101
	noTrans   = 111
	transpose = 112
)

// Rate returns the rate of c [m, n] = a [m, k] · b [n, k]ᵀ in floating-point operations per second. It repeats the
// product until limit is over and returns the best result.
func (l *Library) Rate(m, n, k int, limit time.Duration) float64 {
	a, b, c := values(m*k), values(n*k), make([]float32, m*n)
	best := 0.0
	for begin := time.Now(); best == 0 || time.Since(begin) < limit; {
		t := time.Now()
		l.sgemm(rowMajor, noTrans, transpose, int32(m), int32(n), int32(k), 1, &a[0], int32(k), &b[0], int32(k),
			0, &c[0], int32(n))
		best = max(best, 2*float64(m)*float64(n)*float64(k)/time.Since(t).Seconds())
	}
	return best
}

// values returns n values in [−0.5, 0.5).
func values(n int) []float32 {
	s := make([]float32, n)
	for i := range s {
		s[i] = float32(i%251)/251 - 0.5
	}
	return s
}
