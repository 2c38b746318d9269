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

	asset "github.com/kleinbild/kleinbild/assets/tokenizer"
)

// Open reads a tokenizer. path is a folder, or a tokenizer.json.
//
// In a folder Open reads tokenizer.json; if there is none, vocab.json with merges.txt. tokenizer_config.json, and for
// vocab.json also added_tokens.json, add special tokens. The error wraps fs.ErrNotExist if path or all of these files
// are missing.
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

// OpenFS is like Open for the root folder of fsys.
func OpenFS(fsys fs.FS) (*Tokenizer, error) { return openFS(fsys, ".") }

// Embedded returns Qwen3's tokenizer, which is embedded in the program, for checkpoints without one. The first call
// parses it.
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
		return nil, fmt.Errorf("tokenizer: %s: found neither tokenizer.json nor vocab.json and merges.txt: %w",
			dir, fs.ErrNotExist)
	}
	if err := cmp.Or(vocabErr, mergesErr); err != nil {
		// The error must not wrap fs.ErrNotExist, since the folder has one of the two files.
		return nil, fmt.Errorf("%v (vocab.json and merges.txt belong together)", err)
	}
	return parsePair(fsys, dir, vocab, merges, conf)
}

// readFile reads a regular file of at most limit bytes. Errors call it name.
func readFile(fsys fs.FS, file, name string, limit int64) ([]byte, error) {
	withName := func(err error) error {
		if path, ok := errors.AsType[*fs.PathError](err); ok {
			err = path.Err // without its path, which is relative to fsys
		}
		return fmt.Errorf("tokenizer: %s: %w", name, err)
	}
	info, err := fs.Stat(fsys, file)
	if err != nil {
		return nil, withName(err)
	}
	if !info.Mode().IsRegular() { // opening a pipe would block until it has a writer
		return nil, fmt.Errorf("tokenizer: %s: is not a regular file", name)
	}
	f, err := fsys.Open(file)
	if err != nil {
		return nil, withName(err)
	}
	defer f.Close()
	if info.Size() > limit {
		return nil, fmt.Errorf("tokenizer: %s: %d bytes, want at most %d: no tokenizer is that large",
			name, info.Size(), limit)
	}
	data := make([]byte, info.Size())
	if _, err := io.ReadFull(f, data); err != nil {
		return nil, fmt.Errorf("tokenizer: %s: %w", name, err)
	}
	return data, nil
}
