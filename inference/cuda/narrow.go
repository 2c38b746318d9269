package cuda

import (
	"encoding/binary"
	"errors"
	"math"
	"sync/atomic"
	"unsafe"

	"github.com/kleinbild/kleinbild/inference/backend"
	"github.com/kleinbild/kleinbild/inference/cpu/simd"
	"github.com/kleinbild/kleinbild/inference/tensor"
	"github.com/kleinbild/kleinbild/kernels"
	"github.com/kleinbild/kleinbild/kernels/cu"
)

// Narrow says what a backend computes in 8 bits: products with weights that are stored in DType and have a scale for
// each row, or one scale.
type Narrow struct {
	// DType is tensor.I8, with exact sums, or tensor.F8E4M3, for devices that FP8 names.
	DType tensor.DType
	// Quantise says that weights of LinearWeight in bfloat16, float16 and float32 are quantised while they are copied to
	// the device.
	Quantise bool
}

// ErrNoFP8 is wrapped by the error of New if a device has no products of fp8.
var ErrNoFP8 = errors.New("no products of fp8, which cards of compute capability 8.9 and from 12.0 on have")

// narrow is a matrix of int8 or fp8 as it lies on the device, for products in 8 bits: its rows, each filled up with
// zeros to stride bytes, and behind them a float32 scale for each row.
type narrow struct {
	dtype              tensor.DType
	source             tensor.Tensor
	rows, cols, stride int
	rotation           int
	// scales are the bits of the scales of rows that were quantised, 0 of the others. They are nil if source is stored in
	// dtype.
	scales []atomic.Uint32
}

// narrowOf plans how t lies on the device for products in 8 bits. It returns nil if there are none with t: it must be a
// matrix of dtype with scales of rows or one scale or, if quantise is set, one of floats that were not quantised
// before.
func narrowOf(t tensor.Tensor, dtype tensor.DType, quantise bool) *narrow {
	if len(t.Shape) != 2 || t.Shape[1] > kernels.MaxInt8Depth {
		return nil
	}
	m := &narrow{dtype: dtype, source: t, rows: t.Shape[0], cols: t.Shape[1], stride: kernels.Int8Columns(t.Shape[1])}
	switch {
	case t.DType == dtype && (t.Quant == nil || t.Quant.Blocks == nil && t.Quant.Columns == nil):
		if m.rotation = t.Rotation(); m.rotation == 1 {
			m.rotation = 0
		}
	case quantise && t.Scale == 1 && t.Quant == nil &&
		(t.DType == tensor.BF16 || t.DType == tensor.F16 || t.DType == tensor.F32):
		if m.scales = make([]atomic.Uint32, m.rows); dtype == tensor.I8 {
			m.rotation = tensor.RotationFor(m.cols)
		}
	default:
		return nil
	}
	if m.rotation > 0 && !kernels.Rotates(m.rotation) {
		return nil
	}
	return m
}

// scalesAt is the offset of the scales.
func (m *narrow) scalesAt() int64 { return int64(m.rows) * int64(m.stride) }

func (m *narrow) bytes() int64 { return m.scalesAt() + 4*int64(m.rows) }

// write writes the bytes [at, at + len(to)) of the matrix. Several goroutines may write parts of it.
func (m *narrow) write(to []byte, at int64) {
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
	*narrow
	wide, scratch []float32
	line          []byte
	values        []int8 // line's, without the zeros behind the last column
}

func (m *narrow) reader() *rowReader {
	r := &rowReader{narrow: m, line: make([]byte, m.stride)}
	if m.scales != nil {
		r.wide = make([]float32, m.cols)
	}
	if m.scales != nil && m.dtype == tensor.I8 {
		r.scratch = make([]float32, m.cols)
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
	if r.dtype == tensor.F8E4M3 {
		r.scales[i].Store(math.Float32bits(tensor.QuantiseFP8(r.line[:r.cols], r.wide)))
		return r.line
	}
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

// narrowIn returns w if products with it are computed in 8 bits, else nil.
func narrowIn(w backend.Weight) *weight {
	if w, ok := w.(*weight); ok && w.narrow != nil {
		return w
	}
	return nil
}

// quantised returns the rows of w on the device, with a matrix beside them. w.narrow must not be nil.
func (w *weight) quantised(beside backend.Matrix) kernels.Quantised {
	m := w.narrow
	at := w.part.at + cu.DevicePtr(w.offset)
	return kernels.Quantised{
		Values: kernels.Matrix{
			Data: at + cu.DevicePtr(w.from*m.stride), Rows: w.to - w.from, Cols: m.stride, Stride: m.stride,
			DType: m.operations().dtype,
		},
		Scales: at + cu.DevicePtr(m.scalesAt()+4*int64(w.from)),
		Beside: view(beside),
	}
}

// narrowOperations are the operations of a format of 8 bits that do not depend on an epilogue.
type narrowOperations struct {
	dtype            kernels.DType
	quantise, swiglu *kernels.Operation
}

var (
	inInt8 = narrowOperations{kernels.I8, kernels.OpQuantise, kernels.OpInt8SwiGLU}
	inFP8  = narrowOperations{kernels.F8, kernels.OpQuantiseFP8, kernels.OpFP8SwiGLU}
)

func (m *narrow) operations() narrowOperations {
	if m.dtype == tensor.F8E4M3 {
		return inFP8
	}
	return inInt8
}

// linearNarrow is Linear in 8 bits, with a matrix beside w unless it is the zero Matrix.
func (b *Backend) linearNarrow(
	dst, x backend.Matrix, w *weight, beside backend.Matrix, e kernels.Epilogue, ep backend.Epilogue,
) {
	operation := e.NarrowOperation(w.narrow.operations().dtype)
	b.rehearse(dst, kernels.Shape{
		Operation: operation, Depth: w.narrow.stride + beside.Cols, Beside: beside.Cols,
	})
	b.factor(x, w, beside, func(x kernels.Quantised) {
		b.issue("linear", kernels.Find(operation), func(q *kernels.Queue) error {
			e := e
			e.Bias, e.QKNormRoPE.Weight = row(ep.Bias), row(ep.QKNormRoPE.Weight)
			return q.NarrowGEMM(view(dst), x, w.quantised(beside), e, kernels.Auto)
		}, w, ep.Bias, ep.QKNormRoPE.Weight)
	})
}

// swiGLUNarrow is SwiGLU in 8 bits, for two weights of one rotation, with matrices beside both or none.
func (b *Backend) swiGLUNarrow(dst, x backend.Matrix, gate, up *weight, gateBeside, upBeside backend.Matrix) {
	operation := gate.narrow.operations().swiglu
	b.rehearse(dst, kernels.Shape{
		Operation: operation.Name, Depth: gate.narrow.stride + gateBeside.Cols, Beside: gateBeside.Cols,
	})
	b.factor(x, gate, gateBeside, func(x kernels.Quantised) {
		b.issue("swiglu", operation, func(q *kernels.Queue) error {
			return q.NarrowSwiGLU(view(dst), x, gate.quantised(gateBeside), up.quantised(upBeside), kernels.Auto)
		}, gate, up)
	})
}

// factor calls f with x as the left factor of a product with w: its columns for w quantised, and those for a matrix
// beside w, if there is one, as they are.
func (b *Backend) factor(x backend.Matrix, w *weight, beside backend.Matrix, f func(x kernels.Quantised)) {
	own, thin := x, backend.Matrix{}
	if beside.Buffer != nil {
		own, thin = x.ColRange(0, w.narrow.cols), x.ColRange(w.narrow.cols, x.Cols)
	}
	b.quantised(own, w.narrow, func(x kernels.Quantised) {
		x.Beside = view(thin)
		f(x)
	})
}

// unchanged is the matrix of Unchanged, with its quantised rows and their memory after the first product in 8 bits
// that reads it.
type unchanged struct {
	x        backend.Matrix
	buf      *buffer
	rows     kernels.Quantised
	rotation int // that of rows
}

// Unchanged calls f. Products in it with x, all of it, and weights in 8 bits of the same rotation quantise x once.
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

// quantised calls f with the rows of x as products with w read them: in its format, and rotated as it is. They lie in
// working memory, which is free again behind f, unless x is that of Unchanged.
func (b *Backend) quantised(x backend.Matrix, w *narrow, f func(x kernels.Quantised)) {
	rotation, operations := w.rotation, w.operations()
	u := &b.unchanged
	cols := kernels.Int8Columns(x.Cols)
	scalesAt := aligned(int64(x.Rows) * int64(cols))
	bytes := scalesAt + 4*int64(x.Rows)
	at := func(at cu.DevicePtr) kernels.Quantised {
		rows := kernels.Quantised{
			Values: kernels.Matrix{Data: at, Rows: x.Rows, Cols: cols, Stride: cols, DType: operations.dtype},
			Scales: at + cu.DevicePtr(scalesAt),
		}
		b.issue("quantise", operations.quantise, func(q *kernels.Queue) error { return q.Quantise(rows, view(x), rotation) })
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
