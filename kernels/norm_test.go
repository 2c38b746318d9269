package kernels

import (
	"fmt"
	"math"
	"testing"
)

// moments returns mean and variance.
func moments(values []float64) (mean, variance float64) {
	for _, v := range values {
		mean += v
	}
	mean /= float64(len(values))
	for _, v := range values {
		variance += (v - mean) * (v - mean)
	}
	return mean, variance / float64(len(values))
}

func TestRowNorms(t *testing.T) {
	const eps = 1e-6
	h := newHarness(t)
	for _, s := range shapes {
		if s.cols == 1 {
			continue // one value minus its mean is 0
		}
		a := h.around(3, s.rows, s.cols) // with a mean that the normalisation has to remove
		w, shift := h.random(1, s.cols), h.random(1, s.cols)
		dst := h.fenced(s.rows, s.cols, s.dst)
		h.must(h.RMSNorm(dst, h.upload(a, s.x), h.upload(w, s.x), eps))
		h.check(fmt.Sprint("rms norm ", s), dst, each(s.rows, s.cols, func(i, j int) float64 {
			mean, variance := moments(a[i])
			return a[i][j] / math.Sqrt(variance+mean*mean+eps) * w[0][j]
		}), true)
		want := each(s.rows, s.cols, func(i, j int) float64 {
			mean, variance := moments(a[i])
			return (a[i][j]-mean)/math.Sqrt(variance+eps)*(1+w[0][j]) + shift[0][j]
		})
		dst = h.fenced(s.rows, s.cols, s.dst)
		h.must(h.LayerNorm(dst, h.upload(a, s.x), h.upload(w, wide), h.upload(shift, s.x), eps))
		h.check(fmt.Sprint("layer norm ", s), dst, want, true)
		x := h.upload(a, s.x)
		h.must(h.LayerNorm(x, x, h.upload(w, wide), h.upload(shift, s.x), eps))
		h.check(fmt.Sprint("layer norm in place ", s), x, want, false)
	}
	// More columns than a block takes at a time.
	const cols = 2 * 2048
	a, w := h.random(2, cols), h.random(1, cols)
	dst := h.fenced(2, cols, whole)
	h.must(h.RMSNorm(dst, h.upload(a, whole), h.upload(w, whole), eps))
	h.check("rms norm, wide", dst, each(2, cols, func(i, j int) float64 {
		mean, variance := moments(a[i])
		return a[i][j] / math.Sqrt(variance+mean*mean+eps) * w[0][j]
	}), true)
}

func TestQKNormRoPE(t *testing.T) {
	const eps = 1e-6
	h := newHarness(t)
	for _, s := range []struct {
		rows, heads, d int
		halves         bool
		l              layout
	}{
		{7, 3, 128, false, whole}, {9, 2, 128, true, whole}, {5, 2, 128, false, ragged}, {5, 1, 128, true, ragged},
		{1, 1, 2, false, ragged}, {3, 3, 2, true, whole}, {17, 2, 48, false, whole}, {4, 1, 160, true, whole},
	} {
		x, w, angles := h.random(s.rows, s.heads*s.d), h.random(1, s.d), h.random(s.rows, s.d/2)
		rope := RoPE{
			Cos:    h.upload(each(s.rows, s.d/2, func(i, j int) float64 { return math.Cos(angles[i][j]) }), wide),
			Sin:    h.upload(each(s.rows, s.d/2, func(i, j int) float64 { return math.Sin(angles[i][j]) }), layout{dtype: F32}),
			Halves: s.halves,
		}
		m := h.fenced(s.rows, s.heads*s.d, s.l)
		h.must(h.Copy(m, h.upload(x, s.l)))
		h.must(h.QKNormRoPE(m, h.upload(w, layout{dtype: DType(s.rows % 2)}), rope, eps))
		h.check(fmt.Sprintf("%+v", s), m, each(s.rows, s.heads*s.d, rotatedHeads(x, s.d, w[0], angles, s.halves, eps)), true)
	}
}

// rotatedHeads gives the values of x [rows, heads·d] after RMSNorm by w of each head and RoPE by angles [rows, d/2].
func rotatedHeads(x table, d int, w []float64, angles table, halves bool, eps float64) func(i, j int) float64 {
	return func(i, j int) float64 {
		head, c := x[i][j/d*d:][:d], j%d
		mean, variance := moments(head)
		norm := func(c int) float64 { return head[c] / math.Sqrt(variance+mean*mean+eps) * w[c] }
		pair, first, second := c/2, c&^1, c|1
		if halves {
			pair = c % (d / 2)
			first, second = pair, pair+d/2
		}
		sn, cs := math.Sincos(angles[i][pair])
		if c == first {
			return norm(first)*cs - norm(second)*sn
		}
		return norm(second)*cs + norm(first)*sn
	}
}

func TestGroupNorm(t *testing.T) {
	const eps = 1e-6
	h := newHarness(t)
	for _, s := range []struct {
		rows, groups, width int
		silu                bool
		l                   layout
	}{
		{1, 1, 5, false, ragged}, {35, 4, 3, true, ragged}, {300, 32, 4, true, whole}, {257, 2, 24, false, whole},
		{96, 32, 2, false, ragged}, {5, 3, 160, true, whole}, {513, 4, 2, true, whole},
		{33000, 2, 4, false, layout{}}, // more chunks than threads merge them
	} {
		cols := s.groups * s.width
		a := h.around(40, s.rows, cols) // so far from 0 that squares in float32 would lose the variance
		gamma, beta := h.random(1, cols), h.random(1, cols)
		mean, scale := make([]float64, s.groups), make([]float64, s.groups)
		for g := range s.groups {
			var all []float64
			for _, row := range a {
				all = append(all, row[g*s.width:(g+1)*s.width]...)
			}
			m, variance := moments(all)
			mean[g], scale[g] = m, 1/math.Sqrt(variance+eps)
		}
		x := h.upload(a, s.l)
		dst := h.fenced(s.rows, cols, s.l)
		work := h.memory(int(GroupNormBytes(s.rows, cols, s.groups)))
		h.must(h.GroupNorm(dst, x, GroupNormParams{
			Groups: s.groups, Gamma: h.upload(gamma, layout{dtype: BF16}), Beta: h.upload(beta, layout{dtype: F32}),
			Eps: eps, SiLU: s.silu, Work: work,
		}))
		h.check(fmt.Sprintf("%+v", s), dst, each(s.rows, cols, func(i, j int) float64 {
			g := j / s.width
			y := (a[i][j]-mean[g])*scale[g]*gamma[0][j] + beta[0][j]
			if s.silu {
				return siluOf(y)
			}
			return y
		}), true)
	}
}
