package cuda

import (
	"encoding/binary"
	"math"

	"github.com/kleinbild/kleinbild/inference/backend"
	"github.com/kleinbild/kleinbild/inference/tensor"
	"github.com/kleinbild/kleinbild/kernels"
	"github.com/kleinbild/kleinbild/kernels/cu"
)

// packed is a quantised matrix that stays in its own bytes on the device. A kernel widens it to bfloat16 just before a
// product that reads it.
type packed struct {
	kernels.Packed // with offsets from the beginning of the weight as addresses
	segments       []segment
	bytes          int64
	// rotation is that of tensor.Quant: products rotate their other factor.
	rotation int
}

// segment is a part of a packed weight, from an offset on: the values, or scales of one kind.
type segment struct {
	at   int64
	data []byte
}

// segmentAlign divides the offsets of segments.
const segmentAlign = 16

// formats are the formats that kernels widen. F16 and F32 are not among them: their bytes are no fewer than bfloat16's.
var formats = map[tensor.DType]kernels.Format{
	tensor.Q4_0: kernels.Q4_0, tensor.Q4_1: kernels.Q4_1, tensor.Q5_0: kernels.Q5_0, tensor.Q5_1: kernels.Q5_1,
	tensor.Q8_0: kernels.Q8_0, tensor.Q2_K: kernels.Q2_K, tensor.Q3_K: kernels.Q3_K, tensor.Q4_K: kernels.Q4_K,
	tensor.Q5_K: kernels.Q5_K, tensor.Q6_K: kernels.Q6_K, tensor.IQ4_NL: kernels.IQ4_NL, tensor.IQ4_XS: kernels.IQ4_XS,
	tensor.MXFP4: kernels.MXFP4, tensor.NVFP4: kernels.NVFP4, tensor.F8E4M3: kernels.E4M3, tensor.F8E5M2: kernels.E5M2,
	tensor.I8: kernels.Int8, tensor.F4E2M1: kernels.E2M1, tensor.F4E2M1Low: kernels.E2M1Low,
}

// scaleFormats are the formats of block scales.
var scaleFormats = map[tensor.DType]kernels.ScaleFormat{
	tensor.F32: kernels.ScaleF32, tensor.F16: kernels.ScaleF16, tensor.BF16: kernels.ScaleBF16,
	tensor.F8E4M3: kernels.ScaleE4M3, tensor.F8E8M0: kernels.ScaleE8M0,
}

// pack plans how t lies on the device in its own bytes. It returns nil if no kernel widens it; the host does then.
func pack(t tensor.Tensor) *packed {
	format, ok := formats[t.DType]
	if !ok || len(t.Shape) != 2 || !format.TakesRows(t.Shape[1]) {
		return nil
	}
	rows, cols := t.Shape[0], t.Shape[1]
	p := &packed{Packed: kernels.Packed{Format: format, Rows: rows, Cols: cols, Scale: t.Scale}}
	p.add(t.Data, t.DType.Bytes(rows*cols))
	quant := t.Quant
	if quant == nil {
		return p
	}
	if quant.Rotation > 1 {
		if p.rotation = quant.Rotation; !kernels.Rotates(p.rotation) {
			return nil
		}
	}
	if t.DType.BlockValues() > 2 && (quant.Rows != nil || quant.Blocks != nil || quant.Columns != nil) {
		return nil // scales of their own are all that kernels of GGUF's formats know
	}
	if quant.Rows != nil {
		p.RowScales = p.add(floatBytes(quant.Rows), 4*rows)
	}
	if quant.Columns != nil {
		p.ColumnFactors = p.add(floatBytes(quant.Columns), 4*cols)
	}
	if b := quant.Blocks; b != nil {
		var data []byte
		if p.Blocks, data, ok = blocksOf(b, rows); !ok {
			return nil
		}
		p.Blocks.Data = p.add(data, len(data))
	}
	return p
}

// add appends a segment of n bytes and returns its offset. data is nil if a rehearsal has no values.
func (p *packed) add(data []byte, n int) cu.DevicePtr {
	at := (p.bytes + segmentAlign - 1) / segmentAlign * segmentAlign
	p.segments = append(p.segments, segment{at, data})
	p.bytes = at + int64(n)
	return cu.DevicePtr(at)
}

func floatBytes(values []float32) []byte {
	b := make([]byte, 0, 4*len(values))
	for _, v := range values {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
	}
	return b
}

// blocksOf returns the block scales that rows of a matrix need, and their bytes: of a part of a fused matrix not those
// of the other parts. ok is false if no kernel reads them.
func blocksOf(b *tensor.BlockScales, rows int) (blocks kernels.Blocks, data []byte, ok bool) {
	format, ok := scaleFormats[b.DType]
	if !ok || b.Width%8 != 0 {
		return blocks, nil, false
	}
	unit := b.Height // rows of the matrix whose scales lie together
	if b.Swizzled {
		unit = 128
	}
	first, last := 0, b.Rows
	if b.First+rows <= b.Rows { // not around the end
		first, last = b.First/unit*unit, b.First+rows
	}
	last = (last + unit - 1) / unit * unit
	row := b.Stride * b.DType.SizeBytes()
	blocks = kernels.Blocks{
		Format: format, Height: b.Height, Width: b.Width, Stride: b.Stride, Swizzled: b.Swizzled,
		First: b.First - first, Rows: b.Rows - first,
	}
	return blocks, b.Data[first/b.Height*row : min(last/b.Height*row, len(b.Data))], true
}

// write writes the bytes [at, at + len(to)) of the weight. Bytes between segments stay as they are.
func (p *packed) write(to []byte, at int64) {
	for _, s := range p.segments {
		from, end := max(s.at, at), min(s.at+int64(len(s.data)), at+int64(len(to)))
		if from < end {
			copy(to[from-at:end-at], s.data[from-s.at:])
		}
	}
}

// packedRows returns the rows of w as kernels widen them. w.packed must not be nil.
func (w *weight) packedRows() kernels.Packed {
	p := w.packed.Packed
	at := w.part.at + cu.DevicePtr(w.offset)
	p.Data = at + cu.DevicePtr(w.DType.Bytes(w.from*p.Cols))
	p.Rows = w.to - w.from
	if p.RowScales != 0 {
		p.RowScales += at + cu.DevicePtr(4*w.from)
	}
	if p.ColumnFactors != 0 {
		p.ColumnFactors += at
	}
	if p.Blocks.Data != 0 {
		p.Blocks.Data += at
		p.Blocks.First = (p.Blocks.First + w.from) % p.Blocks.Rows
	}
	return p
}

// packedOf returns w if it is in its own bytes on the device, else nil.
func packedOf(w backend.Weight) *weight {
	if w, ok := w.(*weight); ok && w.packed != nil {
		return w
	}
	return nil
}

// rotationOf returns the number of columns in a group if w was rotated and stays so, else 0.
func rotationOf(w backend.Weight) int {
	if w := narrowIn(w); w != nil {
		return w.narrow.rotation
	}
	if w := packedOf(w); w != nil {
		return w.packed.rotation
	}
	return 0
}

// product calls issue with the factors of a product as kernels take them: x, and functions that return the weights once
// they are on the device. Weights in their own bytes are widened before, into working memory, and x is rotated if they
// are. All weights must have the same rotation. x may have more columns than the weights; these stay as they are. issue
// gets the weights that an operation must bring to the device.
func (b *Backend) product(
	x backend.Matrix, ws []backend.Weight,
	issue func(x kernels.Matrix, w func(i int) kernels.Matrix, needed []backend.Weight),
) {
	var bytes int64
	wide := make([]kernels.Matrix, len(ws)) // with offsets as addresses
	var needed []backend.Weight
	for i, bw := range ws {
		w := packedOf(bw)
		if w == nil {
			needed = append(needed, bw)
			continue
		}
		rows, cols := w.to-w.from, w.packed.Cols
		wide[i] = kernels.Matrix{Data: cu.DevicePtr(bytes), Rows: rows, Cols: cols, Stride: cols}
		bytes += aligned(2 * int64(rows) * int64(cols))
	}
	if len(needed) == len(ws) {
		issue(view(x), func(i int) kernels.Matrix { return matrix(ws[i]) }, needed)
		return
	}
	rotated := kernels.Matrix{Data: cu.DevicePtr(bytes), Rows: x.Rows, Cols: x.Cols, Stride: x.Cols}
	rotation := rotationOf(ws[0])
	if rotation > 0 {
		bytes += aligned(2 * int64(x.Rows) * int64(x.Cols))
	}
	b.scratch(bytes, func(at cu.DevicePtr) {
		for i, bw := range ws {
			if w := packedOf(bw); w != nil {
				wide[i].Data += at
				b.issue("widen", kernels.OpWiden, func(q *kernels.Queue) error { return q.Widen(wide[i], w.packedRows()) }, w)
			}
		}
		operand := view(x)
		if rotation > 0 {
			rotated.Data += at
			b.rotate(rotated, operand, packedOf(ws[0]).packed.Cols, rotation)
			operand = rotated
		}
		issue(operand, func(i int) kernels.Matrix {
			if packedOf(ws[i]) != nil {
				return wide[i]
			}
			return matrix(ws[i])
		}, needed)
	})
}

// rotate queues the rotation of the first cols columns of x into dst, and the copy of the others.
func (b *Backend) rotate(dst, x kernels.Matrix, cols, rotation int) {
	b.issue("rotate", kernels.OpRotate, func(q *kernels.Queue) error {
		return q.Rotate(dst.Columns(0, cols), x.Columns(0, cols), rotation)
	})
	if cols < x.Cols {
		b.issue("rotate", kernels.OpCopy, func(q *kernels.Queue) error {
			return q.Copy(dst.Columns(cols, x.Cols), x.Columns(cols, x.Cols))
		})
	}
}
