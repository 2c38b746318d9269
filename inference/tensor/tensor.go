package tensor

import (
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Tensor is one weight of a checkpoint, dense and row-major. Data belongs to the checkpoint: it is read-only and valid
// until the checkpoint is closed.
type Tensor struct {
	Name  string
	DType DType
	Shape []int
	Data  []byte
	// Scale multiplies every value. It is the file's weight_scale for a quantised tensor, and 1 for any other.
	Scale float32
	// Quant holds the other scales of a quantised matrix, and is nil if there are none.
	Quant *Quant
}

// Printable reports whether text from a stranger's file, such as the name of a tensor, consists of printable
// characters, so that an error that prints it stays one line and changes no terminal.
func Printable(text string) bool {
	return utf8.ValidString(text) && !strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) })
}

// Elements returns the number of values of a tensor of the given shape: the product of its dimensions.
func Elements(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}

// rowValues returns the number of values of a row: of an index of the first dimension. A vector is one row.
func (t Tensor) rowValues() int {
	if len(t.Shape) < 2 {
		return Elements(t.Shape)
	}
	return Elements(t.Shape[1:])
}

// Slice returns rows [from, to) of the first dimension. The result shares t's data. t must not be a vector in a format
// with blocks.
func (t Tensor) Slice(from, to int) Tensor {
	row := t.DType.Bytes(Elements(t.Shape[1:]))
	s := t
	s.Shape = append([]int{to - from}, t.Shape[1:]...)
	s.Data = t.Data[from*row : to*row]
	s.Quant = t.Quant.slice(from, to)
	return s
}

// Values stores the values [at, at+len(dst)) of the row-major tensor as float32, multiplied by all scales and with the
// rotation undone.
func (t Tensor) Values(dst []float32, at int) {
	for cols := t.rowValues(); len(dst) > 0; {
		row, col := at/cols, at%cols
		n := min(len(dst), cols-col)
		t.row(dst[:n], row, col)
		dst, at = dst[n:], at+n
	}
}

// row stores len(dst) values of a row, beginning with column col.
func (t Tensor) row(dst []float32, row, col int) {
	unit := t.DType.BlockValues()
	if t.Quant != nil {
		unit = max(unit, t.Quant.Rotation) // both are powers of two
	}
	if first, last := col/unit*unit, (col+len(dst)+unit-1)/unit*unit; last-first > len(dst) {
		whole := make([]float32, last-first)
		t.row(whole, row, first)
		copy(dst, whole[col-first:])
		return
	}
	Widen(dst, t.DType, t.Data[row*t.DType.Bytes(t.rowValues())+t.DType.Bytes(col):])
	if t.Quant == nil {
		if t.Scale != 1 {
			for i := range dst {
				dst[i] *= t.Scale
			}
		}
		return
	}
	t.Quant.scale(dst, t.Scale, row, col)
	Rotate(dst, t.Quant.Rotation)
}

// Float32s returns the values as Values stores them.
func (t Tensor) Float32s() []float32 {
	dst := make([]float32, Elements(t.Shape))
	t.Values(dst, 0)
	return dst
}

// ErrMissing is wrapped by the error of Source.Tensor if the source has no tensor of that name.
var ErrMissing = errors.New("tensor is missing")

// Source returns the weights of one component (transformer, VAE or text encoder) by their Diffusers names.
type Source interface {
	// Tensor returns the weight called name, or an error that wraps ErrMissing and names the file.
	Tensor(name string) (Tensor, error)
	// Names returns all names, sorted.
	Names() []string
}

// Dim returns dimension dim of the weight called name, or 0 if there is no such weight or dimension. The networks infer
// their configs with it if a file has none.
func Dim(src Source, name string, dim int) int {
	t, err := src.Tensor(name)
	if err != nil || dim >= len(t.Shape) {
		return 0
	}
	return t.Shape[dim]
}
