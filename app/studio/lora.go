package studio

import (
	"math"
	"slices"
	"strings"

	"github.com/kleinbild/kleinbild/inference"
	"github.com/kleinbild/kleinbild/inference/picture"
)

// LoRA is an adapter on the desk. One that is off keeps its strength and has no effect.
type LoRA struct {
	Name     string  `json:"name"`
	Path     string  `json:"path,omitempty"`   // "" for one of another computer, or whose file was not found
	Digest   string  `json:"sha256,omitempty"` // SHA-256 of the file, hexadecimal; "" before it was read
	Strength float64 `json:"strength"`
	Off      bool    `json:"off,omitempty"`
}

// LoRAOf returns an adapter at its usual strength.
func LoRAOf(l inference.LoRA) LoRA {
	return LoRA{Name: l.Name, Path: l.Path, Digest: l.Digest, Strength: l.Strength}
}

// Ask returns the adapter as an engine takes it.
func (l LoRA) Ask() inference.LoRA {
	return inference.LoRA{Name: l.Name, Path: l.Path, Strength: l.Strength, Digest: l.Digest}
}

// Same says whether two adapters change a picture in the same way. Digests are compared if both are known.
func (l LoRA) Same(other LoRA) bool {
	if l.Digest == "" || other.Digest == "" {
		l.Digest, other.Digest = "", ""
	}
	return l == other
}

// sameFile says whether two adapters are one file.
func (l LoRA) sameFile(other LoRA) bool {
	if l.Path != "" && l.Path == other.Path {
		return true
	}
	return l.Path == other.Path && l.Name == other.Name
}

// The strengths that the window offers, and the steps between them.
const (
	LeastLoRAStrength, MostLoRAStrength, LoRAStrengthStep = -1, 2, 0.05
)

// RoundStrength returns the nearest strength of two decimal places, within the limits of a request.
func RoundStrength(v float64) float64 {
	v = min(max(v, -inference.MaxLoRAStrength), inference.MaxLoRAStrength)
	return math.Round(v*100) / 100
}

// AddLoRA puts an adapter on the desk. One that is there already is switched on.
func (d *Desk) AddLoRA(l LoRA) {
	i := slices.IndexFunc(d.LoRAs, l.sameFile)
	if i < 0 {
		d.LoRAs = append(slices.Clip(d.LoRAs), l)
		return
	}
	d.SetLoRA(i, func(l *LoRA) { l.Off = false })
}

// SetLoRA changes an adapter of the desk.
func (d *Desk) SetLoRA(i int, change func(*LoRA)) {
	if i < len(d.LoRAs) {
		d.LoRAs = slices.Clone(d.LoRAs)
		change(&d.LoRAs[i])
	}
}

// RemoveLoRA takes an adapter off the desk.
func (d *Desk) RemoveLoRA(i int) {
	if i < len(d.LoRAs) {
		d.LoRAs = slices.Delete(slices.Clone(d.LoRAs), i, i+1)
	}
}

// RestoreLoRAs puts the adapters of a picture on the desk, in the place of those that are there. Their files are found
// by their names; the shelf compares the digests.
func (d *Desk) RestoreLoRAs(files []picture.LoRAFile, names inference.LoRANames) {
	d.LoRAs = nil
	for _, f := range files[:min(len(files), inference.MaxLoRAs)] {
		l, _ := names.Find(f.Name)
		if l.Name == "" {
			l.Name = f.Name
		}
		d.LoRAs = append(d.LoRAs, LoRA{
			Name: l.Name, Path: l.Path, Digest: strings.ToLower(f.SHA256), Strength: RoundStrength(f.Strength),
		})
	}
}

// activeLoRAs returns the adapters that are on.
func (d Desk) activeLoRAs() (list []LoRA) {
	for _, l := range d.LoRAs {
		if !l.Off {
			list = append(list, l)
		}
	}
	return list
}

// askedLoRAs returns the adapters that are on, as an engine takes them.
func (d Desk) askedLoRAs() (list []inference.LoRA) {
	for _, l := range d.activeLoRAs() {
		list = append(list, l.Ask())
	}
	return list
}

// takeTags takes the adapters out of the prompt of ask that names has, and adds them to its list.
func takeTags(ask *inference.Ask, names inference.LoRANames) {
	if !inference.HasLoRATags(ask.Prompt) {
		return
	}
	var found []inference.LoRA
	ask.Prompt, found, _ = inference.TakeLoRATags(ask.Prompt, names)
	ask.LoRAs = append(ask.LoRAs, found...)
}

// tagsOf returns the adapters that a prompt names, by the names in the prompt.
func tagsOf(prompt string, names inference.LoRANames) (tags inference.LoRANames) {
	_, found, _ := inference.TakeLoRATags(prompt, names)
	for _, l := range found {
		tags = append(tags, inference.NamedLoRA{Name: l.Name, Path: l.Path})
	}
	return tags
}
