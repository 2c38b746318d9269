package checkpoint

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/kleinbild/kleinbild/atomicfile"
)

// extraPathFiles are the files in which ComfyUI and its desktop program list further folders of models.
var extraPathFiles = []string{"extra_model_paths.yaml", "extra_models_config.yaml"}

// extraPaths returns the folders that the extraPathFiles in dir list, by kind: those of sections with is_default, and
// those of the others. Without such a file it returns none. A file has sections; a section may have a base_path, and
// for each kind of model one path, or several on lines of their own.
func extraPaths(dir string) (defaults, others map[kind][]string, err error) {
	defaults, others = map[kind][]string{}, map[kind][]string{}
	for _, name := range extraPathFiles {
		path := filepath.Join(dir, name)
		text, err := atomicfile.Read(path, maxExtraPathsBytes)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, nil, fmt.Errorf("checkpoint: %w", err)
		}
		var file yaml.Node
		if err := yaml.Unmarshal(text, &file); err != nil {
			return nil, nil, fmt.Errorf("checkpoint: %s: %w", path, err)
		}
		if len(file.Content) == 0 {
			continue // the file is empty or has only comments
		}
		sections := file.Content[0]
		if sections.Kind != yaml.MappingNode {
			return nil, nil, fmt.Errorf("checkpoint: %s: line %d: found no sections, want NAME: and its paths",
				path, sections.Line)
		}
		for i := 0; i+1 < len(sections.Content); i += 2 {
			readSection(dir, sections.Content[i+1], defaults, others)
		}
	}
	return defaults, others, nil
}

// readSection adds the paths of a section to defaults or others. If a key occurs twice, it adds the paths of both.
func readSection(dir string, section *yaml.Node, defaults, others map[kind][]string) {
	if section.Kind != yaml.MappingNode {
		return
	}
	var base string
	into := others
	for i := 0; i+1 < len(section.Content); i += 2 {
		switch value := section.Content[i+1]; section.Content[i].Value {
		case "base_path":
			base = strings.TrimSpace(value.Value)
		case "is_default":
			if isDefault := false; value.Decode(&isDefault) == nil && isDefault {
				into = defaults
			}
		}
	}
	for i := 0; i+1 < len(section.Content); i += 2 {
		key := plainName(section.Content[i].Value)
		for k, keys := range folderNames {
			if !slices.Contains(keys, key) {
				continue
			}
			for _, path := range lines(section.Content[i+1]) {
				if len(into[k]) == maxExtraPaths || len(base)+len(path) > maxPathBytes {
					continue
				}
				into[k] = append(into[k], extraPath(dir, base, path))
			}
		}
	}
}

// lines returns the paths of a value, which is a text with a path on each line, or a list.
func lines(n *yaml.Node) (paths []string) {
	var list []string
	var text string
	if n.Decode(&list) != nil && n.Decode(&text) == nil {
		list = strings.Split(text, "\n")
	}
	for _, p := range list {
		if p = strings.TrimSpace(p); p != "" {
			paths = append(paths, p)
		}
	}
	return paths
}

// extraPath joins a path and its section's base_path as ComfyUI does. base may begin with ~ and contain environment
// variables; a relative base is relative to dir, the folder of the file.
func extraPath(dir, base, path string) string {
	base = os.ExpandEnv(ExpandHome(base))
	path = filepath.FromSlash(path)
	switch {
	case filepath.IsAbs(path):
		return filepath.Clean(path)
	case base == "":
		return filepath.Join(dir, path)
	case filepath.IsAbs(base):
		return filepath.Join(base, path)
	}
	return filepath.Join(dir, base, path)
}
