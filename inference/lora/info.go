package lora

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"
	"unicode/utf8"
)

// Info describes a file for people. Its texts come from strangers.
type Info struct {
	Kinds string
	// Ranks are the lowest and the highest rank, 0 if the file has none.
	LowestRank, HighestRank int
	Layers                  int
	// Trainer is the program that wrote the file, or the naming that it has.
	Trainer string
	// Title and Base are what the metadata say of the file and of the model that it was made for, "" if nothing.
	Title, Base string
	// Triggers are words for the prompt: those that the metadata name, or else the most frequent tags of the training.
	Triggers []string
	Digest   string
}

// Info describes the file.
func (f *File) Info() Info {
	meta := f.file.Metadata()
	get := func(keys ...string) string {
		for _, key := range keys {
			if v := strings.TrimSpace(meta[key]); v != "" && v != "None" && v != "null" {
				return clip(v)
			}
		}
		return ""
	}
	i := Info{
		Kinds: f.Kinds(), Layers: len(f.modules), Digest: f.digest, Trainer: f.trainer(),
		Title:    get("modelspec.title", "ss_output_name", "name"),
		Base:     get("modelspec.architecture", "ss_base_model_version", "ss_sd_model_name", "base_model"),
		Triggers: triggers(meta),
	}
	for _, m := range f.modules {
		kind, unsupported, err := m.kind()
		if err != nil || unsupported != "" {
			continue
		}
		if s, err := f.size(m, kind); err == nil && s.rank > 0 {
			i.HighestRank = max(i.HighestRank, s.rank)
			if i.LowestRank == 0 || s.rank < i.LowestRank {
				i.LowestRank = s.rank
			}
		}
	}
	return i
}

// clip cuts off a long text.
func clip(text string) string {
	if len(text) <= maxTriggerBytes {
		return text
	}
	cut := maxTriggerBytes
	for cut > 0 && !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut] + "…"
}

// trainer returns the program that wrote the file as the metadata tell it, or else what the names look like.
func (f *File) trainer() string {
	meta := f.file.Metadata()
	var software struct{ Name string }
	switch {
	case json.Unmarshal([]byte(meta["software"]), &software) == nil && software.Name != "":
		return clip(software.Name)
	case strings.Contains(meta["ss_network_module"], "lycoris"):
		return "LyCORIS"
	case strings.Contains(meta["ss_network_module"], "flux_2"):
		return "musubi-tuner"
	case meta["ss_network_module"] != "":
		return "kohya's sd-scripts"
	case meta["ot_revision"] != "" || meta["ot_config"] != "":
		return "OneTrainer"
	case meta[metadataConfig] != "":
		return "Diffusers (PEFT)"
	}
	for _, form := range namings {
		for _, m := range f.modules {
			if !isEncoder(m.name) && form.is(m) {
				return form.name
			}
		}
	}
	return "unknown"
}

// namings are the forms of names by which a file without metadata is described, the first that fits.
var namings = []struct {
	name string
	is   func(m module) bool
}{
	{"kohya's names", func(m module) bool { return strings.HasPrefix(m.name, "lora_unet_") }},
	{"OneTrainer's names", func(m module) bool {
		return strings.HasPrefix(m.name, "lora_transformer_") ||
			strings.HasPrefix(m.name, "transformer.") && strings.Contains(m.keys[roleDown], ".lora_down.")
	}},
	{"LyCORIS' names", func(m module) bool { return strings.HasPrefix(m.name, "lycoris_") }},
	{"PEFT's names", func(m module) bool { return strings.HasPrefix(m.name, "base_model.") }},
	{"ComfyUI's names of Diffusers' layers", func(m module) bool {
		return strings.HasPrefix(m.name, "diffusion_model.") && strings.Contains(m.name, "sformer_blocks.")
	}},
	{"ai-toolkit's and ComfyUI's names", func(m module) bool { return strings.HasPrefix(m.name, "diffusion_model.") }},
	{"Diffusers' names", func(m module) bool {
		return strings.HasPrefix(m.name, "transformer.") || strings.Contains(m.name, "transformer_blocks.")
	}},
	{"original names", func(m module) bool { _, ok := resolve(m.name); return ok }},
}

// triggers returns the words that call what the adapter has learned.
func triggers(meta map[string]string) (list []string) {
	add := func(text string) {
		if text = strings.TrimSpace(text); text != "" && len(list) < maxTriggers && !slices.Contains(list, clip(text)) {
			list = append(list, clip(text))
		}
	}
	for _, key := range []string{"modelspec.trigger_phrase", "trigger_phrase", "trigger_word", "trigger_words",
		"instance_prompt", "activation text"} {
		text := meta[key]
		var words []string
		if json.Unmarshal([]byte(text), &words) == nil {
			for _, w := range words {
				add(w)
			}
			continue
		}
		add(text)
	}
	if len(list) > 0 || len(meta["ss_tag_frequency"]) > maxTagBytes {
		return list
	}
	var sets map[string]map[string]float64
	if json.Unmarshal([]byte(meta["ss_tag_frequency"]), &sets) != nil {
		return list
	}
	counts := map[string]float64{}
	for _, set := range sets {
		for tag, n := range set {
			counts[tag] += n
		}
	}
	type tag struct {
		text  string
		count float64
	}
	var tags []tag
	for text, count := range counts {
		tags = append(tags, tag{text, count})
	}
	slices.SortFunc(tags, func(a, b tag) int {
		return cmp.Or(cmp.Compare(b.count, a.count), strings.Compare(a.text, b.text))
	})
	const frequent = 5
	for _, t := range tags[:min(frequent, len(tags))] {
		add(t.text)
	}
	return list
}
