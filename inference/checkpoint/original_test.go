package checkpoint

import (
	"slices"
	"strings"
	"testing"
)

// TestOriginalTransformer turns the names of every weight into original names, and these back by the table that reads
// files.
func TestOriginalTransformer(t *testing.T) {
	var names []string
	for _, to := range transformerNames {
		names = append(names, to+".weight")
	}
	for _, inner := range innerNames(doubleBlockNames) {
		names = append(names, "transformer_blocks.0."+inner, "transformer_blocks.12."+inner)
	}
	for _, inner := range innerNames(singleBlockNames) {
		names = append(names, "single_transformer_blocks.3."+inner)
	}
	slices.Sort(names)
	list, err := OriginalTransformer(names)
	if err != nil {
		t.Fatal(err)
	}
	read := originalTransformerNames("", nil)
	var back []string
	for _, s := range list {
		targets, ok := read(s.Name)
		if !ok || len(targets) != len(s.Weights) {
			t.Fatalf("%s: is read as %v, want %v", s.Name, targets, s.Weights)
		}
		for i, to := range targets {
			if to.name != s.Weights[i] || to.part != i || to.parts != len(s.Weights) || (to.form == swapHalves) != s.SwapHalves {
				t.Errorf("%s: part %d is read as %+v, want %s", s.Name, i, to, s.Weights[i])
			}
			back = append(back, to.name)
		}
	}
	if slices.Sort(back); !slices.Equal(back, names) {
		t.Errorf("%d weights come back, want %d", len(back), len(names))
	}
	for _, row := range []struct {
		name string
		list []string
		want string
	}{
		{"unknown layer", []string{"pooler.weight"}, "pooler"},
		{"unknown parameter", []string{"x_embedder.alpha"}, "x_embedder.alpha"},
		{"unknown block", []string{"layers.0.attn.to_q.weight"}, "layers.0"},
		{"part", []string{"transformer_blocks.0.attn.to_q.weight"}, "double_blocks.0.img_attn.qkv.weight: part 2 of 3"},
	} {
		if _, err := OriginalTransformer(row.list); err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: error %v, want one with %q", row.name, err, row.want)
		}
	}
}

func TestLlamaEncoder(t *testing.T) {
	names := []string{"model.embed_tokens.weight", "model.norm.weight"}
	for _, inner := range llamaLayers {
		names = append(names, "model.layers.7."+inner+".weight")
	}
	list, err := LlamaEncoder(names)
	if err != nil {
		t.Fatal(err)
	}
	read := llamaEncoderNames("", nil)
	for i, s := range list {
		targets, ok := read(s.Name)
		if !ok || len(targets) != 1 || targets[0].name != names[i] {
			t.Errorf("%s: is read as %v, want %s", s.Name, targets, names[i])
		}
	}
	for _, name := range []string{"lm_head.weight", "model.layers.0.mlp.gate_proj.bias", "model.layers.0.moe.weight"} {
		if _, err := LlamaEncoder([]string{name}); err == nil {
			t.Errorf("%s: is accepted", name)
		}
	}
}
