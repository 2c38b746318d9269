package picture

import (
	"encoding/json"
	"strconv"
)

// ComfyUI's second text is the graph as the editor shows it. Its links have numbers, and the values of a node are a
// list without names. It is read only if the executed graph is missing.

// widgets gives the names of a class's values by their position in that list; "" for one that is not an input.
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

// The modes of nodes that are not executed.
const (
	modeMuted    = 2
	modeBypassed = 4
)

// readComfyUIWorkflow converts the graph of the editor to the form of the executed graph, and reads that.
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
		var fields []any // link number, source node, its output, target node, its input, type
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
					n.Inputs["text"] = text // the first text of an unknown node
				}
			}
		} else {
			_ = decodeNumbers(d.Values, &n.Inputs) // some nodes have an object with names; other nodes have no values
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
