package mapped

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"unsafe"

	"github.com/kleinbild/kleinbild/inference/tensor"
)

// UnreadableError is the error for a mapped file that was changed after Open, or whose disk is gone.
type UnreadableError struct{ Path string }

func (e *UnreadableError) Error() string {
	return fmt.Sprintf("the model's file %s could not be read: it was changed or its disk was removed; "+
		"open the model again", e.Path)
}

// Changed returns an *UnreadableError if the file was written to or truncated after Open. It returns nil for a file
// that was deleted, or replaced by another file with its name, since the mapping still holds the old file. If only the
// time of modification has changed, which a touch or a file system that rounds times can cause, Changed compares the
// samples, provided that Samples was called before.
func (f *File) Changed() error {
	if f.inMemory {
		return nil
	}
	now, err := os.Stat(f.path)
	if err != nil || !os.SameFile(f.info, now) {
		return nil
	}
	if now.Size() == f.info.Size() && now.ModTime().Equal(f.info.ModTime()) {
		return nil
	}
	if now.Size() == f.info.Size() && f.samples != nil {
		if samples, err := f.readSamples(); err == nil && bytes.Equal(samples, f.samples) {
			f.info = now
			return nil
		}
	}
	return &UnreadableError{f.path}
}

// Holds reports whether address is in the file's mapping.
func (f *File) Holds(address uintptr) bool {
	start := uintptr(unsafe.Pointer(unsafe.SliceData(f.mapped)))
	return !f.inMemory && f.mapped != nil && address >= start && address-start < uintptr(len(f.mapped))
}

// Guard calls f, which reads tensors of files, and returns its error. If a page of one of files cannot be read, Guard
// returns an *UnreadableError: f may meet that fault on this goroutine, or return the *tensor.Fault of another one. A
// fault at any other address is a bug of the program, and Guard panics.
func Guard(files []*File, f func() error) error {
	var err error
	if fault := tensor.Guard(func() { err = f() }); fault != nil {
		err = fault
	}
	var fault *tensor.Fault
	if !errors.As(err, &fault) {
		return err
	}
	for _, file := range files {
		if file.Holds(fault.Address) {
			return &UnreadableError{file.path}
		}
	}
	panic(fmt.Sprintf("mapped: fault at address %#x, which is in none of %d files", fault.Address, len(files)))
}
