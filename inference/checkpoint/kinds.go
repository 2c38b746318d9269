package checkpoint

import (
	"errors"
	"fmt"
	"strings"

	"kleinbild/inference/checkpoint/safetensors"
)

// kind is what a weight file holds.
type kind int

const (
	transformer kind = iota
	vae
	textEncoder
)

func (k kind) String() string {
	return [...]string{"transformer", "VAE", "text encoder"}[k]
}

// usualFile is the file that people have, for messages that ask for one.
func (k kind) usualFile() string {
	return [...]string{
		"flux-2-klein-4b.safetensors (bf16) or flux-2-klein-4b-fp8.safetensors",
		"flux2-vae.safetensors",
		"qwen_3_4b.safetensors (bf16)",
	}[k]
}

func allUsual() string {
	return strings.Join([]string{transformer.usualFile(), vae.usualFile(), textEncoder.usualFile()}, ", ")
}

// marks are tensors that every file of a kind and naming has, under whatever prefix the tool that saved it put in front.
var marks = []struct {
	tensor string
	kind   kind
	names  func(prefix string, set *safetensors.Set) naming
}{
	{"img_in.weight", transformer, originalTransformerNames},
	{"x_embedder.weight", transformer, keepNames},
	{"decoder.mid.block_1.conv1.weight", vae, originalVAENames},
	{"decoder.mid_block.resnets.0.conv1.weight", vae, keepNames},
	{"embed_tokens.weight", textEncoder, textEncoderNames},
}

// keepNames is the naming of a component's file taken out of a Diffusers folder.
func keepNames(prefix string, _ *safetensors.Set) naming {
	return func(name string) ([]target, bool) {
		name, ok := strings.CutPrefix(name, prefix)
		return whole(name), ok
	}
}

// recognise tells by its tensors what a file is and how its tensors are named.
func recognise(set *safetensors.Set) (kind, naming, error) {
	names := set.Names()
	for _, m := range marks {
		for _, name := range names {
			prefix, ok := strings.CutSuffix(name, m.tensor)
			if ok && (prefix == "" || strings.HasSuffix(prefix, ".")) {
				return m.kind, m.names(prefix, set), nil
			}
		}
	}
	for _, name := range names {
		if strings.Contains(name, "lora_") {
			return 0, nil, fmt.Errorf("is a LoRA (%s …), want a transformer, a VAE or a text encoder", name)
		}
	}
	if len(names) == 0 {
		return 0, nil, errors.New("holds no tensors")
	}
	return 0, nil, fmt.Errorf("is no FLUX.2 transformer, VAE or Qwen3 text encoder; it holds %s", first(names, 3))
}
