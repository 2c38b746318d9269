package kernels

import "github.com/kleinbild/kleinbild/kernels/cu"

// tensorKey is what the descriptor of an operand depends on: the extents of its dimensions, the innermost first; the
// distances between neighbours in the other dimensions, in values; and the extents of the boxes that are copied, each
// of panelColumns columns. A matrix has two dimensions and zeros for the third.
type tensorKey struct {
	data    cu.DevicePtr
	dims    [3]int
	strides [2]int
	box     [2]int
}

const (
	// panelColumns values fill the 128 bytes of the widest swizzle.
	panelColumns = 64
	// maxTensors bounds the descriptors that a queue remembers. A model needs a few hundred.
	maxTensors = 4096
)

// matrixTensor describes m in boxes of rows × panelColumns values. Reads outside of m give zeros.
func matrixTensor(m Matrix, rows int) tensorKey {
	return tensorKey{data: m.Data, dims: [3]int{m.Cols, m.Rows}, strides: [2]int{m.rowStride()}, box: [2]int{rows}}
}

// headTensor describes the first `rows` rows of m, whose columns are heads side by side, in boxes of `box` rows of one
// head. Reads outside of a head give zeros.
func headTensor(m Matrix, rows, heads, box int) tensorKey {
	cols := m.Cols / heads
	return tensorKey{
		data: m.Data, dims: [3]int{cols, heads, rows}, strides: [2]int{cols, m.rowStride()}, box: [2]int{1, box},
	}
}

// pictureTensor describes the rows of m as the pixels of a picture, in boxes of width × height pixels. Reads outside of
// the picture give zeros.
func pictureTensor(m Matrix, pictureHeight, pictureWidth, height, width int) tensorKey {
	stride := m.rowStride()
	return tensorKey{
		data: m.Data, dims: [3]int{m.Cols, pictureWidth, pictureHeight}, strides: [2]int{stride, stride * pictureWidth},
		box: [2]int{width, height},
	}
}

// rowStride is the distance between rows for a descriptor, which needs a multiple of 8. Aligned matrices have one. A
// matrix of a single row may have any stride, since nothing is read there: it gets a multiple of 8.
func (m Matrix) rowStride() int {
	if m.Rows == 1 {
		return roundUp(m.Cols, 8)
	}
	return m.Stride
}

// tensor returns the descriptor of an operand. It is made once and remembered.
func (q *Queue) tensor(key tensorKey) (*cu.TensorMap, error) {
	encoded, ok := q.maps[key]
	if !ok {
		var err error
		if encoded, err = q.encode(key); err != nil {
			return nil, err
		}
		if len(q.maps) == maxTensors {
			clear(q.maps)
		}
		q.maps[key] = encoded
	}
	return encoded, nil
}

func (q *Queue) encode(k tensorKey) (*cu.TensorMap, error) {
	t := cu.TensorMapTiled{
		Type: cu.TensorMapBFloat16, Address: k.data, Swizzle: cu.Swizzle128B, L2Promotion: cu.L2Promotion128B,
		Dims: []int64{int64(k.dims[0])}, Box: []int{panelColumns},
	}
	for i, n := range k.dims[1:] {
		if n > 0 {
			t.Dims = append(t.Dims, int64(n))
			t.Strides = append(t.Strides, int64(k.strides[i])*int64(BF16.SizeBytes()))
			t.Box = append(t.Box, k.box[i])
		}
	}
	m, err := q.set.ctx.TensorMapEncodeTiled(t)
	return &m, err
}
