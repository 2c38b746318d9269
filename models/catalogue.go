// Package models downloads FLUX.2 [klein] models from Hugging Face, and networks that enlarge pictures from the
// releases of their authors; it lists, verifies and removes installed ones. Get takes a model of the catalogue and
// returns a folder that the engine can open.
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
	// Quality says how far its pictures are from those of the bf16 weights.
	Quality checkpoint.Closeness
	// Need is the memory for a picture of a megapixel. It is counted; if Measured is true, the processor's was measured.
	Need     checkpoint.Need
	Measured bool
	sources  []source
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
	// release, unless nil, is used in place of the hub.
	release *release
}

// release is a file of a release on another server. Its size and digest are part of the program: that server lists
// none. The repository is the page that people know.
type release struct {
	tag     string
	address string // of the file
	file    wanted
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

// Catalogue returns the models that can be downloaded, the default one first. Of each published model, the files with
// the highest quality come first.
func Catalogue() (list []Model) {
	for _, e := range editions {
		list = append(list, e.whole())
		for _, s := range e.storages() {
			list = append(list, e.stored(s))
		}
	}
	return list
}

// Find returns the model of the catalogue, or the extra, with the given name, in capitals or not. The error lists the
// names that exist.
func Find(name string) (Model, error) {
	var names []string
	for _, m := range append(Catalogue(), Extras()...) {
		if strings.EqualFold(m.Name, name) {
			return m, nil
		}
		names = append(names, m.Name)
	}
	return Model{}, fmt.Errorf("models: no model called %q, want one of %s", name, strings.Join(names, ", "))
}
