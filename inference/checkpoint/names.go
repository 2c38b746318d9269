package checkpoint

import (
	"slices"
	"strconv"
	"strings"
)

// The tables of this file map original names to Diffusers names, as scripts/convert_flux2_to_diffusers.py of Diffusers
// does.

var transformerNames = map[string]string{
	"img_in":                           "x_embedder",
	"txt_in":                           "context_embedder",
	"time_in.in_layer":                 "time_guidance_embed.timestep_embedder.linear_1",
	"time_in.out_layer":                "time_guidance_embed.timestep_embedder.linear_2",
	"guidance_in.in_layer":             "time_guidance_embed.guidance_embedder.linear_1",
	"guidance_in.out_layer":            "time_guidance_embed.guidance_embedder.linear_2",
	"double_stream_modulation_img.lin": "double_stream_modulation_img.linear",
	"double_stream_modulation_txt.lin": "double_stream_modulation_txt.linear",
	"single_stream_modulation.lin":     "single_stream_modulation.linear",
	"final_layer.linear":               "proj_out",
	"final_layer.adaLN_modulation.1":   "norm_out.linear",
}

// doubleBlockNames holds the names inside a block. The rows of a fused projection are split equally among its targets.
var doubleBlockNames = map[string][]string{
	"img_attn.qkv":             {"attn.to_q", "attn.to_k", "attn.to_v"},
	"img_attn.norm.query_norm": {"attn.norm_q"},
	"img_attn.norm.key_norm":   {"attn.norm_k"},
	"img_attn.proj":            {"attn.to_out.0"},
	"img_mlp.0":                {"ff.linear_in"},
	"img_mlp.2":                {"ff.linear_out"},
	"txt_attn.qkv":             {"attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj"},
	"txt_attn.norm.query_norm": {"attn.norm_added_q"},
	"txt_attn.norm.key_norm":   {"attn.norm_added_k"},
	"txt_attn.proj":            {"attn.to_add_out"},
	"txt_mlp.0":                {"ff_context.linear_in"},
	"txt_mlp.2":                {"ff_context.linear_out"},
}

var singleBlockNames = map[string][]string{
	"linear1":         {"attn.to_qkv_mlp_proj"},
	"linear2":         {"attn.to_out"},
	"norm.query_norm": {"attn.norm_q"},
	"norm.key_norm":   {"attn.norm_k"},
}

// originalTransformerNames returns the naming of Black Forest Labs' own files (double_blocks, single_blocks).
func originalTransformerNames(prefix string, _ store) naming {
	return func(name string) ([]target, bool) {
		name, ok := strings.CutPrefix(name, prefix)
		if !ok {
			return nil, false
		}
		layer, parameter := cutLast(name)
		switch parameter {
		case "scale":
			parameter = "weight" // of an RMSNorm
		case "weight", "bias":
		default:
			return nil, false
		}
		block, index, inner, isBlock := cutBlock(layer)
		var parts []string
		switch {
		case isBlock && block == "double_blocks":
			block, parts = "transformer_blocks", doubleBlockNames[inner]
		case isBlock && block == "single_blocks":
			block, parts = "single_transformer_blocks", singleBlockNames[inner]
		default:
			to, ok := transformerNames[layer]
			if !ok {
				return nil, false
			}
			targets := whole(to + "." + parameter)
			if layer == "final_layer.adaLN_modulation.1" {
				targets[0].form = swapHalves
			}
			return targets, true
		}
		var targets []target
		for i, part := range parts {
			to := block + "." + strconv.Itoa(index) + "." + part + "." + parameter
			targets = append(targets, target{to, i, len(parts), asIs})
		}
		return targets, targets != nil
	}
}

// diffusersTransformerNames returns the naming of a file with Diffusers names under a prefix. Other names are unknown.
func diffusersTransformerNames(prefix string, _ store) naming {
	known := map[string]bool{}
	for _, to := range transformerNames {
		known[to+".weight"] = true
	}
	inner := map[string][]string{
		"transformer_blocks": innerNames(doubleBlockNames), "single_transformer_blocks": innerNames(singleBlockNames),
	}
	return func(name string) ([]target, bool) {
		name, ok := strings.CutPrefix(name, prefix)
		block, _, rest, isBlock := cutBlock(name)
		return whole(name), ok && (known[name] || isBlock && slices.Contains(inner[block], rest))
	}
}

// cutLast splits "a.b.weight" into "a.b" and "weight".
func cutLast(name string) (layer, parameter string) {
	i := strings.LastIndexByte(name, '.')
	return name[:max(i, 0)], name[i+1:]
}

// cutBlock splits "double_blocks.3.img_attn.qkv" into "double_blocks", 3 and "img_attn.qkv".
func cutBlock(name string) (block string, index int, inner string, ok bool) {
	block, rest, _ := strings.Cut(name, ".")
	number, inner, ok := strings.Cut(rest, ".")
	index, err := strconv.Atoi(number)
	return block, index, inner, ok && err == nil && strconv.Itoa(index) == number && index >= 0
}

var vaeNames = map[string]string{
	"conv_in":  "conv_in",
	"conv_out": "conv_out",
	"norm_out": "conv_norm_out",
}

var vaeAttentionNames = map[string]string{
	"norm":     "group_norm",
	"q":        "to_q",
	"k":        "to_k",
	"v":        "to_v",
	"proj_out": "to_out.0",
}

var vaeResnetNames = map[string]string{
	"norm1":        "norm1",
	"conv1":        "conv1",
	"norm2":        "norm2",
	"conv2":        "conv2",
	"nin_shortcut": "conv_shortcut",
}

// originalVAENames returns the naming of an autoencoder with the names of the latent-diffusion code. It numbers the
// decoder's levels in the opposite order.
func originalVAENames(prefix string, set store) naming { return originalVAENaming(prefix, set.Names()) }

// originalVAENaming is originalVAENames for a file with the given names.
func originalVAENaming(prefix string, names []string) naming {
	upLevels := 0
	for _, name := range names {
		name, _ := strings.CutPrefix(name, prefix+"decoder.")
		if block, level, _, ok := cutBlock(name); ok && block == "up" {
			upLevels = max(upLevels, level+1)
		}
	}
	return func(name string) ([]target, bool) {
		name, ok := strings.CutPrefix(name, prefix)
		if !ok {
			return nil, false
		}
		switch name {
		case "bn.running_mean", "bn.running_var":
			return whole(name), true
		}
		layer, parameter := cutLast(name)
		if parameter != "weight" && parameter != "bias" {
			return nil, false
		}
		switch layer {
		case "encoder.quant_conv", "quant_conv":
			return whole("quant_conv." + parameter), true
		case "decoder.post_quant_conv", "post_quant_conv":
			return whole("post_quant_conv." + parameter), true
		}
		half, layer, _ := strings.Cut(layer, ".")
		if half != "encoder" && half != "decoder" {
			return nil, false
		}
		to, form := vaeLayer(half, layer, upLevels)
		if to == "" {
			return nil, false
		}
		if parameter == "bias" {
			form = asIs
		}
		return []target{{half + "." + to + "." + parameter, 0, 1, form}}, true
	}
}

// vaeLayer returns the Diffusers name of a layer of half, the encoder or the decoder, and the form of its weight. It
// returns "" for an unknown layer.
func vaeLayer(half, layer string, upLevels int) (string, form) {
	if to, ok := vaeNames[layer]; ok {
		return to, asIs
	}
	if inner, ok := strings.CutPrefix(layer, "mid.attn_1."); ok {
		to, ok := vaeAttentionNames[inner]
		switch {
		case !ok:
			return "", asIs
		case inner == "norm":
			return "mid_block.attentions.0." + to, asIs
		}
		return "mid_block.attentions.0." + to, linear
	}
	for _, block := range []string{"1", "2"} {
		if inner, ok := strings.CutPrefix(layer, "mid.block_"+block+"."); ok {
			index := map[string]string{"1": "0", "2": "1"}[block]
			return join("mid_block.resnets."+index, vaeResnetNames[inner]), asIs
		}
	}
	block, level, inner, ok := cutBlock(layer)
	var sampler string
	switch {
	case ok && half == "encoder" && block == "down":
		block, sampler = "down_blocks."+strconv.Itoa(level), "downsample"
	case ok && half == "decoder" && block == "up":
		block, sampler = "up_blocks."+strconv.Itoa(upLevels-1-level), "upsample"
	default:
		return "", asIs
	}
	if inner == sampler+".conv" {
		return block + "." + sampler + "rs.0.conv", asIs
	}
	kind, index, inner, ok := cutBlock(inner)
	if !ok || kind != "block" {
		return "", asIs
	}
	return join(block+".resnets."+strconv.Itoa(index), vaeResnetNames[inner]), asIs
}

// join returns a.b, or "" if b is empty.
func join(a, b string) string {
	if b == "" {
		return ""
	}
	return a + "." + b
}

var qwen3Layers = map[string]bool{
	"self_attn.q_proj": true, "self_attn.k_proj": true, "self_attn.v_proj": true, "self_attn.o_proj": true,
	"self_attn.q_norm": true, "self_attn.k_norm": true,
	"mlp.gate_proj": true, "mlp.up_proj": true, "mlp.down_proj": true,
	"input_layernorm": true, "post_attention_layernorm": true,
}

// textEncoderNames returns the naming of a text encoder: it replaces the prefix by "model.".
func textEncoderNames(prefix string, _ store) naming {
	return func(name string) ([]target, bool) {
		if name == "lm_head.weight" || strings.HasSuffix(name, ".lm_head.weight") {
			return nil, true // an encoder does not use it
		}
		name, ok := strings.CutPrefix(name, prefix)
		if !ok {
			return nil, false
		}
		layer, parameter := cutLast(name)
		block, _, inner, isBlock := cutBlock(layer)
		known := parameter == "weight" &&
			(layer == "embed_tokens" || layer == "norm" || isBlock && block == "layers" && qwen3Layers[inner])
		if !known {
			return nil, false
		}
		return whole("model." + name), true
	}
}

// llamaLayers maps the names of llama.cpp inside a layer (blk.N) to those inside model.layers.N.
var llamaLayers = map[string]string{
	"attn_norm":   "input_layernorm",
	"attn_q":      "self_attn.q_proj",
	"attn_k":      "self_attn.k_proj",
	"attn_v":      "self_attn.v_proj",
	"attn_q_norm": "self_attn.q_norm",
	"attn_k_norm": "self_attn.k_norm",
	"attn_output": "self_attn.o_proj",
	"ffn_norm":    "post_attention_layernorm",
	"ffn_gate":    "mlp.gate_proj",
	"ffn_up":      "mlp.up_proj",
	"ffn_down":    "mlp.down_proj",
}

// llamaEncoderNames returns the naming of a Qwen3 text encoder as llama.cpp's converter writes it. The rows of q and k
// have the order of the original: llama.cpp permutes only those of Llama.
func llamaEncoderNames(prefix string, _ store) naming {
	return func(name string) ([]target, bool) {
		name, ok := strings.CutPrefix(name, prefix)
		switch {
		case !ok:
			return nil, false
		case name == "token_embd.weight":
			return whole("model.embed_tokens.weight"), true
		case name == "output_norm.weight":
			return whole("model.norm.weight"), true
		case strings.HasPrefix(name, "output."), name == "rope_freqs.weight":
			return nil, true // an encoder does not use them
		}
		layer, parameter := cutLast(name)
		if parameter == "input_scale" {
			return nil, true // of activations, which are not quantised
		}
		block, index, inner, isBlock := cutBlock(layer)
		to, known := llamaLayers[inner]
		if !isBlock || block != "blk" || !known || parameter != "weight" {
			return nil, false
		}
		return whole("model.layers." + strconv.Itoa(index) + "." + to + ".weight"), true
	}
}

// llamaScales returns a function that tells the scales of llama.cpp's converter: blk.0.attn_q.scale is a factor for all
// values of blk.0.attn_q.weight. The converter writes them beside NVFP4 weights.
func llamaScales(prefix string) func(name string) (weight string, ok bool) {
	return func(name string) (string, bool) {
		layer, parameter := cutLast(name)
		block, _, inner, isBlock := cutBlock(strings.TrimPrefix(layer, prefix))
		return layer + ".weight", isBlock && block == "blk" && llamaLayers[inner] != "" && parameter == "scale"
	}
}

// textLayersRead is the number of layers of a text encoder that are computed: the last of the hidden states that make
// the prompt embeds is the output of the 27th.
const textLayersRead = 27

// isUnreadLayer reports whether the weight of a text encoder called name, in Diffusers' spelling, belongs to a layer
// that is not computed.
func isUnreadLayer(name string) bool {
	rest, ok := strings.CutPrefix(name, "model.layers.")
	if !ok {
		return false
	}
	number, _, _ := strings.Cut(rest, ".")
	index, err := strconv.Atoi(number)
	return err == nil && index >= textLayersRead
}
