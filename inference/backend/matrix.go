package backend

import (
	"fmt"

	"kleinbild/inference/tensor"
)

// Buffer is memory of a backend; only that backend looks inside.
type Buffer interface {
	SizeBytes() int64
}

// Matrix is a view of rows × cols values in a Buffer. Row i begins at element Offset + i·Stride.
type Matrix struct {
	Rows, Cols int
	Stride     int
	Offset     int
	DType      tensor.DType
	Buffer     Buffer
}

// RowRange views rows [from, to).
func (m Matrix) RowRange(from, to int) Matrix {
	if from < 0 || from > to || to > m.Rows {
		panic(fmt.Sprintf("backend: rows [%d, %d) of %d", from, to, m.Rows))
	}
	m.Offset += from * m.Stride
	m.Rows = to - from
	return m
}

// ColRange views columns [from, to).
func (m Matrix) ColRange(from, to int) Matrix {
	if from < 0 || from > to || to > m.Cols {
		panic(fmt.Sprintf("backend: columns [%d, %d) of %d", from, to, m.Cols))
	}
	m.Offset += from
	m.Cols = to - from
	return m
}

// Chunks views the columns as n equal parts.
func (m Matrix) Chunks(n int) []Matrix {
	width := m.Cols / n
	parts := make([]Matrix, n)
	for i := range parts {
		parts[i] = m.ColRange(i*width, (i+1)*width)
	}
	return parts
}

// Scope allocates matrices that are freed together, so that a stage's working memory ends with its function.
type Scope struct {
	b    Backend
	live []Matrix
}

// NewScope allocates from b.
func NewScope(b Backend) *Scope { return &Scope{b: b} }

// Alloc returns a matrix of undefined contents in the backend's activation format.
func (s *Scope) Alloc(rows, cols int) Matrix { return s.AllocAs(rows, cols, s.b.Activation()) }

// AllocAs returns a matrix of undefined contents.
func (s *Scope) AllocAs(rows, cols int, dtype tensor.DType) Matrix {
	m := s.b.Alloc(rows, cols, dtype)
	s.live = append(s.live, m)
	return m
}

// Upload returns a float32 matrix that holds src.
func (s *Scope) Upload(rows, cols int, src []float32) Matrix {
	m := s.AllocAs(rows, cols, tensor.F32)
	s.b.Upload(m, src)
	return m
}

// Free frees all of the scope's matrices.
func (s *Scope) Free() {
	s.b.Free(s.live...)
	s.live = nil
}

// Loader turns a component's tensors into a backend's weights, each checked against the shape its config asks
// for. The first error sticks, so that a constructor reads top to bottom.
type Loader struct {
	b    Backend
	host *tensor.Loader
	err  error
}

// NewLoader loads from src onto b.
func NewLoader(b Backend, src tensor.Source) *Loader {
	return &Loader{b: b, host: tensor.NewLoader(src)}
}

// Get loads the weight called name, which must have the given shape.
func (l *Loader) Get(name string, shape ...int) Weight { return l.load(l.b.Weight, name, shape) }

// Table loads the weight called name for Embedding.
func (l *Loader) Table(name string, shape ...int) Weight { return l.load(l.b.Table, name, shape) }

func (l *Loader) load(onto func(tensor.Tensor) (Weight, error), name string, shape []int) Weight {
	t := l.host.Get(name, shape...)
	if l.err == nil {
		l.err = l.host.Err()
	}
	if l.err != nil {
		return nil
	}
	var w Weight
	w, l.err = onto(t)
	return w
}

// Host returns the weight widened to float32 for use outside the backend.
func (l *Loader) Host(name string, shape ...int) []float32 {
	t := l.host.Get(name, shape...)
	if l.err == nil {
		l.err = l.host.Err()
	}
	if l.err != nil {
		return nil
	}
	return t.Float32s()
}

// Err returns the first error of Get and Host.
func (l *Loader) Err() error { return l.err }
