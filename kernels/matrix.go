package kernels

import (
	"fmt"

	"github.com/kleinbild/kleinbild/kernels/cu"
)

// DType is how values are stored.
type DType int

// The formats of matrices. Arithmetic is float32 in BF16 and F32. I8 and F8, which is e4m3, are only for operands of
// products in 8 bits, which are Quantised.
const (
	BF16 DType = iota
	F32
	I8
	F8
)

// SizeBytes is the size of one value.
func (d DType) SizeBytes() int { return [...]int{2, 4, 1, 1}[d] }

// String names the format.
func (d DType) String() string { return [...]string{"BF16", "F32", "I8", "F8"}[d] }

// Matrix is rows × cols values in device memory: value (i, j) is number i·Stride + j from Data. The zero value means
// that there is no matrix.
type Matrix struct {
	Data       cu.DevicePtr
	Rows, Cols int
	Stride     int
	DType      DType
}

// String gives shape and format for errors.
func (m Matrix) String() string { return fmt.Sprintf("%v [%d %d]", m.DType, m.Rows, m.Cols) }

// Columns returns the columns [from, to).
func (m Matrix) Columns(from, to int) Matrix {
	m.Data += cu.DevicePtr(from * m.DType.SizeBytes())
	m.Cols = to - from
	return m
}

// rowsAligned says whether every row begins at a multiple of 16 bytes.
func (m Matrix) rowsAligned() bool {
	size := m.DType.SizeBytes()
	return uint64(m.Data)%16 == 0 && (m.Rows == 1 || m.Stride*size%16 == 0)
}

// aligned says whether kernels that take eight columns at a time can read and write the matrices.
func aligned(ms ...Matrix) bool {
	for _, m := range ms {
		if m.Cols%8 != 0 || !m.rowsAligned() {
			return false
		}
	}
	return true
}

// packMatrix packs m as Mat of src/cu.h.
func packMatrix(a *cu.Args, m Matrix) { a.Ptr(m.Data).Int32(int32(m.Stride)).Int32(int32(m.DType)) }

// maxElements bounds rows × stride and the number of threads of a launch, which kernels count in 32 bits.
const maxElements = 1 << 31

// check returns an error for matrices that no operation on floats takes. An operation has rules of its own besides.
func check(operation string, ms ...Matrix) error {
	for _, m := range ms {
		if m.DType == I8 || m.DType == F8 {
			return fmt.Errorf("%s: %v, want BF16 or F32", operation, m)
		}
	}
	return checkMemory(operation, ms...)
}

// checkMemory returns an error for matrices that no operation takes.
func checkMemory(operation string, ms ...Matrix) error {
	for _, m := range ms {
		if m.Rows < 0 || m.Cols < 0 || m.Rows > 0 && m.Cols > 0 && (m.Data == 0 || m.Stride < m.Cols && m.Rows > 1) {
			return fmt.Errorf(
				"%s: %v with rows %d values apart at %#x: want rows that do not overlap, in device memory", operation, m,
				m.Stride, m.Data,
			)
		}
		if m.Rows*m.Cols >= maxElements || m.Stride >= maxElements {
			return fmt.Errorf("%s: %v with rows %d values apart: want fewer than %d values", operation, m, m.Stride, maxElements)
		}
		if uint64(m.Data)%uint64(m.DType.SizeBytes()) != 0 {
			return fmt.Errorf(
				"%s: %v at %#x: want an address that is a multiple of %d", operation, m, m.Data, m.DType.SizeBytes(),
			)
		}
	}
	return nil
}

// sameShape returns an error if an operand has another shape than dst.
func sameShape(operation string, dst Matrix, ms ...Matrix) error {
	if err := check(operation, dst); err != nil {
		return err
	}
	for _, m := range ms {
		if err := check(operation, m); err != nil {
			return err
		}
		if m.Rows != dst.Rows || m.Cols != dst.Cols {
			return fmt.Errorf("%s: operand %v, want the shape of %v", operation, m, dst)
		}
	}
	return nil
}

// isRow returns an error unless m is one row of n values.
func isRow(operation, name string, m Matrix, n int) error {
	if err := check(operation, m); err != nil {
		return err
	}
	if m.Rows != 1 || m.Cols != n || m.Data == 0 {
		return fmt.Errorf("%s: %s %v, want [1 %d]", operation, name, m, n)
	}
	return nil
}

// isBF16 returns an error if a matrix has another format.
func isBF16(operation string, ms ...Matrix) error {
	for _, m := range ms {
		if m.DType != BF16 {
			return fmt.Errorf("%s: %v, want BF16", operation, m)
		}
	}
	return nil
}

func ceilDiv(a, b int) int { return (a + b - 1) / b }
