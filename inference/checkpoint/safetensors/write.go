package safetensors

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"slices"

	"github.com/kleinbild/kleinbild/inference/checkpoint/chunked"
	"github.com/kleinbild/kleinbild/inference/tensor"
)

// Entry is a tensor to write. Write calls Fill for its values, part by part.
type Entry struct {
	Name  string
	DType tensor.DType
	Shape []int
	// Fill stores values in dst, little-endian, starting with the one whose row-major index is first. len(dst) is a
	// multiple of the dtype's size. Goroutines call Fill concurrently, once for each part of the tensor.
	Fill func(dst []byte, first int) error
}

// SizeBytes returns the size of the tensor's data.
func (e Entry) SizeBytes() int64 { return int64(tensor.Elements(e.Shape)) * int64(e.DType.SizeBytes()) }

// Write writes a safetensors file to w: the header, padded to a multiple of 8 bytes, and the tensors. Tensors are
// sorted like those of the reference's writer, by descending size of a value and then by name, which keeps all of them
// aligned. Write needs the memory of a few chunks, not of a tensor. After each chunk it calls progress, unless nil,
// with the number of bytes that were written since the last call; these calls are never concurrent. It ends with the
// cause of ctx if ctx ends.
func Write(
	ctx context.Context, w io.WriterAt, metadata map[string]string, entries []Entry, progress func(written int64),
) error {
	entries = slices.SortedFunc(slices.Values(entries), func(a, b Entry) int {
		return cmp.Or(cmp.Compare(b.DType.SizeBytes(), a.DType.SizeBytes()), cmp.Compare(a.Name, b.Name))
	})
	head, err := encodeHeader(metadata, entries)
	if err != nil {
		return err
	}
	if _, err := w.WriteAt(head, 0); err != nil {
		return fmt.Errorf("safetensors: write header: %w", err)
	}

	parts := make([]chunked.Part, len(entries))
	at := int64(len(head))
	for i, e := range entries {
		parts[i] = chunked.Part{Name: e.Name, At: at, Bytes: e.SizeBytes(), Unit: e.DType.SizeBytes(), Fill: e.Fill}
		at += e.SizeBytes()
	}
	if err := chunked.Write(ctx, w, parts, progress); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return fmt.Errorf("safetensors: %w", err)
	}
	return nil
}

// encodeHeader returns the header's length and its JSON text, padded with spaces to a multiple of 8 bytes. Like the
// reference it writes the keys in the order of the data.
func encodeHeader(metadata map[string]string, entries []Entry) ([]byte, error) {
	var b bytes.Buffer
	b.Write(make([]byte, 8))
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	// value removes the newline that Encode appends.
	value := func(v any) error {
		err := enc.Encode(v)
		b.Truncate(b.Len() - 1)
		return err
	}
	separator := byte('{')
	key := func(name string) error {
		b.WriteByte(separator)
		separator = ','
		err := value(name)
		b.WriteByte(':')
		return err
	}
	seen := map[string]bool{metadataKey: true}
	if metadata != nil {
		if err := cmp.Or(key(metadataKey), value(metadata)); err != nil {
			return nil, fmt.Errorf("safetensors: write metadata: %w", err)
		}
	}
	at := int64(0)
	for _, e := range entries {
		size, err := sizeBytes(e.DType, e.Shape)
		switch {
		case err != nil:
			return nil, fmt.Errorf("safetensors: write %s: %w", e.Name, err)
		case seen[e.Name]:
			return nil, fmt.Errorf("safetensors: write %s: duplicate name", e.Name)
		}
		seen[e.Name] = true
		shape := e.Shape
		if shape == nil {
			shape = []int{}
		}
		err = cmp.Or(key(e.Name), value(struct {
			DType   string   `json:"dtype"`
			Shape   []int    `json:"shape"`
			Offsets [2]int64 `json:"data_offsets"`
		}{e.DType.String(), shape, [2]int64{at, at + size}}))
		if err != nil {
			return nil, fmt.Errorf("safetensors: write %s: %w", e.Name, err)
		}
		at += size
	}
	if separator == '{' {
		b.WriteByte('{')
	}
	b.WriteByte('}')
	for b.Len()%8 != 0 {
		b.WriteByte(' ')
	}
	if b.Len()-8 > maxHeaderBytes {
		return nil, fmt.Errorf("safetensors: write: header of %d bytes, want at most %d", b.Len()-8, maxHeaderBytes)
	}
	binary.LittleEndian.PutUint64(b.Bytes(), uint64(b.Len()-8))
	return b.Bytes(), nil
}
