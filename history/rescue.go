package history

import (
	"bytes"
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

	"github.com/kleinbild/kleinbild/atomicfile"
)

// storePerm are the permissions of new files, less the user's umask.
const storePerm fs.FileMode = 0o644

// contents is the content of a store: entries and folders by ID, and values of the reference bucket by digest.
type contents struct {
	entries    map[uint64]Entry
	folders    map[uint64]Folder
	references map[string][]byte
}

// withLock calls do under a lock file, so that only one window creates or repairs the store. It returns ErrHeld if it
// does not get the lock in time.
func (s *Store) withLock(do func() error) error {
	if err := os.MkdirAll(filepath.Dir(s.path), 0o755); err != nil {
		return err
	}
	// With O_NONBLOCK, opening does not wait if the lock file is a pipe.
	lock := flock.New(s.path+".lock", flock.SetFlag(os.O_CREATE|os.O_RDONLY|syscall.O_NONBLOCK))
	ctx, cancel := context.WithTimeout(context.Background(), s.timeout())
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

// create makes an empty store, unless the file exists.
func (s *Store) create() error {
	return s.withLock(func() error {
		file, err := s.build(contents{})
		if err != nil {
			return err
		}
		defer file.Discard()
		if err := file.Claim(s.path); !errors.Is(err, fs.ErrExist) {
			return err
		}
		return nil // another window has created it
	})
}

// repair renames a damaged file and creates a new store with the entries and references that can be read. It first
// checks the file again. If it finds no damage, another window has repaired the file, and repair does nothing. But if
// again is true, the same operation has found damage before, so repair replaces even such a file, unless d is a fault
// in reading a page, which can be the disk's; repair then returns it.
func (s *Store) repair(d *damage, again bool) error {
	return s.withLock(func() error {
		seen := s.open(true, func(db *bbolt.DB) error {
			return db.View(func(tx *bbolt.Tx) error { _, err := entries(tx.Bucket(bucket)); return err })
		})
		switch {
		case seen == nil && d.fault && again:
			return errors.New(d.Error()) // not a *damage any more
		case seen == nil && !again, errors.Is(seen, fs.ErrNotExist):
			return nil
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
			return errors.Join(err, os.Rename(aside, s.path)) // so that the next operation can repair the file
		}
		s.notify(News{Aside: aside, Rescued: len(found.entries)})
		return nil
	})
}

// build writes a store with contents c to a temporary file in the store's folder.
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

// fill writes c into an empty store. Entries keep their IDs.
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
	return c.fillFolders(tx)
}

// fillFolders writes the folders of c. New folders will get IDs above those that entries have: of the folders that
// could not be read, some may still have entries.
func (c contents) fillFolders(tx *bbolt.Tx) error {
	last := uint64(0)
	for id := range c.folders {
		last = max(last, id)
	}
	for _, e := range c.entries {
		for _, id := range e.Folders {
			if id < maxID {
				last = max(last, id)
			}
		}
	}
	if last == 0 {
		return nil
	}
	b, err := tx.CreateBucketIfNotExists(folderBucket)
	if err != nil {
		return err
	}
	for _, f := range c.folders {
		if err := putFolder(b, f); err != nil {
			return err
		}
	}
	return b.SetSequence(last)
}

// salvager reads the entries of a damaged file.
type salvager struct {
	boltFile
	contents
	budgetBytes int64 // how many bytes may still be read: damaged pages may lead to the same bytes many times
}

// salvage reads the entries and references of the damaged file: first those of the tree, as far as its pages can be
// read, and then those of every leaf page, because a page outside the tree mostly still has its old entries. The user
// may have removed such an entry, so salvage takes it only if its picture exists. salvage returns an error if the file
// cannot be opened at present. If the path is not a regular file or the file is too large, it returns empty contents.
func (s *Store) salvage() (contents, error) {
	c := contents{entries: map[uint64]Entry{}, folders: map[uint64]Folder{}, references: map[string][]byte{}}
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
	const metaPages, maxReadings = 2, 6
	pageBytes := int64(os.Getpagesize()) // bbolt's default, used if no meta page can be read
	var metas []meta
	for i := range int64(metaPages) {
		if m, err := readMeta(r, i*pageBytes, sizeBytes); err == nil {
			metas, pageBytes = append(metas, m), m.pageBytes
		}
	}
	slices.SortFunc(metas, func(a, b meta) int { return cmp.Compare(b.txid, a.txid) })
	x := salvager{boltFile{r: r, sizeBytes: sizeBytes}, c, maxReadings * sizeBytes}
	x.meta = meta{pageBytes: pageBytes, pages: uint64(sizeBytes / pageBytes)}
	for _, m := range metas[:min(len(metas), 1)] {
		x.used = make([]bool, x.pages)
		x.walkTree(m.root, 0)
	}
	for id := range x.pages {
		if list, kind := x.read(id); kind == leafPage {
			x.collect(list, false, true)
		}
	}
}

// read parses the page id without checking that it belongs to the tree. The kind is 0 if the page cannot be read or is
// neither a leaf nor a branch.
func (x *salvager) read(id uint64) (list []element, kind uint16) {
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
	return parseReadable(page), kind
}

// walkTree collects the entries of the page id and of the pages below it, and skips pages that cannot be read.
func (x *salvager) walkTree(id uint64, depth int) {
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
			x.walkTree(e.child, depth+1)
		case e.bucket && len(e.value) >= bucketBytes && native.Uint64(e.value) != 0:
			x.walkTree(native.Uint64(e.value), depth+1)
		}
	}
}

// collect stores the elements that are entries, folders or references. live is true if they belong to the tree. top is
// true if they may be buckets; a store has no buckets inside buckets, and following crafted ones could take exponential
// time.
func (x *salvager) collect(list []element, live, top bool) {
	for _, e := range list {
		switch {
		case e.bucket:
			if top && len(e.value) >= bucketBytes+pageHeaderBytes && native.Uint64(e.value) == 0 {
				x.collect(parseReadable(e.value[bucketBytes:]), live, false)
			}
		case len(e.key) == 8 && bytes.HasPrefix(e.value, folderStart):
			x.folder(binary.BigEndian.Uint64(e.key), e.value)
		case len(e.key) == 8:
			x.entry(binary.BigEndian.Uint64(e.key), e.value, live)
		case len(e.key) == digestBytes && len(e.value) > 8 && filepath.IsAbs(string(e.value[8:])):
			if _, known := x.references[string(e.key)]; !known {
				x.references[string(e.key)] = slices.Clone(e.value)
			}
		}
	}
}

// entry stores an entry, unless one with its ID is known.
func (x *salvager) entry(id uint64, value []byte, live bool) {
	if _, known := x.entries[id]; known || id == 0 || id > maxID {
		return
	}
	// Elements of a damaged page may overlap, so that their sizes count too.
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

// folder stores a folder, unless one with its ID is known.
func (x *salvager) folder(id uint64, value []byte) {
	if _, known := x.folders[id]; known || id == 0 || id >= maxID || len(x.folders) >= maxFolders {
		return
	}
	if x.budgetBytes -= int64(len(value)); x.budgetBytes < 0 {
		return
	}
	if f := (Folder{ID: id}); json.Unmarshal(value, &f) == nil && checkFolderName(f.Name) == nil {
		x.folders[id] = f
	}
}

// parseReadable parses a page that may be damaged and returns the elements whose key and value are inside the page.
func parseReadable(page []byte) (list []element) {
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

// putEntry writes an entry with the given ID.
func putEntry(b *bbolt.Bucket, id uint64, e Entry) error {
	value, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("entry %d: %w", id, err)
	}
	return b.Put(key(id), value)
}
