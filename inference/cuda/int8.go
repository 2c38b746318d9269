package cuda

import (
	"encoding/binary"
	"math"
	"sync/atomic"
	"unsafe"

	"github.com/kleinbild/kleinbild/inference/backend"
	"github.com/kleinbild/kleinbild/inference/cpu/simd"
	"github.com/kleinbild/kleinbild/inference/tensor"
	"github.com/kleinbild/kleinbild/kernels"
	"github.com/kleinbild/kleinbild/kernels/cu"
)

// Int8 says what a backend computes in integers: products with weights that are stored as int8 and have a scale for
// each row, or one scale.
type Int8 struct {
	// Quantise says that weights of LinearWeight in bfloat16, float16 and float32 are quantised while they are copied to
	// the device.
	Quantise bool
}

// integers is a matrix of int8 as it lies on the device, for products in integers: its rows, each filled up with zeros
// to stride bytes, and behind them a float32 scale for each row.
type integers struct {
	source             tensor.Tensor
	rows, cols, stride int
	rotation           int
	// scales are the bits of the scales of rows that were quantised, 0 of the others. They are nil if source is int8.
	scales []atomic.Uint32
}

// integersOf plans how t lies on the device for products in integers. It returns nil if there are none with t: it must
// be a matrix of int8 with scales of rows or one scale or, if quantise is set, one of floats that were not quantised
// before.
func integersOf(t tensor.Tensor, quantise bool) *integers {
	if len(t.Shape) != 2 || t.Shape[1] > kernels.MaxInt8Depth {
		return nil
	}
	m := &integers{source: t, rows: t.Shape[0], cols: t.Shape[1], stride: kernels.Int8Columns(t.Shape[1])}
	switch {
	case t.DType == tensor.I8 && (t.Quant == nil || t.Quant.Blocks == nil && t.Quant.Columns == nil):
		if m.rotation = t.Rotation(); m.rotation == 1 {
			m.rotation = 0
		}
	case quantise && t.Scale == 1 && t.Quant == nil &&
		(t.DType == tensor.BF16 || t.DType == tensor.F16 || t.DType == tensor.F32):
		m.rotation, m.scales = tensor.RotationFor(m.cols), make([]atomic.Uint32, m.rows)
	default:
		return nil
	}
	if m.rotation > 0 && !kernels.Rotates(m.rotation) {
		return nil
	}
	return m
}

// scalesAt is the offset of the scales.
func (m *integers) scalesAt() int64 { return int64(m.rows) * int64(m.stride) }

func (m *integers) bytes() int64 { return m.scalesAt() + 4*int64(m.rows) }

// write writes the bytes [at, at + len(to)) of the matrix. Several goroutines may write parts of it.
func (m *integers) write(to []byte, at int64) {
	r := m.reader()
	for len(to) > 0 && at < m.scalesAt() {
		row, from := int(at/int64(m.stride)), int(at%int64(m.stride))
		n := copy(to, r.row(row)[from:])
		to, at = to[n:], at+int64(n)
	}
	for at -= m.scalesAt(); len(to) > 0; {
		var scale [4]byte
		binary.LittleEndian.PutUint32(scale[:], math.Float32bits(r.scale(int(at/4))))
		n := copy(to, scale[at%4:])
		to, at = to[n:], at+int64(n)
	}
}

// rowReader reads rows of a matrix, with memory for one row.
type rowReader struct {
	*integers
	wide, scratch []float32
	line          []byte
	values        []int8 // line's, without the zeros behind the last column
}

func (m *integers) reader() *rowReader {
	r := &rowReader{integers: m, line: make([]byte, m.stride)}
	if m.scales != nil {
		r.wide, r.scratch = make([]float32, m.cols), make([]float32, m.cols)
		r.values = unsafe.Slice((*int8)(unsafe.Pointer(unsafe.SliceData(r.line))), m.cols)
	}
	return r
}

// row returns a row as it lies on the device, until the next call.
func (r *rowReader) row(i int) []byte {
	if r.scales == nil {
		copy(r.line, r.source.Data[i*r.cols:(i+1)*r.cols])
		return r.line
	}
	dtype := r.source.DType
	simd.Widen(r.wide, dtype, r.source.Data[dtype.Bytes(i*r.cols):])
	scale := simd.QuantiseF32(r.values, r.wide, r.scratch, r.rotation)
	r.scales[i].Store(math.Float32bits(scale))
	return r.line
}

// scale returns the scale of a row. If the row was not quantised yet, it is quantised for that.
func (r *rowReader) scale(i int) float32 {
	if r.scales == nil {
		scale := r.source.Scale
		if q := r.source.Quant; q != nil && q.Rows != nil {
			scale *= q.Rows[i]
		}
		return scale
	}
	if r.scales[i].Load() == 0 {
		r.row(i)
	}
	return math.Float32frombits(r.scales[i].Load())
}

// integersIn returns w if products with it are computed in integers, else nil.
func integersIn(w backend.Weight) *weight {
	if w, ok := w.(*weight); ok && w.integers != nil {
		return w
	}
	return nil
}

// quantised returns the rows of w on the device, with a matrix beside them. w.integers must not be nil.
func (w *weight) quantised(beside backend.Matrix) kernels.Quantised {
	m := w.integers
	at := w.part.at + cu.DevicePtr(w.offset)
	return kernels.Quantised{
		Values: kernels.Matrix{
			Data: at + cu.DevicePtr(w.from*m.stride), Rows: w.to - w.from, Cols: m.stride, Stride: m.stride, DType: kernels.I8,
		},
		Scales: at + cu.DevicePtr(m.scalesAt()+4*int64(w.from)),
		Beside: view(beside),
	}
}

// linearInt8 is Linear in integers, with a matrix beside w unless it is the zero Matrix.
func (b *Backend) linearInt8(
	dst, x backend.Matrix, w *weight, beside backend.Matrix, e kernels.Epilogue, ep backend.Epilogue,
) {
	operation := e.Int8Operation()
	b.rehearse(dst, kernels.Shape{
		Operation: operation, Depth: w.integers.stride + beside.Cols, Beside: beside.Cols,
	})
	b.factor(x, w, beside, func(x kernels.Quantised) {
		b.issue("linear", kernels.Find(operation), func(q *kernels.Queue) error {
			e := e
			e.Bias, e.QKNormRoPE.Weight = row(ep.Bias), row(ep.QKNormRoPE.Weight)
			return q.Int8GEMM(view(dst), x, w.quantised(beside), e, kernels.Auto)
		}, w, ep.Bias, ep.QKNormRoPE.Weight)
	})
}

// swiGLUInt8 is SwiGLU in integers, for two weights of one rotation, with matrices beside both or none.
func (b *Backend) swiGLUInt8(dst, x backend.Matrix, gate, up *weight, gateBeside, upBeside backend.Matrix) {
	b.rehearse(dst, kernels.Shape{
		Operation: kernels.OpInt8SwiGLU.Name, Depth: gate.integers.stride + gateBeside.Cols, Beside: gateBeside.Cols,
	})
	b.factor(x, gate, gateBeside, func(x kernels.Quantised) {
		b.issue("swiglu", kernels.OpInt8SwiGLU, func(q *kernels.Queue) error {
			return q.Int8SwiGLU(view(dst), x, gate.quantised(gateBeside), up.quantised(upBeside), kernels.Auto)
		}, gate, up)
	})
}

// factor calls f with x as the left factor of a product with w: its columns for w quantised, and those for a matrix
// beside w, if there is one, as they are.
func (b *Backend) factor(x backend.Matrix, w *weight, beside backend.Matrix, f func(x kernels.Quantised)) {
	own, thin := x, backend.Matrix{}
	if beside.Buffer != nil {
		own, thin = x.ColRange(0, w.integers.cols), x.ColRange(w.integers.cols, x.Cols)
	}
	b.quantised(own, w.integers.rotation, func(x kernels.Quantised) {
		x.Beside = view(thin)
		f(x)
	})
}

// unchanged is the matrix of Unchanged, with its quantised rows and their memory after the first product in integers
// that reads it.
type unchanged struct {
	x        backend.Matrix
	buf      *buffer
	rows     kernels.Quantised
	rotation int // that of rows
}

// Unchanged calls f. Products in it with x, all of it, and weights of int8 of the same rotation quantise x once.
func (b *Backend) Unchanged(x backend.Matrix, f func()) {
	outer := b.unchanged
	b.unchanged = unchanged{x: x}
	defer func() {
		b.letGo()
		b.unchanged = outer
	}()
	f()
}

// letGo frees the quantised rows that Unchanged keeps.
func (b *Backend) letGo() {
	if b.unchanged.buf != nil {
		b.free(b.unchanged.buf)
		b.unchanged.buf = nil
	}
}

// forgetting calls f, in which nothing is kept of the matrix of Unchanged: f asks for working memory that it holds
// while operations in it ask for theirs, and a recording finds room for two pieces at a time (see borrowed.free).
func (b *Backend) forgetting(f func()) {
	b.letGo()
	outer := b.unchanged
	b.unchanged = unchanged{}
	defer func() { b.unchanged = outer }()
	f()
}

// quantised calls f with the rows of x as products in integers read them, which are rotated in groups of `rotation`
// columns, 0 for none. They lie in working memory, which is free again behind f, unless x is that of Unchanged.
func (b *Backend) quantised(x backend.Matrix, rotation int, f func(x kernels.Quantised)) {
	u := &b.unchanged
	cols := kernels.Int8Columns(x.Cols)
	scalesAt := aligned(int64(x.Rows) * int64(cols))
	bytes := scalesAt + 4*int64(x.Rows)
	at := func(at cu.DevicePtr) kernels.Quantised {
		rows := kernels.Quantised{
			Values: kernels.Matrix{Data: at, Rows: x.Rows, Cols: cols, Stride: cols, DType: kernels.I8},
			Scales: at + cu.DevicePtr(scalesAt),
		}
		b.issue("quantise", kernels.OpQuantise, func(q *kernels.Queue) error { return q.Quantise(rows, view(x), rotation) })
		return rows
	}
	switch {
	case u.x != x || u.buf != nil && u.rotation != rotation:
		b.scratch(bytes, func(p cu.DevicePtr) { f(at(p)) })
		return
	case u.buf == nil:
		u.buf = b.borrow(bytes)
		u.rows, u.rotation = at(u.buf.at), rotation
	}
	f(u.rows)
}
