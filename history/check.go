package history

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math/bits"
	"slices"

	bbolterrors "go.etcd.io/bbolt/errors"
)

// bbolt maps its file and does not check it: a page that is its own child, a count of 2⁶⁰ or a truncated list of free
// pages makes it recurse without end, allocate without bound or panic, partly on goroutines where nobody can recover.
// So check reads the whole tree with ordinary reads before bbolt does, and checks each number before using it.
//
// The layout is that of bbolt's internal/common. A file has pages of pageSize bytes. Each page begins with a header of
// 16 bytes: its ID (8), its kind (2), the number of its elements (2), and the number of pages after it that belong to
// it (4). Pages 0 and 1 are meta pages; the one with the higher transaction ID is valid. Numbers have the byte order of
// the machine.

// damage is the error for a file that is not a valid store. All other errors mean that the file cannot be read or
// written at present.
type damage struct {
	error
	fault bool // the system could not read a mapped page: the file was truncated, or the disk is faulty
}

func (d *damage) Unwrap() error { return d.error }

func damagef(format string, args ...any) error { return &damage{error: fmt.Errorf(format, args...)} }

// damageOf returns the *damage in err, or one that wraps err if bbolt reports an invalid file. It returns nil for other
// errors.
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

// Kinds of pages, and the flag of a leaf element that contains a bucket.
const (
	branchPage, leafPage, metaPage, freelistPage = 1, 2, 4, 16
	bucketElement                                = 1
)

const (
	pageHeaderBytes = 16
	elementBytes    = 16
	bucketBytes     = 16 // root page ID (8), sequence number (8); if the root is 0, the bucket's only page follows inline
	metaBytes       = 64
	boltMagic       = 0xED0CDAED
	boltVersion     = 2
	noFreelist      = ^uint64(0)
)

var native = binary.NativeEndian

// topBuckets are the names of the buckets that a store may have.
var topBuckets = [][]byte{bucket, referenceBucket, folderBucket}

// meta contains the fields of a meta page. root and freelist are page IDs; pages is the number of pages in use or free.
type meta struct {
	pageBytes                   int64
	root, freelist, pages, txid uint64
}

// boltFile is a bbolt file that is read without bbolt.
type boltFile struct {
	r         io.ReaderAt
	sizeBytes int64
	meta
	used []bool // by page ID: the check has reached the page
}

// check returns nil if the file is a valid store. Otherwise the error is a *damage, or an error of r.
func check(r io.ReaderAt, sizeBytes int64) error {
	f, err := openBolt(r, sizeBytes)
	if err != nil {
		return err
	}
	if err := f.checkTree(f.root, nil, nil, 0, f.checkTopBucket); err != nil {
		return err
	}
	if err := f.checkFreelist(); err != nil {
		return err
	}
	for id, used := range f.used {
		if !used {
			return damagef("page %d is neither used nor free", id)
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
		return nil, damagef("page 0 has pages of %d bytes, page 1 of %d", first.pageBytes, second.pageBytes)
	}
	if second.txid > first.txid {
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
	if native.Uint32(b) != boltMagic || native.Uint32(b[4:]) != boltVersion ||
		native.Uint64(b[metaBytes-8:]) != sum.Sum64() {
		return m, damagef("found no meta page of bbolt")
	}
	m = meta{
		pageBytes: int64(native.Uint32(b[8:])), root: native.Uint64(b[16:]), freelist: native.Uint64(b[32:]),
		pages: native.Uint64(b[40:]), txid: native.Uint64(b[48:]),
	}
	switch {
	case m.pageBytes < 512 || m.pageBytes > 1<<16 || bits.OnesCount64(uint64(m.pageBytes)) != 1:
		return m, damagef("found pages of %d bytes, want a power of 2 from 512 to 65536", m.pageBytes)
	case m.pages < 4 || m.pages > uint64(sizeBytes/m.pageBytes):
		return m, damagef("the file is cut off: it has %d bytes, want %d pages of %d", sizeBytes, m.pages, m.pageBytes)
	}
	return m, nil
}

// page returns the page id, including the pages that belong to it, and marks them as used. It returns a *damage if one
// of them is used already.
func (f *boltFile) page(id uint64) ([]byte, error) {
	if id < 2 || id >= f.pages {
		return nil, damagef("found the page ID %d, want one from 2 to %d", id, f.pages-1)
	}
	var header [pageHeaderBytes]byte
	if _, err := f.r.ReadAt(header[:], int64(id)*f.pageBytes); err != nil {
		return nil, err
	}
	more := uint64(native.Uint32(header[12:]))
	if native.Uint64(header[:]) != id || more >= f.pages-id {
		return nil, damagef("page %d of %d has the ID %d and %d more pages", id, f.pages, native.Uint64(header[:]), more)
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

// element is one element of a page. In a branch page it has a child, in a leaf page a value.
type element struct {
	key, value []byte
	child      uint64 // a page ID
	bucket     bool   // the value is a bucket
}

// elements parses a branch page or a leaf page. The data of the elements must follow each other without gaps, as bbolt
// writes them, so that a wrong count is found.
func elements(page []byte) ([]element, error) {
	kind, count := native.Uint16(page[8:]), int(native.Uint16(page[10:]))
	if kind != leafPage && kind != branchPage {
		return nil, damagef("found a page of kind %#x, want a branch or a leaf", kind)
	}
	next := uint64(pageHeaderBytes + count*elementBytes)
	if next > uint64(len(page)) {
		return nil, damagef("found %d elements in a page of %d bytes", count, len(page))
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
				return nil, damagef("element %d of %d has the flags %#x", i, count, flags)
			}
			position, keyBytes = uint64(native.Uint32(b[4:])), uint64(native.Uint32(b[8:]))
			valueBytes = uint64(native.Uint32(b[12:]))
		} else {
			position, keyBytes = uint64(native.Uint32(b)), uint64(native.Uint32(b[4:]))
			e.child = native.Uint64(b[8:])
		}
		end := next + keyBytes + valueBytes
		if at+position != next || end > uint64(len(page)) || keyBytes == 0 {
			return nil, damagef("element %d of %d is at bytes %d to %d, want %d to at most %d",
				i, count, at+position, end, next, len(page))
		}
		e.key, e.value = page[next:next+keyBytes], page[next+keyBytes:end]
		next = end
		list[i] = e
	}
	return list, nil
}

// checkTree checks the page id and the pages below it. Their keys must be at least low and less than high; a nil bound
// allows all keys. bucket checks the elements of leaf pages, which must all be buckets; if it is nil, none may be one.
func (f *boltFile) checkTree(id uint64, low, high []byte, depth int, bucket func(element) error) error {
	if depth > maxTreeDepth {
		return damagef("the tree is deeper than %d pages", maxTreeDepth)
	}
	page, err := f.page(id)
	if err != nil {
		return err
	}
	list, err := elements(page)
	if err != nil {
		return fmt.Errorf("page %d: %w", id, err)
	}
	if err := checkOrder(list, low, high); err != nil {
		return fmt.Errorf("page %d: %w", id, err)
	}
	branch := native.Uint16(page[8:]) == branchPage
	if branch && len(list) == 0 {
		return damagef("page %d: found a branch without children", id)
	}
	for i, e := range list {
		if branch {
			end := high
			if i+1 < len(list) {
				end = list[i+1].key
			}
			err = f.checkTree(e.child, e.key, end, depth+1, bucket)
		} else {
			err = checkElement(e, bucket)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func checkElement(e element, bucket func(element) error) error {
	if (bucket != nil) != e.bucket {
		return damagef("element %q: found bucket %v, want %v", e.key, e.bucket, bucket != nil)
	}
	if bucket == nil {
		return nil
	}
	return bucket(e)
}

// checkOrder checks that the keys increase, are at least low and less than high.
func checkOrder(list []element, low, high []byte) error {
	for i, e := range list {
		if i > 0 && bytes.Compare(list[i-1].key, e.key) >= 0 || low != nil && bytes.Compare(e.key, low) < 0 ||
			high != nil && bytes.Compare(e.key, high) >= 0 {
			return damagef("key %d, %q, is out of order", i, e.key)
		}
	}
	return nil
}

// checkTopBucket checks one of the store's three buckets. They contain no buckets.
func (f *boltFile) checkTopBucket(e element) error {
	if !slices.ContainsFunc(topBuckets, func(name []byte) bool { return bytes.Equal(e.key, name) }) {
		return damagef("found a bucket %q", e.key)
	}
	if len(e.value) < bucketBytes {
		return damagef("found a bucket of %d bytes, want at least %d", len(e.value), bucketBytes)
	}
	if sequence := native.Uint64(e.value[8:]); sequence >= maxID { // the next ID would be more than maxID
		return damagef("bucket %q has the sequence number %d, want less than %d", e.key, sequence, maxID)
	}
	if root := native.Uint64(e.value); root != 0 {
		return f.checkTree(root, nil, nil, 0, nil)
	}
	list, err := inlineElements(e.value)
	if err != nil {
		return err
	}
	if err := checkOrder(list, nil, nil); err != nil {
		return err
	}
	for _, inner := range list {
		if err := checkElement(inner, nil); err != nil {
			return err
		}
	}
	return nil
}

// inlineElements parses the page inside the value of a small bucket.
func inlineElements(value []byte) ([]element, error) {
	page := value[bucketBytes:]
	if len(page) < pageHeaderBytes || native.Uint16(page[8:]) != leafPage {
		return nil, damagef("found a bucket of %d bytes without a leaf page", len(value))
	}
	return elements(page)
}

// checkFreelist checks the list of free pages and marks them as used.
func (f *boltFile) checkFreelist() error {
	if f.freelist == noFreelist {
		return damagef("found no list of free pages")
	}
	page, err := f.page(f.freelist)
	if err != nil {
		return err
	}
	if kind := native.Uint16(page[8:]); kind != freelistPage {
		return damagef("page %d: found the kind %#x, want a list of free pages", f.freelist, kind)
	}
	count, ids := uint64(native.Uint16(page[10:])), page[pageHeaderBytes:]
	if count == 0xffff { // the count does not fit into the header: it is the first number of the list
		count, ids = native.Uint64(ids), ids[8:]
	}
	if count > uint64(len(ids)/8) {
		return damagef("page %d: found %d free pages in %d bytes", f.freelist, count, len(page))
	}
	last := uint64(1)
	for i := range count {
		id := native.Uint64(ids[8*i:])
		if id <= last || id >= f.pages || f.used[id] {
			return damagef("page %d: page %d is listed as free but is in use, out of range or out of order",
				f.freelist, id)
		}
		f.used[id], last = true, id
	}
	return nil
}
