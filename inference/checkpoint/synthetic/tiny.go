package synthetic

import (
	"archive/zip"
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"io/fs"
)

// The tiny checkpoints' tokenizers: byte-level BPE trained on a few kB of text, in the files that Qwen2Tokenizer has.
var (
	//go:embed tokenizer-distilled.zip
	tokenizerDistilled []byte
	//go:embed tokenizer-base.zip
	tokenizerBase []byte
)

// TinyTokenizer holds the files of the tokenizer that fits TinyDistilled, or TinyBase.
func TinyTokenizer(distilled bool) (fs.FS, error) {
	archive := tokenizerBase
	if distilled {
		archive = tokenizerDistilled
	}
	r, err := zip.NewReader(bytes.NewReader(archive), int64(len(archive)))
	if err != nil {
		return nil, fmt.Errorf("synthetic: tokenizer: %w", err)
	}
	return r, nil
}

// WriteTiny makes the folder dir, which must not exist, with TinyDistilled or TinyBase and its tokenizer.
func WriteTiny(dir string, s Spec) error {
	tokenizer, err := TinyTokenizer(s.Distilled)
	if err != nil {
		return err
	}
	return Write(context.Background(), dir, s, Options{Tokenizer: tokenizer})
}
