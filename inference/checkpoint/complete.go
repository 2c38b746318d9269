package checkpoint

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// complete returns an error if weights of kind k are missing. It must be called before a config is derived from the
// weights: a file without its last block would pass for a smaller model. The number of blocks is known if the widths
// are those of a published model; otherwise it is the highest block number plus one. config is the text of config.json,
// or nil if there is none.
func (w *weights) complete(k kind, config []byte) error {
	s := sizeOf(w, k)
	var missing []string
	var err error
	switch k {
	case transformer:
		missing, err = w.missingOfTransformer(s, config)
	case textEncoder:
		missing, err = w.missingOfTextEncoder(s, config)
	case vae:
		if config == nil { // with a config the VAE itself finds missing weights
			missing = w.missingOfVAE()
		}
	}
	if err != nil || len(missing) == 0 {
		return err
	}
	which := "FLUX.2 [klein]"
	if s != nil {
		which += " " + s.name
	}
	return fmt.Errorf("checkpoint: %s: is incomplete: it lacks %s of the %s of %s; get %s again",
		w.path, first(missing, 4), k, which, usualFile(k, s))
}

// blocks describes the numbered blocks of a network: UNDER.0.INNER, UNDER.1.INNER, ….
type blocks struct {
	under string   // the name before the number
	title string   // the name of a block in messages
	inner []string // the weights of a block
	count int      // the number of blocks of the published model, or 0 if it is unknown
	key   string   // the key of the number of blocks in config.json
}

// missingBlocks returns the blocks that are missing, and the missing weights of the other blocks.
func (w *weights) missingBlocks(b blocks, config []byte) (missing []string, err error) {
	found := map[int]bool{}
	prefix := prefixOf(b.under)
	for name := range w.refs {
		if block, index, _, ok := cutBlock(strings.TrimPrefix(name, prefix)); ok && prefix+block == b.under {
			if index >= maxBlocks {
				return nil, fmt.Errorf("checkpoint: %s: holds %s %d, want less than %d",
					w.path, b.title, index, maxBlocks)
			}
			found[index] = true
		}
	}
	highest := -1
	for index := range found {
		highest = max(highest, index)
	}
	count := highest + 1
	if b.count > 0 {
		if count > b.count {
			return nil, fmt.Errorf("checkpoint: %s: holds %s %d, a model of this width has %d of them",
				w.path, b.title, highest, b.count)
		}
		count = b.count
	}
	if declared, ok := configNumber(config, b.key); ok && declared < count {
		return nil, fmt.Errorf("checkpoint: %s: holds %d %ss, config.json says %s is %d",
			w.path, count, b.title, b.key, declared)
	}
	for i := range count {
		if !found[i] {
			missing = append(missing, fmt.Sprintf("%s %d", b.title, i))
			continue
		}
		for _, inner := range b.inner {
			if name := fmt.Sprintf("%s.%d.%s", b.under, i, inner); !w.has(name) {
				missing = append(missing, name)
			}
		}
	}
	return missing, nil
}

// prefixOf returns name up to and including its last dot.
func prefixOf(name string) string { return name[:strings.LastIndexByte(name, '.')+1] }

// configNumber returns the number with the given key in config. ok is false if there is none.
func configNumber(config []byte, key string) (int, bool) {
	var file map[string]any
	if json.Unmarshal(config, &file) != nil {
		return 0, false
	}
	n, ok := file[key].(float64)
	return int(n), ok && n >= 0 && n < 1<<20
}

func (w *weights) has(name string) bool {
	_, ok := w.refs[name]
	return ok
}

// missingOf returns the names for which w has no weight.
func (w *weights) missingOf(names ...string) (missing []string) {
	for _, name := range names {
		if !w.has(name) {
			missing = append(missing, name)
		}
	}
	return missing
}

func (w *weights) missingOfTransformer(s *size, config []byte) (missing []string, err error) {
	double := blocks{
		under: "transformer_blocks", title: "double block", inner: innerNames(doubleBlockNames), key: "num_layers",
	}
	single := blocks{
		under: "single_transformer_blocks", title: "single block", inner: innerNames(singleBlockNames),
		key: "num_single_layers",
	}
	if s != nil {
		double.count, single.count = s.doubleBlocks, s.singleBlocks
	}
	for _, to := range slices.Sorted(maps.Values(transformerNames)) {
		if !strings.Contains(to, "guidance_embedder") {
			missing = append(missing, w.missingOf(to+".weight")...)
		}
	}
	for _, b := range []blocks{double, single} {
		list, err := w.missingBlocks(b, config)
		if err != nil {
			return nil, err
		}
		missing = append(missing, list...)
	}
	return missing, nil
}

// innerNames returns the Diffusers names of a block's weights, sorted.
func innerNames(table map[string][]string) (list []string) {
	for _, parts := range table {
		for _, part := range parts {
			list = append(list, part+".weight")
		}
	}
	slices.Sort(list)
	return list
}

func (w *weights) missingOfTextEncoder(s *size, config []byte) (missing []string, err error) {
	layers := blocks{under: "model.layers", title: "layer", key: "num_hidden_layers"}
	for _, name := range slices.Sorted(maps.Keys(qwen3Layers)) {
		layers.inner = append(layers.inner, name+".weight")
	}
	if s != nil {
		layers.count = s.textLayers
	}
	list, err := w.missingBlocks(layers, config)
	return append(w.missingOf("model.embed_tokens.weight", "model.norm.weight"), list...), err
}

// The number of levels of the autoencoder, and of ResNet blocks of each level in the encoder. The decoder's levels have
// one more.
const (
	vaeLevels         = 4
	vaeLayersPerBlock = 2
)

func (w *weights) missingOfVAE() (missing []string) {
	missing = append(w.missingOfHalf("encoder", vaeLayersPerBlock, true),
		w.missingOfHalf("decoder", vaeLayersPerBlock+1, true)...)
	for _, name := range []string{"quant_conv", "post_quant_conv"} {
		missing = append(missing, w.missingOf(name+".weight", name+".bias")...)
	}
	return append(missing, w.missingOf("bn.running_mean", "bn.running_var")...)
}

// missingOfHalf returns what is missing of the encoder or the decoder, whose levels have so many ResNet blocks.
// attention says whether its middle block has one.
func (w *weights) missingOfHalf(half string, layers int, attention bool) (missing []string) {
	want := func(names ...string) {
		for _, name := range names {
			missing = append(missing, w.missingOf(name+".weight", name+".bias")...)
		}
	}
	names := w.Names()
	resnet := func(name string) {
		if !slices.ContainsFunc(names, func(n string) bool { return strings.HasPrefix(n, name+".") }) {
			missing = append(missing, name)
			return
		}
		want(name+".norm1", name+".conv1", name+".norm2", name+".conv2")
		if conv := name + ".conv1.weight"; w.dim(conv, 0) != w.dim(conv, 1) {
			want(name + ".conv_shortcut")
		}
	}
	level, sampler := half+".down_blocks", "downsamplers"
	if half == "decoder" {
		level, sampler = half+".up_blocks", "upsamplers"
	}
	want(half+".conv_in", half+".conv_norm_out", half+".conv_out")
	for i := range vaeLevels {
		for j := range layers {
			resnet(fmt.Sprintf("%s.%d.resnets.%d", level, i, j))
		}
		if i < vaeLevels-1 {
			want(fmt.Sprintf("%s.%d.%s.0.conv", level, i, sampler))
		}
	}
	resnet(half + ".mid_block.resnets.0")
	resnet(half + ".mid_block.resnets.1")
	if attention {
		for _, name := range slices.Sorted(maps.Values(vaeAttentionNames)) {
			want(half + ".mid_block.attentions.0." + name)
		}
	}
	return missing
}
