// Package pth reads the tensors of small files as torch.save writes them: a zip archive with a pickle and the storages,
// or, before torch 1.6, pickles with the storages behind them. It runs nothing of a file: the pickle's machine here
// knows dictionaries, lists and tensors, and no other function.
package pth

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/kleinbild/kleinbild/inference/tensor"
)

// Limits of what is read. A state dict has some hundred tensors, and a pickle of about a hundred bytes for each.
const (
	maxPickleBytes = 4 << 20
	maxEntries     = 1 << 16 // of the archive
	maxTensors     = 1 << 14
	maxDims        = 8
	maxDepth       = 4 // of dictionaries inside of dictionaries
)

// storages are the formats of values by the names of torch's storages.
var storages = map[string]tensor.DType{
	"FloatStorage": tensor.F32, "HalfStorage": tensor.F16, "BFloat16Storage": tensor.BF16,
}

// Read reads the tensors of a file into memory, at most maxBytes of them. The names of a dictionary inside of
// another one follow that one's name and a dot. An error is one line that names the file.
func Read(ctx context.Context, name string, maxBytes int) (map[string]tensor.Tensor, error) {
	if info, err := os.Stat(name); err == nil && !info.Mode().IsRegular() { // opening a pipe would block
		return nil, fmt.Errorf("pth: %s: is not a regular file", name)
	}
	file, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("pth: %w", err)
	}
	defer file.Close()
	all, err := readFile(ctx, file, maxBytes)
	if err != nil {
		return nil, fmt.Errorf("pth: %s: %w", name, err)
	}
	for key, t := range all {
		t.Name = name + ": " + key
		all[key] = t
	}
	return all, nil
}

// readFile reads a file of either kind.
func readFile(ctx context.Context, file *os.File, maxBytes int) (map[string]tensor.Tensor, error) {
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	head := make([]byte, len(legacyMagic))
	if n, _ := file.ReadAt(head, 0); string(head[:n]) == legacyMagic {
		most := int64(maxBytes) + maxPickleBytes
		if info.Size() > most {
			return nil, fmt.Errorf("%d bytes, want at most %d MB", info.Size(), most>>20)
		}
		content, err := io.ReadAll(io.LimitReader(file, most))
		if err != nil {
			return nil, err
		}
		return readLegacy(ctx, content, maxBytes)
	}
	archive, err := zip.NewReader(file, info.Size())
	if err != nil {
		return nil, fmt.Errorf("is neither a zip archive, as torch.save writes it, nor its older form: %w", err)
	}
	return read(ctx, archive, maxBytes)
}

func read(ctx context.Context, archive *zip.Reader, maxBytes int) (map[string]tensor.Tensor, error) {
	if len(archive.File) > maxEntries {
		return nil, fmt.Errorf("%d entries, want at most %d", len(archive.File), maxEntries)
	}
	files := map[string]*zip.File{}
	root := ""
	for _, f := range archive.File {
		files[f.Name] = f
		if dir, base := path.Split(f.Name); base == "data.pkl" && root == "" {
			root = dir
		}
	}
	pickle := files[root+"data.pkl"]
	if pickle == nil {
		return nil, errors.New("holds no data.pkl")
	}
	if order := files[root+"byteorder"]; order != nil {
		if text, err := content(order, 16); err != nil || string(text) != "little" {
			return nil, fmt.Errorf("byteorder %.16q, want little", text)
		}
	}
	text, err := content(pickle, maxPickleBytes)
	if err != nil {
		return nil, err
	}
	top, _, err := run(text)
	if err != nil {
		return nil, fmt.Errorf("data.pkl: %w", err)
	}
	views, err := viewsOf(top)
	if err != nil {
		return nil, fmt.Errorf("data.pkl: %w", err)
	}
	return cut(ctx, views, maxBytes, func(key string) ([]byte, error) {
		f := files[root+"data/"+key]
		if f == nil {
			return nil, fmt.Errorf("%.100q is missing", "data/"+key)
		}
		return content(f, maxBytes)
	})
}

// viewsOf returns the tensors of a dictionary, which a pickle has made.
func viewsOf(top any) (map[string]view, error) {
	d, ok := top.(*dict)
	if !ok {
		return nil, errors.New("holds no dictionary of tensors")
	}
	views := map[string]view{}
	return views, flatten(views, "", d, 0)
}

// cut cuts the values of tensors out of the storages, which storage returns by their keys.
func cut(
	ctx context.Context, views map[string]view, maxBytes int, storage func(key string) ([]byte, error),
) (map[string]tensor.Tensor, error) {
	read := map[string][]byte{}
	left := maxBytes
	all := map[string]tensor.Tensor{}
	for name, v := range views {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		bytes := v.dtype.SizeBytes()
		n, at := v.elements*bytes, v.offset*bytes
		if left -= n; left < 0 {
			return nil, fmt.Errorf("more than %d MB of values", maxBytes>>20)
		}
		data, ok := read[v.key]
		if !ok {
			var err error
			if data, err = storage(v.key); err != nil {
				return nil, fmt.Errorf("%.100q: its values: %w", name, err)
			}
			read[v.key] = data
		}
		if at+n > len(data) {
			return nil, fmt.Errorf("%.100q: %v %v from value %d on, of only %d bytes",
				name, v.dtype, v.shape, v.offset, len(data))
		}
		all[name] = tensor.Tensor{DType: v.dtype, Shape: v.shape, Data: slices.Clone(data[at : at+n]), Scale: 1}
	}
	return all, nil
}

// content returns a file of the archive, of at most most bytes.
func content(f *zip.File, most int) ([]byte, error) {
	r, err := f.Open()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.Name, err)
	}
	defer r.Close()
	data, err := io.ReadAll(io.LimitReader(r, int64(most)+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %w", f.Name, err)
	case len(data) > most:
		return nil, fmt.Errorf("%s: more than %d bytes", f.Name, most)
	}
	return data, nil
}

// flatten stores the tensors of d in views. What is no tensor and no dictionary is left out.
func flatten(views map[string]view, prefix string, d *dict, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("dictionaries in more than %d levels", maxDepth)
	}
	for _, item := range d.items {
		name := prefix + item.key
		switch v := item.value.(type) {
		case view:
			if len(views) == maxTensors {
				return fmt.Errorf("more than %d tensors", maxTensors)
			}
			if _, twice := views[name]; twice {
				return fmt.Errorf("two tensors %.100q", name)
			}
			views[name] = v
		case *dict:
			if err := flatten(views, name+".", v, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}

// storageOf returns the format and the key of a storage from the parts of a persistent id. The older form has a sixth
// part, a view, which must be None.
func storageOf(id any) (s storage, ok bool) {
	parts, _ := id.([]any)
	if len(parts) == 6 && parts[5] == nil {
		parts = parts[:5]
	}
	if len(parts) != 5 || parts[0] != any("storage") {
		return s, false
	}
	class, isGlobal := parts[1].(global)
	s.key, ok = parts[2].(string)
	kind, known := strings.CutPrefix(string(class), "torch ")
	s.dtype = storages[kind]
	return s, ok && isGlobal && known && s.dtype != 0
}
