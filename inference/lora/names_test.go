package lora

import (
	"slices"
	"strings"
	"testing"
)

// TestNames has a row for each form of names that a trainer or loader writes, for a layer of each table.
func TestNames(t *testing.T) {
	qkv := []place{
		{"transformer_blocks.4.attn.to_q", 0, 0}, {"transformer_blocks.4.attn.to_k", 0, 0},
		{"transformer_blocks.4.attn.to_v", 0, 0},
	}
	k := []place{{"transformer_blocks.4.attn.to_k", 0, 0}}
	out := []place{{"transformer_blocks.4.attn.to_out.0", 0, 0}}
	textMLP := []place{{"transformer_blocks.4.ff_context.linear_in", 0, 0}}
	fused := []place{{"single_transformer_blocks.19.attn.to_qkv_mlp_proj", 0, 0}}
	down := []place{{"single_transformer_blocks.19.attn.to_out", 0, 0}}
	value := []place{{"single_transformer_blocks.19.attn.to_qkv_mlp_proj", 2, 3}}
	mlp := []place{{"single_transformer_blocks.19.attn.to_qkv_mlp_proj", 3, 0}}
	final := []place{{"norm_out.linear", 1, 2}, {"norm_out.linear", 0, 1}}
	time := []place{{"time_guidance_embed.timestep_embedder.linear_1", 0, 0}}
	for _, row := range []struct {
		trainer, key string
		role         role
		places       []place
	}{
		{"Diffusers", "transformer.transformer_blocks.4.attn.to_k.lora_A.weight", roleDown, k},
		{"Diffusers without prefix", "transformer_blocks.4.attn.to_k.lora_B.weight", roleUp, k},
		{"Diffusers, old", "transformer.transformer_blocks.4.attn.to_out.0.lora.up.weight", roleUp, out},
		{"Diffusers, older", "transformer_blocks.4.attn.to_k_lora.down.weight", roleDown, k},
		{"Diffusers, oldest", "transformer_blocks.4.attn.to_k.lora_linear_layer.up.weight", roleUp, k},
		{"Diffusers, final layer", "transformer.norm_out.linear.lora_B.weight", roleUp, []place{{"norm_out.linear", 0, 0}}},
		{"PEFT", "base_model.model.single_transformer_blocks.19.attn.to_out.lora_A.weight", roleDown, down},
		{"PEFT, named", "base_model.model.transformer_blocks.4.attn.to_k.lora_A.default.weight", roleDown, k},
		{"PEFT DoRA", "transformer.transformer_blocks.4.attn.to_k.lora_magnitude_vector", roleMagnitude, k},
		{"PEFT DoRA with a name", "transformer_blocks.4.attn.to_k.lora_magnitude_vector.default.weight", roleMagnitude, k},
		{"PEFT, without .weight", "base_model.model.double_blocks.4.img_attn.qkv.lora_B", roleUp, qkv},
		{"ai-toolkit", "diffusion_model.double_blocks.4.img_attn.qkv.lora_A.weight", roleDown, qkv},
		{"ai-toolkit LoKr", "diffusion_model.single_blocks.19.linear1.lokr_w1", roleKron1, fused},
		{"ai-toolkit LoKr, factors", "diffusion_model.single_blocks.19.linear2.lokr_w2_b", roleKron2B, down},
		{"kohya", "lora_unet_double_blocks_4_img_attn_qkv.lora_down.weight", roleDown, qkv},
		{"kohya alpha", "lora_unet_double_blocks_4_txt_mlp_0.alpha", roleAlpha, textMLP},
		{"kohya, single block", "lora_unet_single_blocks_19_linear2.lora_up.weight", roleUp, down},
		{"kohya, time", "lora_unet_time_in_in_layer.lora_up.weight", roleUp, time},
		{"kohya, final layer", "lora_unet_final_layer_adaLN_modulation_1.lora_up.weight", roleUp, final},
		{"LyCORIS LoHa", "lora_unet_single_blocks_19_linear1.hada_w1_a", roleHada1A, fused},
		{"LyCORIS DoRA", "lora_unet_single_blocks_19_linear1.dora_scale", roleDoRA, fused},
		{"BFL, bare", "final_layer.adaLN_modulation.1.lora_A.weight", roleDown, final},
		{"BFL in a checkpoint's prefix", "model.diffusion_model.time_in.in_layer.lora_A.weight", roleDown, time},
		{"ComfyUI of Diffusers' names", "diffusion_model.transformer_blocks.4.ff_context.linear_in.lora_A.weight", roleDown,
			textMLP},
		{"ComfyUI, a prefix too short", "diffusion_model.sformer_blocks.4.attn.to_k.lora_A.weight", roleDown, k},
		{"ComfyUI difference", "diffusion_model.double_blocks.4.img_attn.proj.diff", roleDiff, out},
		{"ComfyUI whole weight", "diffusion_model.double_blocks.4.img_attn.proj.set_weight", roleSet, out},
		{"SimpleTuner", "lycoris_transformer_blocks_4_attn_to_out_0.lokr_w1_a", roleKron1A, out},
		{"SimpleTuner, MLP", "lycoris_transformer_blocks_4_ff_context_linear_in.lokr_w2", roleKron2, textMLP},
		{"OneTrainer", "lora_transformer_single_transformer_blocks_19_attn_to_qkv_mlp_proj.lora_up.weight", roleUp, fused},
		{"OneTrainer, dotted", "transformer.transformer_blocks.4.attn.to_k.lora_down.weight", roleDown, k},
		{"OneTrainer, split", "transformer.double_blocks.4.img_attn.qkv.1.lora_down.weight", roleDown, k},
		{"OneTrainer, split single", "transformer.single_blocks.19.linear1.3.lora_down.weight", roleDown, mlp},
		{"split single block", "transformer.single_transformer_blocks.19.attn.to_v.lora_A.weight", roleDown, value},
		{"split single block, MLP", "transformer.single_transformer_blocks.19.proj_mlp.lora_A.weight", roleDown, mlp},
	} {
		module, r := parseKey(row.key)
		if r != row.role {
			t.Errorf("%s: %s has role %d, want %d", row.trainer, row.key, r, row.role)
		}
		n, ok := resolve(module)
		if !ok || !slices.Equal(n.places, row.places) {
			t.Errorf("%s: %s is %v (%v), want %v", row.trainer, row.key, n.places, ok, row.places)
		}
	}
}

// TestEveryWeightIsNamed checks that the tables reach each weight of a transformer, under original names and under
// those of Diffusers, with dots and with underscores.
func TestEveryWeightIsNamed(t *testing.T) {
	shapes := tinyShapes(256, 128, 192, 256, 1, 1)
	for _, original := range []bool{false, true} {
		reached := map[string]bool{}
		add := func(table []row, block, prefix string) {
			for _, r := range table {
				if original == (r.places[0].weight == r.name) {
					continue
				}
				dotted, ok := resolve(block + r.name)
				flat, flatOK := resolve("lora_unet_" + strings.ReplaceAll(block+r.name, ".", "_"))
				if !ok || !flatOK || !slices.Equal(dotted.places, flat.places) {
					t.Errorf("%s%s: %v with dots, %v with underscores", block, r.name, dotted, flat)
				}
				for _, p := range dotted.places {
					reached[p.weight] = true
					if !strings.HasPrefix(p.weight, prefix) {
						t.Errorf("%s%s: reaches %s", block, r.name, p.weight)
					}
				}
			}
		}
		add(topNames, "", "")
		if original {
			add(doubleNames, "double_blocks.0.", "transformer_blocks.0.")
			add(singleNames, "single_blocks.0.", "single_transformer_blocks.0.")
		} else {
			add(doubleNames, "transformer_blocks.0.", "transformer_blocks.0.")
			add(singleNames, "single_transformer_blocks.0.", "single_transformer_blocks.0.")
		}
		for weight := range shapes {
			if !reached[weight] {
				t.Errorf("original names %v: no name reaches %s", original, weight)
			}
		}
	}
}

func TestNamesThatAreNone(t *testing.T) {
	for _, module := range []string{
		"", ".", "transformer_blocks", "transformer_blocks.", "transformer_blocks.0", "transformer_blocks.-1.attn.to_q",
		"transformer_blocks.00.attn.to_q", "transformer_blocks.99999999999999999999.attn.to_q",
		"transformer_blocks.4.attn", "double_blocks.0.img_attn.qkv.3", "double_blocks.0.img_attn.qkv_extra",
		"single_blocks.0.linear1.4", "lora_unet_double_blocks_4", "lora_unet_double_blocks_x_img_attn_qkv",
		"diffusion_model.guidance_in.in_layer", "double_blocks_0_img_attn_qkv", "final_layer.adaLN_modulation.0",
	} {
		if n, ok := resolve(module); ok {
			t.Errorf("%q is taken for %v", module, n.places)
		}
	}
}

// FuzzKeys checks that a key's module and role are found without a panic, and that what a module changes are layers of
// the tables.
func FuzzKeys(f *testing.F) {
	for _, table := range [][]row{topNames, doubleNames, singleNames} {
		for _, r := range table {
			f.Add("diffusion_model.double_blocks.0." + r.name + ".lora_A.weight")
			f.Add("lora_unet_" + strings.ReplaceAll(r.name, ".", "_") + ".alpha")
		}
	}
	for _, s := range suffixes {
		f.Add("transformer.single_transformer_blocks.3.attn.to_out" + s.suffix + ".default.weight")
	}
	f.Add(".lora_A.weight")
	f.Add("transformer_blocks.\xff.attn.to_q.lora_B")
	f.Fuzz(func(t *testing.T, key string) {
		module, r := parseKey(key)
		if r != noRole && (module == "" || !strings.HasPrefix(key, module)) {
			t.Errorf("%q: module %q of role %d", key, module, r)
		}
		n, ok := resolve(module)
		if ok == (len(n.places) == 0) {
			t.Errorf("%q: known %v, places %v", key, ok, n.places)
		}
		for _, p := range n.places {
			if n.block >= maxBlocks || n.block >= 0 != strings.Contains(p.weight, "blocks.") {
				t.Errorf("%q: block %d and weight %s", key, n.block, p.weight)
			}
		}
	})
}
