// Package models gets FLUX.2 [klein] models from Hugging Face and looks after those that are there: a name of the
// catalogue goes in, a folder that the engine opens comes out.
//
// It is the only package of the program that connects anywhere by itself, and only in Get. It prints nothing: progress
// goes to a callback. A download that ends early, for whatever reason, goes on where it stopped the next time; a model
// has its final name only once every file of it has been verified.
package models

import (
	"fmt"
	"strings"

	"kleinbild/inference/checkpoint"
)

// Model is an entry of the catalogue.
type Model struct {
	Name      string // what people type, and the name of its folder
	Title     string
	Licence   Licence
	SizeBytes int64 // of the download, rounded: the hub knows it exactly
	sources   []source
}

// Licence is what a model may be used for.
type Licence struct {
	Name string
	URL  string
	// Ask means that the user must agree before the download.
	Ask bool
}

// source is a repository, and the files of it that a model needs.
type source struct {
	repository string
	files      []pattern
}

// pattern selects files by path.Match; to is the name in the model's folder, where it differs from the path.
type pattern struct{ path, to string }

var (
	apache        = Licence{Name: "Apache-2.0", URL: "https://www.apache.org/licenses/LICENSE-2.0"}
	nonCommercial = Licence{
		Name: "FLUX Non-Commercial License", Ask: true,
		URL: "https://huggingface.co/black-forest-labs/FLUX.2-klein-9B/blob/main/LICENSE.md",
	}
)

// diffusers selects the folder that Diffusers writes out of a repository that holds single files as well.
func diffusers(repository string) []source {
	return []source{{repository, []pattern{
		{path: "model_index.json"}, {path: "scheduler/*.json"},
		{path: "tokenizer/*"},
		{path: "transformer/*.json"}, {path: "transformer/*.safetensors"},
		{path: "text_encoder/*.json"}, {path: "text_encoder/*.safetensors"},
		{path: "vae/*.json"}, {path: "vae/*.safetensors"},
	}}}
}

// fp8 selects an fp8 transformer, and the text encoder and the VAE as single files from where they are published so.
func fp8(repository, file string) []source {
	return []source{
		{repository, []pattern{{path: file}}},
		{"Comfy-Org/flux2-klein-4B", []pattern{
			{"split_files/text_encoders/qwen_3_4b.safetensors", "qwen_3_4b.safetensors"},
			{"split_files/vae/flux2-vae.safetensors", "flux2-vae.safetensors"},
		}},
	}
}

// Catalogue lists the models that Get knows, the usual one first.
func Catalogue() []Model {
	return []Model{
		{checkpoint.DefaultName, "4B, distilled: 4 steps", apache, 16_000_000_000, diffusers("black-forest-labs/FLUX.2-klein-4B")},
		{"flux2-klein-4b-fp8", "4B, distilled, fp8 transformer", apache, 12_500_000_000, fp8("black-forest-labs/FLUX.2-klein-4b-fp8", "flux-2-klein-4b-fp8.safetensors")},
		{"flux2-klein-base-4b", "4B, base: 50 steps, for variety", apache, 16_000_000_000, diffusers("black-forest-labs/FLUX.2-klein-base-4B")},
		{"flux2-klein-base-4b-fp8", "4B, base, fp8 transformer", apache, 12_500_000_000, fp8("black-forest-labs/FLUX.2-klein-base-4b-fp8", "flux-2-klein-base-4b-fp8.safetensors")},
		{"flux2-klein-9b", "9B, distilled: 4 steps", nonCommercial, 35_000_000_000, diffusers("black-forest-labs/FLUX.2-klein-9B")},
		{"flux2-klein-base-9b", "9B, base: 50 steps, for variety", nonCommercial, 35_000_000_000, diffusers("black-forest-labs/FLUX.2-klein-base-9B")},
	}
}

// Find returns the catalogue's model called name; the error lists the names.
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
