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

// Formats returns the formats of the component's weights for people, such as "Q4_K, Q6_K, F32": those that take most of
// the file first.
func (c Component) Formats() string {
	w, ok := c.Source.(*weights)
	if !ok {
		return ""
	}
	sizes, seen := map[string]int{}, map[string]bool{}
	for _, r := range w.refs {
		stat, err := w.set.Stat(r.name)
		if err != nil || seen[r.name] {
			continue
		}
		seen[r.name] = true
		sizes[w.format(r.name, stat.DType)] += stat.DType.Bytes(tensor.Elements(stat.Shape))
	}
	names := slices.SortedFunc(maps.Keys(sizes), func(a, b string) int {
		return cmp.Or(cmp.Compare(sizes[b], sizes[a]), cmp.Compare(a, b))
	})
	return strings.Join(names[:min(len(names), shownFormats)], ", ")
}

// format returns the usual name of a tensor's format.
func (w *weights) format(name string, dtype tensor.DType) string {
	var l *layer
	if q, ok := w.set.(*quantised); ok {
		l = q.layers[name]
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
