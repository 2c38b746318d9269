package checkpoint

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/adrg/xdg"
)

// ComfyUIVariable is the environment variable that names a ComfyUI folder in an unusual place.
const ComfyUIVariable = "COMFYUI_PATH"

// uiFolders are the folders in which ComfyUI, Forge, SwarmUI and Stability Matrix keep each kind of file, below models, as
// plainName writes them: diffusion_models and its old name unet, text_encoders and clip, Forge's text_encoder, and the folders
// of whole checkpoints, checkpoints and Stable-diffusion.
var uiFolders = map[kind][]string{
	transformer: {"diffusionmodels", "unet", "checkpoints", "stablediffusion"},
	textEncoder: {"textencoders", "clip", "textencoder"},
	vae:         {"vae"},
}

// uiFoldersShown is what messages call them.
var uiFoldersShown = map[kind]string{
	transformer: "diffusion_models, unet, checkpoints or Stable-diffusion", textEncoder: "text_encoders or clip", vae: "vae",
}

// plainName is a folder's name without what differs between programs and systems: case, dashes and underlines.
func plainName(name string) string {
	return strings.NewReplacer("_", "", "-", "", " ", "").Replace(strings.ToLower(name))
}

// comfyNames are parts of the names that these files, or the folders that hold them, are given. The folders hold many models,
// and opening all to look at their tensors would take long; what is in a file is checked all the same.
var comfyNames = map[kind][]string{
	transformer: {"klein"},
	textEncoder: {"qwen"},
	vae:         {"flux2", "flux.2", "flux-2", "full_encoder_small_decoder"},
}

// tree is the folders of an installation, by kind.
type tree struct {
	dir     string
	folders map[kind][]string
	// skipped is a file of paths that cannot be read.
	skipped []Place
}

// uiTree returns the folders of the installation at dir: dir or the folder models in it, and what an extra_model_paths.yaml
// names. ok is false where there is none; err is of that file, where there is nothing else.
func uiTree(dir string) (t tree, ok bool, err error) {
	t = tree{dir: dir, folders: map[kind][]string{}}
	defaults, others, err := extraPaths(dir)
	if err != nil {
		t.skipped = []Place{{dir, strings.TrimPrefix(err.Error(), "checkpoint: ")}}
	}
	for k := range uiFolders {
		t.folders[k] = append(t.folders[k], defaults[k]...)
	}
	// split_files is how ComfyUI's own repositories of the hub hold the folders.
	for _, models := range append(subfolders(dir, "models"), dir, filepath.Join(dir, "split_files")) {
		before := len(t.folders[transformer])
		for k, names := range uiFolders {
			for _, name := range names {
				t.folders[k] = append(t.folders[k], subfolders(models, name)...)
			}
		}
		if len(t.folders[transformer]) > before {
			t.dir, ok = models, true
			break
		}
	}
	for k := range uiFolders {
		t.folders[k] = append(t.folders[k], others[k]...)
		ok = ok || len(defaults[k])+len(others[k]) > 0
	}
	if ok {
		err = nil
	}
	return t, ok, err
}

// subfolders lists the folders in dir, and links, whose plain name is name.
func subfolders(dir, name string) (found []string) {
	list, _ := readDir(dir, maxListed)
	for _, e := range list {
		if plainName(e.Name()) == name && !e.Type().IsRegular() {
			found = append(found, filepath.Join(dir, e.Name()))
		}
	}
	return found
}

// openTree opens the first model of an installation.
func openTree(ctx context.Context, t tree) (*Checkpoint, error) {
	specs, _, err := t.specs(ctx)
	if len(specs) == 0 {
		return nil, err
	}
	return open(ctx, specs[0])
}

// candidate is a weight file that opens.
type candidate struct {
	path string
	// kinds are the networks in it.
	kinds []kind
	// width is that of the prompt embeds that the transformer takes or the text encoder gives.
	width int
	size  *size
}

func (c candidate) has(k kind) bool { return slices.Contains(c.kinds, k) }

// look tells what is in a file; it is remembered as Judge's verdicts are.
func look(ctx context.Context, path string) (candidate, error) {
	return remembered(ctx, "file "+path, func() (stamp, bool) { return stampOf(path) }, func() (candidate, error) { return lookInto(ctx, path) })
}

func lookInto(ctx context.Context, path string) (candidate, error) {
	c := &Checkpoint{}
	defer c.Close()
	if err := c.addFile(ctx, path); err != nil {
		return candidate{}, err
	}
	found := candidate{path: path}
	for _, k := range []kind{transformer, vae, textEncoder} {
		w, ok := c.component(k).Source.(*weights)
		if !ok {
			continue
		}
		found.kinds = append(found.kinds, k)
		switch k {
		case transformer:
			found.width, found.size = w.dim("context_embedder.weight", 1), sizeOf(w, k)
		case textEncoder:
			if width := 3 * w.dim("model.embed_tokens.weight", 1); found.width == 0 {
				found.width, found.size = width, sizeOf(w, k)
			}
		}
	}
	return found, nil
}

// specs lists the transformers of an installation, each with the first text encoder and VAE that fit it, as specs for Open:
// distilled models before base models. The error says why a transformer has no such, or why there is none; skipped are
// folders and links that could not be read.
func (t tree) specs(ctx context.Context) (specs []string, skipped []Place, err error) {
	skipped = t.skipped
	found := map[kind][]candidate{}
	broken := map[kind]error{}
	for _, k := range []kind{transformer, vae, textEncoder} {
		w, seen := walker{ctx: ctx, left: maxWalked}, map[string]bool{}
		for _, folder := range t.folders[k] {
			for _, path := range w.files(folder, func(name string) bool { return named(name, k) }) {
				if ctx.Err() != nil {
					return nil, nil, context.Cause(ctx)
				}
				path, err := indexOf(path)
				if seen[path] && err == nil {
					continue // another shard
				}
				seen[path] = true
				var c candidate
				if err == nil {
					c, err = look(ctx, path)
				}
				switch {
				case err != nil:
					broken[k] = cmp.Or(broken[k], err)
				case c.has(k):
					found[k] = append(found[k], c)
				}
			}
		}
		skipped = append(skipped, w.skipped...)
	}
	if len(found[transformer]) == 0 {
		return nil, skipped, t.none(transformer, nil, broken[transformer], skipped)
	}
	slices.SortStableFunc(found[transformer], func(a, b candidate) int { return isBase(a.path) - isBase(b.path) })
	for _, tr := range found[transformer] {
		files := []string{tr.path}
		for _, k := range []kind{textEncoder, vae} {
			if tr.has(k) { // an all-in-one checkpoint
				continue
			}
			i := slices.IndexFunc(found[k], func(c candidate) bool { return len(c.kinds) == 1 && (k == vae || c.width == tr.width) })
			if i < 0 {
				files = nil
				if len(found[k]) > 0 {
					err = fmt.Errorf("checkpoint: %s: embeds of %d do not fit the %d of %s; get %s", found[k][0].path, found[k][0].width, tr.width, tr.path, usualFile(k, tr.size))
				} else {
					err = t.none(k, tr.size, broken[k], skipped)
				}
				break
			}
			files = append(files, found[k][i].path)
		}
		if files != nil {
			specs = append(specs, strings.Join(files, ","))
		}
	}
	return specs, skipped, err
}

// none says that there is no file of a kind, and what was found in its place.
func (t tree) none(k kind, s *size, broken error, skipped []Place) error {
	err := fmt.Errorf("checkpoint: %s: no %s in %s; %s is the usual one", t.dir, k, uiFoldersShown[k], usualFile(k, s))
	if len(skipped) > 0 {
		err = fmt.Errorf("%w; %s %s", err, skipped[0].Where, skipped[0].Reason)
	}
	if broken != nil {
		err = fmt.Errorf("%w; %w", err, broken)
	}
	return err
}

// named says whether a path below a kind's folder, in lower case, speaks of this family.
func named(path string, k kind) bool {
	return slices.ContainsFunc(comfyNames[k], func(part string) bool { return strings.Contains(path, part) })
}

func isBase(path string) int {
	if strings.Contains(strings.ToLower(filepath.Base(path)), "base") {
		return 1
	}
	return 0
}

// comfyUIs lists where people have ComfyUI, Forge and SwarmUI, and where their installers put them.
func comfyUIs(env func(string) string) []string {
	list := []string{
		filepath.Join(xdg.Home, "ComfyUI"), filepath.Join(xdg.Home, "comfy", "ComfyUI"), filepath.Join(xdg.UserDirs.Documents, "ComfyUI"),
		filepath.Join(xdg.ConfigHome, "ComfyUI"), // the desktop program's extra_models_config.yaml
	}
	for _, name := range []string{"stable-diffusion-webui-forge", "sd-webui-forge-classic", "SwarmUI", "StableSwarmUI"} {
		list = append(list, filepath.Join(xdg.Home, name))
	}
	if runtime.GOOS == "windows" {
		list = append(list, filepath.Join(os.Getenv("APPDATA"), "ComfyUI"))
		for _, drive := range []string{os.Getenv("SystemDrive") + `\`, xdg.Home} {
			for _, name := range []string{"ComfyUI", `ComfyUI_windows_portable\ComfyUI`, `webui_forge\webui`, "stable-diffusion-webui-forge", "SwarmUI"} {
				list = append(list, filepath.Join(drive, name))
			}
		}
	}
	if dir := env(ComfyUIVariable); dir != "" {
		list = append([]string{ExpandHome(dir)}, list...)
	}
	return list
}

// usableInComfyUI gives the models in dir; that there is no installation is nothing to mention.
func usableInComfyUI(ctx context.Context, dir string, tried *[]Place) []string {
	t, ok, err := uiTree(dir)
	if !ok && err == nil {
		return nil
	}
	var specs []string
	if err == nil {
		var skipped []Place
		specs, skipped, err = t.specs(ctx)
		*tried = append(*tried, skipped...)
	}
	if err != nil {
		*tried = append(*tried, Place{dir, err.Error()})
	}
	return specs
}
