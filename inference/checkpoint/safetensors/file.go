// Package safetensors reads and writes the safetensors format: an 8-byte length, a JSON header, and the tensors end to
// end. Reading is a memory map: opening costs the header only, whatever the file's size, and a tensor's bytes come from the
// disk when somebody touches them. A model split over several files is read through its index.
//
// It refuses files that are cut short or longer than their header says, headers over the limits of limits.go, keys given
// twice, dtypes it does not know, sizes that disagree with shape and dtype, overlaps and holes; and whatever is no ordinary
// file. Every error names the file, what was found and what was expected.
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

// File is one safetensors file, mapped or already in memory. Its methods may be called from several goroutines, except Close, Changed
// and Samples.
type File struct {
	path   string
	header *header
	mapped mmap.MMap // the whole file, nil once closed
	data   []byte    // the part of mapped after the header
	info   os.FileInfo
	// samples are those that Samples read first.
	samples []byte
	// builtIn says that mapped is the caller's memory, not a mapping.
	builtIn bool
}

// NotSafetensorsError says that a file is of another, known format.
type NotSafetensorsError struct {
	Path string
	// Format is what the file is instead, for people: "a GGUF file", "a Git LFS pointer (the weights themselves were not downloaded)".
	Format string
	GGUF   bool
}

func (e *NotSafetensorsError) Error() string {
	return fmt.Sprintf("safetensors: %s: %s, want a safetensors file", e.Path, e.Format)
}

// Open maps the file at path and checks its header against its size. The file must not be changed or cut short while it
// is open: reading a mapped page that has lost its file is a fault, see tensor.Guard. Once ctx ends nothing more is read, and
// the error is its cause.
func Open(ctx context.Context, path string) (*File, error) { return open(ctx, path, maxHeaderBytes) }

// open is Open with a limit of its own for the header.
func open(ctx context.Context, path string, maxHeader int) (*File, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	f, info, err := openRegular(path)
	if err != nil {
		return nil, err
	}
	// The mapping outlives the descriptor, on Linux and on Windows.
	defer f.Close()
	h, err := check(ctx, f, path, info.Size(), maxHeader)
	if err != nil {
		return nil, err
	}
	if info.Size() > math.MaxInt {
		return nil, fmt.Errorf("safetensors: %s: %d bytes, more than this system can map", path, info.Size())
	}
	mapped, err := mmap.Map(f, mmap.RDONLY, 0)
	if err != nil {
		return nil, fmt.Errorf("safetensors: %s: map %d bytes: %w", path, info.Size(), err)
	}
	return &File{path: path, header: h, mapped: mapped, data: mapped[8+len(h.text):], info: info}, nil
}

// FromBytes checks a whole file that is in memory, and reads it in place; path is what errors call it. The file must not be
// changed while it is open.
func FromBytes(path string, file []byte) (*File, error) {
	h, err := check(context.Background(), bytes.NewReader(file), path, int64(len(file)), maxHeaderBytes)
	if err != nil {
		return nil, err
	}
	return &File{path: path, header: h, mapped: file, data: file[8+len(h.text):], builtIn: true}, nil
}

// check reads the header of a file of size bytes and compares the two.
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
		return nil, fmt.Errorf("safetensors: %s: %d bytes, want %d: the file is incomplete, download it again", path, size, want)
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

// openError looks for what a broken download leaves behind, so that the message can say what happened.
func openError(path string, err error) error {
	for _, suffix := range []string{".part", ".incomplete", ".aria2", ".crdownload"} {
		if _, statErr := os.Stat(path + suffix); statErr == nil {
			return fmt.Errorf("safetensors: %s: is missing, but %s is there: the download is not finished: %w",
				path, filepath.Base(path)+suffix, err)
		}
	}
	if target, linkErr := os.Readlink(path); linkErr == nil && errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("safetensors: %s: is a link without a target: %s is not there: %w", path, target, fs.ErrNotExist)
	}
	return fmt.Errorf("safetensors: %w", err)
}

// readHeader returns the JSON text of a file of size bytes. A text over the limit is not read.
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
		return nil, fmt.Errorf("safetensors: %s: header of %d bytes, want at most %d: is this a safetensors file?", path, n, limit)
	case int64(n) > size-8:
		return nil, fmt.Errorf("safetensors: %s: %d bytes, want at least %d for the header: the file is incomplete, download it again", path, size, 8+n)
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

// sniff recognises by their first bytes the files that people mistake for safetensors.
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
		// A header of 0x280 or 0x480 bytes begins so too, but then six zero bytes follow.
		if len(head) < 8 || binary.LittleEndian.Uint64(head) > maxHeaderBytes {
			return &NotSafetensorsError{Format: "a Python pickle"}
		}
	case len(head) > 0 && head[0] == '<' && strings.Contains(strings.ToLower(string(head)), "<html"):
		return &NotSafetensorsError{Format: "a web page (the download was refused?)"}
	}
	return nil
}

// Path is the path that the file was opened by, or what FromBytes calls it.
func (f *File) Path() string { return f.path }

// SizeBytes is the size of the whole file.
func (f *File) SizeBytes() int64 { return int64(len(f.mapped)) }

// Header is the JSON text that opens the file.
func (f *File) Header() string { return f.header.text }

// Metadata is the header's __metadata__, nil when it has none.
func (f *File) Metadata() map[string]string { return f.header.metadata }

// Names lists the tensors, sorted.
func (f *File) Names() []string { return slices.Sorted(maps.Keys(f.header.entries)) }

// Stat describes a tensor without touching its data: Data is nil.
func (f *File) Stat(name string) (tensor.Tensor, error) {
	e, ok := f.header.entries[name]
	if !ok {
		return tensor.Tensor{}, fmt.Errorf("safetensors: %s: %s: %w", f.path, name, tensor.ErrMissing)
	}
	return tensor.Tensor{Name: f.path + ": " + name, DType: e.dtype, Shape: slices.Clone(e.shape), Scale: 1}, nil
}

// Tensor returns the tensor called name; Name of the result is the file's path and the name, for error messages.
//
// Data is the mapped file itself, valid until Close, and begins at a multiple of the dtype's size in memory, so that it may
// be viewed as []uint16 or []float32. Few files place a tensor off that alignment; such a tensor is copied at every call.
func (f *File) Tensor(name string) (tensor.Tensor, error) {
	t, err := f.Stat(name)
	if err != nil {
		return t, err
	}
	if f.mapped == nil {
		return tensor.Tensor{}, fmt.Errorf("safetensors: %s: %s: the file was closed", f.path, name)
	}
	e := f.header.entries[name]
	if off := (8 + int64(len(f.header.text)) + e.begin) % int64(t.DType.SizeBytes()); off != 0 && e.end-e.begin > maxCopiedBytes {
		return tensor.Tensor{}, fmt.Errorf("safetensors: %s: %s: %d bytes that lie %d bytes off their alignment, want at most %d",
			f.path, name, e.end-e.begin, off, int64(maxCopiedBytes))
	}
	t.Data = aligned(f.data[e.begin:e.end:e.end], t.DType.SizeBytes())
	return t, nil
}

// aligned returns data, or a copy of it where data does not begin at a multiple of size.
func aligned(data []byte, size int) []byte {
	if uintptr(unsafe.Pointer(unsafe.SliceData(data)))%uintptr(size) == 0 {
		return data
	}
	words := make([]uint64, (len(data)+7)/8)
	c := unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(words))), 8*len(words))[:len(data):len(data)]
	copy(c, data)
	return c
}

// Of a file, sampleCount blocks of sampleBytes, spread evenly, are its samples: the distilled and the base model have the same
// headers and the same sizes in single files, and only their values differ.
const (
	sampleCount = 16
	sampleBytes = 4096
)

// Samples returns 16 evenly spread blocks of 4 KiB of the file, as they were when first asked for.
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

// readSamples reads through the file rather than the mapping: one read of a block instead of read-ahead around a fault.
func (f *File) readSamples() ([]byte, error) {
	var r io.ReaderAt = bytes.NewReader(f.mapped)
	if !f.builtIn {
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

// Release gives the memory of the pages read so far back to the system, which keeps what it can as its cache of the
// file: tensors stay valid, and reading them again costs little. Systems without such a call do nothing.
func (f *File) Release() {
	if !f.builtIn {
		release(f.mapped)
	}
}

// Close unmaps the file: every Data that it gave becomes invalid. Closing twice is harmless.
func (f *File) Close() error {
	if f.mapped == nil {
		return nil
	}
	f.data = nil
	if f.builtIn {
		f.mapped = nil
		return nil
	}
	if err := f.mapped.Unmap(); err != nil {
		return fmt.Errorf("safetensors: %s: unmap: %w", f.path, err)
	}
	return nil
}
