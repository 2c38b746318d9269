package cpu

import (
	"math"

	"github.com/kleinbild/kleinbild/inference/backend"
	"github.com/kleinbild/kleinbild/inference/cpu/simd"
)

// AddScaled computes dst = x + s·y.
func (b *Backend) AddScaled(dst, x, y backend.Matrix, s float32) {
	b.combine("AddScaled", dst, x, y, func(out, p, q []float32) {
		for i, v := range p {
			out[i] = v + s*q[i]
		}
	})
}

// Lerp computes dst = x + s·(y − x).
func (b *Backend) Lerp(dst, x, y backend.Matrix, s float32) {
	b.combine("Lerp", dst, x, y, func(out, p, q []float32) {
		for i, v := range p {
			out[i] = v + s*(q[i]-v)
		}
	})
}

// combine calls row for each row of x and y and stores its result in dst. op is the operation's name, for panics.
func (b *Backend) combine(op string, dst, x, y backend.Matrix, row func(out, p, q []float32)) {
	mustMatch(op, dst, x)
	mustMatch(op, dst, y)
	b.parallel(dst.Rows, rowGrain(dst.Cols), func(from, to int) {
		s := scratches.Get().(*scratch)
		defer scratches.Put(s)
		p, q, out := s.row(0, x), s.row(1, y), s.row(2, dst)
		for i := from; i < to; i++ {
			res := target(dst, i, out)
			row(res, load(x, i, p), load(y, i, q))
			store(dst, i, res)
		}
	})
}

// SiLUMul computes dst = silu(x) ⊙ y.
func (b *Backend) SiLUMul(dst, x, y backend.Matrix) {
	b.combine("SiLUMul", dst, x, y, simd.SiLUMul)
}

// ReLU computes dst = max(x, 0).
func (b *Backend) ReLU(dst, x backend.Matrix) {
	mustMatch("ReLU", dst, x)
	b.mapRows(dst, x, func(_ int, out, in []float32) { simd.ReLU(out, in) })
}

// PReLU computes dst = x where x ≥ 0, else x ⊙ slope.
func (b *Backend) PReLU(dst, x backend.Matrix, slope backend.Weight) {
	if b.stop.Load() {
		return
	}
	mustMatch("PReLU", dst, x)
	slopes := vectorOf(slope)
	mustHave(len(slopes) == x.Cols, "PReLU of %d columns with %d slopes", x.Cols, len(slopes))
	b.mapRows(dst, x, func(_ int, out, in []float32) {
		for i, v := range in {
			if v < 0 {
				v *= slopes[i]
			}
			out[i] = v
		}
	})
}

// SiLU computes dst = x·sigmoid(x).
func (b *Backend) SiLU(dst, x backend.Matrix) {
	mustMatch("SiLU", dst, x)
	b.mapRows(dst, x, func(_ int, out, in []float32) { simd.SiLU(out, in) })
}

// CentredGate computes dst = (x + y) ⊙ (sigmoid(y) − 1/2).
func (b *Backend) CentredGate(dst, x, y backend.Matrix) {
	b.combine("CentredGate", dst, x, y, func(out, p, q []float32) {
		var swished [256]float32
		for len(q) > 0 {
			n := min(len(q), len(swished))
			simd.SiLU(swished[:n], q[:n])
			for i, v := range q[:n] {
				// Near 0 the sigmoid is 1/2 + v/4 − v³/48; elsewhere it is the quotient of SiLU and its argument.
				centred := v / 4
				if v > 1e-3 || v < -1e-3 {
					centred = swished[i]/v - 0.5
				}
				out[i] = (p[i] + v) * centred
			}
			out, p, q = out[n:], p[n:], q[n:]
		}
	})
}

// TransposeRows transposes the matrix of a rows that each row of x holds.
func (b *Backend) TransposeRows(dst, x backend.Matrix, a int) {
	mustMatch("TransposeRows", dst, x)
	mustHave(a > 0 && x.Cols%a == 0, "TransposeRows of %d columns, want a multiple of %d", x.Cols, a)
	width := x.Cols / a
	b.mapRows(dst, x, func(_ int, out, in []float32) {
		for j := range a {
			for l, v := range in[j*width : (j+1)*width] {
				out[l*a+j] = v
			}
		}
	})
}

// Affine computes dst = x ⊙ scale + shift.
func (b *Backend) Affine(dst, x, scale, shift backend.Matrix) {
	if b.stop.Load() {
		return
	}
	mustMatch("Affine", dst, x)
	scales, shifts := vector(scale), vector(shift)
	b.mapRows(dst, x, func(_ int, out, in []float32) { simd.MulAdd(out, in, scales, shifts) })
}

// Patchify makes one row of the channels of n×n pixels.
func (b *Backend) Patchify(dst, x backend.Matrix, height, width int) {
	b.patches("Patchify", dst, x, height, width, func(patch, pixel, sub, n int, wide, narrow []float32) {
		res := target(dst, patch, wide)
		for c, v := range load(x, pixel, narrow) {
			res[c*n+sub] = v
		}
		store(dst, patch, res)
	})
}

// Unpatchify is the inverse of Patchify.
func (b *Backend) Unpatchify(dst, x backend.Matrix, height, width int) {
	b.patches("Unpatchify", x, dst, height, width, func(patch, pixel, sub, n int, wide, narrow []float32) {
		in := load(x, patch, wide)
		res := target(dst, pixel, narrow)
		for c := range res {
			res[c] = in[c*n+sub]
		}
		store(dst, pixel, res)
	})
}

// patches calls visit for the n pixels of each patch of side × side, sub being dy·side + dx. wide and narrow are
// scratch rows of a patch and of a pixel. op is the operation's name, for panics.
func (b *Backend) patches(op string, patches, pixels backend.Matrix, height, width int,
	visit func(patch, pixel, sub, n int, wide, narrow []float32),
) {
	side := int(math.Sqrt(float64(patches.Cols / pixels.Cols)))
	n := side * side
	mustHave(side > 0 && height%side == 0 && width%side == 0 && pixels.Rows == height*width &&
		patches.Rows*n == pixels.Rows && patches.Cols == n*pixels.Cols,
		"%s of patches [%d %d] and pixels [%d %d] as %d×%d", op, patches.Rows, patches.Cols, pixels.Rows, pixels.Cols,
		height, width)
	across := width / side
	b.parallel(patches.Rows, rowGrain(patches.Cols), func(from, to int) {
		wide, narrow := make([]float32, patches.Cols), make([]float32, pixels.Cols)
		for p := from; p < to; p++ {
			y, x := side*(p/across), side*(p%across)
			for sub := range n {
				visit(p, (y+sub/side)*width+x+sub%side, sub, n, wide, narrow)
			}
		}
	})
}

// vector returns the single row of m as float32.
func vector(m backend.Matrix) []float32 {
	mustHave(m.Rows == 1, "matrix of %d rows, want 1", m.Rows)
	return load(m, 0, make([]float32, m.Cols))
}
