package checkpoint

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/kleinbild/kleinbild/inference/checkpoint/safetensors"
	"github.com/kleinbild/kleinbild/inference/checkpoint/synthetic"
	"github.com/kleinbild/kleinbild/inference/tensor"
)

// small returns the spec of a checkpoint of about 2 MB, since these tests write it often: two double blocks, one single
// block, and a text encoder of two layers in two shards.
func small() synthetic.Spec {
	return synthetic.Spec{
		Seed: 3, Distilled: true,
		Transformer:           synthetic.NewTransformer(1, 2, 1, 96),
		VAE:                   synthetic.NewVAE([]int{32, 32, 32, 64}, nil),
		TextEncoder:           synthetic.NewTextEncoder(2, 32, 1, 1, 32, 2288),
		TextEncoderShardBytes: 200_000,
	}
}

// tiny writes the small checkpoint as a Diffusers folder and as single files.
func tiny(t *testing.T) (folder, single string) {
	t.Helper()
	dir := t.TempDir()
	folder, single = filepath.Join(dir, "tiny"), filepath.Join(dir, "single")
	if err := synthetic.WriteTiny(folder, small()); err != nil {
		t.Fatal(err)
	}
	if err := synthetic.WriteSingleFiles(context.Background(), single, small()); err != nil {
		t.Fatal(err)
	}
	return folder, single
}

// spec returns the spec of files in dir.
func spec(dir string, names ...string) string {
	for i, name := range names {
		names[i] = filepath.Join(dir, name)
	}
	return strings.Join(names, ",")
}

const (
	bf16File = "flux-2-klein-4b.safetensors"
	fp8File  = "flux-2-klein-4b-fp8.safetensors"
	vaeFile  = "flux2-vae.safetensors"
	textFile = "qwen_3_4b.safetensors"
)

func TestOpenFolder(t *testing.T) {
	folder, _ := tiny(t)
	c := mustOpen(t, folder)
	if c.Name != "tiny" || c.Layout != Diffusers || c.Hint != nil || c.Tokenizer != filepath.Join(folder, "tokenizer") ||
		len(c.Digest) != 64 {
		t.Errorf("%+v", c)
	}
	if d := c.Index.IsDistilled; d == nil || !*d || c.Index.MaxSequenceLength != 0 {
		t.Errorf("index %+v", c.Index)
	}
	for _, p := range []struct {
		component Component
		files     int
		key       string
	}{
		{c.Transformer, 1, "num_single_layers"},
		{c.VAE, 1, "block_out_channels"},
		{c.TextEncoder, 2, "num_hidden_layers"},
		{Component{ConfigJSON: c.SchedulerConfig}, 0, "shift"},
	} {
		var config map[string]any
		if err := json.Unmarshal(p.component.ConfigJSON, &config); err != nil || config[p.key] == nil ||
			len(p.component.Files) != p.files {
			t.Errorf("%v: files %v, %s: %v, %v", p.key, p.component.Files, p.key, config[p.key], err)
		}
	}
	var sum int64
	for _, p := range c.components() {
		for _, f := range p.Files {
			info, err := os.Stat(f)
			if err != nil {
				t.Fatal(err)
			}
			sum += info.Size()
		}
	}
	if c.SizeBytes != sum {
		t.Errorf("%d bytes, want %d", c.SizeBytes, sum)
	}
}

func TestOpenSingleFiles(t *testing.T) {
	folder, single := tiny(t)
	want := mustOpen(t, folder)
	for _, row := range []struct {
		name, spec, tokenizer string
	}{
		{"any order", spec(single, textFile, bf16File, vaeFile), ""},
		{"spaces and an empty item", spec(single, vaeFile) + ", " + spec(single, bf16File, textFile) + ",", ""},
		{"with a tokenizer.json",
			spec(single, vaeFile, bf16File) + "," + spec(folder, "tokenizer/tokenizer.json") + "," + spec(single, textFile),
			filepath.Join(folder, "tokenizer", "tokenizer.json")},
		{"with a tokenizer's folder", spec(single, vaeFile, bf16File, textFile) + "," + spec(folder, "tokenizer"),
			filepath.Join(folder, "tokenizer")},
		{"files out of a Diffusers folder",
			spec(folder, "vae/diffusion_pytorch_model.safetensors", "text_encoder/model.safetensors.index.json",
				"transformer/diffusion_pytorch_model.safetensors"), ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := mustOpen(t, row.spec)
			if c.Layout != SingleFiles || c.Tokenizer != row.tokenizer || c.Transformer.ConfigJSON != nil ||
				c.SchedulerConfig != nil || c.Index != (ModelIndex{}) {
				t.Errorf("%+v", c)
			}
			compareSources(t, c.Transformer.Source, want.Transformer.Source)
			compareSources(t, c.VAE.Source, want.VAE.Source)
			compareSources(t, c.TextEncoder.Source, want.TextEncoder.Source)
		})
	}
	t.Run("a folder of them", func(t *testing.T) {
		if err := os.Remove(filepath.Join(single, fp8File)); err != nil {
			t.Fatal(err)
		}
		mustWrite(t, filepath.Join(single, "tokenizer.json"), "{}")
		if c := mustOpen(t, single); c.Name != "flux-2-klein-4b" || c.Tokenizer != filepath.Join(single, "tokenizer.json") {
			t.Errorf("%+v", c)
		}
	})
}

// TestFP8 checks that an fp8 weight differs from its bfloat16 original by at most half a step: 2^-4 of the value, or
// 2^-10 of the scale near zero.
func TestFP8(t *testing.T) {
	folder, single := tiny(t)
	want := mustOpen(t, folder)
	got := mustOpen(t, spec(single, fp8File, vaeFile, textFile))
	quantised := 0
	for _, name := range want.Transformer.Source.Names() {
		g, w := mustTensor(t, got.Transformer.Source, name), mustTensor(t, want.Transformer.Source, name)
		inBlock := strings.Contains(name, "transformer_blocks.") && strings.HasSuffix(name, "weight") &&
			!strings.Contains(name, "norm_")
		if (g.DType == tensor.F8E4M3) != inBlock || (g.Scale != 1) != inBlock {
			t.Errorf("%s: dtype %v, scale %v", name, g.DType, g.Scale)
		}
		if inBlock {
			quantised++
		}
		a, b := g.Float32s(), w.Float32s()
		for i := range a {
			limit := 0.0
			if inBlock {
				limit = max(math.Abs(float64(b[i]))/16, float64(g.Scale)*0x1p-10) * (1 + 1e-6) // rounding of the product
			}
			if d := math.Abs(float64(a[i]) - float64(b[i])); !(d <= limit) {
				t.Fatalf("%s: value %d: %v, want %v within %v", name, i, a[i], b[i], limit)
			}
		}
	}
	if quantised != 26 {
		t.Errorf("%d fp8 weights, want 26", quantised)
	}
}

func TestDigestTellsModelsApart(t *testing.T) {
	folder, single := tiny(t)
	digests := map[string]string{}
	add := func(name, spec string) string {
		c := mustOpen(t, spec)
		if other, taken := digests[c.Digest]; taken {
			t.Errorf("%s has the digest of %s", name, other)
		}
		digests[c.Digest] = name
		return c.Digest
	}
	add("folder", folder)
	first := add("bf16", spec(single, bf16File, vaeFile, textFile))
	add("fp8", spec(single, fp8File, vaeFile, textFile))
	if again := mustOpen(t, spec(single, textFile, bf16File, vaeFile)).Digest; again != first {
		t.Error("the digest depends on the order of the files")
	}
	// A model with the same headers and sizes and other values, like the base model's single files.
	other := small()
	other.Seed++
	dir := filepath.Join(t.TempDir(), "other")
	if err := synthetic.WriteSingleFiles(t.Context(), dir, other); err != nil {
		t.Fatal(err)
	}
	add("other seed", spec(dir, bf16File, vaeFile, textFile))
}

// TestVariantOfParts takes parts of a model with a reference cache: with its transformer come its variant and name.
func TestVariantOfParts(t *testing.T) {
	folder, single := tiny(t)
	index := filepath.Join(folder, "model_index.json")
	text, err := os.ReadFile(index)
	if err != nil {
		t.Fatal(err)
	}
	mustWrite(t, index, strings.ReplaceAll(string(text), `"Flux2KleinPipeline"`, `"Flux2KleinKVPipeline"`))
	kv := mustOpen(t, spec(single, textFile)+","+folder)
	if kv.Name != "tiny" || kv.Hint != nil || !kv.Index.KV {
		t.Errorf("with its transformer: %s, %+v, %+v", kv.Name, kv.Hint, kv.Index)
	}
	plain := mustOpen(t, spec(single, bf16File)+","+folder)
	if plain.Name != "flux-2-klein-4b" || plain.Hint == nil || plain.Hint.KV || plain.Index.KV {
		t.Errorf("with another transformer: %s, %+v, %+v", plain.Name, plain.Hint, plain.Index)
	}
	if s, err := Judge(t.Context(), folder); err != nil || !s.KV || s.Base {
		t.Errorf("the folder: %+v, %v", s, err)
	}
}

func TestVariantHint(t *testing.T) {
	for file, want := range map[string]VariantHint{
		"flux-2-klein-4b.safetensors":          {},
		"flux-2-klein-base-4b-fp8.safetensors": {Base: true},
		"FLUX.2-Klein-BASE-4B.safetensors":     {Base: true},
		"flux-2-klein-9b.safetensors":          {},
		"flux-2-klein-9b-kvasir.safetensors":   {},
		"flux-2-klein-9b-kv.safetensors":       {KV: true},
		"FLUX.2-Klein-9B-KV-fp8.safetensors":   {KV: true},
		"flux2_klein_9b_kv_Q4_K.gguf":          {KV: true},
		"flux-2-klein-9bKV":                    {KV: true},
		"flux-2-klein-9b-kvcache.safetensors":  {KV: true},
	} {
		h := hintOf(file)
		if h.Base != want.Base || h.KV != want.KV || !strings.Contains(h.Sentence, file) ||
			!strings.Contains(h.Sentence, "choose the variant ") {
			t.Errorf("%s: %+v, want %+v", file, h, want)
		}
	}
}

func TestModelIndex(t *testing.T) {
	yes, no := true, false
	for _, row := range []struct {
		name, text string
		want       ModelIndex
		err        string
	}{
		{"distilled", `{"_class_name":"Flux2KleinPipeline","is_distilled":true}`, ModelIndex{IsDistilled: &yes}, ""},
		{"base, limit", `{"_class_name":"Flux2KleinPipeline","is_distilled":false,"max_sequence_length":256}`,
			ModelIndex{IsDistilled: &no, MaxSequenceLength: 256}, ""},
		{"no is_distilled", `{"_class_name":"Flux2KleinPipeline"}`, ModelIndex{}, ""},
		{"reference cache", `{"_class_name":"Flux2KleinKVPipeline"}`, ModelIndex{KV: true}, ""},
		{"another pipeline", `{"_class_name":"FluxPipeline"}`, ModelIndex{},
			`_class_name "FluxPipeline", want "Flux2KleinPipeline" or "Flux2KleinKVPipeline": it is FLUX.1`},
		{"no class", `{}`, ModelIndex{}, `_class_name "", want "Flux2KleinPipeline"`},
		{"no bool", `{"_class_name":"Flux2KleinPipeline","is_distilled":"yes"}`, ModelIndex{}, "is_distilled"},
		{"limit 0", `{"_class_name":"Flux2KleinPipeline","max_sequence_length":0}`, ModelIndex{},
			"max_sequence_length 0, want at least 1"},
		{"limit no whole number", `{"_class_name":"Flux2KleinPipeline","max_sequence_length":1.5}`, ModelIndex{},
			"max_sequence_length"},
		{"syntax", "{\n  \"_class_name\": }", ModelIndex{}, "byte 20: invalid character '}'"},
		{"empty", ``, ModelIndex{}, "unexpected end of JSON input"},
		{"an array", `[]`, ModelIndex{}, "want a JSON object"},
		{"null", `null`, ModelIndex{}, "want a JSON object"},
		{"too long", `{"a":"` + strings.Repeat("x", maxConfigBytes) + `"}`, ModelIndex{}, "more than 262144 bytes"},
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, "model_index.json")
		mustWrite(t, path, row.text)
		got, err := folder{files: os.DirFS(dir), dir: dir}.readModelIndex("model_index.json")
		if row.err == "" {
			if err != nil || !reflect.DeepEqual(got, row.want) {
				t.Errorf("%s: %+v %v, want %+v", row.name, got, err, row.want)
			}
			continue
		}
		wantError(t, row.name, err, path, row.err)
	}
}

// wantError fails the test unless err is one line that contains file and text.
func wantError(t *testing.T, row string, err error, file, text string) {
	t.Helper()
	if err == nil {
		t.Errorf("%s: no error, want %q", row, text)
	} else if s := err.Error(); !strings.Contains(s, file) || !strings.Contains(s, text) || strings.Contains(s, "\n") {
		t.Errorf("%s: %q, want one line with %q and %q", row, s, file, text)
	}
}

func TestOpenFolderRefuses(t *testing.T) {
	folder, _ := tiny(t)
	in := func(name string) string { return filepath.Join(folder, filepath.FromSlash(name)) }
	remove := func(names ...string) func() error {
		return func() (err error) {
			for _, name := range names {
				err = errors.Join(err, os.Remove(in(name)))
			}
			return err
		}
	}
	for _, row := range []struct {
		name   string
		damage func() error
		file   string
		want   string
	}{
		{"model index absent", remove("model_index.json"), "model_index.json",
			"is missing; the folder holds scheduler, text_encoder, tokenizer, transformer, vae"},
		{"scheduler config absent", remove("scheduler/scheduler_config.json"), "scheduler/scheduler_config.json",
			"is missing"},
		{"transformer config absent", remove("transformer/config.json"), "transformer/config.json", "is missing"},
		{"VAE config broken", func() error { return os.WriteFile(in("vae/config.json"), []byte(`{"a":1,}`), 0o644) },
			"vae/config.json", "byte 8: invalid character '}'"},
		{"text encoder config too long",
			func() error { return os.Truncate(in("text_encoder/config.json"), maxConfigBytes+1) }, "text_encoder/config.json",
			"more than 262144 bytes"},
		{"tokenizer absent", remove("tokenizer/tokenizer.json", "tokenizer/vocab.json"), "tokenizer",
			"holds neither tokenizer.json nor vocab.json with merges.txt"},
		{"weights absent", remove("transformer/diffusion_pytorch_model.safetensors"),
			"transformer/diffusion_pytorch_model.safetensors",
			"is missing, and so is its .index.json; the folder holds config.json"},
		{"index absent", remove("text_encoder/model.safetensors.index.json"), "text_encoder/model.safetensors",
			"the folder holds config.json, model-00001-of-00002.safetensors, model-00002-of-00002.safetensors"},
		{"shard absent", remove("text_encoder/model-00002-of-00002.safetensors"),
			"text_encoder/model-00002-of-00002.safetensors", "(one of 2 shards in model.safetensors.index.json)"},
		{"shard not finished", func() error {
			return os.Rename(in("text_encoder/model-00002-of-00002.safetensors"),
				in("text_encoder/model-00002-of-00002.safetensors.part"))
		}, "text_encoder/model-00002-of-00002.safetensors",
			"model-00002-of-00002.safetensors.part exists: the download is not finished"},
		{"shard cut short", func() error { return os.Truncate(in("text_encoder/model-00001-of-00002.safetensors"), 100_000) },
			"text_encoder/model-00001-of-00002.safetensors", "100000 bytes, want 195560: the file is incomplete"},
		{"folder without files", func() error { return errors.Join(os.RemoveAll(in("vae")), os.Mkdir(in("vae"), 0o755)) },
			"vae/config.json", "is missing"},
	} {
		t.Run(row.name, func(t *testing.T) {
			kept := t.TempDir()
			if err := os.CopyFS(kept, os.DirFS(folder)); err != nil {
				t.Fatal(err)
			}
			if err := row.damage(); err != nil {
				t.Fatal(err)
			}
			_, err := Open(t.Context(), folder)
			wantError(t, row.name, err, in(row.file), row.want)
			if err := errors.Join(os.RemoveAll(folder), os.CopyFS(folder, os.DirFS(kept))); err != nil {
				t.Fatal(err)
			}
		})
	}
	empty := t.TempDir()
	_, err := Open(t.Context(), empty)
	wantError(t, "empty folder", err, empty,
		"holds neither model_index.json (a Diffusers folder) nor .safetensors or .gguf files")
	if _, err := Open(t.Context(), " "); err == nil {
		t.Error("opened nothing")
	}
}

// tensorFile writes a file with the given tensors, zeros unless they have a Fill, and returns its path.
func tensorFile(t *testing.T, name string, entries ...safetensors.Entry) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	w, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	for i, e := range entries {
		if e.Fill == nil {
			entries[i].Fill = func(dst []byte, _ int) error { clear(dst); return nil }
		}
	}
	if err := errors.Join(safetensors.Write(t.Context(), w, nil, entries, nil), w.Close()); err != nil {
		t.Fatal(err)
	}
	return path
}

// of returns a tensor without values.
func of(name string, dtype tensor.DType, shape ...int) safetensors.Entry {
	return safetensors.Entry{Name: name, DType: dtype, Shape: shape}
}

// scaleOfValue returns a float32 tensor that holds the scale v.
func scaleOfValue(name string, v float32) safetensors.Entry {
	return safetensors.Entry{Name: name, DType: tensor.F32, Fill: func(dst []byte, _ int) error {
		binary.LittleEndian.PutUint32(dst, math.Float32bits(v))
		return nil
	}}
}

// textOf returns a tensor of bytes that holds text, as markers of quantised layers do.
func textOf(name, text string) safetensors.Entry {
	fill := func(dst []byte, first int) error {
		copy(dst, text[first:])
		return nil
	}
	return safetensors.Entry{Name: name, DType: tensor.U8, Shape: []int{len(text)}, Fill: fill}
}

func TestOpenFilesRefuses(t *testing.T) {
	folder, single := tiny(t)
	imgIn := of("img_in.weight", tensor.BF16, 4, 4)
	fp8 := of("single_blocks.0.linear1.weight", tensor.F8E4M3, 4, 4)
	scaleName := "single_blocks.0.linear1.weight_scale"
	file := func(entries ...safetensors.Entry) string { return tensorFile(t, "x.safetensors", entries...) }
	gguf := filepath.Join(t.TempDir(), "flux-2-klein-4b-Q4_0.gguf")
	mustWrite(t, gguf, "GGUF\x03\x00\x00\x00\x00")
	gone := filepath.Join(single, "gone.safetensors")
	for _, row := range []struct {
		name, spec, file, want string
	}{
		{"no VAE", spec(single, bf16File, textFile), bf16File, "no VAE among"},
		{"no VAE: the usual one", spec(single, bf16File, textFile), textFile, "flux2-vae.safetensors is the usual one"},
		{"no transformer", spec(single, vaeFile, textFile), vaeFile, "no transformer among"},
		{"no text encoder", spec(single, vaeFile, bf16File), vaeFile, "no text encoder among"},
		{"two transformers", spec(single, vaeFile, bf16File, fp8File, textFile), fp8File,
			"is a second transformer beside " + filepath.Join(single, bf16File)},
		{"two transformers in a folder", single, bf16File,
			"is a second transformer beside " + filepath.Join(single, fp8File)},
		{"two tokenizers", spec(folder, "tokenizer", "tokenizer/tokenizer.json"),
			filepath.Join(folder, "tokenizer", "tokenizer.json"), "is a second tokenizer"},
		{"missing file", spec(single, bf16File, "gone.safetensors"), gone, "safetensors: "},
		{"missing tokenizer", spec(single, bf16File, "gone.json"), "gone.json", "is missing"},
		{"cut GGUF", gguf, gguf, "found 1 bytes, want 8: the file is incomplete, download it again"},
		{"no tensors", file(), "x.safetensors", "holds no tensors"},
		{"something else", file(of("conv1.weight", tensor.F32, 1)), "x.safetensors",
			"is not a FLUX.2 transformer, VAE or Qwen3 text encoder; it holds conv1.weight"},
		{"LoRA", file(of("diffusion_model.single_blocks.0.linear1.lora_A.weight", tensor.F32, 1)), "x.safetensors",
			"is a LoRA"},
		{"FLUX.1", file(imgIn, of("double_blocks.0.img_mod.lin.weight", tensor.BF16, 4),
			of("double_blocks.0.img_mod.lin.bias", tensor.BF16, 4), of("vector_in.in_layer.bias", tensor.BF16, 4),
			of("vector_in.in_layer.weight", tensor.BF16, 4)),
			"x.safetensors", "is FLUX.1; this program runs FLUX.2 [klein]"},
		{"Qwen2", file(of("model.embed_tokens.weight", tensor.BF16, 4),
			of("model.layers.0.self_attn.q_proj.bias", tensor.BF16, 4)), "x.safetensors", "is a Qwen2 text encoder"},
		{"another VAE", file(of("decoder.mid.block_1.conv1.weight", tensor.BF16, 4),
			of("decoder.mid.block_3.conv1.weight", tensor.BF16, 4)), "x.safetensors",
			"do not belong to a FLUX.2 [klein] VAE: decoder.mid.block_3.conv1.weight"},
		{"qkv that cannot be cut", file(imgIn, of("double_blocks.0.img_attn.qkv.weight", tensor.BF16, 4, 4)),
			"x.safetensors: double_blocks.0.img_attn.qkv.weight", "shape [4 4], want rows in 3 equal parts"},
		{"modulation that cannot be cut", file(imgIn, of("final_layer.adaLN_modulation.1.weight", tensor.BF16)),
			"adaLN_modulation.1.weight", "shape [], want rows in 2 equal parts"},
		{"attention of 3×3", file(of("decoder.mid.block_1.conv1.weight", tensor.BF16, 4),
			of("decoder.mid.attn_1.q.weight", tensor.BF16, 4, 4, 3, 3)), "attn_1.q.weight",
			"shape [4 4 3 3], want a linear layer or a 1×1 convolution"},
		{"two names for one weight",
			file(of("decoder.mid.block_1.conv1.weight", tensor.BF16, 4), of("encoder.quant_conv.bias", tensor.BF16, 4),
				of("quant_conv.bias", tensor.BF16, 4)), "x.safetensors: quant_conv.bias",
			"is quant_conv.bias, which encoder.quant_conv.bias is too"},

		{"fp8 without a scale beside one that has it",
			file(imgIn, fp8, of("single_blocks.1.linear1.weight", tensor.F8E4M3, 4, 4),
				scaleOfValue("single_blocks.1.linear1.weight_scale", 1)), "single_blocks.0.linear1.weight",
			"dtype F8_E4M3 without its weight_scale"},
		{"scale 0", file(imgIn, fp8, scaleOfValue(scaleName, 0)), scaleName, "0, want a positive number"},
		{"negative scale", file(imgIn, fp8, scaleOfValue(scaleName, -1)), scaleName, "-1, want a positive number"},
		{"NaN scale", file(imgIn, fp8, scaleOfValue(scaleName, float32(math.NaN()))), scaleName,
			"NaN, want a positive number"},
		{"infinite scale", file(imgIn, fp8, scaleOfValue(scaleName, float32(math.Inf(1)))), scaleName,
			"+Inf, want a positive number"},
		{"scale of another shape", file(imgIn, fp8, of(scaleName, tensor.F32, 3, 1)), scaleName,
			"shape [3 1], want one scale for [4 4], one for each row, or one for each block of 128×128"},
		{"integer scale", file(imgIn, fp8, of(scaleName, tensor.I32)), scaleName, "dtype I32, want F32"},
		{"two scales", file(imgIn, fp8, scaleOfValue(scaleName, 1), scaleOfValue("single_blocks.0.linear1.scale_weight", 1)),
			"linear1.", "is a second scale of single_blocks.0.linear1.weight"},
		{"scale of bf16", file(imgIn, scaleOfValue("img_in.weight_scale", 2)), "img_in.weight",
			"dtype BF16 with a weight_scale"},
		{"NVFP4", file(imgIn, of("single_blocks.0.linear1.weight", tensor.U8, 4, 2), of(scaleName, tensor.F8E4M3, 4, 1),
			scaleOfValue("single_blocks.0.linear1.weight_scale_2", 1)), "x.safetensors",
			"F8_E4M3 [4 1] for [4 2] bytes, want F8_E4M3 with a scale for each 16 values: nvfp4 without a marker"},
		{"int8", file(imgIn, of("single_blocks.0.linear1.weight", tensor.I8, 4, 4)), "x.safetensors",
			"int8 (I8) weights are not supported; get flux-2-klein-4b.safetensors"},
		{"NVFP4 text encoder",
			file(of("model.embed_tokens.weight", tensor.BF16, 4, 4), of("model.layers.0.mlp.up_proj.weight", tensor.U8, 4, 2)),
			"x.safetensors", "(U8) weights are not supported; get qwen_3_4b.safetensors"},
	} {
		c, err := Open(t.Context(), row.spec)
		if err == nil {
			c.Close()
		}
		wantError(t, row.name, err, row.file, row.want)
	}
}

// TestPrefixesAndExtras recognises files with prefixes before their names, and with tensors that are no weights.
func TestPrefixesAndExtras(t *testing.T) {
	for _, row := range []struct {
		name    string
		entries []safetensors.Entry
		kind    kind
		want    []string
	}{
		{"transformer, ComfyUI", []safetensors.Entry{
			of("model.diffusion_model.img_in.weight", tensor.BF16, 4, 4),
			of("model.diffusion_model.double_blocks.3.txt_attn.qkv.weight", tensor.F8E4M3, 6, 4),
			scaleOfValue("model.diffusion_model.double_blocks.3.txt_attn.qkv.scale_weight", 0.5),
			scaleOfValue("model.diffusion_model.double_blocks.3.txt_attn.qkv.scale_input", 1),
			of("model.diffusion_model.scaled_fp8", tensor.F8E4M3, 0),
		}, transformer, []string{"transformer_blocks.3.attn.add_k_proj.weight", "transformer_blocks.3.attn.add_q_proj.weight",
			"transformer_blocks.3.attn.add_v_proj.weight", "x_embedder.weight"}},
		{"transformer, comfy_quant", []safetensors.Entry{
			of("img_in.weight", tensor.BF16, 4, 4),
			of("single_blocks.12.linear2.weight", tensor.F8E4M3, 4, 4),
			textOf("single_blocks.12.linear2.comfy_quant", `{"format":"float8_e4m3fn"}`),
			scaleOfValue("single_blocks.12.linear2.weight_scale", 0.5),
		}, transformer, []string{"single_transformer_blocks.12.attn.to_out.weight", "x_embedder.weight"}},
		{"text encoder without model.", []safetensors.Entry{
			of("embed_tokens.weight", tensor.BF16, 4, 4), of("layers.0.mlp.up_proj.weight", tensor.BF16, 4, 4),
			of("lm_head.weight", tensor.BF16, 4, 4), of("layers.0.self_attn.rotary_emb.inv_freq", tensor.F32, 4),
		}, textEncoder, []string{"model.embed_tokens.weight", "model.layers.0.mlp.up_proj.weight"}},
		{"VAE", []safetensors.Entry{
			of("first_stage_model.decoder.mid.block_1.conv1.weight", tensor.F32, 4, 4, 3, 3),
			of("first_stage_model.bn.num_batches_tracked", tensor.I64),
			of("first_stage_model.decoder.up.2.upsample.conv.bias", tensor.F32, 4),
			of("first_stage_model.decoder.up.0.block.1.nin_shortcut.bias", tensor.F32, 4),
		}, vae, []string{"decoder.mid_block.resnets.0.conv1.weight", "decoder.up_blocks.0.upsamplers.0.conv.bias",
			"decoder.up_blocks.2.resnets.1.conv_shortcut.bias"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			path := tensorFile(t, "x.safetensors", row.entries...)
			set, err := openStore(t.Context(), path)
			if err != nil {
				t.Fatal(err)
			}
			defer set.Close()
			parts, err := recognise(set, path)
			if err != nil || len(parts) != 1 || parts[0].kind != row.kind {
				t.Fatalf("%v %v, want one %v", parts, err, row.kind)
			}
			w, err := newWeights(set, path, parts[0])
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(w.Names(), row.want) {
				t.Errorf("names %v, want %v", w.Names(), row.want)
			}
			for _, name := range w.Names() {
				x := mustTensor(t, w, name)
				if want := map[bool]float32{true: 0.5, false: 1}[x.DType == tensor.F8E4M3]; x.Scale != want ||
					!strings.HasPrefix(x.Name, path+": ") {
					t.Errorf("%s: scale %v, want %v", x.Name, x.Scale, want)
				}
			}
			_, err = w.Tensor("nothing.weight")
			if wantError(t, "unknown name", err, path, "nothing.weight"); !errors.Is(err, tensor.ErrMissing) {
				t.Error(err)
			}
		})
	}
}

// TestWeightsAreNotCopied checks that the data of weights, also of slices of a fused projection, is the file's mapping.
func TestWeightsAreNotCopied(t *testing.T) {
	_, single := tiny(t)
	c := mustOpen(t, spec(single, bf16File, vaeFile, textFile))
	for _, name := range []string{"transformer_blocks.1.attn.to_k.weight", "x_embedder.weight"} {
		a, b := mustTensor(t, c.Transformer.Source, name), mustTensor(t, c.Transformer.Source, name)
		if &a.Data[0] != &b.Data[0] {
			t.Errorf("%s was copied", name)
		}
	}
	k := mustTensor(t, c.Transformer.Source, "transformer_blocks.1.attn.to_k.weight")
	if want := fmt.Sprintf("%s: double_blocks.1.img_attn.qkv.weight[128:256]",
		filepath.Join(single, bf16File)); k.Name != want {
		t.Errorf("name %q, want %q", k.Name, want)
	}
}
