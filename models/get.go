package models

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/gofrs/flock"
	"github.com/shirou/gopsutil/v4/disk"
	"golang.org/x/sync/errgroup"

	"kleinbild/atomicfile"
	"kleinbild/inference/checkpoint"
)

// Options say how to download. The zero value serves.
type Options struct {
	Dir      string // holds a folder for each model; checkpoint.ModelsDir() where empty
	BaseURL  string // DefaultBaseURL where empty
	Token    string // for repositories that ask for one
	Parallel int    // files at once; 4 where 0
	// LicenceAccepted is the user's agreement, which models with Licence.Ask need.
	LicenceAccepted bool
	// Progress is called from the goroutines that download, one call at a time and at most ten times a second. It must
	// not block. It may be nil.
	Progress func(Progress)

	patience  patience                         // for tests; usual where zero
	freeBytes func(dir string) (uint64, error) // for tests
	// write puts bytes into a file; for tests, os.File's where nil.
	write func(f *os.File, b []byte) (int, error)
}

// patience is how much a download bears.
type patience struct {
	attempts int           // in a row that bring nothing
	first    time.Duration // before the second attempt; it doubles with each
	most     time.Duration // between two attempts
	stall    time.Duration // between two reads
}

var usualPatience = patience{attempts: 8, first: time.Second, most: time.Minute, stall: 30 * time.Second}

// LicenceError says that the user has to agree to a licence first.
type LicenceError struct{ Model Model }

func (e *LicenceError) Error() string {
	return fmt.Sprintf("%s is under the %s (%s), which has to be accepted first", e.Model.Name, e.Model.Licence.Name, e.Model.Licence.URL)
}

// StorageError says that the disk did not take what came, as a full one does. What was written before is kept.
type StorageError struct {
	Dir string
	// NeedBytes are still to come.
	NeedBytes int64
	Err       error // the system's
}

func (e *StorageError) Error() string {
	return fmt.Sprintf("%s: %s are still to come, and what has come is kept: %v", e.Dir, amount(e.NeedBytes), e.Err)
}

func (e *StorageError) Unwrap() error { return e.Err }

// amount is a number of bytes for people.
func amount(bytes int64) string {
	if bytes < 1e8 {
		return fmt.Sprintf("%.1f MB", float64(bytes)/1e6)
	}
	return fmt.Sprintf("%.1f GB", float64(bytes)/1e9)
}

// ErrInstalled is wrapped by Get's error where the model is there already.
var ErrInstalled = errors.New("is there already")

// ErrLocked is wrapped by the error where another process has the model in its hands.
var ErrLocked = errors.New("another download of it is under way")

// manifestName is the file in a model's folder that lists the others.
const manifestName = "kleinbild.json"

// manifest says what a folder holds, or is going to hold.
type manifest struct {
	Model string         `json:"model"`
	Files []manifestFile `json:"files"`
}

type manifestFile struct {
	remoteFile        // Path is that in the folder
	Repository string `json:"repository"`
	Commit     string `json:"commit"`
}

// Get downloads a model and returns its folder. What an earlier call left is gone on with. When ctx ends, so does Get,
// with its error, and what has come stays.
func Get(ctx context.Context, m Model, opts Options) (dir string, err error) {
	if dir, err = get(ctx, m, opts); err != nil {
		return "", fmt.Errorf("models: %w", err)
	}
	return dir, nil
}

func get(ctx context.Context, m Model, opts Options) (dir string, err error) {
	if m.Licence.Ask && !opts.LicenceAccepted {
		return "", &LicenceError{m}
	}
	opts = opts.complete()
	h, err := newHub(opts.BaseURL, opts.Token)
	if err != nil {
		return "", err
	}
	dir = filepath.Join(opts.Dir, m.Name)
	unlock, err := lock(opts.Dir, m.Name)
	if err != nil {
		return "", err
	}
	defer unlock()
	if _, err := os.Lstat(dir); err == nil {
		return "", fmt.Errorf("%s: %w", dir, ErrInstalled)
	}
	track := newTracker(opts.Progress)
	files, err := listAll(ctx, h, m, opts.patience, track.problem)
	if err != nil {
		return "", err
	}
	staging := dir + ".part"
	manifest, err := prepare(staging, m.Name, files)
	if err != nil {
		return "", err
	}
	// The root keeps every write inside the folder, wherever links in it may lead.
	root, err := os.OpenRoot(staging)
	if err != nil {
		return "", err
	}
	defer root.Close()
	d := &download{hub: h, root: root, patience: opts.patience, track: track, write: opts.write}
	if err := d.account(files, opts); err != nil {
		return "", err
	}
	if err := atomicfile.Write(filepath.Join(staging, manifestName), manifest, 0o644); err != nil {
		return "", d.storage(err)
	}
	// The largest first: what is left at the end then keeps all connections busy.
	slices.SortStableFunc(files, func(a, b wanted) int { return cmp.Compare(b.SizeBytes, a.SizeBytes) })
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(opts.Parallel)
	for _, f := range files {
		group.Go(func() error { return d.file(ctx, f) })
	}
	if err := group.Wait(); err != nil {
		return "", err
	}
	d.track.finish()
	if err := root.Close(); err != nil { // Windows renames no folder that is open
		return "", err
	}
	return dir, os.Rename(staging, dir)
}

func (o Options) complete() Options {
	o.Dir = cmp.Or(o.Dir, checkpoint.ModelsDir())
	o.Parallel = cmp.Or(o.Parallel, 4)
	o.patience = cmp.Or(o.patience, usualPatience)
	if o.Progress == nil {
		o.Progress = func(Progress) {}
	}
	if o.write == nil {
		o.write = (*os.File).Write
	}
	if o.freeBytes == nil {
		o.freeBytes = func(dir string) (uint64, error) {
			usage, err := disk.Usage(dir)
			if err != nil {
				return 0, err
			}
			return usage.Free, nil
		}
	}
	return o
}

// lock keeps a second process away from a model.
func lock(dir, name string) (unlock func(), err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, "."+name+".lock")
	if info, err := os.Lstat(path); err == nil && !info.Mode().IsRegular() { // opening a pipe would wait
		return nil, fmt.Errorf("lock: %s: is no ordinary file, want one or none", path)
	}
	l := flock.New(path) // the system takes the lock away when the process ends, however it does
	switch ok, err := l.TryLock(); {
	case err != nil:
		return nil, fmt.Errorf("lock: %w", err)
	case !ok:
		return nil, fmt.Errorf("%s: %w", name, ErrLocked)
	}
	// The file stays: whoever removed it could remove the lock of a third.
	return func() { _ = l.Unlock() }, nil
}

// listAll asks each of the model's repositories what it holds.
func listAll(ctx context.Context, h *hub, m Model, p patience, note func(string)) (files []wanted, err error) {
	for _, s := range m.sources {
		err := p.insist(ctx, note, func() (progressed bool, err error) {
			commit, all, err := h.list(ctx, s.repository)
			if err != nil {
				return false, err
			}
			chosen, err := s.choose(all)
			if err != nil {
				return false, permanent{err}
			}
			for i := range chosen {
				chosen[i].repository, chosen[i].commit = s.repository, commit
			}
			files = append(files, chosen...)
			return false, nil
		})
		if err != nil {
			return nil, err
		}
	}
	return files, checkAll(files)
}

// prepare makes the folder that is downloaded into, and the text of its list of files. Of what an earlier call left there, it keeps the files that are still
// wanted. It removes links, also in the folder's own place, and never what they lead to.
func prepare(staging, model string, files []wanted) ([]byte, error) {
	old, _ := readManifest(staging) // without one nothing is known about what lies there
	now := manifest{Model: model}
	keep := map[string]bool{filepath.Join(staging, manifestName): true}
	for _, f := range files {
		entry := manifestFile{f.remoteFile, f.repository, f.commit}
		entry.Path = f.to
		now.Files = append(now.Files, entry)
		same := slices.ContainsFunc(old.Files, func(o manifestFile) bool { return o.remoteFile == entry.remoteFile })
		if same {
			path := filepath.Join(staging, filepath.FromSlash(f.to))
			keep[path], keep[path+".part"] = true, true
		}
	}
	err := filepath.WalkDir(staging, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		switch {
		case err != nil:
			return err
		case d.IsDir() && keep[path]: // where a file belongs
			if err := os.RemoveAll(path); err != nil {
				return err
			}
			return fs.SkipDir
		case d.IsDir() || d.Type().IsRegular() && keep[path]:
			return nil
		}
		return os.Remove(path)
	})
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(staging, 0o755); err != nil {
		return nil, err
	}
	text, err := json.MarshalIndent(now, "", "  ")
	return append(text, '\n'), err
}

func readManifest(dir string) (m manifest, err error) {
	text, err := atomicfile.Read(filepath.Join(dir, manifestName), maxManifestBytes)
	if err != nil {
		return m, err
	}
	if err := json.Unmarshal(text, &m); err != nil {
		return m, fmt.Errorf("%s: %w", filepath.Join(dir, manifestName), err)
	}
	for _, f := range m.Files {
		if err := (wanted{remoteFile: f.remoteFile, to: f.Path}).check(); err != nil {
			return manifest{}, fmt.Errorf("%s: %w", filepath.Join(dir, manifestName), err)
		}
	}
	return m, nil
}

// account counts what is there already, and whether the rest fits on the disk.
func (d *download) account(files []wanted, opts Options) error {
	var total, done int64
	for _, f := range files {
		total += f.SizeBytes
		if info, err := d.root.Lstat(f.place()); err == nil && info.Size() == f.SizeBytes {
			done += f.SizeBytes
		} else if info, err := d.root.Lstat(f.place() + ".part"); err == nil && info.Size() <= f.SizeBytes {
			done += info.Size()
		}
	}
	// Where the system cannot tell what is free, a full disk says so in its time.
	free, err := opts.freeBytes(d.root.Name())
	if need := total - done + spareBytes; err == nil && need > 0 && uint64(need) > free {
		return fmt.Errorf("%s: %.1f GB are free, want %.1f GB for the download", opts.Dir, float64(free)/1e9, float64(need)/1e9)
	}
	d.track.begin(total, done)
	return nil
}
