package kernels

import (
	"bytes"
	"fmt"
	"math"
	"testing"
)

// TestGEMM runs every variant on ragged edges with every epilogue. All variants give the same bits if they store BF16.
func TestGEMM(t *testing.T) { onEachDevice(t, testGEMM) }

func testGEMM(h *harness) {
	for _, s := range []struct{ m, n, k int }{
		{1, 48, 80}, {70, 80, 48}, {130, 264, 32}, {5, 16, 224}, {33, 8, 8}, {1100, 136, 16}, {9, 24, 520},
	} {
		a, b := h.random(s.m, s.k), h.random(s.n, s.k)
		bias, gate, old := h.random(1, s.n), h.random(1, s.n), h.random(s.m, s.n)
		y := product(a, b)
		x, w := h.upload(a, whole), h.upload(b, whole)
		for _, e := range []struct {
			name            string
			bias, add, gate bool
		}{
			{"plain", false, false, false}, {"bias", true, false, false}, {"residual", false, true, false},
			{"bias and gated residual", true, true, true},
		} {
			if (s.k > 80 || s.m == 1100) && e.add {
				continue // with many slices, or several bands of tiles, one epilogue is enough
			}
			epilogue := Epilogue{Add: e.add}
			if e.bias {
				epilogue.Bias = h.row(bias[0], F32)
			}
			if e.gate {
				epilogue.Gate = h.row(gate[0], BF16)
			}
			want := each(s.m, s.n, func(i, j int) float64 {
				v := y[i][j]
				if e.bias {
					v += bias[0][j]
				}
				if e.gate {
					v *= gate[0][j]
				}
				if e.add {
					v += old[i][j]
				}
				return v
			})
			var first []byte
			for v, name := range OpGEMM.Variants(Shape{}) {
				if !h.tries(Shape{Operation: gemm}, v, strict) {
					continue
				}
				dst := h.fenced(s.m, s.n, whole)
				if e.add {
					h.must(h.Copy(dst, h.upload(old, whole)))
				}
				h.must(h.GEMM(dst, x, w, epilogue, Variant(v)))
				label := fmt.Sprintf("%s %+v, %s", name, s, e.name)
				h.check(label, dst, want, true)
				if have := h.bytes(dst); first == nil {
					first = have
				} else if !bytes.Equal(first, have) {
					h.Errorf("%s: not the bits of the first", label)
				}
			}
			dst := h.fenced(s.m, s.n, wide)
			if e.add {
				h.must(h.Copy(dst, h.upload(old, wide)))
			}
			h.must(h.GEMM(dst, x, w, epilogue, Auto))
			h.check(fmt.Sprintf("to F32 %+v, %s", s, e.name), dst, want, true)
		}
	}
}

// TestSiLU runs the products that end in SiLU.
func TestSiLU(t *testing.T) {
	h := newHarness(t)
	for _, s := range []struct {
		m, n, k int
		l       layout
	}{{1, 48, 80, whole}, {70, 80, 48, whole}, {5, 7, 3, ragged}, {3, 16, 24, wide}} {
		operands := whole
		if s.l == ragged {
			operands = ragged
		}
		a, b := h.random(s.m, s.k), h.random(s.n, s.k)
		y := product(a, b)
		dst := h.fenced(s.m, s.n, s.l)
		h.must(h.GEMM(dst, h.upload(a, operands), h.upload(b, operands), Epilogue{SiLU: true}, Auto))
		h.check(fmt.Sprintf("%+v", s), dst, each(s.m, s.n, func(i, j int) float64 { return siluOf(y[i][j]) }), true)
	}
}

// TestGEMMQKNormRoPE runs every variant that normalises and rotates heads, with columns behind them, and products that
// the kernel qk_norm_rope follows.
func TestGEMMQKNormRoPE(t *testing.T) { onEachDevice(t, testGEMMQKNormRoPE) }

func testGEMMQKNormRoPE(h *harness) {
	const eps = 1e-6
	for _, s := range []struct {
		m, n, k, cols, d int
		halves           bool
		l                layout
	}{
		{1, 128, 80, 128, 128, false, whole}, {70, 384, 48, 256, 128, true, whole},
		{150, 256, 32, 256, 128, false, whole}, {200, 384, 24, 128, 128, true, whole},
		{9, 264, 16, 256, 128, false, whole}, {33, 96, 48, 64, 32, true, whole}, {7, 256, 16, 128, 128, false, ragged},
	} {
		a, b, w, angles := h.random(s.m, s.k), h.random(s.n, s.k), h.random(1, s.d), h.random(s.m, s.d/2)
		y := product(a, b)
		rope := RoPE{
			Cos:    h.upload(each(s.m, s.d/2, func(i, j int) float64 { return math.Cos(angles[i][j]) }), wide),
			Sin:    h.upload(each(s.m, s.d/2, func(i, j int) float64 { return math.Sin(angles[i][j]) }), layout{dtype: F32}),
			Halves: s.halves,
		}
		e := Epilogue{QKNormRoPE: QKNormRoPE{Cols: s.cols, Weight: h.row(w[0], DType(s.m%2)), Eps: eps, RoPE: rope}}
		rotated := rotatedHeads(y, s.d, w[0], angles, s.halves, eps)
		want := each(s.m, s.n, func(i, j int) float64 {
			if j < s.cols {
				return rotated(i, j)
			}
			return y[i][j]
		})
		var first []byte
		for v, name := range OpGEMMQKNormRoPE.Variants(Shape{}) {
			fused := s.d == headCols && s.l == whole
			if fused && !h.tries(Shape{Operation: gemmQKNormRoPE}, v, strict) || !fused && v > 0 {
				continue
			}
			dst, tolerance := h.fenced(s.m, s.n, s.l), toleranceOf(Matrix{Rows: s.m, Cols: s.n})
			if !fused {
				tolerance *= 1.5 // rounded twice
			}
			h.must(h.GEMM(dst, h.upload(a, s.l), h.upload(b, s.l), e, Variant(v)))
			label := fmt.Sprintf("%s %+v", name, s)
			h.checkWithin(label, dst, want, true, tolerance)
			if have := h.bytes(dst); first == nil {
				first = have
			} else if !bytes.Equal(first, have) {
				h.Errorf("%s: not the bits of the first", label)
			}
		}
	}
}

// TestGEMMAnywhere takes operands that the fast kernels refuse.
func TestGEMMAnywhere(t *testing.T) {
	h := newHarness(t)
	for _, s := range []struct{ m, n, k int }{{1, 1, 1}, {5, 7, 3}, {67, 65, 33}, {31, 129, 127}} {
		a, b, old := h.random(s.m, s.k), h.random(s.n, s.k), h.random(s.m, s.n)
		gate := h.random(1, s.n)
		y := product(a, b)
		for _, l := range []layout{ragged, {F32, 3, 1}} {
			dst := h.fenced(s.m, s.n, l)
			h.must(h.Copy(dst, h.upload(old, l)))
			h.must(h.GEMM(dst, h.upload(a, ragged), h.upload(b, ragged), Epilogue{Add: true, Gate: h.row(gate[0], F32)}, 0))
			h.check(
				fmt.Sprint(s, l), dst, each(s.m, s.n, func(i, j int) float64 { return old[i][j] + gate[0][j]*y[i][j] }), true,
			)
		}
	}
}

// TestGEMMRowsAnywhere has aligned operands, but a bias or a gate that begins between two pairs of columns.
func TestGEMMRowsAnywhere(t *testing.T) { onEachDevice(t, testGEMMRowsAnywhere) }

func testGEMMRowsAnywhere(h *harness) {
	a, b, old, bias, gate := h.random(5, 16), h.random(24, 16), h.random(5, 24), h.random(1, 24), h.random(1, 24)
	y := product(a, b)
	want := each(5, 24, func(i, j int) float64 { return old[i][j] + gate[0][j]*(y[i][j]+bias[0][j]) })
	for _, l := range []struct{ bias, gate layout }{
		{layout{F32, 0, 1}, layout{BF16, 0, 0}}, {layout{F32, 0, 0}, layout{BF16, 0, 1}},
	} {
		dst := h.fenced(5, 24, whole)
		h.must(h.Copy(dst, h.upload(old, whole)))
		e := Epilogue{Bias: h.upload(bias, l.bias), Gate: h.upload(gate, l.gate), Add: true}
		h.must(h.GEMM(dst, h.upload(a, whole), h.upload(b, whole), e, Auto))
		h.check(fmt.Sprintf("%+v", l), dst, want, true)
	}
}

func TestSwiGLU(t *testing.T) { onEachDevice(t, testSwiGLU) }

func testSwiGLU(h *harness) {
	for _, s := range []struct {
		m, n, k int
		l       layout
	}{{1, 16, 48, whole}, {130, 144, 80, whole}, {31, 48, 32, whole}, {9, 24, 520, whole}, {7, 33, 17, ragged}} {
		a, gate, up := h.random(s.m, s.k), h.random(s.n, s.k), h.random(s.n, s.k)
		g, u := product(a, gate), product(a, up)
		want := each(s.m, s.n, func(i, j int) float64 { return siluOf(g[i][j]) * u[i][j] })
		var first []byte
		for v, name := range OpSwiGLU.Variants(Shape{}) {
			if !h.tries(Shape{Operation: swiglu}, v, s.l.alignment()) {
				continue
			}
			dst := h.fenced(s.m, s.n, s.l)
			h.must(h.SwiGLU(dst, h.upload(a, s.l), h.upload(gate, s.l), h.upload(up, s.l), Variant(v)))
			h.check(fmt.Sprintf("%s %+v", name, s), dst, want, true)
			if have := h.bytes(dst); first == nil {
				first = have
			} else if !bytes.Equal(first, have) {
				h.Errorf("%s %+v: not the bits of the first", name, s)
			}
		}
	}
}

// TestBeside multiplies by weights whose last columns are in another matrix. Every variant gives the bits that it gives
// if all columns are in one.
func TestBeside(t *testing.T) { onEachDevice(t, testBeside) }

func testBeside(h *harness) {
	for _, s := range []struct {
		m, n, k, r int
		l          layout // of the operands
	}{{33, 136, 64, 8, whole}, {70, 128, 128, 40, whole}, {5, 24, 64, 13, ragged}} {
		a, b, c := h.random(s.m, s.k+s.r), h.random(s.n, s.k+s.r), h.random(s.n, s.k+s.r)
		columns := func(m table, from, to int) Matrix {
			part := make(table, len(m))
			for i, row := range m {
				part[i] = row[from:to]
			}
			return h.upload(part, s.l)
		}
		angles := layout{dtype: F32}
		qk := QKNormRoPE{
			Cols: 128, Weight: h.row(h.random(1, 128)[0], BF16), Eps: 1e-6,
			RoPE: RoPE{Cos: h.upload(h.random(s.m, 64), angles), Sin: h.upload(h.random(s.m, 64), angles)},
		}
		x, one, two := h.upload(a, s.l), h.upload(b, s.l), h.upload(c, s.l)
		oneLeft, oneRight := columns(b, 0, s.k), columns(b, s.k, s.k+s.r)
		twoLeft, twoRight := columns(c, 0, s.k), columns(c, s.k, s.k+s.r)
		for _, row := range []struct {
			operation   string
			whole, part func(dst Matrix, v Variant) error
		}{
			{gemm, func(dst Matrix, v Variant) error { return h.GEMM(dst, x, one, Epilogue{}, v) },
				func(dst Matrix, v Variant) error { return h.GEMM(dst, x, oneLeft, Epilogue{Beside: oneRight}, v) }},
			{gemmQKNormRoPE, func(dst Matrix, v Variant) error { return h.GEMM(dst, x, one, Epilogue{QKNormRoPE: qk}, v) },
				func(dst Matrix, v Variant) error {
					return h.GEMM(dst, x, oneLeft, Epilogue{QKNormRoPE: qk, Beside: oneRight}, v)
				}},
			{swiglu, func(dst Matrix, v Variant) error { return h.SwiGLU(dst, x, one, two, v) },
				func(dst Matrix, v Variant) error {
					return h.SwiGLUBeside(dst, x, oneLeft, twoLeft, oneRight, twoRight, v)
				}},
		} {
			if row.operation == gemmQKNormRoPE && s.n%128 != 0 {
				continue
			}
			for v, name := range Find(row.operation).Variants(Shape{}) {
				if !h.tries(Shape{Operation: row.operation}, v, s.l.alignment()) {
					continue
				}
				want, have := h.fenced(s.m, s.n, s.l), h.fenced(s.m, s.n, s.l)
				h.must(row.whole(want, Variant(v)))
				h.must(row.part(have, Variant(v)))
				if !bytes.Equal(h.bytes(want), h.bytes(have)) {
					h.Errorf("%s %+v: not the bits of a product with one matrix", name, s)
				}
			}
		}
	}
}
