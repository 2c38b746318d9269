package flux2

import (
	"strings"

	"github.com/kleinbild/kleinbild/inference/backend"
)

// This file is for backends whose products go on with a matrix beside the weight (backend.Beside). There a changed
// product W·x + B·(A·x) is one product of [x, A·x] with [W, B]: A·x, which is thin, is stored behind the columns of x,
// and what the product's epilogue does, it does with the sum. Changes of other kinds, and weights that are not listed
// in Transformer.ranges, are computed as linear.go says.

// rows is a range of rows of the weight with a name.
type rows struct {
	name     string
	from, to int
}

// beside is what stands beside rows of a weight: A [rank, columns of the weight] and B [rows, rank], for all changes of
// the rows one after the other.
type beside struct{ a, b backend.Matrix }

// operands names ranges of rows of a weight with the products that read them. The ranges of one call are the two
// factors of a SwiGLU, which have the same x. There must be room for the ranks of adapters behind the columns of x.
func (t *Transformer) operands(ls ...linear) {
	var group []rows
	for _, l := range ls {
		group = append(group, rows{l.name, l.from, l.to})
	}
	t.ranges[ls[0].name] = append(t.ranges[ls[0].name], group)
}

// mayJoin says whether changes of a weight with cols columns can be computed beside it.
func (a *Adapters) mayJoin(name string, cols int) bool {
	return backend.JoinsBeside(a.t.b) && a.t.ranges[name] != nil && cols%backend.BesideMultiple == 0
}

// joins says whether the changes of a layer are computed beside the weight: those of a low rank are, if there are no
// others.
func (a *Adapters) joins(name string, l *adapted) bool {
	if !a.mayJoin(name, l.cols) || l.rowScale != nil || len(l.colScales) > 0 {
		return false
	}
	for _, t := range l.terms {
		if t.rank == 0 {
			return false
		}
	}
	return true
}

// join makes the matrices beside a layer's weight, and lets go of the values of its terms.
func (a *Adapters) join(name string, l *adapted) {
	for _, group := range a.t.ranges[name] {
		var terms []term
		var sources []string
		rank := 0
		for _, t := range l.terms {
			for _, r := range group {
				if t.from < r.to && r.from < t.to {
					terms, sources, rank = append(terms, t), append(sources, t.source), rank+t.rank
					break
				}
			}
		}
		if rank == 0 {
			continue
		}
		a.spare = max(a.spare, rank)
		var down []float32 // all A, one below the other
		for _, t := range terms {
			if t.downValues != nil {
				down = append(down, filledUp(t.downValues, t.rank*l.cols)...)
			}
		}
		shared := a.share("A "+strings.Join(sources, "\x00"), rank, l.cols, down, 1)
		for _, r := range group {
			a.beside[r] = beside{shared, a.keep(r.to-r.from, rank, a.t.b.Activation(), upValues(terms, r, rank))}
		}
	}
	for i := range l.terms {
		l.terms[i].downValues, l.terms[i].upValues = nil, nil
	}
}

// upValues returns B of the rows r for all terms, row-major [rows, rank], or nil in a rehearsal.
func upValues(terms []term, r rows, rank int) []float32 {
	if terms[0].upValues == nil {
		return nil
	}
	values := make([]float32, (r.to-r.from)*rank)
	at := 0
	for _, t := range terms {
		for row := max(t.from, r.from); row < min(t.to, r.to); row++ {
			copy(values[(row-r.from)*rank+at:][:t.rank], t.upValues[(row-t.from)*t.rank:])
		}
		at += t.rank
	}
	return values
}

// filledUp returns n values: those given, and zeros.
func filledUp(values []float32, n int) []float32 {
	return append(values[:len(values):len(values)], make([]float32, n-len(values))...)
}

// held is the operand behind whose columns A·x is.
type held struct{ x, a backend.Matrix }

// besideOf returns what stands beside the rows of l, and false if nothing does.
func (r *Run) besideOf(l linear) (beside, bool) {
	if r.t.adapters == nil {
		return beside{}, false
	}
	s, ok := r.t.adapters.beside[rows{l.name, l.from, l.to}]
	return s, ok
}

// joined returns x with A·x behind it, in the columns that follow those of x in memory. If they have it from the
// product before, nothing is computed.
func (r *Run) joined(x, a backend.Matrix) backend.Matrix {
	both := x
	both.Cols += a.Rows
	if now := (held{x, a}); r.held != now {
		r.t.b.Linear(both.ColRange(x.Cols, both.Cols), x, backend.AsWeight(a), backend.Epilogue{})
		r.held = now
	}
	return both
}

// layerNorm is LayerNorm of the backend. What is held behind the columns of dst is not that of its new values.
func (r *Run) layerNorm(dst, x, scale, shift backend.Matrix) {
	r.held = held{}
	r.t.b.LayerNorm(dst, x, scale, shift, r.t.cfg.eps())
}
