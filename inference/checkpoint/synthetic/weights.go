package synthetic

import (
	"fmt"
	"slices"

	"github.com/kleinbild/kleinbild/inference/checkpoint/safetensors"
	"github.com/kleinbild/kleinbild/inference/tensor"
)

// weight is a tensor of a component. Its name is the Diffusers name.
type weight struct {
	name  string
	dtype tensor.DType
	shape []int
	fill  fill
}

func (w weight) entry() safetensors.Entry {
	return safetensors.Entry{Name: w.name, DType: w.dtype, Shape: w.shape, Fill: func(dst []byte, first int) error {
		w.fill(dst, first)
		return nil
	}}
}

// list collects the weights of a component in the order of the reference's state dict, which determines the shards.
type list struct {
	component string
	seed      uint64
	weights   []weight
}

// add appends a weight. Its name is made from format and args.
func (l *list) add(shape []int, format string, args ...any) {
	name := fmt.Sprintf(format, args...)
	formulaName := l.component + "." + name
	if formulaName == "text_encoder.model.embed_tokens.weight" {
		formulaName = "text_encoder.lm_head.weight" // the two are the same weight
	}
	l.weights = append(l.weights, weight{name, tensor.BF16, shape, newValues(formulaName, shape, l.seed).fill})
}

func (l *list) addWithBias(shape []int, name string) {
	l.add(shape, "%s.weight", name)
	l.add(shape[:1], "%s.bias", name)
}

func (s Spec) transformerWeights() []weight {
	c := s.Transformer
	l := &list{component: "transformer", seed: s.Seed}
	width := c.NumAttentionHeads * c.AttentionHeadDim
	mlp := int(float64(width) * c.MLPRatio)
	outChannels := c.InChannels
	if c.OutChannels != nil {
		outChannels = *c.OutChannels
	}
	square, head := []int{width, width}, []int{c.AttentionHeadDim}
	l.add([]int{width, c.TimestepGuidanceChannels}, "time_guidance_embed.timestep_embedder.linear_1.weight")
	l.add(square, "time_guidance_embed.timestep_embedder.linear_2.weight")
	l.add([]int{6 * width, width}, "double_stream_modulation_img.linear.weight")
	l.add([]int{6 * width, width}, "double_stream_modulation_txt.linear.weight")
	l.add([]int{3 * width, width}, "single_stream_modulation.linear.weight")
	l.add([]int{width, c.InChannels}, "x_embedder.weight")
	l.add([]int{width, c.JointAttentionDim}, "context_embedder.weight")
	for i := range c.NumLayers {
		for _, name := range []string{"to_q", "to_k", "to_v"} {
			l.add(square, "transformer_blocks.%d.attn.%s.weight", i, name)
		}
		l.add(head, "transformer_blocks.%d.attn.norm_q.weight", i)
		l.add(head, "transformer_blocks.%d.attn.norm_k.weight", i)
		l.add(square, "transformer_blocks.%d.attn.to_out.0.weight", i)
		l.add(head, "transformer_blocks.%d.attn.norm_added_q.weight", i)
		l.add(head, "transformer_blocks.%d.attn.norm_added_k.weight", i)
		for _, name := range []string{"add_q_proj", "add_k_proj", "add_v_proj", "to_add_out"} {
			l.add(square, "transformer_blocks.%d.attn.%s.weight", i, name)
		}
		for _, name := range []string{"ff", "ff_context"} {
			l.add([]int{2 * mlp, width}, "transformer_blocks.%d.%s.linear_in.weight", i, name)
			l.add([]int{width, mlp}, "transformer_blocks.%d.%s.linear_out.weight", i, name)
		}
	}
	for i := range c.NumSingleLayers {
		l.add([]int{3*width + 2*mlp, width}, "single_transformer_blocks.%d.attn.to_qkv_mlp_proj.weight", i)
		l.add(head, "single_transformer_blocks.%d.attn.norm_q.weight", i)
		l.add(head, "single_transformer_blocks.%d.attn.norm_k.weight", i)
		l.add([]int{width, width + mlp}, "single_transformer_blocks.%d.attn.to_out.weight", i)
	}
	l.add([]int{2 * width, width}, "norm_out.linear.weight")
	l.add([]int{outChannels, width}, "proj_out.weight")
	return l.weights
}

func (s Spec) textEncoderWeights() []weight {
	c := s.TextEncoder
	l := &list{component: "text_encoder", seed: s.Seed}
	queries, keys := c.NumAttentionHeads*c.HeadDim, c.NumKeyValueHeads*c.HeadDim
	l.add([]int{c.VocabSize, c.HiddenSize}, "model.embed_tokens.weight")
	for i := range c.NumHiddenLayers {
		for _, w := range []struct {
			name  string
			shape []int
		}{
			{"self_attn.q_proj", []int{queries, c.HiddenSize}},
			{"self_attn.k_proj", []int{keys, c.HiddenSize}},
			{"self_attn.v_proj", []int{keys, c.HiddenSize}},
			{"self_attn.o_proj", []int{c.HiddenSize, queries}},
			{"self_attn.q_norm", []int{c.HeadDim}},
			{"self_attn.k_norm", []int{c.HeadDim}},
			{"mlp.gate_proj", []int{c.IntermediateSize, c.HiddenSize}},
			{"mlp.up_proj", []int{c.IntermediateSize, c.HiddenSize}},
			{"mlp.down_proj", []int{c.HiddenSize, c.IntermediateSize}},
			{"input_layernorm", []int{c.HiddenSize}},
			{"post_attention_layernorm", []int{c.HiddenSize}},
		} {
			l.add(w.shape, "model.layers.%d.%s.weight", i, w.name)
		}
	}
	l.add([]int{c.HiddenSize}, "model.norm.weight")
	return l.weights
}

func (s Spec) vaeWeights() []weight {
	c := s.VAE
	l := &list{component: "vae", seed: s.Seed}
	resnet := func(name string, in, out int) {
		l.addWithBias([]int{in}, name+".norm1")
		l.addWithBias([]int{out, in, 3, 3}, name+".conv1")
		l.addWithBias([]int{out}, name+".norm2")
		l.addWithBias([]int{out, out, 3, 3}, name+".conv2")
		if in != out {
			l.addWithBias([]int{out, in, 1, 1}, name+".conv_shortcut")
		}
	}
	middle := func(half string, width int) {
		resnet(half+".mid_block.resnets.0", width, width)
		if c.MidBlockAddAttention {
			l.addWithBias([]int{width}, half+".mid_block.attentions.0.group_norm")
			for _, name := range []string{"to_q", "to_k", "to_v", "to_out.0"} {
				l.addWithBias([]int{width, width}, half+".mid_block.attentions.0."+name)
			}
		}
		resnet(half+".mid_block.resnets.1", width, width)
	}

	down := c.BlockOutChannels
	l.addWithBias([]int{down[0], c.InChannels, 3, 3}, "encoder.conv_in")
	in := down[0]
	for i, out := range down {
		for j := range c.LayersPerBlock {
			resnet(fmt.Sprintf("encoder.down_blocks.%d.resnets.%d", i, j), in, out)
			in = out
		}
		if i < len(down)-1 {
			l.addWithBias([]int{out, out, 3, 3}, fmt.Sprintf("encoder.down_blocks.%d.downsamplers.0.conv", i))
		}
	}
	middle("encoder", in)
	l.addWithBias([]int{in}, "encoder.conv_norm_out")
	l.addWithBias([]int{2 * c.LatentChannels, in, 3, 3}, "encoder.conv_out")

	up := c.DecoderBlockOutChannels
	if up == nil {
		up = c.BlockOutChannels
	}
	up = slices.Clone(up)
	slices.Reverse(up)
	in = up[0]
	l.addWithBias([]int{in, c.LatentChannels, 3, 3}, "decoder.conv_in")
	middle("decoder", in)
	for i, out := range up {
		for j := range c.LayersPerBlock + 1 {
			resnet(fmt.Sprintf("decoder.up_blocks.%d.resnets.%d", i, j), in, out)
			in = out
		}
		if i < len(up)-1 {
			l.addWithBias([]int{out, out, 3, 3}, fmt.Sprintf("decoder.up_blocks.%d.upsamplers.0.conv", i))
		}
	}
	l.addWithBias([]int{in}, "decoder.conv_norm_out")
	l.addWithBias([]int{c.OutChannels, in, 3, 3}, "decoder.conv_out")

	if c.UseQuantConv {
		l.addWithBias([]int{2 * c.LatentChannels, 2 * c.LatentChannels, 1, 1}, "quant_conv")
	}
	if c.UsePostQuantConv {
		l.addWithBias([]int{c.LatentChannels, c.LatentChannels, 1, 1}, "post_quant_conv")
	}
	patched := []int{c.LatentChannels * c.PatchSize[0] * c.PatchSize[1]}
	l.add(patched, "bn.running_mean")
	l.add(patched, "bn.running_var")
	l.weights = append(l.weights, weight{"bn.num_batches_tracked", tensor.I64, nil, zeros})
	return l.weights
}
