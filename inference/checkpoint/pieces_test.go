package checkpoint

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/kleinbild/kleinbild/inference/checkpoint/gguf/gguftest"
	"github.com/kleinbild/kleinbild/inference/checkpoint/synthetic"
	"github.com/kleinbild/kleinbild/inference/tensor"
)

// ggufOf writes the weights of src as GGUF, in Q8_0 where a row allows it and in float32 otherwise, with the names that
// rename returns.
func ggufOf(t *testing.T, path string, src tensor.Source, metadata []gguftest.Pair, rename func(name string) string) {
	t.Helper()
	var tensors []gguftest.Tensor
	for _, name := range src.Names() {
		w, err := src.Tensor(name)
		if err != nil {
			t.Fatal(err)
		}
		x := gguftest.Tensor{Name: rename(name), Shape: w.Shape}
		if values := w.Float32s(); len(w.Shape) == 2 && w.Shape[1]%32 == 0 {
			x.Kind, x.Data = gguftest.Q8_0, gguftest.Quantise8(values)
		} else {
			x.Kind, x.Data = gguftest.F32, gguftest.Floats(values)
		}
		tensors = append(tensors, x)
	}
	mustWrite(t, path, string(gguftest.Bytes(metadata, tensors)))
}

// llamaName returns llama.cpp's name of a text encoder's weight.
func llamaName(name string) string {
	switch name {
	case "model.embed_tokens.weight":
		return "token_embd.weight"
	case "model.norm.weight":
		return "output_norm.weight"
	}
	rest, _ := strings.CutPrefix(name, "model.layers.")
	index, inner, _ := strings.Cut(strings.TrimSuffix(rest, ".weight"), ".")
	for llama, diffusers := range llamaLayers {
		if diffusers == inner {
			return fmt.Sprintf("blk.%s.%s.weight", index, llama)
		}
	}
	return name
}

// qwen3Metadata returns the metadata of a text encoder with the shapes of src.
func qwen3Metadata(t *testing.T, src tensor.Source) []gguftest.Pair {
	t.Helper()
	dim := func(name string, i int) uint32 { return uint32(tensor.Dim(src, name, i)) }
	layer := func(name string) string { return "model.layers.0." + name + ".weight" }
	head := dim(layer("self_attn.q_norm"), 0)
	layers := uint32(0)
	for dim(fmt.Sprintf("model.layers.%d.input_layernorm.weight", layers), 0) > 0 {
		layers++
	}
	return []gguftest.Pair{
		{Key: "general.architecture", Value: "qwen3"},
		{Key: "qwen3.block_count", Value: layers},
		{Key: "qwen3.embedding_length", Value: dim("model.embed_tokens.weight", 1)},
		{Key: "qwen3.feed_forward_length", Value: dim(layer("mlp.gate_proj"), 0)},
		{Key: "qwen3.attention.head_count", Value: dim(layer("self_attn.q_proj"), 0) / head},
		{Key: "qwen3.attention.head_count_kv", Value: dim(layer("self_attn.k_proj"), 0) / head},
		{Key: "qwen3.attention.key_length", Value: head},
		{Key: "qwen3.attention.layer_norm_rms_epsilon", Value: float32(1e-6)},
		{Key: "qwen3.rope.freq_base", Value: float32(1e6)},
	}
}

// TestOpenGGUF opens a transformer with Diffusers' names and a text encoder in llama.cpp's names as GGUF files, and
// compares every weight with those of the files that they were made from.
func TestOpenGGUF(t *testing.T) {
	folder, single := tiny(t)
	whole := mustOpen(t, folder)
	dir := t.TempDir()
	flux, qwen := filepath.Join(dir, "flux-2-klein-Q8_0.gguf"), filepath.Join(dir, "Qwen3-4B-Q8_0.gguf")
	same := func(name string) string { return name }
	ggufOf(t, flux, whole.Transformer.Source, nil, same)
	ggufOf(t, qwen, whole.TextEncoder.Source, qwen3Metadata(t, whole.TextEncoder.Source), llamaName)
	c := mustOpen(t, strings.Join([]string{flux, qwen, filepath.Join(single, vaeFile)}, ","))
	for _, pair := range [][2]tensor.Source{
		{c.Transformer.Source, whole.Transformer.Source}, {c.TextEncoder.Source, whole.TextEncoder.Source},
	} {
		for _, name := range pair[1].Names() {
			have, want := mustTensor(t, pair[0], name), mustTensor(t, pair[1], name)
			if fmt.Sprint(have.Shape) != fmt.Sprint(want.Shape) {
				t.Fatalf("%s: shape %v, want %v", name, have.Shape, want.Shape)
			}
			values, largest := want.Float32s(), 0.0
			for _, v := range values {
				largest = max(largest, math.Abs(float64(v)))
			}
			for i, v := range have.Float32s() {
				if d := math.Abs(float64(v - values[i])); !(d <= largest/200) { // half a step of Q8_0
					t.Fatalf("%s: value %d is %v, want about %v", name, i, v, values[i])
				}
			}
		}
	}
	if config := string(c.TextEncoder.ConfigJSON); !strings.Contains(config, `"rms_norm_eps":0.000001`) &&
		!strings.Contains(config, `"rms_norm_eps":1e-06`) || !strings.Contains(config, `"rope_theta":1000000`) {
		t.Errorf("config %s, want epsilon and base of the metadata", config)
	}
}

// TestGGUFRefuses opens files that contradict themselves, or hold something else.
func TestGGUFRefuses(t *testing.T) {
	folder, single := tiny(t)
	whole := mustOpen(t, folder)
	encoder := whole.TextEncoder.Source
	good := qwen3Metadata(t, encoder)
	with := func(key string, value any) []gguftest.Pair {
		pairs := []gguftest.Pair{{Key: key, Value: value}}
		for _, p := range good {
			if p.Key != key {
				pairs = append(pairs, p)
			}
		}
		return pairs
	}
	path := filepath.Join(t.TempDir(), "x.gguf")
	for _, row := range []struct {
		name     string
		metadata []gguftest.Pair
		want     string
	}{
		{"architecture", with("general.architecture", "qwen3moe"), "general.architecture is qwen3moe, want qwen3"},
		{"architecture of two lines", with("general.architecture", "a\nb"), `general.architecture is "a\nb", want qwen3`},
		{"width", with("qwen3.embedding_length", uint32(4096)), "embedding_length is 4096, want"},
		{"scaling", with("qwen3.rope.scaling.type", "yarn"), "rope.scaling.type is yarn, want none"},
		{"epsilon", with("qwen3.attention.layer_norm_rms_epsilon", float32(math.NaN())), "is NaN, want a number"},
		{"base", with("qwen3.rope.freq_base", 1e300), "qwen3.rope.freq_base is 1e+300, want a number"},
		{"one of several files", with("split.count", uint32(3)), "is one of 3 files"},
	} {
		ggufOf(t, path, encoder, row.metadata, llamaName)
		_, err := Open(t.Context(), path+","+filepath.Join(single, vaeFile)+","+filepath.Join(single, bf16File))
		wantError(t, row.name, err, path, row.want)
	}
	data := make([]byte, 66)
	for _, row := range []struct {
		name    string
		tensors []gguftest.Tensor
		want    string
	}{
		{"nothing", nil, "holds no tensors"},
		{"FLUX.1", []gguftest.Tensor{
			{Name: "double_blocks.0.img_mod.lin.weight", Shape: []int{1}, Data: data[:4]},
			{Name: "img_in.weight", Shape: []int{1}, Data: data[:4]},
		}, "is FLUX.1"},
		{"FLUX.2-dev", []gguftest.Tensor{
			{Name: "double_stream_modulation_img.lin.weight", Shape: []int{1}, Data: data[:4]},
			{Name: "img_in.weight", Shape: []int{6144, 1}, Data: make([]byte, 4*6144)},
		}, "is FLUX.2 [dev]"},
		{"Llama", []gguftest.Tensor{
			{Name: "token_embd.weight", Shape: []int{1, 1}, Data: data[:4]},
			{Name: "blk.0.attn_q.weight", Shape: []int{1, 1}, Data: data[:4]},
		}, "is a text encoder of the Llama or Mistral kind"},
		{"a kind that is not supported", []gguftest.Tensor{
			{Name: "img_in.weight", Shape: []int{1, 256}, Kind: 16, Data: data},
		}, "img_in.weight: IQ2_XXS is not supported"},
		{"an unknown kind", []gguftest.Tensor{
			{Name: "img_in.weight", Shape: []int{1, 256}, Kind: 99, Data: data},
		}, "img_in.weight: type 99 is not supported"},
	} {
		mustWrite(t, path, string(gguftest.Bytes([]gguftest.Pair{{Key: "general.architecture", Value: "flux"}}, row.tensors)))
		_, err := Open(t.Context(), path)
		wantError(t, row.name, err, path, row.want)
	}
	mustWrite(t, path, string(gguftest.Bytes([]gguftest.Pair{{Key: "general.architecture", Value: "sd3"}},
		[]gguftest.Tensor{{Name: "x", Shape: []int{1}, Data: data[:4]}})))
	_, err := Open(t.Context(), path)
	wantError(t, "another architecture", err, path, `is a GGUF file of the architecture "sd3"`)
}

// TestHalfOfTheMetadata opens a text encoder without the width of a head and with a list of the numbers of heads, and
// one without an architecture.
func TestHalfOfTheMetadata(t *testing.T) {
	folder, single := tiny(t)
	encoder := mustOpen(t, folder).TextEncoder.Source
	var metadata []gguftest.Pair
	for _, p := range qwen3Metadata(t, encoder) {
		switch p.Key {
		case "qwen3.attention.key_length":
			continue
		case "qwen3.attention.head_count_kv":
			p.Value = []int32{int32(p.Value.(uint32)), int32(p.Value.(uint32))}
		}
		metadata = append(metadata, p)
	}
	path := filepath.Join(t.TempDir(), "x.gguf")
	files := strings.Join([]string{path, filepath.Join(single, vaeFile), filepath.Join(single, bf16File)}, ",")
	ggufOf(t, path, encoder, []gguftest.Pair{{Key: architectureKey, Value: "pig"}}, llamaName)
	if c := mustOpen(t, files); c.TextEncoder.ConfigJSON != nil {
		t.Errorf("config %s of a file that does not name its architecture, want none", c.TextEncoder.ConfigJSON)
	}
	path = filepath.Join(t.TempDir(), "y.gguf")
	ggufOf(t, path, encoder, metadata, llamaName)
	c := mustOpen(t, strings.Join([]string{path, filepath.Join(single, vaeFile), filepath.Join(single, bf16File)}, ","))
	head := tensor.Dim(encoder, "model.layers.0.self_attn.q_norm.weight", 0)
	heads := tensor.Dim(encoder, "model.layers.0.self_attn.k_proj.weight", 0) / head
	for _, want := range []string{
		fmt.Sprintf(`"head_dim":%d,`, head), fmt.Sprintf(`"num_key_value_heads":%d,`, heads),
	} {
		if config := string(c.TextEncoder.ConfigJSON); !strings.Contains(config, want) {
			t.Errorf("config %s, want %s", config, want)
		}
	}
}

// TestUnreadLayers checks that tensors that are not computed may have a kind that is not supported.
func TestUnreadLayers(t *testing.T) {
	_, single := tiny(t)
	folder, model := filepath.Join(t.TempDir(), "tiny"), small()
	model.TextEncoder = synthetic.NewTextEncoder(textLayersRead+1, 32, 1, 1, 32, 2288)
	if err := synthetic.WriteTiny(folder, model); err != nil {
		t.Fatal(err)
	}
	encoder := mustOpen(t, folder).TextEncoder.Source
	var tensors []gguftest.Tensor
	for _, name := range encoder.Names() {
		w := mustTensor(t, encoder, name)
		x := gguftest.Tensor{Name: llamaName(name), Shape: w.Shape, Data: gguftest.Floats(w.Float32s())}
		if isUnreadLayer(name) && len(w.Shape) == 2 {
			x.Kind, x.Data = 99, nil
		}
		tensors = append(tensors, x)
	}
	tensors = append(tensors, gguftest.Tensor{Name: "output.weight", Shape: []int{4, 256}, Kind: 21})
	path := filepath.Join(t.TempDir(), "x.gguf")
	mustWrite(t, path, string(gguftest.Bytes(qwen3Metadata(t, encoder), tensors)))
	c := mustOpen(t, strings.Join([]string{path, filepath.Join(single, vaeFile), filepath.Join(single, bf16File)}, ","))
	mustTensor(t, c.TextEncoder.Source, "model.layers.26.mlp.up_proj.weight")
}

// TestModelsInPieces finds a transformer in the Hugging Face cache, the VAE in ComfyUI's folder, and the text encoder
// among the models of LM Studio or Ollama.
func TestModelsInPieces(t *testing.T) {
	dir, env := home(t)
	folder, single := tiny(t)
	whole := mustOpen(t, folder)
	same := func(name string) string { return name }
	commit := filepath.Base(hubSnapshot)
	repository := filepath.Join(dir, ".cache", "huggingface", "hub", "models--unsloth--FLUX.2-klein-4B-GGUF")
	mustWrite(t, filepath.Join(repository, "refs", "main"), commit)
	flux := filepath.Join(repository, "snapshots", commit, "flux-2-klein-4b-Q8_0.gguf")
	ggufOf(t, flux, whole.Transformer.Source, nil, same)
	vaePath := filepath.Join(dir, "ComfyUI", "models", "vae", "flux2-vae.safetensors")
	contents, err := os.ReadFile(filepath.Join(single, vaeFile))
	if err != nil {
		t.Fatal(err)
	}
	mustWrite(t, vaePath, string(contents))
	if err := os.MkdirAll(filepath.Join(dir, "ComfyUI", "models", "unet"), 0o755); err != nil {
		t.Fatal(err)
	}
	digest := strings.Repeat("0a", 32)
	ollama := filepath.Join(dir, ".ollama", "models")
	mustWrite(t, filepath.Join(ollama, "manifests", "registry.ollama.ai", "library", "qwen3", "4b"), fmt.Sprintf(
		`{"layers":[{"mediaType":"application/vnd.ollama.image.model","digest":"sha256:%s"}]}`, digest))
	studio := filepath.Join(dir, ".lmstudio", "models", "lmstudio-community", "Qwen3-4B-GGUF")
	small, large := filepath.Join(studio, "Qwen3-4B-A.gguf"), filepath.Join(studio, "Qwen3-4B-B.gguf")
	for _, place := range []string{
		filepath.Join(ollama, "blobs", "sha256-"+digest),
		small,
	} {
		ggufOf(t, place, whole.TextEncoder.Source, qwen3Metadata(t, whole.TextEncoder.Source), llamaName)
		spec, tried, err := find("", env, "")
		if want := strings.Join([]string{flux, place, vaePath}, ","); err != nil || spec != want {
			t.Errorf("%s: found %q, %v, want %q; tried %v", place, spec, err, want, tried)
		}
		if err := os.Remove(place); err != nil {
			t.Fatal(err)
		}
	}

	// Of two encoders the larger file is taken.
	metadata := qwen3Metadata(t, whole.TextEncoder.Source)
	ggufOf(t, small, whole.TextEncoder.Source, metadata, llamaName)
	padding := gguftest.Pair{Key: "general.description", Value: strings.Repeat("x", 5000)}
	ggufOf(t, large, whole.TextEncoder.Source, append(metadata, padding), llamaName)
	if spec, _, err := find("", env, ""); err != nil || spec != strings.Join([]string{flux, large, vaePath}, ",") {
		t.Errorf("found %q, %v, want the text encoder %s", spec, err, large)
	}
}

// TestOtherTrainings has language models with the shapes of the text encoder in the folders that are searched. The
// search passes over them, says so, and takes the right one, though its path comes later.
func TestOtherTrainings(t *testing.T) {
	dir, env := home(t)
	folder, single := tiny(t)
	encoder := mustOpen(t, folder).TextEncoder.Source
	install := func(under, name string) string {
		contents, err := os.ReadFile(filepath.Join(single, name))
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, "ComfyUI", "models", under, map[string]string{
			bf16File: "flux-2-klein-4b.safetensors", vaeFile: "flux2-vae.safetensors", textFile: "qwen_3_4b.safetensors",
		}[name])
		mustWrite(t, path, string(contents))
		return path
	}
	flux, vae := install("diffusion_models", bf16File), install("vae", vaeFile)
	encoders := filepath.Join(dir, "ComfyUI", "models", "text_encoders")
	good := qwen3Metadata(t, encoder)
	renamed := filepath.Join(encoders, "Qwen3-4B-Q4_K_M.gguf") // of Qwen3-4B-Thinking-2507
	ggufOf(t, renamed, encoder, append(good[:len(good)-1:len(good)-1],
		gguftest.Pair{Key: "qwen3.rope.freq_base", Value: float32(5e6)}), llamaName)
	named := []string{renamed}
	for _, name := range []string{
		"Qwen3-4B-Instruct-2507-Q8_0.gguf", "Qwen3-Embedding-4B-Q8_0.gguf", "DeepSeek-R1-0528-Qwen3-8B-Q4_K_M.gguf",
	} {
		named = append(named, filepath.Join(encoders, name))
		ggufOf(t, filepath.Join(encoders, name), encoder, good, llamaName)
	}
	_, tried, err := find("", env, "")
	if err == nil {
		t.Error("a model with another language model was found")
	}
	for _, path := range named {
		if !slices.Contains(tried, Place{path, otherTraining}) {
			t.Errorf("tried %v, want %s with its reason", tried, path)
		}
	}
	mustOpen(t, strings.Join([]string{flux, renamed, vae}, ",")) // what a user names is used
	want := strings.Join([]string{flux, install("text_encoders", textFile), vae}, ",")
	if spec, tried, err := find("", env, ""); err != nil || spec != want {
		t.Errorf("found %q, %v, want %q; tried %v", spec, err, want, tried)
	}
	for name, want := range map[string]bool{
		"Qwen3-4B-GGUF": true, "models--unsloth--Qwen3-8B-GGUF": true, "qwen3_4b": true, "Qwen3-4B-abliterated": true,
		"Qwen3-4B-Thinking-2507-GGUF": false, "models--Qwen--Qwen3-8B-Base": false, "Qwen3-Reranker-4B": false,
	} {
		if isEncoderName(name) != want {
			t.Errorf("%s is the name of an encoder: %t, want %t", name, !want, want)
		}
	}
}
