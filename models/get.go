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

	"github.com/kleinbild/kleinbild/atomicfile"
	"github.com/kleinbild/kleinbild/inference/checkpoint"
)

// Options are the options of Get. The zero value uses the defaults.
type Options struct {
	Dir      string // the folder of the models' folders; "" for checkpoint.ModelsDir()
	BaseURL  string // "" for DefaultBaseURL
	Token    string // a token of Hugging Face, for repositories that need one
	Parallel int    // files at once; 0 for 4
	// LicenceAccepted is true if the user has agreed to the licence. Models with Licence.Ask need it.
	LicenceAccepted bool
	// Progress is called from the goroutines that download, one call at a time and at most ten times a second. It must
	// not block. It may be nil.
	Progress func(Progress)

	// Tests set these; the zero values stand for usualPatience, the system's free space and os.File.Write.
	patience  patience
	freeBytes func(dir string) (uint64, error)
	write     func(f *os.File, b []byte) (int, error)
}

// patience says how often and how long a download tries.
type patience struct {
	attempts int           // the most attempts in a row that bring no bytes
	first    time.Duration // the wait before the second attempt; each next wait is twice as long
	most     time.Duration // the longest wait between two attempts
	stall    time.Duration // the longest wait for the next bytes of a connection
}

var usualPatience = patience{attempts: 8, first: time.Second, most: time.Minute, stall: 30 * time.Second}

// LicenceError is the error if the user has not agreed to the model's licence.
type LicenceError struct{ Model Model }

func (e *LicenceError) Error() string {
	return fmt.Sprintf("%s is under the %s (%s), which has to be accepted first",
		e.Model.Name, e.Model.Licence.Name, e.Model.Licence.URL)
}

// StorageError is the error if a file of the download cannot be written, for example because the disk is full. The
// bytes written before stay.
type StorageError struct {
	Dir       string // the folder of the models
	NeedBytes int64  // how many bytes are missing
	Err       error  // the system's error
}

func (e *StorageError) Error() string {
	return fmt.Sprintf("%s: %s are missing; the files downloaded so far are kept: %v", e.Dir, amount(e.NeedBytes), e.Err)
}

func (e *StorageError) Unwrap() error { return e.Err }

// amount formats a number of bytes in MB or GB.
func amount(bytes int64) string {
	if bytes < 1e8 {
		return fmt.Sprintf("%.1f MB", float64(bytes)/1e6)
	}
	return fmt.Sprintf("%.1f GB", float64(bytes)/1e9)
}

// ErrInstalled is the error if the model is already installed.
var ErrInstalled = errors.New("is already installed")

// ErrLocked is the error if another process downloads or removes the model.
var ErrLocked = errors.New("another process downloads or removes it")

// manifestName is the name of the file in a model's folder that lists the other files.
const manifestName = "kleinbild.json"

// manifest lists the files of a model's folder. Get writes it before it downloads them.
type manifest struct {
	Model string         `json:"model"`
	Files []manifestFile `json:"files"`
}

type manifestFile struct {
	remoteFile        // Path is the path in the model's folder
	Repository string `json:"repository"`
	Commit     string `json:"commit"`
}

// Get downloads a model and returns its folder. It resumes an interrupted download. If ctx ends, Get returns ctx's
// cause, and the bytes downloaded so far stay. Other errors can be a *LicenceError, a *StorageError, an *AccessError,
// or wrap ErrInstalled or ErrLocked.
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
	// os.Root keeps every write inside the folder, whatever links are in it.
	root, err := os.OpenRoot(staging)
	if err != nil {
		return "", err
	}
	defer root.Close()
	d := &download{hub: h, root: root, patience: opts.patience, track: track, write: opts.write}
	if err := d.countBytes(files, opts); err != nil {
		return "", err
	}
	if err := atomicfile.Write(filepath.Join(staging, manifestName), manifest, 0o644); err != nil {
		return "", d.storageError(err)
	}
	// The largest files come first, so that no single large file is left at the end.
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
	if err := root.Close(); err != nil { // before the rename: Windows does not rename a folder that is open
		return "", err
	}
	return dir, os.Rename(staging, dir)
}

// complete returns o with the defaults for its zero fields.
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

// lock locks the model called name in dir for this process. The error wraps ErrLocked if another process has locked it.
func lock(dir, name string) (unlock func(), err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, "."+name+".lock")
	if info, err := os.Lstat(path); err == nil && !info.Mode().IsRegular() { // opening a pipe would wait
		return nil, fmt.Errorf("lock: %s: is not a regular file", path)
	}
	l := flock.New(path) // the system unlocks it when the process ends, also after a crash
	switch ok, err := l.TryLock(); {
	case err != nil:
		return nil, fmt.Errorf("lock: %w", err)
	case !ok:
		return nil, fmt.Errorf("%s: %w", name, ErrLocked)
	}
	// The lock file stays: after removing it, two processes could lock different files with this name.
	return func() { _ = l.Unlock() }, nil
}

// listAll requests the file lists of the model's repositories and returns the files to download.
func listAll(ctx context.Context, h *hub, m Model, p patience, report func(string)) (files []wanted, err error) {
	for _, s := range m.sources {
		if r := s.release; r != nil {
			f := r.file
			f.repository, f.commit, f.address = s.repository, r.tag, r.address
			files = append(files, f)
			continue
		}
		err := p.retry(ctx, report, func() (progressed bool, err error) {
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

// prepare creates the folder staging, which the files are downloaded to, and returns the text of its manifest. In a
// folder that an earlier call left, it keeps only files that its manifest lists with the same path, size and digest as
// files, and their .part files. It removes links, also if staging is one, and never touches their targets.
func prepare(staging, model string, files []wanted) ([]byte, error) {
	old, _ := readManifest(staging) // if it cannot be read, no file is kept
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
		case d.IsDir() && keep[path]: // a folder with the name of a file
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

// readManifest reads the manifest in dir and checks its paths, sizes and digests.
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

// countBytes starts the progress with the bytes of all files and of those downloaded already. It returns an error if
// the others do not fit on the disk.
func (d *download) countBytes(files []wanted, opts Options) error {
	var total, done int64
	for _, f := range files {
		total += f.SizeBytes
		if info, err := d.root.Lstat(f.localPath()); err == nil && info.Size() == f.SizeBytes {
			done += f.SizeBytes
		} else if info, err := d.root.Lstat(f.localPath() + ".part"); err == nil && info.Size() <= f.SizeBytes {
			done += info.Size()
		}
	}
	// If the system does not report the free space, the download starts, and a full disk is a *StorageError later.
	free, err := opts.freeBytes(d.root.Name())
	if need := total - done + spareBytes; err == nil && need > 0 && uint64(need) > free {
		return fmt.Errorf("%s: %.1f GB are free, want %.1f GB for the download",
			opts.Dir, float64(free)/1e9, float64(need)/1e9)
	}
	d.track.begin(total, done)
	return nil
}
