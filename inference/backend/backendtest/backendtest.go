// Package backendtest is the conformance suite of backends: every operation, at ragged sizes and on views inside
// larger matrices, against float64 loops that are short enough to be believed.
package backendtest

import (
	"context"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"testing"

	"kleinbild/inference/backend"
	"kleinbild/inference/tensor"
)

// Run tests the backend that open returns; its activation format decides the tolerances.
func Run(t *testing.T, open func(t *testing.T) backend.Backend) {
	for _, row := range []struct {
		name string
		test func(h *harness)
	}{
		{"Copy", testCopy}, {"Linear", testLinear}, {"SwiGLU", testSwiGLU}, {"Embedding", testEmbedding},
		{"Elementwise", testElementwise}, {"Norms", testNorms}, {"QKNormRoPE", testQKNormRoPE},
		{"Attention", testAttention}, {"Conv2D", testConv2D}, {"GroupNorm", testGroupNorm}, {"Patchify", testPatchify},
		{"Cancel", testCancel},
	} {
		t.Run(row.name, func(t *testing.T) {
			b := open(t)
			defer b.Close()
			row.test(&harness{T: t, b: b, rng: rand.New(rand.NewPCG(1, 2))})
		})
	}
}

type harness struct {
	*testing.T
	b   backend.Backend
	rng *rand.Rand
}

// table is a matrix of exact values.
type table [][]float64

func (h *harness) table(rows, cols int) table {
	m := make(table, rows)
	for i := range m {
		m[i] = make([]float64, cols)
		for j := range m[i] {
			m[i][j] = h.round(float32(h.rng.NormFloat64()))
		}
	}
	return m
}

// round returns v as the activation format holds it.
func (h *harness) round(v float32) float64 {
	if h.b.Activation() == tensor.BF16 {
		return float64(tensor.BF16ToF32(tensor.F32ToBF16(v)))
	}
	return float64(v)
}

// border is what lies around a view and must stay.
const border = 3

// guarded is a view in the middle of a larger matrix, or a whole one without a border.
type guarded struct {
	backend.Matrix
	whole  backend.Matrix
	border int
}

// view allocates a view inside a larger matrix whose every value is 7.
func (h *harness) view(rows, cols int) guarded {
	whole := h.b.Alloc(rows+2*border, cols+2*border, h.b.Activation())
	sevens := make([]float32, whole.Rows*whole.Cols)
	for i := range sevens {
		sevens[i] = 7
	}
	h.b.Upload(whole, sevens)
	return guarded{whole.RowRange(border, border+rows).ColRange(border, border+cols), whole, border}
}

// upload allocates a view that holds values.
func (h *harness) upload(values table) guarded {
	m := h.view(len(values), len(values[0]))
	h.b.Upload(m.Matrix, flatten(values))
	return m
}

// whole allocates a matrix without surroundings, as stages do.
func (h *harness) whole(rows, cols int) guarded {
	m := h.b.Alloc(rows, cols, h.b.Activation())
	return guarded{Matrix: m, whole: m}
}

// vector uploads a row without surroundings, in float32 as rope tables and modulations may be.
func (h *harness) vector(values []float64) backend.Matrix {
	m := h.b.Alloc(1, len(values), tensor.F32)
	h.b.Upload(m, flatten(table{values}))
	return m
}

func flatten(m table) []float32 {
	var out []float32
	for _, row := range m {
		for _, v := range row {
			out = append(out, float32(v))
		}
	}
	return out
}

// weight makes a weight of the given format; the values returned are those it holds.
func (h *harness) weight(dtype tensor.DType, shape ...int) (backend.Weight, []float64) {
	return h.weightOf(h.b.Weight, dtype, shape...)
}

func (h *harness) weightOf(onto func(tensor.Tensor) (backend.Weight, error), dtype tensor.DType, shape ...int) (backend.Weight, []float64) {
	n := tensor.Elements(shape)
	t := tensor.Tensor{Name: "w", DType: dtype, Shape: shape, Scale: 1}
	for range n {
		v := float32(h.rng.NormFloat64() / 4)
		switch dtype {
		case tensor.F32:
			t.Data = binary.LittleEndian.AppendUint32(t.Data, math.Float32bits(v))
		case tensor.BF16:
			t.Data = binary.LittleEndian.AppendUint16(t.Data, tensor.F32ToBF16(v))
		case tensor.F16:
			// Every finite pattern of a middle exponent is a fair value.
			t.Data = binary.LittleEndian.AppendUint16(t.Data, uint16(h.rng.Uint32())&0x83ff|13<<10)
		case tensor.F8E4M3:
			t.Data = append(t.Data, byte(h.rng.Uint32())&0xbf)
			t.Scale = 0.125
		}
	}
	values := make([]float64, n)
	for i, v := range t.Float32s() {
		values[i] = float64(v)
		if len(shape) > 1 {
			// A bfloat16 backend multiplies by bfloat16 weights, as the reference does after loading.
			values[i] = h.round(v)
		}
	}
	w, err := onto(t)
	if err != nil {
		h.Fatal(err)
	}
	return w, values
}

// tolerance is the relative RMS error allowed: float32 arithmetic in any order of summation, or one rounding to
// bfloat16 (2^-8 at most, about 1.7e-3 in the mean square) and what a product loses before it.
func (h *harness) tolerance() float64 {
	if h.b.Activation() == tensor.BF16 {
		return 3e-3
	}
	return 2e-6
}

// check compares a view and its surroundings.
func (h *harness) check(name string, m guarded, want table) {
	h.Helper()
	h.checkWithin(name, m, want, h.tolerance())
}

func (h *harness) checkWithin(name string, m guarded, want table, tolerance float64) {
	h.Helper()
	whole := make([]float32, m.whole.Rows*m.whole.Cols)
	h.b.Download(whole, m.whole)
	if err := h.b.Sync(); err != nil {
		h.Fatalf("%s: %v", name, err)
	}
	var diff, norm, worst float64
	at := [2]int{}
	for i := range m.whole.Rows {
		for j := range m.whole.Cols {
			have := float64(whole[i*m.whole.Cols+j])
			y, x := i-m.border, j-m.border
			if y < 0 || x < 0 || y >= m.Rows || x >= m.Cols {
				if have != 7 {
					h.Fatalf("%s: wrote outside its destination at row %d, column %d", name, y, x)
				}
				continue
			}
			d := have - want[y][x]
			if math.IsNaN(d) {
				h.Fatalf("%s: row %d, column %d: %v, want %v", name, y, x, have, want[y][x])
			}
			if math.Abs(d) > worst {
				worst, at = math.Abs(d), [2]int{y, x}
			}
			diff += d * d
			norm += want[y][x] * want[y][x]
		}
	}
	if rel := math.Sqrt(diff / norm); !(rel <= tolerance) {
		h.Errorf("%s: relative RMS %.3g, want at most %.3g; worst at row %d, column %d: off by %.3g from %v",
			name, rel, tolerance, at[0], at[1], worst, want[at[0]][at[1]])
	}
}

func silu(x float64) float64 { return x / (1 + math.Exp(-x)) }

// product is x·wᵀ with w row-major [n, len(x[0])].
func product(x table, w []float64, n int) table {
	out := make(table, len(x))
	for i, row := range x {
		out[i] = make([]float64, n)
		for j := range n {
			for k, v := range row {
				out[i][j] += v * w[j*len(row)+k]
			}
		}
	}
	return out
}

// each builds a table from its indices.
func each(rows, cols int, f func(i, j int) float64) table {
	out := make(table, rows)
	for i := range out {
		out[i] = make([]float64, cols)
		for j := range out[i] {
			out[i][j] = f(i, j)
		}
	}
	return out
}

func testCancel(h *harness) {
	ctx, cancel := context.WithCancel(context.Background())
	h.b.Begin(ctx)
	cancel()
	x := h.upload(h.table(5, 7))
	y := h.view(5, 7)
	for h.b.Sync() == nil {
		// The cancellation travels to the backend on its own.
		h.b.Copy(y.Matrix, x.Matrix)
	}
	if err := h.b.Sync(); err != context.Canceled {
		h.Fatalf("Sync after cancel: %v, want %v", err, context.Canceled)
	}
	h.b.Begin(context.Background())
	values := h.table(5, 7)
	x, y = h.upload(values), h.view(5, 7)
	h.b.Copy(y.Matrix, x.Matrix)
	h.check("Copy after a new Begin", y, values)
}
