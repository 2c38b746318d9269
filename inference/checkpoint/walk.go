package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// walker lists weight files below folders. It follows links to files and to folders, enters each folder once, and goes past
// what cannot be read.
type walker struct {
	ctx     context.Context
	left    int             // entries that may still be looked at
	entered map[string]bool // by their real paths
	// skipped is what could not be read, with the reason.
	skipped []Place
}

// files lists the weight files below dir whose path below it, in lower case, wanted takes, in the order of their paths.
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
		w.skipped = append(w.skipped, Place{dir, fmt.Sprintf("holds, with the folders before it, more than %d entries: some are not looked at", maxWalked)})
		list = list[:len(list)-1]
	}
	for _, e := range list {
		if w.ctx.Err() != nil {
			return nil
		}
		path, name := filepath.Join(dir, e.Name()), filepath.Join(relative, strings.ToLower(e.Name()))
		isWeights := isWeightFile(name) && wanted(name)
		kind := e.Type()
		if kind&(fs.ModeSymlink|fs.ModeIrregular) != 0 { // junctions of Windows are irregular
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

// isWeightFile knows safetensors files by both of their endings.
func isWeightFile(name string) bool {
	lower := strings.ToLower(name)
	return strings.HasSuffix(lower, ".safetensors") || strings.HasSuffix(lower, ".sft")
}
