package vae

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/kleinbild/kleinbild/inference/backend"
	"github.com/kleinbild/kleinbild/inference/tensor"
)

// Config holds the fields of a config.json that the autoencoder uses.
type Config struct {
	LatentChannels int   `json:"latent_channels"`
	EncoderWidths  []int `json:"block_out_channels"`
	DecoderWidths  []int `json:"decoder_block_out_channels"`
	LayersPerBlock int   `json:"layers_per_block"`
	Groups         int   `json:"norm_num_groups"`
	SampleSize     int   `json:"sample_size"`
	MidAttention   bool  `json:"mid_block_add_attention"`
	QuantConv      bool  `json:"use_quant_conv"`
	PostQuantConv  bool  `json:"use_post_quant_conv"`
	// BatchNormEps is added to bn.running_var, the variance of the token channels.
	BatchNormEps float64 `json:"batch_norm_eps"`
}

func defaults() Config {
	return Config{
		LatentChannels: 32, EncoderWidths: []int{128, 256, 512, 512}, LayersPerBlock: 2, Groups: 32,
		SampleSize: 1024, MidAttention: true, QuantConv: true, PostQuantConv: true, BatchNormEps: 1e-4,
	}
}

// levels is the number of resolutions of encoder and decoder. All levels but the last halve the size in the encoder and
// double it in the decoder: latents have an eighth of the picture's height and width, and tokens (2×2 latents) a
// sixteenth.
const levels = 4

// PixelsPerToken is the side, in pixels, of the square that one token stands for.
const PixelsPerToken = 16

// TokenChannels is the width of a token: the channels of 2×2 latents.
func (c Config) TokenChannels() int { return 4 * c.LatentChannels }

// ParseConfig parses a config.json. It returns an error for a size outside the limits, and for an option that changes
// the arithmetic and is not implemented.
func ParseConfig(data []byte) (Config, error) {
	file := struct {
		Config
		ActFn       string   `json:"act_fn"`
		InChannels  int      `json:"in_channels"`
		OutChannels int      `json:"out_channels"`
		PatchSize   []int    `json:"patch_size"`
		DownTypes   []string `json:"down_block_types"`
		UpTypes     []string `json:"up_block_types"`
	}{Config: defaults(), ActFn: "silu", InChannels: 3, OutChannels: 3, PatchSize: []int{2, 2}}
	if err := json.Unmarshal(data, &file); err != nil {
		return Config{}, fmt.Errorf("vae: config: %w", err)
	}
	other := func(types []string, want string) bool {
		return slices.ContainsFunc(types, func(t string) bool { return t != want })
	}
	switch {
	case file.ActFn != "silu":
		return Config{}, fmt.Errorf("vae: config: act_fn is %q, want silu", file.ActFn)
	case file.InChannels != 3 || file.OutChannels != 3:
		return Config{}, fmt.Errorf("vae: config: in_channels and out_channels are %d and %d, want 3 and 3",
			file.InChannels, file.OutChannels)
	case !slices.Equal(file.PatchSize, []int{2, 2}):
		return Config{}, fmt.Errorf("vae: config: patch_size is %v, want [2 2]", file.PatchSize)
	case other(file.DownTypes, "DownEncoderBlock2D"):
		return Config{}, fmt.Errorf("vae: config: down_block_types are %v, want only DownEncoderBlock2D", file.DownTypes)
	case other(file.UpTypes, "UpDecoderBlock2D"):
		return Config{}, fmt.Errorf("vae: config: up_block_types are %v, want only UpDecoderBlock2D", file.UpTypes)
	}
	c := file.Config
	if c.DecoderWidths == nil {
		c.DecoderWidths = c.EncoderWidths
	}
	return c, c.check()
}

// InferConfig derives the config from the shapes of src's tensors, for a file that has no config. The shapes do not
// give the number of groups, SampleSize and BatchNormEps, which are the same for every published FLUX.2 autoencoder.
func InferConfig(src tensor.Source) (Config, error) {
	c := defaults()
	shape := func(name string, dim int) int { return tensor.Dim(src, name, dim) }
	c.EncoderWidths = nil
	for i := range levels {
		encoder := fmt.Sprintf("encoder.down_blocks.%d.resnets.0.conv1.weight", i)
		c.EncoderWidths = append(c.EncoderWidths, shape(encoder, 0))
	}
	c.DecoderWidths = decoderWidths(src)
	c.LayersPerBlock = 0
	for shape(fmt.Sprintf("encoder.down_blocks.0.resnets.%d.conv1.weight", c.LayersPerBlock), 0) > 0 {
		c.LayersPerBlock++
	}
	c.LatentChannels = shape("decoder.conv_in.weight", 1)
	c.MidAttention = shape("encoder.mid_block.attentions.0.to_q.weight", 0) > 0
	c.QuantConv = shape("quant_conv.weight", 0) > 0
	c.PostQuantConv = shape("post_quant_conv.weight", 0) > 0
	return c, c.check()
}

// decoderWidths returns the widths of the decoder in src, from the highest resolution down as in config.json.
func decoderWidths(src tensor.Source) (widths []int) {
	for i := range levels {
		widths = append(widths, tensor.Dim(src, decoderWidthName(i), 0))
	}
	return widths
}

// decoderWidthName returns the name of a weight with as many rows as the decoder has channels at the resolution that
// DecoderWidths[i] is for.
func decoderWidthName(i int) string {
	return fmt.Sprintf("decoder.up_blocks.%d.resnets.0.conv1.weight", levels-1-i)
}

// WithDecoder returns c for the decoder of src, which c does not describe: its widths come from the shapes of its
// weights. An error names the weight whose shape the autoencoder cannot have.
func (c Config) WithDecoder(src tensor.Source) (Config, error) {
	c.DecoderWidths = decoderWidths(src)
	c.PostQuantConv = tensor.Dim(src, "post_quant_conv.weight", 0) > 0
	for i, width := range c.DecoderWidths {
		if width > 0 && width%c.Groups == 0 {
			continue
		}
		t, err := src.Tensor(decoderWidthName(i))
		if err != nil {
			return c, fmt.Errorf("vae: %w", err)
		}
		return c, fmt.Errorf("vae: %s: shape %v, want a multiple of %d rows", t.Name, t.Shape, c.Groups)
	}
	return c, c.check()
}

func (c Config) check() error {
	for _, row := range []struct {
		key       string
		have      int
		low, high int
	}{
		{"latent_channels", c.LatentChannels, 1, 4096},
		{"the length of block_out_channels", len(c.EncoderWidths), levels, levels},
		{"the length of decoder_block_out_channels", len(c.DecoderWidths), levels, levels},
		{"layers_per_block", c.LayersPerBlock, 1, 64},
		{"norm_num_groups", c.Groups, 1, 4096},
		{"sample_size", c.SampleSize, 64, 1 << 16},
	} {
		if row.have < row.low || row.have > row.high {
			return fmt.Errorf("vae: config: %s is %d, want %d to %d", row.key, row.have, row.low, row.high)
		}
	}
	for _, w := range slices.Concat(c.EncoderWidths, c.DecoderWidths) {
		if w < 1 || w > 1<<14 || w%c.Groups != 0 {
			return fmt.Errorf("vae: config: a level has %d channels, want a multiple of norm_num_groups %d up to %d",
				w, c.Groups, 1<<14)
		}
	}
	for _, deepest := range []int{c.EncoderWidths[levels-1], c.DecoderWidths[levels-1]} {
		if c.MidAttention && (deepest%backend.HeadMultiple != 0 || deepest > backend.MaxHead) {
			return fmt.Errorf("vae: config: the deepest level has an attention and %d channels, want a multiple of %d up to %d",
				deepest, backend.HeadMultiple, backend.MaxHead)
		}
	}
	if !(c.BatchNormEps > 0 && c.BatchNormEps < 1) {
		return fmt.Errorf("vae: config: batch_norm_eps is %v, want a small positive number", c.BatchNormEps)
	}
	return nil
}
