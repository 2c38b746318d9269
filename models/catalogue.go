// Package models downloads FLUX.2 [klein] models from Hugging Face, and lists, verifies and removes installed ones. Get
// takes a model of the catalogue and returns a folder that the engine can open.
//
// No other package of the program connects to a server by itself, and this one does so only in Get. It prints nothing:
// it reports progress to a callback. An interrupted download is resumed by the next Get. A model gets its final name
// only after all its files have been verified.
package models

import (
	"fmt"
	"strings"

	"github.com/kleinbild/kleinbild/inference/checkpoint"
)

// Model is an entry of the catalogue.
type Model struct {
	Name      string // what people type, and the name of its folder
	Title     string
	Plain     string // a name for people who have not heard of models
	About     string // what it is good for, in a few of their words
	Licence   Licence
	SizeBytes int64 // of the download, rounded
	// MemoryBytes is what a large picture takes on a processor, measured; 0 if it was not measured.
	MemoryBytes int64
	sources     []source
}

// Licence is the licence of a model.
type Licence struct {
	Name  string
	Plain string // what it allows, in a few words
	URL   string
	// Ask is true if the user must agree to the licence before the download.
	Ask bool
}

// source is a repository, and patterns for the files that a model needs from it.
type source struct {
	repository string
	files      []pattern
}

// pattern selects the files whose path matches path (path.Match). to is the file's path in the model's folder, or "" if
// it is the same.
type pattern struct{ path, to string }

var (
	apache = Licence{
		Name: "Apache-2.0", Plain: "free for any use", URL: "https://www.apache.org/licenses/LICENSE-2.0",
	}
	nonCommercial = Licence{
		Name: "FLUX Non-Commercial License", Plain: "not for commercial use", Ask: true,
		URL: "https://huggingface.co/black-forest-labs/FLUX.2-klein-9B/blob/main/LICENSE.md",
	}
)

// diffusers selects the files in the layout of Diffusers from a repository that also has single-file weights.
func diffusers(repository string) []source {
	return []source{{repository, []pattern{
		{path: "model_index.json"}, {path: "scheduler/*.json"},
		{path: "tokenizer/*"},
		{path: "transformer/*.json"}, {path: "transformer/*.safetensors"},
		{path: "text_encoder/*.json"}, {path: "text_encoder/*.safetensors"},
		{path: "vae/*.json"}, {path: "vae/*.safetensors"},
	}}}
}

// fp8 selects file, an fp8 transformer, from repository, and the text encoder and the VAE, each as a single file, from
// Comfy-Org/flux2-klein-4B.
func fp8(repository, file string) []source {
	return []source{
		{repository, []pattern{{path: file}}},
		{"Comfy-Org/flux2-klein-4B", []pattern{
			{"split_files/text_encoders/qwen_3_4b.safetensors", "qwen_3_4b.safetensors"},
			{"split_files/vae/flux2-vae.safetensors", "flux2-vae.safetensors"},
		}},
	}
}

// memory4B is what the 4B model took on a processor for a picture of 1344×768.
const memory4B = 8_500_000_000

// Catalogue returns the models that can be downloaded, the default one first.
func Catalogue() []Model {
	return []Model{
		{
			Name: checkpoint.DefaultName, Title: "4B, distilled: 4 steps", Plain: "FLUX.2 [klein] 4B",
			About: "The usual choice: a picture in four steps.", Licence: apache, SizeBytes: 16_000_000_000,
			MemoryBytes: memory4B, sources: diffusers("black-forest-labs/FLUX.2-klein-4B"),
		},
		{
			Name: "flux2-klein-4b-fp8", Title: "4B, distilled, fp8 transformer", Plain: "FLUX.2 [klein] 4B, smaller",
			About: "The same, stored less precisely: a shorter download.", Licence: apache, SizeBytes: 12_500_000_000,
			sources: fp8("black-forest-labs/FLUX.2-klein-4b-fp8", "flux-2-klein-4b-fp8.safetensors"),
		},
		{
			Name: "flux2-klein-base-4b", Title: "4B, base: 50 steps, for variety", Plain: "FLUX.2 [klein] 4B, base",
			About: "More variety in fifty steps: twelve times as slow.", Licence: apache, SizeBytes: 16_000_000_000,
			MemoryBytes: memory4B, sources: diffusers("black-forest-labs/FLUX.2-klein-base-4B"),
		},
		{
			Name: "flux2-klein-base-4b-fp8", Title: "4B, base, fp8 transformer", Plain: "FLUX.2 [klein] 4B, base, smaller",
			About: "The same, stored less precisely: a shorter download.", Licence: apache, SizeBytes: 12_500_000_000,
			sources: fp8("black-forest-labs/FLUX.2-klein-base-4b-fp8", "flux-2-klein-base-4b-fp8.safetensors"),
		},
		{
			Name: "flux2-klein-9b", Title: "9B, distilled: 4 steps", Plain: "FLUX.2 [klein] 9B",
			About: "Finer pictures, slower, for large computers.", Licence: nonCommercial, SizeBytes: 35_000_000_000,
			sources: diffusers("black-forest-labs/FLUX.2-klein-9B"),
		},
		{
			Name: "flux2-klein-base-9b", Title: "9B, base: 50 steps, for variety", Plain: "FLUX.2 [klein] 9B, base",
			About: "More variety in fifty steps, for large computers.", Licence: nonCommercial, SizeBytes: 35_000_000_000,
			sources: diffusers("black-forest-labs/FLUX.2-klein-base-9B"),
		},
	}
}

// Find returns the model of the catalogue with the given name. The error lists the names that exist.
func Find(name string) (Model, error) {
	var names []string
	for _, m := range Catalogue() {
		if m.Name == name {
			return m, nil
		}
		names = append(names, m.Name)
	}
	return Model{}, fmt.Errorf("models: no model called %q, want one of %s", name, strings.Join(names, ", "))
}
