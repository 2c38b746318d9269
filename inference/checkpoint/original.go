package checkpoint

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// This file is the opposite of names.go: it says of which weights, by their Diffusers names, a file with other names
// consists.

// Stacked is a tensor of a file that is made of weights: their rows lie one after the other.
type Stacked struct {
	Name    string   // in the file
	Weights []string // Diffusers names
	// SwapHalves says that the first and the second half of the rows are exchanged in the file.
	SwapHalves bool
}

// OriginalTransformer returns the tensors of a transformer's file with the original names, for the Diffusers names of
// its weights, in the order of the names. It returns an error for a name that a FLUX.2 [klein] transformer does not
// have, and if a part of a fused projection is missing.
func OriginalTransformer(names []string) ([]Stacked, error) {
	file := map[string]*Stacked{}
	for _, name := range names {
		layer, parameter := cutLast(name)
		original, at, parts := originalLayer(layer)
		if original == "" || parameter != "weight" && parameter != "bias" {
			return nil, fmt.Errorf("checkpoint: %.100q is not a weight of a FLUX.2 [klein] transformer", name)
		}
		if strings.HasSuffix(original, "_norm") {
			parameter = "scale"
		}
		original += "." + parameter
		if file[original] == nil {
			file[original] = &Stacked{Name: original, Weights: make([]string, parts)}
		}
		file[original].Weights[at] = name
		file[original].SwapHalves = layer == transformerNames["final_layer.adaLN_modulation.1"]
	}
	var list []Stacked
	for _, name := range slices.Sorted(maps.Keys(file)) {
		s := file[name]
		if at := slices.Index(s.Weights, ""); at >= 0 {
			return nil, fmt.Errorf("checkpoint: %s: part %d of %d is missing", name, at+1, len(s.Weights))
		}
		list = append(list, *s)
	}
	return list, nil
}

// originalLayer returns the original name of a layer of the transformer, and which of the parts of that it is. The name
// is "" if there is no such layer.
func originalLayer(layer string) (original string, at, parts int) {
	block, index, inner, isBlock := cutBlock(layer)
	if !isBlock {
		for from, to := range transformerNames {
			if to == layer {
				return from, 0, 1
			}
		}
		return "", 0, 0
	}
	for _, row := range []struct {
		diffusers, original string
		names               map[string][]string
	}{
		{"transformer_blocks", "double_blocks", doubleBlockNames},
		{"single_transformer_blocks", "single_blocks", singleBlockNames},
	} {
		if row.diffusers != block {
			continue
		}
		for from, to := range row.names {
			if at := slices.Index(to, inner); at >= 0 {
				return row.original + "." + strconv.Itoa(index) + "." + from, at, len(to)
			}
		}
	}
	return "", 0, 0
}

// LlamaEncoder returns the tensors of a text encoder's GGUF file with the names of llama.cpp, for the Diffusers names
// of its weights, in the order of these names. It returns an error for a name that a Qwen3 does not have.
func LlamaEncoder(names []string) ([]Stacked, error) {
	var list []Stacked
	for _, name := range names {
		llama := llamaTensor(name)
		if llama == "" {
			return nil, fmt.Errorf("checkpoint: %.100q is not a weight of a Qwen3 text encoder", name)
		}
		list = append(list, Stacked{Name: llama, Weights: []string{name}})
	}
	return list, nil
}

// llamaTensor returns the name in llama.cpp's files of a text encoder's weight, or "" if there is none.
func llamaTensor(name string) string {
	switch name {
	case "model.embed_tokens.weight":
		return "token_embd.weight"
	case "model.norm.weight":
		return "output_norm.weight"
	}
	layer, parameter := cutLast(strings.TrimPrefix(name, "model."))
	block, index, inner, ok := cutBlock(layer)
	if !ok || block != "layers" || parameter != "weight" {
		return ""
	}
	for from, to := range llamaLayers {
		if to == inner {
			return "blk." + strconv.Itoa(index) + "." + from + ".weight"
		}
	}
	return ""
}
