package checkpoint

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
)

// openFiles opens single files, whose kinds it recognises by their tensors. It returns an error if they are no whole
// model. spec is the user's spec, for messages.
func openFiles(ctx context.Context, spec string, items []string) (*Checkpoint, error) {
	c, err := openParts(ctx, items)
	if err != nil {
		return nil, err
	}
	if err := c.checkParts(spec); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// openParts opens single files, which may be parts of a model only.
func openParts(ctx context.Context, items []string) (_ *Checkpoint, err error) {
	c := &Checkpoint{Layout: SingleFiles}
	defer func() {
		if err != nil {
			c.Close()
		}
	}()
	items, model, err := expandItems(ctx, items)
	if err != nil {
		return nil, err
	}
	for _, item := range items {
		if found, err := tokenizerItem(item); err != nil {
			return nil, err
		} else if found {
			if c.Tokenizer != "" {
				return nil, fmt.Errorf("checkpoint: %s: is a second tokenizer beside %s", item, c.Tokenizer)
			}
			c.Tokenizer = item
			continue
		}
		if err := c.addFile(ctx, item); err != nil {
			return nil, err
		}
	}
	if model != "" {
		if err := c.addModel(ctx, model); err != nil {
			return nil, err
		}
	}
	if c.VAE.set != nil {
		if err := c.useDecoder(); err != nil {
			return nil, err
		}
	}
	if c.Transformer.set != nil && c.Name == "" {
		file := filepath.Base(c.Transformer.set.Files()[0].Path())
		c.Name = strings.TrimSuffix(file, filepath.Ext(file))
		c.Hint = hintOf(file)
	}
	if c.Tokenizer == "" {
		c.Tokenizer = tokenizerBeside(items)
	}
	return c, nil
}

// addFile opens a weight file and sets the components of c that it holds.
func (c *Checkpoint) addFile(ctx context.Context, path string) error {
	set, err := openStore(ctx, path)
	if err != nil {
		return err
	}
	parts, err := recognise(set, path)
	if err != nil {
		set.Close()
		return fmt.Errorf("checkpoint: %s: %w", path, err)
	}
	for _, part := range parts {
		if p := c.place(part); p.set != nil {
			set.Close()
			return fmt.Errorf("checkpoint: %s: is a second %s beside %s", path, part, p.set.Files()[0].Path())
		}
	}
	for _, part := range parts {
		c.place(part).set = set
	}
	for _, part := range parts {
		if err := c.place(part).setWeights(set, path, part); err != nil {
			return err
		}
	}
	return nil
}

// checkParts returns an error if a network is missing, or if transformer and text encoder have different published
// sizes.
func (c *Checkpoint) checkParts(spec string) error {
	known := func(k kind) *size {
		if w, ok := c.component(k).Source.(*weights); ok {
			return sizeOf(w, k)
		}
		return nil
	}
	if c.VAE.set == nil {
		if err := c.useDecoder(); err != nil {
			return err
		}
	}
	for _, k := range []kind{transformer, vae, textEncoder} {
		if c.component(k).set == nil {
			s := cmp.Or(known(transformer), known(textEncoder), sizeNamed(filepath.Base(spec)))
			return fmt.Errorf("checkpoint: no %s among %s; %s is the usual one", k, spec, usualFile(k, s))
		}
	}
	t, e := known(transformer), known(textEncoder)
	if t != nil && e != nil && t != e {
		return fmt.Errorf("checkpoint: %s: is the text encoder of %s, but %s is a transformer of %s; get %s",
			c.TextEncoder.set.Files()[0].Path(), e.name, c.Transformer.set.Files()[0].Path(), t.name,
			usualFile(textEncoder, t))
	}
	return nil
}

// place returns the component that a part of a file becomes.
func (c *Checkpoint) place(p part) *Component {
	if p.decoder {
		return &c.decoder
	}
	return c.component(p.kind)
}

func (c *Checkpoint) component(k kind) *Component {
	switch k {
	case transformer:
		return &c.Transformer
	case vae:
		return &c.VAE
	}
	return &c.TextEncoder
}

// tokenizerItem reports whether an item of a spec is a tokenizer: a .json file that is not an index, or a folder with a
// tokenizer's files. It returns an error for a .json file that does not exist.
func tokenizerItem(item string) (bool, error) {
	if strings.HasSuffix(item, ".json") && !strings.HasSuffix(item, ".index.json") {
		if !exists(item) {
			return false, fmt.Errorf("checkpoint: %s: %s", item, missing(item))
		}
		return true, nil
	}
	return holdsTokenizer(item), nil
}

// tokenizerBeside returns the path of the first tokenizer in the folders of the files, or "".
func tokenizerBeside(items []string) string {
	for _, item := range items {
		dir := filepath.Dir(item)
		if path := filepath.Join(dir, "tokenizer.json"); exists(path) {
			return path
		}
		if path := filepath.Join(dir, "tokenizer"); holdsTokenizer(path) {
			return path
		}
	}
	return ""
}

// hintOf guesses the variant from the name of the transformer's file, since the tensors do not tell it.
func hintOf(file string) *VariantHint {
	lower := strings.ToLower(file)
	if strings.Contains(lower, "base") {
		return &VariantHint{Base: true, Sentence: fmt.Sprintf(
			"%s: taken for a base model because of its name; choose the variant distilled if that is wrong", file)}
	}
	if namesKV.MatchString(lower) {
		return &VariantHint{KV: true, Sentence: fmt.Sprintf("%s: taken for a distilled model with a reference cache "+
			"because of its name; choose the variant distilled if that is wrong", file)}
	}
	return &VariantHint{Sentence: fmt.Sprintf(
		"%s: taken for a distilled model because its name does not say base; "+
			"choose the variant base if that is wrong", file)}
}

// namesKV matches the names of models with a reference cache, such as flux-2-klein-9b-kv-fp8.safetensors.
var namesKV = regexp.MustCompile(`9b[-_. ]?kv([-_. ]?cache)?([^a-z]|$)`)
