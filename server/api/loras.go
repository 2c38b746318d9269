package api

import "github.com/kleinbild/kleinbild/inference"

// PathLoRAs lists the adapters that requests may name. With the parameter ParameterName it describes one of them.
const (
	PathLoRAs     = "/v1/loras"
	ParameterName = "name"
)

// LoRAs is the feature of a server that takes adapters by name from another Kleinbild, with their digests.
const LoRAs Feature = "loras"

// LoRAList is the reply of GET /v1/loras.
type LoRAList struct {
	Object string `json:"object"` // "list"
	Data   []LoRA `json:"data"`
}

// LoRA is an adapter of a server.
type LoRA struct {
	Name string   `json:"name"`
	Fit  *LoRAFit `json:"fit,omitempty"` // nil in the list of all
}

// LoRAFit describes an adapter and how it fits the model. Its texts are those of inference.LoRAInfo.
type LoRAFit struct {
	SHA256      string   `json:"sha256"`
	Kinds       string   `json:"kinds"`
	LowestRank  int      `json:"lowest_rank"` // 0 if there are no ranks
	HighestRank int      `json:"highest_rank"`
	Trainer     string   `json:"trainer"`
	Title       string   `json:"title"`
	Base        string   `json:"base"`
	Triggers    []string `json:"triggers"`
	Matched     int      `json:"matched"` // of Total layers
	Total       int      `json:"total"`
	Left        string   `json:"left"`    // which layers are left out
	Problem     string   `json:"problem"` // why it cannot be used with the model, "" if it can
}

// LoRAFitOf returns the description of an adapter.
func LoRAFitOf(i inference.LoRAInfo) *LoRAFit {
	f := &LoRAFit{
		SHA256: i.Digest, Kinds: i.Kinds, LowestRank: i.LowestRank, HighestRank: i.HighestRank, Trainer: i.Trainer,
		Title: i.Title, Base: i.Base, Triggers: i.Triggers, Matched: i.Matched, Total: i.Total, Left: i.Left,
	}
	if f.Triggers == nil {
		f.Triggers = []string{}
	}
	return f
}

// Info returns the description as an inference.LoRAInfo.
func (f LoRAFit) Info(name string) inference.LoRAInfo {
	i := inference.LoRAInfo{Name: name, Matched: f.Matched, Total: f.Total, Left: f.Left}
	i.Digest, i.Kinds, i.LowestRank, i.HighestRank = f.SHA256, f.Kinds, f.LowestRank, f.HighestRank
	i.Trainer, i.Title, i.Base, i.Triggers, i.Layers = f.Trainer, f.Title, f.Base, f.Triggers, f.Total
	return i
}

// LoRAAsked is an item of the field loras of POST /v1/generate. Strength is 1 if it is not given, and SHA256 is
// compared with the file's unless it is "".
type LoRAAsked struct {
	Name     string   `json:"name"`
	Strength *float64 `json:"strength"`
	SHA256   string   `json:"sha256,omitempty"`
}
