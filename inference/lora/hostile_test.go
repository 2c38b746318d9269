package lora

import (
	"encoding/binary"
	"maps"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/kleinbild/kleinbild/inference/checkpoint/safetensors"
	"github.com/kleinbild/kleinbild/inference/tensor"
)

// entry is a tensor of a test's file: its shape, and the value of all its elements.
type entry struct {
	shape []int
	value float32
}

// write writes a file with the given tensors in float32.
func write(t testing.TB, tensors map[string]entry, metadata map[string]string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "adapter.safetensors")
	out, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	var entries []safetensors.Entry
	for name, e := range tensors {
		entries = append(entries, safetensors.Entry{Name: name, DType: tensor.F32, Shape: e.shape,
			Fill: func(dst []byte, _ int) error {
				for i := 0; i < len(dst); i += 4 {
					binary.LittleEndian.PutUint32(dst[i:], math.Float32bits(e.value))
				}
				return nil
			}})
	}
	if err := safetensors.Write(t.Context(), out, metadata, entries, nil); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// pairOf returns a LoRA of a layer.
func pairOf(module string, rows, cols, rank int) map[string]entry {
	return map[string]entry{
		module + ".lora_A.weight": {[]int{rank, cols}, 0.01}, module + ".lora_B.weight": {[]int{rows, rank}, 0.01},
	}
}

// with returns tensors and one more.
func with(tensors map[string]entry, name string, e entry) map[string]entry {
	tensors[name] = e
	return tensors
}

// load opens a file, matches it with the tiny model and reads all values.
func load(t testing.TB, path string) (*Match, error) {
	f, err := Open(t.Context(), path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	m, err := f.Match(tiny())
	if err != nil {
		return nil, err
	}
	return m, m.Load(t.Context(), nil, func(Change) error { return nil })
}

// TestRefusals has files that must be refused, each with parts of the error: the key, what was found, what is wanted.
func TestRefusals(t *testing.T) {
	const qkv, proj = "diffusion_model.double_blocks.0.img_attn.qkv", "diffusion_model.double_blocks.0.img_attn.proj"
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	many := func(prefix, suffix string, n, rows, cols int) map[string]entry {
		all := map[string]entry{}
		for i := range n {
			maps.Copy(all, pairOf(prefix+strconv.Itoa(i)+suffix, rows, cols, 4))
		}
		return all
	}
	for _, row := range []struct {
		name    string
		tensors map[string]entry
		want    []string
	}{
		{"alpha 0", with(pairOf(proj, 256, 256, 4), proj+".alpha", entry{[]int{}, 0}),
			[]string{proj + ".alpha", "found alpha 0", "want a positive"}},
		{"alpha NaN", with(pairOf(proj, 256, 256, 4), proj+".alpha", entry{[]int{}, nan}),
			[]string{proj + ".alpha", "found alpha NaN", "want a positive"}},
		{"alpha of two values", with(pairOf(proj, 256, 256, 4), proj+".alpha", entry{[]int{2}, 1}),
			[]string{proj + ".alpha", "shape [2]", "want one number"}},
		{"a rank over the width", pairOf(qkv, 768, 256, 300), []string{qkv, "a rank of 300", "at most 256"}},
		{"factors that do not fit", with(pairOf(proj, 256, 256, 4), proj+".lora_B.weight", entry{[]int{256, 5}, 0}),
			[]string{proj + ".lora_B.weight", "shape [256 5]", "want 4 columns"}},
		{"half a pair", map[string]entry{proj + ".lora_A.weight": {[]int{4, 256}, 0}},
			[]string{proj + ".lora_A.weight", "without the other"}},
		{"half a LoHa", map[string]entry{proj + ".hada_w1_a": {[]int{256, 4}, 0}}, []string{"hada_w1_a", "LoHa"}},
		{"half a LoKr", map[string]entry{proj + ".lokr_w1": {[]int{16, 16}, 0}}, []string{"lokr_w1", "LoKr"}},
		{"a LoKr factor twice", map[string]entry{proj + ".lokr_w1": {[]int{16, 16}, 0}, proj + ".lokr_w2": {[]int{16, 16}, 0},
			proj + ".lokr_w2_a": {[]int{16, 4}, 0}, proj + ".lokr_w2_b": {[]int{4, 16}, 0}}, []string{"lokr_w1", "LoKr"}},
		{"two kinds", with(pairOf(proj, 256, 256, 4), proj+".diff", entry{[]int{256, 256}, 0}),
			[]string{proj, "LoRA", "whole differences", "want one"}},
		{"a magnitude alone", map[string]entry{proj + ".dora_scale": {[]int{1, 256}, 1}}, []string{"dora_scale", "without"}},
		{"a magnitude of another layer", with(pairOf(proj, 256, 256, 4), proj+".dora_scale", entry{[]int{1, 300}, 1}),
			[]string{"dora_scale", "[1 300]", "want 256"}},
		{"one layer twice", func() map[string]entry {
			all := pairOf(qkv, 768, 256, 4)
			for name, e := range pairOf("transformer.transformer_blocks.0.attn.to_k", 256, 256, 4) {
				all[name] = e
			}
			return all
		}(), []string{"to_k", qkv, "changes too"}},
		{"one tensor under two names", with(pairOf(proj, 256, 256, 4), proj+".lora_down.weight", entry{[]int{4, 256}, 0}),
			[]string{"lora_down", "beside", "want one"}},
		{"NaN", with(pairOf(proj, 256, 256, 4), proj+".lora_A.weight", entry{[]int{4, 256}, nan}),
			[]string{proj + ".lora_A.weight", "NaN at 0", "want finite"}},
		{"infinity", with(pairOf(proj, 256, 256, 4), proj+".lora_B.weight", entry{[]int{256, 4}, inf}),
			[]string{proj + ".lora_B.weight", "+Inf at 0"}},
		{"three dimensions", with(pairOf(proj, 256, 256, 4), proj+".lora_A.weight", entry{[]int{4, 16, 16}, 0}),
			[]string{proj + ".lora_A.weight", "[4 16 16]", "rows and columns"}},
		{"no values", with(pairOf(proj, 256, 256, 4), proj+".lora_A.weight", entry{[]int{0, 256}, 0}),
			[]string{"lora_A", "[0 256]"}},
		{"shapes that fit nothing", pairOf(proj, 320, 320, 4), []string{proj, "[320 320]", "want [256 256]"}},
		{"the 9B model's", pairOf(proj, 4096, 4096, 4), []string{proj, "[4096 4096]", "[klein] 9B"}},
		{"a whole checkpoint", map[string]entry{"double_blocks.0.img_attn.qkv.weight": {[]int{768, 256}, 0}},
			[]string{"double_blocks.0.img_attn.qkv.weight", "whole checkpoint"}},
		{"an empty file", map[string]entry{}, []string{"no adapter"}},
		{"SDXL", pairOf("lora_unet_down_blocks_1_attentions_0_proj_in", 640, 640, 4), []string{"down_blocks_1", "SDXL"}},
		{"FLUX.1, modulation", pairOf("diffusion_model.double_blocks.0.img_mod.lin", 1536, 256, 4),
			[]string{"img_mod", "FLUX.1"}},
		{"FLUX.1, its MLP", pairOf("diffusion_model.double_blocks.0.img_mlp.0", 1024, 256, 4),
			[]string{"img_mlp.0", "FLUX.1"}},
		{"FLUX.1, single block", pairOf("lora_unet_single_blocks_0_linear1", 1792, 256, 4), []string{"linear1", "FLUX.1"}},
		{"FLUX.1, attention only", many("transformer.transformer_blocks.", ".attn.to_q", 19, 256, 256),
			[]string{"transformer_blocks.18", "17 more blocks", "another model"}},
		{"Qwen-Image", pairOf("transformer.transformer_blocks.0.img_mlp.net.0.proj", 1024, 256, 4), []string{"Qwen-Image"}},
		{"Wan", pairOf("diffusion_model.blocks.0.self_attn.q", 256, 256, 4), []string{"self_attn", "Wan"}},
		{"nothing known", pairOf("diffusion_model.mystery", 256, 256, 4), []string{"diffusion_model.mystery", "1 layers"}},
	} {
		_, err := load(t, write(t, row.tensors, nil))
		if err == nil {
			t.Errorf("%s: accepted", row.name)
			continue
		}
		for _, part := range row.want {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%s: %q, want it to contain %q", row.name, err, part)
			}
		}
		if strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), "adapter.safetensors") {
			t.Errorf("%s: %q, want one line that names the file", row.name, err)
		}
	}
	if _, err := load(t, write(t, with(pairOf(proj, 256, 256, 4), proj+".alpha", entry{[]int{1}, 8}), nil)); err != nil {
		t.Errorf("a good file: %v", err)
	}
}

// TestMetadataConfig reads configs of PEFT.
func TestMetadataConfig(t *testing.T) {
	const a, b = "transformer.transformer_blocks.0.attn.to_q", "transformer.transformer_blocks.1.attn.to_q"
	for _, row := range []struct {
		config string
		a, b   float64 // the factors; 0 if the config is refused
	}{
		{`{"transformer.lora_alpha": 8}`, 2, 2},
		{`{"lora_alpha": 2.0, "alpha_pattern": {"transformer_blocks.1.attn.to_q": 12}}`, 0.5, 3},
		{`{"lora_alpha": 4, "alpha_pattern": {"transformer_blocks\\.\\d\\.attn\\.to_q": 12}}`, 3, 3},
		{`{"lora_alpha": 4, "alpha_pattern": {"attn": 12, "(": 7}}`, 1, 1},
		{`{"lora_alpha": 8, "use_rslora": true}`, 4, 4},
		{`{"r": 4}`, 1, 1},
		{`{"lora_alpha": null}`, 1, 1},
		{`{"lora_alpha": 0}`, 0, 0},
		{`{"lora_alpha": "8"}`, 0, 0},
		{`{"lora_alpha": 8, "alpha_pattern": {"x": -1}}`, 0, 0},
		{`{"lora_alpha": 8, "alpha_pattern": [1]}`, 0, 0},
		{`[]`, 0, 0},
	} {
		tensors := pairOf(a, 256, 256, 4)
		for name, e := range pairOf(b, 256, 256, 4) {
			tensors[name] = e
		}
		f, err := Open(t.Context(), write(t, tensors, map[string]string{metadataConfig: row.config}))
		if row.a == 0 {
			if err == nil || !strings.Contains(err.Error(), metadataConfig) {
				t.Errorf("%s: %v, want an error that names the metadata", row.config, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", row.config, err)
			continue
		}
		defer f.Close()
		for i, want := range []float64{row.a, row.b} {
			if have := f.alphas.factor(f.modules[i], 4); have != want {
				t.Errorf("%s: %s has factor %v, want %v", row.config, f.modules[i].name, have, want)
			}
		}
	}
}

// TestConfigBeside reads the alpha of adapters that PEFT has saved: it lies in a file beside the adapter, which counts
// for that adapter alone and as long as it is the same.
func TestConfigBeside(t *testing.T) {
	const config = `{"peft_type": "LORA", "r": 4, "lora_alpha": 12, "alpha_pattern": null, "use_rslora": false}`
	open := func(name, config string, metadata map[string]string) (*File, error) {
		path := write(t, pairOf("base_model.model.transformer_blocks.0.attn.to_q", 256, 256, 4), metadata)
		moved := filepath.Join(filepath.Dir(path), name)
		if err := os.Rename(path, moved); err != nil {
			t.Fatal(err)
		}
		if config != "" {
			if err := os.WriteFile(filepath.Join(filepath.Dir(path), peftConfigFile), []byte(config), 0o666); err != nil {
				t.Fatal(err)
			}
		}
		return Open(t.Context(), moved)
	}
	for _, row := range []struct {
		name, config string
		metadata     map[string]string
		want         float64
	}{
		{peftAdapter, config, nil, 3},
		{peftAdapter, "", nil, 1},
		{"another.safetensors", config, nil, 1},
		{peftAdapter, config, map[string]string{metadataConfig: `{"lora_alpha": 8}`}, 2},
	} {
		f, err := open(row.name, row.config, row.metadata)
		if err != nil {
			t.Errorf("%+v: %v", row, err)
			continue
		}
		defer f.Close()
		if have := f.alphas.factor(f.modules[0], 4); have != row.want || !f.Current() {
			t.Errorf("%+v: factor %v, current %v", row, have, f.Current())
		}
		beside := filepath.Join(filepath.Dir(f.Path()), peftConfigFile)
		if err := os.WriteFile(beside, []byte(config+" "), 0o666); err != nil {
			t.Fatal(err)
		}
		if f.Current() != (row.name != peftAdapter) {
			t.Errorf("%+v: current %v after the config was written", row, f.Current())
		}
	}
	for _, bad := range []string{`{"lora_alpha": "much"}`, `[`, strings.Repeat(" ", maxConfigBytes+1)} {
		if _, err := open(peftAdapter, bad, nil); err == nil || !strings.Contains(err.Error(), peftConfigFile) {
			t.Errorf("%.30q: %v, want an error that names the config", bad, err)
		}
	}
}

// TestCutFile opens each of many beginnings of a file.
func TestCutFile(t *testing.T) {
	path := write(t, pairOf("double_blocks.0.img_attn.proj", 256, 256, 4), nil)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for n := 0; n < len(whole); n += 61 {
		cut := filepath.Join(t.TempDir(), "cut.safetensors")
		if err := os.WriteFile(cut, whole[:n], 0o666); err != nil {
			t.Fatal(err)
		}
		if _, err := load(t, cut); err == nil || strings.Contains(err.Error(), "\n") {
			t.Fatalf("%d of %d bytes: %v, want an error of one line", n, len(whole), err)
		}
	}
}

// TestInfo reads what trainers write into metadata.
func TestInfo(t *testing.T) {
	for _, row := range []struct {
		name     string
		metadata map[string]string
		trainer  string
		triggers []string
	}{
		{"ai-toolkit", map[string]string{"software": `{"name": "ai-toolkit", "version": "0.7"}`}, "ai-toolkit", nil},
		{"musubi", map[string]string{"ss_network_module": "networks.lora_flux_2",
			"ss_tag_frequency": `{"img": {"dusk": 9, "house": 3}, "b": {"dusk": 1, "a": 4}}`}, "musubi-tuner",
			[]string{"dusk", "a", "house"}},
		{"a phrase", map[string]string{"modelspec.trigger_phrase": " dusk colours ", "ss_tag_frequency": `{"x": {"y": 1}}`},
			"original names", []string{"dusk colours"}},
		{"damaged tags", map[string]string{"ss_tag_frequency": `{"x": 1`}, "original names", nil},
	} {
		f, err := Open(t.Context(), write(t, pairOf("double_blocks.0.img_attn.proj", 256, 256, 4), row.metadata))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		i := f.Info()
		if i.Trainer != row.trainer || strings.Join(i.Triggers, ",") != strings.Join(row.triggers, ",") ||
			i.LowestRank != 4 || i.HighestRank != 4 || i.Kinds != "LoRA" || len(i.Digest) != 64 {
			t.Errorf("%s: %+v", row.name, i)
		}
	}
}
