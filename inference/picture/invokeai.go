package picture

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"
)

// readInvokeAI parses the metadata of InvokeAI 3 and later: one flat JSON object.
func readInvokeAI(value string) (Origin, error) {
	var m struct {
		Positive  *string     `json:"positive_prompt"`
		Negative  string      `json:"negative_prompt"`
		Seed      json.Number `json:"seed"`
		Steps     json.Number `json:"steps"`
		Width     json.Number `json:"width"`
		Height    json.Number `json:"height"`
		CFG       json.Number `json:"cfg_scale"`
		Guidance  json.Number `json:"guidance"`
		Scheduler string      `json:"scheduler"`
		Mode      string      `json:"generation_mode"`
		Model     invokeModel `json:"model"`
		VAE       invokeModel `json:"vae"`
		Adapters  []struct {
			Model invokeModel `json:"model"`
			LoRA  invokeModel `json:"lora"`
		} `json:"loras"`
	}
	if !looseJSON(value, &m) || m.Positive == nil && m.Seed == "" {
		return Origin{}, ErrNoMetadata
	}
	o := Origin{Program: "InvokeAI"}
	if m.Positive != nil {
		o.prompt(*m.Positive, m.Negative)
	}
	o.seed(m.Seed.String())
	o.steps(m.Steps.String())
	o.size(m.Width.String(), m.Height.String())
	o.ignore("CFG scale", m.CFG.String())
	o.ignore("guidance", m.Guidance.String())
	o.ignore("scheduler", m.Scheduler)
	o.ignore("mode", m.Mode)
	o.ignore("model", m.Model.String())
	o.ignore("VAE", m.VAE.String())
	for _, a := range m.Adapters {
		o.ignore("LoRA", a.Model.String()+a.LoRA.String())
	}
	return o, nil
}

// invokeModel is the name of a model. It is a string in some versions, and an object in others.
type invokeModel string

func (m invokeModel) String() string { return string(m) }

func (m *invokeModel) UnmarshalJSON(text []byte) error {
	var name string
	var object struct {
		Name    string `json:"name"`
		OldName string `json:"model_name"`
	}
	if json.Unmarshal(text, &name) == nil {
		*m = invokeModel(name)
	} else if json.Unmarshal(text, &object) == nil {
		*m = invokeModel(object.Name + object.OldName)
	}
	return nil // an error would refuse the whole object
}

// readSDMetadata parses the metadata of InvokeAI 2.
func readSDMetadata(value string) (Origin, error) {
	var m struct {
		Model   string `json:"model_weights"`
		Picture struct {
			Prompt  json.RawMessage `json:"prompt"`
			Seed    json.Number     `json:"seed"`
			Steps   json.Number     `json:"steps"`
			Width   json.Number     `json:"width"`
			Height  json.Number     `json:"height"`
			CFG     json.Number     `json:"cfg_scale"`
			Sampler string          `json:"sampler"`
			Type    string          `json:"type"`
		} `json:"image"`
	}
	if !looseJSON(value, &m) || m.Picture.Prompt == nil && m.Picture.Seed == "" {
		return Origin{}, ErrNoMetadata
	}
	var prompt string
	var parts []struct {
		Prompt string `json:"prompt"`
	}
	if bytes.HasPrefix(bytes.TrimSpace(m.Picture.Prompt), []byte("[")) {
		_ = json.Unmarshal(m.Picture.Prompt, &parts) // a list of another shape gives no prompt
		var texts []string
		for _, p := range parts {
			texts = append(texts, p.Prompt)
		}
		prompt = strings.Join(texts, ", ")
	} else {
		_ = json.Unmarshal(m.Picture.Prompt, &prompt)
	}
	o := Origin{Program: "InvokeAI"}
	o.prompt(withoutBrackets(prompt))
	o.seed(m.Picture.Seed.String())
	o.steps(m.Picture.Steps.String())
	o.size(m.Picture.Width.String(), m.Picture.Height.String())
	o.ignore("CFG scale", m.Picture.CFG.String())
	o.ignore("sampler", m.Picture.Sampler)
	o.ignore("mode", m.Picture.Type)
	o.ignore("model", m.Model)
	return o, nil
}

// bracketed matches a part of a prompt in square brackets, which old versions of InvokeAI treat as negative.
var bracketed = regexp.MustCompile(`\[([^\[\]]*)\]`)

// withoutBrackets splits a prompt into its positive and its bracketed parts.
func withoutBrackets(prompt string) (positive, negative string) {
	var parts []string
	for _, m := range bracketed.FindAllStringSubmatch(prompt, -1) {
		parts = append(parts, m[1])
	}
	return strings.Join(strings.Fields(bracketed.ReplaceAllString(prompt, " ")), " "), strings.Join(parts, ", ")
}

// dreamFlag matches a flag with its value in the command line that the predecessor of InvokeAI wrote.
var dreamFlag = regexp.MustCompile(`\s-{1,2}([A-Za-z_]+)[ =]?("[^"]*"|[^\s"]+)`)

// readDream parses a line such as: "a red fox" -s 50 -S 42 -W 512 -H 512 -C 7.5 -A k_lms
func readDream(value string) (Origin, error) {
	value = strings.TrimSpace(value)
	prompt, flags := value, ""
	if rest, quoted := strings.CutPrefix(value, `"`); quoted {
		if i := strings.LastIndex(rest, `"`); i >= 0 {
			prompt, flags = rest[:i], rest[i+1:]
		}
	} else if at := dreamFlag.FindStringIndex(value); at != nil {
		prompt, flags = value[:at[0]], value[at[0]:]
	}
	o := Origin{Program: "InvokeAI"}
	var width, height string
	o.prompt(withoutBrackets(prompt))
	for _, f := range dreamFlag.FindAllStringSubmatch(flags, -1) {
		switch name, value := f[1], f[2]; name {
		case "s", "steps":
			o.steps(value)
		case "S", "seed":
			o.seed(value)
		case "W", "width":
			width = value
		case "H", "height":
			height = value
		default:
			o.ignore("-"+name, value)
		}
	}
	o.size(width, height)
	if !o.HasSeed && o.Steps == 0 {
		return Origin{}, ErrNoMetadata
	}
	return o, nil
}
