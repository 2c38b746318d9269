package upscale

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/kleinbild/kleinbild/inference/backend"
	"github.com/kleinbild/kleinbild/inference/tensor"
)

// Limits of what is recognised: published networks have 23 blocks or 34 layers, and enlarge four times.
const (
	maxLayers    = 256
	maxDoublings = 3
	maxScale     = 8
)

// recognise returns the function that loads the network of src.
func recognise(src tensor.Source) (load func(backend.Backend) (architecture, error), err error) {
	has := func(name string) bool { return tensor.Dim(src, name, 0) > 0 }
	using := func(
		make func(backend.Backend, tensor.Source) (architecture, error), src tensor.Source,
	) (func(backend.Backend) (architecture, error), error) {
		return func(b backend.Backend) (architecture, error) { return make(b, src) }, nil
	}
	for _, f := range foreign {
		if has(f.tensor) {
			return nil, fmt.Errorf("a network of the architecture %s, want %s", f.name, wanted)
		}
	}
	switch {
	case has("conv_first.weight") && has("body.0.rdb1.conv1.weight"):
		return using(newRRDB, src)
	case has("model.0.weight") && has("model.1.sub.0.RDB1.conv1.0.weight"):
		renamed, err := newNames(src)
		if err != nil {
			return nil, err
		}
		return using(newRRDB, renamed)
	case has("conv_first.weight") && has("RRDB_trunk.0.RDB1.conv1.weight"):
		return using(newRRDB, trunkNames(src))
	case has("conv_1.sk.weight") && has("conv_cat.weight") && has("upsampler.0.weight"):
		return using(newSPAN, src)
	case has("body.0.weight") && has("body.0.bias") && has("body.1.weight") && tensor.Dim(src, "body.0.weight", 1) == 3:
		return using(newCompact, src)
	}
	return nil, fmt.Errorf("no network that enlarges pictures, want %s", wanted)
}

const wanted = "SRVGGNetCompact, RRDBNet (ESRGAN) or SPAN"

// foreign are architectures whose files people have beside those that are read, by a name that only they have.
var foreign = []struct{ name, tensor string }{
	{"HAT", "layers.0.residual_group.overlap_attn.qkv.weight"},
	{"Swin2SR", "layers.0.residual_group.blocks.0.attn.logit_scale"},
	{"SwinIR", "layers.0.residual_group.blocks.0.attn.qkv.weight"},
	{"DAT", "layers.0.blocks.0.attn.qkv.weight"},
	{"OmniSR", "residual_layer.0.residual_layer.0.layer.0.fn.0.weight"},
	{"Real-CUGAN", "unet1.conv1.conv.0.weight"},
	{"RealPLKSR", "feats.1.channel_mixer.0.weight"},
	{"PLKSR", "feats.1.channe_mixer.0.weight"},
	{"SAFMN", "feats.0.safm.mfr.0.weight"},
	{"EDSR", "head.0.weight"},
	{"ESRGAN+", "model.1.sub.0.RDB1.conv1x1.weight"},
	{"ESRGAN+", "model.1.sub.0.RDB1.conv1x1.0.weight"},
	{"GFPGAN", "stylegan_decoder.style_mlp.1.weight"},
	{"CodeFormer", "quantize.embedding.weight"},
	{"TAEF2, a decoder for previews", "decoder.layers.0.weight"},
}

// shuffleOf returns the scale of a network whose last convolution has so many outputs: three channels for each pixel of
// a square.
func shuffleOf(out int) (scale int, err error) {
	scale = int(math.Sqrt(float64(out / 3)))
	if scale < 1 || scale > maxScale || 3*scale*scale != out {
		return 0, fmt.Errorf("%d outputs, want 3·s² for an enlargement of s, at most %d", out, maxScale)
	}
	return scale, nil
}

// renamed is a source under other names.
type renamed struct {
	tensor.Source
	names map[string]string // from the name that is asked for to that of the source
}

func (r renamed) Names() []string {
	var list []string
	for name := range r.names {
		list = append(list, name)
	}
	slices.Sort(list)
	return list
}

func (r renamed) Tensor(name string) (tensor.Tensor, error) {
	old, ok := r.names[name]
	if !ok {
		return tensor.Tensor{}, fmt.Errorf("%.100s: %w", name, tensor.ErrMissing)
	}
	return r.Source.Tensor(old)
}

// trunkNames returns an RRDBNet of ESRGAN's second release by its present names.
func trunkNames(src tensor.Source) tensor.Source {
	present := strings.NewReplacer("RRDB_trunk.", "body.", ".RDB", ".rdb", "trunk_conv.", "conv_body.",
		"upconv", "conv_up", "HRconv.", "conv_hr.")
	r := renamed{src, map[string]string{}}
	for _, name := range src.Names() {
		r.names[present.Replace(name)] = name
	}
	return r
}

// newNames returns an RRDBNet of ESRGAN's first release by its present names. There the layers outside of the trunk are
// numbered, with numbers for the doublings and the activations, too.
func newNames(src tensor.Source) (tensor.Source, error) {
	r := renamed{src, map[string]string{}}
	var layers []int // that have weights, behind the trunk
	last := -1       // the number of the trunk's last convolution
	for _, name := range src.Names() {
		if rest, ok := strings.CutPrefix(name, "model.1.sub."); ok {
			number, rest, _ := strings.Cut(rest, ".")
			i, err := strconv.Atoi(number)
			if err != nil {
				continue
			}
			// RDB1.conv1.0.weight is rdb1.conv1.weight
			block, inner, _ := strings.Cut(rest, ".")
			if conv, kind, ok := strings.Cut(inner, ".0."); ok && strings.HasPrefix(block, "RDB") {
				r.names[fmt.Sprintf("body.%d.rdb%s.%s.%s", i, block[3:], conv, kind)] = name
			} else if rest == "weight" {
				last = max(last, i)
			}
			continue
		}
		if number, ok := strings.CutPrefix(name, "model."); ok && strings.HasSuffix(number, ".weight") {
			if i, err := strconv.Atoi(strings.TrimSuffix(number, ".weight")); err == nil && i > 1 {
				layers = append(layers, i)
			}
		}
	}
	if len(layers) < 2 || last < 0 {
		return nil, errors.New("RRDBNet in old names: without its last layers")
	}
	slices.Sort(layers)
	put := func(to, from string) {
		for _, kind := range []string{".weight", ".bias"} {
			r.names[to+kind] = from + kind
		}
	}
	put("conv_first", "model.0")
	put("conv_body", fmt.Sprintf("model.1.sub.%d", last))
	ups := layers[:len(layers)-2]
	for i, layer := range ups {
		put(fmt.Sprintf("conv_up%d", i+1), fmt.Sprintf("model.%d", layer))
	}
	put("conv_hr", fmt.Sprintf("model.%d", layers[len(ups)]))
	put("conv_last", fmt.Sprintf("model.%d", layers[len(ups)+1]))
	return r, nil
}
