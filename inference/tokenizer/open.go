package tokenizer

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	asset "kleinbild/assets/tokenizer"
)

// Open reads the tokenizer in a folder: tokenizer.json, or else vocab.json with merges.txt, to which the Qwen2 rules are applied;
// tokenizer_config.json and, beside vocab.json, added_tokens.json name the special tokens. path may also be a tokenizer.json itself.
// The error satisfies errors.Is(err, fs.ErrNotExist) where there is none of these files.
func Open(path string) (*Tokenizer, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("tokenizer: %w", err)
	}
	if info.IsDir() {
		return openFS(os.DirFS(path), path)
	}
	data, err := readFile(os.DirFS(filepath.Dir(path)), filepath.Base(path), path, maxFileBytes)
	if err != nil {
		return nil, err
	}
	return parse(path, data, config{})
}

// OpenFS is Open for the root folder of any file system.
func OpenFS(fsys fs.FS) (*Tokenizer, error) { return openFS(fsys, ".") }

// Embedded returns the tokenizer of Qwen3 that is part of the program, for checkpoints that carry none. It is read at the first call.
var Embedded = sync.OnceValues(func() (*Tokenizer, error) {
	const name = "embedded tokenizer.json"
	unzip, err := gzip.NewReader(bytes.NewReader(asset.JSONGzip))
	if err != nil {
		return nil, fmt.Errorf("tokenizer: %s: %w", name, err)
	}
	data, err := io.ReadAll(unzip)
	if err != nil {
		return nil, fmt.Errorf("tokenizer: %s: %w", name, err)
	}
	return parse(name, data, config{})
})

func openFS(fsys fs.FS, dir string) (*Tokenizer, error) {
	conf, err := readConfig(fsys, dir)
	if err != nil {
		return nil, err
	}
	name := filepath.Join(dir, "tokenizer.json")
	data, err := readFile(fsys, "tokenizer.json", name, maxFileBytes)
	switch {
	case err == nil:
		return parse(name, data, conf)
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	vocab, vocabErr := readFile(fsys, "vocab.json", filepath.Join(dir, "vocab.json"), maxFileBytes)
	merges, mergesErr := readFile(fsys, "merges.txt", filepath.Join(dir, "merges.txt"), maxFileBytes)
	if errors.Is(vocabErr, fs.ErrNotExist) && errors.Is(mergesErr, fs.ErrNotExist) {
		return nil, fmt.Errorf("tokenizer: %s: found neither tokenizer.json nor vocab.json and merges.txt: %w", dir, fs.ErrNotExist)
	}
	if err := cmp.Or(vocabErr, mergesErr); err != nil {
		return nil, fmt.Errorf("%v (vocab.json and merges.txt belong together)", err) // not ErrNotExist: something is there
	}
	return parsePair(fsys, dir, vocab, merges, conf)
}

// readFile reads a file of at most limit bytes; name is how errors call it.
func readFile(fsys fs.FS, file, name string, limit int64) ([]byte, error) {
	withName := func(err error) error {
		if path, ok := errors.AsType[*fs.PathError](err); ok {
			err = path.Err // its path is relative to fsys
		}
		return fmt.Errorf("tokenizer: %s: %w", name, err)
	}
	info, err := fs.Stat(fsys, file)
	if err != nil {
		return nil, withName(err)
	}
	if !info.Mode().IsRegular() { // opening a pipe would wait for its writer
		return nil, fmt.Errorf("tokenizer: %s: is no regular file", name)
	}
	f, err := fsys.Open(file)
	if err != nil {
		return nil, withName(err)
	}
	defer f.Close()
	if info.Size() > limit {
		return nil, fmt.Errorf("tokenizer: %s: %d bytes, want at most %d: no tokenizer is that large", name, info.Size(), limit)
	}
	data := make([]byte, info.Size())
	if _, err := io.ReadFull(f, data); err != nil {
		return nil, fmt.Errorf("tokenizer: %s: %w", name, err)
	}
	return data, nil
}
