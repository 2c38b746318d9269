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
	"syscall"
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
	if _, err := os.Stat(dir); err == nil {
		return "", fmt.Errorf("%s: %w", dir, ErrInstalled)
	}
	track := newTracker(opts.Progress)
	files, err := listAll(ctx, h, m, opts.patience, track.problem)
	if err != nil {
		return "", err
	}
	staging := dir + ".part"
	if err := prepare(staging, m.Name, files); err != nil {
		return "", err
	}
	d := &download{hub: h, dir: staging, patience: opts.patience, track: track}
	if err := d.account(files, opts); err != nil {
		return "", err
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
	return dir, os.Rename(staging, dir)
}

func (o Options) complete() Options {
	o.Dir = cmp.Or(o.Dir, checkpoint.ModelsDir())
	o.Parallel = cmp.Or(o.Parallel, 4)
	o.patience = cmp.Or(o.patience, usualPatience)
	if o.Progress == nil {
		o.Progress = func(Progress) {}
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
	// A pipe in the place of the lock is opened without waiting.
	l := flock.New(filepath.Join(dir, "."+name+".lock"), flock.SetFlag(os.O_CREATE|os.O_RDONLY|syscall.O_NONBLOCK))
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
	return files, nil
}

// prepare makes the folder that is downloaded into. Of what an earlier call left there, it keeps what is still wanted.
func prepare(staging, model string, files []wanted) error {
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
		if err != nil || d.IsDir() || keep[path] {
			return err
		}
		return os.Remove(path)
	})
	if err != nil {
		return err
	}
	if err := os.MkdirAll(staging, 0o755); err != nil {
		return err
	}
	text, err := json.MarshalIndent(now, "", "  ")
	if err != nil {
		return err
	}
	return atomicfile.Write(filepath.Join(staging, manifestName), append(text, '\n'), 0o644)
}

// maxManifestBytes bounds a manifest; those of the catalogue's models have some 10 KiB.
const maxManifestBytes = 1 << 20

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

// spareBytes is what a download leaves free on the disk.
const spareBytes = 256 << 20

// account counts what is there already, and whether the rest fits on the disk.
func (d *download) account(files []wanted, opts Options) error {
	var total, done int64
	for _, f := range files {
		total += f.SizeBytes
		path := filepath.Join(d.dir, filepath.FromSlash(f.to))
		if info, err := os.Stat(path); err == nil && info.Size() == f.SizeBytes {
			done += f.SizeBytes
		} else if info, err := os.Stat(path + ".part"); err == nil && info.Size() <= f.SizeBytes {
			done += info.Size()
		}
	}
	free, err := opts.freeBytes(d.dir)
	if err != nil {
		return fmt.Errorf("free space of %s: %w", d.dir, err)
	}
	if need := total - done + spareBytes; need > 0 && uint64(need) > free {
		return fmt.Errorf("%s: %.1f GB are free, want %.1f GB for the download", opts.Dir, float64(free)/1e9, float64(need)/1e9)
	}
	d.track.begin(total, done)
	return nil
}
