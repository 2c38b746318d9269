package inference

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/kleinbild/kleinbild/inference/checkpoint/safetensors"
	"github.com/kleinbild/kleinbild/inference/checkpoint/synthetic"
)

// changedModel returns a copy of a tiny model to which change was applied.
func changedModel(t testing.TB, name string, change func(dir string)) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "changed")
	if err := os.CopyFS(dir, os.DirFS(tinyModel(t, name))); err != nil {
		t.Fatal(err)
	}
	change(dir)
	return dir
}

// replaceIn replaces old by new in a text file. old must be in the file.
func replaceIn(t testing.TB, path, old, new string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), old) {
		t.Fatalf("%s: no %q to replace", path, old)
	}
	if err := os.WriteFile(path, []byte(strings.Replace(string(text), old, new, 1)), 0o666); err != nil {
		t.Fatal(err)
	}
}

// takeFolder replaces a folder of a model by the folder of another model.
func takeFolder(t testing.TB, dir, from, folder string) {
	t.Helper()
	path := filepath.Join(dir, folder)
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(path, os.DirFS(filepath.Join(from, folder))); err != nil {
		t.Fatal(err)
	}
}

func TestVariants(t *testing.T) {
	index := func(old, new string) func(string) {
		return func(dir string) { replaceIn(t, filepath.Join(dir, "model_index.json"), old, new) }
	}
	renamed := func(name string) string {
		dir := t.TempDir()
		path := filepath.Join(dir, name)
		from, rest, _ := strings.Cut(tinyModel(t, "single/flux-2-klein-4b.safetensors"), ",")
		data, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o666); err != nil {
			t.Fatal(err)
		}
		return path + "," + rest
	}
	for _, row := range []struct {
		name, model string
		override    Variant
		want        Variant
		notice      string // "" if there is none
	}{
		{"folder says distilled", tinyModel(t, "distilled"), "", Distilled, ""},
		{"folder says base", tinyModel(t, "base"), "", Base, ""},
		{"folder says nothing", changedModel(t, "distilled", index(`"is_distilled": true,`, "")), "", Base,
			"changed: its model_index.json does not say is_distilled: " +
				"taken for a base model, as the reference does; choose the variant distilled if that is wrong"},
		{"folder says nothing, overruled", changedModel(t, "distilled", index(`"is_distilled": true,`, "")), Distilled,
			Distilled, ""},
		{"folder overruled", tinyModel(t, "distilled"), Base, Base, ""},
		{"file's name does not say base", renamed("flux-2-klein-4b.safetensors"), "", Distilled,
			"flux-2-klein-4b.safetensors: taken for a distilled model because its name does not say base; " +
				"choose the variant base if that is wrong"},
		{"file's name says base", renamed("flux-2-klein-Base-4b.safetensors"), "", Base,
			"flux-2-klein-Base-4b.safetensors: taken for a base model because of its name; " +
				"choose the variant distilled if that is wrong"},
		{"file's name overruled", renamed("flux-2-klein-base-4b.safetensors"), Distilled, Distilled, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			e, err := Open(t.Context(), Options{Model: row.model, Variant: row.override, Device: DeviceCPU})
			if err != nil {
				t.Fatal(err)
			}
			defer e.Close()
			info := e.Info()
			steps, guidance := 4, 1.0
			if row.want == Base {
				steps, guidance = 50, 4.0
			}
			if info.Variant != row.want || info.Steps != steps || info.Guidance != guidance ||
				strings.Join(info.Notices, "\n") != row.notice {
				t.Errorf("%s, %d steps, guidance %v, notices %q; want %s, %d, %v, %q",
					info.Variant, info.Steps, info.Guidance, info.Notices, row.want, steps, guidance, row.notice)
			}
		})
	}
}

func TestTextTokens(t *testing.T) {
	of := func(n int) string {
		return changedModel(t, "distilled", func(dir string) {
			replaceIn(t, filepath.Join(dir, "model_index.json"), "{", fmt.Sprintf(`{"max_sequence_length": %d,`, n))
		})
	}
	for _, row := range []struct {
		name, model string
		option      int
		want        int
	}{
		{"as trained", tinyModel(t, "distilled"), 0, 512},
		{"lowered by the caller", tinyModel(t, "distilled"), 100, 100},
		{"never raised by the caller", tinyModel(t, "distilled"), 1000, 512},
		{"lowered by the model", of(77), 0, 77},
		{"never raised by the model", of(1000), 0, 512},
		{"lowered further by the caller", of(77), 40, 40},
		{"not raised above the model's", of(77), 400, 77},
	} {
		e, err := Open(t.Context(), Options{Model: row.model, MaxSequenceLength: row.option})
		if err != nil {
			t.Fatal(err)
		}
		if have := e.Info().MaxSequenceLength; have != row.want {
			t.Errorf("%s: %d text tokens, want %d", row.name, have, row.want)
		}
		if row.want < 100 {
			if meta := generate(t, e, quick("a fox")).Metadata; meta.MaxSequenceLength != row.want {
				t.Errorf("%s: the picture says %d, want %d", row.name, meta.MaxSequenceLength, row.want)
			}
		}
		e.Close()
	}
}

func TestOpenRefuses(t *testing.T) {
	base := tinyModel(t, "base")
	at := func(parts ...string) func(string) string {
		return func(dir string) string { return filepath.Join(append([]string{dir}, parts...)...) }
	}
	edit := func(file, old, new string) func(string) {
		return func(dir string) { replaceIn(t, filepath.Join(dir, filepath.FromSlash(file)), old, new) }
	}
	take := func(folder string) func(string) { return func(dir string) { takeFolder(t, dir, base, folder) } }
	truncate := func(file string, less int64) func(string) {
		return func(dir string) {
			path := filepath.Join(dir, filepath.FromSlash(file))
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.Truncate(path, info.Size()-less); err != nil {
				t.Fatal(err)
			}
		}
	}
	remove := func(path string) func(string) {
		return func(dir string) {
			if err := os.RemoveAll(filepath.Join(dir, filepath.FromSlash(path))); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, row := range []struct {
		name   string
		change func(dir string)
		file   func(dir string) string
		want   string
	}{
		{"text encoder of another model", take("text_encoder"), at("text_encoder"),
			"gives embeds of 288, the transformer in "},
		{"transformer of another model", take("transformer"), at("text_encoder"), "gives embeds of 192, the transformer in "},
		{"VAE of another width", edit("vae/config.json", `"latent_channels": 32`, `"latent_channels": 16`), at("vae"),
			"gives tokens of 64 channels, the transformer in "},
		{"tokenizer of another model", func(dir string) { takeFolder(t, dir, filepath.Dir(wideTokenizer(t)), "tokenizer") },
			at("tokenizer"), "2400 ids, want at most the 2288 rows"},
		{"no VAE", remove("vae"), at("vae", "config.json"), "is missing"},
		{"VAE without weights", remove("vae/diffusion_pytorch_model.safetensors"),
			at("vae", "diffusion_pytorch_model.safetensors"), "is missing"},
		{"a shard missing", remove("text_encoder/model-00002-of-00002.safetensors"),
			at("text_encoder", "model-00002-of-00002.safetensors"), "no such file"},
		{"half a shard", truncate("text_encoder/model-00002-of-00002.safetensors", 1000),
			at("text_encoder", "model-00002-of-00002.safetensors"), "the file is incomplete, download it again"},
		{"a byte too few", truncate("vae/diffusion_pytorch_model.safetensors", 1),
			at("vae", "diffusion_pytorch_model.safetensors"), "the file is incomplete"},
		{"wider than its weights", edit("vae/config.json", `"norm_num_groups": 32`,
			`"norm_num_groups": 32, "block_out_channels": [32, 64, 64, 128]`), at("vae",
			"diffusion_pytorch_model.safetensors"), "shape [64], want [128]"},
		{"more layers than weights", edit("transformer/config.json", `"num_layers": 2`, `"num_layers": 3`),
			at("transformer", "diffusion_pytorch_model.safetensors"), "transformer_blocks.2."},
		{"config negative", edit("text_encoder/config.json", `"hidden_size": 64`, `"hidden_size": -64`),
			at("text_encoder", "config.json"), "hidden_size is -64, want 1 to"},
		{"config a string", edit("transformer/config.json", `"num_layers": 2`, `"num_layers": "2"`),
			at("transformer", "config.json"), "num_layers"},
		{"config not JSON", edit("vae/config.json", `{`, `[`), at("vae", "config.json"), "byte"},
		{"another scheduler", edit("scheduler/scheduler_config.json", `"use_karras_sigmas": false`,
			`"use_karras_sigmas": true`), at("scheduler", "scheduler_config.json"), "want none"},
		{"another pipeline", edit("model_index.json", `"Flux2KleinPipeline"`, `"Flux2Pipeline"`), at("model_index.json"),
			`"Flux2Pipeline", want "Flux2KleinPipeline"`},
	} {
		t.Run(row.name, func(t *testing.T) {
			dir := changedModel(t, "distilled", row.change)
			e, err := Open(t.Context(), Options{Model: dir})
			if err == nil {
				e.Close()
				t.Fatal("opened")
			}
			if text := err.Error(); !strings.Contains(text, row.file(dir)) || !strings.Contains(text, row.want) ||
				strings.Contains(text, "\n") {
				t.Errorf("%s; want one line with %q and %q", text, row.file(dir), row.want)
			}
		})
	}
}

// wideTokenizer returns a tokenizer folder with ids beyond those of the tiny model.
func wideTokenizer(t testing.TB) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "tokenizer")
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(tinyModel(t, "distilled"), "tokenizer"))); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "tokenizer.json")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var file map[string]any
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	file["added_tokens"] = append(file["added_tokens"].([]any),
		map[string]any{"id": 2399, "content": "<|far|>", "special": true})
	if data, err = json.Marshal(file); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o666); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestBuiltInTokenizerMustFit(t *testing.T) {
	spec := tinyModel(t, "single/flux-2-klein-4b.safetensors")
	spec = spec[:strings.LastIndex(spec, ",")] // remove the tokenizer, which is the last file
	e, err := Open(t.Context(), Options{Model: spec})
	if err == nil {
		e.Close()
		t.Fatal("opened")
	}
	if text := err.Error(); !strings.Contains(text, "built-in Qwen3 tokenizer") ||
		!strings.Contains(text, "2288 rows of qwen_3_4b.safetensors") {
		t.Error(text)
	}
}

// TestConfigsOfAnyContent puts absurd values under every key of every config. The model must make a picture, or be
// refused with one line before memory is allocated.
func TestConfigsOfAnyContent(t *testing.T) {
	dir := changedModel(t, "distilled", func(string) {})
	values := []string{"-1", "0", "33", "9223372036854775807", `"x"`, "[-32, 64, 64, 64]"}
	computed := map[string]bool{} // pictures that were made already: most keys change nothing
	for _, file := range []string{"transformer/config.json", "vae/config.json", "text_encoder/config.json",
		"scheduler/scheduler_config.json", "model_index.json"} {
		path := filepath.Join(dir, filepath.FromSlash(file))
		original, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var keys map[string]json.RawMessage
		if err := json.Unmarshal(original, &keys); err != nil {
			t.Fatal(err)
		}
		keys["max_sequence_length"], keys["rope_parameters"], keys["rope_scaling"] = nil, nil, nil
		for key, was := range keys {
			for _, value := range values {
				keys[key] = json.RawMessage(value)
				text, err := json.Marshal(keys)
				if err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, text, 0o666); err != nil {
					t.Fatal(err)
				}
				name := fmt.Sprintf("%s with %s %s", file, key, value)
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				e, err := Open(t.Context(), Options{Model: dir, MaxSequenceLength: 24})
				runtime.ReadMemStats(&after)
				// Configs, headers and the tiny tokenizer take a few megabytes.
				if grown := after.TotalAlloc - before.TotalAlloc; grown > 64<<20 {
					t.Errorf("%s: opening takes %d MB", name, grown>>20)
				}
				if err != nil {
					if text := err.Error(); !strings.Contains(text, dir) || strings.Contains(text, "\n") {
						t.Errorf("%s: %s; want one line that names a file", name, text)
					}
					continue
				}
				if configs := fmt.Sprint(e.encoder.Config(), e.transformer.Config(), e.vae.Config()); !computed[configs] {
					computed[configs] = true
					req := quick("a fox")
					req.References = []Source{reference(t, 0, 64, 64)}
					if _, err := e.Generate(t.Context(), resolve(t, e, req), nil); err != nil && strings.Contains(err.Error(), "\n") {
						t.Errorf("%s: %v", name, err)
					}
				}
				e.Close()
			}
			keys[key] = was
		}
		if err := os.WriteFile(path, original, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	if len(computed) < 2 {
		t.Error("no changed config opened: the test tests nothing")
	}
}

// TestAllInOne checks that an all-in-one checkpoint makes the same pictures as the files from which it was made.
func TestAllInOne(t *testing.T) {
	tr, v, e := synthetic.TinyDistilled().SingleFiles()
	var entries []safetensors.Entry
	for prefix, list := range map[string][]safetensors.Entry{"model.diffusion_model.": tr, "vae.": v,
		"text_encoders.qwen3_4b.transformer.": e} {
		for _, entry := range list {
			entry.Name = prefix + entry.Name
			entries = append(entries, entry)
		}
	}
	path := filepath.Join(t.TempDir(), "klein.safetensors")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(safetensors.Write(t.Context(), file, nil, entries, nil), file.Close()); err != nil {
		t.Fatal(err)
	}
	whole := openEngine(t, path+","+filepath.Join(tinyModel(t, "distilled"), "tokenizer"), DeviceCPU, Float32)
	split := openEngine(t, tinyModel(t, "single/flux-2-klein-4b.safetensors"), DeviceCPU, Float32)
	req := quick("a fox")
	req.References = []Source{reference(t, 0, 64, 64)}
	if a, b := generate(t, whole, req), generate(t, split, req); !samePicture(a, b) {
		t.Error("the pictures differ")
	}
}
