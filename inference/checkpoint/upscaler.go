package checkpoint

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/kleinbild/kleinbild/inference/checkpoint/mapped"
	"github.com/kleinbild/kleinbild/inference/checkpoint/pth"
	"github.com/kleinbild/kleinbild/inference/tensor"
)

// Upscalers are the names of the entries of models' catalogue that enlarge pictures, the preferred one first. Each is a
// folder of ModelsDir with a file of the same name.
var Upscalers = []string{
	"realesr-general-x4v3", "realesrgan-x4plus", "realesrgan-x2plus", "realesrgan-x4plus-anime", "realesr-animevideov3",
}

// UpscalerFile returns the name of the file of one of Upscalers.
func UpscalerFile(name string) string { return name + ".pth" }

// upscalerFolders are the folders in which other programs keep such networks.
var upscalerFolders = []string{"upscale_models", "RealESRGAN", "ESRGAN"}

// NoUpscalerError says that no network that enlarges pictures was found. Name is what was asked for, or "".
type NoUpscalerError struct{ Name string }

func (e *NoUpscalerError) Error() string {
	get := "get one with: kleinbild models get " + Upscalers[0]
	if e.Name != "" {
		return fmt.Sprintf("checkpoint: no upscaler %q: want a .safetensors or .pth file, or a name that "+
			"kleinbild models list shows; %s", e.Name, get)
	}
	return "checkpoint: no upscaler was found; " + get
}

// FindUpscaler returns the path of a network that enlarges pictures. name is a path, the name of one of Upscalers, or
// that of a file in the folders of other programs, with or without its extension; "" takes the first of all: of
// Upscalers in ModelsDir, then of the files in folders of ComfyUI and similar programs. env returns variables of the
// environment. The error is a *NoUpscalerError if there is none.
func FindUpscaler(name string, env func(string) string) (string, error) {
	name = ExpandHome(name)
	if name != "" && (strings.ContainsAny(name, `/\`) || isUpscalerFile(name)) && exists(name) {
		return name, nil
	}
	for _, own := range Upscalers {
		path := filepath.Join(ModelsDir(), own, UpscalerFile(own))
		if (name == "" || strings.EqualFold(name, own)) && exists(path) {
			return path, nil
		}
	}
	found := foreignUpscalers(env)
	for _, path := range found {
		base := filepath.Base(path)
		if strings.EqualFold(name, base) || strings.EqualFold(name, strings.TrimSuffix(base, filepath.Ext(base))) {
			return path, nil
		}
	}
	if name == "" && len(found) > 0 {
		return found[0], nil
	}
	return "", &NoUpscalerError{name}
}

// ListUpscalers returns the paths of all networks that FindUpscaler finds, the one that it prefers first.
func ListUpscalers(env func(string) string) (paths []string) {
	for _, own := range Upscalers {
		if path := filepath.Join(ModelsDir(), own, UpscalerFile(own)); exists(path) {
			paths = append(paths, path)
		}
	}
	return append(paths, foreignUpscalers(env)...)
}

// foreignUpscalers returns the files in the folders of other programs: those of Upscalers first, the others by name.
func foreignUpscalers(env func(string) string) (found []string) {
	for _, dir := range installationDirs(env) {
		for _, models := range append(subfolders(dir, "models"), dir) {
			for _, kind := range upscalerFolders {
				for _, folder := range subfolders(models, strings.ToLower(strings.ReplaceAll(kind, "_", ""))) {
					list, _ := readDir(folder, maxListed)
					for _, e := range list {
						if isUpscalerFile(e.Name()) {
							found = append(found, filepath.Join(folder, e.Name()))
						}
					}
				}
			}
		}
	}
	rank := func(path string) int {
		base := filepath.Base(path)
		i := slices.IndexFunc(Upscalers, func(name string) bool {
			return strings.EqualFold(strings.TrimSuffix(base, filepath.Ext(base)), name)
		})
		if i < 0 {
			return len(Upscalers)
		}
		return i
	}
	slices.SortStableFunc(found, func(a, b string) int { return rank(a) - rank(b) })
	return found
}

func isUpscalerFile(name string) bool {
	ext := strings.ToLower(filepath.Ext(name))
	return ext == ".safetensors" || ext == ".pth" || ext == ".pt"
}

// maxUpscalerBytes bounds the values of a network that enlarges pictures: RRDBNet with 23 blocks has 67 MB.
const maxUpscalerBytes = 256 << 20

// upscalerRoots are the dictionaries in which trainers save a network, the preferred one first: the average of its
// weights over the training's steps is better than the last ones.
var upscalerRoots = []string{"params_ema.", "params.", "state_dict.", "model_state_dict."}

// ReadUpscaler reads the tensors of a network that enlarges pictures into memory, so that the file may change
// afterwards: of a .safetensors file, or of one that torch.save has written, by its content. Names come without the
// root. digest is the SHA-256 of the file in hexadecimal. Errors name the file. If ctx has ended, ReadUpscaler returns
// its cause.
func ReadUpscaler(ctx context.Context, path string) (src tensor.Source, digest string, err error) {
	isTorch, digest, err := readHead(ctx, path)
	if err != nil {
		return nil, "", err
	}
	var tensors map[string]tensor.Tensor
	if isTorch {
		tensors, err = pth.Read(ctx, path, maxUpscalerBytes)
	} else {
		tensors, err = readUpscalerTensors(ctx, path)
	}
	if err != nil {
		return nil, "", err
	}
	return memorySource{path, withoutRoot(tensors)}, digest, nil
}

// readHead says whether torch.save has written the file, and returns its digest.
func readHead(ctx context.Context, path string) (isTorch bool, digest string, err error) {
	info, err := os.Stat(path)
	var named *fs.PathError
	switch {
	case errors.As(err, &named):
		return false, "", fmt.Errorf("checkpoint: %s: %w", path, named.Err)
	case err != nil:
		return false, "", fmt.Errorf("checkpoint: %s: %w", path, err)
	case !info.Mode().IsRegular(): // opening a pipe would block
		return false, "", fmt.Errorf("checkpoint: %s: is not a file, want a .safetensors or .pth file", path)
	case info.Size() > maxUpscalerBytes:
		return false, "", fmt.Errorf("checkpoint: %s: %d MB, want a network that enlarges pictures, of at most %d",
			path, info.Size()>>20, maxUpscalerBytes>>20)
	}
	file, err := os.Open(path)
	if err != nil {
		return false, "", fmt.Errorf("checkpoint: %w", err)
	}
	defer file.Close()
	head := make([]byte, 4)
	if _, err := io.ReadFull(file, head); err != nil {
		return false, "", fmt.Errorf("checkpoint: %s: %d bytes, want a .safetensors or .pth file", path, info.Size())
	}
	sum := sha256.New()
	sum.Write(head)
	if _, err := io.Copy(sum, cancellable{ctx, file}); err != nil {
		if ctx.Err() != nil {
			return false, "", context.Cause(ctx)
		}
		return false, "", fmt.Errorf("checkpoint: %s: %w", path, err)
	}
	isTorch = bytes.HasPrefix(head, []byte("PK\x03\x04")) || head[0] == 0x80 && head[1] == 2
	return isTorch, hex.EncodeToString(sum.Sum(nil)), nil
}

// cancellable is a reader that fails when ctx has ended.
type cancellable struct {
	ctx context.Context
	io.Reader
}

func (r cancellable) Read(p []byte) (int, error) {
	if r.ctx.Err() != nil {
		return 0, context.Cause(r.ctx)
	}
	return r.Reader.Read(p)
}

// readUpscalerTensors copies all tensors out of a file.
func readUpscalerTensors(ctx context.Context, path string) (map[string]tensor.Tensor, error) {
	file, err := OpenTensors(ctx, path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	all := map[string]tensor.Tensor{}
	err = mapped.Guard(file.Files(), func() error {
		for _, name := range file.Names() {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			t, err := file.Tensor(name)
			if err != nil {
				return err
			}
			t.Data = slices.Clone(t.Data)
			all[name] = t
		}
		return nil
	})
	return all, err
}

// withoutRoot returns the tensors of the preferred root under their names without it, or all if there is no root. A
// network that was trained on several cards has "module." before each name.
func withoutRoot(tensors map[string]tensor.Tensor) map[string]tensor.Tensor {
	inside := func(root string) map[string]tensor.Tensor {
		inner := map[string]tensor.Tensor{}
		for name, t := range tensors {
			if rest, ok := strings.CutPrefix(name, root); ok {
				inner[rest] = t
			}
		}
		return inner
	}
	for _, root := range upscalerRoots {
		if inner := inside(root); len(inner) > 0 {
			tensors = inner
			break
		}
	}
	if inner := inside("module."); len(inner) > 0 {
		return inner
	}
	return tensors
}
