package gguf

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/kleinbild/kleinbild/inference/checkpoint/chunked"
	"github.com/kleinbild/kleinbild/inference/tensor"
)

// Pair is a key of the metadata and its value: a string, a uint32, a float32, a []string or a []int32.
type Pair struct {
	Key   string
	Value any
}

// Entry is a tensor to write. Write calls Fill for its blocks, part by part.
type Entry struct {
	Name  string
	DType tensor.DType
	// Shape has the order of torch: the last dimension is that of a row, which consists of whole blocks.
	Shape []int
	// Fill stores blocks in dst, starting with the one whose row-major index is first; a format without blocks has blocks
	// of one value, little-endian. Goroutines call Fill concurrently, once for each part of the tensor.
	Fill func(dst []byte, first int) error
}

// SizeBytes returns the size of the tensor's data.
func (e Entry) SizeBytes() int64 { return int64(e.DType.Bytes(tensor.Elements(e.Shape))) }

// writtenAlignment is the alignment of tensors in written files, which readers assume if the metadata gives none.
const writtenAlignment = 32

// Write writes a GGUF file of version 3 to w: the metadata, the descriptions of the tensors, and the tensors in their
// order. Write needs the memory of a few chunks, not of a tensor. After each chunk it calls progress, unless nil, with
// the number of bytes that were written since the last call; these calls are never concurrent. It ends with the cause
// of ctx if ctx ends.
func Write(
	ctx context.Context, w io.WriterAt, metadata []Pair, entries []Entry, progress func(written int64),
) error {
	head, err := encodeHeader(metadata, entries)
	if err != nil {
		return fmt.Errorf("gguf: %w", err)
	}
	if _, err := w.WriteAt(head, 0); err != nil {
		return fmt.Errorf("gguf: write header: %w", err)
	}
	parts, at := make([]chunked.Part, len(entries)), int64(len(head))
	for i, e := range entries {
		parts[i] = chunked.Part{Name: e.Name, At: at, Bytes: e.SizeBytes(), Unit: e.DType.BlockBytes(), Fill: e.Fill}
		at += aligned(e.SizeBytes())
	}
	if err := chunked.Write(ctx, w, parts, progress); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return fmt.Errorf("gguf: %w", err)
	}
	if n := len(parts); n > 0 { // readers want the last tensor to be padded, too
		end := parts[n-1].At + parts[n-1].Bytes
		if _, err := w.WriteAt(make([]byte, at-end), end); err != nil {
			return fmt.Errorf("gguf: write: %w", err)
		}
	}
	return nil
}

// aligned returns the smallest multiple of the alignment that is not less than n.
func aligned(n int64) int64 { return (n + writtenAlignment - 1) / writtenAlignment * writtenAlignment }

// encodeHeader returns all that comes before the data, with its padding.
func encodeHeader(metadata []Pair, entries []Entry) ([]byte, error) {
	numbers := map[tensor.DType]uint32{}
	for _, id := range slices.Sorted(maps.Keys(kinds)) {
		if dtype := kinds[id].dtype; dtype != tensor.Invalid {
			numbers[dtype] = id
		}
	}
	var e encoder
	e.WriteString(Magic)
	e.put(uint32(3), uint64(len(entries)), uint64(len(metadata)))
	for _, p := range metadata {
		e.text(p.Key)
		if err := e.value(p.Value); err != nil {
			return nil, fmt.Errorf("write metadata: %s: %w", p.Key, err)
		}
	}
	offset, seen := int64(0), map[string]bool{}
	for _, t := range entries {
		id, ok := numbers[t.DType]
		row := 1
		if len(t.Shape) > 0 {
			row = t.Shape[len(t.Shape)-1]
		}
		switch {
		case !ok:
			return nil, fmt.Errorf("write %s: %v, want a format of GGUF", t.Name, t.DType)
		case seen[t.Name]:
			return nil, fmt.Errorf("write %s: duplicate name", t.Name)
		case len(t.Shape) > maxRank || row%t.DType.BlockValues() != 0 || tensor.Elements(t.Shape) <= 0:
			return nil, fmt.Errorf("write %s: %v %v, want at most %d dimensions and rows of whole blocks",
				t.Name, t.DType, t.Shape, maxRank)
		}
		seen[t.Name] = true
		e.text(t.Name)
		e.put(uint32(len(t.Shape)))
		for _, n := range slices.Backward(t.Shape) {
			e.put(uint64(n))
		}
		e.put(id, uint64(offset))
		offset += aligned(t.SizeBytes())
	}
	if e.Len() > maxHeaderBytes {
		return nil, fmt.Errorf("write: header of %d bytes, want at most %d", e.Len(), maxHeaderBytes)
	}
	e.Write(make([]byte, aligned(int64(e.Len()))-int64(e.Len())))
	return e.Bytes(), nil
}

// encoder writes the values of a header.
type encoder struct{ bytes.Buffer }

func (e *encoder) put(values ...any) {
	for _, v := range values {
		// A write to a buffer does not fail, and all values have a fixed size.
		_ = binary.Write(&e.Buffer, binary.LittleEndian, v)
	}
}

func (e *encoder) text(s string) {
	e.put(uint64(len(s)))
	e.WriteString(s)
}

// value writes a value of the metadata after its type.
func (e *encoder) value(v any) error {
	switch v := v.(type) {
	case string:
		e.put(uint32(typeString))
		e.text(v)
	case uint32:
		e.put(uint32(typeUint32), v)
	case float32:
		e.put(uint32(typeFloat32), v)
	case []string:
		e.put(uint32(typeArray), uint32(typeString), uint64(len(v)))
		for _, s := range v {
			e.text(s)
		}
	case []int32:
		e.put(uint32(typeArray), uint32(typeInt32), uint64(len(v)), v)
	default:
		return errors.New("want a string, a uint32, a float32, a []string or a []int32")
	}
	return nil
}
