// Package safetensors reads and writes the safetensors format: the header's length in 8 bytes, a JSON header, and the
// data of all tensors without gaps. Files are memory-mapped: Open reads only the header, and a tensor's data is read
// from the disk when it is used. A model in several files (shards) is opened by its index.
//
// The reader returns an error for a file that is shorter or longer than its header says, a header over the limits in
// limits.go, a duplicate key, an unknown dtype, a size that does not match shape and dtype, tensors that overlap or
// leave a gap, and for anything that is not a regular file. Every error names the file, what was found and what was
// expected.
//
// Format: https://huggingface.co/docs/safetensors.
package safetensors

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"unsafe"

	"github.com/kleinbild/kleinbild/inference/checkpoint/mapped"
	"github.com/kleinbild/kleinbild/inference/tensor"
)

// File is an open safetensors file, mapped or in memory. Goroutines may call its methods concurrently, except Close,
// Changed and Samples. Header returns the JSON header as it is in the file.
type File struct {
	*mapped.File
	header *header
}

// NotSafetensorsError is the error for a file of another known format.
type NotSafetensorsError struct {
	Path string
	// Format names the file's format for people, such as "a GGUF file".
	Format string
	GGUF   bool
}

func (e *NotSafetensorsError) Error() string {
	return fmt.Sprintf("safetensors: %s: %s, want a safetensors file", e.Path, e.Format)
}

// Open maps the file at path and checks that header and size match. The file must not be changed or truncated while it
// is open: reading a page that the file no longer has is a fault (see mapped.Guard). If ctx has ended, Open returns its
// cause.
func Open(ctx context.Context, path string) (*File, error) { return open(ctx, path, maxHeaderBytes) }

// open is like Open, with a limit for the header's bytes.
func open(ctx context.Context, path string, maxHeader int) (_ *File, err error) {
	f := &File{}
	f.File, err = mapped.Open(ctx, room, path, f.reader(path, maxHeader))
	return f.opened(err)
}

// room begins the errors of this package.
const room = "safetensors"

// FromBytes opens a file whose contents are in memory, without copying them. Errors call it path. The contents must not
// be changed while the file is open.
func FromBytes(path string, file []byte) (_ *File, err error) {
	f := &File{}
	f.File, err = mapped.FromBytes(path, file, f.reader(path, maxHeaderBytes))
	return f.opened(err)
}

// reader returns a function that reads and checks the header of the file at path.
func (f *File) reader(path string, maxHeader int) mapped.Header {
	return func(ctx context.Context, r io.ReaderAt, size int64) (_ string, err error) {
		if f.header, err = check(ctx, r, path, size, maxHeader); err != nil {
			return "", err
		}
		return f.header.text, nil
	}
}

// opened returns f, or nil if there is an error.
func (f *File) opened(err error) (*File, error) {
	if err != nil {
		return nil, err
	}
	return f, nil
}

// check reads the header of a file of size bytes. It returns an error unless the header describes size bytes.
func check(ctx context.Context, f io.ReaderAt, path string, size int64, maxHeader int) (*header, error) {
	text, err := readHeader(ctx, f, path, size, maxHeader)
	if err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	h, err := parseHeader(text)
	if err != nil {
		return nil, fmt.Errorf("safetensors: %s: %w", path, err)
	}
	want := 8 + int64(len(text)) + h.dataBytes
	switch {
	case size < want:
		return nil, fmt.Errorf("safetensors: %s: %d bytes, want %d: the file is incomplete, download it again",
			path, size, want)
	case size > want:
		return nil, fmt.Errorf("safetensors: %s: %d bytes, want %d: bytes after the last tensor", path, size, want)
	}
	return h, nil
}

// readHeader returns the JSON header of a file of size bytes. It returns an error, without reading the header, if that
// has more than limit bytes.
func readHeader(ctx context.Context, f io.ReaderAt, path string, size int64, limit int) ([]byte, error) {
	head := make([]byte, min(size, 512))
	if _, err := f.ReadAt(head, 0); err != nil && err != io.EOF {
		return nil, fmt.Errorf("safetensors: %s: %w", path, err)
	}
	if other := sniff(head); other != nil {
		other.Path = path
		return nil, other
	}
	if size < 8 {
		return nil, fmt.Errorf("safetensors: %s: %d bytes, want at least 8", path, size)
	}
	n := binary.LittleEndian.Uint64(head)
	switch {
	case n > uint64(limit):
		return nil, fmt.Errorf("safetensors: %s: header of %d bytes, want at most %d: is this a safetensors file?",
			path, n, limit)
	case int64(n) > size-8:
		return nil, fmt.Errorf("safetensors: %s: %d bytes, want at least %d for the header: "+
			"the file is incomplete, download it again", path, size, 8+n)
	}
	if err := mapped.Spend(ctx, room, path, int64(n)); err != nil {
		return nil, err
	}
	text := make([]byte, n)
	if _, err := f.ReadAt(text, 8); err != nil && !(err == io.EOF && n == 0) {
		return nil, fmt.Errorf("safetensors: %s: header: %w", path, err)
	}
	return text, nil
}

// sniff recognises, by their first bytes, files that people mistake for safetensors. It returns nil for any other file.
func sniff(head []byte) *NotSafetensorsError {
	switch {
	case len(head) == 0:
		return &NotSafetensorsError{Format: "an empty file"}
	case bytes.HasPrefix(head, []byte("GGUF")):
		return &NotSafetensorsError{Format: "a GGUF file", GGUF: true}
	case bytes.HasPrefix(head, []byte("version https://git-lfs")):
		return &NotSafetensorsError{Format: "a Git LFS pointer (the weights themselves were not downloaded)"}
	case bytes.HasPrefix(head, []byte("PK\x03\x04")):
		return &NotSafetensorsError{Format: "a zip archive or a PyTorch pickle"}
	case bytes.HasPrefix(head, []byte("\x80\x02")) || bytes.HasPrefix(head, []byte("\x80\x04")):
		// The length of a header can begin with these bytes too (0x280, 0x480), but its other bytes are then 0.
		if len(head) < 8 || binary.LittleEndian.Uint64(head) > maxHeaderBytes {
			return &NotSafetensorsError{Format: "a Python pickle"}
		}
	case len(head) > 0 && head[0] == '<' && strings.Contains(strings.ToLower(string(head)), "<html"):
		return &NotSafetensorsError{Format: "a web page (the download was refused?)"}
	}
	return nil
}

// Metadata returns the header's __metadata__, or nil if it has none.
func (f *File) Metadata() map[string]string { return f.header.metadata }

// Names returns the names of all tensors, sorted.
func (f *File) Names() []string { return slices.Sorted(maps.Keys(f.header.entries)) }

// Stat returns the tensor called name without its Data, which is nil. It reads nothing from the file.
func (f *File) Stat(name string) (tensor.Tensor, error) {
	e, ok := f.header.entries[name]
	if !ok {
		return tensor.Tensor{}, fmt.Errorf("safetensors: %s: %s: %w", f.Path(), name, tensor.ErrMissing)
	}
	return tensor.Tensor{Name: f.Path() + ": " + name, DType: e.dtype, Shape: slices.Clone(e.shape), Scale: 1}, nil
}

// Tensor returns the tensor called name. The Name of the result is the file's path and the name, for error messages.
//
// Data is a part of the mapping, valid until Close. It begins at an address that is a multiple of the dtype's size, so
// that it can be read as []uint16 or []float32. Few files hold a tensor that is not aligned; Tensor returns a copy of
// it.
func (f *File) Tensor(name string) (tensor.Tensor, error) {
	t, err := f.Stat(name)
	if err != nil {
		return t, err
	}
	if f.Contents() == nil {
		return tensor.Tensor{}, fmt.Errorf("safetensors: %s: %s: the file was closed", f.Path(), name)
	}
	e := f.header.entries[name]
	data := f.Contents()[8+len(f.header.text):]
	off := (8 + int64(len(f.header.text)) + e.begin) % int64(t.DType.SizeBytes())
	if off != 0 && e.end-e.begin > maxCopiedBytes {
		return tensor.Tensor{}, fmt.Errorf("safetensors: %s: %s: %d bytes that are not aligned (by %d bytes), "+
			"want at most %d", f.Path(), name, e.end-e.begin, off, int64(maxCopiedBytes))
	}
	t.Data = aligned(data[e.begin:e.end:e.end], t.DType.SizeBytes())
	return t, nil
}

// aligned returns data, or a copy of it if the address of data is not a multiple of size.
func aligned(data []byte, size int) []byte {
	if uintptr(unsafe.Pointer(unsafe.SliceData(data)))%uintptr(size) == 0 {
		return data
	}
	words := make([]uint64, (len(data)+7)/8)
	c := unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(words))), 8*len(words))[:len(data):len(data)]
	copy(c, data)
	return c
}
