package checkpoint

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/kleinbild/kleinbild/inference/checkpoint/gguf"
)

// kind is one of the three networks.
type kind int

const (
	transformer kind = iota
	vae
	textEncoder
	// adapter is no part of a model: only the folders of other programs know it.
	adapter
)

func (k kind) String() string {
	return [...]string{"transformer", "VAE", "text encoder", "adapter"}[k]
}

// part is a network in a weight file. Most files hold one; an all-in-one file holds up to three, each under a prefix.
type part struct {
	kind kind
	// prefix is the text before the names of the part's tensors. names expects and removes it.
	prefix string
	names  naming
	// decoder says that the part is the decoder of a VAE, without an encoder.
	decoder bool
	// includes reports whether a tensor of the file belongs to this part. If it is nil, all tensors do.
	includes func(name string) bool
	// unread, unless nil, reports whether a weight is not used by this program, so that its format does not matter.
	unread func(name string) bool
	// scaleOf, unless nil, returns the tensor that a tensor is the scale of, if it is one.
	scaleOf func(name string) (of string, ok bool)
}

func (p part) String() string {
	if p.decoder {
		return "decoder of a VAE"
	}
	return p.kind.String()
}

// signatures are tensors that every file of a kind and a naming has, after a prefix that depends on the program that
// saved the file. Each kind has several, so that a file that lacks one of them is recognised as incomplete.
var signatures = []struct {
	tensor string
	kind   kind
	names  func(prefix string, set store) naming
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
	{"token_embd.weight", textEncoder, llamaEncoderNames},
	{"blk.0.attn_q_norm.weight", textEncoder, llamaEncoderNames},
	{"blk.1.attn_q_norm.weight", textEncoder, llamaEncoderNames},
}

// keepNames returns the naming of a weight file from a Diffusers folder: it removes the prefix.
func keepNames(prefix string, _ store) naming {
	return func(name string) ([]target, bool) {
		name, ok := strings.CutPrefix(name, prefix)
		return whole(name), ok
	}
}

// recognise returns the parts that a file holds, by its tensors, in the order of their kinds. It returns an error for a
// file of another family, which it names. path is for messages.
func recognise(set store, path string) ([]part, error) {
	names := set.Names()
	if len(names) == 0 {
		return nil, errors.New("holds no tensors")
	}
	if err := foreignFamily(set, path); err != nil {
		return nil, err
	}
	if p, ok := bareDecoder(names); ok {
		return []part{p}, nil
	}
	var parts []part
	for _, m := range signatures {
		for _, name := range names {
			prefix, ok := strings.CutSuffix(name, m.tensor)
			if !ok || prefix != "" && !strings.HasSuffix(prefix, ".") {
				continue
			}
			if other := slices.IndexFunc(parts, func(p part) bool { return p.kind == m.kind }); other >= 0 {
				if parts[other].prefix == prefix {
					continue
				}
				return nil, fmt.Errorf("holds two networks of the kind %s, with the prefixes %q and %q",
					m.kind, parts[other].prefix, prefix)
			}
			p := part{kind: m.kind, prefix: prefix, names: m.names(prefix, set)}
			p.decoder = m.kind == vae && isDecoder(names, prefix)
			if m.kind == textEncoder {
				p.unread, p.scaleOf = isUnreadLayer, llamaScales(prefix)
			}
			parts = append(parts, p)
		}
	}
	if f, ok := set.(*gguf.File); ok && len(parts) == 0 {
		if architecture, ok := f.Text(architectureKey); ok {
			return nil, fmt.Errorf("is a GGUF file of the architecture %.40q, want a FLUX.2 [klein] transformer or a Qwen3 "+
				"text encoder", architecture)
		}
	}
	if len(parts) == 0 {
		return nil, fmt.Errorf("is not a FLUX.2 transformer, VAE or Qwen3 text encoder; it holds %s", first(names, 3))
	}
	slices.SortFunc(parts, func(a, b part) int { return cmp.Compare(a.kind, b.kind) })
	if len(parts) > 1 {
		return parts, assignTensors(parts, names)
	}
	return parts, nil
}

// assignTensors assigns each tensor of an all-in-one file to one of its parts: to the part with the longest prefix of
// the name, or, if no prefix matches, to the part whose prefix has the same first word, which is for tensors that
// programs store beside a network (text_encoders.qwen3_4b.logit_scale).
func assignTensors(parts []part, names []string) error {
	owner := map[string]int{}
	var unassigned []string
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
			unassigned = append(unassigned, name)
			continue
		}
		owner[name] = best
	}
	if unassigned != nil {
		return fmt.Errorf("holds several networks, and %d tensors that belong to none of them: %s",
			len(unassigned), first(unassigned, 3))
	}
	for i := range parts {
		parts[i].includes = func(name string) bool { return owner[name] == i }
	}
	return nil
}
