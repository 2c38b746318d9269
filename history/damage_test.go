package history

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/kleinbild/kleinbild/inference/picture"
)

// storeWith makes a store with n+1 entries and n references, and returns the bytes of its file. The entries' picture
// exists.
func storeWith(t *testing.T, dir string, n int) []byte {
	t.Helper()
	path := filepath.Join(dir, "made.db")
	file := put(t, filepath.Join(dir, "picture.png"), "a picture")
	s := mustOpen(t, path)
	// Two transactions, because within one bbolt writes the pages of the two buckets in random order.
	entries := func(b *bbolt.Bucket) error {
		for i := range n {
			id, err := b.NextSequence()
			if err != nil {
				return err
			}
			e := Entry{Path: file, Took: 1, Picture: picture.Metadata{Prompt: fmt.Sprint("prompt ", i,
				strings.Repeat(" x", 100))}}
			if err := putEntry(b, id, e); err != nil {
				return err
			}
		}
		return nil
	}
	references := func(b *bbolt.Bucket) error {
		for i := range n {
			list := []picture.ReferenceFile{{Path: file, SHA256: digest(fmt.Sprint(i))}}
			if err := remember(b.Tx(), list, time.Unix(1, 0)); err != nil {
				return err
			}
		}
		return nil
	}
	if err := errors.Join(s.update(entries), s.update(references)); err != nil {
		t.Fatal(err)
	}
	s.Add(Entry{Path: file, Picture: picture.Metadata{Prompt: "one more"}})
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// openDamaged writes data to a store's file, lists the entries and adds one. It checks that the store works, and
// returns the listed entries and the new name of the damaged file, or "" if no damage was found.
func openDamaged(t *testing.T, name string, dir string, data []byte) (list []Entry, aside string) {
	t.Helper()
	path := filepath.Join(dir, "history.db")
	left, err := filepath.Glob(path + "*")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range left {
		os.RemoveAll(file)
	}
	write(t, path, data)
	start := time.Now()
	s, news := listen(path)
	list = s.List()
	for _, n := range *news {
		switch {
		case n.Err != nil:
			t.Fatalf("%s: %v", name, n.Err)
		case n.Aside != "" && aside != "":
			t.Fatalf("%s: set aside twice: %+v", name, *news)
		case n.Aside != "":
			if aside = n.Aside; n.Rescued != len(list) {
				t.Errorf("%s: %d entries, rescued %d", name, len(list), n.Rescued)
			}
			if kept, err := os.ReadFile(aside); err != nil || !bytes.Equal(kept, data) {
				t.Errorf("%s: %s: %v, want the damaged file", name, aside, err)
			}
		}
	}
	e := s.Add(Entry{Path: "/new.png"})
	if after := s.List(); s.lastErr != nil || len(after) != len(list)+1 || after[0].Path != "/new.png" ||
		after[0].ID != e.ID || e.ID >= waitingID {
		t.Fatalf("%s: %d entries, then %d, %v", name, len(list), len(after), s.lastErr)
	}
	if took := time.Since(start); took > 2*time.Second {
		t.Errorf("%s: %v", name, took)
	}
	return list, aside
}

// TestTruncated truncates a file of many pages at several sizes: entries of the rest are rescued.
func TestTruncated(t *testing.T) {
	dir := t.TempDir()
	const n = 600
	whole := storeWith(t, dir, n)
	if len(whole) < 300<<10 {
		t.Fatalf("a store of %d bytes, want more pages", len(whole))
	}
	for _, size := range []int{0, 1, 100, 4095, 4096, 5000, 8191, 8192, 12 << 10, 16 << 10, 32 << 10, 100_000,
		len(whole) / 2} {
		list, aside := openDamaged(t, fmt.Sprint(size, " bytes"), dir, whole[:size])
		if aside == "" {
			t.Errorf("%d bytes: nothing was set aside", size)
		}
		if least := n * (size - 16<<10) / len(whole) / 3; len(list) < least {
			t.Errorf("%d of %d bytes: %d entries rescued, want at least %d", size, len(whole), len(list), least)
		}
	}
	if list, aside := openDamaged(t, "whole", dir, whole); aside != "" || len(list) != n+1 {
		t.Errorf("the whole file: %d entries, aside %q", len(list), aside)
	}
}

// TestFlips changes every byte of the first four pages and of the first 80 bytes of each page, and a few other bytes:
// the store opens, and no entry is lost without a report.
func TestFlips(t *testing.T) {
	dir := t.TempDir()
	const n, pageBytes = 30, 4096
	whole := storeWith(t, dir, n)
	if err := check(bytes.NewReader(whole), int64(len(whole))); err != nil {
		t.Fatal(err)
	}
	f, err := openBolt(bytes.NewReader(whole), int64(len(whole)))
	if err != nil {
		t.Fatal(err)
	}
	damaged := bytes.Clone(whole)
	tried, set := 0, 0
	for at := range int(f.pages) * pageBytes {
		inPage := at % pageBytes
		if at >= 4*pageBytes && inPage >= 80 && at%101 != 0 {
			continue
		}
		flip := []byte{0x01, 0x80, 0xff}[at%3]
		damaged[at] ^= flip
		// check is tried with every change; opening a store with each of them would take too long.
		if err := check(bytes.NewReader(damaged), int64(len(damaged))); err != nil && damageOf(err) == nil {
			t.Errorf("byte %d: %v, want a *damage", at, err)
		} else if err == nil && at%511 == 0 || at%67 == 0 && inPage < 80 {
			list, aside := openDamaged(t, fmt.Sprintf("byte %d of page %d", inPage, at/pageBytes), dir, damaged)
			if tried++; aside != "" {
				set++
			}
			if len(list) < n && aside == "" {
				t.Errorf("byte %d of page %d: %d entries of %d, and no news", inPage, at/pageBytes, len(list), n+1)
			}
		}
		damaged[at] ^= flip
	}
	t.Logf("%d tried in a store, %d set aside", tried, set)
	if tried < 10 || set < 3 {
		t.Errorf("%d tried, %d set aside, want at least 10 and 3", tried, set)
	}
}

// TestCrafted opens files with valid checksums and crafted numbers, with which bbolt itself would recurse without end,
// allocate without bound or panic on another goroutine.
func TestCrafted(t *testing.T) {
	dir := t.TempDir()
	const n, pageBytes = 300, 4096
	whole := storeWith(t, dir, n)
	f, err := openBolt(bytes.NewReader(whole), int64(len(whole)))
	if err != nil {
		t.Fatal(err)
	}
	page := func(data []byte, id uint64) []byte { return data[id*pageBytes:] }
	// branch is the root page of the pictures, above its leaves.
	root, err := elements(page(whole, f.root)[:pageBytes])
	if err != nil || len(root) != 2 {
		t.Fatalf("%d buckets, %v", len(root), err)
	}
	branch := native.Uint64(root[0].value)
	if native.Uint16(page(whole, branch)[8:]) != branchPage {
		t.Fatal("the root page of the pictures is not a branch")
	}
	metas := func(data []byte, change func(m []byte)) {
		for id := range uint64(2) {
			m := page(data, id)[pageHeaderBytes:]
			change(m)
			sumMeta(m)
		}
	}
	for _, row := range []struct {
		name   string
		damage func(data []byte)
		least  int
	}{
		{"a page is its own child", func(d []byte) { native.PutUint64(page(d, branch)[pageHeaderBytes+8:], branch) }, n},
		{"two pages are each other's children", func(d []byte) {
			child := native.Uint64(page(d, branch)[pageHeaderBytes+8:])
			copy(page(d, child)[8:pageBytes], page(d, branch)[8:pageBytes])
			native.PutUint64(page(d, child)[pageHeaderBytes+8:], branch)
		}, n / 2},
		{"the root is its own bucket", func(d []byte) {
			at := bytes.Index(page(d, f.root)[:pageBytes], []byte("pictures")) + len("pictures")
			native.PutUint64(page(d, f.root)[at:], f.root)
		}, n},
		{"a bucket whose sequence number is above maxID", func(d []byte) {
			at := bytes.Index(page(d, f.root)[:pageBytes], []byte("pictures")) + len("pictures")
			native.PutUint64(page(d, f.root)[at+8:], 1<<62+n)
		}, n},
		{"a child beyond the file", func(d []byte) { native.PutUint64(page(d, branch)[pageHeaderBytes+8:], 1<<40) }, n},
		{"no list of free pages", func(d []byte) { metas(d, func(m []byte) { native.PutUint64(m[32:], noFreelist) }) }, n},
		{"a list of 2⁴⁰ free pages", func(d []byte) {
			native.PutUint16(page(d, f.freelist)[10:], 0xffff)
			native.PutUint64(page(d, f.freelist)[pageHeaderBytes:], 1<<40)
		}, n},
		{"a page that is used is free", func(d []byte) {
			native.PutUint16(page(d, f.freelist)[10:], 1)
			native.PutUint64(page(d, f.freelist)[pageHeaderBytes:], branch)
		}, n},
		{"2⁴⁰ pages", func(d []byte) { metas(d, func(m []byte) { native.PutUint64(m[40:], 1<<40) }) }, n},
		{"pages of 0 bytes", func(d []byte) { metas(d, func(m []byte) { native.PutUint32(m[8:], 0) }) }, 0},
		{"pages of 2³¹ bytes", func(d []byte) { metas(d, func(m []byte) { native.PutUint32(m[8:], 1<<31) }) }, 0},
		{"the root at the end", func(d []byte) { metas(d, func(m []byte) { native.PutUint64(m[16:], ^uint64(0)) }) }, n},
		{"2³² pages after one", func(d []byte) { native.PutUint32(page(d, branch)[12:], ^uint32(0)) }, n},
		{"another bucket", func(d []byte) {
			copy(page(d, f.root)[bytes.Index(page(d, f.root), []byte("pictures")):], "pastures")
		}, n},
		{"text", func(d []byte) { copy(d, strings.Repeat("no store\n", len(d)/9)) }, 0},
		{"zeros", func(d []byte) { clear(d) }, 0},
		{"one meta is cut off", func(d []byte) { clear(d[:pageBytes]) }, n},
	} {
		t.Run(row.name, func(t *testing.T) {
			damaged := bytes.Clone(whole)
			row.damage(damaged)
			list, aside := openDamaged(t, row.name, dir, damaged)
			if aside == "" || len(list) < row.least {
				t.Errorf("%d entries, want at least %d; aside %q", len(list), row.least, aside)
			}
		})
	}
}

// sumMeta sets the checksum of a meta page.
func sumMeta(m []byte) {
	sum := uint64(14695981039346656037) // FNV-1a
	for _, b := range m[:metaBytes-8] {
		sum = (sum ^ uint64(b)) * 1099511628211
	}
	binary.NativeEndian.PutUint64(m[metaBytes-8:], sum)
}

// TestBadEntries stores one invalid entry or reference: all others stay.
func TestBadEntries(t *testing.T) {
	for _, row := range []struct {
		name       string
		key, value []byte
		in         []byte
		aside      bool
	}{
		{"no JSON", key(99), []byte("{"), bucket, true},
		{"another key", []byte("key"), []byte("{}"), bucket, true},
		{"a reference without a time", bytes.Repeat([]byte{1}, digestBytes), []byte("x"), referenceBucket, false},
		{"a reference in another form", []byte("x"), nil, referenceBucket, false},
		{"a reference with an impossible time", bytes.Repeat([]byte{1}, digestBytes),
			[]byte("\xff\xff\xff\xff\xff\xff\xff\xff/x.png"), referenceBucket, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			dir := t.TempDir()
			storeWith(t, dir, 5)
			path := filepath.Join(dir, "made.db")
			db, err := bbolt.Open(path, 0o600, nil)
			if err != nil {
				t.Fatal(err)
			}
			err = db.Update(func(tx *bbolt.Tx) error { return tx.Bucket(row.in).Put(row.key, row.value) })
			if err != nil || db.Close() != nil {
				t.Fatal(err)
			}
			s, news := listen(path)
			if list := s.List(); len(list) != 6 || (len(*news) == 1) != row.aside {
				t.Errorf("%d entries, %+v", len(list), *news)
			}
			ref := picture.ReferenceFile{Path: filepath.Join(dir, "picture.png"), SHA256: digest("later")}
			s.Add(Entry{Path: "/new.png", Picture: picture.Metadata{References: []picture.ReferenceFile{ref}}})
			sum, _ := digestOf(ref)
			if got, err := s.remembered(sum); err != nil || got != ref.Path || s.lastErr != nil {
				t.Errorf("%q, %v, %v", got, err, s.lastErr)
			}
		})
	}
}

// TestNoFile uses a folder or a broken link as the store, which are set aside, and a store in a folder that cannot
// exist: an error is reported, and the entries stay in memory.
func TestNoFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "history.db")
	if err := os.MkdirAll(filepath.Join(path, "inside"), 0o755); err != nil {
		t.Fatal(err)
	}
	s, news := listen(path)
	if len(*news) != 1 || (*news)[0].Aside == "" {
		t.Fatalf("a folder: %+v", *news)
	}
	if info, err := os.Stat(filepath.Join((*news)[0].Aside, "inside")); err != nil || !info.IsDir() {
		t.Errorf("the content of the folder: %v", err)
	}
	s.Add(entry("kept"))
	if err := os.Rename(path, path+".moved"); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(dir, "gone"), path); err == nil {
		if s, news := listen(path); len(*news) != 1 || (*news)[0].Aside == "" || len(s.List()) != 0 {
			t.Errorf("a link that leads nowhere: %+v", *news)
		}
	}
	file := put(t, filepath.Join(dir, "file"), "")
	s, news = listen(filepath.Join(file, "history.db"))
	s.Add(entry("one"))
	s.Add(entry("two"))
	if list := s.List(); len(*news) != 1 || (*news)[0].Err == nil || len(list) != 2 || list[0].Picture.Prompt != "two" {
		t.Errorf("inside a file: %+v, %+v", *news, list)
	}
}

// TestTruncatedWhileOpen truncates the file within a transaction: the operation succeeds after a repair, and the store
// works afterwards.
func TestTruncatedWhileOpen(t *testing.T) {
	dir := t.TempDir()
	const n = 600
	data := storeWith(t, dir, n)
	path := filepath.Join(dir, "made.db")
	for _, reading := range []bool{true, false} {
		write(t, path, data)
		s, news := listen(path)
		first := true
		cut := func() {
			if first {
				first = false
				if err := os.Truncate(path, 16<<10); err != nil {
					t.Skip("cannot truncate an open file here:", err)
				}
			}
		}
		var err error
		if reading {
			err = s.view(func(b *bbolt.Bucket) error {
				cut()
				_, err := entries(b)
				return err
			})
		} else {
			err = s.update(func(b *bbolt.Bucket) error {
				cut()
				return putEntry(b, 1<<20, entry("made meanwhile"))
			})
		}
		if err != nil || len(*news) != 1 || (*news)[0].Aside == "" {
			t.Fatalf("reading %v: %v, %+v", reading, err, *news)
		}
		before := len(s.List())
		s.Add(entry("after"))
		if list := s.List(); len(list) != before+1 || s.lastErr != nil {
			t.Errorf("reading %v: %d entries, then %d", reading, before, len(list))
		}
	}
}
