// Package mapped maps the weight files of a checkpoint into memory, whatever their format is: it opens regular files
// only, notices if a file is changed while it is open, turns faults of its pages into errors, and limits how much a
// search for models reads.
package mapped

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"unsafe"

	"github.com/edsrzf/mmap-go"

	"github.com/kleinbild/kleinbild/atomicfile"
)

// File is a file that is mapped, or whose contents are in memory. Goroutines may call its methods concurrently, except
// Close, Changed and Samples.
type File struct {
	path   string
	header string
	mapped mmap.MMap // the whole file; nil after Close
	info   os.FileInfo
	// samples is the result of the first call of Samples.
	samples []byte
	// inMemory is true if mapped is the caller's memory, not a mapping.
	inMemory bool
}

// Header reads the header of a file of size bytes and returns what identifies it: the header's text or its bytes. It
// returns an error for a file that must not be mapped.
type Header func(ctx context.Context, f io.ReaderAt, size int64) (header string, err error)

// Open opens the regular file at path, reads its header with read, and maps it. Errors begin with the name of the
// calling package, unless they are those of read. The file must not be changed or truncated while it is open: reading a
// page that the file no longer has is a fault (see Guard). If ctx has ended, Open returns its cause.
func Open(ctx context.Context, caller, path string, read Header) (*File, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	f, info, err := atomicfile.Open(path)
	if err != nil {
		return nil, OpenError(caller, path, err)
	}
	// The mapping stays valid after Close, on Linux and on Windows.
	defer f.Close()
	header, err := read(ctx, f, info.Size())
	if err != nil {
		return nil, err
	}
	if info.Size() > math.MaxInt {
		return nil, fmt.Errorf("%s: %s: %d bytes, want at most %d: this system cannot map more",
			caller, path, info.Size(), math.MaxInt)
	}
	mapped, err := mmap.Map(f, mmap.RDONLY, 0)
	if err != nil {
		return nil, fmt.Errorf("%s: %s: map %d bytes: %w", caller, path, info.Size(), err)
	}
	preferHuge(mapped)
	return &File{path: path, header: header, mapped: mapped, info: info}, nil
}

// FromBytes opens a file whose contents are in memory, without copying them. Errors call it path. The contents must not
// be changed while the file is open.
func FromBytes(path string, file []byte, read Header) (*File, error) {
	header, err := read(context.Background(), bytes.NewReader(file), int64(len(file)))
	if err != nil {
		return nil, err
	}
	return &File{path: path, header: header, mapped: file, inMemory: true}, nil
}

// OpenError returns the error of caller for a file that could not be opened. If it finds traces of an interrupted
// download, or a link without a target, the message says so.
func OpenError(caller, path string, err error) error {
	for _, suffix := range []string{".part", ".incomplete", ".aria2", ".crdownload"} {
		if _, statErr := os.Stat(path + suffix); statErr == nil {
			return fmt.Errorf("%s: %s: is missing, but %s exists: the download is not finished: %w",
				caller, path, filepath.Base(path)+suffix, err)
		}
	}
	if target, linkErr := os.Readlink(path); linkErr == nil && errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: %s: is a link without a target: %s does not exist: %w",
			caller, path, target, fs.ErrNotExist)
	}
	return fmt.Errorf("%s: %w", caller, err)
}

// Path returns the path that Open or FromBytes was given.
func (f *File) Path() string { return f.path }

// SizeBytes returns the size of the whole file.
func (f *File) SizeBytes() int64 { return int64(len(f.mapped)) }

// Header returns what the Header function has returned.
func (f *File) Header() string { return f.header }

// Contents returns the file's bytes, which are valid until Close, or nil after Close.
func (f *File) Contents() []byte { return f.mapped }

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
		file, _, err := atomicfile.Open(f.path)
		if err != nil {
			return nil, OpenError("samples", f.path, err)
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

// ReleaseRange is like Release for the whole pages of data, a part of the contents. It does nothing for other memory.
func (f *File) ReleaseRange(data []byte) {
	address := uintptr(unsafe.Pointer(unsafe.SliceData(data)))
	if len(data) == 0 || !f.Holds(address) {
		return
	}
	page := os.Getpagesize()
	skip := -int(address) & (page - 1)
	if size := (len(data) - skip) &^ (page - 1); size > 0 {
		release(data[skip : skip+size])
	}
}

// Close unmaps the file, which makes its contents invalid. A second call does nothing.
func (f *File) Close() error {
	if f.mapped == nil {
		return nil
	}
	if f.inMemory {
		f.mapped = nil
		return nil
	}
	if err := f.mapped.Unmap(); err != nil {
		return fmt.Errorf("%s: unmap: %w", f.path, err)
	}
	return nil
}
