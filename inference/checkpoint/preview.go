package checkpoint

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/kleinbild/kleinbild/inference/checkpoint/mapped"
	"github.com/kleinbild/kleinbild/inference/checkpoint/pth"
	"github.com/kleinbild/kleinbild/inference/tensor"
)

// PreviewName is the name of the entry of models' catalogue that has the decoder for previews.
const PreviewName = "taef2"

// PreviewFile is the name of that decoder's file.
const PreviewFile = "taef2.safetensors"

// FindPreview returns the path of the file with TAEF2, a small decoder for previews, or "" if there is none. It looks
// in ModelsDir, and in the folders vae_approx of ComfyUI and similar programs for a .safetensors or .pth file whose
// name begins with taef2. env returns variables of the environment.
func FindPreview(env func(string) string) string {
	if own := filepath.Join(ModelsDir(), PreviewName, PreviewFile); exists(own) {
		return own
	}
	for _, dir := range installationDirs(env) {
		for _, models := range append(subfolders(dir, "models"), dir) {
			for _, folder := range subfolders(models, "vaeapprox") {
				list, _ := readDir(folder, maxListed)
				for _, e := range list {
					name := strings.ToLower(e.Name())
					if strings.HasPrefix(name, PreviewName) && !strings.Contains(name, "encoder") &&
						(strings.HasSuffix(name, ".safetensors") || strings.HasSuffix(name, ".pth")) {
						return filepath.Join(folder, e.Name())
					}
				}
			}
		}
	}
	return ""
}

// maxPreviewBytes bounds the values of a decoder for previews. TAEF2's are 2.7 MB.
const maxPreviewBytes = 64 << 20

// memorySource has tensors of a file in memory.
type memorySource struct {
	path    string
	tensors map[string]tensor.Tensor
}

func (s memorySource) Names() []string { return slices.Sorted(maps.Keys(s.tensors)) }

func (s memorySource) Tensor(name string) (tensor.Tensor, error) {
	t, ok := s.tensors[name]
	if !ok {
		return t, fmt.Errorf("checkpoint: %s: %s: %w", s.path, name, tensor.ErrMissing)
	}
	return t, nil
}

// ReadPreview reads the tensors of a decoder for previews whose names begin with "decoder." into memory, so that the
// file may change afterwards. Errors name the file; that of a page that cannot be read is an *UnreadableError. If ctx
// has ended, ReadPreview returns its cause. A .pth file has a decoder alone, whose layers it numbers without
// "decoder.layers." before them and from 1 on.
func ReadPreview(ctx context.Context, path string) (tensor.Source, error) {
	if strings.EqualFold(filepath.Ext(path), ".pth") {
		return readPreviewPth(ctx, path)
	}
	file, err := OpenTensors(ctx, path)
	if err != nil {
		return nil, err
	}
	return readPreview(ctx, path, file)
}

// readPreview copies the decoder out of file, which it closes.
func readPreview(ctx context.Context, path string, file *Tensors) (tensor.Source, error) {
	defer file.Close()
	all := memorySource{path, map[string]tensor.Tensor{}}
	if err := mapped.Guard(file.Files(), func() error { return all.copyDecoder(ctx, file) }); err != nil {
		return nil, err
	}
	return all, nil
}

// copyDecoder copies the tensors of a file whose names begin with "decoder.".
func (s memorySource) copyDecoder(ctx context.Context, file *Tensors) error {
	bytes := 0
	for _, name := range file.Names() {
		if !strings.HasPrefix(name, "decoder.") {
			continue
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		t, err := file.Tensor(name)
		if err != nil {
			return err
		}
		if bytes += len(t.Data); bytes > maxPreviewBytes {
			return fmt.Errorf("checkpoint: %s: more than %d MB of decoder, want TAEF2", s.path, maxPreviewBytes>>20)
		}
		t.Data = slices.Clone(t.Data)
		s.tensors[name] = t
	}
	return nil
}

func readPreviewPth(ctx context.Context, path string) (tensor.Source, error) {
	tensors, err := pth.Read(ctx, path, maxPreviewBytes)
	if err != nil {
		return nil, err
	}
	all := memorySource{path, map[string]tensor.Tensor{}}
	for name, t := range tensors {
		number, rest, _ := strings.Cut(name, ".")
		if layer, err := strconv.Atoi(number); err == nil {
			all.tensors[fmt.Sprintf("decoder.layers.%d.%s", layer-1, rest)] = t
		}
	}
	return all, nil
}
