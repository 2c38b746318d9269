package kernels

import (
	"encoding/binary"
	"fmt"
	"math"
	"testing"
)

// shapes are ragged on purpose. The layouts decide whether the aligned kernel or the _any kernel runs.
var shapes = []struct {
	rows, cols int
	dst, x     layout
}{
	{1, 8, whole, whole}, {37, 48, whole, whole}, {5, 528, wide, whole}, {3, 16, whole, wide}, {9, 24, wide, wide},
	{1, 1, ragged, ragged}, {33, 7, ragged, ragged}, {3, 31, layout{F32, 3, 1}, ragged}, {
		2, 129, ragged, layout{F32, 3, 1},
	}, {4, 16, whole, ragged},
}

func TestElementwise(t *testing.T) {
	h := newHarness(t)
	for _, s := range shapes {
		a, b := h.random(s.rows, s.cols), h.random(s.rows, s.cols)
		scale, shift := h.random(1, s.cols), h.random(1, s.cols)
		x, y := h.upload(a, s.x), h.upload(b, whole)
		run := func(name string, want func(i, j int) float64, op func(dst Matrix) error) {
			t.Helper()
			dst := h.fenced(s.rows, s.cols, s.dst)
			h.must(op(dst))
			h.check(fmt.Sprint(name, " ", s), dst, each(s.rows, s.cols, want), true)
		}
		run("copy", func(i, j int) float64 { return a[i][j] }, func(dst Matrix) error { return h.Copy(dst, x) })
		run(
			"add scaled", func(i, j int) float64 { return a[i][j] - 0.25*b[i][j] },
			func(dst Matrix) error { return h.AddScaled(dst, x, y, -0.25) },
		)
		run(
			"lerp", func(i, j int) float64 { return a[i][j] + 4*(b[i][j]-a[i][j]) },
			func(dst Matrix) error { return h.Lerp(dst, x, y, 4) },
		)
		run(
			"silu mul", func(i, j int) float64 { return siluOf(a[i][j]) * b[i][j] },
			func(dst Matrix) error { return h.SiLUMul(dst, x, y) },
		)
		run("relu", func(i, j int) float64 { return max(a[i][j], 0) }, func(dst Matrix) error { return h.ReLU(dst, x) })
		run("prelu", func(i, j int) float64 {
			if a[i][j] < 0 {
				return a[i][j] * shift[0][j]
			}
			return a[i][j]
		}, func(dst Matrix) error { return h.PReLU(dst, x, h.upload(shift, s.x)) })
		run("silu", func(i, j int) float64 { return siluOf(a[i][j]) }, func(dst Matrix) error { return h.SiLU(dst, x) })
		run(
			"centred gate", func(i, j int) float64 { return (a[i][j] + b[i][j]) * (1/(1+math.Exp(-b[i][j])) - 0.5) },
			func(dst Matrix) error { return h.CentredGate(dst, x, y) },
		)
		affine := func(i, j int) float64 { return a[i][j]*scale[0][j] + shift[0][j] }
		run(
			"affine", affine,
			func(dst Matrix) error { return h.Affine(dst, x, h.upload(scale, wide), h.upload(shift, s.x), false) },
		)
		run("affine, silu", func(i, j int) float64 { return siluOf(affine(i, j)) }, func(dst Matrix) error {
			return h.Affine(dst, x, h.upload(scale, s.x), h.upload(shift, wide), true)
		})
		h.must(h.AddScaled(x, x, y, 2))
		h.check(
			fmt.Sprint("add scaled in place ", s), x,
			each(s.rows, s.cols, func(i, j int) float64 { return a[i][j] + 2*b[i][j] }), false,
		)
	}
}

func TestCopyIsExact(t *testing.T) {
	h := newHarness(t)
	// Ties are rounded to even; NaN and infinities are kept.
	bits := []uint32{0x3f808000, 0x3f818000, 0x3f808001, 0xff800000, 0x7f7fffff, 0x80000001, 0x7fc00000, 0x00000000}
	want := []uint16{0x3f80, 0x3f82, 0x3f81, 0xff80, 0x7f80, 0x8000, 0x7fff, 0x0000}
	values := make([]float64, len(bits))
	for i, b := range bits {
		values[i] = float64(math.Float32frombits(b))
	}
	dst := h.fenced(1, len(bits), whole)
	h.must(h.Copy(dst, h.row(values, F32)))
	for i, b := 0, h.bytes(dst); i < len(bits); i++ {
		have := binary.LittleEndian.Uint16(b[2*i:])
		if nan := want[i] == 0x7fff; nan != (have&0x7fff > 0x7f80) || !nan && have != want[i] {
			t.Errorf("%#x became %#x, want %#x", bits[i], have, want[i])
		}
	}
}

func TestTransposeRows(t *testing.T) {
	h := newHarness(t)
	for _, s := range []struct {
		rows, height, width int
		l                   layout
	}{{1, 1, 7, ragged}, {5, 3, 4, ragged}, {2, 48, 64, whole}, {33, 8, 96, wide}} {
		cols := s.height * s.width
		x := h.random(s.rows, cols)
		dst := h.fenced(s.rows, cols, s.l)
		h.must(h.TransposeRows(dst, h.upload(x, s.l), s.height))
		h.checkWithin(fmt.Sprint("transpose rows ", s), dst, each(s.rows, cols, func(i, j int) float64 {
			return x[i][j%s.height*s.width+j/s.height]
		}), true, 0)
	}
}

func TestPatchify(t *testing.T) {
	h := newHarness(t)
	for _, s := range []struct {
		height, width, channels, side int
		l                             layout
	}{
		{2, 2, 1, 2, ragged}, {4, 6, 3, 2, ragged}, {8, 12, 32, 2, whole}, {6, 4, 16, 2, wide}, {6, 9, 3, 3, ragged},
		{8, 20, 3, 4, whole}, {3, 5, 2, 1, ragged},
	} {
		x := h.random(s.height*s.width, s.channels)
		n := s.side * s.side
		want := each(s.height*s.width/n, n*s.channels, func(i, j int) float64 {
			across := s.width / s.side
			y, x0 := s.side*(i/across)+j%n/s.side, s.side*(i%across)+j%s.side
			return x[y*s.width+x0][j/n]
		})
		dst := h.fenced(s.height*s.width/n, n*s.channels, s.l)
		h.must(h.Patchify(dst, h.upload(x, s.l), s.height, s.width))
		h.checkWithin(fmt.Sprint("patchify ", s), dst, want, true, 0)
		back := h.fenced(s.height*s.width, s.channels, s.l)
		h.must(h.Unpatchify(back, dst, s.height, s.width))
		h.checkWithin(fmt.Sprint("unpatchify ", s), back, x, true, 0)
	}
}
