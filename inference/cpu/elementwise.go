package cpu

import (
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
	b.mapRows(dst, x, func(_ int, out, in []float32) {
		for i, v := range in {
			if v < 0 {
				v = 0
			}
			out[i] = v
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

// Patchify makes one row of the channels of 2×2 pixels.
func (b *Backend) Patchify(dst, x backend.Matrix, height, width int) {
	mustHave(x.Rows == height*width && dst.Rows*4 == x.Rows && dst.Cols == 4*x.Cols,
		"Patchify of [%d %d] as %d×%d into [%d %d]", x.Rows, x.Cols, height, width, dst.Rows, dst.Cols)
	b.patches(height, width, x.Cols, func(patch, pixel, sub int, wide, narrow []float32) {
		res := target(dst, patch, wide)
		for c, v := range load(x, pixel, narrow) {
			res[c*4+sub] = v
		}
		store(dst, patch, res)
	})
}

// Unpatchify is the inverse of Patchify.
func (b *Backend) Unpatchify(dst, x backend.Matrix, height, width int) {
	mustHave(dst.Rows == height*width && x.Rows*4 == dst.Rows && x.Cols == 4*dst.Cols,
		"Unpatchify of [%d %d] into [%d %d] as %d×%d", x.Rows, x.Cols, dst.Rows, dst.Cols, height, width)
	b.patches(height, width, dst.Cols, func(patch, pixel, sub int, wide, narrow []float32) {
		in := load(x, patch, wide)
		res := target(dst, pixel, narrow)
		for c := range res {
			res[c] = in[c*4+sub]
		}
		store(dst, pixel, res)
	})
}

// patches calls visit for the four pixels of each patch, sub being dy·2 + dx. wide and narrow are scratch rows of a
// patch and of a pixel.
func (b *Backend) patches(height, width, cols int, visit func(patch, pixel, sub int, wide, narrow []float32)) {
	b.parallel(height/2*(width/2), rowGrain(4*cols), func(from, to int) {
		wide, narrow := make([]float32, 4*cols), make([]float32, cols)
		for p := from; p < to; p++ {
			y, x := 2*(p/(width/2)), 2*(p%(width/2))
			for sub := range 4 {
				visit(p, (y+sub/2)*width+x+sub%2, sub, wide, narrow)
			}
		}
	})
}

// vector returns the single row of m as float32.
func vector(m backend.Matrix) []float32 {
	mustHave(m.Rows == 1, "matrix of %d rows, want 1", m.Rows)
	return load(m, 0, make([]float32, m.Cols))
}
