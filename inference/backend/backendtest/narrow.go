package backendtest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/kleinbild/kleinbild/inference/backend"
	"github.com/kleinbild/kleinbild/inference/tensor"
)

// RunInt8 tests backends that compute in int8, and quantise weights of LinearWeight. Expected products are those of the
// formula, with integers; where scales are 1, results must be equal to the bit, on every device.
func RunInt8(t *testing.T, open func(t *testing.T) backend.Backend) {
	runNarrow(t, open, tensor.I8)
}

// RunFP8 tests backends that compute in fp8 (e4m3), and quantise weights of LinearWeight. Expected products are those
// of the formula.
func RunFP8(t *testing.T, open func(t *testing.T) backend.Backend) {
	runNarrow(t, open, tensor.F8E4M3)
}

func runNarrow(t *testing.T, open func(t *testing.T) backend.Backend, format tensor.DType) {
	for _, row := range []struct {
		name string
		test func(h narrow)
	}{
		{"Exact", narrow.exact}, {"Linear", narrow.linear}, {"QKNormRoPE", narrow.heads}, {"SwiGLU", narrow.swiGLU},
		{"Beside", narrow.beside},
	} {
		if row.name == "Exact" && format != tensor.I8 {
			continue // sums of fp8 are rounded
		}
		t.Run(row.name, func(t *testing.T) {
			b := open(t)
			defer b.Close()
			row.test(narrow{&harness{T: t, b: b, rng: rand.New(rand.NewPCG(3, 4))}, format})
		})
	}
}

// narrow tests products in a format of 8 bits.
type narrow struct {
	*harness
	format tensor.DType
}

// stored is a weight in the format, as files have it. Weights of fp8 are not rotated.
func (h narrow) stored(n, k, group int) tensor.Tensor {
	t := tensor.Tensor{Name: "w", DType: h.format, Shape: []int{n, k}, Data: make([]byte, n*k), Scale: 1}
	t.Quant = &tensor.Quant{Rows: make([]float32, n)}
	if h.format == tensor.I8 {
		t.Quant.Rotation = group
	}
	for i := range t.Data {
		if t.Data[i] = byte(h.rng.Uint32()); h.format == tensor.F8E4M3 && t.Data[i]&0x7f == 0x7f {
			t.Data[i] = 0 // instead of NaN
		}
	}
	for i := range t.Quant.Rows {
		t.Quant.Rows[i] = 0.001 + h.rng.Float32()/256
	}
	return t
}

// product returns x·wᵀ by the formula: rows of x are rotated and rounded to the format with scales of their own.
func (h narrow) product(x table, w tensor.Tensor) table {
	n, k := w.Shape[0], w.Shape[1]
	values := make([]float64, n*k)
	for i, code := range w.Data {
		if values[i] = float64(int8(code)); h.format == tensor.F8E4M3 {
			values[i] = float64(tensor.F8E4M3ToF32(code))
		}
	}
	out := make(table, len(x))
	for i, row := range x {
		q, scale := h.quantise(flatten(table{row}), w.Rotation())
		out[i] = make([]float64, n)
		for j := range n {
			sum := 0.0
			for c, v := range q {
				sum += v * values[j*k+c]
			}
			out[i][j] = sum * float64(scale) * float64(w.Scale)
			if w.Quant != nil && w.Quant.Rows != nil {
				out[i][j] *= float64(w.Quant.Rows[j])
			}
		}
	}
	return out
}

// quantise rotates a row and rounds it to the format (see tensor.QuantiseInt8 and tensor.QuantiseFP8).
func (h narrow) quantise(row []float32, group int) (q []float64, scale float32) {
	tensor.Rotate(row, group)
	largest := 0.0
	for _, v := range row {
		largest = max(largest, math.Abs(float64(v)))
	}
	if h.format == tensor.F8E4M3 {
		scale = max(float32(largest)/448, 1e-30)
		for _, v := range row {
			q = append(q, float64(tensor.F8E4M3ToF32(tensor.F32ToF8E4M3(v*(1/scale)))))
		}
		return q, scale
	}
	scale = max(float32(largest)/127, 1e-30)
	for _, v := range row {
		q = append(q, max(-128, min(127, math.RoundToEven(float64(v*(1/scale))))))
	}
	return q, scale
}

// exact multiplies integers with scales of 1. A group of a rotated row has one value that is not zero, so that
// its rotation is exact in bfloat16, too. The sums are below 2^24, so that float32 holds them.
func (h narrow) exact() {
	for _, s := range []struct{ m, n, k, group int }{
		{1, 5, 64, 0}, {33, 70, 100, 0}, {70, 33, 1024, 0}, {40, 130, 2048, 256}, {7, 64, 192, 64}, {5, 3, 1, 0},
	} {
		w := h.stored(s.n, s.k, s.group)
		for i := range w.Quant.Rows {
			w.Quant.Rows[i] = 1
		}
		x := make(table, s.m)
		for i := range x {
			row := make([]float32, s.k)
			group := max(s.group, 1)
			for at := 0; at < s.k; at += group {
				v := float32(h.rng.IntN(255) - 127)
				if at == 0 {
					v = 127
				}
				row[at+h.rng.IntN(group)] = v
			}
			tensor.Rotate(row, s.group)
			for _, v := range row {
				x[i] = append(x[i], float64(v))
			}
		}
		weight, err := h.b.Weight(w)
		if err != nil {
			h.Fatal(err)
		}
		dst := h.b.Alloc(s.m, s.n, tensor.F32)
		h.b.Linear(dst, h.upload(x).Matrix, weight, backend.Epilogue{})
		have := make([]float32, s.m*s.n)
		h.b.Download(have, dst)
		if err := h.b.Sync(); err != nil {
			h.Fatal(err)
		}
		for i, want := range flatten(h.product(x, w)) {
			if have[i] != want {
				h.Fatalf("%+v: [%d,%d] is %v, want %v to the bit", s, i/s.n, i%s.n, have[i], want)
			}
		}
	}
}

// weights returns a weight in the format as it is stored, and one in bfloat16 that the backend quantises.
func (h narrow) weights(n, k, group int) []tensor.Tensor {
	plain := tensor.Tensor{Name: "w", DType: tensor.BF16, Shape: []int{n, k}, Scale: 1}
	for range n * k {
		v := tensor.F32ToBF16(float32(h.rng.NormFloat64() / 4))
		plain.Data = append(plain.Data, byte(v), byte(v>>8))
	}
	return []tensor.Tensor{h.stored(n, k, group), plain}
}

// load makes one of weights usable, and returns it with the matrix in the format that it is.
func (h narrow) load(t tensor.Tensor) (backend.Weight, tensor.Tensor) {
	w, err := h.b.LinearWeight(t)
	if err != nil {
		h.Fatal(err)
	}
	if t.DType == h.format {
		return w, t
	}
	rows, cols := t.Shape[0], t.Shape[1]
	q := tensor.Tensor{DType: h.format, Shape: t.Shape, Scale: 1, Quant: new(tensor.Quant)}
	if h.format == tensor.I8 {
		q.Quant.Rotation = tensor.RotationFor(cols)
	}
	values := t.Float32s()
	for i := range rows {
		row, scale := h.quantise(values[i*cols:(i+1)*cols], q.Quant.Rotation)
		for _, v := range row {
			if h.format == tensor.F8E4M3 {
				q.Data = append(q.Data, tensor.F32ToF8E4M3(float32(v)))
			} else {
				q.Data = append(q.Data, byte(int8(v)))
			}
		}
		q.Quant.Rows = append(q.Quant.Rows, scale)
	}
	return w, q
}

func (h narrow) linear() {
	for _, s := range []struct{ m, n, k, group int }{
		{3, 7, 1, 0}, {1, 257, 144, 16}, {5, 7, 4, 4}, {33, 96, 768, 256}, {100, 63, 2112, 64},
	} {
		for _, t := range h.weights(s.n, s.k, s.group) {
			name := fmt.Sprintf("%+v, %v", s, t.DType)
			w, q := h.load(t)
			x := h.table(s.m, s.k)
			y := h.product(x, q)
			dst := h.view(s.m, s.n)
			h.b.Linear(dst.Matrix, h.upload(x).Matrix, w, backend.Epilogue{})
			h.check(name, dst, y)

			bias, biases := h.weight(tensor.F32, s.n)
			old, gate := h.table(s.m, s.n), h.table(1, s.n)[0]
			dst = h.upload(old)
			h.b.Linear(dst.Matrix, h.upload(x).Matrix, w, backend.Epilogue{Bias: bias, Add: true, Gate: h.vector(gate)})
			h.check(name+", bias and gated residual", dst, each(s.m, s.n, func(i, j int) float64 {
				return old[i][j] + gate[j]*(y[i][j]+biases[j])
			}))

			dst = h.view(s.m, s.n)
			h.b.Linear(dst.Matrix, h.upload(x).Matrix, w, backend.Epilogue{SiLU: true})
			h.check(name+", SiLU", dst, each(s.m, s.n, func(i, j int) float64 { return silu(y[i][j]) }))

			from, to := s.n/3, s.n-s.n/4
			source, both := h.upload(x), [2]guarded{h.view(s.m, to-from), h.view(s.m, s.n)}
			h.b.Unchanged(source.Matrix, func() {
				h.b.Linear(both[0].Matrix, source.Matrix, w.Slice(from, to), backend.Epilogue{})
				h.b.Linear(both[1].Matrix, source.Matrix, w, backend.Epilogue{})
			})
			h.check(name+", sliced", both[0], h.product(x, q.Slice(from, to)))
			h.check(name+", again", both[1], y)

			// After Unchanged the same matrix may have other values.
			other := h.table(s.m, s.k)
			h.b.Upload(source.Matrix, flatten(other))
			dst = h.view(s.m, s.n)
			h.b.Linear(dst.Matrix, source.Matrix, w, backend.Epilogue{})
			h.check(name+", changed", dst, h.product(other, q))
		}
	}
}

// heads has one head for each row, and others behind them. Backends may have kernels for heads of 128 columns
// and destinations without a border.
func (h narrow) heads() {
	h.headsOf(16, h.view)
	h.headsOf(128, h.whole)
}

func (h narrow) headsOf(d int, alloc func(rows, cols int) guarded) {
	const rows, others, k, eps = 33, 24, 256, 1e-6
	x, angles := h.table(rows, k), h.table(rows, d/2)
	gain, gains := h.weight(tensor.BF16, d)
	rope := backend.RoPE{Cos: h.b.Alloc(rows, d/2, tensor.F32), Sin: h.b.Alloc(rows, d/2, tensor.F32)}
	h.b.Upload(rope.Cos, flatten(each(rows, d/2, func(i, j int) float64 { return math.Cos(angles[i][j]) })))
	h.b.Upload(rope.Sin, flatten(each(rows, d/2, func(i, j int) float64 { return math.Sin(angles[i][j]) })))
	for _, t := range h.weights(d+others, k, 64) {
		w, q := h.load(t)
		y := h.product(x, q)
		want := each(rows, d+others, func(i, j int) float64 {
			if j >= d {
				return y[i][j]
			}
			mean, variance := moments(y[i][:d])
			norm := func(c int) float64 { return y[i][c] / math.Sqrt(variance+mean*mean+eps) * gains[c] }
			sn, cs := math.Sincos(angles[i][j/2])
			if j%2 == 0 {
				return norm(j)*cs - norm(j+1)*sn
			}
			return norm(j)*cs + norm(j-1)*sn
		})
		dst := alloc(rows, d+others)
		h.b.Linear(dst.Matrix, h.upload(x).Matrix, w, backend.Epilogue{
			QKNormRoPE: backend.QKNormRoPE{Cols: d, Weight: gain, Eps: eps, RoPE: rope},
		})
		// Where a backend runs QKNormRoPE after the product, the product is rounded before it.
		h.checkWithin(fmt.Sprintf("heads of %d, %v", d, t.DType), dst, want, 2*h.tolerance())
	}
}

func (h narrow) swiGLU() {
	for _, s := range []struct{ m, n, k int }{{1, 3, 16}, {70, 48, 320}} {
		x := h.table(s.m, s.k)
		for _, both := range h.weights(2*s.n, s.k, 16) {
			w, q := h.load(both)
			y := h.product(x, q)
			want := each(s.m, s.n, func(i, j int) float64 { return silu(y[i][j]) * y[i][j+s.n] })
			dst := h.view(s.m, s.n)
			h.b.SwiGLU(dst.Matrix, h.upload(x).Matrix, w.Slice(0, s.n), w.Slice(s.n, 2*s.n))
			// A backend may round one of the two products before it multiplies them.
			h.checkWithin(fmt.Sprintf("%+v, %v", s, both.DType), dst, want, 2*h.tolerance())
		}
		// One of the two may be a weight in another format.
		w, q := h.load(h.stored(s.n, s.k, 16))
		up, ups := h.weight(tensor.BF16, s.n, s.k)
		g, u := h.product(x, q), product(x, ups, s.n)
		dst := h.view(s.m, s.n)
		h.b.SwiGLU(dst.Matrix, h.upload(x).Matrix, w, up)
		h.checkWithin(fmt.Sprintf("%+v, mixed", s), dst,
			each(s.m, s.n, func(i, j int) float64 { return silu(g[i][j]) * u[i][j] }), 2*h.tolerance())
		dst = h.view(s.m, s.n)
		h.b.SwiGLU(dst.Matrix, h.upload(x).Matrix, up, w)
		h.checkWithin(fmt.Sprintf("%+v, mixed the other way round", s), dst,
			each(s.m, s.n, func(i, j int) float64 { return silu(u[i][j]) * g[i][j] }), 2*h.tolerance())
	}
}

// beside multiplies by weights with further columns, which are not quantised, if the backend takes such. In
// Unchanged the columns behind those of the matrix may change.
func (h narrow) beside() {
	if !backend.JoinsBeside(h.b) {
		h.Skip("the backend takes no weights with columns beside them")
	}
	const rows, n, k, r = 33, 48, 320, 24
	for _, t := range h.weights(2*n, k, 64) {
		w, q := h.load(t)
		x, thin, right := h.table(rows, k), h.table(rows, r), h.table(2*n, r)
		narrowed := h.product(x, q)
		// Both summands are of about the same size, so that an error in one of them shows.
		mean, variance := moments(flatten64(narrowed))
		size := math.Sqrt((variance + mean*mean) / r)
		for _, row := range right {
			for j := range row {
				row[j] = h.round(float32(row[j] * size))
			}
		}
		floats := product(thin, flatten64(right), 2*n)
		y := each(rows, 2*n, func(i, j int) float64 { return narrowed[i][j] + floats[i][j] })
		kept, source := h.b.Keep(2*n, r, h.b.Activation()), h.whole(rows, k+r)
		h.b.Upload(kept, flatten(right))
		h.b.Upload(source.Matrix, flatten(each(rows, k+r, func(i, j int) float64 {
			if j < k {
				return x[i][j]
			}
			return thin[i][j-k]
		})))
		joined, name := backend.Beside(w, kept), t.DType.String()
		old, gate := h.table(rows, 2*n), h.table(1, 2*n)[0]
		dst := h.upload(old)
		h.b.Linear(dst.Matrix, source.Matrix, joined, backend.Epilogue{Add: true, Gate: h.vector(gate)})
		h.check(name+", gated residual", dst, each(rows, 2*n, func(i, j int) float64 {
			return old[i][j] + gate[j]*y[i][j]
		}))

		dst, plain := h.view(rows, n), h.view(rows, 2*n)
		own := source.Matrix.ColRange(0, k)
		h.b.Unchanged(own, func() {
			h.b.Linear(plain.Matrix, own, w, backend.Epilogue{})
			h.b.SwiGLU(dst.Matrix, source.Matrix, joined.Slice(0, n), joined.Slice(n, 2*n))
		})
		h.check(name+", without the columns", plain, narrowed)
		h.checkWithin(name+", SwiGLU", dst, each(rows, n, func(i, j int) float64 {
			return silu(y[i][j]) * y[i][j+n]
		}), 2*h.tolerance())
	}
}
