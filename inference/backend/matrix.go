package backend

import (
	"fmt"
	"slices"

	"github.com/kleinbild/kleinbild/inference/tensor"
)

// Buffer is memory of a backend. Only that backend can read and write it.
type Buffer interface {
	SizeBytes() int64
}

// Matrix is a view of Rows × Cols values of format DType in a Buffer. Row i begins at value Offset + i·Stride.
type Matrix struct {
	Rows, Cols int
	Stride     int
	Offset     int
	DType      tensor.DType
	Buffer     Buffer
}

// RowRange returns a view of rows [from, to). It panics if they are out of range.
func (m Matrix) RowRange(from, to int) Matrix {
	if from < 0 || from > to || to > m.Rows {
		panic(fmt.Sprintf("backend: rows [%d, %d) of %d", from, to, m.Rows))
	}
	m.Offset += from * m.Stride
	m.Rows = to - from
	return m
}

// ColRange returns a view of columns [from, to). It panics if they are out of range.
func (m Matrix) ColRange(from, to int) Matrix {
	if from < 0 || from > to || to > m.Cols {
		panic(fmt.Sprintf("backend: columns [%d, %d) of %d", from, to, m.Cols))
	}
	m.Offset += from
	m.Cols = to - from
	return m
}

// OneRow returns a view of all values of m as one row. It panics unless m's rows follow each other without a gap.
func (m Matrix) OneRow() Matrix {
	if m.Rows > 1 && m.Stride != m.Cols {
		panic(fmt.Sprintf("backend: one row of %d rows of %d values with stride %d", m.Rows, m.Cols, m.Stride))
	}
	m.Rows, m.Cols, m.Stride = 1, m.Rows*m.Cols, m.Rows*m.Cols
	return m
}

// Chunks returns views of n ranges of m.Cols/n columns each.
func (m Matrix) Chunks(n int) []Matrix {
	width := m.Cols / n
	parts := make([]Matrix, n)
	for i := range parts {
		parts[i] = m.ColRange(i*width, (i+1)*width)
	}
	return parts
}

// Scope allocates matrices that are freed together, usually at the end of the function that made the scope.
type Scope struct {
	b    Backend
	live []Matrix
}

// NewScope returns a scope that allocates from b.
func NewScope(b Backend) *Scope { return &Scope{b: b} }

// Alloc returns a matrix of undefined contents in the backend's format of activations.
func (s *Scope) Alloc(rows, cols int) Matrix { return s.AllocAs(rows, cols, s.b.Activation()) }

// AllocAs returns a matrix of undefined contents in format dtype.
func (s *Scope) AllocAs(rows, cols int, dtype tensor.DType) Matrix {
	m := s.b.Alloc(rows, cols, dtype)
	s.live = append(s.live, m)
	return m
}

// Upload returns a float32 matrix that holds src, row-major [rows, cols]. In a rehearsal src may be nil.
func (s *Scope) Upload(rows, cols int, src []float32) Matrix {
	m := s.AllocAs(rows, cols, tensor.F32)
	s.b.Upload(m, src)
	return m
}

// Free frees all matrices that the scope has allocated.
func (s *Scope) Free() {
	s.b.Free(s.live...)
	s.live = nil
}

// Loader loads the weights of a network onto a backend and checks the shape of each. After the first error its methods
// return nil, and Err returns that error, so that a constructor needs one check at its end.
type Loader struct {
	b   Backend
	src tensor.Source
	err error
}

// NewLoader returns a loader from src onto b.
func NewLoader(b Backend, src tensor.Source) *Loader { return &Loader{b: b, src: src} }

// Get returns the weight called name, which must have the given shape and a float format.
func (l *Loader) Get(name string, shape ...int) Weight { return l.onto(l.b.Weight, name, shape) }

// Linear is like Get for a weight that the backend may quantise (see Backend.LinearWeight).
func (l *Loader) Linear(name string, shape ...int) Weight {
	return l.onto(l.b.LinearWeight, name, shape)
}

// Table is like Get for a weight that only Embedding reads.
func (l *Loader) Table(name string, shape ...int) Weight { return l.onto(l.b.Table, name, shape) }

// Host returns the values of the weight called name as float32, for use outside the backend.
func (l *Loader) Host(name string, shape ...int) []float32 {
	t := l.read(name, shape)
	if l.err != nil {
		return nil
	}
	return t.Float32s()
}

// Err returns the first error of Get, Linear, Table and Host.
func (l *Loader) Err() error { return l.err }

func (l *Loader) onto(load func(tensor.Tensor) (Weight, error), name string, shape []int) (w Weight) {
	t := l.read(name, shape)
	if l.err == nil {
		w, l.err = load(t)
	}
	return w
}

func (l *Loader) read(name string, shape []int) tensor.Tensor {
	if l.err != nil {
		return tensor.Tensor{}
	}
	t, err := l.src.Tensor(name)
	switch {
	case err != nil:
		l.err = err
	case !slices.Equal(t.Shape, shape):
		l.err = fmt.Errorf("%s: shape %v, want %v", t.Name, t.Shape, shape)
	case !t.DType.Float():
		l.err = fmt.Errorf("%s: dtype %v, want a floating-point or quantised format", t.Name, t.DType)
	}
	return t
}
