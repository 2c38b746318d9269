package server

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// Clients that were written for other programs send the fields of those programs. If such a field means the same as one
// of ours, it is read as ours. If it would change the picture, it is refused, because the client would get another
// picture than it asked for. Any other field is ignored, and the reply's Warning header names it.

// sameMeaning maps names of other programs to the names of our fields with the same meaning.
var sameMeaning = map[string]string{
	"num_inference_steps": fieldSteps, "num_steps": fieldSteps, "inference_steps": fieldSteps,
	"guidance_scale": fieldGuidance, "cfg_scale": fieldGuidance,
	"denoising_strength": fieldStrength, "prompt_strength": fieldStrength,
}

// The two fields that together mean the same as our size.
const (
	fieldWidth  = "width"
	fieldHeight = "height"
)

// counts are fields for the number of pictures. They may only be 1 on a path that makes one picture.
var counts = []string{"n", "num_images", "num_images_per_prompt", "num_outputs", "batch_size"}

// changesPicture has the fields that would change the picture. The text says what to do instead.
var changesPicture = map[string]string{
	"negative_prompt": noNegative, "negative_prompt_2": noNegative,
	"image_strength": noStrength, fieldStrength: noEdit,
	fieldMask: noEdit, fieldExtend: noEdit, fieldKeepUnchanged: noEdit, fieldRemove: noEdit,
	"mask_image": noMask, "mask_url": noMask, "image_mask": noMask, "markup": noMask,
	fieldImageURIs: usePictures, fieldAspectRatio: "is not known here; want size",
	"image_url": usePictures, "image_urls": usePictures, "init_image": usePictures, "init_images": usePictures,
	"input_image": usePictures, "input_images": usePictures, "input_image_2": usePictures, "input_image_3": usePictures,
	"input_image_4": usePictures, "reference_image": usePictures, "reference_images": usePictures,
	"image_prompt":  usePictures,
	"control_image": noControl, "controlnet": noControl, "controlnets": noControl, "ip_adapter": noControl,
	"lora": noLoRA, "loras": noLoRA, "lora_weights": noLoRA, "lora_scale": noLoRA,
	"scheduler": noSampler, "sampler": noSampler, "sampler_name": noSampler, "sampler_index": noSampler,
	"prompt_2":       "is not supported; want one prompt, in prompt",
	"clip_skip":      "is not supported: the model has no CLIP text encoder",
	"true_cfg_scale": "want guidance, for base models",
	"seeds":          "want one seed, in seed",
	"image_size":     "want size, WIDTHxHEIGHT", "resolution": "want size, WIDTHxHEIGHT",
	"frame_count": "is not supported: the model makes no videos",
	"svg":         "is not supported: the model makes no vector graphics",
}

const (
	noNegative  = "is not supported; say in the prompt what to make"
	noEdit      = "this path edits no picture; want it at /v1/images/edits or /v1/generate"
	noMask      = "is not supported; want a mask as a file called mask, at /v1/images/edits or /v1/generate"
	noStrength  = "is not supported, because programs do not agree what it means; want strength"
	noControl   = "is not supported; give it as a reference picture and describe it in the prompt"
	noLoRA      = "is not supported here; want loras on /v1/generate, with names from GET /v1/loras"
	noSampler   = "is not supported: this model has one sampler"
	usePictures = "is not supported here; want pictures as files called images (or image), or image_uris on /v1/generate"
)

// translate turns the fields of other programs into ours. known are the names of the path's own fields. It returns the
// names of the fields that it ignores.
func (v values) translate(known ...string) (ignored []string, err error) {
	for _, name := range v.names() {
		means := slices.Contains(known, name) || sameMeaning[name] != "" || name == fieldWidth || name == fieldHeight
		if v[name].repeated && means {
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
	if err := v.translateSize(); err != nil {
		return nil, err
	}
	for _, name := range v.names() {
		field, ok := v.given(name)
		if !ok || slices.Contains(known, name) || sameMeaning[name] != "" || name == fieldWidth || name == fieldHeight {
			continue
		}
		if slices.Contains(counts, name) {
			if n, err := v.integer(name, 1, 1, 1); err != nil || n != 1 {
				return nil, invalid(field.name,
					"%s, want 1 here; n of /v1/images/generations makes several pictures", field.found())
			}
			continue
		}
		if _, isPicture := pictureName(name); isPicture {
			return nil, invalid(field.name,
				"this path takes no pictures; want them as files at /v1/images/edits or /v1/generate")
		}
		if why := changesPicture[name]; why != "" {
			if field.asksForSomething() {
				return nil, invalid(field.name, "%s", why)
			}
			continue
		}
		if name == "background" && field.text == "transparent" {
			return nil, invalid(field.name, "%s, want opaque or auto", field.found())
		}
		if !field.isDefault() {
			ignored = append(ignored, name)
		}
	}
	return ignored, nil
}

// translateSize turns width and height into size.
func (v values) translateSize() error {
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
	const most = 1 << 20 // the check of size has the true limit and says it
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

// asksForSomething returns false for a value that asks for nothing: false, zero, none, or an empty text, list or
// object.
func (f value) asksForSomething() bool {
	text := strings.Join(strings.Fields(f.text), "")
	return !slices.Contains([]string{"", "0", "0.0", "false", "[]", "{}", "none", "null"}, strings.ToLower(text))
}

// isDefault says whether the value asks for what the server does anyway.
func (f value) isDefault() bool {
	return slices.Contains([]string{"auto", "opaque", "null"}, f.text) && f.kind <= jsonString || !f.asksForSomething()
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

// warn sets the Warning headers of a reply to req. more are names of further fields that have no effect.
func (req *apiRequest) warn(h http.Header, more ...string) {
	h.Del("Warning")
	if text := warning(slices.Concat(req.ignored, more)); text != "" {
		h.Add("Warning", text)
	}
	if m := req.checked.Mask(); m != nil && m.Stretched() {
		h.Add("Warning", fmt.Sprintf(`299 kleinbild "%s: found %v for a picture of %v: it is stretched to that shape"`,
			fieldMask, m.FileSize(), m.Size()))
	}
}

// warning returns the value of the Warning header that names the ignored fields, "" if there are none.
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
