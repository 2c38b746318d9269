package tensor

import (
	"errors"
	"fmt"
	"slices"
)

// Tensor is one weight of a checkpoint, dense and row-major. Data belongs to the checkpoint that gave it and is
// valid until that is closed; nobody writes to it.
type Tensor struct {
	Name  string
	DType DType
	Shape []int
	Data  []byte
	// Scale multiplies every value of a quantised tensor (the file's weight_scale); 1 for all others.
	Scale float32
}

// Elements is the product of shape.
func Elements(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}

// Slice returns rows [from, to) of the first dimension, sharing the data.
func (t Tensor) Slice(from, to int) Tensor {
	row := Elements(t.Shape[1:]) * t.DType.SizeBytes()
	s := t
	s.Shape = append([]int{to - from}, t.Shape[1:]...)
	s.Data = t.Data[from*row : to*row]
	return s
}

// Float32s returns a widened copy, Scale applied.
func (t Tensor) Float32s() []float32 {
	dst := make([]float32, Elements(t.Shape))
	Widen(dst, t.DType, t.Data)
	if t.Scale != 1 {
		for i := range dst {
			dst[i] *= t.Scale
		}
	}
	return dst
}

// ErrMissing is wrapped by the error of a Source that has no tensor of the name asked for.
var ErrMissing = errors.New("tensor is missing")

// Source gives the weights of one component (a transformer, a VAE, a text encoder) by their Diffusers names.
type Source interface {
	// Tensor returns the weight called name, or an error that wraps ErrMissing and names the file.
	Tensor(name string) (Tensor, error)
	// Names lists all names, sorted.
	Names() []string
}

// Dim returns a dimension of the weight called name, 0 where there is no such weight or dimension: for reading a model's
// sizes off its tensors.
func Dim(src Source, name string, dim int) int {
	t, err := src.Tensor(name)
	if err != nil || dim >= len(t.Shape) {
		return 0
	}
	return t.Shape[dim]
}

// Loader reads the weights that a model is built from and checks each against the shape its config asks for.
// The first error sticks and is returned by Err, so that a constructor reads top to bottom.
type Loader struct {
	src Source
	err error
}

// NewLoader reads from src.
func NewLoader(src Source) *Loader { return &Loader{src: src} }

// Get returns the weight called name, of the given shape and a float format.
func (l *Loader) Get(name string, shape ...int) Tensor {
	if l.err != nil {
		return Tensor{}
	}
	t, err := l.src.Tensor(name)
	switch {
	case err != nil:
		l.err = err
	case !slices.Equal(t.Shape, shape):
		l.err = fmt.Errorf("%s: shape %v, want %v", t.Name, t.Shape, shape)
	case !t.DType.Float():
		l.err = fmt.Errorf("%s: dtype %v, want F32, F16, BF16 or F8_E4M3", t.Name, t.DType)
	}
	return t
}

// Err returns the first error of Get.
func (l *Loader) Err() error { return l.err }
