package flux2

import (
	"fmt"

	"github.com/kleinbild/kleinbild/inference/backend"
)

// linear is a weight of a product, or a range of its rows, which adapters may change.
type linear struct {
	backend.Weight
	name     string // the weight's name, without ".weight"
	from, to int    // rows of the weight
}

// load returns the weight called name, [rows, cols], of a layer outside of the blocks: embedders, modulations and the
// final layer, which are small, and through which everything goes.
func (t *Transformer) load(l *backend.Loader, name string, rows, cols int) linear {
	t.shapes[name] = [2]int{rows, cols}
	return linear{l.Get(name+".weight", rows, cols), name, 0, rows}
}

// loadInBlock is load for a layer of a block, which a backend may quantise. docs/quality.md has what that costs.
func (t *Transformer) loadInBlock(l *backend.Loader, name string, rows, cols int) linear {
	t.shapes[name] = [2]int{rows, cols}
	return linear{l.Linear(name+".weight", rows, cols), name, 0, rows}
}

// slice returns the rows [from, to). It returns the zero value if the weight could not be loaded.
func (l linear) slice(from, to int) linear {
	if l.Weight == nil {
		return linear{}
	}
	return linear{l.Slice(from, to), l.name, l.from + from, l.from + to}
}

// adapterMemory is the working memory for changed products.
type adapterMemory struct {
	thin, scaled, kron1, kron2 backend.Matrix // a row for each token
	up                         backend.Matrix // [tokens, mlp]
	gate                       backend.Matrix // float32 [1, width of the widest layer]
}

// allocAdapters allocates the working memory for the transformer's adapters.
func (r *Run) allocAdapters(tokens int) {
	a := r.t.adapters
	if a == nil {
		return
	}
	alloc := func(m *backend.Matrix, width int) {
		if width > 0 {
			*m = r.s.Alloc(tokens, width)
		}
	}
	alloc(&r.adapted.thin, a.thin)
	alloc(&r.adapted.scaled, a.scaled)
	alloc(&r.adapted.kron1, a.kron1)
	alloc(&r.adapted.kron2, a.kron2)
	// Queries, keys and values are not needed any more where an MLP begins.
	if mlp := r.t.cfg.MLPHidden(); mlp <= r.qkv.Cols {
		r.adapted.up = r.qkv.ColRange(0, mlp)
	} else {
		alloc(&r.adapted.up, mlp)
	}
	r.adapted.gate = r.s.AllocAs(1, a.zeros.Cols, a.zeros.DType)
}

// linear computes Linear with the weight as the adapters change it. What the epilogue does with the product it does
// with the whole sum: a gated residual takes each summand by itself, and heads are normalised and rotated after the
// last one.
func (r *Run) linear(dst, x backend.Matrix, l linear, ep backend.Epilogue) {
	b := r.t.b
	if s, ok := r.besideOf(l); ok {
		b.Linear(dst, r.joined(x, s.a), backend.Beside(l.Weight, s.b), ep)
		return
	}
	changes := r.t.adapters.of(l)
	if changes == nil {
		b.Linear(dst, x, l.Weight, ep)
		return
	}
	sum := backend.Epilogue{Add: ep.Add, Gate: ep.Gate}
	for _, p := range changes.pieces {
		if from, to := max(p.from, l.from), min(p.to, l.to); from < to {
			r.scaledProduct(part(dst, l, from, to), x, l.slice(from-l.from, to-l.from), changes, p, gated(sum, l, from, to))
		}
	}
	for _, t := range changes.terms {
		from, to := max(t.from, l.from), min(t.to, l.to)
		if from >= to {
			continue
		}
		to, from, first := to-t.from, from-t.from, from-t.from+t.first
		d, e := part(dst, l, t.from+from, t.from+to), gated(sum, l, t.from+from, t.from+to)
		e.Add = true
		switch {
		case t.a.Buffer != nil:
			thin := r.adapted.thin.RowRange(0, x.Rows).ColRange(0, t.a.Rows)
			b.Linear(thin, x, backend.AsWeight(t.a), backend.Epilogue{})
			b.Linear(d, thin, backend.AsWeight(t.b.RowRange(from, to)), e)
		case t.dense.Buffer != nil:
			b.Linear(d, x, backend.AsWeight(t.dense.RowRange(from, to)), e)
		case t.w1.Buffer != nil:
			r.kronecker(d, x, t, first, e.Gate)
		default:
			panic(fmt.Sprintf("flux2: rows [%d, %d) of %s are not among those of products", l.from, l.to, l.name))
		}
	}
	switch {
	case ep.QKNormRoPE.Cols > 0:
		b.QKNormRoPE(dst.ColRange(0, ep.QKNormRoPE.Cols), ep.QKNormRoPE)
	case ep.SiLU:
		b.SiLUMul(dst, dst, r.t.adapters.ones.ColRange(0, dst.Cols))
	}
}

// part returns the columns of a product with l that the rows [from, to) of the weight give.
func part(dst backend.Matrix, l linear, from, to int) backend.Matrix {
	return dst.ColRange(from-l.from, to-l.from)
}

// gated returns ep for such a part.
func gated(ep backend.Epilogue, l linear, from, to int) backend.Epilogue {
	if ep.Gate.Buffer != nil {
		ep.Gate = part(ep.Gate, l, from, to)
	}
	return ep
}

// scaledProduct computes the product with the weight itself, whose rows are those of l and lie in the piece p. Their
// scales are those of DoRA: a scale of rows multiplies the product, a scale of columns the operand.
func (r *Run) scaledProduct(dst, x backend.Matrix, l linear, changes *adapted, p piece, ep backend.Epilogue) {
	b, a := r.t.b, r.t.adapters
	scale := func(by backend.Matrix) backend.Matrix {
		scaled := r.adapted.scaled.RowRange(0, x.Rows).ColRange(0, x.Cols)
		b.Affine(scaled, x, by, a.zeros.ColRange(0, x.Cols))
		return scaled
	}
	switch {
	case changes.rowScale == nil && p.factors.Buffer == nil:
		b.Linear(dst, x, l.Weight, ep)
		return
	case changes.rowScale == nil:
		b.Linear(dst, scale(p.factors), l.Weight, ep)
		return
	}
	n := dst.Cols
	rows, zeros := changes.rowFactors.ColRange(l.from, l.to), a.zeros.ColRange(0, n)
	if ep.Add {
		gate := r.adapted.gate.ColRange(0, n)
		if ep.Gate.Buffer != nil {
			b.Affine(gate, ep.Gate, rows, zeros)
		} else {
			b.Copy(gate, rows)
		}
		b.Linear(dst, x, l.Weight, backend.Epilogue{Add: true, Gate: gate})
	} else {
		b.Linear(dst, x, l.Weight, backend.Epilogue{})
		b.Affine(dst, dst, rows, zeros)
	}
	if p.extra.Buffer != nil {
		b.Linear(dst, scale(p.extra), l.Weight, backend.Epilogue{Add: true, Gate: ep.Gate})
	}
}

// kronecker adds the product with rows of W1 ⊗ W2, from row first on, to dst. With the row x as a matrix X [q1, q2],
// the product is W1·X·W2ᵀ, [p1, p2]. Only the rows of W1 that dst needs are used. Two transpositions bring the index
// that a product sums over to the end.
func (r *Run) kronecker(dst, x backend.Matrix, t term, first int, gate backend.Matrix) {
	b, m := r.t.b, x.Rows
	p2, q1, q2 := t.w2.Rows, t.w1.Cols, t.w2.Cols
	from, to := first/p2, (first+dst.Cols+p2-1)/p2
	w1 := t.w1.RowRange(from, to)
	p1 := w1.Rows
	even := func(rows, cols int) backend.Matrix { return reshaped(r.adapted.kron1, rows, cols) }
	odd := func(rows, cols int) backend.Matrix { return reshaped(r.adapted.kron2, rows, cols) }
	b.TransposeRows(even(m, q1*q2), x, q1)                                              // [m, q2·q1]
	b.Linear(odd(m*q2, p1), even(m*q2, q1), backend.AsWeight(w1), backend.Epilogue{})   // [m, q2·p1]
	b.TransposeRows(even(m, p1*q2), odd(m, q2*p1), q2)                                  // [m, p1·q2]
	b.Linear(odd(m*p1, p2), even(m*p1, q2), backend.AsWeight(t.w2), backend.Epilogue{}) // [m, p1·p2]
	y := odd(m, p1*p2).ColRange(first-from*p2, first-from*p2+dst.Cols)
	if gate.Buffer != nil {
		b.Affine(y, y, gate, r.t.adapters.zeros.ColRange(0, y.Cols))
	}
	b.AddScaled(dst, dst, y, 1)
}

// reshaped returns a matrix of other sizes at the beginning of m, which has no gaps between its rows.
func reshaped(m backend.Matrix, rows, cols int) backend.Matrix {
	m.Rows, m.Cols, m.Stride = rows, cols, cols
	return m
}

// swiGLU computes SwiGLU with the weights as the adapters change them.
func (r *Run) swiGLU(dst, x backend.Matrix, gate, up linear) {
	b, a := r.t.b, r.t.adapters
	if g, ok := r.besideOf(gate); ok {
		u, _ := r.besideOf(up) // of the same changes
		b.SwiGLU(dst, r.joined(x, g.a), backend.Beside(gate.Weight, g.b), backend.Beside(up.Weight, u.b))
		return
	}
	if a.of(gate) == nil && a.of(up) == nil {
		b.SwiGLU(dst, x, gate.Weight, up.Weight)
		return
	}
	other := r.adapted.up.RowRange(0, x.Rows)
	r.linear(dst, x, gate, backend.Epilogue{})
	r.linear(other, x, up, backend.Epilogue{})
	b.SiLUMul(dst, dst, other)
}
