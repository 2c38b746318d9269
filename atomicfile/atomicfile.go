// Package atomicfile writes files that appear whole or not at all: if a write fails, the file that had the name before
// stays. It also checks names before a program computes the content (CheckName, CheckReplace), and reads small regular
// files (Read).
//
// The content is written to a temporary file in the same folder and flushed to the disk; then the file is renamed or
// linked in one step. If the disk is full or the program is killed, at most the temporary file .kleinbild-*.tmp
// remains, which no part of the program reads. Of the existing modules, google/renameio does not support Windows, and
// natefinch/atomic does not flush.
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

// File is a new file under a temporary name. Replace and Claim give it its final name.
type File struct {
	*os.File
	closed bool
}

// Create makes an empty temporary file in the folder of path, with the permissions perm less the user's umask. The
// caller must call Discard, also after Replace or Claim.
func Create(path string, perm fs.FileMode) (*File, error) {
	name := filepath.Join(filepath.Dir(path), ".kleinbild-"+rand.Text()+".tmp")
	file, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, perm)
	if err != nil {
		return nil, fmt.Errorf("cannot write in folder %s: %w", filepath.Dir(path), withoutName(err))
	}
	return &File{File: file}, nil
}

// withoutName removes the temporary name, which the user does not know, from an error.
func withoutName(err error) error {
	if cause, ok := errors.AsType[*fs.PathError](err); ok {
		return cause.Err
	}
	return err
}

// Write writes as os.File.Write does. Its error does not contain the temporary name.
func (f *File) Write(data []byte) (int, error) {
	n, err := f.File.Write(data)
	return n, withoutName(err)
}

// Finish flushes the content to the disk and closes the file. A second call does nothing.
func (f *File) Finish() error {
	if f.closed {
		return nil
	}
	f.closed = true
	err := f.Sync()
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return withoutName(err)
}

// Discard closes the file and removes the temporary name. The file stays if Replace or Claim has named it.
func (f *File) Discard() {
	if !f.closed {
		f.Close()
	}
	os.Remove(f.Name())
}

// Replace finishes the file and renames it to path. A file that exists at path is replaced.
func (f *File) Replace(path string) error {
	if err := f.Finish(); err != nil {
		return err
	}
	return retry(func() error { return os.Rename(f.Name(), path) }, isTemporary, replacePause)
}

// On Windows, virus scanners and the search index open a new file for a moment, and an open file cannot be replaced.
// Replace tries for about a second.
const (
	replaceTries = 10
	replacePause = 100 * time.Millisecond
)

// retry calls do up to replaceTries times, with pauses, until it succeeds or returns an error for which temporary is
// false. It returns the error of the last call.
func retry(do func() error, temporary func(error) bool, pause time.Duration) error {
	for range replaceTries - 1 {
		if err := do(); err == nil || !temporary(err) {
			return err
		}
		time.Sleep(pause)
	}
	return do()
}

// Claim finishes the file and names it path. If path exists, Claim returns an error that wraps fs.ErrExist. If two
// programs claim a path at once, one of them gets it. Claim makes a hard link, which is one step. If the file system
// has no hard links (FAT), Claim renames the file: on Windows with a call that never replaces a file, and on other
// systems after creating an empty file at path.
func (f *File) Claim(path string) error {
	if err := f.Finish(); err != nil {
		return err
	}
	err := os.Link(f.Name(), path)
	if err == nil || errors.Is(err, fs.ErrExist) {
		return err
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

// Write replaces the file at path by one that contains data, with the permissions perm less the user's umask. If path
// is a symbolic link, the file that it points to is replaced, and the link stays.
func Write(path string, data []byte, perm fs.FileMode) error {
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	return write(path, perm, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}

// write replaces the file at path by one whose bytes the function content writes.
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
