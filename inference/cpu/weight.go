package cpu

import (
	"fmt"
	"runtime/debug"
	"sync"

	"github.com/kleinbild/kleinbild/inference/backend"
	"github.com/kleinbild/kleinbild/inference/tensor"
)

// weight is a tensor in the checkpoint's mapping.
type weight struct {
	tensor.Tensor
	mu   sync.Mutex
	wide []float32 // the result of floats
	// quantised is the weight of which this is rows [from, to), if that may be quantised.
	quantised *quantisedWeight
	from, to  int
}

// Network does nothing, since all weights stay in the checkpoint's mapping.
func (b *Backend) Network(string) {}

// Weight returns t as a weight. It returns an error if t's format is not a weight format.
func (b *Backend) Weight(t tensor.Tensor) (backend.Weight, error) {
	if !t.DType.Float() {
		return nil, fmt.Errorf("cpu: %s: dtype %v, want a floating-point or quantised format", t.Name, t.DType)
	}
	if len(t.Shape) > 2 && (t.DType.BlockValues() > 1 || t.Quant != nil) {
		return nil, fmt.Errorf("cpu: %s: %v %v, want a matrix in a quantised format", t.Name, t.DType, t.Shape)
	}
	return &weight{Tensor: t}, nil
}

// LinearWeight is the same as Weight for weights that are not to be quantised.
func (b *Backend) LinearWeight(t tensor.Tensor) (backend.Weight, error) {
	w, err := b.Weight(t)
	if err == nil && b.ints != nil && b.ints.Quantise && canQuantise(t) {
		own := w.(*weight)
		own.quantised, own.from, own.to = &quantisedWeight{source: t}, 0, t.Shape[0]
	}
	return w, err
}

// Table is the same as Weight.
func (b *Backend) Table(t tensor.Tensor) (backend.Weight, error) { return b.Weight(t) }

// Shape returns the tensor's shape.
func (w *weight) Shape() []int { return w.Tensor.Shape }

// Slice returns a view of rows [from, to) of the first dimension.
func (w *weight) Slice(from, to int) backend.Weight {
	return &weight{
		Tensor: w.Tensor.Slice(from, to), quantised: w.quantised, from: w.from + from, to: w.from + to,
	}
}

// floats returns the values of a vector as float32. It keeps them, unless a fault ends the reading.
func (w *weight) floats() []float32 {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.wide == nil {
		w.wide = w.Float32s()
	}
	return w.wide
}

// vectorOf returns the values of w as float32, or nil if w is nil.
func vectorOf(w backend.Weight) []float32 {
	if w == nil {
		return nil
	}
	return w.(*weight).floats()
}

// Embedding copies rows of table: dst[i] = table[ids[i]].
func (b *Backend) Embedding(dst backend.Matrix, table backend.Weight, ids []int32) {
	defer b.recoverFault(debug.SetPanicOnFault(true))
	t := table.(*weight).Tensor
	mustHave(dst.Rows == len(ids) && dst.Cols == t.Shape[1], "Embedding of %d ids from %v into [%d %d]",
		len(ids), t.Shape, dst.Rows, dst.Cols)
	b.parallel(dst.Rows, rowGrain(dst.Cols), func(from, to int) {
		s := scratches.Get().(*scratch)
		defer scratches.Put(s)
		wide := s.row(0, dst)
		for i := from; i < to; i++ {
			res := target(dst, i, wide)
			t.Values(res, int(ids[i])*dst.Cols)
			store(dst, i, res)
		}
	})
}
