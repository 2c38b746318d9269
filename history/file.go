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

// How long an operation waits until another program lets go of the file. While the file is known to be held, what is
// asked for goes beside it at once, and the next try comes soon.
const (
	lockTimeout  = 2 * time.Second
	shortTimeout = 100 * time.Millisecond
	lockPause    = 50 * time.Millisecond // between two tries where the system allows not even opening it
)

// ErrHeld is wrapped by the error for a file that another program does not let go of.
var ErrHeld = errors.New("another program uses the file and does not let go of it: close it there")

// guarded calls do, which reads a mapped file. What a damaged one brings about, a page that cannot be read or one of
// bbolt's assertions, is an error. bbolt's locks may be held afterwards: its database is not to be used again.
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

// open calls do with the database, which it has checked, and closes it. Where there is no file, the error is
// fs.ErrNotExist. The lock is held meanwhile: shared by readers, or by one writer alone.
func (s *Store) open(readOnly bool, do func(*bbolt.DB) error) error {
	if err := s.look(); err != nil {
		return err
	}
	// A reading bbolt looks at nothing but the metas: under its lock the rest can be checked. Those that write in
	// between have checked it as well, and leave it whole.
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

// look says what else than a file has the store's name: opening a pipe, say, would not return.
func (s *Store) look() error {
	info, err := os.Stat(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		if _, link := os.Lstat(s.path); link == nil {
			return damagef("found a link that leads nowhere")
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

// minStoreBytes is less than the four pages of an empty store. bbolt takes a file of 0 bytes for one that it is to
// make.
const minStoreBytes = 2048

// lock opens the file under its lock, calls do and closes it.
func (s *Store) lock(readOnly bool, do func(*bbolt.DB, *os.File) error) error {
	patience := s.patience()
	deadline := time.Now().Add(patience)
	var file *os.File
	options := &bbolt.Options{Timeout: patience, ReadOnly: readOnly, NoStatistics: true}
	options.OpenFile = func(name string, flag int, perm os.FileMode) (_ *os.File, err error) {
		for {
			file, err = s.openFile(name, flag&^os.O_CREATE, perm)
			if err == nil || !held(err) || time.Until(deadline) < lockPause {
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
		release(file) // bbolt's own Close may wait for ever now
	}
	switch {
	case errors.Is(err, bbolterrors.ErrTimeout) || held(err):
		return ErrHeld
	case err != nil && strings.Contains(err.Error(), "file size too small"): // bbolt has no name for it
		return &damage{error: err}
	}
	return err
}
