package kernels

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/kleinbild/kleinbild/inference/tensor"
	"github.com/kleinbild/kleinbild/kernels/cu"
)

// quantised allocates a matrix of int8 for rows of cols columns, and its scales. All its bytes are fences, and so are
// those between its rows.
func (h *harness) quantised(rows, cols int) Quantised {
	h.Helper()
	m := Matrix{Rows: rows, Cols: Int8Columns(cols), Stride: Int8Columns(cols) + Int8Multiple, DType: I8}
	m.Data = h.stored(slices.Repeat([]byte{fence}, rows*m.Stride))
	return Quantised{Values: m, Scales: h.memory(4 * rows)}
}

// scalesOf reads the scales of m.
func (h *harness) scalesOf(m Quantised) []float32 {
	h.Helper()
	b := h.bytes(Matrix{Data: m.Scales, Rows: 1, Cols: m.Values.Rows, DType: F32})
	scales := make([]float32, m.Values.Rows)
	for i := range scales {
		scales[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return scales
}

// quantiseRow rotates and quantises a row as package tensor defines it.
func quantiseRow(row []float64, group int) ([]int8, float32) {
	v, q := make([]float32, len(row)), make([]int8, len(row))
	for i := range row {
		v[i] = float32(row[i])
	}
	tensor.Rotate(v, group)
	return q, tensor.QuantiseInt8(q, v)
}

// TestQuantise compares with package tensor, to the bit: values, scales, the zeros behind the last column, and what is
// between the rows.
func TestQuantise(t *testing.T) {
	h := newHarness(t)
	for _, s := range []struct {
		rows, cols, group int
		x                 layout
	}{
		{3, 2304, 256, whole}, {2, 192, 64, ragged}, {3, 48, 16, wide}, {2, 20, 4, ragged}, {4, 1, 0, ragged},
		{5, 72, 0, whole}, {2, 12288, 256, whole}, {3, 4097, 0, wide}, {2, 8192, 64, ragged},
	} {
		x := each(s.rows, s.cols, func(i, _ int) float64 {
			if i == 1 {
				return widen(round(math.Ldexp(h.rng.NormFloat64(), -130))) // all scales are 1e-30 there
			}
			return widen(round(math.Ldexp(h.rng.NormFloat64(), h.rng.IntN(12))))
		})
		x[0][s.cols-1] = -widen(round(1e37))
		dst := h.quantised(s.rows, s.cols)
		h.must(h.Quantise(dst, h.upload(x, s.x), s.group))
		bytes, scales := h.bytes(dst.Values), h.scalesOf(dst)
		for i, row := range x {
			want, scale := quantiseRow(row, s.group)
			if math.Float32bits(scales[i]) != math.Float32bits(scale) {
				t.Fatalf("%+v: scale of row %d is %v, want %v", s, i, scales[i], scale)
			}
			for j, have := range bytes[i*dst.Values.Stride:][:min(dst.Values.Stride, len(bytes)-i*dst.Values.Stride)] {
				switch {
				case j < s.cols && int8(have) != want[j]:
					t.Fatalf("%+v: [%d,%d] is %d, want %d", s, i, j, int8(have), want[j])
				case j >= s.cols && j < dst.Values.Cols && have != 0:
					t.Fatalf("%+v: [%d,%d] is %d, want 0 behind the last column", s, i, j, int8(have))
				case j >= dst.Values.Cols && have != fence:
					t.Fatalf("%+v: wrote %d behind row %d", s, have, i)
				}
			}
		}
	}
}

// TestQuantiseNaN checks that a row with a NaN or an infinity anywhere has the scale NaN, and no other row has it.
func TestQuantiseNaN(t *testing.T) {
	h := newHarness(t)
	for _, group := range []int{0, 16} {
		for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
			x := h.random(3, 4160)
			x[1][h.rng.IntN(4160)] = bad
			dst := h.quantised(3, 4160)
			h.must(h.Quantise(dst, h.upload(x, layout{dtype: F32}), group))
			for i, scale := range h.scalesOf(dst) {
				if math.IsNaN(float64(scale)) != (i == 1) {
					t.Errorf("%v, groups of %d: scale of row %d is %v", bad, group, i, scale)
				}
			}
		}
	}
}

// randomInt8 uploads a matrix of int8 with all values from -128 on, whose columns are filled up with zeros, and random
// scales. It returns the values that it means, in float64 without a rounding, and the integers and scales.
func (h *harness) randomInt8(rows, cols int) (m Quantised, values [][]int, scales []float32) {
	h.Helper()
	m = h.quantised(rows, cols)
	data := slices.Repeat([]byte{fence}, rows*m.Values.Stride)
	for i := range rows {
		row := make([]int, cols)
		line := data[i*m.Values.Stride:][:m.Values.Cols]
		clear(line)
		for j := range row {
			line[j] = byte(h.rng.Uint32())
			row[j] = int(int8(line[j]))
		}
		values, scales = append(values, row), append(scales, 0.001+h.rng.Float32()/256)
	}
	h.must(h.stream.MemcpyHtoDAsync(m.Values.Data, data))
	m.Scales = h.floats(scales)
	return m, values, scales
}

// int8Product returns the values of a product to the bit: sums of integers, multiplied by two scales one after the
// other.
func int8Product(a, b [][]int, scalesA, scalesB []float32) table {
	return each(len(a), len(b), func(i, j int) float64 {
		sum := 0
		for k, v := range a[i] {
			sum += v * b[j][k]
		}
		return float64(float32(float32(sum)*scalesA[i]) * scalesB[j])
	})
}

// TestInt8GEMM runs every variant on ragged edges with every epilogue. The product alone is that of the formula to the
// bit. All variants give the same bits.
func TestInt8GEMM(t *testing.T) { onEachDevice(t, testInt8GEMM) }

func testInt8GEMM(h *harness) {
	for _, s := range []struct{ m, n, k int }{
		{1, 48, 80}, {70, 80, 100}, {130, 264, 64}, {5, 16, 448}, {33, 8, 1}, {1100, 136, 32}, {9, 24, 1040},
	} {
		x, a, scalesA := h.randomInt8(s.m, s.k)
		w, b, scalesB := h.randomInt8(s.n, s.k)
		bias, gate, old := h.random(1, s.n), h.random(1, s.n), h.random(s.m, s.n)
		y := int8Product(a, b, scalesA, scalesB)
		for _, e := range []struct {
			name                  string
			bias, add, gate, silu bool
		}{
			{name: "plain"}, {name: "SiLU", silu: true}, {name: "bias", bias: true}, {name: "residual", add: true},
			{name: "bias and gated residual", bias: true, add: true, gate: true},
		} {
			if (s.k > 100 || s.m == 1100) && e.name != "plain" {
				continue // with many slices, or several bands of tiles, one epilogue is enough
			}
			epilogue := Epilogue{Add: e.add, SiLU: e.silu}
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
				if e.silu {
					v = siluOf(v)
				}
				return v
			})
			var first []byte
			operation := epilogue.NarrowOperation(I8)
			for v, name := range Find(operation).Variants(Shape{}) {
				if !h.tries(Shape{Operation: operation}, v, strict) {
					continue
				}
				dst := h.fenced(s.m, s.n, whole)
				if e.add {
					h.must(h.Copy(dst, h.upload(old, whole)))
				}
				h.must(h.NarrowGEMM(dst, x, w, epilogue, Variant(v)))
				label := fmt.Sprintf("%s %+v, %s", name, s, e.name)
				if e.name == "plain" {
					h.checkWithin(label, dst, each(s.m, s.n, func(i, j int) float64 { return widen(round(y[i][j])) }), true, 0)
				}
				h.check(label, dst, want, true)
				if have := h.bytes(dst); first == nil {
					first = have
				} else if !bytes.Equal(first, have) {
					h.Errorf("%s: not the bits of the first", label)
				}
			}
			for _, l := range []layout{wide, ragged, {F32, 3, 1}} {
				dst := h.fenced(s.m, s.n, l)
				if e.add {
					h.must(h.Copy(dst, h.upload(old, l)))
				}
				h.must(h.NarrowGEMM(dst, x, w, epilogue, Auto))
				label := fmt.Sprintf("%+v, %s, to %+v", s, e.name, l)
				if e.name == "plain" && l.dtype == F32 {
					h.checkWithin(label, dst, y, true, 0)
				}
				h.check(label, dst, want, true)
			}
		}
	}
}

// TestInt8GEMMScalesAnywhere has a weight that begins with an odd row, so that its scales do not lie in pairs.
func TestInt8GEMMScalesAnywhere(t *testing.T) {
	h := newHarness(t)
	x, a, scalesA := h.randomInt8(33, 48)
	w, b, scalesB := h.randomInt8(25, 48)
	w.Values.Data += cu.DevicePtr(w.Values.Stride)
	w.Values.Rows, w.Scales = 24, w.Scales+4
	dst := h.fenced(33, 24, layout{dtype: F32})
	h.must(h.NarrowGEMM(dst, x, w, Epilogue{}, Auto))
	h.checkWithin("from row 1", dst, int8Product(a, b[1:], scalesA, scalesB[1:]), true, 0)
}

// TestInt8LargestSums has the largest sums of the deepest product, at which an int32 is nearly full.
func TestInt8LargestSums(t *testing.T) {
	h := newHarness(t)
	const depth = MaxInt8Depth - Int8Multiple
	fill := func(v byte) Quantised {
		m := Quantised{
			Values: Matrix{Rows: 8, Cols: depth, Stride: depth, DType: I8}, Scales: h.floats(slices.Repeat([]float32{1}, 8)),
		}
		m.Values.Data = h.stored(slices.Repeat([]byte{v}, 8*depth))
		return m
	}
	least := fill(0x80)
	dst := h.fenced(8, 8, layout{dtype: F32})
	h.must(h.NarrowGEMM(dst, least, least, Epilogue{}, Auto))
	h.checkWithin("(−128)²", dst, each(8, 8, func(int, int) float64 { return 128 * 128 * depth }), true, 0)
	h.must(h.NarrowGEMM(dst, fill(127), least, Epilogue{}, Auto))
	want := float64(float32(-127 * 128 * depth))
	h.checkWithin("127·(−128)", dst, each(8, 8, func(int, int) float64 { return want }), true, 0)
}

// TestInt8GEMMQKNormRoPE runs every variant that normalises and rotates heads, with columns behind them, and products
// that the kernel qk_norm_rope follows.
func TestInt8GEMMQKNormRoPE(t *testing.T) { onEachDevice(t, testInt8GEMMQKNormRoPE) }

func testInt8GEMMQKNormRoPE(h *harness) {
	const eps = 1e-6
	for _, s := range []struct {
		m, n, k, cols, d int
		halves           bool
		l                layout
	}{
		{1, 128, 80, 128, 128, false, whole}, {70, 384, 48, 256, 128, true, whole},
		{150, 256, 32, 256, 128, false, whole}, {9, 264, 16, 256, 128, false, whole},
		{33, 96, 48, 64, 32, true, whole}, {7, 256, 16, 128, 128, false, ragged},
	} {
		x, a, scalesA := h.randomInt8(s.m, s.k)
		b, values, scalesB := h.randomInt8(s.n, s.k)
		y := int8Product(a, values, scalesA, scalesB)
		w, angles := h.random(1, s.d), h.random(s.m, s.d/2)
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
		for v, name := range OpInt8GEMMQKNormRoPE.Variants(Shape{}) {
			fused := s.d == headCols && s.l == whole
			if fused && !h.tries(Shape{Operation: int8GEMMQKNormRoPE}, v, strict) || !fused && v > 0 {
				continue
			}
			dst, tolerance := h.fenced(s.m, s.n, s.l), toleranceOf(Matrix{Rows: s.m, Cols: s.n})
			if !fused {
				tolerance *= 1.5 // rounded twice
			}
			h.must(h.NarrowGEMM(dst, x, b, e, Variant(v)))
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

// TestInt8SwiGLU runs every variant, into results of any alignment.
func TestInt8SwiGLU(t *testing.T) { onEachDevice(t, testInt8SwiGLU) }

func testInt8SwiGLU(h *harness) {
	for _, s := range []struct {
		m, n, k int
		l       layout
	}{{1, 16, 48, whole}, {130, 144, 80, whole}, {31, 48, 32, whole}, {9, 24, 1040, whole}, {7, 33, 17, ragged}} {
		x, a, scalesA := h.randomInt8(s.m, s.k)
		gate, gates, scalesG := h.randomInt8(s.n, s.k)
		up, ups, scalesU := h.randomInt8(s.n, s.k)
		g, u := int8Product(a, gates, scalesA, scalesG), int8Product(a, ups, scalesA, scalesU)
		want := each(s.m, s.n, func(i, j int) float64 { return siluOf(g[i][j]) * u[i][j] })
		var first []byte
		have := strict
		if s.l == ragged {
			have = loose
		}
		for v, name := range OpInt8SwiGLU.Variants(Shape{}) {
			if !h.tries(Shape{Operation: int8SwiGLU}, v, have) {
				continue
			}
			dst := h.fenced(s.m, s.n, s.l)
			h.must(h.NarrowSwiGLU(dst, x, gate, up, Variant(v)))
			h.check(fmt.Sprintf("%s %+v", name, s), dst, want, true)
			if have := h.bytes(dst); first == nil {
				first = have
			} else if !bytes.Equal(first, have) {
				h.Errorf("%s %+v: not the bits of the first", name, s)
			}
		}
	}
}

// TestInt8Beside multiplies factors with further columns in bfloat16, with every epilogue that takes them. All variants
// give the same bits.
func TestInt8Beside(t *testing.T) { onEachDevice(t, testInt8Beside) }

func testInt8Beside(h *harness) {
	for _, s := range []struct{ m, n, k, r int }{{33, 136, 48, 8}, {70, 128, 100, 72}, {5, 264, 16, 200}} {
		x, a, scalesA := h.randomInt8(s.m, s.k)
		w, b, scalesB := h.randomInt8(s.n, s.k)
		v, c, scalesC := h.randomInt8(s.n, s.k)
		// Both summands are of the same size, so that an error in one of them shows.
		thin := func(rows int) (table, Matrix) {
			values := h.random(rows, s.r)
			for _, row := range values {
				for j := range row {
					row[j] = widen(round(row[j] * math.Pow(float64(s.k)/float64(s.r), 0.25) * 0.4))
				}
			}
			return values, h.upload(values, whole)
		}
		var aThin, bThin, cThin table
		aThin, x.Beside = thin(s.m)
		bThin, w.Beside = thin(s.n)
		cThin, v.Beside = thin(s.n)
		sum := func(ints, floats table) table {
			return each(s.m, s.n, func(i, j int) float64 { return ints[i][j] + floats[i][j] })
		}
		y := sum(int8Product(a, b, scalesA, scalesB), product(aThin, bThin))
		u := sum(int8Product(a, c, scalesA, scalesC), product(aThin, cThin))
		gain, angles, old, gate := h.random(1, 128)[0], h.random(s.m, 64), h.random(s.m, s.n), h.random(1, s.n)
		qk := QKNormRoPE{Cols: 128, Weight: h.row(gain, BF16), Eps: 1e-6, RoPE: RoPE{
			Cos: h.upload(each(s.m, 64, func(i, j int) float64 { return math.Cos(angles[i][j]) }), layout{dtype: F32}),
			Sin: h.upload(each(s.m, 64, func(i, j int) float64 { return math.Sin(angles[i][j]) }), layout{dtype: F32}),
		}}
		rotated := rotatedHeads(y, 128, gain, angles, false, 1e-6)
		for _, row := range []struct {
			operation string
			want      func(i, j int) float64
			run       func(dst Matrix, v Variant) error
		}{
			{int8GEMM, func(i, j int) float64 { return old[i][j] + gate[0][j]*y[i][j] }, func(dst Matrix, v Variant) error {
				h.must(h.Copy(dst, h.upload(old, whole)))
				return h.NarrowGEMM(dst, x, w, Epilogue{Add: true, Gate: h.row(gate[0], F32)}, v)
			}},
			{int8GEMMQKNormRoPE, func(i, j int) float64 {
				if j < 128 {
					return rotated(i, j)
				}
				return y[i][j]
			}, func(dst Matrix, v Variant) error { return h.NarrowGEMM(dst, x, w, Epilogue{QKNormRoPE: qk}, v) }},
			{int8SwiGLU, func(i, j int) float64 { return siluOf(y[i][j]) * u[i][j] }, func(dst Matrix, variant Variant) error {
				return h.NarrowSwiGLU(dst, x, w, v, variant)
			}},
		} {
			var first []byte
			shape := Shape{Operation: row.operation, Beside: s.r}
			for v, name := range Find(row.operation).Variants(shape) {
				if !h.tries(shape, v, strict) {
					continue
				}
				dst := h.fenced(s.m, s.n, whole)
				h.must(row.run(dst, Variant(v)))
				h.check(fmt.Sprintf("%s %+v", name, s), dst, each(s.m, s.n, row.want), true)
				if have := h.bytes(dst); first == nil {
					first = have
				} else if !bytes.Equal(first, have) {
					h.Errorf("%s %+v: not the bits of the first", name, s)
				}
			}
		}
		dst := h.fenced(s.m, s.n, ragged)
		h.must(h.NarrowGEMM(dst, x, w, Epilogue{}, Auto))
		h.check(fmt.Sprintf("anywhere %+v", s), dst, y, true)
	}
}
