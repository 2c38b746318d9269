package history

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"
)

// Timeouts for a file that another program has locked or open. After an operation has failed, the next ones wait for
// shortTimeout only, so that the window does not stop for two seconds each time.
const (
	lockTimeout  = 2 * time.Second
	shortTimeout = 100 * time.Millisecond
	lockPause    = 50 * time.Millisecond // between two attempts to open the file, if the system refuses that
)

// ErrHeld is the error for a file that another program keeps locked or open.
var ErrHeld = errors.New("another program uses the file and does not let go of it: close it there")

// guarded calls do, which reads a mapped file. It returns panics as errors: the fault of a page that cannot be read,
// and bbolt's assertions about damaged files, are *damage. After an error, bbolt's mutexes may still be locked: the
// caller must not use the database again.
func guarded(do func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		switch r := recover().(type) {
		case nil:
		case interface {
			runtime.Error
			Addr() uintptr
		}:
			err = &damage{fmt.Errorf("the mapped file could not be read: %w", r), true}
		default:
			err = damagef("%v", r)
		}
	}()
	return do()
}

// open checks the file, opens it, calls do and closes it. If the file does not exist, the error is fs.ErrNotExist. The
// file is locked meanwhile: for several readers, or for one writer.
func (s *Store) open(readOnly bool, do func(*bbolt.DB) error) error {
	if err := s.checkKind(); err != nil {
		return err
	}
	// When bbolt opens a file for reading, it reads only the meta pages, so check can read the rest under the same
	// lock. Before the second lock another window may write, but it has checked the file too, and leaves it valid.
	if err := s.lock(true, func(db *bbolt.DB, file *os.File) error {
		info, err := file.Stat()
		if err == nil {
			err = check(file, info.Size())
		}
		if err == nil && readOnly {
			err = do(db)
		}
		return err
	}); err != nil || readOnly {
		return err
	}
	return s.lock(false, func(db *bbolt.DB, _ *os.File) error { return do(db) })
}

// checkKind returns a *damage if the store's path is not a regular file, because opening a pipe, for example, would not
// return.
func (s *Store) checkKind() error {
	info, err := os.Stat(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		if _, link := os.Lstat(s.path); link == nil {
			return damagef("found a link to a missing file")
		}
	}
	switch {
	case err != nil:
		return err
	case info.IsDir():
		return damagef("found a folder, want a file")
	case !info.Mode().IsRegular():
		return damagef("found a device or pipe, want a file")
	case info.Size() < minStoreBytes:
		return damagef("found %d bytes, want at least %d", info.Size(), minStoreBytes)
	}
	return nil
}

// minStoreBytes is less than the four pages of an empty store. Smaller files are refused because bbolt initialises a
// file of 0 bytes as a new database.
const minStoreBytes = 2048

// lock opens and locks the file, calls do and closes the file. It returns ErrHeld if that takes longer than the
// timeout.
func (s *Store) lock(readOnly bool, do func(*bbolt.DB, *os.File) error) error {
	timeout := s.timeout()
	deadline := time.Now().Add(timeout)
	var file *os.File
	options := &bbolt.Options{Timeout: timeout, ReadOnly: readOnly, NoStatistics: true}
	options.OpenFile = func(name string, flag int, perm os.FileMode) (_ *os.File, err error) {
		for {
			file, err = s.openFile(name, flag&^os.O_CREATE, perm)
			if err == nil || !isHeld(err) || time.Until(deadline) < lockPause {
				return file, err
			}
			time.Sleep(lockPause)
		}
	}
	done := false
	err := guarded(func() error {
		db, err := bbolt.Open(s.path, 0o644, options)
		if err == nil {
			err = errors.Join(do(db, file), db.Close())
		}
		done = true
		return err
	})
	if !done && file != nil {
		release(file) // not db.Close, which could wait for ever for a locked mutex
	}
	switch {
	case errors.Is(err, bbolterrors.ErrTimeout) || isHeld(err):
		return ErrHeld
	case err != nil && strings.Contains(err.Error(), "file size too small"): // bbolt has no error value for this
		return &damage{error: err}
	}
	return err
}
