package inference

import (
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// TestConfigBombs opens models with configs that no real model has. Each must be refused with one readable sentence,
// within the time and memory that a normal model takes.
func TestConfigBombs(t *testing.T) {
	dir := changedModel(t, "distilled", func(string) {})
	deep := func(n int) json.RawMessage {
		return json.RawMessage(strings.Repeat("[", n) + strings.Repeat("]", n))
	}
	many := json.RawMessage("[" + strings.Repeat("1,", 20_000) + "1]")
	const (
		index, scheduler = "model_index.json", "scheduler/scheduler_config.json"
		encoder          = "text_encoder/config.json"
		transformer, vae = "transformer/config.json", "vae/config.json"
	)
	long := strings.Repeat("x", 100_000)
	raw := func(text string) json.RawMessage { return json.RawMessage(text) }
	for _, row := range []struct {
		file, key string
		value     any
		want      string
	}{
		{encoder, "num_hidden_layers", raw("1000000000"), "num_hidden_layers is 1000000000, want"},
		{encoder, "num_hidden_layers", raw("1e9"), "cannot unmarshal number 1e9"},
		{encoder, "num_hidden_layers", raw("-1"), "num_hidden_layers is -1"},
		{encoder, "hidden_size", raw("1000000000000"), "hidden_size is 1000000000000"},
		{encoder, "hidden_size", raw("9223372036854775807"), "hidden_size is 9223372036854775807"},
		{encoder, "hidden_size", raw("9223372036854775808"), "cannot unmarshal number"},
		{encoder, "hidden_size", raw("131072"), "embed"},
		{encoder, "intermediate_size", raw("4611686018427387904"), "intermediate_size"},
		{encoder, "num_attention_heads", raw("131072"), "want"},
		{encoder, "num_key_value_heads", raw("0.5"), "cannot unmarshal number"},
		{encoder, "head_dim", raw("-128"), "head_dim is -128"},
		{encoder, "vocab_size", raw("4194305"), "vocab_size is 4194305"},
		{encoder, "vocab_size", raw("4194304"), "want"},
		{encoder, "rope_theta", raw("1e308"), "rope_theta"},
		{encoder, "rope_theta", raw("1e999"), "number 1e999"},
		{encoder, "rms_norm_eps", raw("0"), "rms_norm_eps"},
		{encoder, "model_type", long, "found a text of 100000 bytes, want at most 1000"},
		{encoder, "model_type", strings.Repeat("x", 1000), "model_type"},
		{encoder, "rope_scaling", deep(5000), "levels, want a model's config"},
		{encoder, "rope_scaling", deep(20_000), "exceeded max depth"},
		{encoder, "layer_types", many, "more than 10000 values"},
		{encoder, long, raw("1"), "found a text of 100000 bytes"},
		{encoder, "pad", strings.Repeat("x", 300_000), "more than 262144 bytes"},
		{transformer, "num_layers", raw("1000000000"), "num_layers is 1000000000"},
		{transformer, "num_single_layers", raw("1024"), "single"},
		{transformer, "num_attention_heads", raw("1000000000000"), "num_attention_heads is 1000000000000"},
		{transformer, "mlp_ratio", raw("1e300"), "mlp_ratio"},
		{transformer, "mlp_ratio", raw("-3"), "mlp_ratio"},
		{transformer, "axes_dims_rope", many, "more than 10000 values"},
		{transformer, "axes_dims_rope", raw("[9223372036854775807,9223372036854775807,2,2]"), "axes_dims_rope"},
		{transformer, "joint_attention_dim", raw("131072"), "belong to different models"},
		{vae, "block_out_channels", raw("[1073741824,1,1,1]"), "channels, want a multiple of"},
		{vae, "block_out_channels", raw("[]"), "block_out_channels"},
		{vae, "latent_channels", raw("9223372036854775807"), "latent_channels"},
		{vae, "layers_per_block", raw("64"), "vae"},
		{vae, "layers_per_block", raw("1000000000"), "layers_per_block"},
		{vae, "norm_num_groups", raw("0"), "norm_num_groups"},
		{vae, "sample_size", raw("2000000000"), "sample_size"},
		{vae, "down_block_types", []string{strings.Repeat("x", 1000)}, "down_block_types"},
		{scheduler, "num_train_timesteps", raw("1e12"), "num_train_timesteps"},
		{scheduler, "_class_name", long, "found a text of 100000 bytes"},
		{scheduler, "x", deep(17), "levels, want a model's config"},
		{index, "max_sequence_length", raw("0"), "max_sequence_length 0"},
		{index, "max_sequence_length", raw("-9223372036854775808"), "max_sequence_length"},
		{index, "max_sequence_length", raw("1e18"), "cannot unmarshal number"},
		{index, "_class_name", long, "found a text of 100000 bytes"},
		{index, "_class_name", strings.Repeat("\x1b[2J", 200), "_class_name"},
	} {
		path := filepath.Join(dir, filepath.FromSlash(row.file))
		kept, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		config := map[string]any{}
		if err := json.Unmarshal(kept, &config); err != nil {
			t.Fatal(err)
		}
		config[row.key] = row.value
		changed, err := json.Marshal(config)
		if raw, ok := row.value.(json.RawMessage); ok && err != nil { // too deeply nested for the encoder
			changed, err = append(append([]byte(`{"`+row.key+`":`), raw...), '}'), nil
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, changed, 0o666); err != nil {
			t.Fatal(err)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		start := time.Now()
		e, err := Open(t.Context(), Options{Model: dir, Device: DeviceCPU, Precision: Float32})
		spent := time.Since(start)
		runtime.ReadMemStats(&after)
		name := row.file + " " + row.key[:min(len(row.key), 30)]
		if err == nil {
			e.Close()
			t.Errorf("%s %.40s: was opened", name, row.value)
		} else if text := err.Error(); !strings.Contains(text, row.want) || len(text) > 3000 || strings.Contains(text, "\n") {
			t.Errorf("%s %.40s: %.400q (%d bytes), want one line with %q", name, row.value, text, len(text), row.want)
		}
		if taken := (after.TotalAlloc - before.TotalAlloc) >> 20; spent > 5*time.Second || taken > 200 {
			t.Errorf("%s %.40s: %v and %d MB", name, row.value, spent, taken)
		}
		if err := os.WriteFile(path, kept, 0o666); err != nil {
			t.Fatal(err)
		}
	}
}
