// Package synthetic writes checkpoints of any size whose weights are computed from their names, for tests, which then
// need no files, and for benchmarks at full size. From a Spec it writes a Diffusers folder, or single files with the
// original names. The pictures of such a model show nothing.
//
// Weights are computed in pieces while they are written, on all cores, so that the memory does not depend on the size
// of the checkpoint. Writing fails if the target exists or the disk has too little space.
package synthetic

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/kleinbild/kleinbild/inference/checkpoint/safetensors"
)

// Options are the options of Write. The zero value writes no tokenizer and reports no progress.
type Options struct {
	// Tokenizer holds the files of the tokenizer folder.
	Tokenizer fs.FS
	// Progress, unless nil, is called with the bytes of weights that have been written. Its calls are never concurrent.
	Progress func(written, total int64)
}

// Write writes the checkpoint s to the new folder dir, in the Diffusers layout. dir must not exist, and appears when it
// is complete: until then the files are in a temporary folder beside it, which is removed on an error and if ctx ends.
func Write(ctx context.Context, dir string, s Spec, o Options) error {
	return atomically(dir, s.files(), o, func(f *folder) error {
		if err := f.config("model_index.json", s.modelIndex()); err != nil {
			return err
		}
		if err := f.config("scheduler/scheduler_config.json", schedulerConfig); err != nil {
			return err
		}
		for name, config := range map[string]any{
			"transformer": s.Transformer, "vae": s.VAE, "text_encoder": s.TextEncoder,
		} {
			if err := f.config(name+"/config.json", config); err != nil {
				return err
			}
		}
		if o.Tokenizer != nil {
			if err := os.CopyFS(filepath.Join(f.dir, "tokenizer"), o.Tokenizer); err != nil {
				return fmt.Errorf("synthetic: tokenizer: %w", err)
			}
		}
		return f.weights(ctx)
	})
}

// file is a safetensors file to write. index is the path of the index that lists it, or "".
type file struct {
	path    string
	index   string
	entries []safetensors.Entry
}

func (f file) sizeBytes() (n int64) {
	for _, e := range f.entries {
		n += e.SizeBytes()
	}
	return n
}

// files returns the weight files of the Diffusers layout.
func (s Spec) files() []file {
	files := shards("transformer/diffusion_pytorch_model", s.transformerWeights(), s.TransformerShardBytes)
	files = append(files, shards("vae/diffusion_pytorch_model", s.vaeWeights(), 0)...)
	return append(files, shards("text_encoder/model", s.textEncoderWeights(), s.TextEncoderShardBytes)...)
}

// shards distributes weights, in their order, over files of at most limit bytes. If limit is 0, there is one file.
func shards(path string, weights []weight, limit int64) []file {
	var files []file
	var size int64
	for _, w := range weights {
		e := w.entry()
		if files == nil || limit > 0 && size+e.SizeBytes() > limit {
			files = append(files, file{index: path + ".safetensors.index.json"})
			size = 0
		}
		size += e.SizeBytes()
		last := &files[len(files)-1]
		last.entries = append(last.entries, e)
	}
	for i := range files {
		files[i].path = fmt.Sprintf("%s-%05d-of-%05d.safetensors", path, i+1, len(files))
	}
	if len(files) == 1 {
		files[0].path, files[0].index = path+".safetensors", ""
	}
	return files
}

// folder is the temporary folder that is being written.
type folder struct {
	dir      string
	files    []file
	progress func(written int64)
}

// atomically calls write with a temporary folder, and renames that to dir if write succeeds.
func atomically(dir string, files []file, o Options, write func(*folder) error) (err error) {
	if _, err := os.Lstat(dir); err == nil {
		return fmt.Errorf("synthetic: %s: already exists", dir)
	}
	parent := filepath.Dir(dir)
	if err := os.MkdirAll(parent, 0o777); err != nil {
		return fmt.Errorf("synthetic: %w", err)
	}
	var total int64
	for _, f := range files {
		total += f.sizeBytes()
	}
	free, err := freeBytes(parent)
	if err != nil {
		return fmt.Errorf("synthetic: %s: free disk space: %w", parent, err)
	}
	if free < total {
		return fmt.Errorf("synthetic: %s: %.1f GB free, want %.1f GB", parent, float64(free)/1e9, float64(total)/1e9)
	}
	temporary, err := os.MkdirTemp(parent, filepath.Base(dir)+".part-")
	if err != nil {
		return fmt.Errorf("synthetic: %w", err)
	}
	defer func() {
		if err != nil {
			os.RemoveAll(temporary)
		}
	}()
	var written int64
	f := &folder{dir: temporary, files: files, progress: func(n int64) {
		written += n
		if o.Progress != nil {
			o.Progress(written, total)
		}
	}}
	if err := write(f); err != nil {
		return err
	}
	if err := os.Chmod(temporary, 0o755); err != nil { // MkdirTemp gives it the mode 0700
		return fmt.Errorf("synthetic: %w", err)
	}
	if err := os.Rename(temporary, dir); err != nil {
		return fmt.Errorf("synthetic: %w", err)
	}
	return nil
}

// config writes v as indented JSON to the file called name.
func (f *folder) config(name string, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("synthetic: %s: %w", name, err)
	}
	path := filepath.Join(f.dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("synthetic: %w", err)
	}
	if err := os.WriteFile(path, append(text, '\n'), 0o644); err != nil {
		return fmt.Errorf("synthetic: %w", err)
	}
	return nil
}

// weights writes the weight files, and the indexes of shards.
func (f *folder) weights(ctx context.Context) error {
	type index struct {
		Metadata  map[string]int64  `json:"metadata"`
		WeightMap map[string]string `json:"weight_map"`
	}
	indexes := map[string]index{}
	for _, file := range f.files {
		if err := f.write(ctx, file); err != nil {
			return err
		}
		if file.index == "" {
			continue
		}
		x, ok := indexes[file.index]
		if !ok {
			x = index{map[string]int64{}, map[string]string{}}
			indexes[file.index] = x
		}
		x.Metadata["total_size"] += file.sizeBytes()
		for _, e := range file.entries {
			x.WeightMap[e.Name] = filepath.Base(file.path)
		}
	}
	for name, x := range indexes {
		if err := f.config(name, x); err != nil {
			return err
		}
	}
	return nil
}

func (f *folder) write(ctx context.Context, file file) (err error) {
	path := filepath.Join(f.dir, filepath.FromSlash(file.path))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("synthetic: %w", err)
	}
	w, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("synthetic: %w", err)
	}
	defer func() {
		if closeErr := w.Close(); err == nil && closeErr != nil {
			err = fmt.Errorf("synthetic: %w", closeErr)
		}
	}()
	return safetensors.Write(ctx, w, map[string]string{"format": "pt"}, file.entries, f.progress)
}

func (s Spec) modelIndex() any {
	return map[string]any{
		"_class_name":  "Flux2KleinPipeline",
		"is_distilled": s.Distilled,
		"scheduler":    []string{"diffusers", "FlowMatchEulerDiscreteScheduler"},
		"text_encoder": []string{"transformers", "Qwen3ForCausalLM"},
		"tokenizer":    []string{"transformers", "Qwen2Tokenizer"},
		"transformer":  []string{"diffusers", "Flux2Transformer2DModel"},
		"vae":          []string{"diffusers", "AutoencoderKLFlux2"},
	}
}

var schedulerConfig = map[string]any{
	"_class_name":            "FlowMatchEulerDiscreteScheduler",
	"base_image_seq_len":     256,
	"base_shift":             0.5,
	"invert_sigmas":          false,
	"max_image_seq_len":      4096,
	"max_shift":              1.15,
	"num_train_timesteps":    1000,
	"shift":                  3.0,
	"shift_terminal":         nil,
	"stochastic_sampling":    false,
	"time_shift_type":        "exponential",
	"use_beta_sigmas":        false,
	"use_dynamic_shifting":   true,
	"use_exponential_sigmas": false,
	"use_karras_sigmas":      false,
}
