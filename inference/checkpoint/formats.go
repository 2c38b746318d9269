package checkpoint

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/kleinbild/kleinbild/inference/tensor"
)

// shownFormats is the number of formats that Formats returns at most.
const shownFormats = 4

// HasFormat reports whether one of the component's matrices whose Diffusers names contain part is stored in one of the
// formats.
func (c Component) HasFormat(part string, formats ...tensor.DType) bool {
	w, ok := c.Source.(*weights)
	if !ok {
		return false
	}
	for name, r := range w.refs {
		stat, err := r.set.Stat(r.name)
		if err == nil && len(stat.Shape) == 2 && slices.Contains(formats, stat.DType) && strings.Contains(name, part) {
			return true
		}
	}
	return false
}

// Formats returns the formats of the component's weights for people, such as "Q4_K, Q6_K, F32": those that take most of
// the file first.
func (c Component) Formats() string {
	w, ok := c.Source.(*weights)
	if !ok {
		return ""
	}
	sizes := map[string]int64{}
	w.each(func(m matrix) { sizes[m.format] += m.bytes })
	names := slices.SortedFunc(maps.Keys(sizes), func(a, b string) int {
		return cmp.Or(cmp.Compare(sizes[b], sizes[a]), cmp.Compare(a, b))
	})
	return strings.Join(names[:min(len(names), shownFormats)], ", ")
}

// matrix is a stored tensor.
type matrix struct {
	format   string // its usual name
	elements int64
	bytes    int64 // with the scales of its blocks
	card     int64 // on a graphics card, where only quantised weights stay as they are stored
}

// each calls do for the tensors of the weights that are read whole: neither for layers that are not computed, nor for
// the text encoder's embedding table, of which a prompt needs few rows. It reads no data.
func (w *weights) each(do func(matrix)) {
	type stored struct {
		set  store
		name string
	}
	seen := map[stored]bool{}
	for name, r := range w.refs {
		stat, err := r.set.Stat(r.name)
		if err != nil || seen[stored{r.set, r.name}] || isUnreadLayer(name) || name == embeddingName {
			continue
		}
		seen[stored{r.set, r.name}] = true
		n := tensor.Elements(stat.Shape)
		m := matrix{formatOf(r, stat.DType), int64(n), int64(stat.DType.Bytes(n)), 0}
		if q, ok := r.set.(*quantised); ok {
			if l := q.layers[r.name]; l != nil && l.blocks != nil {
				if scale, err := r.set.Stat(l.scale); err == nil {
					m.bytes += int64(scale.DType.Bytes(tensor.Elements(scale.Shape)))
				}
			}
		}
		m.card = m.bytes
		if stat.DType == tensor.F16 || stat.DType == tensor.F32 {
			m.card = 2 * m.elements
		}
		do(m)
	}
}

// embeddingName is the name of the text encoder's embedding table.
const embeddingName = "model.embed_tokens.weight"

// formatOf returns the usual name of a tensor's format.
func formatOf(r ref, dtype tensor.DType) string {
	var l *layer
	if q, ok := r.set.(*quantised); ok {
		l = q.layers[r.name]
	}
	switch {
	case dtype == tensor.F4E2M1 || dtype == tensor.F4E2M1Low:
		return "nvfp4"
	case dtype == tensor.I8 && l != nil && l.rotation > 0:
		return "int8 ConvRot"
	case dtype == tensor.I8:
		return "int8"
	case dtype == tensor.F8E4M3 && l != nil && l.blocks != nil && l.blocks.Swizzled:
		return "mxfp8"
	case isFloat8(dtype):
		return "fp8 " + strings.ToLower(strings.TrimPrefix(dtype.String(), "F8_"))
	}
	return dtype.String()
}
