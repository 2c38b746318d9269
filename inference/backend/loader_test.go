package backend

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/kleinbild/kleinbild/inference/tensor"
)

// weights is a source of float32 ones.
type weights map[string]tensor.Tensor

func (w weights) Tensor(name string) (tensor.Tensor, error) {
	t, ok := w[name]
	if !ok {
		return t, fmt.Errorf("file: %s: %w", name, tensor.ErrMissing)
	}
	return t, nil
}

func (w weights) Names() []string { return nil }

// shelf is a backend that only takes weights, unless they are called broken.
type shelf struct{ Backend }

type shelved []int

func (s shelved) Shape() []int          { return s }
func (s shelved) Slice(int, int) Weight { return s }

var errBroken = errors.New("broken")

func (shelf) Weight(t tensor.Tensor) (Weight, error) {
	if t.Name == "broken" {
		return nil, errBroken
	}
	return shelved(t.Shape), nil
}

func (s shelf) LinearWeight(t tensor.Tensor) (Weight, error) { return s.Weight(t) }

func (s shelf) Table(t tensor.Tensor) (Weight, error) { return s.Weight(t) }

func TestLoader(t *testing.T) {
	f32 := func(name string, shape ...int) tensor.Tensor {
		data := make([]byte, 4*tensor.Elements(shape))
		return tensor.Tensor{Name: name, DType: tensor.F32, Shape: shape, Data: data, Scale: 1}
	}
	ints := f32("ints", 1)
	ints.DType = tensor.I32
	src := weights{"w": f32("file: w", 2, 3), "ints": ints, "broken": f32("broken", 1)}
	loads := map[string]func(l *Loader, name string, shape []int) bool{
		"Get":   func(l *Loader, name string, shape []int) bool { return l.Get(name, shape...) != nil },
		"Table": func(l *Loader, name string, shape []int) bool { return l.Table(name, shape...) != nil },
		"Host":  func(l *Loader, name string, shape []int) bool { return l.Host(name, shape...) != nil },
	}
	for how, load := range loads {
		if l := NewLoader(shelf{}, src); !load(l, "w", []int{2, 3}) || l.Err() != nil {
			t.Errorf("%s of a sound tensor: %v", how, l.Err())
		}
		for _, row := range []struct {
			name  string
			shape []int
			want  string
		}{
			{"absent", []int{1}, "file: absent: tensor is missing"},
			{"w", []int{3, 2}, "file: w: shape [2 3], want [3 2]"},
			{"ints", []int{1}, "ints: dtype I32, want a floating-point"},
			{"broken", []int{1}, "broken"},
		} {
			if how == "Host" && row.name == "broken" {
				continue // it needs no backend
			}
			l := NewLoader(shelf{}, src)
			got := load(l, row.name, row.shape)
			first := l.Err()
			if got || first == nil || !strings.Contains(first.Error(), row.want) {
				t.Errorf("%s(%s, %v): %v, want %q", how, row.name, row.shape, first, row.want)
			}
			if load(l, "w", []int{2, 3}) || l.Err() != first {
				t.Errorf("%s(%s): the first error did not stick: %v", how, row.name, l.Err())
			}
		}
	}
}
