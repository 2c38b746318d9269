package checkpoint

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// complete checks by the names of its weights that nothing is missing, before shapes and numbers of blocks become a config: a
// file that lost its last block would pass for a smaller model. At published widths the numbers of blocks are known; at others
// those up to the highest number count. config is the text of config.json, nil where there is none.
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
		if config == nil { // a config says exactly what the stage then asks for
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
	return fmt.Errorf("checkpoint: %s: is incomplete: it lacks %s of the %s of %s; get %s again", w.path, first(missing, 4), k, which, usualFile(k, s))
}

// blocks looks at the numbered blocks under a name.
type blocks struct {
	under, title string
	inner        []string
	count        int    // as published, 0 for unknown
	key          string // of the number in a config
}

// missingBlocks names blocks that are missing altogether, and single weights of others.
func (w *weights) missingBlocks(b blocks, config []byte) (missing []string, err error) {
	found := map[int]bool{}
	for name := range w.refs {
		if block, index, _, ok := cutBlock(strings.TrimPrefix(name, prefixOf(b.under))); ok && prefixOf(b.under)+block == b.under {
			if index >= maxBlocks {
				return nil, fmt.Errorf("checkpoint: %s: holds %s %d, want less than %d", w.path, b.title, index, maxBlocks)
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
			return nil, fmt.Errorf("checkpoint: %s: holds %s %d, a model of this width has %d of them", w.path, b.title, highest, b.count)
		}
		count = b.count
	}
	if said, ok := configNumber(config, b.key); ok && said < count {
		return nil, fmt.Errorf("checkpoint: %s: holds %d %ss, config.json says %s is %d", w.path, count, b.title, b.key, said)
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

// prefixOf is all but the last word of a name, with its dot.
func prefixOf(name string) string { return name[:strings.LastIndexByte(name, '.')+1] }

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

// lacks lists the names that are not there.
func (w *weights) lacks(names ...string) (missing []string) {
	for _, name := range names {
		if !w.has(name) {
			missing = append(missing, name)
		}
	}
	return missing
}

func (w *weights) missingOfTransformer(s *size, config []byte) (missing []string, err error) {
	double := blocks{"transformer_blocks", "double block", innerNames(doubleBlockNames), 0, "num_layers"}
	single := blocks{"single_transformer_blocks", "single block", innerNames(singleBlockNames), 0, "num_single_layers"}
	if s != nil {
		double.count, single.count = s.doubleBlocks, s.singleBlocks
	}
	for _, to := range slices.Sorted(maps.Values(transformerNames)) {
		if !strings.Contains(to, "guidance_embedder") {
			missing = append(missing, w.lacks(to+".weight")...)
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

// innerNames lists the weights of a block by their Diffusers names.
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
	return append(w.lacks("model.embed_tokens.weight", "model.norm.weight"), list...), err
}

// The autoencoder's levels, and the number of ResNet blocks of each in the encoder; the decoder has one more.
const (
	vaeLevels         = 4
	vaeLayersPerBlock = 2
)

func (w *weights) missingOfVAE() (missing []string) {
	want := func(names ...string) {
		for _, name := range names {
			missing = append(missing, w.lacks(name+".weight", name+".bias")...)
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
	for _, half := range []string{"encoder", "decoder"} {
		level, sampler, layers := half+".down_blocks", "downsamplers", vaeLayersPerBlock
		if half == "decoder" {
			level, sampler, layers = half+".up_blocks", "upsamplers", vaeLayersPerBlock+1
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
		for _, name := range slices.Sorted(maps.Values(vaeAttentionNames)) {
			want(half + ".mid_block.attentions.0." + name)
		}
	}
	want("quant_conv", "post_quant_conv")
	return append(missing, w.lacks("bn.running_mean", "bn.running_var")...)
}
