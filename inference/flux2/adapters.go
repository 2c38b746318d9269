package flux2

import (
	"fmt"
	"maps"
	"slices"

	"github.com/kleinbild/kleinbild/inference/backend"
	"github.com/kleinbild/kleinbild/inference/tensor"
)

// Change is what an adapter does to the rows [From, To) of one weight W, [rows, Cols]: with strength s the weight is
//
//	W + s·(diag(RowScale)·W + W·diag(ColScale) + Δ)
//
// on these rows, where Δ is B·A, or rows of W1 ⊗ W2, or Dense. The fields are those of lora.Change, where they are
// described. In a rehearsal the values are nil.
type Change struct {
	Weight   string
	From, To int
	Cols     int
	Source   string

	Rank int
	A, B []float32

	P1, Q1, P2, Q2, First int
	W1, W2                []float32

	Whole bool
	Dense []float32

	RowScaled, ColScaled bool
	RowScale, ColScale   []float32
}

// Adapters are changes of a transformer's weights, on its backend. They stay beside the weights, which stay as they
// are: a product with a changed weight is followed by the thin products of its changes. All their matrices are kept, so
// that they are valid for several runs.
type Adapters struct {
	t      *Transformer
	layers map[string]*adapted
	kept   []backend.Matrix
	shared map[string]backend.Matrix // by what they hold and the source of the change
	zeros  backend.Matrix            // float32 [1, width of the widest layer]
	ones   backend.Matrix

	// Sizes of the working memory, in values for each token.
	thin, scaled, kron1, kron2 int
	// beside has what stands beside rows of weights, and spare is the largest rank of it.
	beside map[rows]beside
	spare  int
}

// adapted are the changes of one weight.
type adapted struct {
	rows, cols int
	terms      []term

	rowScale  []float32 // the sum of all, nil without any; in a rehearsal its values mean nothing
	colScales []colScale
	// rowFactors, float32 [1, rows], is 1 + rowScale.
	rowFactors backend.Matrix
	// pieces cut the rows so that those of one piece have the same scale of columns.
	pieces []piece
}

// term is the Δ of one change.
type term struct {
	from, to int
	// rank is that of a term of a low rank, 0 for all others. Source and values make its matrices: A without the rows of
	// zeros up to rank, and B times the strength. Where it may stand beside the weight, they are kept until Finish.
	rank                 int
	source               string
	downValues, upValues []float32
	a, b                 backend.Matrix // of a low rank
	dense                backend.Matrix
	w1, w2               backend.Matrix // of a Kronecker product, whose row first is the term's first
	first                int
}

// colScale scales the columns of the rows [from, to).
type colScale struct {
	from, to int
	values   []float32
	strength float32
}

// piece is a range of rows. factors is 1 + the sum of their scales of columns, and extra that sum, both float32
// [1, cols]; their Buffer is nil if there is no scale.
type piece struct {
	from, to       int
	factors, extra backend.Matrix
}

// NewAdapters returns adapters without changes. The caller adds changes, then calls Finish, and frees them at the end.
func (t *Transformer) NewAdapters() *Adapters {
	return &Adapters{t: t, layers: map[string]*adapted{}, shared: map[string]backend.Matrix{}, beside: map[rows]beside{}}
}

// Layer returns the rows and columns of the weight with a name of Diffusers, without ".weight". ok is false if the
// transformer has none, and for weights that adapters cannot change.
func (t *Transformer) Layer(name string) (rows, cols int, ok bool) {
	s, ok := t.shapes[name]
	return s[0], s[1], ok
}

// Adapt sets the adapters of the runs that follow, nil for none.
func (t *Transformer) Adapt(a *Adapters) { t.adapters = a }

// rankMultiple is the multiple to which ranks are filled up with zeros, so that rows begin where fast kernels want
// them.
const rankMultiple = 8

// Add adds a change with a strength. It returns an error for a change that does not fit its weight.
func (a *Adapters) Add(c Change, strength float32) error {
	rows, cols, ok := a.t.Layer(c.Weight)
	if !ok || c.Cols != cols || c.From < 0 || c.From >= c.To || c.To > rows {
		return fmt.Errorf("flux2: a change of %s, rows [%d, %d) of [%d %d], which has [%d %d]",
			c.Weight, c.From, c.To, c.To-c.From, c.Cols, rows, cols)
	}
	l := a.layers[c.Weight]
	if l == nil {
		l = &adapted{rows: rows, cols: cols}
		a.layers[c.Weight] = l
	}
	n := c.To - c.From
	activation := a.t.b.Activation()
	switch {
	case c.Rank > 0:
		rank := (c.Rank + rankMultiple - 1) / rankMultiple * rankMultiple
		t := term{
			from: c.From, to: c.To, rank: rank, source: c.Source, downValues: c.A,
			upValues: padded(c.B, n, c.Rank, rank, strength),
		}
		if !a.mayJoin(c.Weight, cols) {
			a.uploadTerm(&t, cols)
		}
		l.terms = append(l.terms, t)
	case c.P1 > 0:
		a.kron1, a.kron2 = max(a.kron1, cols, c.P1*c.Q2), max(a.kron2, c.Q2*c.P1, c.P1*c.P2)
		l.terms = append(l.terms, term{
			from: c.From, to: c.To, first: c.First,
			w1: a.share("W1 "+c.Source, c.P1, c.Q1, c.W1, strength), w2: a.share("W2 "+c.Source, c.P2, c.Q2, c.W2, 1),
		})
	case c.Whole:
		l.terms = append(l.terms, term{
			from: c.From, to: c.To, dense: a.keep(n, cols, activation, padded(c.Dense, n, cols, cols, strength)),
		})
	}
	if c.RowScaled {
		if l.rowScale == nil {
			l.rowScale = make([]float32, rows)
		}
		for i, x := range c.RowScale {
			l.rowScale[c.From+i] += strength * x
		}
	}
	if c.ColScaled {
		a.scaled = max(a.scaled, cols)
		l.colScales = append(l.colScales, colScale{c.From, c.To, c.ColScale, strength})
	}
	return nil
}

// padded returns values, row-major [rows, cols], times strength in rows of width values. It returns nil for nil.
func padded(values []float32, rows, cols, width int, strength float32) []float32 {
	if values == nil || cols == width && strength == 1 {
		return values
	}
	out := make([]float32, rows*width)
	for i := range rows {
		row := out[i*width:]
		for j, v := range values[i*cols : (i+1)*cols] {
			row[j] = v * strength
		}
	}
	return out
}

// keep returns a kept matrix with the given values.
func (a *Adapters) keep(rows, cols int, dtype tensor.DType, values []float32) backend.Matrix {
	m := a.t.b.Keep(rows, cols, dtype)
	a.kept = append(a.kept, m)
	if !backend.Rehearses(a.t.b) {
		a.t.b.Upload(m, values)
	}
	return m
}

// share is keep in the format of activations for values that several changes of one source have. Missing rows are zero.
func (a *Adapters) share(key string, rows, cols int, values []float32, strength float32) backend.Matrix {
	m, ok := a.shared[key]
	if !ok {
		if values != nil {
			whole := make([]float32, rows*cols)
			for i, v := range values {
				whole[i] = v * strength
			}
			values = whole
		}
		m = a.keep(rows, cols, a.t.b.Activation(), values)
		a.shared[key] = m
	}
	return m
}

// Finish uploads what the changes have in common. It must be called once, after all Add.
func (a *Adapters) Finish() {
	widest := 0
	for _, s := range a.t.shapes {
		widest = max(widest, s[0], s[1])
	}
	a.zeros = a.keep(1, widest, tensor.F32, make([]float32, widest))
	a.ones = a.keep(1, widest, tensor.F32, plusOne(make([]float32, widest)))
	for _, name := range slices.Sorted(maps.Keys(a.layers)) {
		l := a.layers[name]
		if a.joins(name, l) {
			a.join(name, l)
		} else {
			for i := range l.terms {
				if t := &l.terms[i]; t.rank > 0 && t.a.Buffer == nil {
					a.uploadTerm(t, l.cols)
				}
			}
		}
		if l.rowScale != nil {
			l.rowFactors = a.keep(1, l.rows, tensor.F32, plusOne(l.rowScale))
		}
		a.cut(l)
	}
}

// uploadTerm makes the matrices of a term of a low rank of a weight with cols columns, and lets go of its values.
func (a *Adapters) uploadTerm(t *term, cols int) {
	a.thin = max(a.thin, t.rank)
	t.a = a.share("A "+t.source, t.rank, cols, t.downValues, 1)
	t.b = a.keep(t.to-t.from, t.rank, a.t.b.Activation(), t.upValues)
	t.downValues, t.upValues = nil, nil
}

// spareColumns is how many columns A·x needs behind those of x.
func (a *Adapters) spareColumns() int {
	if a == nil {
		return 0
	}
	return a.spare
}

// plusOne adds 1 to each value.
func plusOne(values []float32) []float32 {
	out := make([]float32, len(values))
	for i, v := range values {
		out[i] = 1 + v
	}
	return out
}

// cut makes the pieces of a layer.
func (a *Adapters) cut(l *adapted) {
	bounds := []int{0, l.rows}
	for _, s := range l.colScales {
		bounds = append(bounds, s.from, s.to)
	}
	slices.Sort(bounds)
	bounds = slices.Compact(bounds)
	for i := range len(bounds) - 1 {
		p := piece{from: bounds[i], to: bounds[i+1]}
		var sum []float32
		for _, s := range l.colScales {
			if s.from > p.from || s.to < p.to {
				continue
			}
			if sum == nil {
				sum = make([]float32, l.cols)
			}
			for j, v := range s.values {
				sum[j] += s.strength * v
			}
		}
		if sum != nil {
			p.factors, p.extra = a.keep(1, l.cols, tensor.F32, plusOne(sum)), a.keep(1, l.cols, tensor.F32, sum)
		}
		l.pieces = append(l.pieces, p)
	}
}

// SizeBytes returns the memory of the adapters.
func (a *Adapters) SizeBytes() (bytes int64) {
	for _, m := range a.kept {
		bytes += m.Buffer.SizeBytes()
	}
	return bytes
}

// Free frees the matrices.
func (a *Adapters) Free() {
	a.t.b.Free(a.kept...)
	a.kept = nil
}

// of returns the changes of a layer, nil if there are none.
func (a *Adapters) of(l linear) *adapted {
	if a == nil {
		return nil
	}
	changes := a.layers[l.name]
	if changes == nil {
		return nil
	}
	if changes.rowScale != nil ||
		slices.ContainsFunc(changes.terms, func(t term) bool { return t.from < l.to && l.from < t.to }) ||
		slices.ContainsFunc(changes.colScales, func(s colScale) bool { return s.from < l.to && l.from < s.to }) {
		return changes
	}
	return nil
}
