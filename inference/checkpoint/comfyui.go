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

	"github.com/kleinbild/kleinbild/inference/checkpoint/gguf"
)

// ComfyUIVariable is the environment variable with the path of ComfyUI's folder, if it is in an unusual place.
const ComfyUIVariable = "COMFYUI_PATH"

// folderNames are the folders below models in which ComfyUI, Forge, SwarmUI and Stability Matrix keep each kind of
// file: diffusion_models (formerly unet), text_encoders (formerly clip), Forge's text_encoder, vae, and for all-in-one
// files checkpoints and Stable-diffusion. The names are spelled as plainName returns them.
var folderNames = map[kind][]string{
	transformer: {"diffusionmodels", "unet", "checkpoints", "stablediffusion"},
	textEncoder: {"textencoders", "clip", "textencoder"},
	vae:         {"vae"},
	adapter:     {"loras", "lora"},
}

// folderNamesShown are the names of these folders in messages.
var folderNamesShown = map[kind]string{
	transformer: "diffusion_models, unet, checkpoints or Stable-diffusion", textEncoder: "text_encoders or clip",
	vae: "vae",
}

// plainName returns a folder's name in lower case and without dashes, underscores and spaces, which differ between
// programs.
func plainName(name string) string {
	return strings.NewReplacer("_", "", "-", "", " ", "").Replace(strings.ToLower(name))
}

// fileNameParts are texts of which one must occur in the path of a file below its kind's folder. The folders hold many
// models, and opening all of them would take long. The tensors of a file that matches are still checked.
var fileNameParts = map[kind][]string{
	transformer: {"klein"},
	textEncoder: {"qwen"},
	vae:         {"flux2", "flux.2", "flux-2", "full_encoder_small_decoder"},
}

// installation holds the folders of an installation of ComfyUI or a similar program, by the kind of file in them.
type installation struct {
	dir     string
	folders map[kind][]string
	// files are weight files whose names do not tell what they hold, and plain says that the names of all files in
	// folders do not.
	files map[kind][]string
	plain map[string]bool
	// skipped holds dir, with the reason, if its extra_model_paths.yaml cannot be read.
	skipped []Place
}

// installationAt returns the installation at dir, which has its folders in models or in dir itself. It includes the
// folders that an extra_model_paths.yaml in dir names. ok is false if there are no folders; err is then the error of an
// extra_model_paths.yaml that cannot be read.
func installationAt(dir string) (t installation, ok bool, err error) {
	t = installation{dir: dir, folders: map[kind][]string{}}
	defaults, others, err := extraPaths(dir)
	if err != nil {
		t.skipped = []Place{{dir, strings.TrimPrefix(err.Error(), "checkpoint: ")}}
	}
	for k := range folderNames {
		t.folders[k] = append(t.folders[k], defaults[k]...)
	}
	// ComfyUI's repositories on the hub have the folders in split_files.
	for _, models := range append(subfolders(dir, "models"), dir, filepath.Join(dir, "split_files")) {
		before := len(t.folders[transformer])
		for k, names := range folderNames {
			for _, name := range names {
				t.folders[k] = append(t.folders[k], subfolders(models, name)...)
			}
		}
		if len(t.folders[transformer]) > before {
			t.dir, ok = models, true
			break
		}
	}
	for k := range folderNames {
		t.folders[k] = append(t.folders[k], others[k]...)
		ok = ok || k != adapter && len(defaults[k])+len(others[k]) > 0
	}
	if ok {
		err = nil
	}
	return t, ok, err
}

// subfolders returns the paths of the folders and links in dir whose plain name is name.
func subfolders(dir, name string) (found []string) {
	list, _ := readDir(dir, maxListed)
	for _, e := range list {
		if plainName(e.Name()) == name && !e.Type().IsRegular() {
			found = append(found, filepath.Join(dir, e.Name()))
		}
	}
	return found
}

// openInstallation opens the first model of t.
func openInstallation(ctx context.Context, t installation) (*Checkpoint, error) {
	found, _, err := t.models(ctx)
	if len(found) == 0 {
		return nil, err
	}
	return open(ctx, found[0].Spec)
}

// candidate is a weight file that can be opened.
type candidate struct {
	path string
	// kinds are the networks in the file.
	kinds []kind
	// width is the width of the prompt embeds that the file's transformer reads or its text encoder makes.
	width int
	size  *size
	// bytes is the size of the file, or of all shards. read and card are what is read of the text encoder, as it is stored
	// and on a graphics card. hidden is the transformer's width.
	bytes, read, card int64
	hidden            int
	// other says that the text encoder is not the one that the transformers were trained with, though its shapes fit.
	other bool
}

func (c candidate) has(k kind) bool { return slices.Contains(c.kinds, k) }

// inspect returns what a weight file holds. The result is cached, as Judge's is.
func inspect(ctx context.Context, path string) (candidate, error) {
	return cached(ctx, "file "+path, func() (stamp, bool) { return stampOf(path) },
		func() (candidate, error) { return inspectNow(ctx, path) })
}

func inspectNow(ctx context.Context, path string) (candidate, error) {
	c := &Checkpoint{}
	defer c.Close()
	if err := c.addFile(ctx, path); err != nil {
		return candidate{}, err
	}
	found := candidate{path: path}
	for _, f := range c.files() {
		found.bytes += f.SizeBytes()
	}
	for _, k := range []kind{transformer, vae, textEncoder} {
		w, ok := c.component(k).Source.(*weights)
		if !ok {
			continue
		}
		found.kinds = append(found.kinds, k)
		switch k {
		case transformer:
			found.width, found.size = w.dim("context_embedder.weight", 1), sizeOf(w, k)
			found.hidden = w.dim("x_embedder.weight", 0)
		case textEncoder:
			w.each(func(m matrix) {
				found.read += m.bytes
				found.card += m.card
			})
			if width := 3 * w.dim(embeddingName, 1); found.width == 0 {
				found.width, found.size = width, sizeOf(w, k)
			}
			found.other = isOtherTraining(filepath.Base(path)) || hasOtherRope(w.set)
		}
	}
	return found, nil
}

// hasOtherRope reports whether the metadata of a text encoder's GGUF file has another base of RoPE than Qwen3-4B and
// Qwen3-8B. That of Qwen3-4B-2507, which Ollama and others also call Qwen3-4B, is 5,000,000.
func hasOtherRope(set store) bool {
	f, ok := set.(*gguf.File)
	if !ok {
		return false
	}
	base, ok := f.Number("qwen3.rope.freq_base")
	return ok && base != 1e6
}

// otherTraining is the reason for a text encoder that a search passes over.
const otherTraining = "has the shapes of the text encoder, but is a language model with another training; " +
	"name it with the other files to use it"

// models returns the models of an installation, distilled ones before base ones: each transformer with a text encoder
// (see encoderFor) and the first VAE. err says why no text encoder or VAE fits a transformer, or why there is no
// transformer. skipped holds the folders and links that could not be read.
func (t installation) models(ctx context.Context) (list []Found, skipped []Place, err error) {
	found, broken, skipped, err := t.candidates(ctx)
	if err != nil {
		return nil, nil, err
	}
	if len(found[transformer]) == 0 {
		return nil, skipped, t.noFile(transformer, nil, broken[transformer], skipped)
	}
	slices.SortStableFunc(found[transformer], func(a, b candidate) int { return isBase(a.path) - isBase(b.path) })
	for _, tr := range found[transformer] {
		files, why := []string{tr.path}, ""
		for _, k := range []kind{textEncoder, vae} {
			if tr.has(k) { // an all-in-one checkpoint
				continue
			}
			file := ""
			if k == textEncoder {
				file, why = encoderFor(tr, found[k], roomOf(ctx))
			} else if i := slices.IndexFunc(found[k], func(c candidate) bool { return len(c.kinds) == 1 }); i >= 0 {
				file = found[k][i].path
			}
			if file == "" {
				files = nil
				if len(found[k]) > 0 {
					err = fmt.Errorf("checkpoint: %s: embeds of width %d do not fit %s, want width %d; get %s",
						found[k][0].path, found[k][0].width, tr.path, tr.width, usualFile(k, tr.size))
				} else {
					err = t.noFile(k, tr.size, broken[k], skipped)
				}
				break
			}
			files = append(files, file)
		}
		if files != nil {
			list = append(list, Found{strings.Join(files, ","), why})
		}
	}
	return list, skipped, err
}

// encoderFor returns the text encoder for a transformer, "" if there is none. Of several with its width the largest
// file has lost least by quantisation: the largest that fits into the room is taken, or, if none does, the smallest.
// why says so. On a graphics card all take the same memory, since they are widened.
func encoderFor(tr candidate, encoders []candidate, room Room) (file, why string) {
	encoders = slices.DeleteFunc(slices.Clone(encoders), func(c candidate) bool {
		return len(c.kinds) > 1 || c.width != tr.width
	})
	if len(encoders) == 0 {
		return "", ""
	}
	slices.SortStableFunc(encoders, func(a, b candidate) int { return cmp.Compare(b.bytes, a.bytes) })
	i := slices.IndexFunc(encoders, func(c candidate) bool { return room.Fits(needOf(c.read, c.card, tr.hidden)) })
	name := func(i int) string { return filepath.Base(encoders[i].path) }
	switch n := len(encoders); {
	case n == 1:
		return encoders[0].path, ""
	case i < 0:
		return encoders[n-1].path, fmt.Sprintf("%s is the smallest of %d text encoders for it: none fits into %v",
			name(n-1), n, room)
	case i == 0:
		return encoders[0].path, fmt.Sprintf("%s is the largest of %d text encoders for it", name(0), n)
	default:
		return encoders[i].path, fmt.Sprintf("%s is the largest of %d text encoders for it that fits into %v",
			name(i), n, room)
	}
}

// candidates opens the weight files of an installation that may be of use. broken has an error for each kind of which a
// file did not open.
func (t installation) candidates(ctx context.Context) (
	found map[kind][]candidate, broken map[kind]error, skipped []Place, err error,
) {
	skipped = t.skipped
	found, broken = map[kind][]candidate{}, map[kind]error{}
	for _, k := range []kind{transformer, vae, textEncoder} {
		w, seen := walker{ctx: ctx, left: maxWalked}, map[string]bool{}
		paths := t.files[k]
		for _, folder := range t.folders[k] {
			wanted := func(name string) bool { return t.plain[folder] || hasFamilyName(name, k) }
			paths = append(paths, w.files(folder, wanted)...)
		}
		for _, path := range paths {
			if ctx.Err() != nil {
				return nil, nil, nil, context.Cause(ctx)
			}
			path, err := indexOf(path)
			if seen[path] && err == nil {
				continue // another shard of an index that was inspected
			}
			seen[path] = true
			var c candidate
			if err == nil {
				c, err = inspect(ctx, path)
			}
			switch {
			case err != nil:
				broken[k] = cmp.Or(broken[k], err)
			case k == textEncoder && c.other:
				skipped = append(skipped, Place{path, otherTraining})
			case c.has(k):
				found[k] = append(found[k], c)
			}
		}
		skipped = append(skipped, w.skipped...)
	}
	return found, broken, skipped, nil
}

// noFile returns the error for an installation without a file of kind k. broken, unless nil, is the error of a file
// that did not open; skipped holds the folders that could not be read.
func (t installation) noFile(k kind, s *size, broken error, skipped []Place) error {
	err := fmt.Errorf("checkpoint: %s: no %s in %s; %s is the usual one",
		t.dir, k, folderNamesShown[k], usualFile(k, s))
	if len(skipped) > 0 {
		err = fmt.Errorf("%w; %s %s", err, skipped[0].Where, skipped[0].Reason)
	}
	if broken != nil {
		err = fmt.Errorf("%w; %w", err, broken)
	}
	return err
}

// hasFamilyName reports whether path, in lower case and relative to the folder of kind k, contains a name of this
// family.
func hasFamilyName(path string, k kind) bool {
	return slices.ContainsFunc(fileNameParts[k], func(part string) bool { return strings.Contains(path, part) })
}

// isBase returns 1 if the file's name contains "base", and 0 otherwise, as a key for sorting.
func isBase(path string) int {
	if strings.Contains(strings.ToLower(filepath.Base(path)), "base") {
		return 1
	}
	return 0
}

// installationDirs returns the folders in which people and installers usually put ComfyUI, Forge and SwarmUI.
func installationDirs(env func(string) string) []string {
	list := []string{
		filepath.Join(xdg.Home, "ComfyUI"), filepath.Join(xdg.Home, "comfy", "ComfyUI"),
		filepath.Join(xdg.UserDirs.Documents, "ComfyUI"),
		filepath.Join(xdg.ConfigHome, "ComfyUI"), // holds extra_models_config.yaml of ComfyUI's desktop program
	}
	for _, name := range []string{"stable-diffusion-webui-forge", "sd-webui-forge-classic", "SwarmUI", "StableSwarmUI"} {
		list = append(list, filepath.Join(xdg.Home, name))
	}
	if runtime.GOOS == "windows" {
		list = append(list, filepath.Join(os.Getenv("APPDATA"), "ComfyUI"))
		for _, drive := range []string{os.Getenv("SystemDrive") + `\`, xdg.Home} {
			for _, name := range []string{"ComfyUI", `ComfyUI_windows_portable\ComfyUI`, `webui_forge\webui`,
				"stable-diffusion-webui-forge", "SwarmUI"} {
				list = append(list, filepath.Join(drive, name))
			}
		}
	}
	if dir := env(ComfyUIVariable); dir != "" {
		list = append([]string{ExpandHome(dir)}, list...)
	}
	return list
}

// modelsInInstallation returns the models of the installation at dir, and adds what could not be used to tried. If dir
// has no installation, it adds nothing.
func modelsInInstallation(ctx context.Context, dir string, tried *[]Place) []Found {
	t, ok, err := installationAt(dir)
	if !ok && err == nil {
		return nil
	}
	var found []Found
	if err == nil {
		var skipped []Place
		found, skipped, err = t.models(ctx)
		*tried = append(*tried, skipped...)
	}
	if err != nil {
		*tried = append(*tried, Place{dir, err.Error()})
	}
	return found
}
