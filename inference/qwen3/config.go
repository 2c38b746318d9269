package qwen3

import (
	"encoding/json"
	"fmt"

	"github.com/kleinbild/kleinbild/inference/backend"
	"github.com/kleinbild/kleinbild/inference/tensor"
)

// Config holds the fields of a Qwen3 config.json that the encoder uses.
type Config struct {
	HiddenSize       int     `json:"hidden_size"`
	IntermediateSize int     `json:"intermediate_size"`
	Layers           int     `json:"num_hidden_layers"`
	Heads            int     `json:"num_attention_heads"`
	KVHeads          int     `json:"num_key_value_heads"`
	HeadDim          int     `json:"head_dim"`
	VocabSize        int     `json:"vocab_size"`
	RMSNormEps       float64 `json:"rms_norm_eps"`
	RopeTheta        float64 `json:"rope_theta"`
}

// HiddenStates are the hidden states that are concatenated to the prompt embeds. As in the reference, state 0 is the
// token embedding and state k the output of the k-th layer.
var HiddenStates = [3]int{9, 18, 27}

// EmbedDim is the width of the prompt embeds: 3·HiddenSize.
func (c Config) EmbedDim() int { return len(HiddenStates) * c.HiddenSize }

// Upper limits of a config's fields, so that a damaged file is refused before memory is allocated.
const (
	maxWidth  = 1 << 17
	maxLayers = 1 << 10
	maxVocab  = 1 << 22
)

// ParseConfig parses a config.json. It returns an error for a size outside the limits, and for an option that changes
// the arithmetic and is not implemented.
func ParseConfig(data []byte) (Config, error) {
	file := struct {
		Config
		ModelType      string `json:"model_type"`
		HiddenAct      string `json:"hidden_act"`
		AttentionBias  bool   `json:"attention_bias"`
		SlidingWindow  bool   `json:"use_sliding_window"`
		RopeScaling    any    `json:"rope_scaling"`
		RopeParameters *struct {
			Theta float64 `json:"rope_theta"`
			Type  string  `json:"rope_type"`
		} `json:"rope_parameters"`
	}{Config: Config{RMSNormEps: 1e-6}, ModelType: "qwen3", HiddenAct: "silu"}
	if err := json.Unmarshal(data, &file); err != nil {
		return Config{}, fmt.Errorf("qwen3: config: %w", err)
	}
	c := file.Config
	if c.HeadDim == 0 {
		c.HeadDim = 128
	}
	if c.KVHeads == 0 {
		c.KVHeads = c.Heads
	}
	if p := file.RopeParameters; p != nil {
		if p.Theta != 0 {
			c.RopeTheta = p.Theta
		}
		if p.Type != "" && p.Type != "default" {
			return Config{}, fmt.Errorf("qwen3: config: rope_type %q, want default", p.Type)
		}
	}
	if c.RopeTheta == 0 {
		c.RopeTheta = 1_000_000
	}
	switch {
	case file.ModelType != "qwen3":
		return Config{}, fmt.Errorf("qwen3: config: model_type %q, want qwen3", file.ModelType)
	case file.HiddenAct != "silu":
		return Config{}, fmt.Errorf("qwen3: config: hidden_act %q, want silu", file.HiddenAct)
	case file.AttentionBias:
		return Config{}, fmt.Errorf("qwen3: config: attention_bias is true, want false")
	case file.SlidingWindow:
		return Config{}, fmt.Errorf("qwen3: config: use_sliding_window is true, want false")
	case file.RopeScaling != nil:
		return Config{}, fmt.Errorf("qwen3: config: rope_scaling is set, want none")
	}
	return c, c.check()
}

// InferConfig derives the config from the shapes of src's tensors, for a file that has no config. The shapes do not
// give RMSNormEps and RopeTheta, which are the same for every Qwen3.
func InferConfig(src tensor.Source) (Config, error) {
	c := Config{RMSNormEps: 1e-6, RopeTheta: 1_000_000}
	shape := func(name string, dim int) int { return tensor.Dim(src, name, dim) }
	c.VocabSize = shape("model.embed_tokens.weight", 0)
	c.HiddenSize = shape("model.embed_tokens.weight", 1)
	c.IntermediateSize = shape("model.layers.0.mlp.gate_proj.weight", 0)
	c.HeadDim = shape("model.layers.0.self_attn.q_norm.weight", 0)
	if c.HeadDim > 0 {
		c.Heads = shape("model.layers.0.self_attn.q_proj.weight", 0) / c.HeadDim
		c.KVHeads = shape("model.layers.0.self_attn.k_proj.weight", 0) / c.HeadDim
	}
	for shape(layer(c.Layers)+"input_layernorm.weight", 0) > 0 {
		c.Layers++
	}
	return c, c.check()
}

func (c Config) check() error {
	last := HiddenStates[len(HiddenStates)-1]
	for _, row := range []struct {
		key       string
		have      int
		low, high int
	}{
		{"hidden_size", c.HiddenSize, 1, maxWidth},
		{"intermediate_size", c.IntermediateSize, 1, maxWidth},
		{"num_hidden_layers", c.Layers, last, maxLayers},
		{"num_attention_heads", c.Heads, 1, maxWidth},
		{"num_key_value_heads", c.KVHeads, 1, c.Heads},
		{"head_dim", c.HeadDim, backend.HeadMultiple, backend.MaxHead},
		{"vocab_size", c.VocabSize, 1, maxVocab},
	} {
		if row.have < row.low || row.have > row.high {
			return fmt.Errorf("qwen3: config: %s is %d, want %d to %d", row.key, row.have, row.low, row.high)
		}
	}
	switch {
	case c.Heads%c.KVHeads != 0:
		return fmt.Errorf("qwen3: config: num_attention_heads %d is not a multiple of num_key_value_heads %d",
			c.Heads, c.KVHeads)
	case c.HeadDim%backend.HeadMultiple != 0:
		return fmt.Errorf("qwen3: config: head_dim is %d, want a multiple of %d", c.HeadDim, backend.HeadMultiple)
	case !(c.RMSNormEps > 0 && c.RMSNormEps < 1):
		return fmt.Errorf("qwen3: config: rms_norm_eps is %v, want a small positive number", c.RMSNormEps)
	case !(c.RopeTheta > 1 && c.RopeTheta < 1e12):
		return fmt.Errorf("qwen3: config: rope_theta is %v, want more than 1", c.RopeTheta)
	}
	return nil
}
