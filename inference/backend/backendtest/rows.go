package backendtest

import (
	"fmt"
	"math"

	"github.com/kleinbild/kleinbild/inference/backend"
	"github.com/kleinbild/kleinbild/inference/tensor"
)

// sizes are ragged: most are no multiples of the width of a vector or a tile.
var sizes = []struct{ rows, cols int }{{1, 1}, {1, 31}, {33, 7}, {5, 128}, {127, 33}, {3, 4097}}

func testCopy(h *harness) {
	for _, s := range sizes {
		values := h.table(s.rows, s.cols)
		dst := h.view(s.rows, s.cols)
		h.b.Copy(dst.Matrix, h.upload(values).Matrix)
		h.check(fmt.Sprint(s), dst, values)

		// Copy to float32 and back, which must not change the values.
		wide := h.b.Alloc(s.rows, s.cols, tensor.F32)
		h.b.Copy(wide, dst.Matrix)
		dst = h.view(s.rows, s.cols)
		h.b.Copy(dst.Matrix, wide)
		h.checkWithin(fmt.Sprint(s, " through float32"), dst, values, 0)
		h.b.Free(wide)
	}
}

func testElementwise(h *harness) {
	for _, s := range sizes {
		a, b := h.table(s.rows, s.cols), h.table(s.rows, s.cols)
		scale, shift := h.table(1, s.cols)[0], h.table(1, s.cols)[0]
		x, y := h.upload(a), h.upload(b)
		run := func(name string, want func(i, j int) float64, op func(dst backend.Matrix)) {
			dst := h.view(s.rows, s.cols)
			op(dst.Matrix)
			h.check(fmt.Sprint(name, " ", s), dst, each(s.rows, s.cols, want))
		}
		run("AddScaled", func(i, j int) float64 { return a[i][j] - 0.25*b[i][j] }, func(dst backend.Matrix) {
			h.b.AddScaled(dst, x.Matrix, y.Matrix, -0.25)
		})
		run("Lerp", func(i, j int) float64 { return a[i][j] + 4*(b[i][j]-a[i][j]) }, func(dst backend.Matrix) {
			h.b.Lerp(dst, x.Matrix, y.Matrix, 4)
		})
		run("Affine", func(i, j int) float64 { return a[i][j]*scale[j] + shift[j] }, func(dst backend.Matrix) {
			h.b.Affine(dst, x.Matrix, h.vector(scale), h.vector(shift))
		})
		run("SiLUMul", func(i, j int) float64 { return silu(a[i][j]) * b[i][j] }, func(dst backend.Matrix) {
			h.b.SiLUMul(dst, x.Matrix, y.Matrix)
		})
		run("ReLU", func(i, j int) float64 { return max(a[i][j], 0) }, func(dst backend.Matrix) {
			h.b.ReLU(dst, x.Matrix)
		})
		slopes, slope := h.weight(tensor.F32, s.cols)
		prelu := func(i, j int) float64 {
			if a[i][j] < 0 {
				return a[i][j] * slope[j]
			}
			return a[i][j]
		}
		run("PReLU", prelu, func(dst backend.Matrix) { h.b.PReLU(dst, x.Matrix, slopes) })
		run("SiLU", func(i, j int) float64 { return silu(a[i][j]) }, func(dst backend.Matrix) { h.b.SiLU(dst, x.Matrix) })
		gate := func(i, j int) float64 { return (a[i][j] + b[i][j]) * (1/(1+math.Exp(-b[i][j])) - 0.5) }
		run("CentredGate", gate, func(dst backend.Matrix) { h.b.CentredGate(dst, x.Matrix, y.Matrix) })
		gated := h.upload(b)
		h.b.CentredGate(gated.Matrix, x.Matrix, gated.Matrix)
		h.check(fmt.Sprint("CentredGate in place ", s), gated, each(s.rows, s.cols, gate))
		bent := h.upload(a)
		h.b.PReLU(bent.Matrix, bent.Matrix, slopes)
		h.check(fmt.Sprint("PReLU in place ", s), bent, each(s.rows, s.cols, prelu))
		positive := h.upload(a)
		h.b.ReLU(positive.Matrix, positive.Matrix)
		h.check(fmt.Sprint("ReLU in place ", s), positive,
			each(s.rows, s.cols, func(i, j int) float64 { return max(a[i][j], 0) }))
		product := h.upload(a)
		h.b.SiLUMul(product.Matrix, product.Matrix, y.Matrix)
		h.check(fmt.Sprint("SiLUMul in place ", s), product,
			each(s.rows, s.cols, func(i, j int) float64 { return silu(a[i][j]) * b[i][j] }))
		inPlace := h.upload(a)
		h.b.AddScaled(inPlace.Matrix, inPlace.Matrix, y.Matrix, 2)
		h.check(fmt.Sprint("AddScaled in place ", s), inPlace,
			each(s.rows, s.cols, func(i, j int) float64 { return a[i][j] + 2*b[i][j] }))
	}
}

// testTransposeRows moves values, which must not change them.
func testTransposeRows(h *harness) {
	for _, s := range []struct{ rows, a, b int }{{1, 1, 5}, {7, 3, 11}, {33, 8, 96}, {2, 48, 64}} {
		x := h.table(s.rows, s.a*s.b)
		dst := h.view(s.rows, s.a*s.b)
		h.b.TransposeRows(dst.Matrix, h.upload(x).Matrix, s.a)
		h.checkWithin(fmt.Sprint(s), dst, each(s.rows, s.a*s.b, func(i, j int) float64 {
			return x[i][j%s.a*s.b+j/s.a]
		}), 0)
	}
}

// moments returns the mean and the variance of row.
func moments(row []float64) (mean, variance float64) {
	for _, v := range row {
		mean += v
	}
	mean /= float64(len(row))
	for _, v := range row {
		variance += (v - mean) * (v - mean)
	}
	return mean, variance / float64(len(row))
}

func testNorms(h *harness) {
	const eps = 1e-6
	for _, s := range sizes[1:] {
		a := h.table(s.rows, s.cols)
		for i := range a {
			for j := range a[i] {
				a[i][j] = h.round(float32(a[i][j] + 3)) // a mean that LayerNorm must subtract
			}
		}
		gain, gains := h.weight(tensor.BF16, s.cols)
		scale, shift := h.table(1, s.cols)[0], h.table(1, s.cols)[0]
		dst := h.view(s.rows, s.cols)
		h.b.RMSNorm(dst.Matrix, h.upload(a).Matrix, gain, eps)
		h.check(fmt.Sprint("RMSNorm ", s), dst, each(s.rows, s.cols, func(i, j int) float64 {
			mean, variance := moments(a[i])
			return a[i][j] / math.Sqrt(variance+mean*mean+eps) * gains[j]
		}))
		dst = h.upload(a)
		h.b.LayerNorm(dst.Matrix, dst.Matrix, h.vector(scale), h.vector(shift), eps)
		h.check(fmt.Sprint("LayerNorm ", s), dst, each(s.rows, s.cols, func(i, j int) float64 {
			mean, variance := moments(a[i])
			return (a[i][j]-mean)/math.Sqrt(variance+eps)*(1+scale[j]) + shift[j]
		}))
	}
}

func testGroupNorm(h *harness) {
	for _, s := range []struct{ rows, groups, width int }{{1, 1, 5}, {35, 4, 3}, {96, 32, 2}, {2100, 4, 16}} {
		for _, withSiLU := range []bool{false, true} {
			cols := s.groups * s.width
			x := h.table(s.rows, cols)
			gamma, gammas := h.weight(tensor.BF16, cols)
			beta, betas := h.weight(tensor.F32, cols)
			want := normalised(x, s.groups, gammas, betas)
			if withSiLU {
				want = each(s.rows, cols, func(i, j int) float64 { return silu(want[i][j]) })
			}
			dst := h.upload(x)
			h.b.GroupNorm(dst.Matrix, dst.Matrix, backend.GroupNormParams{
				Groups: s.groups, Gamma: gamma, Beta: beta, Eps: 1e-6, SiLU: withSiLU,
			})
			h.check(fmt.Sprintf("%+v SiLU %v", s, withSiLU), dst, want)
		}
	}
}

// normalised returns GroupNorm of x with an eps of 1e-6.
func normalised(x table, groups int, gamma, beta []float64) table {
	width := len(x[0]) / groups
	mean, scale := make([]float64, groups), make([]float64, groups)
	for g := range groups {
		var all []float64
		for _, row := range x {
			all = append(all, row[g*width:(g+1)*width]...)
		}
		m, variance := moments(all)
		mean[g], scale[g] = m, 1/math.Sqrt(variance+1e-6)
	}
	return each(len(x), len(x[0]), func(i, j int) float64 {
		return (x[i][j]-mean[j/width])*scale[j/width]*gamma[j] + beta[j]
	})
}

func testPatchify(h *harness) {
	for _, s := range []struct{ height, width, channels, side int }{
		{2, 2, 1, 2}, {4, 6, 3, 2}, {8, 12, 32, 2}, {6, 9, 3, 3}, {8, 20, 3, 4}, {3, 5, 2, 1},
	} {
		x := h.table(s.height*s.width, s.channels)
		n, across := s.side*s.side, s.width/s.side
		want := each(s.height*s.width/n, n*s.channels, func(i, j int) float64 {
			y, x0 := s.side*(i/across)+j%n/s.side, s.side*(i%across)+j%s.side
			return x[y*s.width+x0][j/n]
		})
		dst := h.view(s.height*s.width/n, n*s.channels)
		h.b.Patchify(dst.Matrix, h.upload(x).Matrix, s.height, s.width)
		h.checkWithin(fmt.Sprintf("Patchify %+v", s), dst, want, 0)
		back := h.view(s.height*s.width, s.channels)
		h.b.Unpatchify(back.Matrix, dst.Matrix, s.height, s.width)
		h.checkWithin(fmt.Sprintf("Unpatchify %+v", s), back, x, 0)
	}
}
