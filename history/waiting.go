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

	"github.com/kleinbild/kleinbild/atomicfile"
)

// waiting is an entry that could not be written into the store. It is in a file in a folder beside the store until this
// window or another one can write the store. The file's name is the entry's ID. IDs increase, so that entries go into
// the store in the order in which they were added, also if the clock is set back.
type waiting struct {
	id    uint64
	file  string // "" if the file could not be written: the entry is then in Store.inMemory
	Entry Entry  `json:"entry"`
	OldID uint64 `json:"was,omitempty"` // the ID of a removed entry that is restored, 0 for a new entry
}

// waitingID is the lowest ID of a waiting entry. The highest bit of such an ID is 1; then follow a number that
// increases and random bits, so that two windows do not choose the same ID.
const (
	waitingID         = uint64(1) << 63
	waitingRandomBits = 20 // bits
)

// spareBytes is the size of a spare file beside the store. If the disk is full, removing it frees space for waiting
// entries.
const spareBytes = 1 << 20

func (s *Store) waitingDir() string { return s.path + ".waiting" }
func (s *Store) sparePath() string  { return s.path + ".spare" }

// shownID returns the ID that List gives to the entry.
func (w waiting) shownID() uint64 {
	if w.OldID != 0 {
		return w.OldID
	}
	return w.id
}

// pending returns the waiting entries in the order in which they were added. It renames files that contain no entry.
func (s *Store) pending() (list []waiting) {
	files, _ := os.ReadDir(s.waitingDir()) // the folder exists only once an entry has waited
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
	list = append(list, s.inMemory...)
	s.mu.Unlock()
	slices.SortStableFunc(list, func(a, b waiting) int { return cmp.Compare(a.id, b.id) })
	return list
}

// errNoEntry is the error for a file that does not contain a waiting entry.
var errNoEntry = errors.New("found no entry")

// read reads w.file. The error is errNoEntry, or the system's *fs.PathError.
func (w *waiting) read() error {
	text, err := atomicfile.Read(w.file, maxWaitingBytes)
	var system *fs.PathError
	switch {
	case errors.As(err, &system):
		return err
	case err != nil:
		return errNoEntry
	}
	if json.Unmarshal(text, w) != nil || w.Entry.Path == "" || w.OldID >= waitingID {
		return errNoEntry
	}
	return nil
}

// postpone lets an entry wait, in a file or else in memory, until the store can be written. oldID is the ID that the
// entry must get in the store, or 0 for a new one. It returns the entry with the ID that List shows.
func (s *Store) postpone(e Entry, oldID uint64) Entry {
	w := waiting{Entry: e, OldID: oldID}
	others := s.pending()
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(others); n > 0 {
		s.lastWaiting = max(s.lastWaiting, (others[n-1].id-waitingID)>>waitingRandomBits)
	}
	s.lastWaiting++
	for range 3 {
		w.id = waitingID | s.lastWaiting<<waitingRandomBits | mathrand.Uint64N(1<<waitingRandomBits)
		if err := s.writeWaiting(&w); !errors.Is(err, fs.ErrExist) {
			break
		}
	}
	if w.file == "" {
		s.inMemory = append(s.inMemory, w)
	}
	w.Entry.ID = w.shownID()
	return w.Entry
}

// writeWaiting writes the file of a waiting entry and sets w.file. If that fails, it removes the spare file and tries
// again. If the file exists, the error wraps fs.ErrExist.
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

// Settle writes files for the waiting entries that are only in memory. The program calls it before it ends.
func (s *Store) Settle() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inMemory = slices.DeleteFunc(s.inMemory, func(w waiting) bool { return s.writeWaiting(&w) == nil })
}

// enter writes waiting entries into the store. It returns the IDs that they have in the store, by their waiting IDs,
// and the number of entries added. Entries that the store already contains are not added: a window may have been killed
// after writing them and before removing their files.
func enter(b *bbolt.Bucket, list []waiting) (ids map[uint64]uint64, added int, err error) {
	if len(list) == 0 {
		return nil, 0, nil
	}
	stored, err := entries(b)
	if err != nil {
		return nil, 0, err
	}
	ids = map[uint64]uint64{}
	for _, w := range list {
		if i := w.indexIn(stored); i >= 0 {
			ids[w.id] = stored[i].ID
			continue
		}
		id := w.OldID
		if id == 0 || b.Get(key(id)) != nil {
			if id, err = nextID(b); err != nil {
				return nil, 0, err
			}
		}
		if err := putEntry(b, id, w.Entry); err != nil {
			return nil, 0, err
		}
		if err := remember(b.Tx(), w.Entry.files(), w.Entry.Made); err != nil {
			return nil, 0, err
		}
		ids[w.id] = id
		added++
	}
	return ids, added, nil
}

// indexIn returns the index of the entry in list with the same path and time as w's, or -1.
func (w waiting) indexIn(list []Entry) int {
	return slices.IndexFunc(list, func(e Entry) bool { return e.Path == w.Entry.Path && e.Made.Equal(w.Entry.Made) })
}

// forgetEntered removes the files of entries that are in the store now, and remembers their new IDs.
func (s *Store) forgetEntered(list []waiting, ids map[uint64]uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range list {
		if w.file != "" {
			_ = os.Remove(w.file)
		}
		if w.OldID == 0 {
			s.newIDs[w.id] = ids[w.id]
		}
	}
	s.inMemory = slices.DeleteFunc(s.inMemory, func(w waiting) bool { return ids[w.id] != 0 })
}

// removeWaiting removes a waiting entry. found is false if no entry with that ID waits.
func (s *Store) removeWaiting(id uint64) (found bool, err error) {
	for _, w := range s.pending() {
		if w.shownID() != id {
			continue
		}
		if w.file != "" {
			return true, os.Remove(w.file)
		}
		s.mu.Lock()
		s.inMemory = slices.DeleteFunc(s.inMemory, func(other waiting) bool { return other.id == w.id })
		s.mu.Unlock()
		return true, nil
	}
	return false, nil
}

// keepSpare creates the spare file if it does not exist.
func (s *Store) keepSpare() {
	if _, err := os.Lstat(s.sparePath()); errors.Is(err, fs.ErrNotExist) {
		block := make([]byte, spareBytes)
		_, _ = rand.Read(block) // random bytes, which a file system cannot compress
		_ = atomicfile.Write(s.sparePath(), block, storePerm)
	}
}
