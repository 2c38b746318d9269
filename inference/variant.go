package inference

import (
	"fmt"
	"slices"

	"github.com/kleinbild/kleinbild/inference/checkpoint"
	"github.com/kleinbild/kleinbild/inference/flux2"
)

// Variant tells step-distilled models from base models, and those with a reference cache from those without.
type Variant string

const (
	Distilled Variant = "distilled"
	Base      Variant = "base"
	// KV models are distilled, and were trained to see references by keys and values that do not change with the steps:
	// see flux2.Transformer.CacheReferences. The scheme does not suit other models, nor other schemes these.
	KV Variant = "kv"
)

// Variants lists all variants.
var Variants = []Variant{Distilled, Base, KV}

// ParseVariant reads a variant. It also accepts "", which means the variant that the checkpoint names.
func ParseVariant(name string) (Variant, error) {
	if v := Variant(name); v == "" || slices.Contains(Variants, v) {
		return v, nil
	}
	return "", fmt.Errorf("variant %q, want distilled, base or kv", name)
}

// Guided says whether models of the variant take guidance. The others ignore it.
func (v Variant) Guided() bool { return v == Base }

// defaults returns the settings that the publisher recommends for the variant.
func (v Variant) defaults() (steps int, guidance float64) {
	if v == Base {
		return 50, 4
	}
	return 4, 1
}

// variantOf returns the variant that the user has chosen, that model_index.json says, or that the name of a file
// suggests, in this order. If it has to guess, it also returns a sentence that says so.
func variantOf(c *checkpoint.Checkpoint, override Variant) (Variant, []string) {
	switch {
	case override != "":
		return override, nil
	case c.Hint != nil && c.Hint.Base:
		return Base, []string{c.Hint.Sentence}
	case c.Hint != nil && c.Hint.KV:
		return KV, []string{c.Hint.Sentence}
	case c.Hint != nil:
		return Distilled, []string{c.Hint.Sentence}
	case c.Index.KV:
		return KV, nil
	case c.Index.IsDistilled != nil && *c.Index.IsDistilled:
		return Distilled, nil
	case c.Index.IsDistilled == nil:
		return Base, []string{fmt.Sprintf("%s: its model_index.json does not say is_distilled: "+
			"taken for a base model, as the reference does; choose the variant distilled if that is wrong", c.Name)}
	}
	return Base, nil
}

// families are the sizes of the published models.
var families = []struct {
	name                             string
	heads, double, single, contextIn int
}{
	{"FLUX.2 [klein] 4B", 24, 5, 20, 7680},
	{"FLUX.2 [klein] 9B", 32, 8, 24, 12288},
}

func familyOf(c flux2.Config) string {
	for _, f := range families {
		blocks := c.DoubleBlocks == f.double && c.SingleBlocks == f.single
		if blocks && c.Heads == f.heads && c.ContextDim == f.contextIn {
			return f.name
		}
	}
	return fmt.Sprintf("FLUX.2 [klein] of its own size: %d heads, %d + %d blocks",
		c.Heads, c.DoubleBlocks, c.SingleBlocks)
}
