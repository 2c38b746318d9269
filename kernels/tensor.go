package kernels

import "kleinbild/kernels/cu"

// tensorKey is what the descriptor of an operand depends on: rows of heads of cols columns, moved in boxes of box rows by
// panelColumns columns of one head. No heads at all is a plain matrix, of two dimensions.
type tensorKey struct {
	data              cu.DevicePtr
	rows, heads, cols int
	stride, box       int
}

const (
	// panelColumns fill the 128 bytes that the widest swizzle takes.
	panelColumns = 64
	// maxTensors bounds what a queue remembers. A model's weights and the buffers of some sizes are a few hundred.
	maxTensors = 4096
)

// tensor packs the descriptor of m, made once and remembered. What lies outside m reads as zeros.
func (q *Queue) tensor(m Matrix, box int) error {
	return q.pack(tensorKey{data: m.Data, rows: m.Rows, cols: m.Cols, stride: m.Stride, box: box})
}

// headTensor is tensor for heads side by side, each with zeros around it, of which the first rows rows count.
func (q *Queue) headTensor(m Matrix, rows, heads, box int) error {
	return q.pack(tensorKey{data: m.Data, rows: rows, heads: heads, cols: m.Cols / heads, stride: m.Stride, box: box})
}

func (q *Queue) pack(key tensorKey) error {
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
	rowBytes := int64(roundUp(max(k.stride, k.cols*max(k.heads, 1))*BF16.SizeBytes(), 16)) // one row may have any stride
	t := cu.TensorMapTiled{
		Type: cu.TensorMapBFloat16, Address: k.data, Swizzle: cu.Swizzle128B, L2Promotion: cu.L2Promotion128B,
		Dims: []int64{int64(k.cols), int64(k.rows)}, Strides: []int64{rowBytes}, Box: []int{panelColumns, k.box},
	}
	if k.heads > 0 {
		t.Dims = []int64{int64(k.cols), int64(k.heads), int64(k.rows)}
		t.Strides = []int64{int64(k.cols * BF16.SizeBytes()), rowBytes}
		t.Box = []int{panelColumns, 1, k.box}
	}
	m, err := q.set.ctx.TensorMapEncodeTiled(t)
	return &m, err
}
