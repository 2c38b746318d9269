package history

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math/bits"

	bbolterrors "go.etcd.io/bbolt/errors"
)

// bbolt maps its file and believes it: a page that names itself as its child, a count of 2⁶⁰ or a list of free pages
// that is cut off makes it recurse, allocate or panic until the program ends, partly on goroutines that nobody can
// recover. So check reads the whole tree with ordinary reads, before bbolt does, and follows no number that it has not
// compared.
//
// The layout (bbolt's internal/common): pages of pageSize bytes, each with a header of 16 bytes: its id (8), its kind
// (2), how many elements it has (2), how many pages after it belong to it (4). Pages 0 and 1 are metas, of which the
// one with the higher transaction counts. Numbers have the byte order of the machine.

// damage is an error that says: the file is no store, or no longer a whole one. All others say that it cannot be
// reached.
type damage struct {
	error
	fault bool // the system could not read a mapped page, which a disk may be to blame for as well
}

func (d *damage) Unwrap() error { return d.error }

func damagef(format string, args ...any) error { return &damage{error: fmt.Errorf(format, args...)} }

// damageOf returns the damage that err says, nil if it says something else.
func damageOf(err error) *damage {
	if d, ok := errors.AsType[*damage](err); ok {
		return d
	}
	for _, invalid := range []error{
		bbolterrors.ErrInvalid, bbolterrors.ErrVersionMismatch, bbolterrors.ErrChecksum, bbolterrors.ErrIncompatibleValue,
	} {
		if errors.Is(err, invalid) {
			return &damage{error: err}
		}
	}
	return nil
}

// Kinds of pages, and the flag of a leaf's element that is a bucket.
const (
	branchPage, leafPage, metaPage, freelistPage = 1, 2, 4, 16
	bucketElement                                = 1
)

const (
	pageHeaderBytes = 16
	elementBytes    = 16
	bucketBytes     = 16 // root page (8), sequence (8); the page of a small bucket follows in the place of the root
	metaBytes       = 64
	boltMagic       = 0xED0CDAED
	boltVersion     = 2
	noFreelist      = ^uint64(0)
)

var native = binary.NativeEndian

// meta is a meta page.
type meta struct {
	pageBytes                      int64
	root, freelist, pages, counter uint64
}

// boltFile is a file that is read as a store.
type boltFile struct {
	r         io.ReaderAt
	sizeBytes int64
	meta
	used []bool // by page: it was met
}

// check finds out whether bbolt can work with a file: the error is a *damage, or that of r.
func check(r io.ReaderAt, sizeBytes int64) error {
	f, err := openBolt(r, sizeBytes)
	if err != nil {
		return err
	}
	if err := f.tree(f.root, nil, nil, 0, f.topBucket); err != nil {
		return err
	}
	if err := f.free(); err != nil {
		return err
	}
	for id, used := range f.used {
		if !used {
			return damagef("page %d belongs to nothing", id)
		}
	}
	return nil
}

func openBolt(r io.ReaderAt, sizeBytes int64) (*boltFile, error) {
	if sizeBytes > maxStoreBytes {
		return nil, damagef("found %d bytes, want at most %d", sizeBytes, maxStoreBytes)
	}
	first, err := readMeta(r, 0, sizeBytes)
	if err != nil {
		return nil, fmt.Errorf("page 0: %w", err)
	}
	second, err := readMeta(r, first.pageBytes, sizeBytes)
	if err != nil {
		return nil, fmt.Errorf("page 1: %w", err)
	}
	if second.pageBytes != first.pageBytes {
		return nil, damagef("pages of %d and of %d bytes", first.pageBytes, second.pageBytes)
	}
	if second.counter > first.counter {
		first = second
	}
	return newBoltFile(r, sizeBytes, first), nil
}

func newBoltFile(r io.ReaderAt, sizeBytes int64, m meta) *boltFile {
	f := &boltFile{r: r, sizeBytes: sizeBytes, meta: m, used: make([]bool, m.pages)}
	f.used[0], f.used[1] = true, true
	return f
}

// readMeta reads the meta page that begins at offset.
func readMeta(r io.ReaderAt, offset, sizeBytes int64) (m meta, err error) {
	var page [pageHeaderBytes + metaBytes]byte
	if offset+int64(len(page)) > sizeBytes {
		return m, damagef("the file is cut off: it has %d bytes", sizeBytes)
	}
	if _, err := r.ReadAt(page[:], offset); err != nil {
		return m, err
	}
	b := page[pageHeaderBytes:]
	sum := fnv.New64a()
	sum.Write(b[:metaBytes-8])
	if native.Uint32(b) != boltMagic || native.Uint32(b[4:]) != boltVersion || native.Uint64(b[metaBytes-8:]) != sum.Sum64() {
		return m, damagef("the page is no beginning of a history")
	}
	m = meta{
		pageBytes: int64(native.Uint32(b[8:])), root: native.Uint64(b[16:]), freelist: native.Uint64(b[32:]),
		pages: native.Uint64(b[40:]), counter: native.Uint64(b[48:]),
	}
	switch {
	case m.pageBytes < 512 || m.pageBytes > 1<<16 || bits.OnesCount64(uint64(m.pageBytes)) != 1:
		return m, damagef("pages of %d bytes", m.pageBytes)
	case m.pages < 4 || m.pages > uint64(sizeBytes/m.pageBytes):
		return m, damagef("the file is cut off: it has %d bytes, want %d pages of %d", sizeBytes, m.pages, m.pageBytes)
	}
	return m, nil
}

// page reads a page with those that belong to it, and checks that nothing else has led there.
func (f *boltFile) page(id uint64) ([]byte, error) {
	if id < 2 || id >= f.pages {
		return nil, damagef("page %d of %d", id, f.pages)
	}
	var header [pageHeaderBytes]byte
	if _, err := f.r.ReadAt(header[:], int64(id)*f.pageBytes); err != nil {
		return nil, err
	}
	more := uint64(native.Uint32(header[12:]))
	if native.Uint64(header[:]) != id || more >= f.pages-id {
		return nil, damagef("page %d says that it is %d and has %d after it", id, native.Uint64(header[:]), more)
	}
	for i := id; i <= id+more; i++ {
		if f.used[i] {
			return nil, damagef("page %d is used twice", i)
		}
		f.used[i] = true
	}
	page := make([]byte, int64(1+more)*f.pageBytes)
	_, err := f.r.ReadAt(page, int64(id)*f.pageBytes)
	return page, err
}

// element is one of a page: of a branch the child, of a leaf the value.
type element struct {
	key, value []byte
	child      uint64
	bucket     bool
}

// elements parses a branch or a leaf. They lie one behind the other, as bbolt writes them: a wrong count shows.
func elements(page []byte) ([]element, error) {
	kind, count := native.Uint16(page[8:]), int(native.Uint16(page[10:]))
	if kind != leafPage && kind != branchPage {
		return nil, damagef("a page of the kind %#x", kind)
	}
	next := uint64(pageHeaderBytes + count*elementBytes)
	if next > uint64(len(page)) {
		return nil, damagef("%d elements in a page of %d bytes", count, len(page))
	}
	list := make([]element, count)
	for i := range list {
		at := uint64(pageHeaderBytes + i*elementBytes)
		b := page[at:]
		var e element
		var position, keyBytes, valueBytes uint64
		if kind == leafPage {
			e.bucket = native.Uint32(b) == bucketElement
			if flags := native.Uint32(b); flags > bucketElement {
				return nil, damagef("an element with the flags %#x", flags)
			}
			position, keyBytes = uint64(native.Uint32(b[4:])), uint64(native.Uint32(b[8:]))
			valueBytes = uint64(native.Uint32(b[12:]))
		} else {
			position, keyBytes = uint64(native.Uint32(b)), uint64(native.Uint32(b[4:]))
			e.child = native.Uint64(b[8:])
		}
		end := next + keyBytes + valueBytes
		if at+position != next || end > uint64(len(page)) || keyBytes == 0 {
			return nil, damagef("element %d of %d lies from %d to %d, want from %d to at most %d",
				i, count, at+position, end, next, len(page))
		}
		e.key, e.value = page[next:next+keyBytes], page[next+keyBytes:end]
		next = end
		list[i] = e
	}
	return list, nil
}

// tree checks the page id and what is below it, whose keys are from low on and below high; nil is no bound. bucket
// checks a bucket of a leaf; nil allows none.
func (f *boltFile) tree(id uint64, low, high []byte, depth int, bucket func(element) error) error {
	if depth > maxTreeDepth {
		return damagef("a tree deeper than %d", maxTreeDepth)
	}
	page, err := f.page(id)
	if err != nil {
		return err
	}
	list, err := elements(page)
	if err != nil {
		return fmt.Errorf("page %d: %w", id, err)
	}
	if err := ordered(list, low, high); err != nil {
		return fmt.Errorf("page %d: %w", id, err)
	}
	branch := native.Uint16(page[8:]) == branchPage
	if branch && len(list) == 0 {
		return damagef("page %d: a branch without children", id)
	}
	for i, e := range list {
		if branch {
			end := high
			if i+1 < len(list) {
				end = list[i+1].key
			}
			err = f.tree(e.child, e.key, end, depth+1, bucket)
		} else {
			err = inBucket(e, bucket)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func inBucket(e element, bucket func(element) error) error {
	if (bucket != nil) != e.bucket {
		return damagef("element %q is a bucket: %v", e.key, e.bucket)
	}
	if bucket == nil {
		return nil
	}
	return bucket(e)
}

func ordered(list []element, low, high []byte) error {
	for i, e := range list {
		if i > 0 && bytes.Compare(list[i-1].key, e.key) >= 0 || low != nil && bytes.Compare(e.key, low) < 0 ||
			high != nil && bytes.Compare(e.key, high) >= 0 {
			return damagef("key %d, %q, is not in its order", i, e.key)
		}
	}
	return nil
}

// topBucket checks one of the store's buckets: there are no others, and none inside them.
func (f *boltFile) topBucket(e element) error {
	if !bytes.Equal(e.key, bucket) && !bytes.Equal(e.key, referenceBucket) {
		return damagef("a bucket called %q", e.key)
	}
	if len(e.value) < bucketBytes {
		return damagef("a bucket of %d bytes", len(e.value))
	}
	if sequence := native.Uint64(e.value[8:]); sequence >= maxID { // the next entry would get an ID of those that wait
		return damagef("a bucket that has counted to %d", sequence)
	}
	if root := native.Uint64(e.value); root != 0 {
		return f.tree(root, nil, nil, 0, nil)
	}
	list, err := inlineElements(e.value)
	if err != nil {
		return err
	}
	if err := ordered(list, nil, nil); err != nil {
		return err
	}
	for _, inner := range list {
		if err := inBucket(inner, nil); err != nil {
			return err
		}
	}
	return nil
}

// inlineElements parses the page inside a small bucket's value.
func inlineElements(value []byte) ([]element, error) {
	page := value[bucketBytes:]
	if len(page) < pageHeaderBytes || native.Uint16(page[8:]) != leafPage {
		return nil, damagef("a bucket of %d bytes without a page", len(value))
	}
	return elements(page)
}

// free checks the list of free pages.
func (f *boltFile) free() error {
	if f.freelist == noFreelist {
		return damagef("there is no list of free pages")
	}
	page, err := f.page(f.freelist)
	if err != nil {
		return err
	}
	if kind := native.Uint16(page[8:]); kind != freelistPage {
		return damagef("page %d: a list of free pages of the kind %#x", f.freelist, kind)
	}
	count, ids := uint64(native.Uint16(page[10:])), page[pageHeaderBytes:]
	if count == 0xffff { // more than fit there: the first number is the count
		count, ids = native.Uint64(ids), ids[8:]
	}
	if count > uint64(len(ids)/8) {
		return damagef("page %d: %d free pages in %d bytes", f.freelist, count, len(page))
	}
	last := uint64(1)
	for i := range count {
		id := native.Uint64(ids[8*i:])
		if id <= last || id >= f.pages || f.used[id] {
			return damagef("page %d: page %d is not free", f.freelist, id)
		}
		f.used[id], last = true, id
	}
	return nil
}
