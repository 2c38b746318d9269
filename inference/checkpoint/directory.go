package checkpoint

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/kleinbild/kleinbild/inference/checkpoint/safetensors"
)

// These are the pipelines of Diffusers that this program implements: that of distilled and base models, and that of
// models with a reference cache.
const pipelineClass, pipelineClassKV = "Flux2KleinPipeline", "Flux2KleinKVPipeline"

// folder is the folder of a Diffusers model, on disk or embedded in the program.
type folder struct {
	files fs.FS
	// dir is the path on disk, or the name of an embedded model in messages.
	dir string
	// weights holds the contents of an embedded model's safetensors files, by name. It is nil for a folder on disk.
	weights map[string][]byte
}

// path returns the path of a file of the folder, for messages.
func (f folder) path(name string) string { return filepath.Join(f.dir, filepath.FromSlash(name)) }

func (f folder) exists(name string) bool {
	_, err := fs.Stat(f.files, name)
	return err == nil || f.weights[name] != nil
}

// openSet opens a safetensors file, or all shards of an index.
func (f folder) openSet(ctx context.Context, name string) (store, error) {
	if f.weights == nil {
		return openStore(ctx, f.path(name))
	}
	file, err := safetensors.FromBytes(f.path(name), f.weights[name])
	if err != nil {
		return nil, err
	}
	return newQuantised(safetensors.SetOf(file))
}

// diffusersParts are the folders of the components, and the names of their weight files without extension.
var diffusersParts = []struct {
	kind                kind
	folder, weightsName string
}{
	{transformer, "transformer", "diffusion_pytorch_model"},
	{vae, "vae", "diffusion_pytorch_model"},
	{textEncoder, "text_encoder", "model"},
}

// openDiffusers opens a folder as Diffusers' save_pretrained writes it.
func openDiffusers(ctx context.Context, f folder) (_ *Checkpoint, err error) {
	c := &Checkpoint{Name: folderName(f.dir), Layout: Diffusers}
	if c.Index, err = f.readModelIndex("model_index.json"); err != nil {
		return nil, err
	}
	if c.SchedulerConfig, err = f.readConfig("scheduler/scheduler_config.json"); err != nil {
		return nil, err
	}
	c.Tokenizer = f.path("tokenizer")
	if !f.exists("tokenizer/tokenizer.json") && !(f.exists("tokenizer/vocab.json") && f.exists("tokenizer/merges.txt")) {
		return nil, fmt.Errorf("checkpoint: %s: holds neither tokenizer.json nor vocab.json with merges.txt", c.Tokenizer)
	}
	for _, part := range diffusersParts {
		if err := f.openComponent(ctx, c.component(part.kind), part.folder, part.weightsName, part.kind); err != nil {
			c.Close()
			return nil, err
		}
	}
	return c, nil
}

func (f folder) openComponent(ctx context.Context, p *Component, dir, weightsName string, k kind) (err error) {
	p.ConfigPath = f.path(dir + "/config.json")
	if p.ConfigJSON, err = f.readConfig(dir + "/config.json"); err != nil {
		return err
	}
	if err := checkQuantization(p.ConfigJSON); err != nil {
		return fmt.Errorf("checkpoint: %s: %w", p.ConfigPath, err)
	}
	name, err := f.weightsName(dir, weightsName)
	if err != nil {
		return err
	}
	if p.set, err = f.openSet(ctx, name); err != nil {
		return err
	}
	return p.setWeights(p.set, f.path(name), partOf(k))
}

// weightsName returns the name of the weight file in a component's folder dir, or of the index if there are shards.
// stem is the file's name without extension.
func (f folder) weightsName(dir, stem string) (string, error) {
	name := dir + "/" + stem + ".safetensors"
	if index := name + ".index.json"; !f.exists(name) && f.exists(index) {
		name = index
	}
	if !f.exists(name) {
		if isDangling(f.path(name + ".index.json")) {
			name += ".index.json"
		}
		reason := missing(f.path(name))
		if reason == "is missing" {
			reason += ", and so is its .index.json"
		}
		return "", fmt.Errorf("checkpoint: %s: %s; the folder holds %s", f.path(name), reason, f.listing(dir))
	}
	return name, nil
}

// listing returns the first names in dir, for a message about a missing file.
func (f folder) listing(dir string) string {
	list, err := fs.ReadDir(f.files, dir)
	var names []string
	for _, e := range list {
		names = append(names, e.Name())
	}
	if err != nil || len(names) == 0 {
		return "nothing"
	}
	return first(names, 5)
}

// first joins the first n of list, and appends the number of the others.
func first(list []string, n int) string {
	if len(list) <= n {
		return strings.Join(list, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(list[:n], ", "), len(list)-n)
}

// readConfig reads the file called name, which must hold a JSON object within the limits of plainConfig.
func (f folder) readConfig(name string) ([]byte, error) {
	path := f.path(name)
	info, err := fs.Stat(f.files, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("checkpoint: %s: %s", path, missing(path))
	}
	if err == nil && !info.Mode().IsRegular() { // opening a pipe would block until it has a writer
		return nil, fmt.Errorf("checkpoint: %s: is not a regular file, want a JSON object", path)
	}
	file, err := f.files.Open(name)
	if inside, ok := errors.AsType[*fs.PathError](err); ok {
		err = inside.Err // without its path, which is relative to the folder
	}
	if err != nil {
		return nil, fmt.Errorf("checkpoint: %s: %w", path, err)
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxConfigBytes+1))
	if err != nil {
		return nil, fmt.Errorf("checkpoint: %s: %w", path, err)
	}
	if len(text) > maxConfigBytes {
		return nil, fmt.Errorf("checkpoint: %s: more than %d bytes, want a model's config", path, maxConfigBytes)
	}
	var object map[string]json.RawMessage
	if err := json.Unmarshal(text, &object); err != nil {
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			return nil, fmt.Errorf("checkpoint: %s: byte %d: %w", path, syntax.Offset, err)
		}
		return nil, fmt.Errorf("checkpoint: %s: want a JSON object: %w", path, err)
	}
	if object == nil {
		return nil, fmt.Errorf("checkpoint: %s: null, want a JSON object", path)
	}
	if err := plainConfig(text); err != nil {
		return nil, fmt.Errorf("checkpoint: %s: %w", path, err)
	}
	return text, nil
}

// plainConfig returns an error for valid JSON that is deeper, has more values or longer strings than a config has.
func plainConfig(text []byte) error {
	depth, values := 0, 0
	for dec := json.NewDecoder(bytes.NewReader(text)); ; values++ {
		token, err := dec.Token()
		if err == io.EOF {
			return nil
		}
		if err != nil { // such as a number that is too large for a float64
			return err
		}
		switch t := token.(type) {
		case json.Delim:
			if t == '{' || t == '[' {
				depth++
			} else {
				depth--
			}
		case string:
			if len(t) > maxConfigString {
				return fmt.Errorf("found a text of %d bytes, want at most %d", len(t), maxConfigString)
			}
		}
		if depth > maxConfigDepth || values > maxConfigValues {
			return fmt.Errorf("more than %d values or %d levels, want a model's config",
				maxConfigValues, maxConfigDepth)
		}
	}
}

func (f folder) readModelIndex(name string) (ModelIndex, error) {
	path := f.path(name)
	text, err := f.readConfig(name)
	if err != nil {
		return ModelIndex{}, err
	}
	var file struct {
		ClassName         string `json:"_class_name"`
		IsDistilled       *bool  `json:"is_distilled"`
		MaxSequenceLength *int   `json:"max_sequence_length"`
	}
	if err := json.Unmarshal(text, &file); err != nil {
		return ModelIndex{}, fmt.Errorf("checkpoint: %s: %w", path, err)
	}
	if file.ClassName != pipelineClass && file.ClassName != pipelineClassKV {
		return ModelIndex{}, fmt.Errorf("checkpoint: %s: _class_name %q, want %q or %q%s",
			path, file.ClassName, pipelineClass, pipelineClassKV, familyOfPipeline(file.ClassName))
	}
	index := ModelIndex{IsDistilled: file.IsDistilled, KV: file.ClassName == pipelineClassKV}
	if n := file.MaxSequenceLength; n != nil {
		if *n < 1 {
			return ModelIndex{}, fmt.Errorf("checkpoint: %s: max_sequence_length %d, want at least 1",
				path, *n)
		}
		index.MaxSequenceLength = *n
	}
	return index, nil
}

// holdsTokenizer reports whether dir has the files of a tokenizer.
func holdsTokenizer(dir string) bool {
	return exists(filepath.Join(dir, "tokenizer.json")) ||
		exists(filepath.Join(dir, "vocab.json")) && exists(filepath.Join(dir, "merges.txt"))
}

// folderName returns the name of the model in dir, for people. It is the folder's name, except in the Hugging Face
// cache, where the folder has the name of a commit: for …/models--OWNER--NAME/snapshots/COMMIT it is NAME.
func folderName(dir string) string {
	if abs, err := filepath.Abs(dir); err == nil {
		dir = abs
	}
	if snapshots := filepath.Dir(dir); filepath.Base(snapshots) == "snapshots" {
		if repository, ok := strings.CutPrefix(filepath.Base(filepath.Dir(snapshots)), "models--"); ok {
			return repository[strings.LastIndex(repository, "--")+len("--"):]
		}
	}
	return filepath.Base(dir)
}
