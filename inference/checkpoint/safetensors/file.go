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
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unsafe"

	"github.com/edsrzf/mmap-go"

	"kleinbild/atomicfile"
	"kleinbild/inference/tensor"
)

// File is an open safetensors file, mapped or in memory. Goroutines may call its methods concurrently, except Close,
// Changed and Samples.
type File struct {
	path   string
	header *header
	mapped mmap.MMap // the whole file; nil after Close
	data   []byte    // the part of mapped after the header
	info   os.FileInfo
	// samples is the result of the first call of Samples.
	samples []byte
	// inMemory is true if mapped is the caller's memory, not a mapping.
	inMemory bool
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
// is open: reading a page that the file no longer has is a fault (see Guard). If ctx has ended, Open returns its cause.
func Open(ctx context.Context, path string) (*File, error) { return open(ctx, path, maxHeaderBytes) }

// open is like Open, with a limit for the header's bytes.
func open(ctx context.Context, path string, maxHeader int) (*File, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	f, info, err := openRegular(path)
	if err != nil {
		return nil, err
	}
	// The mapping stays valid after Close, on Linux and on Windows.
	defer f.Close()
	h, err := check(ctx, f, path, info.Size(), maxHeader)
	if err != nil {
		return nil, err
	}
	if info.Size() > math.MaxInt {
		return nil, fmt.Errorf("safetensors: %s: %d bytes, want at most %d: this system cannot map more",
			path, info.Size(), math.MaxInt)
	}
	mapped, err := mmap.Map(f, mmap.RDONLY, 0)
	if err != nil {
		return nil, fmt.Errorf("safetensors: %s: map %d bytes: %w", path, info.Size(), err)
	}
	return &File{path: path, header: h, mapped: mapped, data: mapped[8+len(h.text):], info: info}, nil
}

// FromBytes opens a file whose contents are in memory, without copying them. Errors call it path. The contents must not
// be changed while the file is open.
func FromBytes(path string, file []byte) (*File, error) {
	h, err := check(context.Background(), bytes.NewReader(file), path, int64(len(file)), maxHeaderBytes)
	if err != nil {
		return nil, err
	}
	return &File{path: path, header: h, mapped: file, data: file[8+len(h.text):], inMemory: true}, nil
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

func openRegular(path string) (*os.File, fs.FileInfo, error) {
	f, info, err := atomicfile.Open(path)
	if err != nil {
		return nil, nil, openError(path, err)
	}
	return f, info, nil
}

// openError returns the error for a file that could not be opened. If it finds traces of an interrupted download, or a
// link without a target, the message says so.
func openError(path string, err error) error {
	for _, suffix := range []string{".part", ".incomplete", ".aria2", ".crdownload"} {
		if _, statErr := os.Stat(path + suffix); statErr == nil {
			return fmt.Errorf("safetensors: %s: is missing, but %s exists: the download is not finished: %w",
				path, filepath.Base(path)+suffix, err)
		}
	}
	if target, linkErr := os.Readlink(path); linkErr == nil && errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("safetensors: %s: is a link without a target: %s does not exist: %w",
			path, target, fs.ErrNotExist)
	}
	return fmt.Errorf("safetensors: %w", err)
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
	if err := spend(ctx, path, int64(n)); err != nil {
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

// Path returns the path that Open or FromBytes was given.
func (f *File) Path() string { return f.path }

// SizeBytes returns the size of the whole file.
func (f *File) SizeBytes() int64 { return int64(len(f.mapped)) }

// Header returns the JSON header as it is in the file.
func (f *File) Header() string { return f.header.text }

// Metadata returns the header's __metadata__, or nil if it has none.
func (f *File) Metadata() map[string]string { return f.header.metadata }

// Names returns the names of all tensors, sorted.
func (f *File) Names() []string { return slices.Sorted(maps.Keys(f.header.entries)) }

// Stat returns the tensor called name without its Data, which is nil. It reads nothing from the file.
func (f *File) Stat(name string) (tensor.Tensor, error) {
	e, ok := f.header.entries[name]
	if !ok {
		return tensor.Tensor{}, fmt.Errorf("safetensors: %s: %s: %w", f.path, name, tensor.ErrMissing)
	}
	return tensor.Tensor{Name: f.path + ": " + name, DType: e.dtype, Shape: slices.Clone(e.shape), Scale: 1}, nil
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
	if f.mapped == nil {
		return tensor.Tensor{}, fmt.Errorf("safetensors: %s: %s: the file was closed", f.path, name)
	}
	e := f.header.entries[name]
	off := (8 + int64(len(f.header.text)) + e.begin) % int64(t.DType.SizeBytes())
	if off != 0 && e.end-e.begin > maxCopiedBytes {
		return tensor.Tensor{}, fmt.Errorf("safetensors: %s: %s: %d bytes that are not aligned (by %d bytes), "+
			"want at most %d", f.path, name, e.end-e.begin, off, int64(maxCopiedBytes))
	}
	t.Data = aligned(f.data[e.begin:e.end:e.end], t.DType.SizeBytes())
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

// The samples of a file are sampleCount blocks of sampleBytes, spread evenly over it. They tell apart files with the
// same header and size but other values, such as the single files of the distilled and of the base model.
const (
	sampleCount = 16
	sampleBytes = 4096
)

// Samples returns 16 blocks of 4 KiB, spread evenly over the file. The first call reads them, later calls return the
// same bytes.
func (f *File) Samples() ([]byte, error) {
	if f.samples == nil {
		samples, err := f.readSamples()
		if err != nil {
			return nil, err
		}
		f.samples = samples
	}
	return f.samples, nil
}

// readSamples reads the samples from the file, not from the mapping: a page fault would also read the pages around it.
func (f *File) readSamples() ([]byte, error) {
	var r io.ReaderAt = bytes.NewReader(f.mapped)
	if !f.inMemory {
		file, _, err := openRegular(f.path)
		if err != nil {
			return nil, err
		}
		defer file.Close()
		r = file
	}
	var samples bytes.Buffer
	for i := range int64(sampleCount) {
		at := max(f.SizeBytes()-sampleBytes, 0) * i / (sampleCount - 1)
		if _, err := io.Copy(&samples, io.NewSectionReader(r, at, sampleBytes)); err != nil {
			return nil, err
		}
	}
	return samples.Bytes(), nil
}

// Release removes the mapping's pages from the process's resident memory. Tensors stay valid; reading them again is
// cheap as long as the pages are in the system's file cache. On systems other than Linux Release does nothing.
func (f *File) Release() {
	if !f.inMemory {
		release(f.mapped)
	}
}

// Close unmaps the file, which makes the Data of its tensors invalid. A second call does nothing.
func (f *File) Close() error {
	if f.mapped == nil {
		return nil
	}
	f.data = nil
	if f.inMemory {
		f.mapped = nil
		return nil
	}
	if err := f.mapped.Unmap(); err != nil {
		return fmt.Errorf("safetensors: %s: unmap: %w", f.path, err)
	}
	return nil
}
