// Package gguf reads and writes GGUF files, the format of ggml and llama.cpp: metadata, the descriptions of tensors,
// and their data. Files are memory-mapped: Open reads only the header, and a tensor's data is read from the disk when
// it is used.
//
// The reader returns an error for a file that is shorter than its header says, a count or size over the limits in
// limits.go, a duplicate name, a row that does not consist of whole blocks, data that is not aligned or overlaps, and
// for anything that is not a regular file. Every error names the file, what was found and what was expected. A tensor
// of a type that is not supported is an error only if it is asked for, so that such tensors may lie beside the weights
// that are needed.
//
// Format: ggml's include/gguf.h and docs/gguf.md, versions 2 and 3.
package gguf

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"math/bits"
	"slices"

	"github.com/kleinbild/kleinbild/inference/checkpoint/mapped"
	"github.com/kleinbild/kleinbild/inference/tensor"
)

// File is an open GGUF file. Goroutines may call its methods concurrently, except Close, Changed and Samples. Header
// returns a digest of the header.
type File struct {
	*mapped.File
	metadata map[string]any // the types of scanner.value
	entries  map[string]entry
}

// entry describes one tensor. begin is the offset of its data in the file.
type entry struct {
	kind  uint32
	shape []int // slowest dimension first, as in torch
	begin int64
	bytes int64 // 0 for a type that is not supported
}

// room begins the errors of this package.
const room = "gguf"

// Magic begins every GGUF file.
const Magic = "GGUF"

// Open maps the file at path and checks its header. The file must not be changed or truncated while it is open: reading
// a page that the file no longer has is a fault (see mapped.Guard). If ctx has ended, Open returns its cause.
func Open(ctx context.Context, path string) (_ *File, err error) {
	f := &File{}
	f.File, err = mapped.Open(ctx, room, path, f.reader(path))
	if err != nil {
		return nil, err
	}
	return f, nil
}

// FromBytes opens a file whose contents are in memory, without copying them. Errors call it path.
func FromBytes(path string, file []byte) (_ *File, err error) {
	f := &File{}
	f.File, err = mapped.FromBytes(path, file, f.reader(path))
	if err != nil {
		return nil, err
	}
	return f, nil
}

// reader returns a function that reads and checks the header of the file at path.
func (f *File) reader(path string) mapped.Header {
	return func(ctx context.Context, r io.ReaderAt, size int64) (string, error) {
		s := &scanner{r: r, end: min(size, maxHeaderBytes), size: size}
		// How long a header is turns out when it is read. So a spent budget keeps the next file from being read, and a
		// damaged file is counted, too.
		if err := mapped.Spend(ctx, room, path, 0); err != nil {
			return "", err
		}
		err := f.parse(s)
		if budget := mapped.Spend(ctx, room, path, int64(len(s.read))); budget != nil {
			return "", budget
		}
		if err != nil {
			return "", fmt.Errorf("gguf: %s: %w", path, err)
		}
		return fmt.Sprintf("%x", sha256.Sum256(s.read[:s.at])), nil
	}
}

// parse reads a header.
func (f *File) parse(s *scanner) error {
	magic, err := s.next(uint64(len(Magic)))
	if err != nil {
		return err
	}
	if string(magic) != Magic {
		return fmt.Errorf("begins with %q, want %q", magic, Magic)
	}
	version, err := s.uint32()
	if err != nil {
		return err
	}
	if swapped := bits.ReverseBytes32(version); swapped > 0 && swapped <= 3 {
		return errors.New("is in big-endian order, want little-endian order")
	}
	if version != 2 && version != 3 {
		return fmt.Errorf("version %d, want 2 or 3", version)
	}
	tensors, err := s.count("tensors", maxTensors)
	if err != nil {
		return err
	}
	keys, err := s.count("keys of metadata", maxKeys)
	if err != nil {
		return err
	}
	if err := f.parseMetadata(s, keys); err != nil {
		return err
	}
	return f.parseTensors(s, tensors)
}

func (f *File) parseMetadata(s *scanner, keys int) error {
	f.metadata = map[string]any{}
	for i := range keys {
		key, err := s.text(maxNameBytes)
		if err != nil {
			return fmt.Errorf("metadata: key %d of %d: %w", i, keys, err)
		}
		if _, duplicate := f.metadata[key]; duplicate {
			return fmt.Errorf("metadata: %q occurs twice", key)
		}
		kind, err := s.uint32()
		if err == nil {
			f.metadata[key], err = s.value(kind)
		}
		if err != nil {
			return fmt.Errorf("metadata: %q: %w", key, err)
		}
	}
	return nil
}

func (f *File) parseTensors(s *scanner, count int) error {
	f.entries = map[string]entry{}
	for i := range count {
		name, err := s.text(maxNameBytes)
		if err != nil {
			return fmt.Errorf("tensor %d of %d: %w", i, count, err)
		}
		if !tensor.Printable(name) {
			return fmt.Errorf("tensor %d of %d: the name %.200q, want printable characters", i, count, name)
		}
		if _, duplicate := f.entries[name]; duplicate {
			return fmt.Errorf("%.200q: occurs twice", name)
		}
		e, err := parseEntry(s)
		if err != nil {
			return fmt.Errorf("%.200q: %w", name, err)
		}
		f.entries[name] = e
	}
	alignment := int64(32)
	if value, ok := f.metadata["general.alignment"]; ok {
		n, isNumber := value.(float64)
		if !isNumber || n < 8 || n > maxAlignment || int64(n)&(int64(n)-1) != 0 || n != math.Trunc(n) {
			return fmt.Errorf("metadata: general.alignment is %v, want a power of two from 8 to %d", value, maxAlignment)
		}
		alignment = int64(n)
	}
	return f.place((s.at+alignment-1)/alignment*alignment, alignment, s.size)
}

// parseEntry reads the description of a tensor. Its begin is still relative to the data.
func parseEntry(s *scanner) (e entry, err error) {
	rank, err := s.uint32()
	if err != nil {
		return e, err
	}
	if rank > maxRank {
		return e, fmt.Errorf("%d dimensions, want at most %d", rank, maxRank)
	}
	e.shape = make([]int, rank)
	elements := uint64(1)
	for i := range rank {
		n, err := s.uint64()
		if err != nil {
			return e, err
		}
		if n == 0 || n > math.MaxInt64/32/elements { // no format has 32 bytes a value
			return e, fmt.Errorf("dimension %d is %d, want 1 or more, and a tensor that fits in a file", i, n)
		}
		elements *= n
		e.shape[rank-1-i] = int(n)
	}
	if e.kind, err = s.uint32(); err != nil {
		return e, err
	}
	offset, err := s.uint64()
	if err != nil {
		return e, err
	}
	if offset > math.MaxInt64/2 {
		return e, fmt.Errorf("offset %d, want one inside the file", offset)
	}
	e.begin = int64(offset)
	dtype := kinds[e.kind].dtype
	if dtype == tensor.Invalid {
		return e, nil
	}
	row := 1
	if rank > 0 {
		row = e.shape[rank-1]
	}
	if values := dtype.BlockValues(); row%values != 0 {
		return e, fmt.Errorf("a row of %d values, want a multiple of %d for %v", row, values, dtype)
	}
	e.bytes = int64(dtype.Bytes(int(elements)))
	return e, nil
}

// place sets begin of all entries, given the offset of the data. It returns an error if tensors are not aligned,
// overlap or pass the end of the file.
func (f *File) place(data, alignment, size int64) error {
	// A tensor of unknown size counts as empty, and comes before another one at the same offset.
	names := slices.SortedFunc(maps.Keys(f.entries), func(a, b string) int {
		x, y := f.entries[a], f.entries[b]
		return cmp.Or(cmp.Compare(x.begin, y.begin), cmp.Compare(x.bytes, y.bytes), cmp.Compare(a, b))
	})
	end, last := int64(0), ""
	for _, name := range names {
		e := f.entries[name]
		switch {
		case e.begin%alignment != 0:
			return fmt.Errorf("%.200q: offset %d, want a multiple of %d", name, e.begin, alignment)
		case e.begin < end:
			return fmt.Errorf("%.200q: begins at byte %d of the data, inside %.200q which ends at %d", name, e.begin, last, end)
		case e.begin+e.bytes > size-data:
			return fmt.Errorf("%.200q: ends at byte %d, and the file has %d: %w",
				name, data+e.begin+e.bytes, size, errIncomplete)
		}
		end, last = e.begin+e.bytes, name
		e.begin += data
		f.entries[name] = e
	}
	return nil
}

// Names returns the names of all tensors, sorted.
func (f *File) Names() []string { return slices.Sorted(maps.Keys(f.entries)) }

// Stat returns the tensor called name without its Data, which is nil. It reads nothing from the file. Shape has the
// order of torch: the last dimension is that of a row. The error wraps tensor.ErrMissing if there is no such tensor,
// and is an *UnsupportedError if its type is not supported.
func (f *File) Stat(name string) (tensor.Tensor, error) {
	e, ok := f.entries[name]
	if !ok {
		return tensor.Tensor{}, fmt.Errorf("gguf: %s: %s: %w", f.Path(), name, tensor.ErrMissing)
	}
	dtype := kinds[e.kind].dtype
	if dtype == tensor.Invalid {
		return tensor.Tensor{}, &UnsupportedError{f.Path(), name, kindName(e.kind)}
	}
	return tensor.Tensor{Name: f.Path() + ": " + name, DType: dtype, Shape: slices.Clone(e.shape), Scale: 1}, nil
}

// Tensor returns the tensor called name, like Stat, with its data: a part of the mapping, valid until Close.
func (f *File) Tensor(name string) (tensor.Tensor, error) {
	t, err := f.Stat(name)
	if err != nil {
		return t, err
	}
	contents := f.Contents()
	if contents == nil {
		return tensor.Tensor{}, fmt.Errorf("gguf: %s: %s: the file was closed", f.Path(), name)
	}
	e := f.entries[name]
	t.Data = contents[e.begin : e.begin+e.bytes : e.begin+e.bytes]
	return t, nil
}

// Files returns the file itself.
func (f *File) Files() []*mapped.File { return []*mapped.File{f.File} }

// Text returns the text of the metadata with the given key. ok is false if there is none.
func (f *File) Text(key string) (text string, ok bool) {
	text, ok = f.metadata[key].(string)
	return text, ok
}

// Number returns the number of the metadata with the given key. ok is false if there is none.
func (f *File) Number(key string) (n float64, ok bool) {
	n, ok = f.metadata[key].(float64)
	return n, ok
}

// Texts returns the array of texts with the given key, or nil if there is none. It reads them from the mapping.
func (f *File) Texts(key string) ([]string, error) {
	a, ok := f.metadata[key].(array)
	if !ok || a.kind != typeString {
		return nil, nil
	}
	s, err := f.elements(key, a)
	if err != nil {
		return nil, err
	}
	list := make([]string, 0, a.count)
	for range a.count {
		text, err := s.text(maxTextBytes)
		if err != nil {
			return nil, fmt.Errorf("gguf: %s: metadata: %q: %w", f.Path(), key, err)
		}
		list = append(list, text)
	}
	return list, nil
}

// Numbers returns the array of numbers with the given key, or nil if there is none. It reads them from the mapping.
func (f *File) Numbers(key string) ([]float64, error) {
	a, ok := f.metadata[key].(array)
	if !ok || a.kind == typeString {
		return nil, nil
	}
	s, err := f.elements(key, a)
	if err != nil {
		return nil, err
	}
	list := make([]float64, 0, a.count)
	for range a.count {
		n, err := s.number(a.kind)
		if err != nil {
			return nil, fmt.Errorf("gguf: %s: metadata: %q: %w", f.Path(), key, err)
		}
		list = append(list, n)
	}
	return list, nil
}

// elements returns a scanner at the first element of a, the value of key.
func (f *File) elements(key string, a array) (*scanner, error) {
	if a.count > maxElements {
		return nil, fmt.Errorf("gguf: %s: metadata: %.200q: %d elements, want at most %d",
			f.Path(), key, a.count, maxElements)
	}
	contents := f.Contents()
	size := int64(len(contents))
	return &scanner{read: contents, at: min(a.at, size), end: size, size: size}, nil
}
