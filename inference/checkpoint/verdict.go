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

	"kleinbild/inference/checkpoint/safetensors"
)

// Summary is what a search tells of a model that opens.
type Summary struct {
	// Name is for people, as Checkpoint's.
	Name      string
	SizeBytes int64
}

// Judge opens the model that spec names, as Open takes it, and closes it again: the error says why it does not open. The
// verdict is remembered by the names, sizes and times of the files, so that the next search reads none of them.
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
		if t, ok, err := uiTree(spec); ok && err == nil { // its files lie deeper than a stamp looks
			specs, _, err := t.specs(ctx)
			if len(specs) == 0 {
				return Summary{}, err
			}
			return judge(ctx, specs[0])
		}
	}
	return remembered(ctx, "model "+spec, func() (stamp, bool) { return stampOf(spec) }, func() (s Summary, err error) {
		c, err := open(ctx, spec)
		if err != nil {
			return s, err
		}
		s.Name = c.Name
		for _, f := range c.files() {
			s.SizeBytes += f.SizeBytes()
		}
		return s, c.Close()
	})
}

// opens returns why the model that spec names cannot be used, nil when it can.
func opens(ctx context.Context, spec string) error {
	_, err := judge(ctx, spec)
	return err
}

// stamp tells the state of the files that a verdict depends on: their names, sizes and times of change.
type stamp struct {
	sum    [sha256.Size]byte
	newest time.Time
}

// verdict is what was found, and of what.
type verdict struct {
	of    stamp
	found any
	err   error
}

var verdicts = struct {
	sync.Mutex
	list map[string]verdict
}{list: map[string]verdict{}}

// remembered returns what look found when the files had the same stamp, or what it finds now. What was found while the files
// changed, or too soon after for their times to tell, is not remembered; nor is what ctx or its budget kept from being read.
func remembered[T any](ctx context.Context, key string, stampNow func() (stamp, bool), look func() (T, error)) (T, error) {
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
	if !known || ctx.Err() != nil || errors.Is(err, safetensors.ErrBudget) {
		return found, err
	}
	if p, ok := errors.AsType[*fs.PathError](err); ok && !errors.Is(p, fs.ErrNotExist) && !errors.Is(p, fs.ErrPermission) {
		return found, err // a disk's fault, or too many open files: it may go by itself
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
		for any := range verdicts.list { // whichever comes; what is still wanted is looked at again
			delete(verdicts.list, any)
			break
		}
	}
	verdicts.list[key] = verdict{before, found, err}
	return found, err
}

// stamper writes what it sees of files to a hash.
type stamper struct {
	hash.Hash
	newest time.Time
	left   int // entries
}

// stampOf is the stamp of a model's folder and of the folders in it, or of a list of files. ok is false where there is none:
// for the demo model, and for folders of more than maxStamped entries.
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
			// These say whether a file that is missing is still on its way.
			w.file(filepath.Join(item, ".cache", "huggingface", "download"))
			if repository, ok := repositoryOf(filepath.Join(item, "x")); ok {
				w.file(filepath.Join(repository, "blobs"))
			}
		case strings.HasSuffix(item, ".json"): // an index, whose shards lie beside it
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

// folder adds the entries of dir, and of the folders in it down to depth.
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

// file adds what is known of a file without opening it, and says whether it is a folder.
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
