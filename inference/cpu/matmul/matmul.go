// Package matmul computes matrix products on all cores: of activations and a checkpoint's weights, of pictures and
// convolution kernels, and of queries, keys and values. Activations are row-major matrices of float32 or bfloat16, and
// weights have the format of the file. Weights are converted in panels of bounded size, never as a whole. Results are
// stored in the caller's matrices, through an epilogue that is applied while they are in the cache.
//
// The same operands give the same bits for any number of cores, since each sum is computed in one fixed order, in
// blocks of k of a fixed depth. Other instruction sets, and products of few rows, sum in other orders.
//
// Shapes that do not match are a bug of the caller and panic. If the stop flag is set, a call returns within tens of
// milliseconds and leaves the destination undefined.
package matmul

import (
	"fmt"
	"sync/atomic"
	"unsafe"

	"github.com/kleinbild/kleinbild/inference/cpu/simd"
	"github.com/kleinbild/kleinbild/inference/tensor"
)

// Matrix is a row-major view of a caller's memory. One of F32 and BF16 is not nil; value (i, j) is its element
// i·Stride + j.
type Matrix struct {
	Rows, Cols, Stride int
	F32                []float32
	BF16               []uint16
}

// sub returns a view of rows rows from row i and cols columns from column j.
func (m Matrix) sub(i, rows, j, cols int) Matrix {
	s := Matrix{Rows: rows, Cols: cols, Stride: m.Stride}
	if at := i*m.Stride + j; m.BF16 != nil {
		s.BF16 = m.BF16[at:]
	} else {
		s.F32 = m.F32[at:]
	}
	return s
}

// address returns the address of cols columns of a row, from column col, and their size in bytes.
func (m Matrix) address(row, col, cols int) (at uintptr, sizeBytes int) {
	if m.BF16 != nil {
		return uintptr(unsafe.Pointer(unsafe.SliceData(m.BF16))) + uintptr(2*(row*m.Stride+col)), 2 * cols
	}
	return uintptr(unsafe.Pointer(unsafe.SliceData(m.F32))) + uintptr(4*(row*m.Stride+col)), 4 * cols
}

// check panics unless the matrix is inside its slice.
func (m Matrix) check(name string) {
	size := 0
	if m.Rows > 0 && m.Cols > 0 {
		size = (m.Rows-1)*m.Stride + m.Cols
	}
	if (m.F32 != nil && m.BF16 != nil) || m.Cols > m.Stride && m.Rows > 1 || len(m.F32)+len(m.BF16) < size {
		panic(fmt.Sprintf("matmul: %s: %d float32 and %d bfloat16, want one of them to hold [%d, %d] with stride %d",
			name, len(m.F32), len(m.BF16), m.Rows, m.Cols, m.Stride))
	}
}

// operand returns m as an operand of a product.
func (m Matrix) operand() *dense {
	d := &dense{rows: m.Rows, scale: 1}
	if m.BF16 != nil {
		d.dtype, d.base, d.stride = tensor.BF16, unsafe.Pointer(unsafe.SliceData(m.BF16)), 2*m.Stride
	} else {
		d.dtype, d.base, d.stride = tensor.F32, unsafe.Pointer(unsafe.SliceData(m.F32)), 4*m.Stride
	}
	return d
}

// Precision is the format of the factors of products. Sums are always float32.
type Precision uint8

const (
	// Float32 converts both operands to float32, exactly.
	Float32 Precision = iota
	// BFloat16 rounds operands that are not bfloat16 (weights after the multiplication by their scale). The current
	// path then multiplies bfloat16 (see simd.BF16), or float32 if it has no such products: products of bfloat16 values
	// are exact in float32.
	BFloat16
)

// Epilogue describes how the product y [M, N] is stored.
type Epilogue struct {
	// Bias [N] is added to each row unless nil.
	Bias []float32
	// Residual adds y to the destination instead of storing it. If Gate [N] is not nil, it adds Gate ⊙ y. For a
	// bfloat16 destination the sum is computed in float32 and rounded once.
	Residual bool
	Gate     []float32
	// ReLU stores max(y, 0) of what the fields above make of y. NaN stays NaN.
	ReLU bool
	// Store, unless nil, is called with parts of y instead of storing them in the destination: y holds columns of row,
	// beginning with col. Goroutines call it concurrently, once for each part. It may overwrite y and scratch, which
	// have the same length.
	Store func(row, col int, y, scratch []float32)
}

// Linear computes y [M, N] = a [M, K] · w [N, K]ᵀ and stores it in dst [M, N] as ep describes. dst must not overlap a;
// it is not used if ep.Store is set. w must have a weight format (DType.Float). Its scales are applied before rounding.
// If w is rotated (see tensor.Quant), the rows of a are rotated instead.
func Linear(stop *atomic.Bool, dst, a Matrix, w tensor.Tensor, precision Precision, ep Epilogue) {
	if len(w.Shape) < 2 || tensor.Elements(w.Shape) != w.Shape[0]*a.Cols || !w.DType.Float() ||
		len(w.Data) < w.DType.Bytes(tensor.Elements(w.Shape)) || a.Cols%w.DType.BlockValues() != 0 {
		panic(fmt.Sprintf("matmul: linear: %s: %v %v of %d bytes, want a float matrix [N, %d]",
			w.Name, w.DType, w.Shape, len(w.Data), a.Cols))
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
	p := newProduct(stop, a.Rows, n, a.Cols, precision)
	p.dst, p.ep = dst, ep
	unit := w.DType.BlockValues()
	var x interface {
		operand
		widener
	} = a.operand()
	if w.Quant != nil && w.Quant.Rotation > 1 {
		unit = max(unit, w.Quant.Rotation)
		x = &rotated{a.operand(), w.Quant.Rotation}
	}
	// Blocks of k must consist of whole blocks of the weights. For kernels of float32 that need not be so with the usual
	// depth of 384.
	if unit <= shallow && depth(&p.kernel)%unit != 0 {
		p.kernel.KC = shallow
	}
	switch weights := weightOperand(w, a.Cols); {
	case a.Rows == 0 || n == 0:
	case a.Rows <= vectorRows:
		p.vectors(x, weights)
	default:
		p.packedA(x, weights)
	}
}

// shallow is a depth of blocks of k that all formats of weights divide.
const shallow = 256

// widener is an operand whose rows can be read.
type widener interface {
	// widen stores len(dst) values of a row, from k0 on, as float32.
	widen(dst []float32, row, k0 int)
}

func newProduct(stop *atomic.Bool, m, n, k int, precision Precision) *product {
	p := &product{stop: stop, m: m, n: n, k: k}
	p.kernel, p.round = pick(precision)
	return p
}

// pick returns the kernel for a precision, and whether operands must be rounded to bfloat16.
func pick(precision Precision) (kernel simd.Kernel, round bool) {
	if precision == BFloat16 {
		if kernel, ok := simd.BF16(); ok {
			return kernel, true
		}
	}
	return simd.Float32(), precision == BFloat16
}
