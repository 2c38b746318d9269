package cpu

import (
	"math"
	"runtime/debug"

	"github.com/kleinbild/kleinbild/inference/backend"
	"github.com/kleinbild/kleinbild/inference/cpu/simd"
)

// RMSNorm divides each row by its root mean square and multiplies it with the weight.
func (b *Backend) RMSNorm(dst, x backend.Matrix, w backend.Weight, eps float32) {
	defer b.recoverFault(debug.SetPanicOnFault(true))
	mustMatch("RMSNorm", dst, x)
	gain := w.(*weight).floats()
	mustHave(len(gain) == x.Cols, "RMSNorm: weight of %d values, want %d", len(gain), x.Cols)
	b.mapRows(dst, x, func(_ int, out, in []float32) { rmsNorm(out, in, gain, eps) })
}

// rmsNorm computes out = in / sqrt(mean(in²) + eps) ⊙ gain; out may be in.
func rmsNorm(out, in, gain []float32, eps float32) {
	r := float32(1 / math.Sqrt(simd.SumSquares(in, 0)/float64(len(in))+float64(eps)))
	for i, v := range in {
		out[i] = v * r * gain[i]
	}
}

// LayerNorm normalises each row and modulates it.
func (b *Backend) LayerNorm(dst, x, scale, shift backend.Matrix, eps float32) {
	if b.stop.Load() {
		return
	}
	mustMatch("LayerNorm", dst, x)
	gains, shifts := append([]float32(nil), vector(scale)...), vector(shift)
	for i := range gains {
		gains[i]++
	}
	b.mapRows(dst, x, func(_ int, out, in []float32) {
		mean := simd.Sum(in) / float64(len(in))
		variance := simd.SumSquares(in, mean) / float64(len(in))
		simd.Normalize(out, in, float32(mean), float32(1/math.Sqrt(variance+float64(eps))))
		simd.MulAdd(out, out, gains, shifts)
	})
}

// QKNormRoPE normalises and rotates the heads of x in place.
func (b *Backend) QKNormRoPE(x backend.Matrix, p backend.QKNormRoPE) {
	if b.stop.Load() {
		return
	}
	defer b.recoverFault(debug.SetPanicOnFault(true))
	mustHave(x.Cols == p.Cols, "QKNormRoPE of %d columns, want %d", x.Cols, p.Cols)
	b.qkNormRoPE(x, p)
}

// qkNormRoPE normalises and rotates the heads of x in place.
func (b *Backend) qkNormRoPE(x backend.Matrix, p backend.QKNormRoPE) {
	gain, rope, eps := p.Weight.(*weight).floats(), p.RoPE, p.Eps
	d := len(gain)
	mustHave(x.Cols%d == 0 && rope.Cos.Rows == x.Rows && rope.Cos.Cols == d/2,
		"Linear: [%d %d] with heads of %d by angles [%d %d]", x.Rows, x.Cols, d, rope.Cos.Rows, rope.Cos.Cols)
	// Pair i of a head is (i, i+half) or (2i, 2i+1).
	stride, partner := 2, 1
	if rope.Halves {
		stride, partner = 1, d/2
	}
	b.mapRows(x, x, func(i int, out, in []float32) {
		cos, sin := rowF32(rope.Cos, i), rowF32(rope.Sin, i)
		for head := 0; head < len(in); head += d {
			h := out[head : head+d]
			rmsNorm(h, in[head:head+d], gain, eps)
			for p, c := range cos {
				a, z := h[p*stride], h[p*stride+partner]
				h[p*stride] = a*c - z*sin[p]
				h[p*stride+partner] = z*c + a*sin[p]
			}
		}
	})
}

// GroupNorm normalises groups of columns over all rows. Sums are float64, since a group of a 1024×1024 picture has four
// million values.
func (b *Backend) GroupNorm(dst, x backend.Matrix, p backend.GroupNormParams) {
	defer b.recoverFault(debug.SetPanicOnFault(true))
	mustMatch("GroupNorm", dst, x)
	gains, shifts := p.Gamma.(*weight).floats(), p.Beta.(*weight).floats()
	width := x.Cols / p.Groups
	mustHave(width*p.Groups == x.Cols && len(gains) == x.Cols, "GroupNorm: %d columns in %d groups, gamma of %d values",
		x.Cols, p.Groups, len(gains))

	// The rows are summed in pieces of a fixed size, whose sums are added in order, so that the result does not depend
	// on the number of threads.
	const pieceRows = 1024
	pieces := (x.Rows + pieceRows - 1) / pieceRows
	sums := make([]float64, pieces*2*p.Groups)
	b.parallel(pieces, 1, func(from, to int) {
		for piece := from; piece < to; piece++ {
			rows := x.RowRange(piece*pieceRows, min((piece+1)*pieceRows, x.Rows))
			groupSums(sums[piece*2*p.Groups:][:2*p.Groups], rows, width)
		}
	})

	// For each column, y = x·scale + shift.
	scale, shift := make([]float32, x.Cols), make([]float32, x.Cols)
	n := float64(x.Rows) * float64(width)
	for g := range p.Groups {
		var s, ss float64
		for piece := range pieces {
			s += sums[piece*2*p.Groups+2*g]
			ss += sums[piece*2*p.Groups+2*g+1]
		}
		mean := s / n
		r := 1 / math.Sqrt(max(ss/n-mean*mean, 0)+float64(p.Eps))
		for c := g * width; c < (g+1)*width; c++ {
			scale[c] = float32(r * float64(gains[c]))
			shift[c] = float32(float64(shifts[c]) - mean*r*float64(gains[c]))
		}
	}
	b.mapRows(dst, x, func(_ int, out, in []float32) {
		simd.MulAdd(out, in, scale, shift)
		if p.SiLU {
			simd.SiLU(out, out)
		}
	})
}

// groupSums adds the sum and the sum of squares of each group of columns of x to acc. For speed each column is summed
// in float32 over a few rows, and these sums are added in float64.
func groupSums(acc []float64, x backend.Matrix, width int) {
	const shortRows = 16
	var s scratch
	wide, sum, squares := s.row(0, x), make([]float32, x.Cols), make([]float32, x.Cols)
	for i := range x.Rows {
		row := load(x, i, wide)
		simd.Add(sum, sum, row)
		simd.MulAdd(squares, row, row, squares)
		if i%shortRows == shortRows-1 || i == x.Rows-1 {
			for c := range sum {
				acc[2*(c/width)] += float64(sum[c])
				acc[2*(c/width)+1] += float64(squares[c])
			}
			clear(sum)
			clear(squares)
		}
	}
}
