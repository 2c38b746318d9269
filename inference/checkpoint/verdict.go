package checkpoint

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/kleinbild/kleinbild/inference/checkpoint/mapped"
)

// Summary describes a model that opens.
type Summary struct {
	// Name is the Name of its Checkpoint.
	Name      string
	SizeBytes int64
	// Weights names the formats of the transformer and the text encoder, for people.
	Weights   string
	Closeness Closeness
	Need      Need
	Base      bool // it is a base model, or its name says so
	KV        bool // it has a reference cache, or its name says so
}

// Judge opens the model that spec names (see Open) and closes it again. The error says why it does not open. The result
// is cached until names, sizes or times of the files change, so that the next search does not read them.
func Judge(ctx context.Context, spec string) (Summary, error) {
	return Interruptible(ctx, func() (Summary, error) { return judge(ctx, spec) }, func(Summary) {})
}

func judge(ctx context.Context, spec string) (Summary, error) {
	if isDir(spec) && !exists(filepath.Join(spec, "model_index.json")) {
		if isRepository(spec) {
			snapshot, err := snapshotOf(ctx, spec)
			if err != nil {
				return Summary{}, err
			}
			return judge(ctx, snapshot)
		}
		// The files of an installation are deeper than a stamp covers, so its first model is judged.
		if t, ok, err := installationAt(spec); ok && err == nil {
			found, _, err := t.models(ctx)
			if len(found) == 0 {
				return Summary{}, err
			}
			return judge(ctx, found[0].Spec)
		}
	}
	return cached(ctx, "model "+spec, func() (stamp, bool) { return stampOf(spec) }, func() (s Summary, err error) {
		c, err := open(ctx, spec)
		if err != nil {
			return s, err
		}
		s.Name, s.Closeness, s.Need = c.Name, c.Closeness(), c.Need()
		s.KV = c.Hint != nil && c.Hint.KV || c.Index.KV
		s.Base = !s.KV && (c.Hint != nil && c.Hint.Base || c.Index.IsDistilled != nil && !*c.Index.IsDistilled)
		s.Weights = c.Transformer.Formats() + "; " + c.TextEncoder.Formats()
		for _, f := range c.files() {
			s.SizeBytes += f.SizeBytes()
		}
		return s, c.Close()
	})
}

// opens returns nil if the model that spec names opens, and otherwise the reason.
func opens(ctx context.Context, spec string) error {
	_, err := judge(ctx, spec)
	return err
}

// stamp is a fingerprint of the files on which a verdict depends.
type stamp struct {
	sum    [sha256.Size]byte // of their names, sizes, times of modification and identities
	newest time.Time         // the latest time of modification
}

// verdict is a cached result, with the stamp of the files that it was made from.
type verdict struct {
	of    stamp
	found any
	err   error
}

var verdicts = struct {
	sync.Mutex
	list map[string]verdict
}{list: map[string]verdict{}}

// cached returns the cached result of look for key if the files still have the same stamp, and calls look otherwise. It
// does not cache a result if the files changed during look or less than settled before it, if the end of ctx or of its
// budget kept look from reading, or if stampNow returns false.
func cached[T any](ctx context.Context, key string, stampNow func() (stamp, bool), look func() (T, error)) (T, error) {
	before, known := stampNow()
	if known {
		verdicts.Lock()
		v, ok := verdicts.list[key]
		verdicts.Unlock()
		if ok && v.of.sum == before.sum {
			return v.found.(T), v.err
		}
	}
	found, err := look()
	if !known || ctx.Err() != nil || errors.Is(err, mapped.ErrBudget) {
		return found, err
	}
	if p, ok := errors.AsType[*fs.PathError](err); ok && !errors.Is(p, fs.ErrNotExist) && !errors.Is(p, fs.ErrPermission) {
		return found, err // an error of the disk, or too many open files: the next call may succeed
	}
	if age := time.Since(before.newest); age >= 0 && age < settled {
		return found, err
	}
	if after, ok := stampNow(); !ok || after.sum != before.sum {
		return found, err
	}
	verdicts.Lock()
	defer verdicts.Unlock()
	if len(verdicts.list) >= maxVerdicts {
		for oldKey := range verdicts.list { // remove any verdict; if it is needed again, its files are read again
			delete(verdicts.list, oldKey)
			break
		}
	}
	verdicts.list[key] = verdict{before, found, err}
	return found, err
}

// stamper computes a stamp. It writes what os.Stat tells of files to a hash.
type stamper struct {
	hash.Hash
	newest time.Time
	left   int // the number of entries that may still be added
}

// stampOf returns the stamp of the files of spec: of a model's folder and the folders in it, or of a list of files. ok
// is false for the demo model and for folders of more than maxStamped entries, which have no stamp.
func stampOf(spec string) (s stamp, ok bool) {
	w := stamper{Hash: sha256.New(), left: maxStamped}
	items := []string{spec}
	if !exists(spec) {
		items = itemsOf(spec)
	}
	for _, item := range items {
		switch {
		case spec == Demo:
			return s, false
		case isDir(item):
			w.folder(item, 1)
			// From these folders missing finds out whether a download is complete.
			w.file(filepath.Join(item, ".cache", "huggingface", "download"))
			if repository, ok := repositoryOf(filepath.Join(item, "x")); ok {
				w.file(filepath.Join(repository, "blobs"))
			}
		case strings.HasSuffix(item, ".json"): // an index: its shards are in the same folder
			w.folder(filepath.Dir(item), 0)
		default:
			w.file(item)
		}
	}
	if w.left < 0 {
		return s, false
	}
	w.Sum(s.sum[:0])
	s.newest = w.newest
	return s, true
}

// folder adds the entries of dir, and of its subfolders down to depth.
func (w *stamper) folder(dir string, depth int) {
	list, err := readDir(dir, max(w.left, 0)+1)
	if err != nil {
		fmt.Fprintf(w, "%q %v\n", dir, err)
	}
	for _, e := range list {
		path := filepath.Join(dir, e.Name())
		if w.file(path) && depth > 0 {
			w.folder(path, depth-1)
		}
		if w.left < 0 {
			return
		}
	}
}

// file adds what os.Stat tells of path, and reports whether it is a folder.
func (w *stamper) file(path string) (isDir bool) {
	w.left--
	info, err := os.Stat(path)
	if err != nil {
		fmt.Fprintf(w, "%q is missing: %t\n", path, errors.Is(err, fs.ErrNotExist))
		return false
	}
	fmt.Fprintf(w, "%q %v %d %d %s\n", path, info.Mode(), info.Size(), info.ModTime().UnixNano(), identity(info))
	if info.ModTime().After(w.newest) {
		w.newest = info.ModTime()
	}
	return info.IsDir()
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}
