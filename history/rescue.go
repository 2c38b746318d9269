package history

import (
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/gofrs/flock"
	"go.etcd.io/bbolt"

	"kleinbild/atomicfile"
)

// storePerm are the permissions of the store, less the user's umask.
const storePerm fs.FileMode = 0o644

// contents are what a store holds.
type contents struct {
	entries    map[uint64]Entry
	references map[string][]byte
}

// alone calls do while no other window makes or repairs the store.
func (s *Store) alone(do func() error) error {
	if err := os.MkdirAll(filepath.Dir(s.path), 0o755); err != nil {
		return err
	}
	// A pipe in the place of the lock is opened without waiting.
	lock := flock.New(s.path+".lock", flock.SetFlag(os.O_CREATE|os.O_RDONLY|syscall.O_NONBLOCK))
	ctx, cancel := context.WithTimeout(context.Background(), s.patience())
	defer cancel()
	switch ok, err := lock.TryLockContext(ctx, lockPause); {
	case ok:
	case err != nil && ctx.Err() == nil:
		return err
	default:
		return ErrHeld
	}
	defer lock.Unlock()
	return do()
}

// create makes an empty store where there is none. It gets its name when it is whole.
func (s *Store) create() error {
	return s.alone(func() error {
		file, err := s.build(contents{})
		if err != nil {
			return err
		}
		defer file.Discard()
		if err := file.Claim(s.path); !errors.Is(err, fs.ErrExist) {
			return err
		}
		return nil // another window was faster
	})
}

// repair sets a damaged file aside and puts a store in its place that has what could be read of it. insist says that
// the damage was met again although nothing is to be seen of it.
func (s *Store) repair(d *damage, insist bool) error {
	return s.alone(func() error {
		seen := s.open(true, func(db *bbolt.DB) error {
			return db.View(func(tx *bbolt.Tx) error { _, err := entries(tx.Bucket(bucket)); return err })
		})
		switch {
		case seen == nil && d.fault && insist:
			return errors.New(d.Error()) // the disk's fault, not the file's
		case seen == nil && !insist, errors.Is(seen, fs.ErrNotExist):
			return nil // another window was faster
		case seen != nil && damageOf(seen) == nil:
			return seen
		}
		found, err := s.salvage()
		if err != nil {
			return err
		}
		file, err := s.build(found)
		if err != nil {
			return err
		}
		defer file.Discard()
		aside, err := atomicfile.SetAside(s.path)
		if err != nil {
			return err
		}
		if err := file.Replace(s.path); err != nil {
			return errors.Join(err, os.Rename(aside, s.path)) // the next try begins again
		}
		s.say(News{Aside: aside, Rescued: len(found.entries)})
		return nil
	})
}

// build makes a store under a temporary name beside the file.
func (s *Store) build(c contents) (*atomicfile.File, error) {
	file, err := atomicfile.Create(s.path, storePerm)
	if err != nil {
		return nil, err
	}
	err = guarded(func() error {
		db, err := bbolt.Open(file.Name(), storePerm, &bbolt.Options{Timeout: lockTimeout, NoStatistics: true})
		if err != nil {
			return err
		}
		return errors.Join(db.Update(c.fill), db.Close())
	})
	if err != nil {
		file.Discard()
		return nil, err
	}
	return file, nil
}

// fill writes contents into an empty store. Entries keep their IDs.
func (c contents) fill(tx *bbolt.Tx) error {
	b, err := tx.CreateBucketIfNotExists(bucket)
	if err != nil {
		return err
	}
	for _, id := range slices.Sorted(maps.Keys(c.entries)) {
		if err := putEntry(b, id, c.entries[id]); err != nil {
			return err
		}
		if err := b.SetSequence(id); err != nil {
			return err
		}
	}
	r, err := tx.CreateBucketIfNotExists(referenceBucket)
	if err != nil {
		return err
	}
	for digest, use := range c.references {
		if err := r.Put([]byte(digest), use); err != nil {
			return err
		}
	}
	return nil
}

// scavenger reads what it can of a damaged file.
type scavenger struct {
	boltFile
	contents
	budgetBytes int64
}

// salvage reads what it can of the damaged file: first the tree, as far as it leads, and then every page, because a
// page that the tree does not reach mostly holds its old entries still. The user may have removed an entry of such a
// page since, so it counts only if its picture exists.
// The error is that of a file which cannot be opened at present.
func (s *Store) salvage() (contents, error) {
	c := contents{entries: map[uint64]Entry{}, references: map[string][]byte{}}
	file, info, err := atomicfile.Open(s.path)
	if err != nil {
		if info, e := os.Stat(s.path); e == nil && info.Mode().IsRegular() {
			return c, err
		}
		return c, nil
	}
	defer file.Close()
	if info.Size() > maxStoreBytes {
		return c, nil
	}
	salvageFrom(file, info.Size(), c)
	return c, nil
}

func salvageFrom(r io.ReaderAt, sizeBytes int64, c contents) {
	const metas, readings = 2, 6
	pageBytes := int64(os.Getpagesize()) // what bbolt takes, where no meta page can say
	var trees []meta
	for i := range int64(metas) {
		if m, err := readMeta(r, i*pageBytes, sizeBytes); err == nil {
			trees, pageBytes = append(trees, m), m.pageBytes
		}
	}
	slices.SortFunc(trees, func(a, b meta) int { return cmp.Compare(b.counter, a.counter) })
	x := scavenger{boltFile{r: r, sizeBytes: sizeBytes}, c, readings * sizeBytes}
	x.meta = meta{pageBytes: pageBytes, pages: uint64(sizeBytes / pageBytes)}
	for _, m := range trees[:min(len(trees), 1)] {
		x.used = make([]bool, x.pages)
		x.follow(m.root, 0)
	}
	for id := range x.pages {
		if list, kind := x.read(id); kind == leafPage {
			x.collect(list, false, true)
		}
	}
}

// read parses a page wherever it came from; the kind is 0 where that fails.
func (x *scavenger) read(id uint64) (list []element, kind uint16) {
	if id >= x.pages {
		return nil, 0
	}
	var header [pageHeaderBytes]byte
	if _, err := x.r.ReadAt(header[:], int64(id)*x.pageBytes); err != nil {
		return nil, 0
	}
	kind = native.Uint16(header[8:])
	if kind != leafPage && kind != branchPage {
		return nil, 0
	}
	size := min(int64(native.Uint32(header[12:]))+1, int64(x.pages-id)) * x.pageBytes
	if x.budgetBytes -= size; x.budgetBytes < 0 {
		return nil, 0
	}
	page := make([]byte, size)
	if _, err := x.r.ReadAt(page, int64(id)*x.pageBytes); err != nil {
		return nil, 0
	}
	return readable(page), kind
}

// follow collects from a tree what can be read, whatever the rest is like.
func (x *scavenger) follow(id uint64, depth int) {
	if depth > maxTreeDepth || id >= x.pages || x.used[id] {
		return
	}
	x.used[id] = true
	list, kind := x.read(id)
	if kind == leafPage {
		x.collect(list, true, true)
	}
	for _, e := range list {
		switch {
		case kind == branchPage:
			x.follow(e.child, depth+1)
		case e.bucket && len(e.value) >= bucketBytes && native.Uint64(e.value) != 0:
			x.follow(native.Uint64(e.value), depth+1)
		}
	}
}

// collect takes the elements that are ours. live says that they belong to the tree, top that they may be buckets; a store
// has none inside others, and following those would take a time that grows with each level.
func (x *scavenger) collect(list []element, live, top bool) {
	for _, e := range list {
		switch {
		case e.bucket:
			if top && len(e.value) >= bucketBytes+pageHeaderBytes && native.Uint64(e.value) == 0 {
				x.collect(readable(e.value[bucketBytes:]), live, false)
			}
		case len(e.key) == 8:
			x.entry(binary.BigEndian.Uint64(e.key), e.value, live)
		case len(e.key) == digestBytes && len(e.value) > 8 && filepath.IsAbs(string(e.value[8:])):
			if _, known := x.references[string(e.key)]; !known {
				x.references[string(e.key)] = slices.Clone(e.value)
			}
		}
	}
}

func (x *scavenger) entry(id uint64, value []byte, live bool) {
	if _, known := x.entries[id]; known || id == 0 || id > maxID {
		return
	}
	// Elements of a damaged page may share their bytes.
	if x.budgetBytes -= int64(len(value)); x.budgetBytes < 0 {
		return
	}
	var e Entry
	if json.Unmarshal(value, &e) != nil || e.Path == "" {
		return
	}
	if !live {
		if info, err := os.Stat(e.Path); err != nil || !info.Mode().IsRegular() {
			return
		}
	}
	e.ID = id
	x.entries[id] = e
}

// readable parses a page that may be damaged and returns the elements that lie inside it.
func readable(page []byte) (list []element) {
	kind, count := native.Uint16(page[8:]), int(native.Uint16(page[10:]))
	for i := range count {
		at := uint64(pageHeaderBytes + i*elementBytes)
		if at+elementBytes > uint64(len(page)) {
			break
		}
		b := page[at:]
		e := element{bucket: kind == leafPage && native.Uint32(b) == bucketElement}
		position, keyBytes, valueBytes := uint64(native.Uint32(b)), uint64(native.Uint32(b[4:])), uint64(0)
		if kind == leafPage {
			position, keyBytes = uint64(native.Uint32(b[4:])), uint64(native.Uint32(b[8:]))
			valueBytes = uint64(native.Uint32(b[12:]))
		} else {
			e.child = native.Uint64(b[8:])
		}
		begin := at + position
		if end := begin + keyBytes + valueBytes; end <= uint64(len(page)) {
			e.key, e.value = page[begin:begin+keyBytes], page[begin+keyBytes:end]
			list = append(list, e)
		}
	}
	return list
}

// putEntry writes an entry under its ID.
func putEntry(b *bbolt.Bucket, id uint64, e Entry) error {
	value, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("entry %d: %w", id, err)
	}
	return b.Put(key(id), value)
}
