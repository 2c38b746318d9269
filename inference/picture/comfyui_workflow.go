package picture

import (
	"encoding/json"
	"strconv"
)

// ComfyUI's second text is the graph as it is drawn: nodes with links by number, and values by their place on the node.
// It is read where the graph that ran is not there.

// widgets are the names of the values of nodes by their place, "" for one that is not an input.
var widgets = map[string][]string{
	"KSampler":                 {"seed", "", "steps", "cfg", "sampler_name", "scheduler", "denoise"},
	"KSamplerAdvanced":         {"add_noise", "noise_seed", "", "steps", "cfg", "sampler_name", "scheduler"},
	"SamplerCustom":            {"add_noise", "noise_seed", "", "cfg"},
	"RandomNoise":              {"noise_seed"},
	"BasicScheduler":           {"scheduler", "steps", "denoise"},
	"Flux2Scheduler":           {"steps", "width", "height"},
	"KSamplerSelect":           {"sampler_name"},
	"CLIPTextEncode":           {"text"},
	"CLIPTextEncodeFlux":       {"clip_l", "t5xxl", "guidance"},
	"CLIPTextEncodeSDXL":       {"", "", "", "", "", "", "text_g", "text_l"},
	"FluxGuidance":             {"guidance"},
	"CFGGuider":                {"cfg"},
	"EmptyLatentImage":         {"width", "height"},
	"EmptySD3LatentImage":      {"width", "height"},
	"EmptyFlux2LatentImage":    {"width", "height"},
	"CheckpointLoaderSimple":   {"ckpt_name"},
	"UNETLoader":               {"unet_name"},
	"VAELoader":                {"vae_name"},
	"CLIPLoader":               {"clip_name"},
	"DualCLIPLoader":           {"clip_name1", "clip_name2"},
	"LoraLoader":               {"lora_name"},
	"LoraLoaderModelOnly":      {"lora_name"},
	"ControlNetLoader":         {"control_net_name"},
	"PrimitiveInt":             {"value"},
	"PrimitiveNode":            {"value"},
	"PrimitiveString":          {"value"},
	"PrimitiveStringMultiline": {"value"},
}

// Modes of a node that does not run.
const (
	modeMuted    = 2
	modeBypassed = 4
)

func readComfyUIWorkflow(value string) (Origin, error) {
	var drawn struct {
		Nodes []struct {
			ID     json.Number `json:"id"`
			Type   string      `json:"type"`
			Mode   int         `json:"mode"`
			Inputs []struct {
				Name string `json:"name"`
				Link *int   `json:"link"`
			} `json:"inputs"`
			Values json.RawMessage `json:"widgets_values"`
		} `json:"nodes"`
		Links []json.RawMessage `json:"links"`
	}
	if !looseJSON(withoutNaN(value), &drawn) || len(drawn.Nodes) == 0 || len(drawn.Nodes) > maxGraphNodes {
		return Origin{}, ErrNoMetadata
	}
	from := map[int]string{}
	for _, link := range drawn.Links {
		var fields []any // number, from node, its output, to node, its input, type
		if json.Unmarshal(link, &fields) != nil || len(fields) < 2 {
			continue
		}
		number, isNumber := fields[0].(float64)
		id, isID := fields[1].(float64)
		if isNumber && isID {
			from[int(number)] = strconv.FormatFloat(id, 'f', -1, 64)
		}
	}
	g := graph{}
	for _, d := range drawn.Nodes {
		if d.Mode == modeMuted || d.Mode == modeBypassed {
			continue
		}
		n := &node{Class: d.Type, Inputs: map[string]any{}}
		var list []any
		if decodeNumbers(d.Values, &list) == nil {
			names := widgets[d.Type]
			for i, v := range list {
				if i < len(names) && names[i] != "" {
					n.Inputs[names[i]] = v
				} else if text, ok := v.(string); ok && names == nil && n.Inputs["text"] == nil {
					n.Inputs["text"] = text // an extension's node: its first text
				}
			}
		} else {
			_ = decodeNumbers(d.Values, &n.Inputs) // some nodes have names; others say nothing
			if n.Inputs == nil {
				n.Inputs = map[string]any{}
			}
		}
		for _, in := range d.Inputs {
			if in.Link != nil && from[*in.Link] != "" {
				n.Inputs[in.Name] = []any{from[*in.Link], 0.0}
			}
		}
		g[d.ID.String()] = n
	}
	return g.origin()
}
