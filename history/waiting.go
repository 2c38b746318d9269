package history

import (
	"cmp"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"go.etcd.io/bbolt"

	"kleinbild/atomicfile"
)

// waiting is an entry that could not be written into the store. It lies in a file of its own, in a folder beside the
// store, until this window or another one can write the store. The file's name is the entry's ID; IDs count up, so that
// entries go into the store in the order in which they were added, whatever the clock says.
type waiting struct {
	id    uint64
	file  string // "" where not even the file could be written: the program holds it until one can
	Entry Entry  `json:"entry"`
	Was   uint64 `json:"was,omitempty"` // the ID it had and is to have again, 0 for a new one
}

// waitingID is the least ID of those that wait: 1 in front, then a number that counts up, then chance, so that two
// windows do not meet.
const (
	waitingID     = uint64(1) << 63
	waitingChance = 20 // bits
)

// spareBytes are kept in a file beside the store: where the disk is full, deleting it makes place for what waits.
const spareBytes = 1 << 20

func (s *Store) waitingDir() string { return s.path + ".waiting" }
func (s *Store) sparePath() string  { return s.path + ".spare" }

// shownID is the ID that the entry has in lists.
func (w waiting) shownID() uint64 {
	if w.Was != 0 {
		return w.Was
	}
	return w.id
}

// pending returns what waits, in its order.
func (s *Store) pending() (list []waiting) {
	files, _ := os.ReadDir(s.waitingDir()) // there is none, mostly
	for _, f := range files {
		name, isEntry := strings.CutSuffix(f.Name(), ".json")
		id, err := strconv.ParseUint(name, 10, 64)
		if !isEntry || err != nil || id < waitingID || len(list) == maxWaiting {
			continue
		}
		w := waiting{id: id, file: filepath.Join(s.waitingDir(), f.Name())}
		switch err := w.read(); {
		case errors.Is(err, errNoEntry):
			_, _ = atomicfile.SetAside(w.file)
		case err == nil:
			list = append(list, w)
		}
	}
	s.mu.Lock()
	list = append(list, s.loose...)
	s.mu.Unlock()
	slices.SortStableFunc(list, func(a, b waiting) int { return cmp.Compare(a.id, b.id) })
	return list
}

// errNoEntry says that a file holds something else.
var errNoEntry = errors.New("found no entry")

func (w *waiting) read() error {
	text, err := atomicfile.Read(w.file, maxWaitingBytes)
	var system *fs.PathError
	switch {
	case errors.As(err, &system):
		return err
	case err != nil:
		return errNoEntry
	}
	if json.Unmarshal(text, w) != nil || w.Entry.Path == "" || w.Was >= waitingID {
		return errNoEntry
	}
	return nil
}

// postpone keeps an entry until the store can be written. was is the ID that it is to have, 0 for a new one.
func (s *Store) postpone(e Entry, was uint64) Entry {
	w := waiting{Entry: e, Was: was}
	others := s.pending()
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(others); n > 0 {
		s.lastWaiting = max(s.lastWaiting, (others[n-1].id-waitingID)>>waitingChance)
	}
	s.lastWaiting++
	for range 3 {
		w.id = waitingID | s.lastWaiting<<waitingChance | mathrand.Uint64N(1<<waitingChance)
		if err := s.writeWaiting(&w); !errors.Is(err, fs.ErrExist) {
			break
		}
	}
	if w.file == "" {
		s.loose = append(s.loose, w)
	}
	w.Entry.ID = w.shownID()
	return w.Entry
}

// writeWaiting writes the file of an entry that waits.
func (s *Store) writeWaiting(w *waiting) error {
	text, err := json.Marshal(w)
	if err != nil {
		return err
	}
	path := filepath.Join(s.waitingDir(), fmt.Sprintf("%020d.json", w.id))
	write := func() error {
		if err := os.MkdirAll(s.waitingDir(), 0o755); err != nil {
			return err
		}
		file, err := atomicfile.Create(path, storePerm)
		if err != nil {
			return err
		}
		defer file.Discard()
		if _, err := file.Write(text); err != nil {
			return err
		}
		return file.Claim(path)
	}
	if err = write(); err != nil && !errors.Is(err, fs.ErrExist) && os.Remove(s.sparePath()) == nil {
		err = write()
	}
	if err == nil {
		w.file = path
	}
	return err
}

// Settle writes down what the program alone holds: it is about to end.
func (s *Store) Settle() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.loose = slices.DeleteFunc(s.loose, func(w waiting) bool { return s.writeWaiting(&w) == nil })
}

// enter writes what waits into the store. It returns the IDs that it has got, and how many entries are new: what a
// window entered and was killed before it could forget it is there already.
func enter(b *bbolt.Bucket, list []waiting) (ids map[uint64]uint64, fresh int, err error) {
	if len(list) == 0 {
		return nil, 0, nil
	}
	stored, err := entries(b)
	if err != nil {
		return nil, 0, err
	}
	ids = map[uint64]uint64{}
	for _, w := range list {
		if i := w.in(stored); i >= 0 {
			ids[w.id] = stored[i].ID
			continue
		}
		id := w.Was
		if id == 0 || b.Get(key(id)) != nil {
			if id, err = nextID(b); err != nil {
				return nil, 0, err
			}
		}
		if err := putEntry(b, id, w.Entry); err != nil {
			return nil, 0, err
		}
		if err := remember(b.Tx(), w.Entry.Picture.References, w.Entry.Made); err != nil {
			return nil, 0, err
		}
		ids[w.id] = id
		fresh++
	}
	return ids, fresh, nil
}

// in returns the place of the same picture's entry, -1 for none.
func (w waiting) in(list []Entry) int {
	return slices.IndexFunc(list, func(e Entry) bool { return e.Path == w.Entry.Path && e.Made.Equal(w.Entry.Made) })
}

// entered forgets what is in the store now.
func (s *Store) entered(list []waiting, ids map[uint64]uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range list {
		if w.file != "" {
			_ = os.Remove(w.file)
		}
		if w.Was == 0 {
			s.moved[w.id] = ids[w.id]
		}
	}
	s.loose = slices.DeleteFunc(s.loose, func(w waiting) bool { return ids[w.id] != 0 })
}

// drop takes an entry out of those that wait; found says that it was there.
func (s *Store) drop(id uint64) (found bool, err error) {
	for _, w := range s.pending() {
		if w.shownID() != id {
			continue
		}
		if w.file != "" {
			return true, os.Remove(w.file)
		}
		s.mu.Lock()
		s.loose = slices.DeleteFunc(s.loose, func(other waiting) bool { return other.id == w.id })
		s.mu.Unlock()
		return true, nil
	}
	return false, nil
}

// keepSpare makes the spare file where it is not there.
func (s *Store) keepSpare() {
	if _, err := os.Lstat(s.sparePath()); errors.Is(err, fs.ErrNotExist) {
		block := make([]byte, spareBytes)
		_, _ = rand.Read(block) // which no file system makes smaller
		_ = atomicfile.Write(s.sparePath(), block, storePerm)
	}
}
