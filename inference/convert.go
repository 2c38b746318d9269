package inference

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/kleinbild/kleinbild/inference/checkpoint"
	"github.com/kleinbild/kleinbild/inference/checkpoint/convert"
	"github.com/kleinbild/kleinbild/inference/checkpoint/gguf"
	"github.com/kleinbild/kleinbild/inference/qwen3"
)

// ConvertOptions say what Convert converts.
type ConvertOptions struct {
	// Model is that of Options. It may also be the file of the network alone.
	Model string
	// Kind is one of ConvertKinds.
	Kind string
	// TextEncoder says to convert the text encoder instead of the transformer.
	TextEncoder bool
	// Scales says how scales are found, for kinds that have several ways.
	Scales Scales
	// Path is the file to write, which must not exist.
	Path string
}

// Scales is a way to find the scales of a kind (see package quantise).
type Scales int

const (
	// BetterScales is the way of the kind that was measured to give the smaller errors.
	BetterScales Scales = iota
	PlainScales
	WeightedScales
)

// ConvertKinds returns the names of the kinds that Convert writes.
func ConvertKinds() []string { return convert.KindNames() }

// HasWeightedKind reports whether a kind has functions that search for scales, so that Scales makes a difference.
func HasWeightedKind(name string) bool {
	kind, err := convert.ParseKind(name)
	return err == nil && kind.HasWeighted()
}

// ConvertExtension returns the ending of the names of files of a kind, or an error for an unknown kind.
func ConvertExtension(name string) (string, error) {
	kind, err := convert.ParseKind(name)
	return kind.Extension(), err
}

// releaseEvery is the number of bytes of progress after which pages of the source leave resident memory.
const releaseEvery = 256 << 20

// Convert writes the transformer or the text encoder of a model to a file with quantised weights (see package convert).
// progress may be nil; it is called with the work that is done and all work, in bytes. If Convert fails or ctx ends,
// nothing stays of the file.
func Convert(ctx context.Context, opts ConvertOptions, progress func(done, total int64)) error {
	kind, err := convert.ParseKind(opts.Kind)
	if err != nil {
		return err
	}
	if err := convert.CheckPath(opts.Path, kind); err != nil {
		return err // before a model is opened
	}
	if opts.Model == "" {
		return errors.New("convert: no model given")
	}
	found, err := checkpoint.Find(ctx, opts.Model, os.Getenv, "")
	if err != nil {
		return err
	}
	ckpt, err := checkpoint.OpenParts(ctx, found.Spec, opts.TextEncoder)
	if err != nil {
		return err
	}
	defer ckpt.Close()
	component := ckpt.Transformer
	job := convert.Job{
		Network: convert.Transformer, Kind: kind,
		Weighted: opts.Scales == WeightedScales || opts.Scales == BetterScales && kind.WeightedIsBetter,
	}
	if opts.TextEncoder {
		component, job.Network = ckpt.TextEncoder, convert.TextEncoder
	}
	job.Source = component.Source
	released := int64(0)
	report := func(done, total int64) {
		if done-released >= releaseEvery {
			released = done
			component.Release()
		}
		if progress != nil {
			progress(done, total)
		}
	}
	err = ckpt.Guard(func() (err error) {
		if opts.TextEncoder && kind.GGUF {
			if job.Metadata, err = encoderMetadata(ckpt); err != nil {
				return err
			}
		}
		return convert.Write(ctx, opts.Path, job, report)
	})
	if err == nil {
		if err = ckpt.Changed(); err != nil {
			err = errors.Join(err, os.Remove(opts.Path))
		}
	}
	return err
}

// UseConverted returns a list that is a model with the file that Convert has written in place of the network that it
// was made from: for a model in a folder of Diffusers, the file and the model; for single files, the file and those of
// the other networks. ok is false if there is none, because the other networks lie in one file with the old one, or are
// not there.
func UseConverted(ctx context.Context, opts ConvertOptions) (spec string, ok bool) {
	found, err := checkpoint.Find(ctx, opts.Model, os.Getenv, "")
	if err != nil {
		return "", false
	}
	ckpt, err := checkpoint.OpenParts(ctx, found.Spec, opts.TextEncoder)
	if err != nil {
		return "", false
	}
	defer ckpt.Close()
	if ckpt.Layout == checkpoint.Diffusers {
		return opts.Path + "," + opts.Model, true
	}
	replaced, others := ckpt.Transformer, []checkpoint.Component{ckpt.TextEncoder, ckpt.VAE}
	if opts.TextEncoder {
		replaced, others = ckpt.TextEncoder, []checkpoint.Component{ckpt.Transformer, ckpt.VAE}
	}
	files := []string{opts.Path}
	for _, c := range others {
		if len(c.Files) == 0 || slices.Contains(replaced.Files, c.Files[0]) {
			return "", false
		}
		for _, file := range c.Files {
			if !slices.Contains(files, file) {
				files = append(files, file)
			}
		}
	}
	return strings.Join(files, ","), true
}

// encoderMetadata returns the metadata of a text encoder's GGUF file: its sizes and its vocabulary, in the keys of
// llama.cpp.
func encoderMetadata(c *checkpoint.Checkpoint) ([]gguf.Pair, error) {
	config, err := configOf(c.TextEncoder, qwen3.ParseConfig, qwen3.InferConfig)
	if err != nil {
		return nil, err
	}
	tokens, err := openTokenizer(c)
	if err != nil {
		return nil, err
	}
	if have, want := tokens.VocabSize(), config.VocabSize; have > want {
		return nil, fmt.Errorf("tokenizer: %d ids, want at most the %d rows of the embedding in %s", have, want,
			c.TextEncoder.Files[0])
	}
	texts, types, merges := tokens.Vocabulary(config.VocabSize)
	list := []gguf.Pair{}
	for _, row := range []struct {
		key  string
		size int
	}{
		{"block_count", config.Layers},
		{"context_length", 40960},
		{"embedding_length", config.HiddenSize},
		{"feed_forward_length", config.IntermediateSize},
		{"attention.head_count", config.Heads},
		{"attention.head_count_kv", config.KVHeads},
		{"attention.key_length", config.HeadDim},
		{"attention.value_length", config.HeadDim},
	} {
		list = append(list, gguf.Pair{Key: "qwen3." + row.key, Value: uint32(row.size)})
	}
	list = append(list,
		gguf.Pair{Key: "qwen3.attention.layer_norm_rms_epsilon", Value: float32(config.RMSNormEps)},
		gguf.Pair{Key: "qwen3.rope.freq_base", Value: float32(config.RopeTheta)},
		gguf.Pair{Key: "tokenizer.ggml.model", Value: "gpt2"},
		gguf.Pair{Key: "tokenizer.ggml.pre", Value: "qwen2"},
		gguf.Pair{Key: "tokenizer.ggml.tokens", Value: texts},
		gguf.Pair{Key: "tokenizer.ggml.token_type", Value: types},
		gguf.Pair{Key: "tokenizer.ggml.merges", Value: merges},
	)
	for _, row := range []struct{ key, token string }{
		{"bos_token_id", "<|endoftext|>"}, {"eos_token_id", "<|im_end|>"}, {"padding_token_id", "<|endoftext|>"},
	} {
		if id := slices.Index(texts, row.token); id >= 0 {
			list = append(list, gguf.Pair{Key: "tokenizer.ggml." + row.key, Value: uint32(id)})
		}
	}
	return list, nil
}
