package kernels

import "kleinbild/kernels/cu"

// tensorKey is what an operand's descriptor depends on: its extents, the innermost first, the distances in values between
// neighbours in the others, and the extents of the boxes that are moved, of panelColumns columns each. A matrix has two
// dimensions, and zeros for the third.
type tensorKey struct {
	data    cu.DevicePtr
	dims    [3]int
	strides [2]int
	box     [2]int
}

const (
	// panelColumns fill the 128 bytes that the widest swizzle takes.
	panelColumns = 64
	// maxTensors bounds what a queue remembers. A model's weights and the buffers of some sizes are a few hundred.
	maxTensors = 4096
)

// matrixTensor is m in boxes of rows. What lies outside reads as zeros.
func matrixTensor(m Matrix, rows int) tensorKey {
	return tensorKey{data: m.Data, dims: [3]int{m.Cols, m.Rows}, strides: [2]int{m.rowStride()}, box: [2]int{rows}}
}

// headTensor is the first rows of m, heads side by side and each with zeros around it, in boxes of box rows of one head.
func headTensor(m Matrix, rows, heads, box int) tensorKey {
	cols := m.Cols / heads
	return tensorKey{data: m.Data, dims: [3]int{cols, heads, rows}, strides: [2]int{cols, m.rowStride()}, box: [2]int{1, box}}
}

// pictureTensor is m's rows as the pixels of a picture, in boxes of width × height.
func pictureTensor(m Matrix, pictureHeight, pictureWidth, height, width int) tensorKey {
	stride := m.rowStride()
	return tensorKey{data: m.Data, dims: [3]int{m.Cols, pictureWidth, pictureHeight}, strides: [2]int{stride, stride * pictureWidth}, box: [2]int{width, height}}
}

// rowStride is the distance between rows; that of a single row may be anything, and is made what descriptors take.
func (m Matrix) rowStride() int {
	if m.Rows == 1 {
		return roundUp(m.Cols, 8)
	}
	return m.Stride
}

// tensor packs a descriptor, made once and remembered.
func (q *Queue) tensor(key tensorKey) error {
	encoded, ok := q.maps[key]
	if !ok {
		var err error
		if encoded, err = q.encode(key); err != nil {
			return err
		}
		if len(q.maps) == maxTensors {
			clear(q.maps)
		}
		q.maps[key] = encoded
	}
	q.args.TensorMap(encoded)
	return nil
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
