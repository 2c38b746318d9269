package vae

import (
	"slices"
	"strings"
	"testing"
)

const published = `{"_class_name": "AutoencoderKLFlux2", "act_fn": "silu", "batch_norm_eps": 0.0001,
	"block_out_channels": [128, 256, 512, 512], "decoder_block_out_channels": null, "in_channels": 3,
	"latent_channels": 32, "layers_per_block": 2,
	"mid_block_add_attention": true, "norm_num_groups": 32, "out_channels": 3, "patch_size": [2, 2],
	"sample_size": 1024, "use_post_quant_conv": true, "use_quant_conv": true,
	"down_block_types": ["DownEncoderBlock2D"], "up_block_types": ["UpDecoderBlock2D"]}`

func TestParseConfig(t *testing.T) {
	for _, row := range []struct {
		name, old, new string
		decoder        []int
	}{
		{"as published", "", "", []int{128, 256, 512, 512}},
		{"smaller decoder", `"decoder_block_out_channels": null`, `"decoder_block_out_channels": [64, 96, 128, 192]`,
			[]int{64, 96, 128, 192}},
		{"no attention, any width", `"mid_block_add_attention": true, "norm_num_groups": 32`,
			`"mid_block_add_attention": false, "norm_num_groups": 4`, []int{128, 256, 512, 512}},
	} {
		c, err := ParseConfig([]byte(strings.Replace(published, row.old, row.new, 1)))
		if err != nil || !slices.Equal(c.DecoderWidths, row.decoder) ||
			!slices.Equal(c.EncoderWidths, []int{128, 256, 512, 512}) || c.TokenChannels() != 128 || c.SampleSize != 1024 {
			t.Errorf("%s: %+v, %v", row.name, c, err)
		}
	}
}

func TestParseConfigRefuses(t *testing.T) {
	for _, row := range []struct{ name, old, new, want string }{
		{"not JSON", `{`, ``, "config"},
		{"three levels", `[128, 256, 512, 512]`, `[128, 256, 512]`, "the length of block_out_channels is 3, want 4"},
		{"no levels", `[128, 256, 512, 512]`, `[]`, "the length of block_out_channels is 0"},
		{"negative width", `[128, 256,`, `[-128, 256,`, "a level has -128 channels"},
		{"huge width", `[128, 256,`, `[1048576, 256,`, "a level has 1048576 channels"},
		{"width no multiple of the groups", `[128, 256,`, `[120, 256,`,
			"a level has 120 channels, want a multiple of norm_num_groups 32"},
		{"a string", `512, 512]`, `512, "512"]`, "block_out_channels"},
		{"nested", `512, 512]`, `512, [512]]`, "block_out_channels"},
		{"attention of no kernel's width", `512, 512], "decoder_block_out_channels": null, "in_channels": 3,
	"latent_channels": 32, "layers_per_block": 2,
	"mid_block_add_attention": true, "norm_num_groups": 32`,
			`512, 520], "norm_num_groups": 8`, "the deepest level has an attention and 520 channels"},
		{"decoder's attention too wide", `"decoder_block_out_channels": null`,
			`"decoder_block_out_channels": [32, 32, 32, 2048]`, "2048 channels, want a multiple of 16 up to 1024"},
		{"no groups", `"norm_num_groups": 32`, `"norm_num_groups": 0`, "norm_num_groups is 0"},
		{"no blocks", `"layers_per_block": 2`, `"layers_per_block": 0`, "layers_per_block is 0"},
		{"too many blocks", `"layers_per_block": 2`, `"layers_per_block": 100000`, "layers_per_block is 100000"},
		{"negative latents", `"latent_channels": 32`, `"latent_channels": -32`, "latent_channels is -32"},
		{"sample size 0", `1024`, `0`, "sample_size is 0"},
		{"eps 0", `0.0001`, `0`, "batch_norm_eps is 0"},
		{"other patches", `[2, 2]`, `[1, 2]`, "patch_size is [1 2]"},
		{"other blocks", `"DownEncoderBlock2D"`, `"AttnDownEncoderBlock2D"`, "down_block_types"},
		{"four colours", `"in_channels": 3`, `"in_channels": 4`, "in_channels"},
		{"other activation", `"silu"`, `"relu"`, `act_fn is "relu"`},
	} {
		text := strings.Replace(published, row.old, row.new, 1)
		_, err := ParseConfig([]byte(text))
		if text == published || err == nil || !strings.Contains(err.Error(), row.want) ||
			!strings.HasPrefix(err.Error(), "vae: config: ") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want one line with %q", row.name, err, row.want)
		}
	}
}

// FuzzConfig checks that the autoencoder can run every accepted config.
func FuzzConfig(f *testing.F) {
	f.Add([]byte(published))
	for _, mutation := range []string{"-1", "0", "1e300", "9223372036854775807", `"x"`, "[[[]]]", "null", "1.5"} {
		for _, number := range []string{"128", "512]", "32", "2,", "1024", "null", "true"} {
			f.Add([]byte(strings.Replace(published, number, mutation, 1)))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := ParseConfig(data)
		if err != nil {
			return
		}
		if len(c.EncoderWidths) != levels || len(c.DecoderWidths) != levels || c.LatentChannels < 1 || c.LayersPerBlock < 1 ||
			c.Groups < 1 {
			t.Fatalf("accepted %+v", c)
		}
		for _, w := range slices.Concat(c.EncoderWidths, c.DecoderWidths) {
			if w < 1 || w > 1<<14 || w%c.Groups != 0 {
				t.Errorf("accepted %+v", c)
			}
		}
		for _, w := range []int{c.EncoderWidths[levels-1], c.DecoderWidths[levels-1]} {
			if c.MidAttention && (w%16 != 0 || w > 1024) {
				t.Errorf("accepted %+v", c)
			}
		}
	})
}
