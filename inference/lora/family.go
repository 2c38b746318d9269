package lora

import (
	"regexp"
	"strings"
)

// families are other families of models, by names of modules that only their adapters have. Prefixes are removed before
// the comparison, and dots are underscores.
var families = []struct {
	name string
	is   *regexp.Regexp
}{
	{"SDXL or Stable Diffusion", regexp.MustCompile(
		`^(down_blocks_\d|up_blocks_\d|mid_block_|input_blocks_\d|output_blocks_\d|middle_block_)`)},
	{"Stable Diffusion 3", regexp.MustCompile(`^joint_blocks_\d`)},
	{"Qwen-Image", regexp.MustCompile(`^transformer_blocks_\d+_(img|txt)_(mlp_net_|mod_1$)`)},
	{"Chroma", regexp.MustCompile(`^distilled_guidance_layer_`)},
	{"HunyuanVideo", regexp.MustCompile(`individual_token_refiner|^double_blocks_\d+_(img|txt)_(attn_q_norm|mlp_fc\d)`)},
	{"FLUX.1", regexp.MustCompile(`^(double_blocks_\d+_(img|txt)_mod_lin|single_blocks_\d+_modulation_lin|vector_in_|` +
		`time_text_embed_|transformer_blocks_\d+_(ff|ff_context)_net_|transformer_blocks_\d+_norm1(_context)?_linear|` +
		`single_transformer_blocks_\d+_(norm_linear|proj_out))`)},
	{"Wan", regexp.MustCompile(`^blocks_\d+_(self_attn|cross_attn|ffn)_`)},
	{"Z-Image or Lumina-Image", regexp.MustCompile(`^(layers_\d+_attention_|noise_refiner_|context_refiner_)`)},
}

// foreign returns an error if the file was made for another family. Some of them have layers of the same names and
// sizes, so that a part of the file would fit.
func (f *File) foreign() error {
	for _, m := range f.modules {
		if isEncoder(m.name) {
			continue
		}
		name, _ := stripped(m.name)
		name = strings.ReplaceAll(name, ".", "_")
		for _, family := range families {
			if family.is.MatchString(name) {
				return f.errorf("%s: found a layer of %s, want an adapter for FLUX.2 [klein]", m.name, family.name)
			}
		}
		if err := f.flux1(m); err != nil {
			return err
		}
	}
	return nil
}

// flux1 returns an error if a layer has the size that it has in FLUX.1, whose names are the same: its MLPs are four
// times as wide as the tokens, without a gate.
func (f *File) flux1(m module) error {
	n, ok := resolve(m.name)
	if !ok || len(n.places) != 1 || n.places[0].to != 0 || n.places[0].from != 0 {
		return nil
	}
	kind, unsupported, err := m.kind()
	if err != nil || unsupported != "" {
		return nil // Match reports it
	}
	s, err := f.size(m, kind)
	if err != nil {
		return nil
	}
	weight := n.places[0].weight
	fused := strings.HasSuffix(weight, ".attn.to_qkv_mlp_proj")
	mlp := strings.HasSuffix(weight, ".ff.linear_in") || strings.HasSuffix(weight, ".ff_context.linear_in")
	if fused && s.rows == 7*s.cols || mlp && s.rows == 4*s.cols {
		return f.errorf("%s: found a layer of [%d %d], as FLUX.1 has it, want an adapter for FLUX.2 [klein]",
			m.name, s.rows, s.cols)
	}
	return nil
}
