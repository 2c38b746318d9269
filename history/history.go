// Package history stores entries for the pictures that were made. An entry contains a picture's path and how the
// picture was made; the picture is a file of the user's. Store.List returns all entries, newest first, Thumbnails makes
// small pictures, and Store.FindReference finds the reference pictures of an entry. The user can star entries and file
// them in folders (Store.Change, Store.PutFolder); Lineage says which pictures came of which.
//
// The store is a bbolt file that several windows share. Each operation opens and locks the file, and closes it at its
// end. After an operation has returned, its change is on the disk; after a crash within an operation, the file is as
// before. If the file is damaged, at the start or later, it is renamed, and a new file gets the entries that can be
// read (rescue.go). If the file cannot be written, because another program has it open or the disk is full, new entries
// wait in files beside it (waiting.go).
package history

import (
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"go.etcd.io/bbolt"

	"github.com/kleinbild/kleinbild/inference/picture"
)

// Entry is one picture.
type Entry struct {
	ID      uint64        `json:"-"` // increases from entry to entry; 0 before Add
	Path    string        `json:"path"`
	Made    time.Time     `json:"made"`
	Took    time.Duration `json:"took"`
	Work    float64       `json:"work"` // the engine's estimate of the arithmetic, in multiply-adds
	Picture picture.Metadata
	SHA256  string   `json:"sha256,omitempty"`  // of the picture's file, in hexadecimal; "" if an earlier version added it
	Starred bool     `json:"starred,omitempty"` // by the user
	Batch   uint64   `json:"batch,omitempty"`   // the same for all pictures that were asked for at once, 0 for one alone
	Folders []uint64 `json:"folders,omitempty"` // that the user filed it in: see Folder
	// Composed are the pictures that the references were composed of, if they were; a reference lies in no other file.
	Composed []picture.ReferenceFile `json:"composed,omitempty"`
	// Enlarged is the picture of which this one is an enlargement, nil for a picture that was made at its size.
	Enlarged *picture.ReferenceFile `json:"enlarged,omitempty"`
}

// Sources returns the files that the picture was made from. What an enlarged picture was made from is that which was
// enlarged: the references of its metadata are those of the latter.
func (e *Entry) Sources() []picture.ReferenceFile {
	if e.Enlarged != nil {
		return []picture.ReferenceFile{*e.Enlarged}
	}
	files := e.Picture.References
	return append(files[:len(files):len(files)], e.Composed...)
}

// files returns all files that the entry names by their digests.
func (e *Entry) files() []picture.ReferenceFile {
	files := append(e.Picture.Files(), e.Composed...)
	if e.Enlarged != nil {
		files = append(files, *e.Enlarged)
	}
	return files
}

// MarshalJSON adds the field path_base64 if the path is not UTF-8, because encoding/json would write U+FFFD for its
// other bytes.
func (e Entry) MarshalJSON() ([]byte, error) {
	type plain Entry
	return json.Marshal(struct {
		plain
		PathBytes []byte `json:"path_base64,omitempty"`
	}{plain(e.sane()), picture.PathBytes(e.Path)})
}

// UnmarshalJSON reads the format of MarshalJSON.
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
	*e = e.sane()
	return err
}

// sane returns e with impossible values set to zero: a year that JSON cannot represent, a negative duration, or an
// infinite, negative or NaN Work. A wrong clock or a damaged file can cause them.
func (e Entry) sane() Entry {
	if year := e.Made.Year(); year < 0 || year > 9999 {
		e.Made = time.Time{}
	}
	if e.Took = max(e.Took, 0); !(e.Work >= 0) || math.IsInf(e.Work, 0) {
		e.Work = 0
	}
	return e
}

// Search returns the entries of list whose prompts contain every word of query. Case does not matter.
func Search(list []Entry, query string) (found []Entry) {
	words := strings.Fields(strings.ToLower(query))
	if len(words) == 0 {
		return list
	}
	for i := range list {
		if containsAll(strings.ToLower(list[i].Picture.Prompt), words) {
			found = append(found, list[i])
		}
	}
	return found
}

func containsAll(text string, words []string) bool {
	for _, word := range words {
		if !strings.Contains(text, word) {
			return false
		}
	}
	return true
}

// Store is a history file. Its methods may be called on any goroutine.
type Store struct {
	path   string
	onNews func(News)
	// Tests replace os.OpenFile and lockTimeout here.
	openFile func(name string, flag int, perm fs.FileMode) (*os.File, error)
	wait     time.Duration

	mu          sync.Mutex
	lastErr     error             // the error of an update or a List, until an update succeeds
	last        []Entry           // the result of the last List that could read the file
	inMemory    []waiting         // waiting entries for which not even a file could be written
	lastWaiting uint64            // the number in the ID of the latest waiting entry
	newIDs      map[uint64]uint64 // from the IDs of entries that have waited to their IDs in the store
}

// News is an event of a store that the user should see. Each event is reported once.
type News struct {
	// Aside is the new name of a damaged file, or "". The new file has Rescued entries of the damaged one.
	Aside   string
	Rescued int
	// Err says why the store cannot be read or written. New entries wait, and each later operation tries again.
	Err error
	// Back is true if the store can be written again. Entered is the number of waiting entries that are now in it.
	Back    bool
	Entered int
}

var bucket = []byte("pictures")

// At returns the store at path. It does not open the file; each operation does. onNews is called on the goroutine of
// the operation. If onNews is nil, a damaged file is not repaired, and an operation on it fails.
func At(path string, onNews func(News)) *Store {
	return &Store{path: path, onNews: onNews, openFile: os.OpenFile, wait: lockTimeout, newIDs: map[uint64]uint64{}}
}

// Prepare creates the file and the spare file if they do not exist, reads all entries, and writes the waiting ones into
// the file. It reports errors to onNews.
func (s *Store) Prepare() {
	if s.update(func(b *bbolt.Bucket) error {
		_, err := entries(b)
		return err
	}) == nil {
		s.keepSpare() // not in each operation: on a full disk each entry would remove the spare file again
	}
}

// Retry writes the waiting entries into the store, and reports to onNews if a store that failed before can be written
// again. If no entries wait and no operation has failed, it does nothing. It can wait for the file's lock, so a user
// interface should call it on a goroutine of its own.
func (s *Store) Retry() {
	s.mu.Lock()
	lastErr := s.lastErr
	s.mu.Unlock()
	if lastErr != nil || len(s.pending()) > 0 {
		_ = s.update(func(*bbolt.Bucket) error { return nil })
	}
}

// notify passes n to onNews.
func (s *Store) notify(n News) {
	if s.onNews != nil {
		s.onNews(n)
	}
}

// recordError sets lastErr, and reports err to onNews if no error was recorded before.
func (s *Store) recordError(err error) {
	s.mu.Lock()
	known := s.lastErr != nil
	s.lastErr = err
	s.mu.Unlock()
	if !known {
		s.notify(News{Err: err})
	}
}

// timeout returns how long the next operation waits for the file's lock: shortTimeout if an error is recorded.
func (s *Store) timeout() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lastErr != nil {
		return min(shortTimeout, s.wait)
	}
	return s.wait
}

// maxTries bounds how often run opens the file. Each failed try creates or repairs it, and another window may do the
// same or damage it again.
const maxTries = 4

// run opens the database and calls do. If the file does not exist, a writing operation creates it, and a reading one
// returns nil without calling do. If the file is damaged, run repairs it. do may be called more than once.
func (s *Store) run(readOnly bool, do func(*bbolt.DB) error) (err error) {
	foundDamage := false
	for range maxTries {
		err = s.open(readOnly, do)
		d := damageOf(err)
		switch {
		case err == nil:
			return nil
		case d != nil && s.onNews != nil:
			err = s.repair(d, foundDamage)
			foundDamage = true
		case errors.Is(err, fs.ErrNotExist) && readOnly:
			return nil
		case errors.Is(err, fs.ErrNotExist):
			err = s.create()
		default:
			return s.wrap(err)
		}
		if err != nil {
			return s.wrap(err)
		}
	}
	return s.wrap(fmt.Errorf("the file is missing or damaged after %d attempts to repair it", maxTries))
}

func (s *Store) wrap(err error) error { return fmt.Errorf("history: %s: %w", s.path, err) }

// update runs a writing transaction: it writes the waiting entries and then calls do. It reports its error, and the end
// of an error, to onNews.
func (s *Store) update(do func(*bbolt.Bucket) error) error {
	count := 0
	err := s.run(false, func(db *bbolt.DB) error {
		list := s.pending()
		var ids map[uint64]uint64
		err := db.Update(func(tx *bbolt.Tx) error {
			b, err := tx.CreateBucketIfNotExists(bucket)
			if err != nil {
				return err
			}
			if ids, count, err = enter(b, list); err != nil {
				return err
			}
			return do(b)
		})
		if err == nil { // under the lock, so that no other window writes the same entries
			s.forgetEntered(list, ids)
		}
		return err
	})
	if err != nil {
		s.recordError(err)
		return err
	}
	s.mu.Lock()
	back := s.lastErr != nil
	s.lastErr = nil
	s.mu.Unlock()
	if back || count > 0 {
		s.notify(News{Back: true, Entered: count})
	}
	return nil
}

// view runs a reading transaction. Several windows can read at the same time.
func (s *Store) view(do func(*bbolt.Bucket) error) error {
	return s.run(true, func(db *bbolt.DB) error {
		return db.View(func(tx *bbolt.Tx) error {
			b := tx.Bucket(bucket)
			if b == nil {
				return nil
			}
			return do(b)
		})
	})
}

// Add stores an entry and returns it with its ID and the digest of its file, which Add reads if e has none. If the
// store cannot be written, the entry waits: List returns it, and it gets another ID when it is written into the store.
func (s *Store) Add(e Entry) Entry {
	if e.SHA256 == "" {
		e.SHA256, _ = fileDigest(context.Background(), e.Path) // without it the entry is known by its path
	}
	err := s.update(func(b *bbolt.Bucket) error {
		id, err := nextID(b)
		if err != nil {
			return err
		}
		e.ID = id
		if err := remember(b.Tx(), e.files(), time.Now()); err != nil {
			return err
		}
		return putEntry(b, id, e)
	})
	if err != nil {
		return s.postpone(e, 0)
	}
	return e
}

// nextID returns an ID that is higher than all others, also if the bucket's sequence number is too low.
func nextID(b *bbolt.Bucket) (id uint64, err error) {
	if last, _ := b.Cursor().Last(); len(last) == 8 && binary.BigEndian.Uint64(last) > b.Sequence() {
		if err := b.SetSequence(binary.BigEndian.Uint64(last)); err != nil {
			return 0, err
		}
	}
	return b.NextSequence()
}

// Restore stores removed entries again, with their old IDs. If the store cannot be written, they wait.
func (s *Store) Restore(removed ...Entry) {
	var stored []Entry
	for _, e := range removed {
		if e.ID = s.storeID(e.ID); e.ID < waitingID {
			stored = append(stored, e)
			continue
		}
		s.postpone(e, 0)
		s.Retry()
	}
	put := func(b *bbolt.Bucket) error {
		for _, e := range stored {
			if err := putEntry(b, e.ID, e); err != nil {
				return err
			}
		}
		return nil
	}
	if len(stored) > 0 && s.update(put) != nil {
		for _, e := range stored {
			s.postpone(e, e.ID)
		}
	}
}

// Remove removes entries, but not their pictures. Entries that do not exist are no error, because another window may
// have removed them.
func (s *Store) Remove(ids ...uint64) error {
	var errs []error
	var stored []uint64
	for _, id := range ids {
		if found, err := s.removeWaiting(id); found {
			errs = append(errs, err)
		} else {
			stored = append(stored, s.storeID(id))
		}
	}
	if len(stored) > 0 {
		errs = append(errs, s.update(func(b *bbolt.Bucket) error {
			for _, id := range stored {
				if err := b.Delete(key(id)); err != nil {
					return err
				}
			}
			return nil
		}))
	}
	return errors.Join(errs...)
}

// storeID returns the ID in the store of an entry that had the given ID while it waited. It returns other IDs
// unchanged.
func (s *Store) storeID(id uint64) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if newID, ok := s.newIDs[id]; ok {
		return newID
	}
	return id
}

// List returns all entries, newest first, and the waiting ones among them. If the file cannot be read, it returns the
// stored entries of the last List that could read it.
func (s *Store) List() []Entry {
	var list []Entry
	err := s.view(func(b *bbolt.Bucket) (err error) {
		list, err = entries(b)
		return err
	})
	if err != nil {
		s.recordError(err)
	}
	s.mu.Lock()
	if err == nil {
		s.last = list
	}
	list = slices.Clone(s.last)
	s.mu.Unlock()
	stored := list
	for _, w := range s.pending() {
		if w.Entry.ID = w.shownID(); w.indexIn(stored) < 0 {
			list = append(list, w.Entry)
		}
	}
	slices.SortStableFunc(list, func(a, b Entry) int { return cmp.Compare(b.ID, a.ID) })
	return list
}

// entries returns all entries of a bucket, newest first.
func entries(b *bbolt.Bucket) (list []Entry, err error) {
	if b == nil {
		return nil, nil
	}
	err = b.ForEach(func(k, v []byte) error {
		var e Entry
		if len(k) != 8 {
			return damagef("a key of %d bytes, want 8", len(k))
		}
		if err := json.Unmarshal(v, &e); err != nil {
			return &damage{error: err}
		}
		if e.ID = binary.BigEndian.Uint64(k); e.ID > maxID {
			return damagef("found the entry ID %d, want at most %d", e.ID, maxID)
		}
		list = append(list, e)
		return nil
	})
	slices.Reverse(list)
	return list, err
}

func key(id uint64) []byte { return binary.BigEndian.AppendUint64(nil, id) }

// Version returns a string that changes whenever a window changes the store or its waiting entries. It calls os.Stat
// twice and does not open the store.
func (s *Store) Version() string {
	version := ""
	for _, path := range []string{s.path, s.waitingDir()} {
		if info, err := os.Stat(path); err == nil {
			version += fmt.Sprint(info.Size(), info.ModTime().UnixNano(), ";")
		}
	}
	return version
}
