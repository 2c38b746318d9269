package checkpoint

import "strings"

// size is a published size of the family. It is recognised by its widths.
type size struct {
	name string
	// hidden is the width of the transformer, context that of the prompt embeds that it reads.
	hidden, context            int
	doubleBlocks, singleBlocks int
	// textHidden is the width of the text encoder, textLayers the number of its layers.
	textHidden, textLayers int
	// usual are the names of the usual files, by kind, for messages.
	usual [3]string
}

var sizes = []size{
	{"4B", 3072, 7680, 5, 20, 2560, 36, [3]string{
		"flux-2-klein-4b.safetensors (bf16) or flux-2-klein-4b-fp8.safetensors", vaeFileName, "qwen_3_4b.safetensors (bf16)",
	}},
	{"9B", 4096, 12288, 8, 24, 4096, 36, [3]string{
		"flux-2-klein-9b.safetensors (bf16) or flux-2-klein-9b-fp8.safetensors", vaeFileName, "qwen_3_8b.safetensors (bf16)",
	}},
}

const vaeFileName = "flux2-vae.safetensors"

// sizeOf returns the published size with the widths of w, or nil if there is none. It is always nil for a VAE, which is
// the same for all sizes.
func sizeOf(w *weights, k kind) *size {
	for i, s := range sizes {
		switch {
		case k == transformer && w.dim("x_embedder.weight", 0) == s.hidden,
			k == transformer && w.dim("context_embedder.weight", 1) == s.context,
			k == textEncoder && w.dim("model.embed_tokens.weight", 1) == s.textHidden:
			return &sizes[i]
		}
	}
	return nil
}

// sizeNamed guesses the size from a file's name, for formats whose tensors are not read. It returns nil if the name
// tells none.
func sizeNamed(file string) *size {
	for i, s := range sizes {
		lower := strings.ToLower(file)
		if strings.Contains(lower, strings.ToLower(s.name)) || s.name == "9B" && strings.Contains(lower, "8b") {
			return &sizes[i]
		}
	}
	return nil
}

// usualFile returns the usual files of a kind for size s, for messages. If s is nil, it returns those of all sizes.
func usualFile(k kind, s *size) string {
	if s != nil {
		return s.usual[k]
	}
	if k == vae {
		return vaeFileName
	}
	var list []string
	for _, s := range sizes {
		list = append(list, s.usual[k]+" for "+s.name)
	}
	return strings.Join(list, ", ")
}

// allUsual returns the usual files of a whole model of size s, or of the smallest size if s is nil.
func allUsual(s *size) string {
	if s == nil {
		s = &sizes[0]
	}
	return strings.Join(s.usual[:], ", ")
}
