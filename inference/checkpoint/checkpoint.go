// Package checkpoint finds a FLUX.2 [klein] model on disk and opens it. From a folder or a list of files it gives, for
// the transformer, the VAE and the text encoder, the weights by their Diffusers names and the text of the config.
// Weights are memory-mapped; they are read when they are used.
//
// It reads two layouts. A Diffusers folder has a model_index.json and a folder for each component. Single files have
// the original names of Black Forest Labs; they are recognised by their tensors, also in the folders of ComfyUI, Forge
// and SwarmUI, and their tensors are renamed as in scripts/convert_flux2_to_diffusers.py of Diffusers. A single file
// may hold all three networks, each under a prefix. GGUF files hold a transformer with the original names, or a text
// encoder with those of llama.cpp. Quantised weights have their scales (see tensor.Quant); if a file with float8
// weights stores no scale at all, the scale is 1.
//
// Open returns an error for incomplete files and downloads, for unknown tensors, for models of another family and for
// other quantisations (SVDQuant, AWQ, bitsandbytes, …), which it names, and for fp8 weights without a scale in a file
// that has scales. The numbers of blocks are checked if the widths are those of a published model. The shapes that a
// config asks for are not checked here, but by the networks.
package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/kleinbild/kleinbild/inference/tensor"
)

// Layout is the form of a checkpoint on disk.
type Layout string

const (
	Diffusers   Layout = "diffusers"
	SingleFiles Layout = "single files"
)

// Component is one of the three networks of a checkpoint.
type Component struct {
	// Source returns the weights by their Diffusers names, without the name of the component.
	Source tensor.Source
	// ConfigJSON is the text of config.json, which is a JSON object, or what the metadata of a GGUF file says in its
	// place. It is nil for other single files: their sizes are derived from the shapes. ConfigPath is the path of
	// config.json or of the GGUF file.
	ConfigJSON []byte
	ConfigPath string
	// Files are the paths of the weight files.
	Files     []string
	SizeBytes int64
	// Decoder is the path of the file from which a VAE has its decoder, if that is not the VAE's own. ConfigJSON does not
	// describe it.
	Decoder string

	set store
}

// Release removes the weights from the resident memory. They stay valid (see mapped.File.Release).
func (c Component) Release() {
	for _, f := range c.set.Files() {
		f.Release()
	}
}

// ReleaseData removes the data of a weight from the resident memory. It stays valid.
func (c Component) ReleaseData(data []byte) {
	for _, f := range c.set.Files() {
		f.ReleaseRange(data)
	}
}

// ModelIndex holds the settings in model_index.json.
type ModelIndex struct {
	// IsDistilled is nil if the key is missing, and for single files. The reference takes a missing key as false.
	IsDistilled *bool
	// KV says that the pipeline is that of models with a reference cache, which are all distilled. Their tensors are
	// named and shaped as those of other models.
	KV bool
	// MaxSequenceLength is max_sequence_length, or 0 if the key is missing.
	MaxSequenceLength int
}

// VariantHint is a guess of the variant, for single files: models of all variants have the same tensors. The user must
// be told of it.
type VariantHint struct {
	Base bool
	// KV says that the model has a reference cache, see ModelIndex.
	KV bool
	// Sentence tells the user what was guessed, and why.
	Sentence string
}

// Checkpoint is an open model. Its tensors are valid until Close.
type Checkpoint struct {
	// Name is the model's name for people: that of the folder, or of the transformer's file without its extension.
	Name   string
	Layout Layout

	Transformer, VAE, TextEncoder Component

	// Tokenizer is the path of a folder or a tokenizer.json, or "" if the checkpoint has no tokenizer. Then that of
	// Vocabulary, or the tokenizer that is embedded in the program must be used.
	Tokenizer string
	// TokenizerFiles holds the tokenizer's files if the model is embedded in the program, and is nil otherwise.
	TokenizerFiles fs.FS
	// SchedulerConfig is the text of scheduler_config.json, or nil for single files.
	SchedulerConfig []byte
	Index           ModelIndex
	// Notices are sentences that tell the user what was assumed about the weights.
	Notices []string
	// Hint is nil if model_index.json gives the variant.
	Hint *VariantHint
	// Digest identifies the checkpoint (see digest).
	Digest    string
	SizeBytes int64

	// decoder is a VAE's decoder from a file of its own, until useDecoder joins it to VAE.
	decoder Component
}

// Open opens the checkpoint that spec names: Demo, for the model that is embedded in the program; a folder of
// Diffusers, of ComfyUI, or with single files; or single files separated by commas, in any order: transformer, VAE,
// text encoder, and optionally a tokenizer.json or its folder. A file with a VAE's decoder alone takes the place of the
// decoder of the VAE that the rest has. An error is one line that names the file. If ctx ends, Open returns its cause
// at once.
func Open(ctx context.Context, spec string) (*Checkpoint, error) { return OpenWith(ctx, spec, "") }

// OpenWith is like Open, with the VAE at vae, unless that is "", in place of the model's: a file, a decoder alone, or a
// folder in the layout of Diffusers.
func OpenWith(ctx context.Context, spec, vae string) (*Checkpoint, error) {
	return Interruptible(ctx, func() (*Checkpoint, error) { return openWhole(ctx, spec, vae) },
		func(c *Checkpoint) { c.Close() })
}

// OpenParts is like Open, but needs no whole model: it also opens single files of which one has the transformer, or the
// text encoder if textEncoder is true. The other components may be without a Source.
func OpenParts(ctx context.Context, spec string, textEncoder bool) (*Checkpoint, error) {
	return Interruptible(ctx, func() (*Checkpoint, error) {
		c, err := openWhole(ctx, spec, "")
		if err == nil {
			return c, nil
		}
		parts, partsErr := openParts(ctx, itemsOf(spec))
		if partsErr != nil {
			return nil, err
		}
		if p := parts.component(wanted(textEncoder)); p.set == nil {
			parts.Close()
			return nil, err
		}
		parts.describe()
		return parts, nil
	}, func(c *Checkpoint) { c.Close() })
}

// wanted returns the kind of the component that a caller of OpenParts needs.
func wanted(encoder bool) kind {
	if encoder {
		return textEncoder
	}
	return transformer
}

// openWhole opens the checkpoint and sets sizes, notices and digest.
func openWhole(ctx context.Context, spec, vae string) (c *Checkpoint, err error) {
	if strings.TrimSpace(spec) == "" {
		return nil, errors.New("checkpoint: no model given")
	}
	if vae == "" {
		c, err = open(ctx, spec)
	} else {
		c, err = openWithVAE(ctx, spec, vae)
	}
	if err != nil {
		return nil, err
	}
	c.describe()
	if c.Digest, err = digest(ctx, c); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// describe sets files, sizes and notices.
func (c *Checkpoint) describe() {
	for _, p := range c.components() {
		if p.set == nil {
			continue
		}
		for _, f := range p.set.Files() {
			p.Files = append(p.Files, f.Path())
			p.SizeBytes += f.SizeBytes()
		}
		if w, ok := p.Source.(*weights); ok && w.unscaled > 0 {
			c.Notices = append(c.Notices, fmt.Sprintf("%s: %d float8 weights have no scales: their values are used unscaled",
				w.path, w.unscaled))
		}
		if w, ok := p.Source.(*weights); ok && w.unmarked > 0 {
			c.Notices = append(c.Notices, fmt.Sprintf("%s: %d nvfp4 weights have no markers: they are read in the layout of "+
				"NVIDIA ModelOpt", w.path, w.unmarked))
		}
	}
	for _, f := range c.files() {
		c.SizeBytes += f.SizeBytes()
	}
}

func open(ctx context.Context, spec string) (*Checkpoint, error) {
	if spec == Demo {
		return openDemo(ctx)
	}
	info, err := os.Stat(spec)
	if err == nil && info.IsDir() {
		return openFolder(ctx, spec)
	}
	if err == nil { // the name of a file may contain a comma
		return openFiles(ctx, spec, []string{spec})
	}
	return openFiles(ctx, spec, itemsOf(spec))
}

// itemsOf splits a list at its commas, except those in the names of existing files and folders.
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
	if t, ok, err := installationAt(dir); err != nil {
		return nil, err
	} else if ok {
		return openInstallation(ctx, t)
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
			return nil, fmt.Errorf("checkpoint: %s: %s; the folder holds %s",
				index, missing(index), folder{files: os.DirFS(dir), dir: dir}.listing("."))
		}
	}
	return nil, fmt.Errorf("checkpoint: %s: holds neither model_index.json (a Diffusers folder) nor .safetensors or "+
		".gguf files", dir)
}

// weightFiles returns the paths of the weight files in dir, sorted.
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
	list := []*Component{&c.Transformer, &c.VAE, &c.TextEncoder}
	if c.decoder.set != nil {
		list = append(list, &c.decoder)
	}
	return list
}

// Close closes all files. The tensors of the checkpoint become invalid.
func (c *Checkpoint) Close() error {
	var errs []error
	for _, p := range c.components() {
		if p.set != nil {
			errs = append(errs, p.set.Close())
		}
	}
	return errors.Join(errs...)
}
