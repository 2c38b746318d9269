package cli

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"io/fs"
	"time"

	tokenizer "kleinbild/assets/tokenizer"
	"kleinbild/inference/checkpoint/synthetic"
)

type benchCommand struct {
	Checkpoint benchCheckpoint `cmd:"" help:"Write a random checkpoint of the 4B model's size (16 GB), to measure with."`
	Tune       benchTune       `cmd:"" help:"Measure which of a graphics card's kernels are fastest, and keep the choices."`
}

type benchCheckpoint struct {
	Dir string `arg:"" help:"The folder to make."`
}

func (c benchCheckpoint) Run(ctx context.Context, s Streams) error {
	files, err := qwen3Tokenizer()
	if err != nil {
		return err
	}
	start := time.Now()
	last := start
	err = synthetic.Write(ctx, c.Dir, synthetic.Full4B(), synthetic.Options{
		Tokenizer: files,
		Progress: func(written, total int64) {
			if now := time.Now(); now.Sub(last) > time.Second {
				fmt.Fprintf(s.Err, "%.1f of %.1f GB\n", float64(written)/1e9, float64(total)/1e9)
				last = now
			}
		},
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(s.Err, "written in %.0f s\n", time.Since(start).Seconds())
	return s.result(c.Dir)
}

// qwen3Tokenizer is the built-in tokenizer as the folder that a checkpoint has, packed into an archive in memory
// because that is a file system of the standard library.
func qwen3Tokenizer() (fs.FS, error) {
	unzipped, err := gzip.NewReader(bytes.NewReader(tokenizer.JSONGzip))
	if err != nil {
		return nil, err
	}
	var archive bytes.Buffer
	w := zip.NewWriter(&archive)
	file, err := w.CreateHeader(&zip.FileHeader{Name: "tokenizer.json", Method: zip.Store})
	if err != nil {
		return nil, err
	}
	if _, err := io.Copy(file, unzipped); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return zip.NewReader(bytes.NewReader(archive.Bytes()), int64(archive.Len()))
}
