package safetensors

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"unsafe"

	"kleinbild/inference/tensor"
)

// UnreadableError says that a mapped file is no longer what was opened.
type UnreadableError struct{ Path string }

func (e *UnreadableError) Error() string {
	return fmt.Sprintf("the model's file %s could not be read: it was changed or its disk was removed; open the model again", e.Path)
}

// Changed returns an *UnreadableError if the file was written to or cut short since it was opened. A file that was deleted,
// or replaced by another one of its name, is still there for those who have it mapped. Another time of change alone means
// little (a file system that rounds it, a touch): then the samples decide, if they were read.
func (f *File) Changed() error {
	if f.builtIn {
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

// Holds says whether address lies in the file's mapping.
func (f *File) Holds(address uintptr) bool {
	start := uintptr(unsafe.Pointer(unsafe.SliceData(f.mapped)))
	return !f.builtIn && f.mapped != nil && address >= start && address-start < uintptr(len(f.mapped))
}

// Guard calls f, which reads tensors of files on this goroutine or hands on what other goroutines met. A page that could not be
// read makes it fail with an *UnreadableError instead of ending the program. A fault elsewhere is the program's mistake and
// ends it.
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
	panic(fmt.Sprintf("safetensors: fault at address %#x, which is in none of %d files", fault.Address, len(files)))
}
