// Package checkpoint finds a FLUX.2 [klein] model on disk and opens it: what enters is a folder or a list of files, what
// leaves is, for each of transformer, VAE and text encoder, its weights under their Diffusers names (memory-mapped, nothing
// is read ahead) and the bytes of its config.
//
// Two layouts are read: the Diffusers folder (model_index.json and a folder for each component), and single files under the
// original names, recognised by their tensors and renamed as Diffusers' scripts/convert_flux2_to_diffusers.py does; also as
// they lie in the folders of ComfyUI, Forge and SwarmUI. A single file may hold all three networks under prefixes. Weights in
// float8_e4m3fn carry the scale that the file stores beside them, or none where the file has none at all.
//
// It refuses incomplete files and downloads, tensors it does not know, other families and quantisations (NVFP4, GGUF, int8,
// …) by their names, and fp8 weights that lack a scale others have. At the widths of published models it knows the number of
// blocks. It does not know the shapes that a config asks for: the stages check those.
package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"kleinbild/inference/checkpoint/safetensors"
	"kleinbild/inference/tensor"
)

// Layout is how a checkpoint lies on disk.
type Layout string

const (
	Diffusers   Layout = "diffusers"
	SingleFiles Layout = "single files"
)

// Component is one of the three networks.
type Component struct {
	// Source gives the weights by their Diffusers names, without the component's name in front.
	Source tensor.Source
	// ConfigJSON is the text of config.json, known to be a JSON object; nil for single files, whose sizes follow from shapes.
	ConfigJSON []byte
	// Files are the weight files, as paths.
	Files     []string
	SizeBytes int64

	set *safetensors.Set
}

// Release gives back the memory of the weights read so far; they stay valid, see safetensors.File.Release.
func (c Component) Release() { c.set.Release() }

// ModelIndex is what model_index.json says beyond naming the components.
type ModelIndex struct {
	// IsDistilled is nil when the key is absent, as it always is for single files; the reference then takes false.
	IsDistilled *bool
	// MaxSequenceLength is the optional max_sequence_length, 0 when absent.
	MaxSequenceLength int
}

// VariantHint is a guess that must be said aloud: single files do not tell a distilled model from a base model.
type VariantHint struct {
	Base bool
	// Sentence says what was guessed from what.
	Sentence string
}

// Checkpoint is an opened model. Its tensors are valid until Close.
type Checkpoint struct {
	// Name is for people: the folder's name, or the transformer file's without its ending.
	Name   string
	Layout Layout

	Transformer, VAE, TextEncoder Component

	// Tokenizer is a folder or a tokenizer.json; "" when the checkpoint has none and the embedded one serves.
	Tokenizer string
	// TokenizerFiles is the folder's contents where it is part of the program, nil elsewhere.
	TokenizerFiles fs.FS
	// SchedulerConfig is the text of scheduler_config.json, nil for single files.
	SchedulerConfig []byte
	Index           ModelIndex
	// Notices are sentences about what was assumed of the weights.
	Notices []string
	// Hint is nil where model_index.json says what the model is.
	Hint *VariantHint
	// Digest identifies the checkpoint: see digest.
	Digest    string
	SizeBytes int64
}

// Open opens the checkpoint that spec names: Demo for the model that is part of the program, a folder (Diffusers',
// ComfyUI's, or one of single files), or single files separated by commas in any order (transformer, VAE,
// text encoder, and optionally a tokenizer.json or the folder that holds one). The error is one line that names the file. When
// ctx ends Open returns its cause at once.
func Open(ctx context.Context, spec string) (*Checkpoint, error) {
	return Interruptible(ctx, func() (*Checkpoint, error) { return openWhole(ctx, spec) }, func(c *Checkpoint) { c.Close() })
}

func openWhole(ctx context.Context, spec string) (*Checkpoint, error) {
	if strings.TrimSpace(spec) == "" {
		return nil, errors.New("checkpoint: no model given")
	}
	c, err := open(ctx, spec)
	if err != nil {
		return nil, err
	}
	for _, p := range c.components() {
		for _, f := range p.set.Files() {
			p.Files = append(p.Files, f.Path())
			p.SizeBytes += f.SizeBytes()
		}
		if w, ok := p.Source.(*weights); ok && w.unscaled > 0 {
			c.Notices = append(c.Notices, fmt.Sprintf("%s: %d float8 weights without scales: taken as they are", w.path, w.unscaled))
		}
	}
	for _, f := range c.files() {
		c.SizeBytes += f.SizeBytes()
	}
	if c.Digest, err = digest(ctx, c); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

func open(ctx context.Context, spec string) (*Checkpoint, error) {
	if spec == Demo {
		return openDemo(ctx)
	}
	info, err := os.Stat(spec)
	if err == nil && info.IsDir() {
		return openFolder(ctx, spec)
	}
	if err == nil { // a name may hold a comma
		return openFiles(ctx, spec, []string{spec})
	}
	return openFiles(ctx, spec, itemsOf(spec))
}

// itemsOf cuts a list at its commas, but for those in the names of files and folders that are there.
func itemsOf(spec string) (items []string) {
	for pieces := strings.Split(spec, ","); len(pieces) > 0; {
		taken := 1
		for n := 1; n <= len(pieces); n++ {
			if exists(ExpandHome(strings.TrimSpace(strings.Join(pieces[:n], ",")))) {
				taken = n
				break
			}
		}
		if item := strings.TrimSpace(strings.Join(pieces[:taken], ",")); item != "" {
			items = append(items, item)
		}
		pieces = pieces[taken:]
	}
	return items
}

func openFolder(ctx context.Context, dir string) (*Checkpoint, error) {
	if exists(filepath.Join(dir, "model_index.json")) {
		return openDiffusers(ctx, folder{files: os.DirFS(dir), dir: dir})
	}
	if isRepository(dir) {
		snapshot, err := snapshotOf(ctx, dir)
		if err != nil {
			return nil, err
		}
		return openFolder(ctx, snapshot)
	}
	index := filepath.Join(dir, "model_index.json")
	if isDangling(index) {
		return nil, fmt.Errorf("checkpoint: %s: %s", index, missing(index))
	}
	if t, ok, err := uiTree(dir); err != nil {
		return nil, err
	} else if ok {
		return openTree(ctx, t)
	}
	files, err := weightFiles(dir)
	if err != nil {
		return nil, err
	}
	if len(files) > 0 {
		return openFiles(ctx, dir, files)
	}
	for _, part := range diffusersParts {
		if exists(filepath.Join(dir, part.folder)) {
			return nil, fmt.Errorf("checkpoint: %s: %s; the folder holds %s", index, missing(index), folder{files: os.DirFS(dir), dir: dir}.listing("."))
		}
	}
	return nil, fmt.Errorf("checkpoint: %s: holds neither model_index.json (a Diffusers folder) nor .safetensors files", dir)
}

// weightFiles lists the paths of the safetensors files that lie in dir, sorted.
func weightFiles(dir string) ([]string, error) {
	list, err := readDir(dir, maxListed)
	if err != nil {
		return nil, fmt.Errorf("checkpoint: %w", err)
	}
	var files []string
	for _, e := range list {
		if isWeightFile(e.Name()) {
			files = append(files, filepath.Join(dir, e.Name()))
		}
	}
	return files, nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func (c *Checkpoint) components() []*Component {
	return []*Component{&c.Transformer, &c.VAE, &c.TextEncoder}
}

// Close unmaps all files; the tensors taken from the checkpoint become invalid.
func (c *Checkpoint) Close() error {
	var errs []error
	for _, p := range c.components() {
		if p.set != nil {
			errs = append(errs, p.set.Close())
		}
	}
	return errors.Join(errs...)
}
