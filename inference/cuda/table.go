package cuda

import (
	"fmt"

	"github.com/kleinbild/kleinbild/inference/backend"
	"github.com/kleinbild/kleinbild/inference/tensor"
	"github.com/kleinbild/kleinbild/kernels"
)

// table is a weight of which an operation reads a few rows. It stays in the file's mapping, and the rows are copied to
// the device. The 4B model's embedding has 151,936 rows, of which a prompt uses 512.
type table struct{ tensor.Tensor }

// Table checks that t can be read.
func (b *Backend) Table(t tensor.Tensor) (backend.Weight, error) {
	if !t.DType.Float() || len(t.Shape) != 2 {
		return nil, fmt.Errorf("cuda: %s: %v %v, want a matrix in a floating-point or quantised format",
			t.Name, t.DType, t.Shape)
	}
	return &table{t}, nil
}

// Shape is the tensor's shape.
func (t *table) Shape() []int { return t.Tensor.Shape }

// Slice views rows.
func (t *table) Slice(from, to int) backend.Weight { return &table{t.Tensor.Slice(from, to)} }

// Embedding copies rows of a table to the device.
func (b *Backend) Embedding(dst backend.Matrix, w backend.Weight, ids []int32) {
	t := w.(*table)
	rows, cols := t.Shape()[0], t.Shape()[1]
	mustHave(
		dst.Rows == len(ids) && dst.Cols == cols, "Embedding of %d ids from %v into [%d %d]", len(ids), t.Shape(),
		dst.Rows, dst.Cols,
	)
	for i, id := range ids {
		mustHave(id >= 0 && int(id) < rows, "Embedding: id %d is %d, of %d rows", i, id, rows)
	}
	if !contiguous(dst) {
		whole := b.Alloc(dst.Rows, dst.Cols, dst.DType)
		b.Embedding(whole, w, ids)
		b.Copy(dst, whole)
		b.Free(whole)
		return
	}
	source := stored{Tensor: t.Tensor, taps: 1}
	if dst.DType == tensor.F32 {
		source.dtype = kernels.F32
	}
	size := dst.DType.SizeBytes()
	b.send("embedding", view(dst).Data, len(ids)*cols, size, func(to []byte, from, n int) {
		for n > 0 {
			id, col := int(ids[from/cols]), from%cols
			count := min(n, cols-col)
			source.convert(to, id*cols+col, count)
			to, from, n = to[count*size:], from+count, n-count
		}
	})
}
