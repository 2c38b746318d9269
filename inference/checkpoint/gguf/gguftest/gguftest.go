// Package gguftest writes GGUF files for tests.
package gguftest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
)

// Pair is a key of the metadata and its value: a string, a bool, a uint32, an int32, a uint64, a float32, a float64,
// a []string, a []int32 or a []float32.
type Pair struct {
	Key   string
	Value any
}

// Tensor is a tensor to write. Shape has the order of torch. Kind is ggml's number of the type, which is not checked.
type Tensor struct {
	Name  string
	Shape []int
	Kind  uint32
	Data  []byte
}

// The numbers of some types in ggml's include/ggml.h.
const (
	F32  = 0
	F16  = 1
	Q8_0 = 8
	BF16 = 30
)

// Bytes returns a file of version 3 with the given metadata and tensors.
func Bytes(metadata []Pair, tensors []Tensor) []byte {
	const alignment = 32
	var b bytes.Buffer
	b.WriteString("GGUF")
	put(&b, uint32(3), uint64(len(tensors)), uint64(len(metadata)))
	for _, p := range metadata {
		text(&b, p.Key)
		value(&b, p.Value)
	}
	offset := uint64(0)
	for _, t := range tensors {
		text(&b, t.Name)
		put(&b, uint32(len(t.Shape)))
		for i := range t.Shape {
			put(&b, uint64(t.Shape[len(t.Shape)-1-i]))
		}
		put(&b, t.Kind, offset)
		offset += uint64(len(t.Data)+alignment-1) / alignment * alignment
	}
	for _, t := range tensors {
		pad(&b, alignment)
		b.Write(t.Data)
	}
	pad(&b, alignment)
	return b.Bytes()
}

func pad(b *bytes.Buffer, alignment int) { b.Write(make([]byte, -b.Len()&(alignment-1))) }

func put(b *bytes.Buffer, values ...any) {
	for _, v := range values {
		if err := binary.Write(b, binary.LittleEndian, v); err != nil {
			panic(err)
		}
	}
}

func text(b *bytes.Buffer, s string) {
	put(b, uint64(len(s)))
	b.WriteString(s)
}

// value writes the type and the value.
func value(b *bytes.Buffer, v any) {
	switch v := v.(type) {
	case string:
		put(b, uint32(8))
		text(b, v)
	case []string:
		put(b, uint32(9), uint32(8), uint64(len(v)))
		for _, s := range v {
			text(b, s)
		}
	case []int32:
		put(b, uint32(9), uint32(5), uint64(len(v)), v)
	case []float32:
		put(b, uint32(9), uint32(6), uint64(len(v)), v)
	case uint32:
		put(b, uint32(4), v)
	case int32:
		put(b, uint32(5), v)
	case float32:
		put(b, uint32(6), v)
	case bool:
		put(b, uint32(7), v)
	case uint64:
		put(b, uint32(10), v)
	case float64:
		put(b, uint32(12), v)
	default:
		panic(fmt.Sprintf("gguftest: a value of %T", v))
	}
}

// Quantise8 returns values as blocks of Q8_0, as ggml's quantize_row_q8_0_ref makes them. Their number is a multiple of
// 32.
func Quantise8(values []float32) (data []byte) {
	for ; len(values) > 0; values = values[32:] {
		largest := 0.0
		for _, v := range values[:32] {
			largest = max(largest, math.Abs(float64(v)))
		}
		scale := largest / 127
		data = binary.LittleEndian.AppendUint16(data, f16(float32(scale)))
		for _, v := range values[:32] {
			q := 0.0
			if scale > 0 {
				q = math.Round(float64(v) / scale)
			}
			data = append(data, byte(int8(max(-127, min(127, q)))))
		}
	}
	return data
}

// f16 rounds a positive float32 in the range of normal halves, to the nearest half.
func f16(f float32) uint16 {
	if f < 0x1p-14 {
		return uint16(math.Round(float64(f) * 0x1p24))
	}
	bits := math.Float32bits(f) + 0x1000 // half of the last place
	return uint16(bits>>13 - 112<<10)
}

// Floats returns values as float32.
func Floats(values []float32) (data []byte) {
	for _, v := range values {
		data = binary.LittleEndian.AppendUint32(data, math.Float32bits(v))
	}
	return data
}
