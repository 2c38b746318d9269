package checkpoint

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"kleinbild/inference/checkpoint/safetensors"
)

// maxConfigBytes bounds a config; real ones have a few kB.
const maxConfigBytes = 1 << 20

// pipelineClass is the only pipeline this program reproduces.
const pipelineClass = "Flux2KleinPipeline"

// openDiffusers opens the folder that Diffusers' save_pretrained writes.
func openDiffusers(dir string) (_ *Checkpoint, err error) {
	c := &Checkpoint{Name: folderName(dir), Layout: Diffusers}
	if c.Index, err = readModelIndex(filepath.Join(dir, "model_index.json")); err != nil {
		return nil, err
	}
	if c.SchedulerConfig, err = readConfig(filepath.Join(dir, "scheduler", "scheduler_config.json")); err != nil {
		return nil, err
	}
	c.Tokenizer = filepath.Join(dir, "tokenizer")
	if !holdsTokenizer(c.Tokenizer) {
		return nil, fmt.Errorf("checkpoint: %s: holds neither tokenizer.json nor vocab.json with merges.txt", c.Tokenizer)
	}
	for _, part := range []struct {
		component   *Component
		folder      string
		weightsName string
		kind        kind
	}{
		{&c.Transformer, "transformer", "diffusion_pytorch_model", transformer},
		{&c.VAE, "vae", "diffusion_pytorch_model", vae},
		{&c.TextEncoder, "text_encoder", "model", textEncoder},
	} {
		if err := openComponent(part.component, filepath.Join(dir, part.folder), part.weightsName, part.kind); err != nil {
			c.Close()
			return nil, err
		}
	}
	return c, nil
}

func openComponent(p *Component, dir, weightsName string, k kind) (err error) {
	if p.ConfigJSON, err = readConfig(filepath.Join(dir, "config.json")); err != nil {
		return err
	}
	path := filepath.Join(dir, weightsName+".safetensors")
	if index := path + ".index.json"; !exists(path) && exists(index) {
		path = index
	}
	if !exists(path) {
		return fmt.Errorf("checkpoint: %s: is missing, and so is its .index.json; the folder holds %s", path, listing(dir))
	}
	if p.set, err = safetensors.OpenSet(path); err != nil {
		return err
	}
	p.Source, err = newWeights(p.set, path, k, diffusersNames)
	return err
}

// listing names what lies in dir, for a message about what does not.
func listing(dir string) string {
	list, err := os.ReadDir(dir)
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
func readConfig(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("checkpoint: %s: is missing", path)
	}
	if err == nil && !info.Mode().IsRegular() { // opening a pipe would wait for its writer
		return nil, fmt.Errorf("checkpoint: %s: is no regular file, want a JSON object", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("checkpoint: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxConfigBytes+1))
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
	return text, nil
}

func readModelIndex(path string) (ModelIndex, error) {
	text, err := readConfig(path)
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
		return ModelIndex{}, fmt.Errorf("checkpoint: %s: _class_name %q, want %q", path, file.ClassName, pipelineClass)
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
