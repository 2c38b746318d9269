package server

import (
	"fmt"
	"slices"
	"strings"
)

// Clients written for other programs send fields of theirs. A field that means what one of ours means is taken for it. A
// field that would change the picture is refused, since the picture would be another one than was asked for. Any other
// field is passed over, and the reply's Warning header names it.

// sameMeaning are names elsewhere of our fields.
var sameMeaning = map[string]string{
	"num_inference_steps": fieldSteps, "num_steps": fieldSteps, "inference_steps": fieldSteps,
	"guidance_scale": fieldGuidance, "cfg_scale": fieldGuidance,
}

// The fields that together mean our size.
const (
	fieldWidth  = "width"
	fieldHeight = "height"
)

// counts are fields for the number of pictures where a request makes one.
var counts = []string{"n", "num_images", "num_images_per_prompt", "num_outputs", "batch_size"}

// changesPicture are the fields that would change the picture, and what to do instead.
var changesPicture = map[string]string{
	"negative_prompt": "this model knows none; say in the prompt what to make", "strength": noStrength, "prompt_strength": noStrength,
	"image_strength": noStrength, "denoising_strength": noStrength,
	fieldMask: noMask, "mask_image": noMask, "mask_url": noMask, "image_mask": noMask, "markup": noMask,
	fieldImageURIs: usePictures, fieldAspectRatio: "is not known here; want size",
	"image_url": usePictures, "image_urls": usePictures, "init_image": usePictures, "init_images": usePictures,
	"input_image": usePictures, "input_images": usePictures, "input_image_2": usePictures, "input_image_3": usePictures,
	"input_image_4": usePictures, "reference_image": usePictures, "reference_images": usePictures, "image_prompt": usePictures,
	"control_image": noControl, "controlnet": noControl, "controlnets": noControl, "ip_adapter": noControl,
	"lora": noLoRA, "loras": noLoRA, "lora_weights": noLoRA, "lora_scale": noLoRA,
	"scheduler": noSampler, "sampler": noSampler, "sampler_name": noSampler, "sampler_index": noSampler,
	"negative_prompt_2": "this model knows none; say in the prompt what to make", "prompt_2": "want one prompt, in prompt",
	"clip_skip": "this model has no such layers", "true_cfg_scale": "want guidance, for base models",
	"seeds": "want one seed, in seed", "image_size": "want size, WIDTHxHEIGHT", "resolution": "want size, WIDTHxHEIGHT",
	"frame_count": "pictures here do not move", "svg": "pictures here are made of pixels",
}

const (
	noMask      = "is not supported; describe in the prompt what to change"
	noStrength  = "is not supported: an edit always begins from noise; describe in the prompt what to keep"
	noControl   = "is not supported; give it as a reference picture and describe it in the prompt"
	noLoRA      = "is not supported: adapters are not read"
	noSampler   = "is not supported: this model has one sampler"
	usePictures = "is not supported here; want pictures as files called images (or image), or image_uris on /v1/generate"
)

// settle turns the fields of other programs into ours, given the names that a path knows. It returns the names of those
// that it passes over.
func (v values) settle(known ...string) (ignored []string, err error) {
	for _, name := range v.names() {
		means := slices.Contains(known, name) || sameMeaning[name] != "" || name == fieldWidth || name == fieldHeight
		if v[name].twice && means {
			return nil, invalid(v[name].name, "given twice")
		}
	}
	for _, alias := range sortedNames(sameMeaning) {
		field, ok := v.given(alias)
		if !ok {
			continue
		}
		own := sameMeaning[alias]
		if other, twice := v.given(own); twice {
			return nil, invalid(field.name, "found together with %s, which means the same; want one of them", other.name)
		}
		v[own] = field
	}
	if err := v.settleSize(); err != nil {
		return nil, err
	}
	for _, name := range v.names() {
		field, ok := v.given(name)
		if !ok || slices.Contains(known, name) || sameMeaning[name] != "" || name == fieldWidth || name == fieldHeight {
			continue
		}
		if slices.Contains(counts, name) {
			if n, err := v.integer(name, 1, 1, 1); err != nil || n != 1 {
				return nil, invalid(field.name, "%s, want 1 here; n of /v1/images/generations makes several pictures", field.found())
			}
			continue
		}
		if _, isPicture := pictureName(name); isPicture {
			return nil, invalid(field.name, "this path takes no pictures; want them as files at /v1/images/edits or /v1/generate")
		}
		if why := changesPicture[name]; why != "" {
			if field.says() {
				return nil, invalid(field.name, "%s", why)
			}
			continue
		}
		if name == "background" && field.text == "transparent" {
			return nil, invalid(field.name, "%s, want opaque or auto", field.found())
		}
		if !field.harmless() {
			ignored = append(ignored, name)
		}
	}
	return ignored, nil
}

// settleSize makes size of width and height.
func (v values) settleSize() error {
	width, hasWidth := v.given(fieldWidth)
	height, hasHeight := v.given(fieldHeight)
	size, hasSize := v.given(fieldSize)
	switch {
	case !hasWidth && !hasHeight:
		return nil
	case !hasHeight:
		return invalid(width.name, "found without height, want both, or size")
	case !hasWidth:
		return invalid(height.name, "found without width, want both, or size")
	case hasSize:
		return invalid(width.name, "found together with %s, want one of them", size.name)
	}
	const most = 1 << 20 // what is too much is said by the size's own check
	w, err := v.integer(fieldWidth, 1, most, 0)
	if err != nil {
		return err
	}
	h, err := v.integer(fieldHeight, 1, most, 0)
	if err != nil {
		return err
	}
	v[fieldSize] = value{name: "width and height", text: fmt.Sprintf("%dx%d", w, h)}
	return nil
}

// says is false for a value that asks for nothing: false, zero, an empty text, list or object.
func (f value) says() bool {
	text := strings.Join(strings.Fields(f.text), "")
	return !slices.Contains([]string{"", "0", "0.0", "false", "[]", "{}", "none", "null"}, strings.ToLower(text))
}

// harmless is true for a value that asks for what is done anyway.
func (f value) harmless() bool {
	return slices.Contains([]string{"auto", "opaque", "null"}, f.text) && f.kind <= jsonString || !f.says()
}

func (v values) names() []string { return sortedNames(v) }

func sortedNames[T any](m map[string]T) []string {
	var names []string
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// warning is the value of the Warning header that names the fields that were passed over, "" if there are none.
func warning(ignored []string) string {
	const most = 16
	var names []string
	for _, name := range ignored[:min(len(ignored), most)] {
		names = append(names, strings.Map(func(r rune) rune {
			if r <= ' ' || r > '~' || r == '"' || r == '\\' {
				return '?'
			}
			return r
		}, clip(name)))
	}
	if len(names) == 0 {
		return ""
	}
	if more := len(ignored) - most; more > 0 {
		names = append(names, fmt.Sprintf("and %d more", more))
	}
	return `299 kleinbild "fields without effect: ` + strings.Join(names, ", ") + `"`
}
