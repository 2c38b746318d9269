package qwen3

import (
	"strings"
	"testing"
)

const published = `{"model_type": "qwen3", "hidden_act": "silu", "hidden_size": 2560, "intermediate_size": 9728,
	"num_hidden_layers": 36, "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 151936,
	"rms_norm_eps": 1e-06, "rope_theta": 1000000, "rope_scaling": null, "attention_bias": false,
	"tie_word_embeddings": true}`

func TestParseConfig(t *testing.T) {
	want := Config{
		HiddenSize: 2560, IntermediateSize: 9728, Layers: 36, Heads: 32, KVHeads: 8, HeadDim: 128, VocabSize: 151936,
		RMSNormEps: 1e-6, RopeTheta: 1_000_000,
	}
	for _, row := range []struct{ name, old, new string }{
		{"as published", "", ""},
		{"no head_dim", `"head_dim": 128,`, ``},
		{"rope_parameters", `"rope_theta": 1000000,`, `"rope_parameters": {"rope_theta": 1000000, "rope_type": "default"},`},
		{"no eps, no theta", `"rms_norm_eps": 1e-06, "rope_theta": 1000000,`, ``},
	} {
		c, err := ParseConfig([]byte(strings.Replace(published, row.old, row.new, 1)))
		if err != nil || c != want {
			t.Errorf("%s: %+v, %v", row.name, c, err)
		}
	}
}

func TestParseConfigRefuses(t *testing.T) {
	for _, row := range []struct{ name, old, new, want string }{
		{"not JSON", `{`, ``, "config"},
		{"another model", `"qwen3"`, `"llama"`, `model_type "llama", want qwen3`},
		{"missing size", `"hidden_size": 2560,`, ``, "hidden_size is 0, want 1 to"},
		{"negative", `2560`, `-2560`, "hidden_size is -2560"},
		{"huge", `2560`, `1e15`, "hidden_size"},
		{"a string", `2560`, `"2560"`, "hidden_size"},
		{"nested", `2560`, `{"x": [1]}`, "hidden_size"},
		{"too few layers", `36`, `26`, "num_hidden_layers is 26, want 27 to"},
		{"too many layers", `36`, `1000000`, "num_hidden_layers is 1000000"},
		{"no heads", `"num_attention_heads": 32`, `"num_attention_heads": 0`, "num_attention_heads is 0"},
		{"more key heads than heads", `"num_key_value_heads": 8`, `"num_key_value_heads": 64`,
			"num_key_value_heads is 64, want 1 to 32"},
		{"heads that do not divide", `"num_key_value_heads": 8`, `"num_key_value_heads": 5`,
			"not a multiple of num_key_value_heads 5"},
		{"head of no kernel's width", `"head_dim": 128`, `"head_dim": 120`, "head_dim is 120, want a multiple of 16"},
		{"head too wide", `"head_dim": 128`, `"head_dim": 2048`, "head_dim is 2048, want 16 to 1024"},
		{"eps 0", `1e-06`, `0`, "rms_norm_eps is 0"},
		{"theta negative", `1000000`, `-1`, "rope_theta is -1"},
		{"theta 0 in rope_parameters' place", `1000000`, `1`, "rope_theta is 1"},
		{"scaled rope", `"rope_scaling": null`, `"rope_scaling": {"type": "yarn"}`, "rope_scaling is set"},
		{"another rope", `"rope_theta": 1000000,`, `"rope_parameters": {"rope_type": "yarn"},`,
			`rope_type "yarn", want default`},
		{"biases", `"attention_bias": false`, `"attention_bias": true`, "attention_bias is true"},
		{"another activation", `"silu"`, `"gelu"`, `hidden_act "gelu"`},
	} {
		text := strings.Replace(published, row.old, row.new, 1)
		_, err := ParseConfig([]byte(text))
		if text == published || err == nil || !strings.Contains(err.Error(), row.want) ||
			!strings.HasPrefix(err.Error(), "qwen3: config: ") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want one line with %q", row.name, err, row.want)
		}
	}
}

// FuzzConfig checks that the encoder can run every accepted config, and that products of its sizes do not overflow an
// int.
func FuzzConfig(f *testing.F) {
	f.Add([]byte(published))
	for _, mutation := range []string{"-1", "0", "1e300", "9223372036854775807", `"x"`, "[[[]]]", "null", "1.5"} {
		f.Add([]byte(strings.Replace(published, "128", mutation, 1)))
		f.Add([]byte(strings.Replace(published, "2560", mutation, 1)))
		f.Add([]byte(strings.Replace(published, "1000000", mutation, 1)))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := ParseConfig(data)
		if err != nil {
			return
		}
		if c.HeadDim%16 != 0 || c.HeadDim < 16 || c.HeadDim > 1024 || c.Heads%c.KVHeads != 0 || c.Layers < 27 ||
			c.Layers > maxLayers || c.HiddenSize < 1 || c.EmbedDim() > 3*maxWidth || c.IntermediateSize < 1 ||
			c.VocabSize < 1 || c.Heads*c.HeadDim < 16 {
			t.Errorf("accepted %+v", c)
		}
	})
}
