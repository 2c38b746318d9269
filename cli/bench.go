package cli

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"time"

	tokenizer "github.com/kleinbild/kleinbild/assets/tokenizer"
	"github.com/kleinbild/kleinbild/inference/checkpoint/synthetic"
)

type benchCommand struct {
	Checkpoint benchCheckpoint `cmd:"" help:"Write a synthetic checkpoint of the 4B model's size, 16 GB."`
	CPU        benchCPU        `cmd:"" name:"cpu" help:"Measure the processor's paths at the shapes of the 4B model."`
	Quality    benchQuality    `cmd:"" help:"Compare models with the first one: embeds, velocities, pictures."`
	Tune       benchTune       `cmd:"" help:"${tune_help}"`
}

type benchCheckpoint struct {
	Dir string `arg:"" help:"The folder to create."`
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

// chatTemplate gives the same text for a user's message as Qwen's own template, with thinking disabled or not defined.
const chatTemplate = `{%- for message in messages %}
    {{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\n\n</think>\n\n' }}
    {%- endif %}
{%- endif %}`

// tokenizerConfig is the file that the Python package transformers needs beside tokenizer.json.
const tokenizerConfig = `{
  "tokenizer_class": "Qwen2Tokenizer",
  "add_prefix_space": false,
  "bos_token": null,
  "clean_up_tokenization_spaces": false,
  "eos_token": "<|im_end|>",
  "errors": "replace",
  "model_max_length": 131072,
  "pad_token": "<|endoftext|>",
  "split_special_tokens": false,
  "unk_token": null
}
`

// qwen3Tokenizer returns the tokenizer folder of a checkpoint: the built-in tokenizer, and the chat template that
// Diffusers needs. The folder is a zip archive in memory, because the standard library has a file system for that.
func qwen3Tokenizer() (fs.FS, error) {
	unzipped, err := gzip.NewReader(bytes.NewReader(tokenizer.JSONGzip))
	if err != nil {
		return nil, err
	}
	var archive bytes.Buffer
	w := zip.NewWriter(&archive)
	for _, f := range []struct {
		name    string
		content io.Reader
	}{
		{"tokenizer.json", unzipped}, {"chat_template.jinja", strings.NewReader(chatTemplate)},
		{"tokenizer_config.json", strings.NewReader(tokenizerConfig)},
	} {
		file, err := w.CreateHeader(&zip.FileHeader{Name: f.name, Method: zip.Store})
		if err != nil {
			return nil, err
		}
		if _, err := io.Copy(file, f.content); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return zip.NewReader(bytes.NewReader(archive.Bytes()), int64(archive.Len()))
}
