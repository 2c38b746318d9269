package convert

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"sync"

	"github.com/kleinbild/kleinbild/inference/checkpoint"
	"github.com/kleinbild/kleinbild/inference/checkpoint/quantise"
	"github.com/kleinbild/kleinbild/inference/tensor"
)

// stack is a tensor to write: the rows of one or several weights.
type stack struct {
	name  string
	shape []int
	// stored is the format of the weights.
	stored tensor.DType
	// parts hold the values in their order in the file.
	parts []part
}

// part is a range of a weight's values.
type part struct {
	weight   tensor.Tensor
	from, to int
}

// newStack opens the weights of a tensor. It returns an error if they are quantised or do not fit together.
func newStack(source tensor.Source, from checkpoint.Stacked) (*stack, error) {
	s := &stack{name: from.Name}
	for i, name := range from.Weights {
		w, err := source.Tensor(name)
		if err != nil {
			return nil, err
		}
		if w.DType != tensor.BF16 && w.DType != tensor.F16 && w.DType != tensor.F32 || w.Quant != nil || w.Scale != 1 {
			return nil, fmt.Errorf("%s: is %v, want BF16, F16 or F32: a second rounding would add to the first, so convert "+
				"the file that this one was made of", w.Name, w.DType)
		}
		if len(w.Shape) == 0 {
			return nil, fmt.Errorf("%s: shape [], want a vector or a matrix", w.Name)
		}
		if i == 0 {
			s.shape, s.stored = slices.Clone(w.Shape), w.DType
		} else {
			if !slices.Equal(w.Shape[1:], s.shape[1:]) || w.DType != s.stored {
				return nil, fmt.Errorf("%s: %v %v beside %v %v, want rows that can be stacked to %s", w.Name, w.DType, w.Shape,
					s.stored, s.shape, s.name)
			}
			s.shape[0] += w.Shape[0]
		}
		s.parts = append(s.parts, part{w, 0, tensor.Elements(w.Shape)})
	}
	if from.SwapHalves {
		w := s.parts[0]
		if s.shape[0]%2 != 0 {
			return nil, fmt.Errorf("%s: shape %v, want an even number of rows", w.weight.Name, s.shape)
		}
		s.parts = []part{{w.weight, w.to / 2, w.to}, {w.weight, 0, w.to / 2}}
	}
	return s, nil
}

// values stores the values [at, at+len(dst)) of the tensor in dst, and returns an error if one is over limit.
func (s *stack) values(dst []float32, at int, limit float32) error {
	for _, p := range s.parts {
		size := p.to - p.from
		if at < size && len(dst) > 0 {
			n := min(len(dst), size-at)
			p.weight.Values(dst[:n], p.from+at)
			if err := quantise.CheckFinite(dst[:n], limit, p.from+at); err != nil {
				return fmt.Errorf("%s: %w", p.weight.Name, err)
			}
			dst, at = dst[n:], 0
			continue
		}
		at = max(at-size, 0)
	}
	return nil
}

// rowValues returns the length of a row.
func (s *stack) rowValues() int { return s.shape[len(s.shape)-1] }

// pieceValues is the number of values that are converted at once. It is a multiple of every block and group.
const pieceValues = 4096

// buffers holds buffers for pieces.
var buffers = sync.Pool{New: func() any { return new([pieceValues]float32) }}

// pieces calls store for all values of a chunk with count values from the one with index first on, piece by piece.
// offset is the index of a piece's first value in the chunk. A page of the source that cannot be read is a
// *tensor.Fault.
func (s *stack) pieces(first, count int, limit float32, store func(values []float32, offset int) error) error {
	var failed error
	buffer, _ := buffers.Get().(*[pieceValues]float32)
	defer buffers.Put(buffer)
	fault := tensor.Guard(func() {
		for offset := 0; offset < count && failed == nil; offset += pieceValues {
			piece := buffer[:min(pieceValues, count-offset)]
			if failed = s.values(piece, first+offset, limit); failed == nil {
				failed = store(piece, offset)
			}
		}
	})
	if fault != nil {
		return fault
	}
	return failed
}

// wide returns a fill that stores the values in dtype: F32, F16 or BF16.
func (s *stack) wide(dtype tensor.DType) func([]byte, int) error {
	size, limit := dtype.SizeBytes(), float32(math.MaxFloat32)
	if dtype == tensor.F16 {
		limit = quantise.Largest
	}
	return func(dst []byte, first int) error {
		return s.pieces(first, len(dst)/size, limit, func(values []float32, offset int) error {
			to := dst[offset*size:]
			for i, v := range values {
				switch dtype {
				case tensor.F32:
					binary.LittleEndian.PutUint32(to[4*i:], math.Float32bits(v))
				case tensor.F16:
					binary.LittleEndian.PutUint16(to[2*i:], tensor.F32ToF16(v))
				default:
					binary.LittleEndian.PutUint16(to[2*i:], tensor.F32ToBF16(v))
				}
			}
			return nil
		})
	}
}

// blocks returns a fill that stores blocks of dtype.
func (s *stack) blocks(dtype tensor.DType, weighted bool) func([]byte, int) error {
	n, size, quantised := dtype.BlockValues(), dtype.BlockBytes(), quantise.Blocks(dtype, weighted)
	return func(dst []byte, first int) error {
		return s.pieces(first*n, len(dst)/size*n, quantise.Largest, func(values []float32, offset int) error {
			for to := dst[offset/n*size:]; len(values) > 0; values, to = values[n:], to[size:] {
				quantised(to[:size], values[:n])
			}
			return nil
		})
	}
}

// float8 returns a fill that stores values divided by scale as float8_e4m3fn.
func (s *stack) float8(scale float32) func([]byte, int) error {
	return func(dst []byte, first int) error {
		return s.pieces(first, len(dst), math.MaxFloat32, func(values []float32, offset int) error {
			for i, v := range values {
				dst[offset+i] = tensor.F32ToF8E4M3(v / scale)
			}
			return nil
		})
	}
}

// int8 returns a fill that stores values, rotated in groups and divided by the scale of their row, as integers.
func (s *stack) int8(scales []float32, group int) func([]byte, int) error {
	row := s.rowValues()
	return func(dst []byte, first int) error {
		var q [1]int8
		// A chunk may begin or end inside a group, so that whole groups are converted.
		whole := max(group, 1)
		begin := first / whole * whole
		end := (first + len(dst) + whole - 1) / whole * whole
		return s.pieces(begin, end-begin, math.MaxFloat32, func(values []float32, offset int) error {
			tensor.Rotate(values, group)
			for i, v := range values {
				at := begin + offset + i
				if to := at - first; to >= 0 && to < len(dst) {
					tensor.RoundInt8(q[:], []float32{v}, scales[at/row])
					dst[to] = byte(q[0])
				}
			}
			return nil
		})
	}
}

// largest stores the largest magnitude of each of the rows [from, to), rotated in groups, in each.
func (s *stack) largest(each []float32, from, to, group int) error {
	row := s.rowValues()
	return s.pieces(from*row, (to-from)*row, math.MaxFloat32, func(values []float32, offset int) error {
		tensor.Rotate(values, group)
		for at := offset; len(values) > 0; {
			r := from + at/row
			n := min(len(values), row-at%row)
			for _, v := range values[:n] {
				if m := float32(math.Abs(float64(v))); m > each[r] {
					each[r] = m
				}
			}
			values, at = values[n:], at+n
		}
		return nil
	})
}
