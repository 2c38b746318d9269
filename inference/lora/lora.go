// Package lora reads adapters for the transformer: LoRA, DoRA, LoHa, LoKr and whole differences, with the names of all
// trainers that are known. From a file and the shapes of a transformer's weights it finds out which layers the file
// changes, and gives the changes in float32, ready to be applied beside the weights.
//
// It returns an error for a damaged file, an alpha that is no positive number, tensors that do not belong together, a
// file that holds no adapter, one of another family of models, and one of which nothing fits. What it does not know in
// a file that fits otherwise is reported: no module is left out silently.
//
// The names and formulas follow Diffusers (loaders/lora_conversion_utils.py), PEFT, LyCORIS and ComfyUI
// (comfy/lora.py).
package lora

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"runtime"
	"slices"

	"github.com/kleinbild/kleinbild/inference/checkpoint/safetensors"
	"github.com/kleinbild/kleinbild/inference/tensor"
)

// File is an open adapter file. Its methods may be called concurrently, except Close.
type File struct {
	path    string
	file    *safetensors.File
	digest  string   // "" if it was not computed
	modules []module // sorted by name
	alphas  alphas
	config  string      // the path of PEFT's config beside it, "" for none
	beside  string      // the SHA-256 of config, in hex, "" if its alpha does not count
	info    os.FileInfo // when it was opened, nil for a file in memory
	about   os.FileInfo // the same of config, nil for none
}

// module is an adapter of one layer: the tensors whose names differ only in their ends.
type module struct {
	name string
	keys [roles]string // the names of its tensors, "" for one that it lacks
	// stray is true for a tensor that is no part of an adapter.
	stray bool
}

// Open opens the adapter in the file at path, reads its header and its alphas, and computes its digest. If ctx has
// ended, Open returns its cause.
func Open(ctx context.Context, path string) (*File, error) {
	f, err := Inspect(ctx, path)
	if err != nil {
		return nil, err
	}
	if f.digest, err = digest(ctx, path); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// Inspect is Open without the digest, for which all of the file is read. It is for a look at many files.
func Inspect(ctx context.Context, path string) (*File, error) {
	file, err := safetensors.Open(ctx, path)
	if err != nil {
		return nil, err
	}
	f := &File{path: path, file: file, config: configBeside(path)}
	f.info, err = os.Stat(path)
	if err == nil && f.config != "" {
		f.about, err = os.Stat(f.config)
	}
	if err == nil {
		err = f.read()
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return f, nil
}

// FromBytes opens an adapter whose file is in memory, as Open. Errors call it path. The bytes must not be changed while
// it is open.
func FromBytes(path string, data []byte) (*File, error) {
	file, err := safetensors.FromBytes(path, data)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(data)
	f := &File{path: path, file: file, digest: hex.EncodeToString(sum[:])}
	if err := f.read(); err != nil {
		return nil, err
	}
	return f, nil
}

// read reads the header and the alphas.
func (f *File) read() error {
	if f.file.SizeBytes() > maxFileBytes {
		return f.errorf("%d bytes, want at most %d", f.file.SizeBytes(), int64(maxFileBytes))
	}
	modules := map[string]*module{}
	adapters := 0
	for _, key := range f.file.Names() {
		name, r := parseKey(key)
		m := modules[name]
		if m == nil {
			m = &module{name: name}
			modules[name] = m
		}
		if m.keys[r] != "" && r != noRole && r != roleHadaT && r != roleNorm {
			return f.errorf("%s: found beside %s, want one of them", key, m.keys[r])
		}
		m.keys[r] = key
		if r != noRole {
			adapters++
		}
	}
	if adapters == 0 {
		return f.errorf("%s: found %d tensors like this one, and no adapter: want a LoRA, LoHa, LoKr or DoRA; is this a "+
			"whole checkpoint?", first(f.file.Names()), len(f.file.Names()))
	}
	if len(modules) > maxModules {
		return f.errorf("%d layers, want at most %d", len(modules), maxModules)
	}
	for _, name := range slices.Sorted(maps.Keys(modules)) {
		m := *modules[name]
		m.stray = m.keys == [roles]string{noRole: m.keys[noRole]}
		f.modules = append(f.modules, m)
	}
	var err error
	f.alphas, err = f.readAlphas()
	return err
}

// first returns the first of list, "" if there is none.
func first(list []string) string {
	if len(list) == 0 {
		return "the header"
	}
	return list[0]
}

// digest returns the SHA-256 of a file, in hex, by which the sites that share adapters know them.
func digest(ctx context.Context, path string) (string, error) {
	file, err := os.Open(path) // safetensors.Open has made sure that it is a regular file
	if err != nil {
		return "", fmt.Errorf("lora: %w", err)
	}
	defer file.Close()
	h := sha256.New()
	block := make([]byte, 1<<20)
	for {
		if ctx.Err() != nil {
			return "", context.Cause(ctx)
		}
		n, err := file.Read(block)
		h.Write(block[:n])
		if err == io.EOF {
			return hex.EncodeToString(h.Sum(nil)), nil
		} else if err != nil {
			return "", fmt.Errorf("lora: %w", err)
		}
	}
}

func (f *File) errorf(format string, args ...any) error {
	return fmt.Errorf("lora: %s: %w", f.path, fmt.Errorf(format, args...))
}

// Path returns the path that Open or FromBytes was given.
func (f *File) Path() string { return f.path }

// Digest returns the SHA-256 of the file, in hex.
func (f *File) Digest() string { return f.digest }

// Changed returns an error if the file was changed after Open.
func (f *File) Changed() error {
	if err := f.file.Changed(); err != nil {
		return f.errorf("it was changed, or its disk was removed: choose it again")
	}
	return nil
}

// Current says whether the file at the path is still the one that is open, with the same config beside it.
func (f *File) Current() bool {
	if f.info == nil {
		return true
	}
	return unchanged(f.path, f.info) && f.config == configBeside(f.path) &&
		(f.config == "" || unchanged(f.config, f.about))
}

// unchanged says whether the file at path is still the one that info describes.
func unchanged(path string, info os.FileInfo) bool {
	now, err := os.Stat(path)
	return err == nil && os.SameFile(info, now) && now.Size() == info.Size() && now.ModTime().Equal(info.ModTime())
}

// Close closes the file.
func (f *File) Close() error { return f.file.Close() }

// CloseLater closes the file when nothing refers to it any more: no File, and no Match of it.
func (f *File) CloseLater() {
	runtime.AddCleanup(f, func(file *safetensors.File) { _ = file.Close() }, f.file)
}

// stat returns the shape of a tensor without the dimensions of 1 that a linear layer as a convolution has behind its
// two, and without its data.
func (f *File) stat(key string) (tensor.Tensor, error) {
	t, err := f.file.Stat(key)
	if err != nil {
		return t, err
	}
	if !t.DType.Float() {
		return t, f.errorf("%s: dtype %v, want F32, F16, BF16 or F8_E4M3", key, t.DType)
	}
	for len(t.Shape) > 2 && t.Shape[len(t.Shape)-1] == 1 {
		t.Shape = t.Shape[:len(t.Shape)-1]
	}
	if tensor.Elements(t.Shape) == 0 {
		return t, f.errorf("%s: shape %v, want one value at least", key, t.Shape)
	}
	return t, nil
}

// values returns the values of a tensor. It returns an error for a page of the file that cannot be read.
func (f *File) values(key string) (values []float32, err error) {
	t, err := f.file.Tensor(key)
	if err != nil {
		return nil, err
	}
	if fault := tensor.Guard(func() { values = t.Float32s() }); fault != nil {
		return nil, f.errorf("it was changed, or its disk was removed: choose it again")
	}
	return values, nil
}

// floats is values for a tensor whose values must be finite numbers.
func (f *File) floats(key string) ([]float32, error) {
	values, err := f.values(key)
	for i, v := range values {
		if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
			return nil, f.errorf("%s: found %v at %d, want finite numbers", key, v, i)
		}
	}
	return values, err
}
