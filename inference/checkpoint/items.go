package checkpoint

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"

	"github.com/kleinbild/kleinbild/inference/checkpoint/gguf"
)

// expandItems replaces, in the items of a spec, each folder by its weight files and each shard by its index. One item
// may be the folder of a whole Diffusers model, or Demo. It returns that as model: the components that the other items
// do not hold come from it.
func expandItems(ctx context.Context, items []string) (expanded []string, model string, err error) {
	add := func(path string) error {
		path, err := indexOf(path)
		if err == nil && !slices.Contains(expanded, path) {
			expanded = append(expanded, path)
		}
		return err
	}
	for _, item := range items {
		if item == Demo && !exists(item) {
			if model != "" {
				return nil, "", fmt.Errorf("checkpoint: %s: is a second model beside %s", item, model)
			}
			model = item
			continue
		}
		info, err := os.Stat(item)
		if err != nil || !info.IsDir() {
			if err := add(item); err != nil {
				return nil, "", err
			}
			continue
		}
		if isRepository(item) {
			if item, err = snapshotOf(ctx, item); err != nil {
				return nil, "", err
			}
		}
		files, err := weightFiles(item)
		switch {
		case err != nil:
			return nil, "", err
		case exists(filepath.Join(item, "model_index.json")):
			if model != "" {
				return nil, "", fmt.Errorf("checkpoint: %s: is a second model beside %s", item, model)
			}
			model = item
		case holdsTokenizer(item):
			expanded = append(expanded, item)
		case len(files) == 0:
			return nil, "", fmt.Errorf("checkpoint: %s: is a folder without .safetensors or .gguf files", item)
		}
		if model == item {
			continue
		}
		for _, file := range files {
			if err := add(file); err != nil {
				return nil, "", err
			}
		}
	}
	return expanded, model, nil
}

// shardName matches the names of shards.
var shardName = regexp.MustCompile(`^(.+)-(\d{5})-of-(\d{5})(\.safetensors)$`)

// indexOf returns the path of the index of a shard, and returns any other path unchanged.
func indexOf(path string) (string, error) {
	m := shardName.FindStringSubmatch(filepath.Base(path))
	if m == nil || m[3] == "00001" {
		return path, nil
	}
	index := filepath.Join(filepath.Dir(path), m[1]+m[4]+".index.json")
	if !exists(index) {
		return "", fmt.Errorf("checkpoint: %s: is one of %s files; %s, which lists them, %s",
			path, m[3], index, missing(index))
	}
	return index, nil
}

// addModel sets the components that c lacks from a Diffusers folder, or from the demo model, and the tokenizer if c has
// none. With the transformer it takes the model's name and variant.
func (c *Checkpoint) addModel(ctx context.Context, dir string) error {
	f := folder{files: os.DirFS(dir), dir: dir}
	if dir == Demo {
		f = demoFolder()
	}
	for _, part := range diffusersParts {
		p := c.component(part.kind)
		if p.set != nil {
			continue
		}
		if err := f.openComponent(ctx, p, part.folder, part.weightsName, part.kind); err != nil {
			return err
		}
		if part.kind == transformer {
			var err error
			if c.Index, err = f.readModelIndex("model_index.json"); err != nil {
				return err
			}
			if c.Name = folderName(dir); dir == Demo {
				c.Name = demoName
			}
		}
	}
	switch tokenizer := f.path("tokenizer"); {
	case c.Tokenizer != "":
	case dir == Demo:
		return c.useDemoTokenizer(f)
	case holdsTokenizer(tokenizer):
		c.Tokenizer = tokenizer
	}
	return nil
}

// partOf returns the part of a Diffusers folder's weight file: all of it, with unchanged names.
func partOf(k kind) part { return part{kind: k, names: diffusersNames} }

// setWeights makes a part of set the source of the component. It returns an error if weights are missing.
func (p *Component) setWeights(set store, path string, from part) error {
	w, err := newWeights(set, path, from)
	if err != nil {
		return err
	}
	p.Source = w
	if f, ok := set.(*gguf.File); ok && from.kind == textEncoder {
		if p.ConfigJSON, err = llamaConfig(f, w); err != nil {
			return err
		}
		p.ConfigPath = path
	}
	if from.decoder {
		return nil // how many layers it has is known when it is joined to a VAE
	}
	return w.complete(from.kind, p.ConfigJSON)
}
