package history

import (
	"encoding/json"
	"slices"

	"go.etcd.io/bbolt"
)

// Filed reports whether the user has filed the picture in a folder.
func (e *Entry) Filed(folder uint64) bool { return slices.Contains(e.Folders, folder) }

// File files the picture in a folder, or takes it out.
func (e *Entry) File(folder uint64, in bool) {
	i := slices.Index(e.Folders, folder)
	switch {
	case in && i < 0:
		e.Folders = append(slices.Clone(e.Folders), folder)
	case !in && i >= 0:
		e.Folders = slices.Delete(slices.Clone(e.Folders), i, i+1)
	}
}

// Change calls change for each of the entries with the given IDs, and stores what it makes of them, all of them or
// none. It skips entries that do not exist, because another window may have removed them. change may be called more
// than once for an entry. If the store cannot be written, it is the error, and nothing is changed.
func (s *Store) Change(ids []uint64, change func(*Entry)) error {
	if slices.ContainsFunc(ids, func(id uint64) bool { return s.storeID(id) >= waitingID }) {
		s.Retry() // an entry that waits gets its ID in the store
	}
	return s.update(func(b *bbolt.Bucket) error {
		for _, id := range ids {
			id = s.storeID(id)
			value := b.Get(key(id))
			if value == nil {
				continue
			}
			var e Entry
			if err := json.Unmarshal(value, &e); err != nil {
				return &damage{error: err}
			}
			change(&e)
			if err := putEntry(b, id, e); err != nil {
				return err
			}
		}
		return nil
	})
}
