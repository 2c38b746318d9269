package checkpoint

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/adrg/xdg"
)

// ComfyUIVariable is the environment variable that names a ComfyUI folder in an unusual place.
const ComfyUIVariable = "COMFYUI_PATH"

// comfyKinds are the folders in which ComfyUI keeps each kind of file, below models, under its new and its old name.
var comfyKinds = map[kind][]string{
	transformer: {"diffusion_models", "unet"},
	textEncoder: {"text_encoders", "clip"},
	vae:         {"vae"},
}

// comfyNames are parts of the names that these files are given. ComfyUI's folders hold many models, and opening all to
// look at their tensors would take long; what is in a file is checked all the same.
var comfyNames = map[kind][]string{
	transformer: {"klein"},
	textEncoder: {"qwen"},
	vae:         {"flux2", "flux.2", "flux-2", "full_encoder_small_decoder"},
}

// comfyModels returns the folder models of a ComfyUI installation, dir being that folder or the one it lies in.
func comfyModels(dir string) (string, bool) {
	for _, models := range []string{filepath.Join(dir, "models"), dir} {
		for _, name := range comfyKinds[transformer] {
			if exists(filepath.Join(models, name)) {
				return models, true
			}
		}
	}
	return "", false
}

// openComfyUI opens the first model in a ComfyUI's models.
func openComfyUI(models string) (*Checkpoint, error) {
	specs, err := comfySpecs(models)
	if len(specs) == 0 {
		return nil, err
	}
	return open(specs[0])
}

// comfySpecs lists the transformers in a ComfyUI's models, each with the first text encoder and VAE that fit it, as specs
// for Open: distilled models before base models. The error says why there is none.
func comfySpecs(models string) (specs []string, err error) {
	found := map[kind][]string{}
	for _, k := range []kind{transformer, vae, textEncoder} {
		files, err := comfyFiles(models, k)
		if err != nil {
			return nil, err
		}
		if len(files) == 0 {
			return nil, fmt.Errorf("checkpoint: %s: no %s in %s; %s is the usual one", models, k, strings.Join(comfyKinds[k], " or "), usualFile(k, sizeNamed(filepath.Base(cmp.Or(append(found[transformer], "")...)))))
		}
		found[k] = files
	}
	slices.SortStableFunc(found[transformer], func(a, b string) int { return isBase(a) - isBase(b) })
	for _, t := range found[transformer] {
		spec, reason := comfySpec(t, found[textEncoder], found[vae])
		if reason != nil {
			err = reason
			continue
		}
		specs = append(specs, spec)
	}
	return specs, err
}

func comfySpec(transformer string, encoders, vaes []string) (spec string, err error) {
	for _, e := range encoders {
		for _, v := range vaes {
			files := []string{transformer, e, v}
			spec := strings.Join(files, ",")
			c, reason := openFiles(spec, files)
			if reason == nil {
				if reason = errors.Join(fits(c), c.Close()); reason == nil {
					return spec, nil
				}
			}
			err = reason
		}
	}
	return "", err
}

// fits says whether the text encoder's states are as wide as the transformer expects them: 4B and 9B lie side by side.
func fits(c *Checkpoint) error {
	embed, err := c.TextEncoder.Source.Tensor("model.embed_tokens.weight")
	if err != nil {
		return err
	}
	context, err := c.Transformer.Source.Tensor("context_embedder.weight")
	if err != nil {
		return err
	}
	if len(embed.Shape) != 2 || len(context.Shape) != 2 || 3*embed.Shape[1] != context.Shape[1] {
		return fmt.Errorf("checkpoint: %s: embeds of shape %v do not fit the %v of %s", c.TextEncoder.set.Files()[0].Path(), embed.Shape, context.Shape, c.Transformer.set.Files()[0].Path())
	}
	return nil
}

func isBase(path string) int {
	if strings.Contains(strings.ToLower(filepath.Base(path)), "base") {
		return 1
	}
	return 0
}

// comfyFiles lists the files of a kind below models, in the order of their paths.
func comfyFiles(models string, k kind) (files []string, err error) {
	for _, folder := range comfyKinds[k] {
		err := filepath.WalkDir(filepath.Join(models, folder), func(path string, d fs.DirEntry, err error) error {
			name := strings.ToLower(filepath.Base(path))
			switch {
			case errors.Is(err, fs.ErrNotExist):
				return nil
			case err != nil:
				return err
			case !d.IsDir() && strings.HasSuffix(name, ".safetensors") && slices.ContainsFunc(comfyNames[k], func(part string) bool { return strings.Contains(name, part) }):
				files = append(files, path)
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("checkpoint: %w", err)
		}
	}
	return files, nil
}

// comfyUIs lists where people have ComfyUI, and where its installers put it.
func comfyUIs(env func(string) string) []string {
	list := []string{
		filepath.Join(xdg.Home, "ComfyUI"), filepath.Join(xdg.Home, "comfy", "ComfyUI"), filepath.Join(xdg.UserDirs.Documents, "ComfyUI"),
	}
	if runtime.GOOS == "windows" {
		for _, drive := range []string{os.Getenv("SystemDrive") + `\`, xdg.Home} {
			list = append(list, filepath.Join(drive, "ComfyUI"), filepath.Join(drive, "ComfyUI_windows_portable", "ComfyUI"))
		}
	}
	if dir := env(ComfyUIVariable); dir != "" {
		list = append([]string{dir}, list...)
	}
	return list
}

// usableInComfyUI gives the models in dir; that there is no ComfyUI is nothing to mention.
func usableInComfyUI(dir string, tried *[]Place) []string {
	models, ok := comfyModels(dir)
	if !ok {
		return nil
	}
	specs, err := comfySpecs(models)
	if err != nil {
		*tried = append(*tried, Place{dir, err.Error()})
	}
	return specs
}
