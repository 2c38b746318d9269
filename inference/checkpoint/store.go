package checkpoint

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/kleinbild/kleinbild/atomicfile"
	"github.com/kleinbild/kleinbild/inference/checkpoint/gguf"
	"github.com/kleinbild/kleinbild/inference/checkpoint/mapped"
	"github.com/kleinbild/kleinbild/inference/checkpoint/safetensors"
	"github.com/kleinbild/kleinbild/inference/tensor"
)

// store is an open weight file, or the shards of one: a *safetensors.Set behind quantised, or a *gguf.File.
type store interface {
	// Files returns the open files.
	Files() []*mapped.File
	// Names returns the names of all tensors, sorted.
	Names() []string
	// Stat returns a tensor without its data. It reads nothing from the file.
	Stat(name string) (tensor.Tensor, error)
	// Tensor returns a tensor with its data, which is part of a mapping.
	Tensor(name string) (tensor.Tensor, error)
	Close() error
}

// openStore opens a GGUF file, a safetensors file, or the shards that a safetensors index names. The first bytes of a
// file decide, not its name.
func openStore(ctx context.Context, path string) (store, error) {
	if isGGUF(path) {
		f, err := gguf.Open(ctx, path)
		if err != nil {
			return nil, err
		}
		if n, _ := f.Number("split.count"); n > 1 {
			f.Close()
			return nil, fmt.Errorf("checkpoint: %s: is one of %v files, want one file: merge them with llama-gguf-split",
				path, n)
		}
		return f, nil
	}
	set, err := safetensors.OpenSet(ctx, path)
	if err != nil {
		return nil, err
	}
	return newQuantised(set)
}

// isGGUF reports whether the file at path begins as a GGUF file does.
func isGGUF(path string) bool {
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() {
		return false
	}
	f, _, err := atomicfile.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	magic := make([]byte, len(gguf.Magic))
	_, err = io.ReadFull(f, magic)
	return err == nil && string(magic) == gguf.Magic
}

// Tensors are the tensors of a weight file by the names in the file. They are valid until Close.
type Tensors struct{ store }

// OpenTensors opens a weight file of any supported format, whatever it holds.
func OpenTensors(ctx context.Context, path string) (*Tensors, error) {
	s, err := openStore(ctx, path)
	if err != nil {
		return nil, err
	}
	return &Tensors{s}, nil
}
