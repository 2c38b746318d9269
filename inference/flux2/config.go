package flux2

import (
	"encoding/json"
	"fmt"

	"github.com/kleinbild/kleinbild/inference/backend"
	"github.com/kleinbild/kleinbild/inference/tensor"
)

// Config holds the fields of a config.json that the transformer uses.
type Config struct {
	InChannels   int     `json:"in_channels"`
	OutChannels  int     `json:"out_channels"`
	DoubleBlocks int     `json:"num_layers"`
	SingleBlocks int     `json:"num_single_layers"`
	Heads        int     `json:"num_attention_heads"`
	HeadDim      int     `json:"attention_head_dim"`
	ContextDim   int     `json:"joint_attention_dim"`
	TimeChannels int     `json:"timestep_guidance_channels"`
	MLPRatio     float64 `json:"mlp_ratio"`
	AxesDims     []int   `json:"axes_dims_rope"`
	RopeTheta    float64 `json:"rope_theta"`
	Eps          float64 `json:"eps"`
}

// defaults returns the values that are the same for every FLUX.2 [klein]. The sizes, which differ, are 0.
func defaults() Config {
	return Config{
		InChannels: 128, HeadDim: 128, TimeChannels: 256, MLPRatio: 3,
		AxesDims: []int{32, 32, 32, 32}, RopeTheta: 2000, Eps: 1e-6,
	}
}

// Hidden is the width of the token streams.
func (c Config) Hidden() int { return c.Heads * c.HeadDim }

// blocks is the number of all blocks.
func (c Config) blocks() int { return c.DoubleBlocks + c.SingleBlocks }

// MLPHidden is the width inside the MLPs: that of the gate and of the up projection.
func (c Config) MLPHidden() int { return int(float64(c.Hidden()) * c.MLPRatio) }

// ParseConfig parses a config.json. It returns an error for a size outside the limits, and for an option that changes
// the arithmetic and is not implemented.
func ParseConfig(data []byte) (Config, error) {
	file := struct {
		Config
		PatchSize int  `json:"patch_size"`
		Guidance  bool `json:"guidance_embeds"`
		Out       *int `json:"out_channels"`
	}{Config: defaults(), PatchSize: 1}
	if err := json.Unmarshal(data, &file); err != nil {
		return Config{}, fmt.Errorf("flux2: config: %w", err)
	}
	c := file.Config
	c.OutChannels = c.InChannels
	if file.Out != nil {
		c.OutChannels = *file.Out
	}
	switch {
	case file.PatchSize != 1:
		return Config{}, fmt.Errorf("flux2: config: patch_size is %d, want 1", file.PatchSize)
	case file.Guidance:
		return Config{}, fmt.Errorf("flux2: config: guidance_embeds is true, want false: this is FLUX.2 [dev], not [klein]")
	}
	return c, c.check()
}

// InferConfig derives the config from the shapes of src's tensors, for a file that has no config.
func InferConfig(src tensor.Source) (Config, error) {
	c := defaults()
	shape := func(name string, dim int) int { return tensor.Dim(src, name, dim) }
	hidden := shape("x_embedder.weight", 0)
	c.InChannels = shape("x_embedder.weight", 1)
	c.OutChannels = shape("proj_out.weight", 0)
	c.ContextDim = shape("context_embedder.weight", 1)
	c.TimeChannels = shape("time_guidance_embed.timestep_embedder.linear_1.weight", 1)
	for shape(doubleBlockName(c.DoubleBlocks)+"attn.norm_q.weight", 0) > 0 {
		c.DoubleBlocks++
	}
	for shape(singleBlockName(c.SingleBlocks)+"attn.norm_q.weight", 0) > 0 {
		c.SingleBlocks++
	}
	c.HeadDim = max(shape(singleBlockName(0)+"attn.norm_q.weight", 0), shape(doubleBlockName(0)+"attn.norm_q.weight", 0))
	if c.HeadDim > 0 {
		c.Heads = hidden / c.HeadDim
		for i := range c.AxesDims { // all models share the channels of a head equally among the axes
			c.AxesDims[i] = c.HeadDim / axes
		}
	}
	if hidden > 0 {
		// The input of a single block's to_out has hidden columns of attention and MLPHidden columns of the MLP.
		c.MLPRatio = float64(shape(singleBlockName(0)+"attn.to_out.weight", 1)-hidden) / float64(hidden)
	}
	return c, c.check()
}

// Upper limits of a config's fields, so that a damaged file is refused before memory is allocated.
const (
	maxWidth  = 1 << 17
	maxBlocks = 1 << 10
)

func (c Config) check() error {
	for _, row := range []struct {
		key       string
		have      int
		low, high int
	}{
		{"in_channels", c.InChannels, 1, maxWidth},
		{"out_channels", c.OutChannels, c.InChannels, c.InChannels},
		{"num_layers", c.DoubleBlocks, 0, maxBlocks},
		{"num_single_layers", c.SingleBlocks, 1, maxBlocks},
		{"num_attention_heads", c.Heads, 1, maxWidth / 128},
		{"attention_head_dim", c.HeadDim, backend.HeadMultiple, backend.MaxHead},
		{"joint_attention_dim", c.ContextDim, 1, maxWidth},
		{"timestep_guidance_channels", c.TimeChannels, 2, maxWidth},
		{"axes_dims_rope's length", len(c.AxesDims), axes, axes},
	} {
		if row.have < row.low || row.have > row.high {
			return fmt.Errorf("flux2: config: %s is %d, want %d to %d", row.key, row.have, row.low, row.high)
		}
	}
	sum := 0
	for _, d := range c.AxesDims {
		if d < 0 || d%2 != 0 || d > c.HeadDim {
			return fmt.Errorf("flux2: config: axes_dims_rope is %v, want even numbers up to attention_head_dim %d",
				c.AxesDims, c.HeadDim)
		}
		sum += d
	}
	switch {
	case sum != c.HeadDim:
		return fmt.Errorf("flux2: config: axes_dims_rope %v add up to %d, want attention_head_dim %d",
			c.AxesDims, sum, c.HeadDim)
	case c.HeadDim%backend.HeadMultiple != 0:
		return fmt.Errorf("flux2: config: attention_head_dim is %d, want a multiple of %d",
			c.HeadDim, backend.HeadMultiple)
	case c.TimeChannels%2 != 0:
		return fmt.Errorf("flux2: config: timestep_guidance_channels is %d, want an even number", c.TimeChannels)
	case !(c.MLPRatio <= 64 && c.MLPHidden() > 0):
		return fmt.Errorf("flux2: config: mlp_ratio is %v, want a width of at least 1 and a ratio of at most 64", c.MLPRatio)
	case !(c.RopeTheta > 1 && c.RopeTheta < 1e12):
		return fmt.Errorf("flux2: config: rope_theta is %v, want more than 1", c.RopeTheta)
	case !(c.Eps > 0 && c.Eps < 1):
		return fmt.Errorf("flux2: config: eps is %v, want a small positive number", c.Eps)
	}
	return nil
}
