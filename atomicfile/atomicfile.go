// Package atomicfile writes files that appear whole or not at all. In: a path and what writes the content. Out: the
// file under its name, or an error and what was there before. It knows nothing of what the files mean. It also reads small
// files, and refuses what is none (Read).
//
// The content goes to a temporary name in the same folder, is flushed to the disk, and gets its name in one step. A disk
// that fills up, or a program that is killed, leaves at most that temporary file, which nothing takes for anything.
// The modules that do this are not for Windows (google/renameio) or do not flush (natefinch/atomic).
package atomicfile

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// File is a file without its name yet. What is written to it has none until Replace or Claim.
type File struct {
	*os.File
	closed bool
}

// Create makes an empty file beside path, with the permissions perm less the user's umask. The caller ends it with
// Discard, which does nothing after Replace or Claim.
func Create(path string, perm fs.FileMode) (*File, error) {
	name := filepath.Join(filepath.Dir(path), ".kleinbild-"+rand.Text()+".tmp")
	file, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, perm)
	if err != nil {
		return nil, fmt.Errorf("cannot write in folder %s: %w", filepath.Dir(path), nameless(err))
	}
	return &File{File: file}, nil
}

// nameless takes the temporary name, which is not one that the user knows, out of an error.
func nameless(err error) error {
	if cause, ok := errors.AsType[*fs.PathError](err); ok {
		return cause.Err
	}
	return err
}

// Write is that of os.File; its error does not name the file, which has no name yet.
func (f *File) Write(data []byte) (int, error) {
	n, err := f.File.Write(data)
	return n, nameless(err)
}

// Finish flushes the content to the disk and closes the file.
func (f *File) Finish() error {
	if f.closed {
		return nil
	}
	f.closed = true
	err := f.Sync()
	if closed := f.Close(); err == nil {
		err = closed
	}
	return nameless(err)
}

// Discard removes the file unless it has got its name.
func (f *File) Discard() {
	if !f.closed {
		f.Close()
	}
	os.Remove(f.Name())
}

// Replace gives the finished file the name path; what had it is gone.
func (f *File) Replace(path string) error {
	if err := f.Finish(); err != nil {
		return err
	}
	return patiently(func() error { return os.Rename(f.Name(), path) }, inTheWay, replacePause)
}

// On Windows, virus scanners and the search index open a new file for a moment, in which it cannot be replaced. Replace
// tries again for a second.
const (
	replaceTries = 10
	replacePause = 100 * time.Millisecond
)

// patiently repeats do while its error may go by itself.
func patiently(do func() error, passing func(error) bool, pause time.Duration) error {
	for range replaceTries - 1 {
		if err := do(); err == nil || !passing(err) {
			return err
		}
		time.Sleep(pause)
	}
	return do()
}

// Claim gives the finished file the name path if that is free, and else returns an error that wraps fs.ErrExist; of two
// programs at it, one gets the name. A second link does that in one step; where a file system has none (FAT), Windows has a
// step of its own, and elsewhere an empty file takes the name for a moment.
func (f *File) Claim(path string) error {
	if err := f.Finish(); err != nil {
		return err
	}
	err := os.Link(f.Name(), path)
	if err == nil || errors.Is(err, fs.ErrExist) {
		return err // Discard removes the temporary name
	}
	return claimWithoutLinks(f.Name(), path)
}

func claimWithoutLinks(temporary, path string) error {
	if done, err := moveIfFree(temporary, path); done {
		return err
	}
	placeholder, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return err
	}
	err = placeholder.Close()
	if err == nil {
		err = os.Rename(temporary, path)
	}
	if err != nil {
		os.Remove(path)
	}
	return err
}

// Write replaces the file at path by data, with the permissions perm less the user's umask. A symbolic link stays: the
// file it leads to is replaced.
func Write(path string, data []byte, perm fs.FileMode) error {
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	return write(path, perm, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}

// write is Write for what content writes.
func write(path string, perm fs.FileMode, content func(io.Writer) error) error {
	f, err := Create(path, perm)
	if err != nil {
		return err
	}
	defer f.Discard()
	if err := content(f); err != nil {
		return err
	}
	return f.Replace(path)
}
