package lora

import (
	"slices"
	"strconv"
	"strings"
)

// place says which rows of a weight an adapter's module changes. The module's own rows are cut into as many equal runs
// as it has places.
type place struct {
	// weight is the weight's name in Diffusers, without ".weight".
	weight string
	// from and to are rows of the weight, in units of the transformer's width. A to of 0 is the weight's end.
	from, to int
}

// whole returns the place of a module that changes one whole weight.
func whole(weight string) []place { return []place{{weight: weight}} }

// alike returns the places of a fused projection whose rows are the rows of several weights.
func alike(weights ...string) (list []place) {
	for _, w := range weights {
		list = append(list, place{weight: w})
	}
	return list
}

// row is one name of a module and the rows of the weights that it stands for.
type row struct {
	name   string
	places []place
}

// The tables below hold all names that trainers give to the layers of FLUX.2 [klein]: first those of Black Forest Labs,
// then those of Diffusers, and then the forms that only some programs write.

// topNames are the layers outside the blocks.
var topNames = []row{
	{"img_in", whole("x_embedder")},
	{"txt_in", whole("context_embedder")},
	{"time_in.in_layer", whole("time_guidance_embed.timestep_embedder.linear_1")},
	{"time_in.out_layer", whole("time_guidance_embed.timestep_embedder.linear_2")},
	{"double_stream_modulation_img.lin", whole("double_stream_modulation_img.linear")},
	{"double_stream_modulation_txt.lin", whole("double_stream_modulation_txt.linear")},
	{"single_stream_modulation.lin", whole("single_stream_modulation.linear")},
	{"final_layer.linear", whole("proj_out")},
	// The halves are (shift, scale) in original names and (scale, shift) in Diffusers.
	{"final_layer.adaLN_modulation.1", []place{{"norm_out.linear", 1, 2}, {"norm_out.linear", 0, 1}}},

	{"x_embedder", whole("x_embedder")},
	{"context_embedder", whole("context_embedder")},
	{"time_guidance_embed.timestep_embedder.linear_1", whole("time_guidance_embed.timestep_embedder.linear_1")},
	{"time_guidance_embed.timestep_embedder.linear_2", whole("time_guidance_embed.timestep_embedder.linear_2")},
	{"double_stream_modulation_img.linear", whole("double_stream_modulation_img.linear")},
	{"double_stream_modulation_txt.linear", whole("double_stream_modulation_txt.linear")},
	{"single_stream_modulation.linear", whole("single_stream_modulation.linear")},
	{"norm_out.linear", whole("norm_out.linear")},
	{"proj_out", whole("proj_out")},
}

// doubleNames are the layers of a double-stream block. Their weights are named within the block.
var doubleNames = []row{
	{"img_attn.qkv", alike("attn.to_q", "attn.to_k", "attn.to_v")},
	{"img_attn.proj", whole("attn.to_out.0")},
	{"img_mlp.0", whole("ff.linear_in")},
	{"img_mlp.2", whole("ff.linear_out")},
	{"txt_attn.qkv", alike("attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj")},
	{"txt_attn.proj", whole("attn.to_add_out")},
	{"txt_mlp.0", whole("ff_context.linear_in")},
	{"txt_mlp.2", whole("ff_context.linear_out")},

	{"attn.to_q", whole("attn.to_q")},
	{"attn.to_k", whole("attn.to_k")},
	{"attn.to_v", whole("attn.to_v")},
	{"attn.to_out.0", whole("attn.to_out.0")},
	{"attn.add_q_proj", whole("attn.add_q_proj")},
	{"attn.add_k_proj", whole("attn.add_k_proj")},
	{"attn.add_v_proj", whole("attn.add_v_proj")},
	{"attn.to_add_out", whole("attn.to_add_out")},
	{"ff.linear_in", whole("ff.linear_in")},
	{"ff.linear_out", whole("ff.linear_out")},
	{"ff_context.linear_in", whole("ff_context.linear_in")},
	{"ff_context.linear_out", whole("ff_context.linear_out")},

	// Diffusers can fuse its own projections.
	{"attn.to_qkv", alike("attn.to_q", "attn.to_k", "attn.to_v")},
	{"attn.to_added_qkv", alike("attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj")},
	// OneTrainer splits the fused projection into numbered parts.
	{"img_attn.qkv.0", whole("attn.to_q")},
	{"img_attn.qkv.1", whole("attn.to_k")},
	{"img_attn.qkv.2", whole("attn.to_v")},
	{"txt_attn.qkv.0", whole("attn.add_q_proj")},
	{"txt_attn.qkv.1", whole("attn.add_k_proj")},
	{"txt_attn.qkv.2", whole("attn.add_v_proj")},
}

// singleNames are the layers of a single-stream block.
var singleNames = []row{
	{"linear1", whole("attn.to_qkv_mlp_proj")},
	{"linear2", whole("attn.to_out")},

	{"attn.to_qkv_mlp_proj", whole("attn.to_qkv_mlp_proj")},
	{"attn.to_out", whole("attn.to_out")},

	// Some exports have the parts of the fused projection.
	{"attn.to_q", []place{{"attn.to_qkv_mlp_proj", 0, 1}}},
	{"attn.to_k", []place{{"attn.to_qkv_mlp_proj", 1, 2}}},
	{"attn.to_v", []place{{"attn.to_qkv_mlp_proj", 2, 3}}},
	{"proj_mlp", []place{{"attn.to_qkv_mlp_proj", 3, 0}}},
	{"attn.proj_mlp", []place{{"attn.to_qkv_mlp_proj", 3, 0}}},
	{"linear1.0", []place{{"attn.to_qkv_mlp_proj", 0, 1}}},
	{"linear1.1", []place{{"attn.to_qkv_mlp_proj", 1, 2}}},
	{"linear1.2", []place{{"attn.to_qkv_mlp_proj", 2, 3}}},
	{"linear1.3", []place{{"attn.to_qkv_mlp_proj", 3, 0}}},
}

// blockKind is a name for one of the two kinds of blocks.
type blockKind struct {
	name   string
	single bool
}

// blockNames are all names of blocks. A name that ends in another one comes first.
var blockNames = []blockKind{
	{"single_transformer_blocks", true}, {"transformer_blocks", false},
	{"double_blocks", false}, {"single_blocks", true},
	// A ComfyUI node removed one prefix too many.
	{"sformer_blocks", false},
}

// dottedPrefixes may stand before a module's name, several of them in this order.
var dottedPrefixes = []string{"base_model.model.", "model.", "diffusion_model.", "transformer.", "unet."}

// flatPrefixes stand before names whose dots became underscores.
var flatPrefixes = []string{"lora_unet_", "lora_transformer_", "lycoris_"}

// encoderPrefixes stand before modules of text encoders.
var encoderPrefixes = []string{
	"text_encoders.", "text_encoder.", "text_encoder_2.", "lora_te_", "lora_te1_", "lora_te2_", "lora_te3_",
	"lycoris_text_encoder_", "base_model.model.text_encoder.", "cond_stage_model.", "conditioner.",
}

// isEncoder says whether a module belongs to a text encoder.
func isEncoder(module string) bool {
	return slices.ContainsFunc(encoderPrefixes, func(p string) bool { return strings.HasPrefix(module, p) })
}

// named is what a module's name says.
type named struct {
	places []place
	// block and single say which block the layer is in. block is −1 outside the blocks.
	block  int
	single bool
}

// resolve reads the name of a module. ok is false if it names no layer of FLUX.2 [klein]; block is then the block that
// the name speaks of, −1 if it speaks of none.
func resolve(module string) (n named, ok bool) {
	name, flat := stripped(module)
	n.block = -1
	separator := "."
	if flat {
		separator = "_"
	}
	for _, kind := range blockNames {
		rest, found := strings.CutPrefix(name, kind.name+separator)
		if !found {
			continue
		}
		number, inner, found := strings.Cut(rest, separator)
		index, err := strconv.Atoi(number)
		if !found || err != nil || index < 0 || index >= maxBlocks || strconv.Itoa(index) != number {
			return n, false
		}
		n.block, n.single = index, kind.single
		table, block := doubleNames, "transformer_blocks."
		if kind.single {
			table, block = singleNames, "single_transformer_blocks."
		}
		places, ok := lookUp(table, inner, flat)
		for _, p := range places {
			p.weight = block + number + "." + p.weight
			n.places = append(n.places, p)
		}
		return n, ok
	}
	n.places, ok = lookUp(topNames, name, flat)
	return n, ok
}

// stripped removes the prefixes of a module's name. flat says that underscores stand for its dots.
func stripped(module string) (name string, flat bool) {
	for _, p := range flatPrefixes {
		if rest, ok := strings.CutPrefix(module, p); ok {
			return rest, !strings.Contains(rest, ".")
		}
	}
	for _, p := range dottedPrefixes {
		module = strings.TrimPrefix(module, p)
	}
	return module, false
}

// lookUp finds a name in a table.
func lookUp(table []row, name string, flat bool) ([]place, bool) {
	for _, r := range table {
		if r.name == name || flat && strings.ReplaceAll(r.name, ".", "_") == name {
			return r.places, true
		}
	}
	return nil, false
}
