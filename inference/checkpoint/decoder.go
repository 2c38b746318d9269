package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/kleinbild/kleinbild/inference/checkpoint/mapped"
)

// joinedFiles are the files of a VAE whose decoder lies in another file.
type joinedFiles struct {
	store
	decoder store
}

func (j joinedFiles) Files() []*mapped.File { return slices.Concat(j.store.Files(), j.decoder.Files()) }

func (j joinedFiles) Close() error { return errors.Join(j.store.Close(), j.decoder.Close()) }

// isDecoder reports whether a VAE with the given prefix before its names has a decoder only. names are all of the file.
func isDecoder(names []string, prefix string) bool {
	return !slices.ContainsFunc(names, func(name string) bool {
		return strings.HasPrefix(name, prefix+"encoder.") && !strings.HasPrefix(name, prefix+"encoder.quant_conv.")
	})
}

// bareDecoder returns the part of a file that holds a decoder whose names do not begin with "decoder.". ok is false for
// another file.
func bareDecoder(names []string) (p part, ok bool) {
	has := func(name string) bool { return slices.Contains(names, name) }
	if !has("conv_in.weight") {
		return p, false
	}
	p = part{kind: vae, decoder: true}
	const half = "decoder."
	var inner naming
	switch {
	case has("mid.block_1.conv1.weight") && has("up.0.block.0.conv1.weight") && !has("down.0.block.0.conv1.weight"):
		full := make([]string, len(names))
		for i, name := range names {
			full[i] = half + name
		}
		inner = originalVAENaming("", full)
	case has("mid_block.resnets.0.conv1.weight") && has("up_blocks.0.resnets.0.conv1.weight") &&
		!has("down_blocks.0.resnets.0.conv1.weight"):
		inner = diffusersNames
	default:
		return p, false
	}
	p.names = func(name string) ([]target, bool) {
		if strings.HasPrefix(name, "post_quant_conv.") {
			return whole(name), true
		}
		return inner(half + name)
	}
	return p, true
}

// useDecoder joins the decoder that a file of its own holds, if there is one, to the VAE of c: it replaces the VAE's
// decoder, and may have other widths. Encoder and normalisation stay.
func (c *Checkpoint) useDecoder() error {
	decoder, ok := c.decoder.Source.(*weights)
	if !ok {
		return nil
	}
	v, ok := c.VAE.Source.(*weights)
	if !ok {
		return fmt.Errorf("checkpoint: %s: is the decoder of a VAE alone, want a whole VAE beside it, such as %s",
			decoder.path, vaeFileName)
	}
	layers := 0
	for v.has(fmt.Sprintf("decoder.up_blocks.0.resnets.%d.conv1.weight", layers)) {
		layers++
	}
	attention := v.has("decoder.mid_block.attentions.0.to_q.weight")
	if lacks := decoder.missingOfHalf("decoder", layers, attention); len(lacks) > 0 {
		return fmt.Errorf("checkpoint: %s: is incomplete: it lacks %s of the decoder of a FLUX.2 VAE; get it again",
			decoder.path, first(lacks, 4))
	}
	joined := *v
	joined.refs = map[string]ref{}
	own := func(name string) bool {
		return strings.HasPrefix(name, "decoder.") ||
			strings.HasPrefix(name, "post_quant_conv.") && decoder.has("post_quant_conv.weight")
	}
	for name, r := range v.refs {
		if !own(name) {
			joined.refs[name] = r
		}
	}
	for name, r := range decoder.refs {
		if own(name) {
			joined.refs[name] = r
		}
	}
	joined.unscaled += decoder.unscaled
	c.VAE.Source, c.VAE.Decoder = &joined, decoder.path
	c.VAE.set = joinedFiles{c.VAE.set, c.decoder.set}
	c.decoder = Component{}
	return nil
}

// useVAE replaces the VAE of c by the one at path: a weight file; the file of a decoder alone, which joins the VAE's
// encoder; the folder of a VAE in the layout of Diffusers; or a folder that has such a folder vae.
func (c *Checkpoint) useVAE(ctx context.Context, path string) error {
	path = ExpandHome(path)
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("checkpoint: %s: %s", path, missing(path))
	}
	other := &Checkpoint{}
	if info.IsDir() {
		err = other.addVAEFolder(ctx, path)
	} else {
		err = other.addFile(ctx, path)
	}
	if err == nil && other.VAE.set == nil && other.decoder.set == nil {
		err = fmt.Errorf("checkpoint: %s: holds a %s, want a FLUX.2 VAE or its decoder, such as %s",
			path, other.holds(), vaeFileName)
	}
	if err != nil {
		return errors.Join(err, other.Close())
	}
	if other.VAE.set == nil {
		c.decoder = other.decoder
		return c.useDecoder()
	}
	old := storesOf(c.VAE.set)
	c.VAE = other.VAE
	for _, s := range old {
		if s != c.Transformer.set && s != c.TextEncoder.set { // as the file of all three is
			err = errors.Join(err, s.Close())
		}
	}
	return err
}

// storesOf returns the files of a component, each by itself, so that they can be compared with those of others.
func storesOf(s store) []store {
	switch s := s.(type) {
	case nil:
		return nil
	case joinedFiles:
		return append(storesOf(s.store), storesOf(s.decoder)...)
	}
	return []store{s}
}

// holds returns the kind of the first network in c.
func (c *Checkpoint) holds() kind {
	if c.Transformer.set != nil {
		return transformer
	}
	return textEncoder
}

// addVAEFolder opens the VAE in a folder of Diffusers.
func (c *Checkpoint) addVAEFolder(ctx context.Context, path string) error {
	for _, dir := range []string{filepath.Join(path, "vae"), path} {
		if exists(filepath.Join(dir, "config.json")) {
			root := folder{files: os.DirFS(filepath.Dir(dir)), dir: filepath.Dir(dir)}
			return root.openComponent(ctx, &c.VAE, filepath.Base(dir), "diffusion_pytorch_model", vae)
		}
	}
	return fmt.Errorf("checkpoint: %s: holds neither vae/config.json nor config.json, want a VAE of Diffusers",
		path)
}

// openWithVAE is like open, with the VAE at path in place of the model's. The files of spec may be without a VAE.
func openWithVAE(ctx context.Context, spec, path string) (*Checkpoint, error) {
	c, err := open(ctx, spec)
	if err != nil {
		if whole, joinedErr := openFiles(ctx, spec, append(itemsOf(spec), path)); joinedErr == nil {
			return whole, nil
		}
		return nil, err
	}
	if err := c.useVAE(ctx, path); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}
