package checkpoint

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"kleinbild/inference/checkpoint/safetensors"
)

// kind is what a network is.
type kind int

const (
	transformer kind = iota
	vae
	textEncoder
)

func (k kind) String() string {
	return [...]string{"transformer", "VAE", "text encoder"}[k]
}

// part is one network in a weight file. Most files hold one; all-in-one checkpoints hold up to three under prefixes.
type part struct {
	kind kind
	// prefix stands in front of the names that the kind's naming knows.
	prefix string
	names  naming
	// owns says whether a tensor of the file belongs to this part; nil means all of them do.
	owns func(name string) bool
}

// marks are tensors that every file of a kind and naming has, under whatever prefix the tool that saved it put in front. There
// are several for each, so that a file that lacks one is called incomplete rather than unknown.
var marks = []struct {
	tensor string
	kind   kind
	names  func(prefix string, set *safetensors.Set) naming
}{
	{"img_in.weight", transformer, originalTransformerNames},
	{"double_stream_modulation_img.lin.weight", transformer, originalTransformerNames},
	{"double_stream_modulation_txt.lin.weight", transformer, originalTransformerNames},
	{"x_embedder.weight", transformer, diffusersTransformerNames},
	{"double_stream_modulation_img.linear.weight", transformer, diffusersTransformerNames},
	{"decoder.mid.block_1.conv1.weight", vae, originalVAENames},
	{"encoder.mid.block_1.conv1.weight", vae, originalVAENames},
	{"decoder.mid_block.resnets.0.conv1.weight", vae, keepNames},
	{"encoder.mid_block.resnets.0.conv1.weight", vae, keepNames},
	{"embed_tokens.weight", textEncoder, textEncoderNames},
	{"layers.0.self_attn.q_norm.weight", textEncoder, textEncoderNames},
	{"layers.1.self_attn.q_norm.weight", textEncoder, textEncoderNames},
}

// keepNames is the naming of a component's file taken out of a Diffusers folder.
func keepNames(prefix string, _ *safetensors.Set) naming {
	return func(name string) ([]target, bool) {
		name, ok := strings.CutPrefix(name, prefix)
		return whole(name), ok
	}
}

// recognise tells by its tensors what a file holds and how its tensors are named: the parts in the order of their kinds. A file
// of another family is refused by its name. path is for messages.
func recognise(set *safetensors.Set, path string) ([]part, error) {
	names := set.Names()
	if len(names) == 0 {
		return nil, errors.New("holds no tensors")
	}
	if err := foreignFamily(set, path); err != nil {
		return nil, err
	}
	var parts []part
	for _, m := range marks {
		for _, name := range names {
			prefix, ok := strings.CutSuffix(name, m.tensor)
			if !ok || prefix != "" && !strings.HasSuffix(prefix, ".") {
				continue
			}
			if other := slices.IndexFunc(parts, func(p part) bool { return p.kind == m.kind }); other >= 0 {
				if parts[other].prefix == prefix {
					continue
				}
				return nil, fmt.Errorf("holds two networks of the kind %s, at %q and %q", m.kind, parts[other].prefix, prefix)
			}
			parts = append(parts, part{kind: m.kind, prefix: prefix, names: m.names(prefix, set)})
		}
	}
	if len(parts) == 0 {
		return nil, fmt.Errorf("is no FLUX.2 transformer, VAE or Qwen3 text encoder; it holds %s", first(names, 3))
	}
	slices.SortFunc(parts, func(a, b part) int { return cmp.Compare(a.kind, b.kind) })
	if len(parts) > 1 {
		return parts, shareOut(parts, names)
	}
	return parts, nil
}

// shareOut gives every tensor of an all-in-one checkpoint to one of its parts: by the longest prefix, else by the first word
// of the name, which covers what a tool keeps beside a network (text_encoders.qwen3_4b.logit_scale).
func shareOut(parts []part, names []string) error {
	owner := map[string]int{}
	var nobodys []string
	for _, name := range names {
		best, length := -1, -1
		for i, p := range parts {
			if strings.HasPrefix(name, p.prefix) && len(p.prefix) > length {
				best, length = i, len(p.prefix)
			}
		}
		word, _, _ := strings.Cut(name, ".")
		for i, p := range parts {
			if root, _, _ := strings.Cut(p.prefix, "."); best < 0 && root == word {
				best = i
			}
		}
		if best < 0 {
			nobodys = append(nobodys, name)
			continue
		}
		owner[name] = best
	}
	if nobodys != nil {
		return fmt.Errorf("holds several networks and %d tensors of none of them: %s", len(nobodys), first(nobodys, 3))
	}
	for i := range parts {
		parts[i].owns = func(name string) bool { return owner[name] == i }
	}
	return nil
}
