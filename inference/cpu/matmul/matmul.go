// Package matmul multiplies matrices on all cores: activations by the weights of a checkpoint, pictures by
// convolution kernels, queries by keys and values. What enters are row-major matrices of float32 or bfloat16 and
// weights as they lie in the file; what leaves is written to the caller's matrix while it is hot in the cache. No
// widened copy of a weight is ever made, only panels of bounded size. It allocates no results and knows no models.
//
// The same inputs give the same bits whatever the number of cores: every sum runs in one order, in blocks of k of
// a fixed depth. (Processors with other vector units, and products of few rows, sum in other orders.)
//
// Shapes that don't fit are a caller's bug and panic. A true stop flag ends any call within tens of milliseconds;
// the destination is then undefined.
package matmul

import (
	"fmt"
	"sync/atomic"
	"unsafe"

	"kleinbild/inference/cpu/simd"
	"kleinbild/inference/tensor"
)

// Matrix is a row-major view of someone's memory: element (i, j) is at i·Stride + j of the one slice that is not nil.
type Matrix struct {
	Rows, Cols, Stride int
	F32                []float32
	BF16               []uint16
}

// sub is the view of rows from i and cols columns from j.
func (m Matrix) sub(i, rows, j, cols int) Matrix {
	s := Matrix{Rows: rows, Cols: cols, Stride: m.Stride}
	if at := i*m.Stride + j; m.BF16 != nil {
		s.BF16 = m.BF16[at:]
	} else {
		s.F32 = m.F32[at:]
	}
	return s
}

// address is where cols columns from col of a row lie, and their size in bytes; 0 for a view of nothing.
func (m Matrix) address(row, col, cols int) (at uintptr, sizeBytes int) {
	if m.BF16 != nil {
		return uintptr(unsafe.Pointer(unsafe.SliceData(m.BF16))) + uintptr(2*(row*m.Stride+col)), 2 * cols
	}
	return uintptr(unsafe.Pointer(unsafe.SliceData(m.F32))) + uintptr(4*(row*m.Stride+col)), 4 * cols
}

// check panics unless the view lies within its slice.
func (m Matrix) check(name string) {
	need := 0
	if m.Rows > 0 && m.Cols > 0 {
		need = (m.Rows-1)*m.Stride + m.Cols
	}
	if (m.F32 != nil && m.BF16 != nil) || m.Cols > m.Stride && m.Rows > 1 || len(m.F32)+len(m.BF16) < need {
		panic(fmt.Sprintf("matmul: %s: %d float32 and %d bfloat16, want one of them to hold [%d, %d] with stride %d",
			name, len(m.F32), len(m.BF16), m.Rows, m.Cols, m.Stride))
	}
}

func (m Matrix) operand() *dense {
	d := &dense{rows: m.Rows, scale: 1}
	if m.BF16 != nil {
		d.dtype, d.base, d.stride = tensor.BF16, unsafe.Pointer(unsafe.SliceData(m.BF16)), 2*m.Stride
	} else {
		d.dtype, d.base, d.stride = tensor.F32, unsafe.Pointer(unsafe.SliceData(m.F32)), 4*m.Stride
	}
	return d
}

// Precision says what is multiplied; sums are float32 in any case.
type Precision uint8

const (
	// Float32 widens both sides to float32, exactly.
	Float32 Precision = iota
	// BFloat16 rounds what isn't bfloat16 (weights after their scale) to it. Products are then those of the path in use,
	// see simd.BF16; if it has none, those of float32, which are exact for such factors.
	BFloat16
)

// Epilogue says what becomes of the product y while it is hot.
type Epilogue struct {
	// Bias [N] is added to every row; nil adds nothing.
	Bias []float32
	// Residual adds to the destination instead of overwriting it: dst += Gate·y, Gate [N] or nil for ones. A bfloat16
	// destination is widened, added to in float32, and rounded once.
	Residual bool
	Gate     []float32
	// Store, if set, takes the rows instead of the destination: y holds the columns from col of row. It runs on several
	// goroutines, each y once, and may overwrite y and scratch, which is as long.
	Store func(row, col int, y, scratch []float32)
}

// Linear computes y[M, N] = a[M, K] · w[N, K]ᵀ and passes it through ep into dst [M, N], which must not overlap a. w is
// dense, of a Float dtype; its Scale is applied before rounding. With ep.Store dst is unused.
func Linear(stop *atomic.Bool, dst, a Matrix, w tensor.Tensor, precision Precision, ep Epilogue) {
	if len(w.Shape) < 2 || tensor.Elements(w.Shape) != w.Shape[0]*a.Cols || !w.DType.Float() ||
		len(w.Data) < tensor.Elements(w.Shape)*w.DType.SizeBytes() {
		panic(fmt.Sprintf("matmul: linear: %s: %v %v of %d bytes, want a float matrix [N, %d]", w.Name, w.DType, w.Shape, len(w.Data), a.Cols))
	}
	n := w.Shape[0]
	if ep.Store == nil && (dst.Rows != a.Rows || dst.Cols != n) {
		panic(fmt.Sprintf("matmul: linear: %s: destination [%d, %d], want [%d, %d]", w.Name, dst.Rows, dst.Cols, a.Rows, n))
	}
	a.check("linear: input")
	if ep.Store == nil {
		dst.check("linear: destination")
	}
	ep.check(w.Name, n)
	weights := &dense{dtype: w.DType, base: unsafe.Pointer(unsafe.SliceData(w.Data)), rows: n, stride: a.Cols * w.DType.SizeBytes(), scale: w.Scale}
	p := newProduct(stop, a.Rows, n, a.Cols, precision)
	p.dst, p.ep = dst, ep
	switch {
	case a.Rows == 0 || n == 0:
	case a.Rows <= vectorRows:
		p.vectors(a.operand(), weights)
	default:
		p.packedA(a.operand(), weights)
	}
}

func newProduct(stop *atomic.Bool, m, n, k int, precision Precision) *product {
	p := &product{stop: stop, m: m, n: n, k: k}
	p.kernel, p.round = pick(precision)
	return p
}

// pick returns the kernel for a precision, and whether factors must be rounded to bfloat16 for it.
func pick(precision Precision) (kernel simd.Kernel, round bool) {
	if precision == BFloat16 {
		if kernel, ok := simd.BF16(); ok {
			return kernel, true
		}
	}
	return simd.Float32(), precision == BFloat16
}
