package cpu

import (
	"fmt"
	"sync"

	"github.com/kleinbild/kleinbild/inference/backend"
	"github.com/kleinbild/kleinbild/inference/cpu/matmul"
	"github.com/kleinbild/kleinbild/inference/tensor"
)

// quantisedWeight is a weight that is quantised when it is first used.
type quantisedWeight struct {
	source tensor.Tensor
	mu     sync.Mutex
	memory []byte             // of the result; a run that was stopped leaves it to the next one
	result *matmul.Int8Weight // nil before
}

// quantisedWeights holds the memory of all quantised weights, which are mappings of their own.
type quantisedWeights struct {
	mu     sync.Mutex
	mapped [][]byte
}

func (q *quantisedWeights) alloc(sizeBytes int) ([]byte, error) {
	m, err := mapMemory(sizeBytes)
	if err == nil {
		q.mu.Lock()
		q.mapped = append(q.mapped, m)
		q.mu.Unlock()
	}
	return m, err
}

func (q *quantisedWeights) free() {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, m := range q.mapped {
		unmapMemory(m)
	}
	q.mapped = nil
}

// canQuantise reports whether a weight can be quantised without a second rounding.
func canQuantise(t tensor.Tensor) bool {
	return len(t.Shape) == 2 && t.Shape[0] > 0 && t.Shape[1] > 0 && t.Shape[1] <= matmul.MaxInt8Depth &&
		t.Scale == 1 && t.Quant == nil && (t.DType == tensor.BF16 || t.DType == tensor.F16 || t.DType == tensor.F32)
}

// int8Of returns a weight of int8, as it is stored or quantised now, if products with it are computed in integers.
// After an error of the quantisation, which stops the backend, ok is false.
func (b *Backend) int8Of(w backend.Weight) (q matmul.Int8Weight, ok bool) {
	own, isOwn := w.(*weight)
	switch {
	case b.ints == nil || !isOwn:
		return q, false
	case own.quantised != nil:
		if q, ok = b.quantise(own.quantised); ok {
			q = q.Slice(own.from, own.to)
		}
		return q, ok
	}
	return matmul.StoredInt8(own.Tensor)
}

// quantiseBytes is the size of what a goroutine reads of a weight at a time.
const quantiseBytes = 1 << 20

// quantise returns the quantised weight. ok is false if it stopped.
func (b *Backend) quantise(q *quantisedWeight) (w matmul.Int8Weight, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.result != nil {
		return *q.result, true
	}
	rows, cols := q.source.Shape[0], q.source.Shape[1]
	if q.memory == nil {
		size := matmul.Int8Bytes(rows, cols)
		var err error
		if q.memory, err = b.quantised.alloc(size); err != nil {
			b.fail(fmt.Errorf("cpu: %s: %d MB of memory for int8: %w", q.source.Name, size>>20, err))
			return w, false
		}
	}
	w = matmul.NewInt8Weight(q.memory, rows, cols)
	grain := max(1, quantiseBytes/q.source.DType.Bytes(cols)/matmul.Int8Panel) * matmul.Int8Panel
	b.parallel(rows, grain, func(from, to int) {
		w.QuantiseRows(q.source, from, to)
	})
	if b.stop.Load() {
		return w, false
	}
	if b.ints.Release != nil {
		b.ints.Release(q.source.Data)
	}
	q.result = &w
	return w, true
}

// unchanged is the matrix of Unchanged, with its quantised rows after the first product with it.
type unchanged struct {
	x    backend.Matrix
	rows *matmul.Int8Rows
	// rotation is that of rows.
	rotation int
}

// Unchanged calls f. Products in it with x, all of it, and weights of int8 of the same rotation quantise x once.
func (b *Backend) Unchanged(x backend.Matrix, f func()) {
	outer := b.unchanged
	b.unchanged = unchanged{x: x}
	defer func() {
		if b.unchanged.rows != nil {
			b.unchanged.rows.Free()
		}
		b.unchanged = outer
	}()
	f()
}

// multiplyInt8 computes products of x with weights of int8.
func (b *Backend) multiplyInt8(x backend.Matrix, products ...matmul.Int8Product) {
	u, rotation := &b.unchanged, products[0].Weight.Rotation
	if u.x != x || u.rows != nil && u.rotation != rotation {
		matmul.LinearInt8(b.stop, operand(x), products...)
		return
	}
	if u.rows == nil {
		u.rows, u.rotation = matmul.NewInt8Rows(operand(x), rotation), rotation
	}
	u.rows.Multiply(b.stop, products...)
}
