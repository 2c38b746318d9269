// Package history remembers the pictures that were made. An entry says where a picture lies and how it was made; the
// pictures themselves are files of the user's. In: entries of finished, written pictures. Out: all of them, newest
// first, and their thumbnails; and where reference pictures lie. It knows nothing of windows.
//
// The store is a file that several windows share: it is opened, and locked, only for the length of one operation. An
// operation that returned is on the disk; one that was killed did not happen. A file that is damaged, at the start or
// while it is in use, is set aside, and what could be read of it goes on. Where the file cannot be written, because
// another program holds it or the disk is full, what is added waits beside it (waiting.go).
package history

import (
	"cmp"
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
	}{plain(e.sane()), picture.PathBytes(e.Path)})
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
	*e = e.sane()
	return err
}

// sane returns e without values that no picture has, which a clock or a damaged file may bring about, and that JSON
// cannot hold or a window would show.
func (e Entry) sane() Entry {
	if year := e.Made.Year(); year < 0 || year > 9999 {
		e.Made = time.Time{}
	}
	if e.Took = max(e.Took, 0); !(e.Work >= 0) || math.IsInf(e.Work, 0) {
		e.Work = 0
	}
	return e
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
type Store struct {
	path string
	tell func(News)
	// Other than os.OpenFile and lockTimeout in tests only.
	openFile func(name string, flag int, perm fs.FileMode) (*os.File, error)
	wait     time.Duration

	mu          sync.Mutex
	trouble     error             // why the file could not be reached or written last
	last        []Entry           // as it was read last
	loose       []waiting         // entries that wait and could not be written anywhere
	lastWaiting uint64            // counts entries that wait
	moved       map[uint64]uint64 // the IDs of entries that waited → those they got
}

// News is what became of a store that a user is to be told, each piece once.
type News struct {
	// Aside is the name that the damaged file has now, "" for none. Rescued entries of it are in the new one.
	Aside   string
	Rescued int
	// Err says why the store cannot be reached or written at present. What is added waits, and each later operation
	// tries again.
	Err error
	// Back says that the store can be written again, and Entered how many entries have waited.
	Back    bool
	Entered int
}

var bucket = []byte("pictures")

// At returns the store at path without touching it; each operation opens it. tell hears its news on the goroutine of
// the operation. It may be nil: a damaged file is then left as it is, and an operation on it fails.
func At(path string, tell func(News)) *Store {
	return &Store{path: path, tell: tell, openFile: os.OpenFile, wait: lockTimeout, moved: map[uint64]uint64{}}
}

// Prepare makes what is not there, looks at all entries and enters what waits. The news say what is wrong.
func (s *Store) Prepare() {
	if s.update(func(b *bbolt.Bucket) error {
		_, err := entries(b)
		return err
	}) == nil {
		s.keepSpare() // once a start: on a disk that stays full it would come and go with each entry
	}
}

// Retry enters what waits, and finds out whether a store that could not be written can be now. It does nothing
// otherwise, and may be called often, though on no goroutine that must not wait.
func (s *Store) Retry() {
	s.mu.Lock()
	trouble := s.trouble
	s.mu.Unlock()
	if trouble != nil || len(s.pending()) > 0 {
		_ = s.update(func(*bbolt.Bucket) error { return nil })
	}
}

// say tells news.
func (s *Store) say(n News) {
	if s.tell != nil {
		s.tell(n)
	}
}

// failed notes that the store cannot be reached, and says so once.
func (s *Store) failed(err error) {
	s.mu.Lock()
	known := s.trouble != nil
	s.trouble = err
	s.mu.Unlock()
	if !known {
		s.say(News{Err: err})
	}
}

// patience is how long the next operation waits for the file.
func (s *Store) patience() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.trouble != nil {
		return min(shortTimeout, s.wait)
	}
	return s.wait
}

// maxTries is how often an operation is begun: a file that is missing is made and a damaged one repaired, each of which
// may be another window's work.
const maxTries = 4

// run calls do with the open database, after it has made or repaired the file where that is needed. do may be called
// more than once. A missing file has nothing to read.
func (s *Store) run(readOnly bool, do func(*bbolt.DB) error) (err error) {
	met := false // damage, by this operation
	for range maxTries {
		err = s.open(readOnly, do)
		d := damageOf(err)
		switch {
		case err == nil:
			return nil
		case d != nil && s.tell != nil:
			err = s.repair(d, met)
			met = true
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
	return s.wrap(errors.New("the file is damaged again and again"))
}

func (s *Store) wrap(err error) error { return fmt.Errorf("history: %s: %w", s.path, err) }

// update runs a transaction, and in front of it what waits is entered. Its error was told.
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
		if err == nil { // the lock is still held: no other window enters them as well
			s.entered(list, ids)
		}
		return err
	})
	if err != nil {
		s.failed(err)
		return err
	}
	s.mu.Lock()
	back := s.trouble != nil
	s.trouble = nil
	s.mu.Unlock()
	if back || count > 0 {
		s.say(News{Back: true, Entered: count})
	}
	return nil
}

// view runs a reading transaction; several windows may be in one at a time.
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

// Add stores a finished picture and returns the entry with its ID. Where the store cannot be written, the entry waits:
// it is in List, and gets another ID when it is entered.
func (s *Store) Add(e Entry) Entry {
	err := s.update(func(b *bbolt.Bucket) error {
		id, err := nextID(b)
		if err != nil {
			return err
		}
		e.ID = id
		if err := remember(b.Tx(), e.Picture.References, time.Now()); err != nil {
			return err
		}
		return putEntry(b, id, e)
	})
	if err != nil {
		return s.postpone(e, 0)
	}
	return e
}

// nextID returns an ID above all others, whatever became of the bucket's count.
func nextID(b *bbolt.Bucket) (id uint64, err error) {
	if last, _ := b.Cursor().Last(); len(last) == 8 && binary.BigEndian.Uint64(last) > b.Sequence() {
		if err := b.SetSequence(binary.BigEndian.Uint64(last)); err != nil {
			return 0, err
		}
	}
	return b.NextSequence()
}

// Restore puts an entry that was removed back to its place, at once or when the store can be written.
func (s *Store) Restore(e Entry) {
	e.ID = s.idNow(e.ID)
	if e.ID >= waitingID {
		s.postpone(e, 0)
		s.Retry()
		return
	}
	if s.update(func(b *bbolt.Bucket) error { return putEntry(b, e.ID, e) }) != nil {
		s.postpone(e, e.ID)
	}
}

// Remove forgets an entry; the picture stays. An entry that is not there is no error: another window was faster.
func (s *Store) Remove(id uint64) error {
	if found, err := s.drop(id); found {
		return err
	}
	id = s.idNow(id)
	return s.update(func(b *bbolt.Bucket) error { return b.Delete(key(id)) })
}

// idNow returns the ID of an entry that may have waited when its ID was read.
func (s *Store) idNow(id uint64) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now, ok := s.moved[id]; ok {
		return now
	}
	return id
}

// List returns all entries, newest first, with those that wait. Where the file cannot be reached, the others are as
// they were read last.
func (s *Store) List() []Entry {
	var list []Entry
	err := s.view(func(b *bbolt.Bucket) (err error) {
		list, err = entries(b)
		return err
	})
	if err != nil {
		s.failed(err)
	}
	s.mu.Lock()
	if err == nil {
		s.last = list
	}
	list = slices.Clone(s.last)
	s.mu.Unlock()
	stored := list
	for _, w := range s.pending() {
		if w.Entry.ID = w.shownID(); w.in(stored) < 0 {
			list = append(list, w.Entry)
		}
	}
	slices.SortStableFunc(list, func(a, b Entry) int { return cmp.Compare(b.ID, a.ID) })
	return list
}

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
			return damagef("entry %d", e.ID)
		}
		list = append(list, e)
		return nil
	})
	slices.Reverse(list)
	return list, err
}

func key(id uint64) []byte { return binary.BigEndian.AppendUint64(nil, id) }

// Version changes when any window has changed the store or what waits beside it; it is cheap to ask.
func (s *Store) Version() string {
	version := ""
	for _, path := range []string{s.path, s.waitingDir()} {
		if info, err := os.Stat(path); err == nil {
			version += fmt.Sprint(info.Size(), info.ModTime().UnixNano(), ";")
		}
	}
	return version
}
