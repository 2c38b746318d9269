package synthetic

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/kleinbild/kleinbild/inference/checkpoint/safetensors"
	"github.com/kleinbild/kleinbild/inference/tensor"
)

// WriteSingleFiles writes the weights of s as single files with the original names to the new folder dir:
// flux-2-klein-4b.safetensors (bfloat16), flux-2-klein-4b-fp8.safetensors (float8_e4m3fn for the linear layers of the
// blocks, each with a weight_scale of its largest magnitude / 448), flux2-vae.safetensors (float32, with the
// attention's linear layers as 1×1 convolutions) and qwen_3_4b.safetensors. It writes no tokenizer. dir must not exist.
func WriteSingleFiles(ctx context.Context, dir string, s Spec) error {
	bf16 := s.originalTransformer()
	files := []file{
		{path: "flux-2-klein-4b.safetensors", entries: entries(bf16)},
		{path: "flux-2-klein-4b-fp8.safetensors", entries: entries(quantise(bf16))},
		{path: "flux2-vae.safetensors", entries: entries(s.originalVAE())},
		{path: "qwen_3_4b.safetensors", entries: entries(s.textEncoderWeights())},
	}
	return atomically(dir, files, Options{}, func(f *folder) error { return f.weights(ctx) })
}

// SingleFiles returns the tensors of the files that WriteSingleFiles writes, without those of the fp8 file.
func (s Spec) SingleFiles() (transformer, vae, textEncoder []safetensors.Entry) {
	return entries(s.originalTransformer()), entries(s.originalVAE()), entries(s.textEncoderWeights())
}

func entries(weights []weight) []safetensors.Entry {
	var list []safetensors.Entry
	for _, w := range weights {
		list = append(list, w.entry())
	}
	return list
}

// originalNames maps the Diffusers names of the transformer's layers to the original ones. N is the number of a block.
var originalNames = map[string]string{
	"time_guidance_embed.timestep_embedder.linear_1": "time_in.in_layer",
	"time_guidance_embed.timestep_embedder.linear_2": "time_in.out_layer",
	"double_stream_modulation_img.linear":            "double_stream_modulation_img.lin",
	"double_stream_modulation_txt.linear":            "double_stream_modulation_txt.lin",
	"single_stream_modulation.linear":                "single_stream_modulation.lin",
	"x_embedder":                                     "img_in",
	"context_embedder":                               "txt_in",
	"norm_out.linear":                                "final_layer.adaLN_modulation.1",
	"proj_out":                                       "final_layer.linear",

	"transformer_blocks.N.attn.to_q":             "double_blocks.N.img_attn.qkv",
	"transformer_blocks.N.attn.to_k":             "double_blocks.N.img_attn.qkv",
	"transformer_blocks.N.attn.to_v":             "double_blocks.N.img_attn.qkv",
	"transformer_blocks.N.attn.norm_q":           "double_blocks.N.img_attn.norm.query_norm",
	"transformer_blocks.N.attn.norm_k":           "double_blocks.N.img_attn.norm.key_norm",
	"transformer_blocks.N.attn.to_out.0":         "double_blocks.N.img_attn.proj",
	"transformer_blocks.N.ff.linear_in":          "double_blocks.N.img_mlp.0",
	"transformer_blocks.N.ff.linear_out":         "double_blocks.N.img_mlp.2",
	"transformer_blocks.N.attn.add_q_proj":       "double_blocks.N.txt_attn.qkv",
	"transformer_blocks.N.attn.add_k_proj":       "double_blocks.N.txt_attn.qkv",
	"transformer_blocks.N.attn.add_v_proj":       "double_blocks.N.txt_attn.qkv",
	"transformer_blocks.N.attn.norm_added_q":     "double_blocks.N.txt_attn.norm.query_norm",
	"transformer_blocks.N.attn.norm_added_k":     "double_blocks.N.txt_attn.norm.key_norm",
	"transformer_blocks.N.attn.to_add_out":       "double_blocks.N.txt_attn.proj",
	"transformer_blocks.N.ff_context.linear_in":  "double_blocks.N.txt_mlp.0",
	"transformer_blocks.N.ff_context.linear_out": "double_blocks.N.txt_mlp.2",

	"single_transformer_blocks.N.attn.to_qkv_mlp_proj": "single_blocks.N.linear1",
	"single_transformer_blocks.N.attn.to_out":          "single_blocks.N.linear2",
	"single_transformer_blocks.N.attn.norm_q":          "single_blocks.N.norm.query_norm",
	"single_transformer_blocks.N.attn.norm_k":          "single_blocks.N.norm.key_norm",
}

var blockNumber = regexp.MustCompile(`blocks\.(\d+)\.`)

// originalTransformer returns the transformer's weights with the original names. As in the original files, q, k and v
// are fused, and the halves of the final modulation are exchanged.
func (s Spec) originalTransformer() []weight {
	var list []weight
	at := map[string]int{} // name → index in list
	for _, w := range s.transformerWeights() {
		layer := strings.TrimSuffix(w.name, ".weight")
		number := ""
		if m := blockNumber.FindStringSubmatch(layer); m != nil {
			number = m[1]
			layer = strings.Replace(layer, "blocks."+number+".", "blocks.N.", 1)
		}
		name := strings.Replace(originalNames[layer], ".N.", "."+number+".", 1) + ".weight"
		if strings.Contains(name, ".norm.") {
			name = strings.TrimSuffix(name, "weight") + "scale"
		}
		if name == "final_layer.adaLN_modulation.1.weight" {
			w.fill = rotated(w.fill, tensor.Elements(w.shape)/2, tensor.Elements(w.shape))
		}
		w.name = name
		if i, ok := at[name]; ok {
			list[i] = stacked(list[i], w)
			continue
		}
		at[name] = len(list)
		list = append(list, w)
	}
	return list
}

// rotated returns the fill of the n values of f, rotated so that the one with index from comes first.
func rotated(f fill, from, n int) fill {
	return func(dst []byte, first int) {
		split := min(max(n-from-first, 0), len(dst)/2)
		f(dst[:2*split], first+from)
		f(dst[2*split:], first+split+from-n)
	}
}

// stacked returns a weight with the rows of a and, after them, those of b.
func stacked(a, b weight) weight {
	n := tensor.Elements(a.shape)
	top := a.fill
	a.shape = append([]int{a.shape[0] + b.shape[0]}, a.shape[1:]...)
	a.fill = func(dst []byte, first int) {
		split := min(max(n-first, 0), len(dst)/2)
		top(dst[:2*split], first)
		b.fill(dst[2*split:], first+split-n)
	}
	return a
}

// quantise returns weights with the linear layers of the blocks in float8_e4m3fn, each with a scale.
func quantise(weights []weight) []weight {
	var list []weight
	for _, w := range weights {
		layer, isWeight := strings.CutSuffix(w.name, ".weight")
		if !isWeight || !blockNumber.MatchString(layer) {
			list = append(list, w)
			continue
		}
		scale := float32(largest(w) / 448)
		list = append(list,
			weight{w.name, tensor.F8E4M3, w.shape, func(dst []byte, first int) {
				bf16 := make([]byte, 2*len(dst))
				w.fill(bf16, first)
				for i := range dst {
					dst[i] = tensor.F32ToF8E4M3(tensor.BF16ToF32(binary.LittleEndian.Uint16(bf16[2*i:])) / scale)
				}
			}},
			scalar(layer+".weight_scale", scale),
			// Published files have an input_scale for each layer. Only a product with fp8 activations uses it.
			scalar(layer+".input_scale", 0.05))
	}
	return list
}

func scalar(name string, v float32) weight {
	return weight{name, tensor.F32, nil, func(dst []byte, _ int) {
		binary.LittleEndian.PutUint32(dst, math.Float32bits(v))
	}}
}

// largest returns the largest magnitude of the values of w.
func largest(w weight) (amax float64) {
	row := make([]byte, 2*tensor.Elements(w.shape[1:]))
	for r := range w.shape[0] {
		w.fill(row, r*len(row)/2)
		for i := 0; i < len(row); i += 2 {
			amax = max(amax, math.Abs(float64(tensor.BF16ToF32(binary.LittleEndian.Uint16(row[i:])))))
		}
	}
	return amax
}

// originalVAE returns the autoencoder's weights in float32 with the names of the latent-diffusion code, which numbers
// the decoder's levels from the highest resolution down.
func (s Spec) originalVAE() []weight {
	levels := len(s.VAE.BlockOutChannels)
	level := regexp.MustCompile(`up_blocks\.(\d+)`)
	names := strings.NewReplacer(
		"down_blocks.", "down.", "up_blocks.", "up.", ".resnets.", ".block.", "conv_shortcut", "nin_shortcut",
		"downsamplers.0", "downsample", "upsamplers.0", "upsample", "conv_norm_out", "norm_out",
		"mid_block.resnets.0", "mid.block_1", "mid_block.resnets.1", "mid.block_2", "mid_block.attentions.0", "mid.attn_1",
		"group_norm", "norm", "to_q", "q", "to_k", "k", "to_v", "v", "to_out.0", "proj_out")
	var list []weight
	for _, w := range s.vaeWeights() {
		if w.dtype != tensor.BF16 {
			list = append(list, w)
			continue
		}
		if strings.Contains(w.name, ".attentions.") && len(w.shape) == 2 {
			w.shape = append(slices.Clone(w.shape), 1, 1)
		}
		name := level.ReplaceAllStringFunc(w.name, func(m string) string {
			i, _ := strconv.Atoi(strings.TrimPrefix(m, "up_blocks."))
			return fmt.Sprintf("up_blocks.%d", levels-1-i)
		})
		switch {
		case strings.HasPrefix(name, "quant_conv"):
			name = "encoder." + name
		case strings.HasPrefix(name, "post_quant_conv"):
			name = "decoder." + name
		}
		list = append(list, weight{names.Replace(name), tensor.F32, w.shape, widened(w.fill)})
	}
	return list
}

// widened returns the fill of the bfloat16 values of f as float32.
func widened(f fill) fill {
	return func(dst []byte, first int) {
		bf16 := make([]byte, len(dst)/2)
		f(bf16, first)
		for i := 0; i < len(bf16); i += 2 {
			// A bfloat16 is the upper half of a float32.
			dst[2*i], dst[2*i+1], dst[2*i+2], dst[2*i+3] = 0, 0, bf16[i], bf16[i+1]
		}
	}
}
