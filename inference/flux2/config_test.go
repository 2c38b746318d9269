package flux2

import (
	"reflect"
	"strings"
	"testing"
)

const published = `{"_class_name": "Flux2Transformer2DModel",
	"attention_head_dim": 128, "axes_dims_rope": [32, 32, 32, 32], "eps": 1e-06,
	"guidance_embeds": false, "in_channels": 128, "joint_attention_dim": 7680, "mlp_ratio": 3.0,
	"num_attention_heads": 24, "num_layers": 5, "num_single_layers": 20, "out_channels": null, "patch_size": 1,
	"rope_theta": 2000, "timestep_guidance_channels": 256}`

func TestParseConfig(t *testing.T) {
	want := Config{
		InChannels: 128, OutChannels: 128, DoubleBlocks: 5, SingleBlocks: 20, Heads: 24, HeadDim: 128, ContextDim: 7680,
		TimeChannels: 256, MLPRatio: 3, AxesDims: []int{32, 32, 32, 32}, RopeTheta: 2000, Eps: 1e-6,
	}
	for _, row := range []struct{ name, old, new string }{
		{"as published", "", ""},
		{"out_channels given", `"out_channels": null`, `"out_channels": 128`},
		{"only what varies", `"axes_dims_rope": [32, 32, 32, 32],`, ``},
	} {
		c, err := ParseConfig([]byte(strings.Replace(published, row.old, row.new, 1)))
		if err != nil || !reflect.DeepEqual(c, want) {
			t.Errorf("%s: %+v, %v", row.name, c, err)
		}
	}
}

func TestParseConfigRefuses(t *testing.T) {
	for _, row := range []struct{ name, old, new, want string }{
		{"not JSON", `{`, ``, "config"},
		{"missing size", `"num_attention_heads": 24,`, ``, "num_attention_heads is 0, want 1 to"},
		{"no blocks", `"num_single_layers": 20`, `"num_single_layers": 0`, "num_single_layers is 0"},
		{"negative", `24`, `-24`, "num_attention_heads is -24"},
		{"huge", `24`, `1000000000`, "num_attention_heads is 1000000000"},
		{"a string", `24`, `"24"`, "num_attention_heads"},
		{"nested", `[32, 32, 32, 32]`, `[[32], 32, 32, 32]`, "axes_dims_rope"},
		{"three axes", `[32, 32, 32, 32]`, `[32, 32, 64]`, "axes_dims_rope's length is 3, want 4"},
		{"odd axes", `[32, 32, 32, 32]`, `[31, 33, 32, 32]`, "axes_dims_rope is [31 33 32 32]"},
		{"negative axis", `[32, 32, 32, 32]`, `[-32, 96, 32, 32]`, "axes_dims_rope is [-32 96 32 32]"},
		{"axes of another sum", `[32, 32, 32, 32]`, `[16, 32, 32, 32]`, "add up to 112, want attention_head_dim 128"},
		{"axes whose sum overflows to the right one", `[32, 32, 32, 32]`,
			`[4611686018427387904, 4611686018427387904, 4611686018427387904, 4611686018427388032]`,
			"axes_dims_rope is [4611686018427387904"},
		{"head of no kernel's width", `"attention_head_dim": 128, "axes_dims_rope": [32, 32, 32, 32]`,
			`"attention_head_dim": 120, "axes_dims_rope": [24, 32, 32, 32]`, "attention_head_dim is 120, want a multiple of 16"},
		{"head too wide", `"attention_head_dim": 128`, `"attention_head_dim": 2048`,
			"attention_head_dim is 2048, want 16 to 1024"},
		{"no MLP", `3.0`, `1e-9`, "mlp_ratio is 1e-09"},
		{"negative MLP", `3.0`, `-3`, "mlp_ratio is -3"},
		{"huge MLP", `3.0`, `1e300`, "mlp_ratio is 1e+300"},
		{"other output", `"out_channels": null`, `"out_channels": 64`, "out_channels is 64, want 128"},
		{"odd time channels", `256`, `255`, "timestep_guidance_channels is 255"},
		{"guidance embeds", `"guidance_embeds": false`, `"guidance_embeds": true`, "this is FLUX.2 [dev]"},
		{"patches", `"patch_size": 1`, `"patch_size": 2`, "patch_size is 2, want 1"},
		{"theta", `2000`, `0`, "rope_theta is 0"},
		{"eps", `1e-06`, `-1`, "eps is -1"},
	} {
		text := strings.Replace(published, row.old, row.new, 1)
		_, err := ParseConfig([]byte(text))
		if text == published || err == nil || !strings.Contains(err.Error(), row.want) ||
			!strings.HasPrefix(err.Error(), "flux2: config: ") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want one line with %q", row.name, err, row.want)
		}
	}
}

// FuzzConfig checks that the transformer can run every accepted config.
func FuzzConfig(f *testing.F) {
	f.Add([]byte(published))
	for _, mutation := range []string{"-1", "0", "1e300", "9223372036854775807", `"x"`, "[[[]]]", "null", "1.5"} {
		for _, number := range []string{"128", "[32", "3.0", "24", "2000", "null"} {
			f.Add([]byte(strings.Replace(published, number, mutation, 1)))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := ParseConfig(data)
		if err != nil {
			return
		}
		sum := 0
		for _, d := range c.AxesDims {
			sum += d
		}
		if c.HeadDim%16 != 0 || c.HeadDim < 16 || c.HeadDim > 1024 || sum != c.HeadDim || c.MLPHidden() < 1 ||
			c.MLPHidden() > 64*c.Hidden() ||
			c.Heads < 1 || c.OutChannels != c.InChannels || c.DoubleBlocks < 0 || c.SingleBlocks < 1 {
			t.Errorf("accepted %+v", c)
		}
	})
}
