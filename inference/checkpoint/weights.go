package checkpoint

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/kleinbild/kleinbild/inference/checkpoint/mapped"
	"github.com/kleinbild/kleinbild/inference/tensor"
)

// weights is the tensor.Source of a component. It maps Diffusers names to tensors of the files, or to parts of them.
type weights struct {
	set  store
	path string
	refs map[string]ref
	// scales are the tensors with a factor for all values of a tensor, by its name.
	scales map[string]string
	// unscaled is the number of float8 weights in a file without scales, and unmarked that of nvfp4 weights without
	// markers.
	unscaled, unmarked int
}

// ref describes how a weight is made from a tensor of a file.
type ref struct {
	set  store
	name string // of the tensor
	// The tensor's rows are cut into parts equal parts; the weight is the one with index part.
	part, parts int
	form        form
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
func newWeights(set store, path string, p part) (*weights, error) {
	owned := set.Names()
	if p.includes != nil {
		owned = slices.DeleteFunc(slices.Clone(owned), func(name string) bool { return !p.includes(name) })
	}
	if format := foreignFormat(set, owned); format != "" {
		return nil, fmt.Errorf("checkpoint: %s: %s weights are not supported; get %s",
			path, format, usualFile(p.kind, p.size(set, path)))
	}
	w := &weights{set: set, path: path, refs: map[string]ref{}, scales: map[string]string{}}
	q, isQuantised := set.(*quantised)
	strict := isQuantised && q.mustBeScaled(owned)
	var unknown []string
	for _, name := range owned {
		if isBuffer(name) {
			continue
		}
		if p.scaleOf != nil {
			if of, ok := p.scaleOf(name); ok {
				if err := checkFactor(set, name, of); err != nil {
					return nil, err
				}
				w.scales[of] = name
				continue
			}
		}
		targets, known := p.names(name)
		if !known {
			unknown = append(unknown, name)
			continue
		}
		if len(targets) == 0 {
			continue
		}
		if p.unread != nil && p.unread(targets[0].name) {
			w.refs[targets[0].name] = ref{set, name, 0, 1, asIs}
			continue
		}
		stat, err := set.Stat(name)
		if err != nil {
			return nil, err
		}
		if err := checkFormat(stat); err != nil {
			return nil, err
		}
		if isFloat8(stat.DType) && (!isQuantised || q.layers[name] == nil || q.layers[name].scale == "") {
			if strict {
				return nil, fmt.Errorf("%s: dtype %v without its weight_scale", stat.Name, stat.DType)
			}
			w.unscaled++
		}
		if stat.DType == tensor.F4E2M1Low {
			w.unmarked++
		}
		for _, t := range targets {
			if err := checkForm(stat, t); err != nil {
				return nil, err
			}
			if other, taken := w.refs[t.name]; taken {
				return nil, fmt.Errorf("%s: is %s, which %s is too", stat.Name, t.name, other.name)
			}
			w.refs[t.name] = ref{set, name, t.part, t.parts, t.form}
		}
	}
	if unknown != nil {
		return nil, fmt.Errorf("checkpoint: %s: %d tensors do not belong to a FLUX.2 [klein] %s: %s",
			path, len(unknown), p.kind, first(unknown, 3))
	}
	return w, nil
}

// checkFactor returns an error unless the tensor called name holds one number, and the tensor called of is there.
func checkFactor(set store, name, of string) error {
	stat, err := set.Stat(name)
	if err != nil {
		return err
	}
	if n := tensor.Elements(stat.Shape); n != 1 {
		return fmt.Errorf("%s: shape %v, want one scale", stat.Name, stat.Shape)
	}
	if _, err := set.Stat(of); err != nil {
		return fmt.Errorf("%s: is a scale without its weight: %w", stat.Name, err)
	}
	return nil
}

// checkFormat returns an error for a tensor in blocks of values that is no matrix or vector: no program quantises the
// kernels of convolutions in that way.
func checkFormat(stat tensor.Tensor) error {
	if stat.DType.BlockValues() > 1 && len(stat.Shape) > 2 {
		return fmt.Errorf("%s: %v %v, want a matrix", stat.Name, stat.DType, stat.Shape)
	}
	return nil
}

// size returns the published size of a part whose weights cannot be used, by the width of its first layer or by the
// name in path. It returns nil if neither tells a size.
func (p part) size(set store, path string) *size {
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
	r, ok := w.refs[name]
	if !ok {
		return 0
	}
	stat, err := r.set.Stat(r.name)
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
	t, err := r.set.Tensor(r.name)
	if err != nil {
		return t, err
	}
	if name == embeddingName {
		mapped.PreferSmall(t.Data)
	}
	if scale := w.scales[r.name]; scale != "" {
		if t.Scale, err = w.factor(scale); err != nil {
			return t, err
		}
	}
	switch {
	case r.parts > 1:
		rows := t.Shape[0] / r.parts
		t = t.Slice(r.part*rows, (r.part+1)*rows)
		t.Name += fmt.Sprintf("[%d:%d]", r.part*rows, (r.part+1)*rows)
	case r.form == swapHalves:
		half := len(t.Data) / 2
		t.Data, t.Quant = slices.Concat(t.Data[half:], t.Data[:half]), t.Quant.SwapHalves(t.Shape[0])
	case r.form == linear:
		t.Shape = t.Shape[:2]
	}
	return t, nil
}

// factor reads a scale, which must be a positive number.
func (w *weights) factor(name string) (float32, error) {
	t, err := w.set.Tensor(name)
	if err != nil {
		return 0, err
	}
	values, err := positive(t)
	if err != nil {
		return 0, err
	}
	return values[0], nil
}

// isBuffer reports whether a tensor is not a weight but a buffer that programs store beside the weights.
func isBuffer(name string) bool {
	return strings.HasSuffix(name, ".num_batches_tracked") || strings.HasSuffix(name, ".rotary_emb.inv_freq") ||
		strings.HasSuffix(name, ".logit_scale") // ComfyUI's checkpoints have one for every encoder
}

// foreignSuffixes are suffixes of tensors that only quantisations store that are not supported.
var foreignSuffixes = []struct{ suffix, format string }{
	{".weight_global_scale", "NVFP4"},
	{".weight_packed", "packed 4-bit"},
	{".weight_s_channel", "4-bit (W4A8)"},
	{".weight.nested_absmax", "bitsandbytes"},
	{".SCB", "bitsandbytes int8"},
	{".proj_down", "SVDQuant"},
	{".weight.absmax", "bitsandbytes"},
	{".weight.quant_map", "bitsandbytes"},
	{".qweight", "GPTQ, AWQ or SVDQuant"},
}

// foreignFormat returns the name of the quantisation of the tensors called names, or "" if they can be used.
func foreignFormat(set store, names []string) string {
	for _, name := range names {
		for _, mark := range foreignSuffixes {
			if strings.HasSuffix(name, mark.suffix) {
				return mark.format
			}
		}
	}
	q, ok := set.(*quantised)
	if !ok {
		return ""
	}
	for _, name := range names {
		if l := q.layers[name]; l != nil && l.foreign != "" {
			return l.foreign
		}
	}
	// Suffixes and markers name a quantisation more precisely than dtypes, which therefore come last.
	for _, name := range names {
		stat, err := set.Stat(name)
		if err != nil || !strings.HasSuffix(name, ".weight") {
			continue
		}
		switch {
		case stat.DType == tensor.U8:
			return "packed 4-bit or MX (U8)"
		case stat.DType == tensor.I8 && (q.layers[name] == nil || q.layers[name].scale == ""):
			return "unscaled int8 (I8)"
		}
	}
	return ""
}
