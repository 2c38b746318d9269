package checkpoint

import (
	"context"
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"

	"github.com/adrg/xdg"

	"github.com/kleinbild/kleinbild/atomicfile"
)

// modelsInPieces returns the models whose networks lie in different places: a transformer in the Hugging Face cache or
// in the folders of ComfyUI and similar programs, the VAE beside it or in another of these places, and a text encoder
// there or among the models of LM Studio and Ollama. It leaves out the transformers of whole, which are models in one
// place. It removes from tried what is part of a model, and adds what was passed over.
func modelsInPieces(ctx context.Context, env func(string) string, whole []Found, tried *[]Place) []Found {
	found, skipped, _ := piecesOf(ctx, env).models(ctx)
	for _, p := range skipped {
		if !slices.Contains(*tried, p) {
			*tried = append(*tried, p)
		}
	}
	transformerOf := func(f Found) string { return itemsOf(f.Spec)[0] }
	found = slices.DeleteFunc(found, func(f Found) bool {
		return slices.ContainsFunc(whole, func(w Found) bool { return transformerOf(w) == transformerOf(f) })
	})
	*tried = slices.DeleteFunc(*tried, func(p Place) bool {
		return slices.ContainsFunc(found, func(f Found) bool {
			return strings.HasPrefix(f.Spec, p.Where+string(filepath.Separator))
		})
	})
	return found
}

// piecesOf returns the places of modelsInPieces as one installation.
func piecesOf(ctx context.Context, env func(string) string) installation {
	t := installation{
		folders: map[kind][]string{}, files: map[kind][]string{}, plain: map[string]bool{},
	}
	add := func(k kind, dir string) {
		if isDir(dir) {
			t.folders[k] = append(t.folders[k], dir)
		}
	}
	for _, hub := range hubs(env) {
		for _, repository := range repositoriesIn(hub) {
			snapshot, err := snapshotOf(ctx, repository)
			if err != nil {
				continue
			}
			for k, name := range map[kind]string{vae: "vae", textEncoder: "text_encoder"} {
				if dir := filepath.Join(snapshot, name); isDir(dir) {
					t.plain[dir] = true
					add(k, dir)
				}
			}
			if !exists(filepath.Join(snapshot, "model_index.json")) {
				add(transformer, snapshot)
			}
		}
		for _, repository := range encoderRepositories(hub) {
			if snapshot, err := newestSnapshot(repository); err == nil {
				t.plain[snapshot] = true
				add(textEncoder, snapshot)
			}
		}
	}
	for _, dir := range installationDirs(env) {
		if found, ok, err := installationAt(dir); ok && err == nil {
			for k, folders := range found.folders {
				t.folders[k] = append(t.folders[k], folders...)
			}
		}
	}
	if len(t.folders[transformer]) > 0 { // else the encoders need not be read
		for _, dir := range []string{".lmstudio", filepath.Join(".cache", "lm-studio")} {
			for _, encoder := range lmStudioEncoders(filepath.Join(xdg.Home, dir, "models")) {
				add(textEncoder, encoder)
			}
		}
		t.files[textEncoder] = ollamaEncoders(env)
	}
	return t
}

// isEncoderName reports whether a name is that of one of the two language models that are text encoders here.
func isEncoderName(name string) bool {
	plain := strings.ReplaceAll(strings.ToLower(name), "_", "-")
	return (strings.Contains(plain, "qwen3-4b") || strings.Contains(plain, "qwen3-8b")) && !isOtherTraining(name)
}

// otherTrainings are parts of the names of language models that have the shapes of Qwen3-4B or Qwen3-8B and other
// weights. The transformers were not trained with them.
var otherTrainings = []string{
	"2507", "instruct", "thinking", "embedding", "rerank", "guard", "-base", "coder", "deepseek", "ace15", "ace-step",
}

// isOtherTraining reports whether a name is that of a language model with the shapes, but without the weights, of a
// text encoder.
func isOtherTraining(name string) bool {
	name = strings.ReplaceAll(strings.ToLower(name), "_", "-")
	return slices.ContainsFunc(otherTrainings, func(part string) bool { return strings.Contains(name, part) })
}

// encoderRepositories returns the folders of text encoders in a Hugging Face cache.
func encoderRepositories(hub string) (dirs []string) {
	list, _ := readDir(hub, maxListed)
	for _, e := range list {
		if strings.HasPrefix(e.Name(), hubPrefix) && isEncoderName(e.Name()) {
			dirs = append(dirs, filepath.Join(hub, e.Name()))
		}
	}
	return dirs
}

// newestSnapshot returns the snapshot of a repository that refs/main names. It opens no model.
func newestSnapshot(repository string) (string, error) {
	commit, err := atomicfile.Read(filepath.Join(repository, "refs", "main"), maxRefBytes)
	if err != nil {
		return "", err
	}
	return filepath.Join(repository, "snapshots", filepath.Base(strings.TrimSpace(string(commit)))), nil
}

// lmStudioEncoders returns the folders of text encoders in LM Studio's folder of models, which has a folder for each
// publisher and in it one for each model.
func lmStudioEncoders(models string) (dirs []string) {
	publishers, _ := readDir(models, maxListed)
	for _, publisher := range publishers {
		list, _ := readDir(filepath.Join(models, publisher.Name()), maxListed)
		for _, e := range list {
			if isEncoderName(e.Name()) {
				dirs = append(dirs, filepath.Join(models, publisher.Name(), e.Name()))
			}
		}
	}
	return dirs
}

// ollamaEncoders returns the files of text encoders among Ollama's models. A model's manifest names the file with its
// weights by a digest.
func ollamaEncoders(env func(string) string) (files []string) {
	dir := ExpandHome(env("OLLAMA_MODELS"))
	if dir == "" {
		dir = filepath.Join(xdg.Home, ".ollama", "models")
	}
	manifests := filepath.Join(dir, "manifests", "registry.ollama.ai", "library", "qwen3")
	list, _ := readDir(manifests, maxListed)
	for _, e := range list {
		isSize := strings.HasPrefix(e.Name(), "4b") || strings.HasPrefix(e.Name(), "8b")
		if !isSize || isOtherTraining(e.Name()) {
			continue
		}
		text, err := atomicfile.Read(filepath.Join(manifests, e.Name()), maxConfigBytes)
		if err != nil {
			continue
		}
		var manifest struct {
			Layers []struct {
				MediaType string `json:"mediaType"`
				Digest    string `json:"digest"`
			} `json:"layers"`
		}
		if json.Unmarshal(text, &manifest) != nil {
			continue
		}
		for _, layer := range manifest.Layers {
			digest, ok := strings.CutPrefix(layer.Digest, "sha256:")
			if !ok || layer.MediaType != "application/vnd.ollama.image.model" || !isHex(digest) {
				continue
			}
			if file := filepath.Join(dir, "blobs", "sha256-"+digest); exists(file) {
				files = append(files, file)
			}
		}
	}
	return files
}

// isHex reports whether text has the form of a SHA-256 digest, so that it is safe in a path.
func isHex(text string) bool {
	return len(text) == 64 && strings.Trim(text, "0123456789abcdef") == ""
}
