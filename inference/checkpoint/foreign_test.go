package checkpoint

import (
	"testing"

	"github.com/kleinbild/kleinbild/inference/checkpoint/safetensors"
	"github.com/kleinbild/kleinbild/inference/tensor"
)

// TestForeignFamilies checks that the error for a file of another family names the family, for any prefix of the
// tensors.
func TestForeignFamilies(t *testing.T) {
	const up = "double_blocks.0.img_attn.qkv"
	conv := "decoder.mid.block_1.conv1.weight"
	for _, row := range []struct {
		name  string
		want  string
		names []any // a name, or a name and its shape
	}{
		{"kohya's LoRA", "is a LoRA",
			[]any{"lora_unet_double_blocks_0_img_attn_qkv.lora_down.weight",
				"lora_unet_double_blocks_0_img_attn_qkv.lora_up.weight", "lora_unet_double_blocks_0_img_attn_qkv.alpha"}},
		{"PEFT's LoRA", "is a LoRA",
			[]any{"transformer.transformer_blocks.0.attn.to_q.lora_A.weight",
				"transformer.transformer_blocks.0.attn.to_q.lora_B.weight"}},
		{"PEFT's LoRA with an adapter's name", "is a LoRA", []any{"base_model.model." + up + ".lora_A.default.weight"}},
		{"ai-toolkit's LoRA", "is a LoRA", []any{"diffusion_model." + up + ".lora_A.weight"}},
		{"old Diffusers' LoRA", "is a LoRA", []any{"transformer_blocks.0.attn.processor.to_q_lora.up.weight"}},
		{"linear layers' LoRA", "is a LoRA", []any{"transformer_blocks.0.attn.to_q.lora_linear_layer.up.weight"}},
		{"LoRA of the first layer too", "is a LoRA",
			[]any{"diffusion_model.img_in.lora_A.weight", "diffusion_model.img_in.weight"}},
		{"LoKr", "is a LoKr", []any{"diffusion_model." + up + ".lokr_w1", "diffusion_model." + up + ".lokr_w2",
			"diffusion_model." + up + ".alpha"}},
		{"SimpleTuner's LoKr", "is a LoKr", []any{"lycoris_transformer_blocks_0_attn_to_q.lokr_w1_a"}},
		{"LoHa", "is a LoHa", []any{up + ".hada_w1_a", up + ".hada_w2_b"}},
		{"DoRA", "is a DoRA", []any{"transformer.x.lora_down.weight", "transformer.x.dora_scale"}},
		{"PEFT's DoRA", "is a DoRA", []any{"transformer.x.lora_A.weight", "transformer.x.lora_magnitude_vector"}},
		{"differences", "is a LoRA of whole differences", []any{up + ".diff", up + ".diff_b"}},
		{"ControlNet", "is a ControlNet",
			[]any{"controlnet_x_embedder.weight", "transformer_blocks.0.attn.to_q.weight", "x_embedder.weight"}},
		{"old ControlNet", "is a ControlNet", []any{"control_model.input_hint_block.0.weight"}},
		{"IP-Adapter", "is an IP-Adapter", []any{"ip_adapter.1.to_k_ip.weight", "image_proj.proj.weight"}},

		{"FLUX.1 schnell", "is FLUX.1; this program runs FLUX.2 [klein]: get flux-2-klein-4b.safetensors",
			[]any{"img_in.weight", "double_blocks.0.img_mod.lin.weight", "single_blocks.0.linear1.weight"}},
		{"FLUX.1 dev", "is FLUX.1 [dev]",
			[]any{"model.diffusion_model.img_in.weight", "model.diffusion_model.double_blocks.0.img_mod.lin.weight",
				"model.diffusion_model.guidance_in.in_layer.weight"}},
		{"FLUX.1 dev, Diffusers", "is FLUX.1 [dev]",
			[]any{"x_embedder.weight", "time_text_embed.guidance_embedder.linear_1.weight",
				"single_transformer_blocks.0.attn.to_q.weight"}},
		{"Chroma", "is Chroma",
			[]any{"img_in.weight", "distilled_guidance_layer.in_proj.weight", "double_blocks.0.img_attn.qkv.weight"}},
		{"FLUX.2 dev", "is FLUX.2 [dev]",
			[]any{"img_in.weight", "double_stream_modulation_img.lin.weight", "guidance_in.in_layer.weight"}},
		{"FLUX.2 dev, Diffusers", "is FLUX.2 [dev]",
			[]any{"x_embedder.weight", "time_guidance_embed.guidance_embedder.linear_1.weight"}},
		{"Z-Image", "is Z-Image",
			[]any{"cap_embedder.1.weight", []int{3840, 2560}, "x_embedder.weight", "layers.0.attention.qkv.weight"}},
		{"Z-Image, Diffusers", "is Z-Image", []any{"all_x_embedder.2-1.weight", "layers.0.attention.to_q.weight"}},
		{"Lumina", "is Lumina-Image 2", []any{"cap_embedder.1.weight", []int{2304, 2304}, "x_embedder.weight"}},
		{"Qwen-Image", "is Qwen-Image;", []any{"img_in.weight", "txt_norm.weight", "transformer_blocks.0.img_mod.1.weight"}},
		{"Wan", "is Wan;", []any{"head.modulation", "patch_embedding.weight", "blocks.0.self_attn.q.weight"}},
		{"SD3", "is Stable Diffusion 3",
			[]any{"model.diffusion_model.joint_blocks.0.context_block.attn.qkv.weight",
				"model.diffusion_model.x_embedder.proj.weight"}},
		{"SDXL", "is SDXL", []any{"model.diffusion_model.input_blocks.0.0.weight",
			"model.diffusion_model.label_emb.0.0.weight", "first_stage_model." + conv,
			"conditioner.embedders.0.transformer.text_model.embeddings.position_embedding.weight"}},
		{"SD 1.5", "is Stable Diffusion 1.5",
			[]any{"model.diffusion_model.input_blocks.0.0.weight", "first_stage_model." + conv,
				"cond_stage_model.transformer.text_model.encoder.layers.0.self_attn.q_proj.weight"}},
		{"SD 2", "is Stable Diffusion 2",
			[]any{"model.diffusion_model.input_blocks.0.0.weight",
				"model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight", []int{320, 1024}}},
		{"SDXL, Diffusers", "is SDXL",
			[]any{"down_blocks.0.resnets.0.time_emb_proj.weight", "add_embedding.linear_1.weight"}},

		{"VAE of Wan", "is a VAE of Wan or Qwen-Image", []any{"decoder.middle.0.residual.0.gamma", "encoder.conv1.weight"}},
		{"VAE of Qwen-Image, Diffusers", "is a VAE of Wan or Qwen-Image",
			[]any{"decoder.mid_block.resnets.0.norm1.gamma", "decoder.mid_block.resnets.0.conv1.weight",
				"encoder.conv_in.weight"}},
		{"VAE of FLUX.1", "is a VAE of FLUX.1, Stable Diffusion 3 or Z-Image (16 latent channels)",
			[]any{conv, "encoder.conv_in.weight", "decoder.conv_in.weight", []int{512, 16, 3, 3}}},
		{"VAE of SDXL", "(4 latent channels)",
			[]any{conv, "encoder.conv_in.weight", "decoder.conv_in.weight", []int{512, 4, 3, 3}}},
		{"decoder", "is the decoder of a VAE alone, want a whole VAE beside it, such as flux2-vae.safetensors",
			[]any{conv, "decoder.conv_in.weight", []int{512, 32, 3, 3}}},
		{"encoder", "is the encoder of a VAE without its decoder", []any{"encoder.conv_in.weight"}},
		{"TAESD", "is a small VAE for previews", []any{"taesd_decoder.1.weight"}},

		{"T5", "is a T5 text encoder",
			[]any{"encoder.block.0.layer.0.SelfAttention.q.weight", "shared.weight", "encoder.embed_tokens.weight"}},
		{"CLIP", "is a CLIP text encoder", []any{"text_model.encoder.layers.0.self_attn.q_proj.weight"}},
		{"Mistral", "is Mistral Small, FLUX.2 [dev]'s text encoder",
			[]any{"model.embed_tokens.weight", []int{8, 5120}, "model.layers.0.self_attn.q_proj.weight"}},
		{"Llama", "is a text encoder of the Llama or Mistral kind",
			[]any{"model.embed_tokens.weight", "model.layers.0.self_attn.q_proj.weight"}},
		{"Qwen2.5-VL", "is Qwen2.5-VL",
			[]any{"model.embed_tokens.weight", "visual.blocks.0.attn.qkv.weight", "model.layers.0.self_attn.q_proj.bias"}},
		{"Qwen3-VL", "is Qwen3-VL",
			[]any{"model.language_model.embed_tokens.weight", "model.visual.blocks.0.attn.qkv.weight",
				"model.language_model.layers.0.self_attn.q_norm.weight"}},
		{"Gemma", "is a Gemma text encoder",
			[]any{"model.embed_tokens.weight", "model.layers.0.pre_feedforward_layernorm.weight"}},
		{"Qwen3-0.6B", "is Qwen3-0.6B",
			[]any{"model.embed_tokens.weight", []int{8, 1024}, "model.layers.0.self_attn.q_norm.weight"}},
		{"Qwen3-1.7B", "is Qwen3-1.7B",
			[]any{"model.embed_tokens.weight", []int{8, 2048}, "model.layers.0.self_attn.q_norm.weight"}},
		{"an unknown thing", "is not a FLUX.2 transformer, VAE or Qwen3 text encoder; it holds conv1.weight",
			[]any{"conv1.weight"}},
	} {
		var entries []safetensors.Entry
		for _, n := range row.names {
			switch n := n.(type) {
			case string:
				entries = append(entries, of(n, tensor.BF16, 4, 4))
			case []int:
				entries[len(entries)-1].Shape = n
			}
		}
		path := tensorFile(t, "x.safetensors", entries...)
		_, err := Open(t.Context(), path)
		wantError(t, row.name, err, path, row.want)
	}
}
