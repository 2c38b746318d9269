package models

import "github.com/kleinbild/kleinbild/inference/checkpoint"

// Extras returns what can be downloaded beside the models and is no model itself. Quality and Need are zero.
func Extras() []Model {
	return []Model{{
		Name: checkpoint.PreviewName, Title: "TAEF2: previews at the picture's size",
		Licence: Licence{
			Name: "MIT", Plain: "free for any use", URL: "https://github.com/madebyollin/taesd/blob/main/LICENSE",
		},
		SizeBytes: 5_400_000,
		sources:   []source{{"madebyollin/taef2", []pattern{{path: checkpoint.PreviewFile}}}},
	}}
}

// Extra says whether m is no model, but goes with one.
func (m Model) Extra() bool { return m.Quality == "" }

// isExtra says whether a folder of models with this name has an extra.
func isExtra(name string) bool {
	for _, m := range Extras() {
		if m.Name == name {
			return true
		}
	}
	return false
}
