package checkpoint

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"kleinbild/inference/checkpoint/safetensors"
	"kleinbild/inference/tensor"
)

// weights is the tensor.Source of a component. It maps Diffusers names to tensors of the files, or to parts of them.
type weights struct {
	set  *safetensors.Set
	path string
	refs map[string]ref
	// unscaled is the number of float8 weights in a file without scales.
	unscaled int
}

// ref describes how a weight is made from a tensor of the files.
type ref struct {
	name string // of the tensor
	// The tensor's rows are cut into parts equal parts; the weight is the one with index part.
	part, parts int
	form        form
	scale       float32
}

// form is a change of a tensor's data or shape.
type form int

const (
	asIs form = iota
	// swapHalves exchanges the first and the second half of the rows. The final layer's modulation is (shift, scale) in
	// original files and (scale, shift) in Diffusers.
	swapHalves
	// linear removes the trailing dimensions of 1 from the shape of a 1×1 convolution.
	linear
)

// naming returns the weights that are made from the tensor called name. It returns (nil, true) for a tensor that is
// known but not needed, and (nil, false) for an unknown tensor.
type naming func(name string) (targets []target, known bool)

// target is a weight that is made from a tensor. See ref for part, parts and form.
type target struct {
	name        string
	part, parts int
	form        form
}

// whole returns the target for a whole, unchanged tensor.
func whole(name string) []target { return []target{{name, 0, 1, asIs}} }

// diffusersNames is the naming of a file with Diffusers names.
func diffusersNames(name string) ([]target, bool) { return whole(name), true }

// newWeights returns the weights of a part of set. It returns an error for an unknown tensor, a format that is no
// weight format, a shape that cannot be cut into equal parts, and an fp8 weight without a scale. Shapes are not
// compared with a config. path is for messages.
func newWeights(set *safetensors.Set, path string, p part) (*weights, error) {
	owned := set.Names()
	if p.includes != nil {
		owned = slices.DeleteFunc(owned, func(name string) bool { return !p.includes(name) })
	}
	if format := foreignFormat(set, owned); format != "" {
		return nil, fmt.Errorf("checkpoint: %s: %s weights are not supported; get %s",
			path, format, usualFile(p.kind, p.size(set, path)))
	}
	var scales map[string]float32
	err := safetensors.Guard(set.Files(), func() (err error) {
		scales, err = readScales(set, owned)
		return err
	})
	if err != nil {
		return nil, err
	}
	w := &weights{set: set, path: path, refs: map[string]ref{}}
	// A file whose weights were only rounded to float8 has no scales, and its values are used unscaled. In a file with
	// any scale, or any other detail of a quantisation with scales, every float8 weight must have one.
	plain := !slices.ContainsFunc(owned, isQuantisationDetail) &&
		set.Files()[0].Metadata()["_quantization_metadata"] == ""
	var unknown []string
	for _, name := range owned {
		if isQuantisationDetail(name) || isBuffer(name) {
			continue
		}
		targets, known := p.names(name)
		if !known {
			unknown = append(unknown, name)
			continue
		}
		if len(targets) == 0 {
			continue
		}
		stat, err := set.Stat(name)
		if err != nil {
			return nil, err
		}
		scale := float32(1)
		if plain && stat.DType == tensor.F8E4M3 {
			w.unscaled++
		} else if scale, err = scaleOf(stat, name, scales); err != nil {
			return nil, err
		}
		for _, t := range targets {
			if err := checkForm(stat, t); err != nil {
				return nil, err
			}
			if other, taken := w.refs[t.name]; taken {
				return nil, fmt.Errorf("%s: is %s, which %s is too", stat.Name, t.name, other.name)
			}
			w.refs[t.name] = ref{name, t.part, t.parts, t.form, scale}
		}
	}
	if unknown != nil {
		return nil, fmt.Errorf("checkpoint: %s: %d tensors do not belong to a FLUX.2 [klein] %s: %s",
			path, len(unknown), p.kind, first(unknown, 3))
	}
	return w, nil
}

// size returns the published size of a part whose weights cannot be used, by the width of its first layer or by the
// name in path. It returns nil if neither tells a size.
func (p part) size(set *safetensors.Set, path string) *size {
	hidden := func(name string, i int) int { return tensors{set.Names(), set}.dim(name, i) }
	for i, s := range sizes {
		if p.kind == transformer && max(hidden("img_in.weight", 0), hidden("x_embedder.weight", 0)) == s.hidden ||
			p.kind == textEncoder && hidden("embed_tokens.weight", 1) == s.textHidden {
			return &sizes[i]
		}
	}
	return sizeNamed(path)
}

// checkForm returns an error if the target cannot be made from a tensor of stat's shape.
func checkForm(stat tensor.Tensor, t target) error {
	parts := t.parts
	if t.form == swapHalves {
		parts = 2
	}
	if parts > 1 && (len(stat.Shape) == 0 || stat.Shape[0]%parts != 0) {
		return fmt.Errorf("%s: shape %v, want rows in %d equal parts", stat.Name, stat.Shape, parts)
	}
	if t.form == linear && (len(stat.Shape) < 2 || tensor.Elements(stat.Shape[2:]) != 1) {
		return fmt.Errorf("%s: shape %v, want a linear layer or a 1×1 convolution", stat.Name, stat.Shape)
	}
	return nil
}

// dim returns dimension i of the weight called name, or 0 if there is none. It reads no data.
func (w *weights) dim(name string, i int) int {
	r := w.refs[name]
	stat, err := w.set.Stat(r.name)
	if err != nil || i >= len(stat.Shape) {
		return 0
	}
	if i == 0 {
		return stat.Shape[0] / r.parts
	}
	return stat.Shape[i]
}

// Names returns the names of all weights, sorted.
func (w *weights) Names() []string { return slices.Sorted(maps.Keys(w.refs)) }

// Tensor returns the weight called name. Its data is the file's mapping, except for swapHalves, which needs a copy.
func (w *weights) Tensor(name string) (tensor.Tensor, error) {
	r, ok := w.refs[name]
	if !ok {
		return tensor.Tensor{}, fmt.Errorf("checkpoint: %s: %s: %w", w.path, name, tensor.ErrMissing)
	}
	t, err := w.set.Tensor(r.name)
	if err != nil {
		return t, err
	}
	t.Scale = r.scale
	switch {
	case r.parts > 1:
		rows := t.Shape[0] / r.parts
		t = t.Slice(r.part*rows, (r.part+1)*rows)
		t.Name += fmt.Sprintf("[%d:%d]", r.part*rows, (r.part+1)*rows)
	case r.form == swapHalves:
		half := len(t.Data) / 2
		t.Data = slices.Concat(t.Data[half:], t.Data[:half])
	case r.form == linear:
		t.Shape = t.Shape[:2]
	}
	return t, nil
}

// Suffixes of the tensors that quantised files store for a weight, in place of ".weight". Those ending in Old are
// ComfyUI's older names.
const (
	weightScale    = ".weight_scale"
	weightScaleOld = ".scale_weight"
	inputScale     = ".input_scale" // for fp8 activations, which this program does not use
	inputScaleOld  = ".scale_input"
	comfyQuant     = ".comfy_quant"
	scaledFP8      = "scaled_fp8"
)

func isQuantisationDetail(name string) bool {
	for _, suffix := range []string{weightScale, weightScaleOld, inputScale, inputScaleOld, comfyQuant} {
		if strings.HasSuffix(name, suffix) {
			return true
		}
	}
	return name == scaledFP8 || strings.HasSuffix(name, "."+scaledFP8)
}

// isBuffer reports whether a tensor is not a weight but a buffer that programs store beside the weights.
func isBuffer(name string) bool {
	return strings.HasSuffix(name, ".num_batches_tracked") || strings.HasSuffix(name, ".rotary_emb.inv_freq") ||
		strings.HasSuffix(name, ".logit_scale") // ComfyUI's checkpoints have one for every encoder
}

// foreignSuffixes are suffixes of tensors that only quantisations other than fp8 with one scale store.
var foreignSuffixes = []struct{ suffix, format string }{
	{".weight_scale_2", "NVFP4"},
	{".weight_global_scale", "NVFP4"},
	{".weight_packed", "packed 4-bit"},
	{".weight_s_channel", "4-bit (W4A8)"},
	{".weight_scale_inv", "fp8 in blocks of 128×128 (Qwen3-FP8)"},
	{".weight.nested_absmax", "bitsandbytes"},
	{".SCB", "bitsandbytes int8"},
	{".proj_down", "SVDQuant"},
	{".weight.absmax", "bitsandbytes"},
	{".weight.quant_map", "bitsandbytes"},
	{".qweight", "GPTQ, AWQ or SVDQuant"},
}

// foreignDTypes names the quantisations of formats that cannot be weights here.
var foreignDTypes = map[tensor.DType]string{
	tensor.I8:     "int8 (I8)",
	tensor.U8:     "packed 4-bit or MX (U8)",
	tensor.F8E5M2: "float8_e5m2",
}

// foreignFormat returns the name of the quantisation of the tensors called names, or "" if they can be used.
func foreignFormat(set *safetensors.Set, names []string) string {
	for _, name := range names {
		for _, mark := range foreignSuffixes {
			if strings.HasSuffix(name, mark.suffix) {
				return mark.format
			}
		}
	}
	// Suffixes name a quantisation more precisely than dtypes, which therefore come second.
	for _, name := range names {
		stat, err := set.Stat(name)
		if err == nil && strings.HasSuffix(name, ".weight") && foreignDTypes[stat.DType] != "" {
			return foreignDTypes[stat.DType]
		}
		if err == nil && strings.HasSuffix(name, weightScale) && stat.DType == tensor.U8 {
			return "MXFP8"
		}
	}
	return ""
}

// readScales returns the scales of the quantised weights, by the names of the weights.
func readScales(set *safetensors.Set, names []string) (map[string]float32, error) {
	scales := map[string]float32{}
	for _, name := range names {
		layer, ok := strings.CutSuffix(name, weightScale)
		if !ok {
			if layer, ok = strings.CutSuffix(name, weightScaleOld); !ok {
				continue
			}
		}
		t, err := set.Stat(name)
		if err != nil {
			return nil, err
		}
		if len(t.Shape) > 1 || tensor.Elements(t.Shape) != 1 {
			return nil, fmt.Errorf("%s: shape %v, want one scale for the whole tensor: "+
				"scales per channel or block are not supported", t.Name, t.Shape)
		}
		if t.DType == tensor.F8E4M3 || !t.DType.Float() {
			return nil, fmt.Errorf("%s: dtype %v, want F32, F16 or BF16", t.Name, t.DType)
		}
		if t, err = set.Tensor(name); err != nil {
			return nil, err
		}
		scale := t.Float32s()[0]
		if !(scale > 0) || math.IsInf(float64(scale), 0) {
			return nil, fmt.Errorf("%s: %v, want a positive number", t.Name, scale)
		}
		if _, duplicate := scales[layer+".weight"]; duplicate {
			return nil, fmt.Errorf("%s: is a second scale of %s.weight", t.Name, layer)
		}
		scales[layer+".weight"] = scale
	}
	return scales, nil
}

// scaleOf returns the scale of the tensor called name, or 1 for a format without scales. It returns an error if an fp8
// tensor has no scale, or another tensor has one.
func scaleOf(stat tensor.Tensor, name string, scales map[string]float32) (float32, error) {
	scale, has := scales[name]
	switch {
	case stat.DType == tensor.F8E4M3 && !has:
		return 0, fmt.Errorf("%s: dtype F8_E4M3 without its weight_scale", stat.Name)
	case stat.DType != tensor.F8E4M3 && has:
		return 0, fmt.Errorf("%s: dtype %v with a weight_scale, want F8_E4M3", stat.Name, stat.DType)
	case !has:
		return 1, nil
	}
	return scale, nil
}
