package models

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/kleinbild/kleinbild/atomicfile"
	"github.com/kleinbild/kleinbild/inference/checkpoint"
)

// Installed is a model on this machine.
type Installed struct {
	Name string // the name of its folder in dir, or the name of a model elsewhere
	Path string // for the engine: a folder, or a list of files
	Own  bool   // the model is in dir, so that Remove can remove it
	Size int64  // of its weights, in bytes; 0 if it cannot be opened
	// Weights names the formats of the transformer's and the text encoder's weights.
	Weights string
	KV      bool // it has a reference cache
	// Quality says how far its pictures are from those of bf16 weights, Need how much memory it takes.
	Quality checkpoint.Closeness
	Need    checkpoint.Need
	// Why says how its files were chosen, if there was a choice.
	Why string
}

// Skipped is a broken model, a folder that cannot be read, or a link to a missing file.
type Skipped = checkpoint.Place

// List returns the models in dir ("" for checkpoint.ModelsDir()) and, after them, those that the engine finds
// elsewhere.
func List(ctx context.Context, dir string, env func(string) string) ([]Installed, error) {
	list, _, err := Look(ctx, dir, env)
	return list, err
}

// Look returns the models as List does, and the places outside dir that were skipped. If ctx ends, Look returns at once
// with ctx's cause.
func Look(ctx context.Context, dir string, env func(string) string) (list []Installed, skipped []Skipped, err error) {
	type result struct {
		list    []Installed
		skipped []Skipped
	}
	r, err := checkpoint.Interruptible(ctx, func() (r result, err error) {
		r.list, r.skipped, err = look(ctx, dir, env)
		return r, err
	}, func(result) {})
	return r.list, r.skipped, err
}

func look(ctx context.Context, dir string, env func(string) string) (list []Installed, skipped []Skipped, err error) {
	dir = Options{Dir: dir}.complete().Dir
	// Search comes first, because it limits how much it reads, and describe then uses the results that it has cached.
	found, tried, err := checkpoint.Search(ctx, env)
	if err != nil {
		return nil, nil, err
	}
	entries, _ := os.ReadDir(dir) // if dir does not exist, it has no models
	for _, e := range entries {
		if path := filepath.Join(dir, e.Name()); isDir(path) && !strings.Contains(e.Name(), ".part") && !isExtra(e.Name()) {
			list = append(list, describe(ctx, path, true))
		}
	}
	for _, place := range tried {
		if !place.Empty() && !slices.ContainsFunc(list, func(i Installed) bool { return i.Path == place.Where }) {
			skipped = append(skipped, place)
		}
	}
	for _, f := range found {
		if !slices.ContainsFunc(list, func(i Installed) bool { return i.Path == f.Spec }) {
			i := describe(ctx, f.Spec, false)
			i.Why = f.Why
			list = append(list, i)
		}
	}
	if ctx.Err() != nil {
		return nil, nil, context.Cause(ctx)
	}
	return list, skipped, nil
}

// describe returns the model at path. own is true if it is in the folder of models.
func describe(ctx context.Context, path string, own bool) Installed {
	i := Installed{Name: filepath.Base(path), Path: path, Own: own}
	s, err := checkpoint.Judge(ctx, path)
	if err != nil {
		return i
	}
	i.Size, i.Weights, i.KV, i.Quality, i.Need = s.SizeBytes, s.Weights, s.KV, s.Closeness, s.Need
	if !own {
		i.Name = s.Name
	}
	return i
}

// Path returns the folder of the model called name in dir.
func Path(dir, name string) (string, error) {
	if !validPath(name) || strings.Contains(name, "/") {
		return "", fmt.Errorf("models: name %q, want the name of a folder", name)
	}
	path := filepath.Join(Options{Dir: dir}.complete().Dir, name)
	if info, err := os.Stat(path); err != nil || !info.IsDir() {
		return "", fmt.Errorf("models: %s: is not installed; get it with: kleinbild models get %s", path, name)
	}
	return path, nil
}

// Remove deletes the model called name in dir, and the files of an interrupted download of it. It removes links, also
// if the model's folder is one, and never their targets. The error wraps ErrLocked if another process has locked the
// model.
func Remove(dir, name string) error {
	if !validPath(name) || strings.Contains(name, "/") {
		return fmt.Errorf("models: name %q, want the name of a folder", name)
	}
	dir = Options{Dir: dir}.complete().Dir
	path := filepath.Join(dir, name)
	if !isDir(path) && !isDir(path+".part") {
		return fmt.Errorf("models: %s: is not installed", path)
	}
	unlock, err := lock(dir, name)
	if err != nil {
		return fmt.Errorf("models: %w", err)
	}
	defer unlock()
	if err := errors.Join(os.RemoveAll(path), os.RemoveAll(path+".part")); err != nil {
		return fmt.Errorf("models: %w", err)
	}
	return nil
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// ErrNoDigests is the error of Verify for a model without recorded digests.
var ErrNoDigests = errors.New("there are no digests to compare with")

// Damage is a file that Verify could not read, or whose size or digest is wrong.
type Damage struct {
	File string // the path in the model's folder, with slashes
	Err  error
}

// Verify reads the model at path and compares its files with their digests. It knows the digests of models that Get has
// downloaded (from the manifest) and of models in the Hugging Face cache (from the names of their files). It returns
// the damaged files. progress may be nil.
func Verify(ctx context.Context, path string, progress func(Progress)) (damaged []Damage, err error) {
	return checkpoint.Interruptible(ctx, func() ([]Damage, error) { return verify(ctx, path, progress) },
		func([]Damage) {})
}

func verify(ctx context.Context, path string, progress func(Progress)) (damaged []Damage, err error) {
	files, err := digests(ctx, path)
	if err != nil {
		return nil, err
	}
	if progress == nil {
		progress = func(Progress) {}
	}
	t := newTracker(progress)
	var total int64
	for _, f := range files {
		total += f.SizeBytes
	}
	t.begin(total, 0)
	for _, f := range files {
		switch err := verifyFile(ctx, filepath.Join(path, filepath.FromSlash(f.Path)), f, t); {
		case ctx.Err() != nil:
			return damaged, context.Cause(ctx)
		case err != nil:
			damaged = append(damaged, Damage{f.Path, err})
		}
	}
	t.finish()
	return damaged, nil
}

func verifyFile(ctx context.Context, path string, f remoteFile, t *tracker) error {
	file, _, err := atomicfile.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	h := f.newHash()
	buffer := make([]byte, 1<<20)
	var size int64
	for ctx.Err() == nil {
		n, err := file.Read(buffer)
		h.Write(buffer[:n])
		size += int64(n)
		t.add(int64(n))
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
	}
	if size != f.SizeBytes {
		return fmt.Errorf("found %d bytes, want %d", size, f.SizeBytes)
	}
	return f.match(h)
}

// digests returns the files of the model at path with their recorded sizes and digests. The error wraps ErrNoDigests if
// there are none.
func digests(ctx context.Context, path string) (files []remoteFile, err error) {
	if m, err := readManifest(path); err == nil {
		for _, f := range m.Files {
			files = append(files, f.remoteFile)
		}
		return files, nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("models: %w", err)
	}
	if !isDir(path) { // a list of files
		return nil, fmt.Errorf("models: %s: %w", path, ErrNoDigests)
	}
	// In the Hugging Face cache, a snapshot's files are links to ../../blobs/DIGEST.
	entries := 0
	err = filepath.WalkDir(path, func(p string, d fs.DirEntry, err error) error {
		if entries++; entries > maxVerified {
			return fmt.Errorf("%s: found more than %d entries, want the folder of a model", path, maxVerified)
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil || d.Type()&fs.ModeSymlink == 0 {
			return err
		}
		target, err := os.Readlink(p)
		if err != nil || filepath.Base(filepath.Dir(target)) != "blobs" {
			return err
		}
		relative, err := filepath.Rel(path, p)
		if err != nil {
			return err
		}
		f := remoteFile{Path: filepath.ToSlash(relative)}
		switch digest := filepath.Base(target); len(digest) {
		case 64:
			f.SHA256 = digest
		case 40:
			f.GitSHA1 = digest
		default:
			return nil
		}
		info, err := os.Stat(p)
		if err != nil {
			return err
		}
		f.SizeBytes = info.Size()
		files = append(files, f)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("models: %w", err)
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("models: %s: %w", path, ErrNoDigests)
	}
	return files, nil
}
