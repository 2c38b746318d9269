package kernels

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/kleinbild/kleinbild/inference/tensor"
)

// fp8Matrix allocates a matrix of fp8 for rows of cols columns, and its scales. All its bytes are fences, and so are
// those between its rows.
func (h *harness) fp8Matrix(rows, cols int) Quantised {
	h.Helper()
	m := h.quantised(rows, cols)
	m.Values.DType = F8
	return m
}

// TestQuantiseFP8 compares with package tensor, to the bit: values, scales, the zeros behind the last column, and what
// is between the rows. A row with a NaN or an infinity has the scale NaN.
func TestQuantiseFP8(t *testing.T) { onAda(t, testQuantiseFP8) }

func testQuantiseFP8(h *harness) {
	for _, s := range []struct {
		rows, cols, group int
		x                 layout
	}{{3, 2304, 0, whole}, {2, 20, 4, ragged}, {4, 1, 0, ragged}, {2, 8192, 256, whole}, {3, 4097, 0, wide}} {
		x := each(s.rows, s.cols, func(i, _ int) float64 {
			if i == 1 {
				return widen(round(math.Ldexp(h.rng.NormFloat64(), -130))) // all scales are 1e-30 there
			}
			return widen(round(math.Ldexp(h.rng.NormFloat64(), h.rng.IntN(12)-6)))
		})
		if s.rows > 2 {
			x[2][h.rng.IntN(s.cols)] = []float64{math.NaN(), math.Inf(1), math.Inf(-1)}[h.rng.IntN(3)]
		}
		dst := h.fp8Matrix(s.rows, s.cols)
		h.must(h.Quantise(dst, h.upload(x, s.x), s.group))
		bytes, scales := h.bytes(dst.Values), h.scalesOf(dst)
		for i, row := range x {
			v, want := make([]float32, s.cols), make([]byte, s.cols)
			for j := range row {
				v[j] = float32(row[j])
			}
			tensor.Rotate(v, s.group)
			scale := tensor.QuantiseFP8(want, v)
			if math.IsNaN(float64(scale)) != (i == 2) {
				h.Fatalf("%+v: scale of row %d is %v", s, i, scale)
			}
			if i == 2 {
				if !math.IsNaN(float64(scales[i])) {
					h.Errorf("%+v: scale of row %d is %v, want NaN", s, i, scales[i])
				}
				continue
			}
			if scales[i] != scale {
				h.Fatalf("%+v: scale of row %d is %v, want %v", s, i, scales[i], scale)
			}
			for j, have := range bytes[i*dst.Values.Stride:][:min(dst.Values.Stride, len(bytes)-i*dst.Values.Stride)] {
				switch {
				case j < s.cols && have != want[j]:
					h.Fatalf("%+v: [%d,%d] is %#x, want %#x of %v", s, i, j, have, want[j], v[j])
				case j >= s.cols && j < dst.Values.Cols && have != 0:
					h.Fatalf("%+v: [%d,%d] is %#x, want 0 behind the last column", s, i, j, have)
				case j >= dst.Values.Cols && have != fence:
					h.Fatalf("%+v: wrote %d behind row %d", s, have, i)
				}
			}
		}
	}
}

// randomFP8 uploads a matrix of all finite numbers of e4m3, whose columns are filled up with zeros, and random scales.
// It returns the numbers and the scales.
func (h *harness) randomFP8(rows, cols int) (m Quantised, values table, scales []float32) {
	h.Helper()
	m = h.fp8Matrix(rows, cols)
	data := slices.Repeat([]byte{fence}, rows*m.Values.Stride)
	for i := range rows {
		row := make([]float64, cols)
		line := data[i*m.Values.Stride:][:m.Values.Cols]
		clear(line)
		for j := range row {
			line[j] = byte(h.rng.IntN(127) | h.rng.IntN(2)<<7)
			row[j] = float64(tensor.F8E4M3ToF32(line[j]))
		}
		values, scales = append(values, row), append(scales, 0.001+h.rng.Float32()/256)
	}
	h.must(h.stream.MemcpyHtoDAsync(m.Values.Data, data))
	m.Scales = h.floats(scales)
	return m, values, scales
}

// fp8Product returns the values of a product to the bit, as the software device computes them: an instruction adds 32
// exact products to a sum of up to 32 others and rounds once; sums of 64 columns are added in float32, and multiplied
// by two scales one after the other.
func fp8Product(a, b table, scalesA, scalesB []float32) table {
	return each(len(a), len(b), func(i, j int) float64 {
		sum := float32(0)
		for k := 0; k < len(a[i]); k += 64 {
			part := float32(0)
			for from := k; from < min(k+64, len(a[i])); from += 32 {
				exact := float64(part)
				for c := from; c < min(from+32, len(a[i])); c++ {
					exact += a[i][c] * b[j][c]
				}
				part = float32(exact)
			}
			sum += part
		}
		return float64(float32(sum*scalesA[i]) * scalesB[j])
	})
}

// fp8Tolerance is the relative RMS error allowed of float32 results. The software device gives fp8Product's bits. A
// GPU's tensor cores keep about 14 bits of the largest product of 32.
func fp8Tolerance() float64 {
	if *deviceName == "sim" {
		return 0
	}
	return 0x1p-11
}

// TestFP8GEMM runs every variant on ragged edges with every epilogue. All variants give the same bits.
func TestFP8GEMM(t *testing.T) { onAda(t, testFP8GEMM) }

func testFP8GEMM(h *harness) {
	for _, s := range []struct{ m, n, k int }{
		{1, 48, 80}, {70, 80, 100}, {130, 264, 64}, {5, 16, 448}, {33, 8, 1}, {9, 24, 1040},
	} {
		x, a, scalesA := h.randomFP8(s.m, s.k)
		w, b, scalesB := h.randomFP8(s.n, s.k)
		bias, gate, old := h.random(1, s.n), h.random(1, s.n), h.random(s.m, s.n)
		y := fp8Product(a, b, scalesA, scalesB)
		for _, e := range []struct {
			name                  string
			bias, add, gate, silu bool
		}{
			{name: "plain"}, {name: "SiLU", silu: true}, {name: "bias and gated residual", bias: true, add: true, gate: true},
		} {
			if s.k > 100 && e.name != "plain" {
				continue // with many slices one epilogue is enough
			}
			epilogue := Epilogue{Add: e.add, SiLU: e.silu}
			if e.bias {
				epilogue.Bias, epilogue.Gate = h.row(bias[0], F32), h.row(gate[0], BF16)
			}
			want := each(s.m, s.n, func(i, j int) float64 {
				switch {
				case e.bias:
					return (y[i][j]+bias[0][j])*gate[0][j] + old[i][j]
				case e.silu:
					return siluOf(y[i][j])
				}
				return y[i][j]
			})
			var first []byte
			operation := epilogue.NarrowOperation(F8)
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
				h.check(label, dst, want, true)
				if have := h.bytes(dst); first == nil {
					first = have
				} else if !bytes.Equal(first, have) {
					h.Errorf("%s: not the bits of the first", label)
				}
			}
			for _, l := range []layout{ragged, {F32, 3, 1}} {
				dst := h.fenced(s.m, s.n, l)
				if e.add {
					h.must(h.Copy(dst, h.upload(old, l)))
				}
				h.must(h.NarrowGEMM(dst, x, w, epilogue, Auto))
				label := fmt.Sprintf("%+v, %s, to %+v", s, e.name, l)
				if e.name == "plain" && l.dtype == F32 {
					h.checkWithin(label, dst, y, true, fp8Tolerance())
				}
				h.check(label, dst, want, true)
			}
		}
	}
}

// TestFP8GEMMOfNaN: a NaN of the format makes its row of products NaN, and no other.
func TestFP8GEMMOfNaN(t *testing.T) {
	onAda(t, func(h *harness) {
		x, _, _ := h.randomFP8(3, 48)
		w, _, _ := h.randomFP8(8, 48)
		h.must(h.stream.MemcpyHtoDAsync(x.Values.Data+47, []byte{0x7f}))
		dst := h.fenced(3, 8, layout{dtype: F32})
		h.must(h.NarrowGEMM(dst, x, w, Epilogue{}, Auto))
		for i, v := range h.values(dst, false) {
			if math.IsNaN(v) != (i < 8) {
				h.Errorf("value %d is %v", i, v)
			}
		}
	})
}

// TestFP8GEMMQKNormRoPE runs every variant that normalises and rotates heads, with columns behind them, and products
// that the kernel qk_norm_rope follows.
func TestFP8GEMMQKNormRoPE(t *testing.T) { onAda(t, testFP8GEMMQKNormRoPE) }

func testFP8GEMMQKNormRoPE(h *harness) {
	const eps = 1e-6
	for _, s := range []struct {
		m, n, k, cols, d int
		halves           bool
	}{{70, 384, 48, 256, 128, true}, {9, 264, 16, 256, 128, false}, {33, 96, 48, 64, 32, true}} {
		x, a, scalesA := h.randomFP8(s.m, s.k)
		b, values, scalesB := h.randomFP8(s.n, s.k)
		y := fp8Product(a, values, scalesA, scalesB)
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
		for v, name := range OpFP8GEMMQKNormRoPE.Variants(Shape{}) {
			if s.d != headCols && v > 0 {
				continue
			}
			dst, tolerance := h.fenced(s.m, s.n, whole), toleranceOf(Matrix{Rows: s.m, Cols: s.n})
			if s.d != headCols {
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

// TestFP8SwiGLU runs every variant, into results of any alignment.
func TestFP8SwiGLU(t *testing.T) { onAda(t, testFP8SwiGLU) }

func testFP8SwiGLU(h *harness) {
	for _, s := range []struct {
		m, n, k int
		l       layout
	}{{1, 16, 48, whole}, {130, 144, 80, whole}, {9, 24, 1040, whole}, {7, 33, 17, ragged}} {
		x, a, scalesA := h.randomFP8(s.m, s.k)
		gate, gates, scalesG := h.randomFP8(s.n, s.k)
		up, ups, scalesU := h.randomFP8(s.n, s.k)
		g, u := fp8Product(a, gates, scalesA, scalesG), fp8Product(a, ups, scalesA, scalesU)
		want := each(s.m, s.n, func(i, j int) float64 { return siluOf(g[i][j]) * u[i][j] })
		var first []byte
		have := strict
		if s.l == ragged {
			have = loose
		}
		for v, name := range OpFP8SwiGLU.Variants(Shape{}) {
			if !h.tries(Shape{Operation: fp8SwiGLU}, v, have) {
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
