package checkpoint

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"kleinbild/inference/checkpoint/safetensors"
)

// openFiles opens single files, told apart by their tensors; spec is what the user wrote.
func openFiles(spec string, items []string) (_ *Checkpoint, err error) {
	c := &Checkpoint{Layout: SingleFiles}
	defer func() {
		if err != nil {
			c.Close()
		}
	}()
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
		if err := c.addFile(item); err != nil {
			return nil, err
		}
	}
	for _, k := range []kind{transformer, vae, textEncoder} {
		if c.component(k).set == nil {
			return nil, fmt.Errorf("checkpoint: no %s among %s; %s is the usual one", k, spec, k.usualFile())
		}
	}
	file := filepath.Base(c.Transformer.set.Files()[0].Path())
	c.Name = strings.TrimSuffix(file, filepath.Ext(file))
	c.Hint = hintOf(file)
	if c.Tokenizer == "" {
		c.Tokenizer = tokenizerBeside(items)
	}
	return c, nil
}

// addFile opens a weight file and puts it where its tensors say.
func (c *Checkpoint) addFile(path string) error {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return fmt.Errorf("checkpoint: %s: is a folder; a list takes files, a folder stands alone", path)
	}
	set, err := safetensors.OpenSet(path)
	if err != nil {
		var other *safetensors.NotSafetensorsError
		if errors.As(err, &other) && other.GGUF {
			return fmt.Errorf("checkpoint: %s: is a GGUF file, which is not supported; get %s", path, allUsual())
		}
		return err
	}
	k, names, err := recognise(set)
	if err != nil {
		set.Close()
		return fmt.Errorf("checkpoint: %s: %w", path, err)
	}
	p := c.component(k)
	if p.set != nil {
		set.Close()
		return fmt.Errorf("checkpoint: %s: is a second %s beside %s", path, k, p.set.Files()[0].Path())
	}
	p.set = set
	p.Source, err = newWeights(set, path, k, names)
	return err
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

// tokenizerItem says whether an item of the list is a tokenizer: a tokenizer.json, or a folder that holds one.
func tokenizerItem(item string) (bool, error) {
	if strings.HasSuffix(item, ".json") && !strings.HasSuffix(item, ".index.json") {
		if !exists(item) {
			return false, fmt.Errorf("checkpoint: %s: is missing", item)
		}
		return true, nil
	}
	return holdsTokenizer(item), nil
}

// tokenizerBeside looks for a tokenizer in the folders of the files.
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

// hintOf guesses the variant from a transformer's file name, which is all there is.
func hintOf(file string) *VariantHint {
	if strings.Contains(strings.ToLower(file), "base") {
		return &VariantHint{true, fmt.Sprintf("%s: taken for a base model because of its name; --variant distilled says otherwise", file)}
	}
	return &VariantHint{false, fmt.Sprintf("%s: taken for a distilled model because its name does not say base; --variant base says otherwise", file)}
}
