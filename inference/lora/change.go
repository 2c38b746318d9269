package lora

import (
	"context"
	"fmt"
)

// Change is what a module does to the rows [From, To) of one weight W of the transformer, [rows, Cols]. The changed
// weight is
//
//	diag(1 + RowScale)·W + W·diag(ColScale) + Δ
//
// on these rows, where Δ is one of B·A, rows of the Kronecker product W1 ⊗ W2, and Dense. At strength s all three terms
// but W itself are multiplied by s, for every kind of adapter. Changes returns sizes without values; Load adds them.
// All values are float32 and row-major.
type Change struct {
	Weight   string // the name in Diffusers, without ".weight"
	From, To int
	Cols     int
	// Source names the module. Changes of one Source have the same A, W1, W2 and ColScale.
	Source string

	// Rank is not 0 if Δ = B·A, with A [Rank, Cols] and B [To−From, Rank], into which alpha is multiplied.
	Rank int
	A, B []float32

	// P1 is not 0 if Δ is the rows [First, First+To−From) of W1 ⊗ W2, with W1 [P1, Q1] and W2 [P2, Q2].
	P1, Q1, P2, Q2, First int
	W1, W2                []float32

	// Whole is true if Δ = Dense, [To−From, Cols].
	Whole bool
	Dense []float32

	// RowScaled and ColScaled are true if there are a RowScale [To−From] and a ColScale [Cols].
	RowScaled, ColScaled bool
	RowScale, ColScale   []float32
}

// Weights gives the values of the transformer, which the magnitudes of a DoRA need.
type Weights interface {
	// Rows returns the rows [from, to) of a weight, row-major.
	Rows(weight string, from, to int) ([]float32, error)
	// Product returns b·a for b [rows, rank] and a [rank, cols].
	Product(b, a []float32, rows, rank, cols int) []float32
}

// form is how the change of a fit is computed.
type form int

const (
	lowRank form = iota
	kronecker
	dense
)

// form chooses the form with the least arithmetic for a token.
func (t fit) form(f *File) form {
	magnitude := t.hasAny(roleMagnitude, roleDoRA)
	switch t.kind {
	case KindLoRA:
		return lowRank
	case KindLoHa:
		// The product of two matrices of rank r, value by value, has rank r².
		if r := t.size.rank; r*r*(t.size.rows+t.size.cols) < t.size.rows*t.size.cols/2 {
			return lowRank
		}
	case KindLoKr:
		p1, _, _, q2 := t.kron(f)
		if !magnitude && t.size.cols*p1+t.size.rows*q2 < t.size.rows*t.size.cols/2 {
			return kronecker
		}
	}
	return dense
}

// kron returns the sizes of the factors of a LoKr, W1 [p1, q1] and W2 [p2, q2].
func (t fit) kron(f *File) (p1, q1, p2, q2 int) {
	a, _ := f.factor(t.keys[roleKron1], t.keys[roleKron1A], t.keys[roleKron1B]) // Match has checked the shapes
	b, _ := f.factor(t.keys[roleKron2], t.keys[roleKron2A], t.keys[roleKron2B])
	return a.rows, a.cols, b.rows, b.cols
}

// Changes returns the changes of all modules that fit, without their values.
func (m *Match) Changes() (list []Change) {
	for _, t := range m.fits {
		list = append(list, t.changes(m.file)...)
	}
	return list
}

func (t fit) changes(f *File) (list []Change) {
	form := t.form(f)
	for _, r := range t.runs {
		c := Change{Weight: r.weight, From: r.from, To: r.to, Cols: t.size.cols, Source: f.digest + " " + t.name}
		switch form {
		case lowRank:
			if c.Rank = t.size.rank; t.kind == KindLoHa {
				c.Rank *= t.size.rank
			}
		case kronecker:
			c.P1, c.Q1, c.P2, c.Q2 = t.kron(f)
			c.First = r.first
		case dense:
			c.Whole = true
		}
		if key := t.anyKey(roleMagnitude, roleDoRA); t.hasAny(roleMagnitude, roleDoRA) {
			stat, _ := f.file.Stat(key)
			c.ColScaled, _ = columnwise(stat.Shape, t.size, t.keys[roleMagnitude] != "")
			c.RowScaled = !c.ColScaled
		}
		if t.kind == KindSet {
			c.RowScaled = true
		}
		list = append(list, c)
	}
	return list
}

// Load calls use for each of Changes, in their order, with its values. The values may be kept.
func (m *Match) Load(ctx context.Context, w Weights, use func(Change) error) error {
	if err := m.file.Changed(); err != nil {
		return err
	}
	for _, t := range m.fits {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		v, err := t.values(m.file, w)
		if err != nil {
			return err
		}
		for i, c := range t.changes(m.file) {
			v.fill(&c, t.runs[i])
			if err := use(c); err != nil {
				return err
			}
		}
	}
	return m.file.Changed()
}

// values are those of a module: factors, or the whole change, for all its rows.
type values struct {
	a, b               []float32 // of rank rank, with alpha multiplied into b
	rank               int
	w1, w2             []float32
	dense              []float32
	rowScale, colScale []float32
	cols               int
}

// fill sets the values of a change of the rows in r.
func (v *values) fill(c *Change, r run) {
	if c.Rank > 0 {
		c.A, c.B = v.a, v.b[r.first*v.rank:r.end*v.rank]
	}
	if c.Whole {
		c.Dense = v.dense[r.first*v.cols : r.end*v.cols]
	}
	c.W1, c.W2 = v.w1, v.w2
	if v.rowScale != nil {
		c.RowScale = v.rowScale[r.first:r.end]
	}
	c.ColScale = v.colScale
}

// values reads the module and computes its values.
func (t fit) values(f *File, w Weights) (*values, error) {
	v := &values{cols: t.size.cols}
	var err error
	form := t.form(f)
	switch t.kind {
	case KindLoRA:
		err = v.readPair(f, t)
	case KindLoHa:
		err = v.readHada(f, t, form)
	case KindLoKr:
		err = v.readKron(f, t, form)
	case KindDiff:
		v.dense, err = f.floats(t.keys[roleDiff])
	case KindSet:
		v.dense, err = f.floats(t.keys[roleSet])
		v.rowScale = make([]float32, t.size.rows)
		for i := range v.rowScale {
			v.rowScale[i] = -1
		}
	}
	if err == nil && t.hasAny(roleMagnitude, roleDoRA) {
		err = v.magnitude(f, t, w)
	}
	return v, err
}

// readPair reads a LoRA.
func (v *values) readPair(f *File, t fit) (err error) {
	if v.a, err = f.floats(t.keys[roleDown]); err != nil {
		return err
	}
	if v.b, err = f.floats(t.keys[roleUp]); err != nil {
		return err
	}
	v.rank = t.size.rank
	scale(v.b, f.alphas.factor(t.module, v.rank))
	return nil
}

func scale(values []float32, by float64) {
	for i, v := range values {
		values[i] = float32(float64(v) * by)
	}
}

// readHada reads a LoHa: Δ = alpha/r·(w1a·w1b) ⊙ (w2a·w2b).
func (v *values) readHada(f *File, t fit, form form) error {
	var w [4][]float32
	for i, r := range []role{roleHada1A, roleHada1B, roleHada2A, roleHada2B} {
		var err error
		if w[i], err = f.floats(t.keys[r]); err != nil {
			return err
		}
	}
	rows, cols, r := t.size.rows, t.size.cols, t.size.rank
	scale(w[0], f.alphas.factor(t.module, r))
	if form == dense {
		v.dense = product(w[0], w[1], rows, r, cols)
		for i, x := range product(w[2], w[3], rows, r, cols) {
			v.dense[i] *= x
		}
		return nil
	}
	v.rank = r * r
	v.a, v.b = make([]float32, v.rank*cols), make([]float32, rows*v.rank)
	for i := range r {
		for j := range r {
			k := i*r + j
			for c := range cols {
				v.a[k*cols+c] = w[1][i*cols+c] * w[3][j*cols+c]
			}
			for o := range rows {
				v.b[o*v.rank+k] = w[0][o*r+i] * w[2][o*r+j]
			}
		}
	}
	return nil
}

// readKron reads a LoKr: Δ = c·w1 ⊗ w2, where c is alpha/r unless both factors are stored as they are.
func (v *values) readKron(f *File, t fit, form form) error {
	p1, q1, p2, q2 := t.kron(f)
	one := func(whole, a, b role, rows, cols int) ([]float32, error) {
		if t.keys[whole] != "" {
			return f.floats(t.keys[whole])
		}
		left, err := f.floats(t.keys[a])
		if err != nil {
			return nil, err
		}
		right, err := f.floats(t.keys[b])
		if err != nil {
			return nil, err
		}
		return product(left, right, rows, len(right)/cols, cols), nil
	}
	var err error
	if v.w1, err = one(roleKron1, roleKron1A, roleKron1B, p1, q1); err != nil {
		return err
	}
	if v.w2, err = one(roleKron2, roleKron2A, roleKron2B, p2, q2); err != nil {
		return err
	}
	if !t.wholeKron() {
		scale(v.w1, f.alphas.factor(t.module, t.size.rank))
	}
	if form != dense {
		return nil
	}
	v.dense = make([]float32, t.size.rows*t.size.cols)
	for i := range p1 {
		for k := range p2 {
			row := v.dense[(i*p2+k)*t.size.cols:][:t.size.cols]
			for j := range q1 {
				for l, x := range v.w2[k*q2 : (k+1)*q2] {
					row[j*q2+l] = v.w1[i*q1+j] * x
				}
			}
		}
	}
	v.w1, v.w2 = nil, nil
	return nil
}

// product returns a·b for a [rows, rank] and b [rank, cols]. The sums are float64, and rounded once.
func product(a, b []float32, rows, rank, cols int) []float32 {
	out := make([]float32, rows*cols)
	sum := make([]float64, cols)
	for i := range rows {
		clear(sum)
		for k, x := range a[i*rank : (i+1)*rank] {
			for j, y := range b[k*cols : (k+1)*cols] {
				sum[j] += float64(x) * float64(y)
			}
		}
		for j, s := range sum {
			out[i*cols+j] = float32(s)
		}
	}
	return out
}

// String names the change for messages.
func (c Change) String() string { return fmt.Sprintf("%s rows [%d, %d)", c.Weight, c.From, c.To) }
