package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// walker finds weight files below folders. It follows links to files and to folders, enters each folder once, and skips
// what it cannot read.
type walker struct {
	ctx     context.Context
	left    int             // the number of entries that may still be visited
	entered map[string]bool // the folders that were entered, by their real paths
	// skipped holds the paths that could not be read, with the reasons.
	skipped []Place
}

// files returns the paths of the weight files below dir, in the order of their paths. wanted is called with a path
// relative to dir, in lower case, and reports whether the file is wanted.
func (w *walker) files(dir string, wanted func(path string) bool) []string {
	return w.below(dir, "", 0, wanted)
}

func (w *walker) below(dir, relative string, depth int, wanted func(path string) bool) (found []string) {
	if w.ctx.Err() != nil || w.left < 0 {
		return nil
	}
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		w.skip(dir, err)
		return nil
	}
	if w.entered[real] || depth > maxDepth {
		return nil
	}
	if w.entered == nil {
		w.entered = map[string]bool{}
	}
	w.entered[real] = true
	list, err := readDir(dir, w.left+1)
	if err != nil {
		w.skip(dir, err)
	}
	if w.left -= len(list); w.left < 0 {
		w.skipped = append(w.skipped, Place{dir, fmt.Sprintf(
			"was not searched completely: the folders up to this one have more than %d entries", maxWalked)})
		list = list[:len(list)-1]
	}
	for _, e := range list {
		if w.ctx.Err() != nil {
			return nil
		}
		path, name := filepath.Join(dir, e.Name()), filepath.Join(relative, strings.ToLower(e.Name()))
		isWeights := isWeightFile(name) && wanted(name)
		kind := e.Type()
		if kind&(fs.ModeSymlink|fs.ModeIrregular) != 0 { // a junction of Windows is irregular
			info, err := os.Stat(path)
			if err != nil {
				if isWeights || filepath.Ext(name) == "" {
					w.skip(path, err)
				}
				continue
			}
			kind = info.Mode().Type()
		}
		switch {
		case kind.IsDir():
			found = append(found, w.below(path, name, depth+1, wanted)...)
		case isWeights && kind.IsRegular():
			found = append(found, path)
		}
	}
	return found
}

// skip adds path to w.skipped with a reason for err.
func (w *walker) skip(path string, err error) {
	reason := "cannot be read"
	var inner *fs.PathError
	switch {
	case errors.Is(err, fs.ErrNotExist):
		reason = missing(path)
	case errors.Is(err, fs.ErrPermission):
		reason = "cannot be read: permission denied"
	case errors.As(err, &inner):
		reason = "cannot be read: " + inner.Err.Error()
	}
	w.skipped = append(w.skipped, Place{path, reason})
}

// isWeightFile reports whether name has one of the two extensions of safetensors files, or that of GGUF files.
func isWeightFile(name string) bool {
	return slices.Contains([]string{".safetensors", ".sft", ".gguf"}, strings.ToLower(filepath.Ext(name)))
}
