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

	"kleinbild/inference/checkpoint/safetensors"
)

// pipelineClass is the only pipeline this program reproduces.
const pipelineClass = "Flux2KleinPipeline"

// folder holds the files of a Diffusers model.
type folder struct {
	files fs.FS
	// dir is where it lies, or what messages call it where it is part of the program.
	dir string
	// weights are the contents of the safetensors files of a model that is part of the program, by name.
	weights map[string][]byte
}

// path is what messages call a file of the folder.
func (f folder) path(name string) string { return filepath.Join(f.dir, filepath.FromSlash(name)) }

func (f folder) exists(name string) bool {
	_, err := fs.Stat(f.files, name)
	return err == nil || f.weights[name] != nil
}

// openSet opens a safetensors file, or the index of several.
func (f folder) openSet(ctx context.Context, name string) (*safetensors.Set, error) {
	if f.weights == nil {
		return safetensors.OpenSet(ctx, f.path(name))
	}
	file, err := safetensors.FromBytes(f.path(name), f.weights[name])
	if err != nil {
		return nil, err
	}
	return safetensors.SetOf(file), nil
}

// diffusersParts are the folders of the components, and what their weight files are called without an ending.
var diffusersParts = []struct {
	kind                kind
	folder, weightsName string
}{
	{transformer, "transformer", "diffusion_pytorch_model"},
	{vae, "vae", "diffusion_pytorch_model"},
	{textEncoder, "text_encoder", "model"},
}

// openDiffusers opens the folder that Diffusers' save_pretrained writes.
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
	if p.ConfigJSON, err = f.readConfig(dir + "/config.json"); err != nil {
		return err
	}
	name, err := f.weightsName(dir, weightsName)
	if err != nil {
		return err
	}
	if p.set, err = f.openSet(ctx, name); err != nil {
		return err
	}
	return p.take(p.set, f.path(name), partOf(k))
}

// weightsName is the weight file of a component's folder, or the index of several.
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

// listing names what lies in dir, for a message about what does not.
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

// first joins up to n of list, and says how many more there are.
func first(list []string, n int) string {
	if len(list) <= n {
		return strings.Join(list, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(list[:n], ", "), len(list)-n)
}

// readConfig returns the text of a JSON object.
func (f folder) readConfig(name string) ([]byte, error) {
	path := f.path(name)
	info, err := fs.Stat(f.files, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("checkpoint: %s: %s", path, missing(path))
	}
	if err == nil && !info.Mode().IsRegular() { // opening a pipe would wait for its writer
		return nil, fmt.Errorf("checkpoint: %s: is no regular file, want a JSON object", path)
	}
	file, err := f.files.Open(name)
	if inside, ok := errors.AsType[*fs.PathError](err); ok {
		err = inside.Err // its path is relative to the folder
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
		return nil, fmt.Errorf("checkpoint: %s: more than %d bytes", path, maxConfigBytes)
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

// plainConfig refuses valid JSON that is no config: deeper, of more values or of longer words than any.
func plainConfig(text []byte) error {
	depth, values := 0, 0
	for dec := json.NewDecoder(bytes.NewReader(text)); ; values++ {
		token, err := dec.Token()
		if err == io.EOF {
			return nil
		}
		if err != nil { // such as a number beyond those of float64
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
			return fmt.Errorf("more than %d values or %d levels, want a model's config", maxConfigValues, maxConfigDepth)
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
	if file.ClassName != pipelineClass {
		return ModelIndex{}, fmt.Errorf("checkpoint: %s: _class_name %q, want %q%s", path, file.ClassName, pipelineClass, familyOfPipeline(file.ClassName))
	}
	index := ModelIndex{IsDistilled: file.IsDistilled}
	if n := file.MaxSequenceLength; n != nil {
		if *n < 1 {
			return ModelIndex{}, fmt.Errorf("checkpoint: %s: max_sequence_length %d, want at least 1", path, *n)
		}
		index.MaxSequenceLength = *n
	}
	return index, nil
}

// holdsTokenizer says whether dir has the files that a tokenizer is read from.
func holdsTokenizer(dir string) bool {
	return exists(filepath.Join(dir, "tokenizer.json")) ||
		exists(filepath.Join(dir, "vocab.json")) && exists(filepath.Join(dir, "merges.txt"))
}

// folderName is what people call the model in dir. In the Hugging Face cache that is not the folder's own name, which is a
// commit: …/models--OWNER--NAME/snapshots/COMMIT.
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
