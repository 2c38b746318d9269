package checkpoint

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/kleinbild/kleinbild/inference/checkpoint/gguf"
	"github.com/kleinbild/kleinbild/inference/tensor"
)

// architectureKey is the key of the metadata that names what a GGUF file holds.
const architectureKey = "general.architecture"

// llamaSizes are the numbers of a text encoder in llama.cpp's metadata, without the prefix "qwen3.", and their keys in
// config.json.
var llamaSizes = []struct{ key, config string }{
	{"block_count", "num_hidden_layers"},
	{"embedding_length", "hidden_size"},
	{"feed_forward_length", "intermediate_size"},
	{"attention.head_count", "num_attention_heads"},
	{"attention.head_count_kv", "num_key_value_heads"},
	{"attention.key_length", "head_dim"},
	{"attention.layer_norm_rms_epsilon", "rms_norm_eps"},
	{"rope.freq_base", "rope_theta"},
}

// plainArchitectures are names that some makers write instead of an architecture. As for ComfyUI-GGUF, the tensors then
// tell what a file holds.
var plainArchitectures = []string{"pig", "cow"}

// llamaConfig returns the config.json that llama.cpp's metadata in f stands for, or nil if f has none: the config is
// then derived from the shapes of the weights. It returns an error if the metadata contradicts the shapes, or tells of
// something that changes the arithmetic and is not implemented.
func llamaConfig(f *gguf.File, w *weights) ([]byte, error) {
	architecture, ok := f.Text(architectureKey)
	if !ok || slices.Contains(plainArchitectures, architecture) {
		return nil, nil
	}
	fail := func(key string, found, want any) error {
		text := fmt.Sprint(found)
		if !tensor.Printable(text) {
			text = strconv.Quote(text)
		}
		return fmt.Errorf("checkpoint: %s: metadata: %s is %.40s, want %v", f.Path(), key, text, want)
	}
	const name = "qwen3"
	if architecture != name {
		return nil, fail(architectureKey, architecture, name)
	}
	if scaling, ok := f.Text(name + ".rope.scaling.type"); ok && scaling != "none" {
		return nil, fail(name+".rope.scaling.type", scaling, "none")
	}
	config := map[string]any{"model_type": name, "vocab_size": w.dim("model.embed_tokens.weight", 0)}
	for _, size := range llamaSizes {
		n, ok := f.Number(name + "." + size.key)
		if !ok {
			continue
		}
		if !(math.Abs(n) <= math.MaxFloat32) { // written so that NaN is refused too
			return nil, fail(name+"."+size.key, n, "a number that a float32 can hold")
		}
		// The metadata has epsilon and base as float32; the nearest decimal number is what their author wrote.
		config[size.config] = json.Number(fmt.Sprint(float32(n)))
		if n == math.Trunc(n) && math.Abs(n) < 1<<31 {
			config[size.config] = int64(n)
		}
	}
	// Some makers leave these two out, or write the second one as a list with a number for each layer.
	head := w.dim("model.layers.0.self_attn.q_norm.weight", 0)
	if config["head_dim"] == nil && head > 0 {
		config["head_dim"] = head
	}
	if config["num_key_value_heads"] == nil && head > 0 {
		config["num_key_value_heads"] = w.dim("model.layers.0.self_attn.k_proj.weight", 0) / head
	}
	for _, row := range []struct {
		key    string
		tensor string
		dim    int
	}{
		{"embedding_length", "model.embed_tokens.weight", 1},
		{"feed_forward_length", "model.layers.0.mlp.gate_proj.weight", 0},
		{"attention.key_length", "model.layers.0.self_attn.q_norm.weight", 0},
	} {
		if n, ok := f.Number(name + "." + row.key); ok && int(n) != w.dim(row.tensor, row.dim) {
			return nil, fail(name+"."+row.key, n, fmt.Sprintf("%d, as in %s", w.dim(row.tensor, row.dim), row.tensor))
		}
	}
	for _, key := range []string{"hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads"} {
		if config[key] == nil { // a file with half of the metadata
			return nil, nil
		}
	}
	return json.Marshal(config)
}

// Vocabulary is the vocabulary of a text encoder, as llama.cpp's metadata has it.
type Vocabulary struct {
	// Path is that of the file.
	Path string
	// Tokens are the tokens in the order of their ids. Types has a number for each: 1 for a normal token, 3 for a control
	// token, 4 for one that a user has added, 5 for an unused one.
	Tokens []string
	Types  []float64
	// Merges are the pairs of tokens, with a space between them, in the order of their ranks.
	Merges []string
}

// Vocabulary reads the vocabulary in the text encoder's file. It returns nil if the file has none of Qwen's kind, and
// an *UnreadableError if the file was cut short after Open.
func (c *Checkpoint) Vocabulary() (v *Vocabulary, err error) {
	f, ok := c.TextEncoder.set.(*gguf.File)
	if !ok {
		return nil, nil
	}
	err = c.Guard(func() (err error) {
		v, err = vocabularyOf(f)
		return err
	})
	return v, err
}

// vocabularyOf returns nil if f has no vocabulary of Qwen's kind.
func vocabularyOf(f *gguf.File) (*Vocabulary, error) {
	const prefix = "tokenizer.ggml."
	model, _ := f.Text(prefix + "model")
	pre, _ := f.Text(prefix + "pre")
	if model != "gpt2" || pre != "qwen2" {
		return nil, nil
	}
	v := &Vocabulary{Path: f.Path()}
	var err error
	if v.Tokens, err = f.Texts(prefix + "tokens"); err == nil {
		if v.Merges, err = f.Texts(prefix + "merges"); err == nil {
			v.Types, err = f.Numbers(prefix + "token_type")
		}
	}
	if err != nil || len(v.Tokens) == 0 || len(v.Merges) == 0 || len(v.Types) == 0 {
		return nil, err
	}
	return v, nil
}
