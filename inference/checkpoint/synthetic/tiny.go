package synthetic

import (
	"archive/zip"
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"io/fs"
)

// The tokenizers of the tiny checkpoints: byte-level BPE trained on a few kB of text, with the files of Qwen2Tokenizer.
var (
	//go:embed tokenizer-distilled.zip
	tokenizerDistilled []byte
	//go:embed tokenizer-base.zip
	tokenizerBase []byte
)

// TinyTokenizer returns the files of the tokenizer for TinyDistilled, or for TinyBase.
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

// WriteTiny writes the small checkpoint s, with a tokenizer, to the new folder dir.
func WriteTiny(dir string, s Spec) error {
	tokenizer, err := TinyTokenizer(s.Distilled)
	if err != nil {
		return err
	}
	return Write(context.Background(), dir, s, Options{Tokenizer: tokenizer})
}
