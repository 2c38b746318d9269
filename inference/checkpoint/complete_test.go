package checkpoint

import (
	"encoding/binary"
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/kleinbild/kleinbild/inference/checkpoint/safetensors"
	"github.com/kleinbild/kleinbild/inference/checkpoint/synthetic"
	"github.com/kleinbild/kleinbild/inference/tensor"
)

// full9B returns a spec with the sizes of FLUX.2 [klein] 9B.
func full9B() synthetic.Spec {
	s := synthetic.Full4B()
	s.Transformer = synthetic.NewTransformer(32, 8, 24, 12288)
	s.TextEncoder = synthetic.NewTextEncoder(36, 4096, 32, 8, 12288, 151936)
	return s
}

// sparse writes a sparse file of the given tensors: gigabytes of zeros that take a few kB on disk.
func sparse(t *testing.T, path string, entries []safetensors.Entry) string {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("files on Windows are not sparse by default")
	}
	header := map[string]any{}
	at := int64(0)
	for _, e := range entries {
		header[e.Name] = map[string]any{"dtype": e.DType.String(), "shape": append([]int{}, e.Shape...),
			"data_offsets": []int64{at, at + e.SizeBytes()}}
		at += e.SizeBytes()
	}
	text, err := json.Marshal(header)
	if err != nil {
		t.Fatal(err)
	}
	text = append(text, strings.Repeat(" ", (8-len(text)%8)%8)...)
	mustWrite(t, path, string(binary.LittleEndian.AppendUint64(nil, uint64(len(text))))+string(text))
	if err := os.Truncate(path, 8+int64(len(text))+at); err != nil {
		t.Fatal(err)
	}
	return path
}

// without returns entries except those whose names begin with one of the prefixes.
func without(entries []safetensors.Entry, prefixes ...string) []safetensors.Entry {
	return slices.DeleteFunc(slices.Clone(entries), func(e safetensors.Entry) bool {
		return slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(e.Name, p) })
	})
}

// TestIncompleteFiles checks that a file without one of its blocks or weights is an error, not a smaller model. For the
// widths of 4B and 9B the numbers of blocks are known.
func TestIncompleteFiles(t *testing.T) {
	dir := t.TempDir()
	t4, v, e4 := synthetic.Full4B().SingleFiles()
	t9, _, e9 := full9B().SingleFiles()
	tiny, tinyVAE, tinyText := small().SingleFiles()
	const (
		again4 = "; get flux-2-klein-4b.safetensors"
		again9 = "; get flux-2-klein-9b.safetensors"
	)
	for _, row := range []struct {
		name    string
		entries []safetensors.Entry
		want    []string // parts of the error; nil if the file is complete, and only other files are missing
	}{
		{"4B", t4, nil},
		{"9B", t9, nil},
		{"VAE", v, nil},
		{"text encoder of 4B", e4, nil},
		{"text encoder of 9B", e9, nil},
		{"4B without its last single block", without(t4, "single_blocks.19."),
			[]string{"lacks single block 19 of the transformer of FLUX.2 [klein] 4B" + again4}},
		{"4B without its last double block", without(t4, "double_blocks.4."), []string{"lacks double block 4 of"}},
		{"4B without two in the middle", without(t4, "double_blocks.2.", "single_blocks.7."),
			[]string{"lacks double block 2, single block 7 of"}},
		{"4B without single blocks", without(t4, "single_blocks."),
			[]string{"single block 0, single block 1, single block 2, single block 3 and 16 more"}},
		{"4B without a norm", without(t4, "double_blocks.1.img_attn.norm.key_norm"),
			[]string{"transformer_blocks.1.attn.norm_k.weight"}},
		{"4B without its first layer for text", without(t4, "txt_in."), []string{"context_embedder.weight"}},
		{"4B without its first layer", without(t4, "img_in."),
			[]string{"lacks x_embedder.weight of the transformer of FLUX.2 [klein] 4B"}},
		{"text encoder without its embedding", without(e4, "model.embed_tokens."),
			[]string{"lacks model.embed_tokens.weight of the text encoder"}},
		{"text encoder without its first layer", without(e9, "model.layers.0."),
			[]string{"lacks layer 0 of the text encoder of FLUX.2 [klein] 9B"}},
		{"VAE without its first convolution", without(v, "encoder.conv_in."),
			[]string{"lacks encoder.conv_in.weight, encoder.conv_in.bias of the VAE"}},
		{"VAE without its encoder", without(v, "encoder."),
			[]string{"is the decoder of a VAE alone, want a whole VAE beside it, such as flux2-vae.safetensors"}},
		{"VAE without its middle", without(v, "decoder.mid.block_1."),
			[]string{"lacks decoder.mid_block.resnets.0 of the VAE"}},
		{"4B without a modulation", without(t4, "single_stream_modulation"),
			[]string{"single_stream_modulation.linear.weight"}},
		{"9B cut to the blocks of 4B",
			without(t9, "double_blocks.5.", "double_blocks.6.", "double_blocks.7.", "single_blocks.20.", "single_blocks.21.",
				"single_blocks.22.", "single_blocks.23."),
			[]string{"double block 5", "of FLUX.2 [klein] 9B" + again9}},
		{"9B without its last single block", without(t9, "single_blocks.23."),
			[]string{"lacks single block 23 of the transformer of FLUX.2 [klein] 9B" + again9}},
		{"a block more than 4B has", append(slices.Clone(t4), of("single_blocks.20.norm.query_norm.scale", tensor.BF16, 128)),
			[]string{"holds single block 20, a model of this width has 20 of them"}},
		{"text encoder of 4B without its last layer", without(e4, "model.layers.35."),
			[]string{"lacks layer 35 of the text encoder of FLUX.2 [klein] 4B; get qwen_3_4b.safetensors"}},
		{"text encoder of 9B without a layer", without(e9, "model.layers.9."),
			[]string{"lacks layer 9 of", "FLUX.2 [klein] 9B; get qwen_3_8b.safetensors"}},
		{"text encoder without its final norm", without(e4, "model.norm."), []string{"model.norm.weight"}},
		{"VAE without a level's layer", without(v, "decoder.up.2.block.1."),
			[]string{"lacks decoder.up_blocks.1.resnets.1 of the VAE", "; get flux2-vae.safetensors again"}},
		{"VAE without its last level", without(v, "encoder.down.3."), []string{"encoder.down_blocks.3.resnets.0"}},
		{"VAE without its statistics", without(v, "bn."), []string{"bn.running_mean, bn.running_var"}},
		{"VAE without a shortcut", without(v, "decoder.up.0.block.0.nin_shortcut"),
			[]string{"decoder.up_blocks.3.resnets.0.conv_shortcut.weight"}},
		{"VAE without attention", without(v, "encoder.mid.attn_1."), []string{"encoder.mid_block.attentions.0."}},
		{"VAE without its last convolution", without(v, "encoder.quant_conv"),
			[]string{"quant_conv.weight, quant_conv.bias"}},
		{"tiny, a hole", without(tiny, "double_blocks.0."), []string{"lacks double block 0"}},
		{"tiny VAE", tinyVAE, nil},
		{"tiny text encoder, a hole", without(tinyText, "model.layers.0."), []string{"lacks layer 0"}},
	} {
		path := sparse(t, filepath.Join(dir, "x.safetensors"), row.entries)
		_, err := Open(t.Context(), path)
		if row.want == nil {
			wantError(t, row.name, err, path, "is the usual one")
		}
		for _, text := range row.want {
			wantError(t, row.name, err, path, text)
		}
	}
}

// TestAdviceFitsTheModel checks that errors name the missing files for the size of the given ones: a 9B transformer
// needs the text encoder of 9B.
func TestAdviceFitsTheModel(t *testing.T) {
	dir := t.TempDir()
	t4, v, e4 := synthetic.Full4B().SingleFiles()
	t9, _, e9 := full9B().SingleFiles()
	at := func(name string, entries []safetensors.Entry) string {
		return sparse(t, filepath.Join(dir, name+".safetensors"), entries)
	}
	small, big, encoder4, encoder9, decoder := at("a", t4), at("b", t9), at("c", e4), at("d", e9), at("v", v)
	for _, row := range []struct{ name, spec, want, not string }{
		{"4B alone", small + "," + decoder, "no text encoder among ", "8b"},
		{"4B alone: what to get", small + "," + decoder, "qwen_3_4b.safetensors (bf16) is the usual one", "8b"},
		{"9B alone", big + "," + decoder, "qwen_3_8b.safetensors (bf16) is the usual one", "4b"},
		{"9B's encoder alone", encoder9 + "," + decoder,
			"flux-2-klein-9b.safetensors (bf16) or flux-2-klein-9b-fp8.safetensors is the usual one", "4b"},
		{"9B with the encoder of 4B", big + "," + encoder4 + "," + decoder,
			"is the text encoder of 4B, but " + big + " is a transformer of 9B; get qwen_3_8b.safetensors", "get qwen_3_4b"},
		{"4B with the encoder of 9B", small + "," + encoder9 + "," + decoder,
			"is the text encoder of 9B, but " + small + " is a transformer of 4B; get qwen_3_4b.safetensors", "get qwen_3_8b"},
	} {
		_, err := Open(t.Context(), row.spec)
		if wantError(t, row.name, err, "safetensors", row.want); err != nil && strings.Contains(err.Error(), row.not) {
			t.Errorf("%s: %v speaks of %s", row.name, err, row.not)
		}
	}
	for _, spec := range []string{small + "," + encoder4 + "," + decoder, big + "," + encoder9 + "," + decoder} {
		mustOpen(t, spec)
	}
}

// TestConfigSmallerThanWeights checks that a config with fewer blocks than the weights is an error.
func TestConfigSmallerThanWeights(t *testing.T) {
	for _, row := range []struct{ file, old, new, want string }{
		{"transformer/config.json", `"num_layers": 2`, `"num_layers": 1`,
			"holds 2 double blocks, config.json says num_layers is 1"},
		{"text_encoder/config.json", `"num_hidden_layers": 2`, `"num_hidden_layers": 1`,
			"holds 2 layers, config.json says num_hidden_layers is 1"},
	} {
		folder, _ := tiny(t)
		path := filepath.Join(folder, filepath.FromSlash(row.file))
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		changed := strings.Replace(string(text), row.old, row.new, 1)
		if changed == string(text) {
			t.Fatalf("%s has no %s", path, row.old)
		}
		mustWrite(t, path, changed)
		_, err = Open(t.Context(), folder)
		wantError(t, row.file, err, filepath.Dir(path), row.want)
	}
}
