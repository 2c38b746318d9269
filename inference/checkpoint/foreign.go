package checkpoint

import (
	"fmt"
	"strings"
)

// tensors finds the tensors of a file by the ends of their names, since programs put different prefixes before them.
type tensors struct {
	names []string
	set   store
}

// find returns the name that is suffix, or ends in a dot and suffix. It returns "" if there is none.
func (t tensors) find(suffix string) string {
	for _, name := range t.names {
		if head, ok := strings.CutSuffix(name, suffix); ok && (head == "" || strings.HasSuffix(head, ".")) {
			return name
		}
	}
	return ""
}

// has reports whether find finds a tensor for one of the suffixes.
func (t tensors) has(suffixes ...string) bool {
	for _, suffix := range suffixes {
		if t.find(suffix) != "" {
			return true
		}
	}
	return false
}

// contains reports whether one of the texts occurs anywhere in a name.
func (t tensors) contains(texts ...string) bool {
	for _, name := range t.names {
		for _, text := range texts {
			if strings.Contains(name, text) {
				return true
			}
		}
	}
	return false
}

// dim returns dimension i of the tensor that find finds for suffix, or 0 if there is none.
func (t tensors) dim(suffix string, i int) int {
	stat, err := t.set.Stat(t.find(suffix))
	if err != nil || i >= len(stat.Shape) {
		return 0
	}
	return stat.Shape[i]
}

// family is a family of files that people mistake for parts of a FLUX.2 [klein].
type family struct {
	// name is the family and advice what the user can do, in the words of a message. An empty advice is to get the
	// usual files.
	name, advice string
	is           func(t tensors) bool
}

// The advice for files that are no models by themselves.
const (
	noAdapter = "it changes a model: choose the model that it was made for, and then this file as its LoRA"
	noControl = "control models are not supported"
)

// families are checked in this order. Adapters come first, since they have the tensor names of the model that they
// adapt. Models come before VAEs and text encoders, since an all-in-one file has the tensors of all three.
var families = []family{
	{"a DoRA", noAdapter, func(t tensors) bool { return t.contains(".dora_scale", "lora_magnitude_vector") }},
	{"a LoKr", noAdapter, func(t tensors) bool { return t.contains("lokr_w1", "lokr_w2") }},
	{"a LoHa", noAdapter, func(t tensors) bool { return t.contains("hada_w1", "hada_w2") }},
	{"an OFT adapter", noAdapter, func(t tensors) bool { return t.contains(".oft_blocks", ".oft_diag", ".oft_R") }},
	{"a LoRA", noAdapter, func(t tensors) bool {
		return t.contains("lora_A", "lora_B", "lora_down", "lora_up", "lora.down", "lora.up", "lora_linear_layer",
			"lora_mid", "lora_unet_", "lora_te")
	}},
	{"an IA3 adapter", noAdapter, func(t tensors) bool { return t.contains(".on_input") }},
	{"a LoRA of whole differences", noAdapter, func(t tensors) bool { return t.contains(".diff_b") || t.has("diff") }},
	{"a textual inversion embedding", "embeddings are not supported", func(t tensors) bool {
		return t.has("emb_params", "string_to_param") || len(t.names) <= 3 && t.has("clip_l", "clip_g", "t5xxl")
	}},
	{"an IP-Adapter", noControl, func(t tensors) bool {
		return t.contains("ip_adapter.", "ip-adapter.", "ip_adapter_", "to_k_ip", "double_blocks.0.processor.")
	}},
	{"a ControlNet", noControl, func(t tensors) bool {
		return t.contains("controlnet_", "control_model.", "zero_convs.", "input_hint_block", "control_layers.",
			"control_img_in")
	}},
	{"a T2I-Adapter", noControl,
		func(t tensors) bool { return t.has("adapter.body.0.in_conv.weight", "body.0.block1.weight") }},

	{"HunyuanVideo", "", func(t tensors) bool { return t.contains("txt_in.individual_token_refiner.") }},
	{"Chroma", "", func(t tensors) bool { return t.contains("distilled_guidance_layer.") }},
	{"FLUX.2 [dev]", "", func(t tensors) bool {
		return t.contains("double_stream_modulation_img.", "time_guidance_embed.") &&
			(t.contains("guidance_in.", "guidance_embedder.") || t.dim("img_in.weight", 0) == 6144 ||
				t.dim("x_embedder.weight", 0) == 6144)
	}},
	{"FLUX.1 [dev]", "", func(t tensors) bool { return isFlux1(t) && t.contains("guidance_in.", "guidance_embedder.") }},
	{"FLUX.1", "", isFlux1},
	{"Z-Image", "", func(t tensors) bool {
		return t.contains("all_x_embedder.") || t.has("cap_embedder.1.weight") && t.dim("cap_embedder.1.weight", 0) == 3840
	}},
	{"Lumina-Image 2", "", func(t tensors) bool {
		return t.has("cap_embedder.1.weight") ||
			t.contains("time_caption_embed.")
	}},
	{"Qwen-Image", "", func(t tensors) bool {
		return t.has("txt_norm.weight") && t.contains("transformer_blocks.") || t.has("transformer_blocks.0.img_mod.1.weight")
	}},
	{"Wan", "", func(t tensors) bool {
		return t.has("head.modulation") && t.has("patch_embedding.weight") || t.contains("condition_embedder.time_embedder.")
	}},
	{"Stable Diffusion 3", "", func(t tensors) bool {
		return t.contains("joint_blocks.0.") || t.has("pos_embed.proj.weight") &&
			t.has("transformer_blocks.0.attn.add_q_proj.weight", "transformer_blocks.0.attn.add_k_proj.weight")
	}},
	{"LTX-Video", "", func(t tensors) bool {
		return t.has("patchify_proj.weight") || t.has("proj_in.weight") && t.contains("caption_projection.linear_1.") &&
			t.contains("scale_shift_table")
	}},
	{"PixArt", "", func(t tensors) bool {
		return t.contains("adaln_single.emb.timestep_embedder.") || t.has("t_block.1.weight")
	}},
	{"AuraFlow", "", func(t tensors) bool {
		return t.contains("double_layers.0.attn.w1q") || t.contains("joint_transformer_blocks.0.")
	}},
	{"HiDream", "", func(t tensors) bool { return t.has("caption_projection.0.linear.weight") }},
	{"Hunyuan-DiT", "", func(t tensors) bool { return t.has("mlp_t5.0.weight") }},
	{"Cosmos", "", func(t tensors) bool {
		return t.has("blocks.0.mlp.layer1.weight", "blocks.block0.blocks.0.block.attn.to_q.0.weight")
	}},
	{"Stable Cascade", "", func(t tensors) bool { return t.has("clf.1.weight") && t.contains("down_blocks.") }},
	{"SDXL", "", func(t tensors) bool {
		return isUNet(t) && (t.has("label_emb.0.0.weight", "add_embedding.linear_1.weight") ||
			t.contains("conditioner.embedders."))
	}},
	{"Stable Diffusion 2", "", func(t tensors) bool { return isUNet(t) && crossWidth(t) == 1024 }},
	{"Stable Diffusion 1.5", "", isUNet},

	{"a VAE of Wan or Qwen-Image", vaeAdvice, func(t tensors) bool {
		return t.contains("decoder.middle.0.residual.", "encoder.downsamples.0.residual.") ||
			t.contains("decoder.mid_block.resnets.0.norm1.gamma", "decoder.mid_block.attentions.0.norm.gamma")
	}},
	{"a small VAE for previews (TAESD)", vaeAdvice, func(t tensors) bool {
		return t.contains("taesd_") || t.has("decoder.layers.1.weight") ||
			t.has("decoder.1.weight") && t.has("decoder.3.conv.0.weight") || t.has("3.conv.0.weight") && t.has("1.weight")
	}},
	{"the encoder of a VAE without its decoder", vaeAdvice, func(t tensors) bool {
		return t.has("encoder.conv_in.weight") && !t.contains("decoder.mid", "decoder.up", "decoder.conv")
	}},
	{"a VAE of Stable Diffusion or SDXL (4 latent channels)", vaeAdvice, func(t tensors) bool {
		return t.dim("decoder.conv_in.weight", 1) == 4
	}},
	{"a VAE of FLUX.1, Stable Diffusion 3 or Z-Image (16 latent channels)", vaeAdvice, func(t tensors) bool {
		return t.dim("decoder.conv_in.weight", 1) == 16
	}},

	{"a T5 text encoder", encoderAdvice, func(t tensors) bool {
		return t.has("block.0.layer.0.SelfAttention.q.weight") || t.has("shared.weight") && t.contains("SelfAttention")
	}},
	{"a CLIP vision encoder", encoderAdvice, func(t tensors) bool {
		return t.has("vision_model.encoder.layers.0.self_attn.q_proj.weight",
			"visual.transformer.resblocks.0.attn.in_proj_weight")
	}},
	{"a CLIP text encoder", encoderAdvice, func(t tensors) bool {
		return t.has("text_model.encoder.layers.0.self_attn.q_proj.weight", "transformer.resblocks.0.attn.in_proj_weight")
	}},
	{"Qwen2.5-VL, Qwen-Image's text encoder", encoderAdvice, func(t tensors) bool {
		return t.contains("visual.blocks.") && t.has("layers.0.self_attn.q_proj.bias")
	}},
	{"Qwen3-VL", encoderAdvice, func(t tensors) bool { return t.has("embed_tokens.weight") && t.contains("visual.") }},
	{"a Qwen2 text encoder", encoderAdvice, func(t tensors) bool { return t.has("layers.0.self_attn.q_proj.bias") }},
	{"a Gemma text encoder", encoderAdvice,
		func(t tensors) bool { return t.contains("layers.0.pre_feedforward_layernorm.") }},
	{"Mistral Small, FLUX.2 [dev]'s text encoder", encoderAdvice, func(t tensors) bool {
		return isLlama(t) && max(t.dim("embed_tokens.weight", 1), t.dim("token_embd.weight", 1)) == 5120
	}},
	{"a text encoder of the Llama or Mistral kind", encoderAdvice, isLlama},
	{"Qwen3-0.6B", encoderAdvice, func(t tensors) bool { return qwen3Width(t) == 1024 }},
	{"Qwen3-1.7B", encoderAdvice, func(t tensors) bool { return qwen3Width(t) == 2048 }},
	{"Qwen3-14B or larger", encoderAdvice, func(t tensors) bool { return qwen3Width(t) == 5120 }},
}

const (
	vaeAdvice     = "get " + vaeFileName
	encoderAdvice = "get qwen_3_4b.safetensors for a 4B transformer, qwen_3_8b.safetensors for a 9B"
)

func isFlux1(t tensors) bool {
	return t.contains("double_blocks.0.img_mod.", "time_text_embed.", "single_blocks.0.modulation.") &&
		t.contains("single_blocks.", "single_transformer_blocks.", "double_blocks.")
}

func isUNet(t tensors) bool {
	return t.has("input_blocks.0.0.weight") || t.has("down_blocks.0.resnets.0.time_emb_proj.weight")
}

// crossWidth returns the width of the prompt embeds that a UNet reads.
func crossWidth(t tensors) int {
	return max(t.dim("input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight", 1),
		t.dim("down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight", 1))
}

// isLlama recognises text encoders with the tensor names of Qwen3, but without its QK norms.
func isLlama(t tensors) bool {
	normed := t.contains(".self_attn.q_norm.", ".attn_q_norm.")
	return !normed && (t.has("embed_tokens.weight") && t.has("layers.0.self_attn.q_proj.weight") ||
		t.has("token_embd.weight") && t.has("blk.0.attn_q.weight"))
}

// qwen3Width returns the width of a Qwen3 text encoder, or 0 if the file has none.
func qwen3Width(t tensors) int {
	if !t.contains(".self_attn.q_norm.", ".attn_q_norm.") {
		return 0
	}
	return max(t.dim("embed_tokens.weight", 1), t.dim("token_embd.weight", 1))
}

// foreignFamily returns an error, which names the family and the files to get, for a file of another family. It returns
// nil for any other file.
func foreignFamily(set store, path string) error {
	t := tensors{set.Names(), set}
	for _, f := range families {
		if !f.is(t) {
			continue
		}
		advice := f.advice
		if advice == "" {
			advice = "this program runs FLUX.2 [klein]: get " + allUsual(sizeNamed(path))
		}
		return fmt.Errorf("is %s; %s", f.name, advice)
	}
	return nil
}

// pipelines holds prefixes of the class names of Diffusers' pipelines, and the families that they run. A prefix that
// begins with another one comes before it.
var pipelines = []struct{ prefix, family string }{
	{"Flux2Pipeline", "FLUX.2 [dev]"}, {"Flux", "FLUX.1"}, {"Chroma", "Chroma"}, {"ZImage", "Z-Image"},
	{"QwenImage", "Qwen-Image"}, {"StableDiffusionXL", "SDXL"}, {"StableDiffusion3", "Stable Diffusion 3"},
	{"StableDiffusion", "Stable Diffusion"}, {"Wan", "Wan"}, {"Hunyuan", "Hunyuan"}, {"LTX", "LTX-Video"},
	{"Lumina", "Lumina-Image"}, {"PixArt", "PixArt"}, {"Sana", "Sana"},
}

// familyOfPipeline returns a clause for messages that names the family of a Diffusers pipeline, or "" if it is unknown.
func familyOfPipeline(class string) string {
	for _, p := range pipelines {
		if strings.HasPrefix(class, p.prefix) && !strings.HasPrefix(class, "Flux2Klein") {
			return ": it is " + p.family + ", and this program runs FLUX.2 [klein]"
		}
	}
	return ""
}
