package inference

import (
	"os"

	"kleinbild/inference/checkpoint"
)

// FoundModel is a model on this machine that opens.
type FoundModel struct {
	Name      string // for people
	Spec      string // what Options.Model takes
	SizeBytes int64
}

// FindModels looks for models in the usual places: the app's folder, the Hugging Face cache, ComfyUI's folders. Each is
// opened to see that it is whole and of one piece, half a second each; what does not open is left out.
func FindModels() (found []FoundModel) {
	seen := map[string]bool{}
	for _, spec := range checkpoint.Candidates(os.Getenv) {
		e, err := Open(Options{Model: spec, Device: DeviceCPU})
		if err != nil {
			continue
		}
		info := e.Info()
		if err := e.Close(); err == nil && !seen[info.Digest] {
			seen[info.Digest] = true
			found = append(found, FoundModel{Name: info.Model, Spec: spec, SizeBytes: info.SizeBytes})
		}
	}
	return found
}
