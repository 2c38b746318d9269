package backendtest

import (
	"fmt"
	"math"
	"slices"

	"github.com/kleinbild/kleinbild/inference/backend"
	"github.com/kleinbild/kleinbild/inference/tensor"
	"github.com/kleinbild/kleinbild/inference/tensor/tensortest"
)

func testLinear(h *harness) {
	for _, s := range []struct{ m, n, k int }{
		{1, 1, 1}, {1, 257, 129}, {5, 7, 3}, {6, 16, 32}, {7, 17, 33}, {13, 48, 80}, {31, 129, 127}, {33, 96, 768},
		{100, 63, 2053},
	} {
		for _, dtype := range []tensor.DType{tensor.BF16, tensor.F32, tensor.F16, tensor.F8E4M3} {
			name := fmt.Sprintf("[%d %d] by %v [%d %d]", s.m, s.k, dtype, s.n, s.k)
			x := h.table(s.m, s.k)
			w, values := h.weight(dtype, s.n, s.k)
			y := product(x, values, s.n)

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

			dst = h.upload(old)
			h.b.Linear(dst.Matrix, h.upload(x).Matrix, w, backend.Epilogue{Add: true})
			h.check(name+", residual", dst, each(s.m, s.n, func(i, j int) float64 { return old[i][j] + y[i][j] }))
		}
	}
	// A slice of a weight can be used like a weight.
	x := h.table(9, 24)
	w, values := h.weight(tensor.BF16, 40, 24)
	dst := h.view(9, 11)
	h.b.Linear(dst.Matrix, h.upload(x).Matrix, w.Slice(16, 27), backend.Epilogue{})
	h.check("sliced weight", dst, product(x, values[16*24:27*24], 11))
}

// testMatrixWeight multiplies by matrices, as adapters do: thin ones, ones with few columns, and rows of them.
func testMatrixWeight(h *harness) {
	for _, s := range []struct{ m, n, k int }{{1, 8, 129}, {7, 8, 256}, {100, 32, 768}, {100, 768, 32}, {31, 33, 17}} {
		x, w := h.table(s.m, s.k), h.table(s.n, s.k)
		kept := h.b.Keep(s.n, s.k, h.b.Activation())
		h.b.Upload(kept, flatten(w))
		y := product(x, flatten64(w), s.n)
		dst := h.view(s.m, s.n)
		h.b.Linear(dst.Matrix, h.upload(x).Matrix, backend.AsWeight(kept), backend.Epilogue{})
		h.check(fmt.Sprint(s), dst, y)

		old, gate := h.table(s.m, s.n), h.table(1, s.n)[0]
		dst = h.upload(old)
		h.b.Linear(dst.Matrix, h.upload(x).Matrix, backend.AsWeight(kept),
			backend.Epilogue{Add: true, Gate: h.vector(gate)})
		h.check(fmt.Sprint(s, ", gated residual"), dst, each(s.m, s.n, func(i, j int) float64 {
			return old[i][j] + gate[j]*y[i][j]
		}))

		from, to := s.n/3, s.n-s.n/4
		dst = h.view(s.m, to-from)
		h.b.Linear(dst.Matrix, h.upload(x).Matrix, backend.AsWeight(kept).Slice(from, to), backend.Epilogue{})
		h.check(fmt.Sprint(s, ", sliced"), dst, product(x, flatten64(w[from:to]), to-from))
		h.b.Free(kept)
	}
}

// testQuantised multiplies by a weight of each quantised format, and of each kind of scales: by the whole weight and by
// rows of it, as a gated residual too. Parts of a weight serve as the factors of SwiGLU, and so do a rotated weight and
// one that is not.
func testQuantised(h *harness) {
	for _, t := range tensortest.Quantised(h.rng) {
		n, k := t.Shape[0], t.Shape[1]
		x := h.table(5, k)
		w, values := h.quantised(t)
		tolerance := h.tolerance()
		if t.Quant != nil && t.Quant.Rotation > 0 {
			tolerance *= 2 // both factors may be rounded after they were rotated
		}
		y := product(x, values, n)
		dst := h.view(5, n)
		h.b.Linear(dst.Matrix, h.upload(x).Matrix, w, backend.Epilogue{})
		h.checkWithin(t.Name, dst, y, tolerance)

		old, gate := h.table(5, n-2), h.table(1, n-2)[0]
		dst = h.upload(old)
		h.b.Linear(dst.Matrix, h.upload(x).Matrix, w.Slice(1, n-1), backend.Epilogue{Add: true, Gate: h.vector(gate)})
		h.checkWithin(t.Name+", rows of it as a gated residual", dst, each(5, n-2, func(i, j int) float64 {
			return old[i][j] + gate[j]*y[i][j+1]
		}), tolerance)
	}
	made := tensortest.Quantised(h.rng)
	find := func(name string) (backend.Weight, []float64, int) {
		i := slices.IndexFunc(made, func(t tensor.Tensor) bool { return t.Name == name })
		w, values := h.quantised(made[i])
		return w, values, made[i].Shape[1]
	}
	both := func(name string, gate, up backend.Weight, gates, ups []float64, k int) {
		x := h.table(5, k)
		for _, row := range x {
			for j := range row {
				row[j] = h.round(float32(row[j] / 64)) // so that SiLU is not saturated
			}
		}
		n := len(gates) / k
		g, u := product(x, gates, n), product(x, ups, n)
		dst := h.view(5, n)
		h.b.SwiGLU(dst.Matrix, h.upload(x).Matrix, gate, up)
		h.checkWithin("SwiGLU with "+name, dst,
			each(5, n, func(i, j int) float64 { return silu(g[i][j]) * u[i][j] }), 4*h.tolerance())
	}
	for _, name := range []string{"Q4_K", "I8 rotated by 256"} {
		w, values, k := find(name)
		both("parts of "+name, w.Slice(0, 2), w.Slice(2, 4), values[:2*k], values[2*k:4*k], k)
	}
	rotated, values, k := find("I8 rotated by 256")
	plain, others, _ := find("Q4_K")
	both("a rotated weight and another", rotated.Slice(0, 2), plain.Slice(0, 2), values[:2*k], others[:2*k], k)
	both("a weight and a rotated one", plain.Slice(0, 2), rotated.Slice(0, 2), others[:2*k], values[:2*k], k)
}

// testBeside multiplies by weights with further columns, as adapters make them, if the backend takes such: by a weight
// in bfloat16, by one in blocks and by a rotated one, of which only the columns of its own are rotated.
func testBeside(h *harness) {
	if !backend.JoinsBeside(h.b) {
		h.Skip("the backend takes no weights with columns beside them")
	}
	plain, values := h.weight(tensor.BF16, 256, 64)
	type row struct {
		name     string
		w        backend.Weight
		values   []float64
		n, k, r  int
		rotation bool
	}
	ws := []row{{"BF16", plain, values, 256, 64, 40, false}}
	for _, t := range tensortest.Quantised(h.rng) {
		if t.DType == tensor.Q4_K || t.Quant != nil && t.Quant.Rotation == 256 {
			w, values := h.quantised(t)
			ws = append(ws, row{t.Name, w, values, t.Shape[0], t.Shape[1], 8, t.Quant != nil})
		}
	}
	for _, s := range ws {
		// Columns of the same size as the others of the product, so that an error in one of the two shows.
		x, right := h.table(7, s.k+s.r), h.table(s.n, s.r)
		var all []float64
		for i := range s.n {
			own := s.values[i*s.k : (i+1)*s.k]
			mean, variance := moments(own)
			for j := range right[i] {
				right[i][j] = h.round(float32(right[i][j] * math.Sqrt((variance+mean*mean)*float64(s.k)/float64(s.r))))
			}
			all = append(append(all, own...), right[i]...)
		}
		kept := h.b.Keep(s.n, s.r, h.b.Activation())
		h.b.Upload(kept, flatten(right))
		w, y := backend.Beside(s.w, kept), product(x, all, s.n)
		source := h.whole(7, s.k+s.r)
		h.b.Upload(source.Matrix, flatten(x))
		tolerance := h.tolerance()
		if s.rotation {
			tolerance *= 2
		}
		old, gate := h.table(7, s.n), h.table(1, s.n)[0]
		dst := h.upload(old)
		h.b.Linear(dst.Matrix, source.Matrix, w, backend.Epilogue{Add: true, Gate: h.vector(gate)})
		h.checkWithin(s.name+", gated residual", dst, each(7, s.n, func(i, j int) float64 {
			return old[i][j] + gate[j]*y[i][j]
		}), tolerance)

		half := s.n / 2
		for _, row := range x {
			for j := range row {
				row[j] = h.round(float32(row[j] / 64))
			}
		}
		h.b.Upload(source.Matrix, flatten(x))
		y = product(x, all, s.n)
		dst = h.view(7, half)
		h.b.SwiGLU(dst.Matrix, source.Matrix, w.Slice(0, half), w.Slice(half, 2*half))
		h.checkWithin(s.name+", SwiGLU", dst, each(7, half, func(i, j int) float64 {
			return silu(y[i][j]) * y[i][half+j]
		}), 4*h.tolerance())
	}
}

// quantised returns t as a weight, with the values that the backend computes with.
func (h *harness) quantised(t tensor.Tensor) (backend.Weight, []float64) {
	w, err := h.b.Weight(t)
	if err != nil {
		h.Fatal(err)
	}
	var values []float64
	for _, v := range t.Float32s() {
		if t.Quant != nil && t.Quant.Rotation > 0 {
			values = append(values, float64(v)) // a rotated weight is rounded as it is
		} else {
			values = append(values, h.round(v))
		}
	}
	return w, values
}

// flatten64 returns the values of m in row-major order.
func flatten64(m table) (out []float64) {
	for _, row := range m {
		out = append(out, row...)
	}
	return out
}

// testQKNormRoPE has columns behind the heads. Rows marked as aligned use whole matrices, which fast kernels take; the
// others use views, which fast kernels refuse.
func testQKNormRoPE(h *harness) {
	const eps = 1e-6
	for _, s := range []struct {
		rows, heads, d, others, k int
		halves, aligned           bool
	}{
		{1, 1, 2, 0, 3, false, false}, {1, 2, 2, 5, 3, true, false}, {7, 3, 16, 16, 33, false, false},
		{7, 3, 16, 0, 32, true, true},
		{33, 2, 128, 128, 48, false, true}, {33, 2, 128, 128, 48, true, true}, {70, 3, 128, 0, 80, true, false},
		{130, 1, 128, 24, 16, false, true},
	} {
		cols := s.heads * s.d
		x := h.table(s.rows, s.k)
		w, values := h.weight(tensor.BF16, cols+s.others, s.k)
		y := product(x, values, cols+s.others)
		gain, gains := h.weight(tensor.BF16, s.d)
		angles := h.table(s.rows, s.d/2)
		rope := backend.RoPE{Cos: h.b.Alloc(s.rows, s.d/2, tensor.F32), Sin: h.b.Alloc(s.rows, s.d/2, tensor.F32),
			Halves: s.halves}
		h.b.Upload(rope.Cos, flatten(each(s.rows, s.d/2, func(i, j int) float64 { return math.Cos(angles[i][j]) })))
		h.b.Upload(rope.Sin, flatten(each(s.rows, s.d/2, func(i, j int) float64 { return math.Sin(angles[i][j]) })))
		want := each(s.rows, cols+s.others, func(i, j int) float64 {
			if j >= cols {
				return y[i][j]
			}
			head := y[i][j/s.d*s.d:][:s.d]
			mean, variance := moments(head)
			norm := func(c int) float64 { return head[c] / math.Sqrt(variance+mean*mean+eps) * gains[c] }
			c := j % s.d
			pair, first, second := c/2, c&^1, c|1
			if s.halves {
				pair = c % (s.d / 2)
				first, second = pair, pair+s.d/2
			}
			sn, cs := math.Sincos(angles[i][pair])
			if c == first {
				return norm(first)*cs - norm(second)*sn
			}
			return norm(second)*cs + norm(first)*sn
		})
		dst, source := h.view(s.rows, cols+s.others), h.upload(x)
		if s.aligned {
			dst, source = h.whole(s.rows, cols+s.others), h.whole(s.rows, s.k)
			h.b.Upload(source.Matrix, flatten(x))
		}
		heads := backend.QKNormRoPE{Cols: cols, Weight: gain, Eps: eps, RoPE: rope}
		h.b.Linear(dst.Matrix, source.Matrix, w, backend.Epilogue{QKNormRoPE: heads})
		// Where a backend runs QKNormRoPE after the product, the product is rounded before it.
		h.checkWithin(fmt.Sprintf("%+v", s), dst, want, 2*h.tolerance())

		h.b.Linear(dst.Matrix, source.Matrix, w, backend.Epilogue{})
		h.b.QKNormRoPE(dst.ColRange(0, cols), heads)
		h.checkWithin(fmt.Sprintf("%+v, after the product", s), dst, want, 2*h.tolerance())
	}
}

func testSwiGLU(h *harness) {
	for _, s := range []struct{ m, n, k int }{{1, 3, 5}, {7, 33, 17}, {300, 48, 64}, {31, 160, 96}} {
		x := h.table(s.m, s.k)
		gate, gates := h.weight(tensor.BF16, s.n, s.k)
		up, ups := h.weight(tensor.BF16, s.n, s.k)
		g, u := product(x, gates, s.n), product(x, ups, s.n)
		dst := h.view(s.m, s.n)
		h.b.SwiGLU(dst.Matrix, h.upload(x).Matrix, gate, up)
		// A backend may round one of the two products before it multiplies them.
		h.checkWithin(fmt.Sprintf("[%d %d] → %d", s.m, s.k, s.n), dst,
			each(s.m, s.n, func(i, j int) float64 { return silu(g[i][j]) * u[i][j] }), 2*h.tolerance())
	}
}

func testEmbedding(h *harness) {
	for _, dtype := range []tensor.DType{tensor.BF16, tensor.F32, tensor.F16, tensor.F8E4M3} {
		w, values := h.weightOf(h.b.Table, dtype, 11, 33)
		ids := []int32{0, 10, 3, 3}
		dst := h.view(len(ids), 33)
		h.b.Embedding(dst.Matrix, w, ids)
		h.check(dtype.String(), dst, each(len(ids), 33, func(i, j int) float64 { return values[int(ids[i])*33+j] }))
	}
}

func testAttention(h *harness) {
	for _, s := range []struct {
		queries, keys, valid, heads, kvHeads, d int
		causal                                  bool
	}{
		{1, 1, 1, 1, 1, 16, false},
		{5, 5, 5, 2, 1, 128, true},
		{33, 33, 20, 4, 2, 128, true},
		{70, 70, 1, 2, 2, 32, true},
		{31, 97, 97, 3, 3, 128, false},
		{24, 536, 536, 2, 2, 128, false},
		{130, 130, 130, 1, 1, 512, false},
		{65, 65, 65, 1, 1, 64, false},
		{7, 300, 259, 2, 1, 48, false},
	} {
		q, k, v := h.table(s.queries, s.heads*s.d), h.table(s.keys, s.kvHeads*s.d), h.table(s.keys, s.kvHeads*s.d)
		scale := 1 / math.Sqrt(float64(s.d))
		want := each(s.queries, s.heads*s.d, func(int, int) float64 { return 0 })
		for head := range s.heads {
			kv := head * s.kvHeads / s.heads * s.d
			for i := range s.queries {
				seen := s.valid
				if s.causal {
					seen = min(seen, i+1)
				}
				e, sum := make([]float64, seen), 0.0
				for j := range seen {
					dot := 0.0
					for c := range s.d {
						dot += q[i][head*s.d+c] * k[j][kv+c]
					}
					e[j] = math.Exp(dot * scale)
					sum += e[j]
				}
				for j := range seen {
					for c := range s.d {
						want[i][head*s.d+c] += e[j] / sum * v[j][kv+c]
					}
				}
			}
		}
		dst := h.view(s.queries, s.heads*s.d)
		h.b.Attention(dst.Matrix, h.upload(q).Matrix, h.upload(k).Matrix, h.upload(v).Matrix, backend.AttentionParams{
			Heads: s.heads, KVHeads: s.kvHeads, Scale: float32(scale), Causal: s.causal, Keys: s.valid,
		})
		// A backend may round the probabilities to the format of activations before it multiplies them with the values.
		h.checkWithin(fmt.Sprintf("%+v", s), dst, want, 2*h.tolerance())
	}
}

func testConv2D(h *harness) {
	for _, s := range []struct {
		height, width, in, out, kernel int
		up, down, add, relu            bool
		groups                         int // groups of ConvParams.Norm; 0 for none
	}{
		{1, 1, 3, 5, 3, false, false, false, false, 0},
		{4, 6, 3, 17, 3, false, false, false, false, 0},
		{7, 5, 33, 31, 3, false, false, true, false, 0},
		{6, 8, 16, 24, 1, false, false, true, false, 0},
		{5, 3, 8, 9, 3, true, false, false, false, 0},
		{8, 6, 12, 20, 3, false, true, false, false, 0},
		{16, 24, 64, 64, 3, false, false, false, false, 0},
		{9, 11, 128, 3, 3, false, false, false, false, 0},
		{9, 11, 64, 3, 3, false, false, false, false, 8},
		{10, 17, 48, 40, 3, false, false, true, false, 4},
		{5, 3, 6, 9, 3, true, false, false, false, 2},
		{7, 5, 33, 31, 3, false, false, false, true, 0},
		{6, 8, 16, 24, 3, false, false, true, true, 0},
		{10, 17, 48, 40, 3, false, false, false, true, 4},
	} {
		x := h.table(s.height*s.width, s.in)
		w, values := h.weight(tensor.BF16, s.out, s.in, s.kernel, s.kernel)
		bias, biases := h.weight(tensor.F32, s.out)
		p := backend.ConvParams{
			Height: s.height, Width: s.width, Upsample: s.up, Downsample: s.down, Bias: bias, Add: s.add, ReLU: s.relu,
		}
		source := h.upload(x)
		if s.groups > 0 {
			gamma, gammas := h.weight(tensor.BF16, s.in)
			beta, betas := h.weight(tensor.F32, s.in)
			p.Norm = &backend.GroupNormParams{Groups: s.groups, Gamma: gamma, Beta: beta, Eps: 1e-6, SiLU: true}
			source = h.whole(s.height*s.width, s.in)
			h.b.Upload(source.Matrix, flatten(x))
			normed := normalised(x, s.groups, gammas, betas)
			x = each(len(x), s.in, func(i, j int) float64 { return silu(normed[i][j]) })
		}
		oh, ow := p.OutputSize()
		old := h.table(oh*ow, s.out)
		at := func(y, x0, c int) float64 {
			height, width, shrink := s.height, s.width, 1
			if s.up {
				height, width, shrink = 2*height, 2*width, 2
			}
			if y < 0 || x0 < 0 || y >= height || x0 >= width {
				return 0
			}
			return x[y/shrink*s.width+x0/shrink][c]
		}
		want := each(oh*ow, s.out, func(i, o int) float64 {
			sum := biases[o]
			if s.add {
				sum += old[i][o]
			}
			for ky := range s.kernel {
				for kx := range s.kernel {
					y, x0 := i/ow+ky-s.kernel/2, i%ow+kx-s.kernel/2
					if s.down {
						y, x0 = 2*(i/ow)+ky, 2*(i%ow)+kx
					}
					for c := range s.in {
						sum += at(y, x0, c) * values[((o*s.in+c)*s.kernel+ky)*s.kernel+kx]
					}
				}
			}
			if s.relu {
				return max(sum, 0)
			}
			return sum
		})
		dst := h.upload(old)
		h.b.Conv2D(dst.Matrix, source.Matrix, w, p)
		h.check(fmt.Sprintf("%+v", s), dst, want)

		wide := h.b.Alloc(oh*ow, s.out, tensor.F32)
		h.b.Upload(wide, flatten(old))
		h.b.Conv2D(wide, source.Matrix, w, p)
		h.check(fmt.Sprintf("to float32 %+v", s), guarded{Matrix: wide, whole: wide}, want)
		h.b.Free(wide)
	}
}
