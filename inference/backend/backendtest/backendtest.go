// Package backendtest is the conformance suite that every backend must pass. It compares each operation, with ragged
// sizes and on views inside larger matrices, with a simple loop in float64.
package backendtest

import (
	"context"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/kleinbild/kleinbild/inference/backend"
	"github.com/kleinbild/kleinbild/inference/tensor"
)

// Run tests backends that open returns, a new one for each operation. The tolerances depend on the format of
// activations.
func Run(t *testing.T, open func(t *testing.T) backend.Backend) {
	for _, row := range []struct {
		name string
		test func(h *harness)
	}{
		{"Copy", testCopy}, {"Linear", testLinear}, {"SwiGLU", testSwiGLU}, {"Embedding", testEmbedding},
		{"Elementwise", testElementwise}, {"Norms", testNorms}, {"QKNormRoPE", testQKNormRoPE},
		{"Attention", testAttention}, {"Conv2D", testConv2D}, {"GroupNorm", testGroupNorm}, {"Patchify", testPatchify},
		{"TransposeRows", testTransposeRows}, {"MatrixWeight", testMatrixWeight},
		{"Quantised", testQuantised}, {"Beside", testBeside},
		{"Cancel", testCancel},
	} {
		t.Run(row.name, func(t *testing.T) {
			b := open(t)
			defer b.Close()
			row.test(&harness{T: t, b: b, rng: rand.New(rand.NewPCG(1, 2))})
		})
	}
}

// harness holds the backend under test and the source of random operands.
type harness struct {
	*testing.T
	b   backend.Backend
	rng *rand.Rand
}

// table is a matrix in float64, of operands or of expected results.
type table [][]float64

// table returns random values that the format of activations holds exactly.
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

// round rounds v to the format of activations.
func (h *harness) round(v float32) float64 {
	if h.b.Activation() == tensor.BF16 {
		return float64(tensor.BF16ToF32(tensor.F32ToBF16(v)))
	}
	return float64(v)
}

// border is the number of rows and columns around a view. Operations must not change them.
const border = 3

// guarded is a view in the middle of a larger matrix, or a whole matrix (border 0).
type guarded struct {
	backend.Matrix
	whole  backend.Matrix
	border int
}

// view allocates a larger matrix, sets all its values to 7, and returns a view inside it.
func (h *harness) view(rows, cols int) guarded {
	whole := h.b.Alloc(rows+2*border, cols+2*border, h.b.Activation())
	sevens := make([]float32, whole.Rows*whole.Cols)
	for i := range sevens {
		sevens[i] = 7
	}
	h.b.Upload(whole, sevens)
	return guarded{whole.RowRange(border, border+rows).ColRange(border, border+cols), whole, border}
}

// upload returns a view inside a larger matrix. The view holds values.
func (h *harness) upload(values table) guarded {
	m := h.view(len(values), len(values[0]))
	h.b.Upload(m.Matrix, flatten(values))
	return m
}

// whole allocates a matrix without a border, as stages do.
func (h *harness) whole(rows, cols int) guarded {
	m := h.b.Alloc(rows, cols, h.b.Activation())
	return guarded{Matrix: m, whole: m}
}

// vector uploads a row without a border, in float32, which the tables of RoPE and modulations may have.
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

// weight makes a random weight of the given format, and returns it with the values that the backend computes with.
func (h *harness) weight(dtype tensor.DType, shape ...int) (backend.Weight, []float64) {
	return h.weightOf(h.b.Weight, dtype, shape...)
}

// weightOf is weight for load, which is the backend's Weight or Table.
func (h *harness) weightOf(
	load func(tensor.Tensor) (backend.Weight, error), dtype tensor.DType, shape ...int,
) (backend.Weight, []float64) {
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
			// Random sign and fraction, and an exponent that gives values of 0.25 to 0.5.
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
			// A backend with bfloat16 activations rounds weight matrices to bfloat16, as the reference does when it
			// loads them.
			values[i] = h.round(v)
		}
	}
	w, err := load(t)
	if err != nil {
		h.Fatal(err)
	}
	return w, values
}

// tolerance returns the allowed relative RMS error: that of float32 sums in any order; for bfloat16 that of one
// rounding of the result (at most 2^-8, in the root mean square about 1.7e-3) and of roundings inside a product.
func (h *harness) tolerance() float64 {
	if h.b.Activation() == tensor.BF16 {
		return 3e-3
	}
	return 2e-6
}

// check fails if m differs from want by more than h.tolerance, or if the border of m has changed.
func (h *harness) check(name string, m guarded, want table) {
	h.Helper()
	h.checkWithin(name, m, want, h.tolerance())
}

// checkWithin is check with another tolerance.
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

// product returns x·wᵀ for w, row-major [n, len(x[0])].
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

// each returns the table whose value at (i, j) is f(i, j).
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

// testCancel checks that a cancelled context ends a run with its error, and that the backend works after the next
// Begin.
func testCancel(h *harness) {
	ctx, cancel := context.WithCancel(context.Background())
	h.b.Begin(ctx)
	cancel()
	x := h.upload(h.table(5, 7))
	y := h.view(5, 7)
	for h.b.Sync() == nil {
		// The backend may notice the cancellation some operations later.
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
