package picture

import (
	"bytes"
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// ComfyUI writes the executed graph as JSON: node id → class and inputs. An input is a value or a link ["id", output].
// The prompt is found by following links backwards from the sampler, whatever the nodes between are: extensions have
// classes of their own, but the names of inputs seldom differ.

// graph maps ids to nodes.
type graph map[string]*node

type node struct {
	Class  string         // "KSampler"
	Inputs map[string]any // string, json.Number, a link, …
}

// The usual names of inputs.
var (
	textInputs = []string{
		"text", "prompt", "positive_prompt", "text_g", "clip_l", "t5xxl", "text_l", "string", "value", "wildcard_text",
		"populated_text", "text1", "string_a", "a",
	}
	seedInputs  = []string{"seed", "noise_seed", "value", "int"}
	stepsInputs = []string{"steps", "value", "int"}
	sideInputs  = []string{"value", "int"}
	// notConditioning holds inputs through which no prompt comes.
	notConditioning = []string{
		"clip", "model", "vae", "image", "images", "pixels", "latent", "latent_image", "samples", "control_net", "mask",
		"clip_vision_output", "style_model",
	}
)

// readComfyUI parses the executed graph.
func readComfyUI(value string) (Origin, error) {
	g := graph{}
	if !looseJSON(withoutNaN(value), &g) || len(g) == 0 || len(g) > maxGraphNodes {
		return Origin{}, ErrNoMetadata
	}
	for id, n := range g {
		if n == nil || n.Class == "" {
			delete(g, id)
		}
	}
	return g.origin()
}

// origin collects the settings from the sampler and the nodes to which its inputs are linked.
func (g graph) origin() (Origin, error) {
	o := Origin{Program: "ComfyUI"}
	sampler := g.sampler()
	if sampler == nil {
		return Origin{}, ErrNoMetadata
	}
	positive, negative := g.promptOf(sampler, "positive"), g.promptOf(sampler, "negative")
	if negative == positive {
		negative = "" // the negative input is a zeroed copy of the positive conditioning
	}
	o.prompt(positive, negative)
	o.seed(cmp.Or(g.number(sampler, seedInputs), g.behind(sampler, "noise", seedInputs)))
	o.steps(cmp.Or(g.number(sampler, stepsInputs[:1]), g.behind(sampler, "sigmas", stepsInputs)))
	o.size(g.latentSize(sampler))
	g.ignored(&o)
	if o.empty() {
		return Origin{}, ErrNoMetadata
	}
	return o, nil
}

// sampler returns the node that denoises: the one nearest to a node that saves or previews a picture, or else the one
// with the lowest id. It returns nil if there is none.
func (g graph) sampler() *node {
	isSampler := func(n *node) bool {
		_, positive := n.Inputs["positive"]
		_, guider := n.Inputs["guider"]
		_, latent := n.Inputs["latent_image"]
		_, steps := n.Inputs["steps"]
		return (positive || guider) && (latent || steps)
	}
	ids := slices.SortedFunc(maps.Keys(g), compareIDs)
	var layer []*node
	for _, id := range ids {
		if class := strings.ToLower(g[id].Class); strings.Contains(class, "save") || strings.Contains(class, "preview") {
			layer = append(layer, g[id])
		}
	}
	if found := g.search(layer, isSampler, func(*node, string) bool { return true }); found != nil {
		return found
	}
	for _, id := range ids {
		if isSampler(g[id]) {
			return g[id]
		}
	}
	return nil
}

// compareIDs compares ids part by part, as subgraphs have ids like "12:3". Two numbers are compared as numbers.
func compareIDs(a, b string) int {
	return slices.CompareFunc(strings.Split(a, ":"), strings.Split(b, ":"), func(x, y string) int {
		m, errM := strconv.Atoi(x)
		n, errN := strconv.Atoi(y)
		if errM == nil && errN == nil {
			return cmp.Compare(m, n)
		}
		return cmp.Compare(x, y)
	})
}

// search follows links backwards from the nodes in layer, through the inputs that follow accepts. It returns the
// nearest node that wanted accepts, or nil.
func (g graph) search(layer []*node, wanted func(*node) bool, follow func(*node, string) bool) *node {
	seen := map[*node]bool{}
	for depth := 0; len(layer) > 0 && depth < maxGraphDepth; depth++ {
		var next []*node
		for _, n := range layer {
			if seen[n] {
				continue
			}
			seen[n] = true
			if wanted(n) {
				return n
			}
			for _, input := range slices.Sorted(maps.Keys(n.Inputs)) {
				if from := g.link(n.Inputs[input]); from != nil && follow(n, input) {
					next = append(next, from)
				}
			}
		}
		layer = next
	}
	return nil
}

// link returns the node to which an input is linked, or nil if the input is a value.
func (g graph) link(input any) *node {
	pair, ok := input.([]any)
	if !ok || len(pair) != 2 {
		return nil
	}
	id, ok := pair[0].(string)
	if number, isNumber := pair[0].(json.Number); isNumber {
		id, ok = number.String(), true
	}
	if !ok {
		return nil
	}
	return g[id]
}

// promptOf returns the prompt of one input of a sampler, "positive" or "negative".
func (g graph) promptOf(sampler *node, side string) string {
	from := g.link(sampler.Inputs[side])
	if from == nil {
		guider := g.link(sampler.Inputs["guider"])
		if guider == nil {
			return ""
		}
		if from = g.link(guider.Inputs[side]); from == nil && side == "positive" {
			from = guider
		}
	}
	if from == nil {
		return ""
	}
	return g.text(from, side, map[*node]bool{})
}

// text returns the first text in the inputs of n, or in the nodes to which these are linked.
func (g graph) text(n *node, side string, seen map[*node]bool) string {
	if n == nil || seen[n] || len(seen) > maxGraphNodes || strings.Contains(n.Class, "ZeroOut") {
		return ""
	}
	seen[n] = true
	for _, name := range append([]string{side}, textInputs...) {
		switch value := n.Inputs[name].(type) {
		case string:
			if strings.TrimSpace(value) != "" {
				return value
			}
		case []any:
			if found := g.text(g.link(value), side, seen); found != "" {
				return found
			}
		}
	}
	other := map[string]string{"positive": "negative", "negative": "positive"}[side]
	for _, name := range slices.Sorted(maps.Keys(n.Inputs)) {
		if name == other || slices.Contains(notConditioning, name) {
			continue
		}
		if found := g.text(g.link(n.Inputs[name]), side, seen); found != "" {
			return found
		}
	}
	return ""
}

// number returns the first number among the named inputs of n, or in the nodes to which these are linked, as it is
// written. It returns "" if there is none.
func (g graph) number(n *node, names []string) string {
	if n == nil {
		return ""
	}
	seen := map[*node]bool{}
	var find func(n *node, names []string) string
	find = func(n *node, names []string) string {
		if n == nil || seen[n] {
			return ""
		}
		seen[n] = true
		for _, name := range names {
			switch value := n.Inputs[name].(type) {
			case json.Number:
				return value.String()
			case []any:
				if found := find(g.link(value), slices.Concat(names[:1:1], sideInputs)); found != "" {
					return found
				}
			}
		}
		return ""
	}
	return find(n, names)
}

// behind is number for the node to which one input of n is linked.
func (g graph) behind(n *node, input string, names []string) string {
	return g.number(g.link(n.Inputs[input]), names)
}

// latentSize returns the sides of the latent from which a sampler starts, as they are written.
func (g graph) latentSize(sampler *node) (width, height string) {
	for _, input := range []string{"latent_image", "samples", "latent"} {
		from := g.link(sampler.Inputs[input])
		if from == nil {
			continue
		}
		g.search([]*node{from}, func(n *node) bool {
			width, height = g.number(n, []string{"width"}), g.number(n, []string{"height"})
			return width != "" && height != ""
		}, func(_ *node, input string) bool {
			return input != "model" && input != "clip" && input != "positive" && input != "negative"
		})
		if width != "" && height != "" {
			return width, height
		}
	}
	return "", ""
}

// ignoredInputs lists inputs with settings that Kleinbild does not have, and the names under which people know them.
var ignoredInputs = []struct{ input, name string }{
	{"ckpt_name", "model"}, {"unet_name", "model"}, {"model_name", "model"}, {"vae_name", "VAE"},
	{"clip_name", "text encoder"}, {"clip_name1", "text encoder"}, {"clip_name2", "text encoder"},
	{"lora_name", "LoRA"}, {"lora", "LoRA"}, {"control_net_name", "ControlNet"},
	{"sampler_name", "sampler"}, {"scheduler", "scheduler"}, {"cfg", "CFG scale"}, {"guidance", "guidance"},
}

// ignored adds the settings of the graph that Kleinbild does not have to o, each once.
func (g graph) ignored(o *Origin) {
	noted := map[string]bool{}
	note := func(name string, value any) {
		text, ok := value.(string)
		if number, isNumber := value.(json.Number); isNumber {
			text, ok = number.String(), true
		}
		if ok && text != "" && text != "None" && !noted[name+text] {
			noted[name+text] = true
			o.ignore(name, text)
		}
	}
	for _, id := range slices.SortedFunc(maps.Keys(g), compareIDs) {
		for _, row := range ignoredInputs {
			note(row.name, g[id].Inputs[row.input])
		}
		for _, input := range slices.Sorted(maps.Keys(g[id].Inputs)) {
			if object, ok := g[id].Inputs[input].(map[string]any); ok && object["on"] != false {
				note("LoRA", object["lora"]) // some nodes hold a list of adapters
			}
		}
	}
}

// withoutNaN replaces NaN and Infinity, which Python writes into JSON, by null, because they are not valid JSON.
func withoutNaN(text string) string {
	if !strings.Contains(text, "NaN") && !strings.Contains(text, "Infinity") {
		return text
	}
	var s strings.Builder
	inText := false
	for i := 0; i < len(text); i++ {
		switch rest := text[i:]; {
		case inText && text[i] == '\\' && i+1 < len(text):
			s.WriteByte(text[i])
			i++
		case text[i] == '"':
			inText = !inText
		case !inText && strings.HasPrefix(rest, "NaN"):
			s.WriteString("null")
			i += len("NaN") - 1
			continue
		case !inText && strings.HasPrefix(strings.TrimPrefix(rest, "-"), "Infinity"):
			s.WriteString("null")
			i += len("Infinity") - 1
			if text[i-len("Infinity")+1] == '-' {
				i++
			}
			continue
		}
		s.WriteByte(text[i])
	}
	return s.String()
}

// decodeNumbers decodes JSON and keeps numbers as json.Number, because seeds have 64 bits.
func decodeNumbers(text []byte, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	return decoder.Decode(into)
}

// UnmarshalJSON decodes a node. A value that does not have the shape of a node gives an empty one.
func (n *node) UnmarshalJSON(text []byte) error {
	var loose struct {
		Class  string          `json:"class_type"`
		Inputs json.RawMessage `json:"inputs"`
	}
	if json.Unmarshal(text, &loose) == nil && decodeNumbers(loose.Inputs, &n.Inputs) == nil {
		n.Class = loose.Class
	}
	return nil // an error would refuse the whole graph
}
