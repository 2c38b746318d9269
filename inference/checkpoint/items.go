package checkpoint

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"

	"kleinbild/inference/checkpoint/safetensors"
)

// expandItems puts, in a list of files, the weight files of a folder in the folder's place, and the index of a shard in the
// shard's. A folder of a whole Diffusers model, of which there may be one, is returned as model: it gives what the files do not.
func expandItems(ctx context.Context, items []string) (expanded []string, model string, err error) {
	add := func(path string) error {
		path, err := indexOf(path)
		if err == nil && !slices.Contains(expanded, path) {
			expanded = append(expanded, path)
		}
		return err
	}
	for _, item := range items {
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
			return nil, "", fmt.Errorf("checkpoint: %s: is a folder without .safetensors files", item)
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

// shardName is what tools call the parts of a model in several files.
var shardName = regexp.MustCompile(`^(.+)-(\d{5})-of-(\d{5})(\.safetensors)$`)

// indexOf returns the index that a shard belongs to, and any other path as it is.
func indexOf(path string) (string, error) {
	m := shardName.FindStringSubmatch(filepath.Base(path))
	if m == nil || m[3] == "00001" {
		return path, nil
	}
	index := filepath.Join(filepath.Dir(path), m[1]+m[4]+".index.json")
	if !exists(index) {
		return "", fmt.Errorf("checkpoint: %s: is one of %s files; %s, which lists them, %s", path, m[3], index, missing(index))
	}
	return index, nil
}

// addModel takes from a Diffusers folder the components that c lacks, and its tokenizer.
func (c *Checkpoint) addModel(ctx context.Context, dir string) error {
	f := folder{files: os.DirFS(dir), dir: dir}
	for _, part := range diffusersParts {
		p := c.component(part.kind)
		if p.set != nil {
			continue
		}
		name, err := f.weightsName(part.folder, part.weightsName)
		if err != nil {
			return err
		}
		set, err := f.openSet(ctx, name)
		if err != nil {
			return err
		}
		p.set = set
		if err := p.take(set, f.path(name), partOf(part.kind)); err != nil {
			return err
		}
	}
	if tokenizer := f.path("tokenizer"); c.Tokenizer == "" && holdsTokenizer(tokenizer) {
		c.Tokenizer = tokenizer
	}
	return nil
}

// partOf is a whole file of a Diffusers folder.
func partOf(k kind) part { return part{kind: k, names: diffusersNames} }

// take makes a part of set the component's weights, once nothing of it is missing.
func (p *Component) take(set *safetensors.Set, path string, from part) error {
	w, err := newWeights(set, path, from)
	if err != nil {
		return err
	}
	p.Source = w
	return w.complete(from.kind, p.ConfigJSON)
}
