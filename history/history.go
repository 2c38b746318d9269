// Package history remembers the pictures that were made. An entry says where a picture lies and how it was made; the
// pictures themselves are files of the user's. In: entries of finished, written pictures. Out: all of them, newest
// first, and their thumbnails; and where reference pictures lie. It knows nothing of windows.
//
// The store is a file that several windows share: it is opened, and locked, only for the length of one operation. An
// operation that returned is on the disk; one that was killed did not happen.
package history

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"

	"kleinbild/inference/picture"
)

// Entry is one picture.
type Entry struct {
	ID      uint64        `json:"-"` // counts up; 0 before it was added
	Path    string        `json:"path"`
	Made    time.Time     `json:"made"`
	Took    time.Duration `json:"took"`
	Work    float64       `json:"work"` // the engine's estimate of the arithmetic, in multiply-adds
	Picture picture.Metadata
}

// MarshalJSON adds the bytes of a path that is not UTF-8, of which JSON keeps U+FFFD only.
func (e Entry) MarshalJSON() ([]byte, error) {
	type plain Entry
	return json.Marshal(struct {
		plain
		PathBytes []byte `json:"path_base64,omitempty"`
	}{plain(e), picture.PathBytes(e.Path)})
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (e *Entry) UnmarshalJSON(text []byte) error {
	type plain Entry
	read := struct {
		*plain
		PathBytes []byte `json:"path_base64"`
	}{plain: (*plain)(e)}
	err := json.Unmarshal(text, &read)
	if err == nil && len(read.PathBytes) > 0 {
		e.Path = string(read.PathBytes)
	}
	return err
}

// Matches says whether every word of query occurs in the prompt, in any case.
func (e Entry) Matches(query string) bool {
	prompt := strings.ToLower(e.Picture.Prompt)
	for word := range strings.FieldsSeq(strings.ToLower(query)) {
		if !strings.Contains(prompt, word) {
			return false
		}
	}
	return true
}

// Store is a history on the disk.
type Store struct{ path string }

var bucket = []byte("pictures")

// lockTimeout is how long an operation waits for another window's.
const lockTimeout = 5 * time.Second

// Open prepares the store at path, making folder and file where they are not there. A file that is no store is set
// aside under another name, which aside then says: the pictures it named are still there.
func Open(path string) (s *Store, aside string, err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, "", fmt.Errorf("history: %w", err)
	}
	s = &Store{path}
	err = s.prepare()
	if damaged(err) {
		aside = fmt.Sprintf("%s.damaged-%d", path, time.Now().Unix())
		if err := os.Rename(path, aside); err != nil {
			return nil, "", fmt.Errorf("history: %w", err)
		}
		err = s.prepare()
	}
	if err != nil {
		return nil, "", err
	}
	return s, aside, nil
}

// damaged tells a file that is no store from one that cannot be reached.
func damaged(err error) bool {
	var path *fs.PathError
	return err != nil && !errors.Is(err, bbolterrors.ErrTimeout) && !errors.As(err, &path)
}

func (s *Store) prepare() error {
	return s.update(func(b *bbolt.Bucket) error {
		_, err := entries(b)
		return err
	})
}

// update runs a transaction. A file that is damaged in the middle makes bbolt panic, which is an error here.
func (s *Store) update(do func(*bbolt.Bucket) error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("history: %s: %v", s.path, r)
		}
	}()
	db, err := bbolt.Open(s.path, 0o644, &bbolt.Options{Timeout: lockTimeout})
	if err != nil {
		return fmt.Errorf("history: %s: %w", s.path, err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	err = db.Update(func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucketIfNotExists(bucket)
		if err != nil {
			return err
		}
		return do(b)
	})
	if err != nil {
		return fmt.Errorf("history: %s: %w", s.path, err)
	}
	return nil
}

// view runs a reading transaction; several windows may be in one at a time.
func (s *Store) view(do func(*bbolt.Bucket) error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("history: %s: %v", s.path, r)
		}
	}()
	db, err := bbolt.Open(s.path, 0o644, &bbolt.Options{Timeout: lockTimeout, ReadOnly: true})
	if err != nil {
		return fmt.Errorf("history: %s: %w", s.path, err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return db.View(func(tx *bbolt.Tx) error {
		b := tx.Bucket(bucket)
		if b == nil {
			return nil
		}
		return do(b)
	})
}

// Add stores a finished picture and returns the entry with its ID.
func (s *Store) Add(e Entry) (Entry, error) {
	err := s.update(func(b *bbolt.Bucket) error {
		id, err := b.NextSequence()
		if err != nil {
			return err
		}
		value, err := json.Marshal(e)
		if err != nil {
			return err
		}
		e.ID = id
		if err := remember(b.Tx(), e.Picture.References, time.Now()); err != nil {
			return err
		}
		return b.Put(key(id), value)
	})
	return e, err
}

// Restore puts an entry that was removed back to its place.
func (s *Store) Restore(e Entry) error {
	value, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("history: %w", err)
	}
	return s.update(func(b *bbolt.Bucket) error { return b.Put(key(e.ID), value) })
}

// Remove forgets an entry; the picture stays. An entry that is not there is no error: another window was faster.
func (s *Store) Remove(id uint64) error {
	return s.update(func(b *bbolt.Bucket) error { return b.Delete(key(id)) })
}

// List returns all entries, newest first.
func (s *Store) List() (list []Entry, err error) {
	err = s.view(func(b *bbolt.Bucket) error {
		list, err = entries(b)
		return err
	})
	return list, err
}

func entries(b *bbolt.Bucket) (list []Entry, err error) {
	err = b.ForEach(func(k, v []byte) error {
		var e Entry
		if len(k) != 8 {
			return fmt.Errorf("a key of %d bytes, want 8", len(k))
		}
		if err := json.Unmarshal(v, &e); err != nil {
			return err
		}
		e.ID = binary.BigEndian.Uint64(k)
		list = append(list, e)
		return nil
	})
	slices.Reverse(list)
	return list, err
}

func key(id uint64) []byte { return binary.BigEndian.AppendUint64(nil, id) }

// Version changes when any window has changed the store; it is cheap to ask.
func (s *Store) Version() string {
	info, err := os.Stat(s.path)
	if err != nil {
		return ""
	}
	return fmt.Sprint(info.Size(), info.ModTime().UnixNano())
}
