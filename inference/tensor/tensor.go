package tensor

import "errors"

// Tensor is one weight of a checkpoint, dense and row-major. Data belongs to the checkpoint: it is read-only and valid
// until the checkpoint is closed.
type Tensor struct {
	Name  string
	DType DType
	Shape []int
	Data  []byte
	// Scale multiplies every value. It is the file's weight_scale for a quantised tensor, and 1 for any other.
	Scale float32
}

// Elements returns the number of values of a tensor of the given shape: the product of its dimensions.
func Elements(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}

// Slice returns rows [from, to) of the first dimension. The result shares t's data.
func (t Tensor) Slice(from, to int) Tensor {
	row := Elements(t.Shape[1:]) * t.DType.SizeBytes()
	s := t
	s.Shape = append([]int{to - from}, t.Shape[1:]...)
	s.Data = t.Data[from*row : to*row]
	return s
}

// Float32s returns the values as float32, multiplied by Scale.
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
