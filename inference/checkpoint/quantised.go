package checkpoint

import (
	"fmt"
	"slices"
	"strings"

	"github.com/kleinbild/kleinbild/inference/checkpoint/mapped"
	"github.com/kleinbild/kleinbild/inference/checkpoint/safetensors"
	"github.com/kleinbild/kleinbild/inference/tensor"
)

// quantised is a safetensors file whose quantised weights look like any other weights: with the shape of the matrix, a
// format of package tensor, and their scales. The tensors that hold the scales and the markers are hidden.
type quantised struct {
	*safetensors.Set
	names  []string
	layers map[string]*layer // by the names of the weights
	// strict holds prefixes of names. A float8 weight whose name begins with one of them must have a scale, since the
	// file says that weights have scales without saying which.
	strict []string
}

// layer describes how a weight is quantised. The names of tensors are empty if there are none.
type layer struct {
	weight string
	stat   tensor.Tensor // with the shape of the matrix and the format of its values
	// scale, second and columns are the names of the tensors weight_scale (or one of its other spellings), weight_scale_2
	// and pre_quant_scale.
	scale, second, columns string
	// blocks describes the scales of blocks, without their data. It is nil if there is a scale for each row or one scale
	// for the tensor.
	blocks   *tensor.BlockScales
	rotation int
	// foreign names a quantisation that is not supported.
	foreign string
}

// The suffixes of the tensors that a quantised file stores beside NAME.weight. The second spellings are older.
const (
	weightScale    = ".weight_scale"
	weightScaleOld = ".scale_weight"
	// weightScaleInv is the name of Qwen3-FP8, whose scales multiply the weights as all others do.
	weightScaleInv = ".weight_scale_inv"
	weightScale2   = ".weight_scale_2"
	preQuantScale  = ".pre_quant_scale"
	inputScale     = ".input_scale" // for quantised activations, which this program does not use
	inputScaleOld  = ".scale_input"
	comfyQuant     = ".comfy_quant"
	scaledFP8      = "scaled_fp8"
)

var detailSuffixes = []string{
	weightScale, weightScaleOld, weightScaleInv, weightScale2, preQuantScale, inputScale, inputScaleOld, comfyQuant,
}

// cutDetail returns the layer to which the detail of a quantisation belongs: the name itself for the tensor scaled_fp8,
// which belongs to all layers with its prefix. ok is false if name is no detail.
func cutDetail(name string) (layer string, ok bool) {
	for _, suffix := range detailSuffixes {
		if layer, ok := strings.CutSuffix(name, suffix); ok {
			return layer, true
		}
	}
	return name, name == scaledFP8 || strings.HasSuffix(name, "."+scaledFP8)
}

// newQuantised returns a *quantised. It reads the markers and the shapes of all scales. If they contradict each other
// or the weights, it closes set and returns an error.
func newQuantised(set *safetensors.Set) (store, error) {
	q := &quantised{Set: set, layers: map[string]*layer{}}
	err := mapped.Guard(set.Files(), func() error { return q.read() })
	if err != nil {
		set.Close()
		return nil, err
	}
	return q, nil
}

func (q *quantised) read() error {
	all := q.Set.Names()
	detailed := map[string]bool{} // the layers with details
	for _, name := range all {
		if layer, ok := cutDetail(name); ok {
			detailed[layer] = true
		} else {
			q.names = append(q.names, name)
		}
	}
	markers, err := readMarkers(q.Set, all)
	if err != nil {
		return err
	}
	for layer := range markers {
		detailed[layer] = true
	}
	if q.Set.Metadata(metadataKey) != "" {
		q.strict = append(q.strict, "")
	}
	for _, name := range q.names {
		layer, ok := strings.CutSuffix(name, ".weight")
		if !ok || !detailed[layer] {
			continue
		}
		delete(detailed, layer)
		if q.layers[name], err = newLayer(q.Set, layer, markers[layer], len(markers) > 0); err != nil {
			return err
		}
	}
	for layer := range detailed {
		prefix := ""
		if i := strings.LastIndex(layer, scaledFP8); i >= 0 {
			prefix = layer[:i]
		}
		q.strict = append(q.strict, prefix)
	}
	return nil
}

// newLayer returns how NAME.weight is quantised. m is nil if there is no marker; markers says whether the file has any.
func newLayer(set *safetensors.Set, name string, m *marker, markers bool) (*layer, error) {
	l := &layer{weight: name + ".weight"}
	var err error
	if l.stat, err = set.Stat(l.weight); err != nil {
		return nil, err
	}
	for _, suffix := range []string{weightScale, weightScaleOld, weightScaleInv} {
		if has(set, name+suffix) {
			if l.scale != "" {
				return nil, fmt.Errorf("%s: is a second scale of %s", qualified(set, name+suffix), l.weight)
			}
			l.scale = name + suffix
		}
	}
	if has(set, name+weightScale2) {
		l.second = name + weightScale2
	}
	if has(set, name+preQuantScale) {
		l.columns = name + preQuantScale
	}
	if m == nil {
		return l, l.unmarked(set, markers)
	}
	return l, l.marked(set, m)
}

// has reports whether set has the tensor called name.
func has(set *safetensors.Set, name string) bool {
	_, err := set.Stat(name)
	return err == nil
}

// qualified returns the name of a tensor with that of its file, as errors print it.
func qualified(set *safetensors.Set, name string) string {
	if stat, err := set.Stat(name); err == nil {
		return stat.Name
	}
	return set.Files()[0].Path() + ": " + name
}

// unmarked completes l for a weight without a marker: the formats of the weight and of its scales decide. markers says
// whether other weights of the file have markers.
func (l *layer) unmarked(set *safetensors.Set, markers bool) error {
	switch {
	case l.second != "" && l.stat.DType == tensor.U8 && l.scale != "" && markers:
		// The shapes of ComfyUI's and of NVIDIA ModelOpt's layout can be the same.
		return fmt.Errorf("%s: nvfp4 without a marker in a file in which other layers have markers, want one, which tells "+
			"the layout", l.stat.Name)
	case l.second != "" && l.stat.DType == tensor.U8 && l.scale != "":
		return l.modelOpt(set)
	case l.second != "":
		l.foreign = "NVFP4"
	case l.stat.DType == tensor.U8:
		l.foreign = "packed 4-bit or MX (U8)"
	case l.scale == "":
	case isFloat8(l.stat.DType) && isByte(set, l.scale):
		l.foreign = "MXFP8 (without ComfyUI's marker)"
	case isFloat8(l.stat.DType) || l.stat.DType == tensor.I8:
		return l.scaled(set)
	default:
		return fmt.Errorf("%s: dtype %v with a weight_scale, want F8_E4M3, F8_E5M2 or I8", l.stat.Name, l.stat.DType)
	}
	return nil
}

func isFloat8(d tensor.DType) bool { return d == tensor.F8E4M3 || d == tensor.F8E5M2 }

// isByte reports whether the scales of a tensor are bytes, as those of MX formats are.
func isByte(set *safetensors.Set, scale string) bool {
	stat, err := set.Stat(scale)
	return err == nil && (stat.DType == tensor.U8 || stat.DType == tensor.F8E8M0)
}

// oneScale holds the supported formats that have no weight_scale_2.
var oneScale = []string{"float8_e4m3fn", "float8_e5m2", formatInt8, "mxfp8"}

// marked completes l as the marker says, and returns an error if formats or shapes contradict it.
func (l *layer) marked(set *safetensors.Set, m *marker) error {
	want := func(dtype tensor.DType) error {
		if l.stat.DType != dtype {
			return fmt.Errorf("%s: dtype %v, want %v: its marker says %s", l.stat.Name, l.stat.DType, dtype, m.format)
		}
		if l.scale == "" {
			return fmt.Errorf("%s: has no weight_scale, which %s needs", l.stat.Name, m.format)
		}
		return nil
	}
	if m.rotation != 0 && m.format != formatInt8 {
		l.foreign = m.format + " with convrot"
		return nil
	}
	if l.second != "" && slices.Contains(oneScale, m.format) {
		return fmt.Errorf("%s: stands beside a weight whose marker says %s, want it only for nvfp4",
			qualified(set, l.second), m.format)
	}
	switch m.format {
	case "float8_e4m3fn", "float8_e5m2":
		dtype := tensor.F8E4M3
		if m.format == "float8_e5m2" {
			dtype = tensor.F8E5M2
		}
		if err := want(dtype); err != nil {
			return err
		}
		return l.scaled(set)
	case formatInt8:
		if err := want(tensor.I8); err != nil {
			return err
		}
		l.rotation = m.rotation
		if err := l.scaled(set); err != nil || m.rotation == 0 {
			return err
		}
		if len(l.stat.Shape) != 2 || l.stat.Shape[1]%m.rotation != 0 {
			return fmt.Errorf("%s: shape %v, want rows that are a multiple of the marker's convrot_groupsize %d",
				l.stat.Name, l.stat.Shape, m.rotation)
		}
		return nil
	case "nvfp4":
		if err := want(tensor.U8); err != nil {
			return err
		}
		if l.second == "" {
			return fmt.Errorf("%s: has no weight_scale_2, which nvfp4 needs", l.stat.Name)
		}
		if err := checkScale(set, l.second); err != nil {
			return err
		}
		if len(l.stat.Shape) == 2 {
			l.stat.Shape[1] *= 2
		}
		l.stat.DType = tensor.F4E2M1
		return l.swizzled(set, 16, tensor.F8E4M3)
	case "mxfp8":
		if err := want(tensor.F8E4M3); err != nil {
			return err
		}
		return l.swizzled(set, 32, tensor.F8E8M0)
	}
	l.foreign = m.format
	return nil
}

// swizzled completes l for scales of blocks of width columns, in the order that NVIDIA's matrix products read.
func (l *layer) swizzled(set *safetensors.Set, width int, dtype tensor.DType) error {
	if len(l.stat.Shape) != 2 || l.stat.Shape[1]%width != 0 {
		return fmt.Errorf("%s: shape %v of values, want a matrix with rows of a multiple of %d",
			l.stat.Name, l.stat.Shape, width)
	}
	scale, err := set.Stat(l.scale)
	if err != nil {
		return err
	}
	rows, cols := l.stat.Shape[0], (l.stat.Shape[1]/width+3)/4*4
	want := []int{(rows + 127) / 128 * 128, cols}
	if !slices.Equal(scale.Shape, want) || scale.DType != dtype && scale.DType != tensor.U8 {
		return fmt.Errorf("%s: %v %v, want %v or U8 %v for a weight of %v", scale.Name, scale.DType, scale.Shape, dtype, want,
			l.stat.Shape)
	}
	l.blocks = &tensor.BlockScales{
		DType: dtype, Height: 1, Width: width, Stride: cols, Swizzled: true, Rows: rows,
	}
	return nil
}

// modelOpt completes l for nvfp4 without a marker, which is NVIDIA ModelOpt's layout, after dequantize_nvfp4 of
// Diffusers' quantizers/bfl/utils.py: even columns in the lower halves of bytes, and scales row by row without padding.
func (l *layer) modelOpt(set *safetensors.Set) error {
	scale, err := set.Stat(l.scale)
	if err != nil {
		return err
	}
	const width = 16
	shape := l.stat.Shape
	if len(shape) != 2 || shape[1]%(width/2) != 0 || scale.DType != tensor.F8E4M3 ||
		!slices.Equal(scale.Shape, []int{shape[0], shape[1] * 2 / width}) {
		return fmt.Errorf("%s: %v %v for %v bytes, want F8_E4M3 with a scale for each %d values: nvfp4 without a marker",
			scale.Name, scale.DType, scale.Shape, shape, width)
	}
	shape[1] *= 2
	l.stat.DType = tensor.F4E2M1Low
	l.blocks = &tensor.BlockScales{
		DType: tensor.F8E4M3, Height: 1, Width: width, Stride: shape[1] / width, Rows: shape[0],
	}
	return checkScale(set, l.second)
}

// fp8Block is the side of the blocks with one scale in files like Qwen3-FP8.
const fp8Block = 128

// scaled completes l for scales in a floating-point format: one for the tensor, one for each row, or one for each block
// of 128×128 values, whose last rows and columns may be smaller.
func (l *layer) scaled(set *safetensors.Set) error {
	scale, err := set.Stat(l.scale)
	if err != nil {
		return err
	}
	if scale.DType != tensor.F32 && scale.DType != tensor.F16 && scale.DType != tensor.BF16 {
		return fmt.Errorf("%s: dtype %v, want F32, F16 or BF16", scale.Name, scale.DType)
	}
	n := tensor.Elements(scale.Shape)
	if n == 1 {
		return checkScale(set, l.scale)
	}
	shape := l.stat.Shape
	if len(shape) == 2 {
		blocks := []int{(shape[0] + fp8Block - 1) / fp8Block, (shape[1] + fp8Block - 1) / fp8Block}
		switch {
		case n == shape[0] && len(scale.Shape) > 0 && scale.Shape[0] == n:
			return nil
		case slices.Equal(scale.Shape, blocks):
			l.blocks = &tensor.BlockScales{
				DType: scale.DType, Height: fp8Block, Width: fp8Block, Stride: blocks[1], Rows: shape[0],
			}
			return nil
		case len(scale.Shape) == 2 && scale.Shape[0] == shape[0] && scale.Shape[1] > 0 && shape[1]%scale.Shape[1] == 0:
			l.blocks = &tensor.BlockScales{
				DType: scale.DType, Height: 1, Width: shape[1] / scale.Shape[1], Stride: scale.Shape[1], Rows: shape[0],
			}
			return nil
		}
	}
	return fmt.Errorf("%s: shape %v, want one scale for %v, one for each row, or one for each block of %d×%d",
		scale.Name, scale.Shape, shape, fp8Block, fp8Block)
}

// Names returns the names of all tensors that are no details of a quantisation, sorted.
func (q *quantised) Names() []string { return q.names }

// Stat returns the tensor called name without its data and scales. A quantised matrix has its own shape.
func (q *quantised) Stat(name string) (tensor.Tensor, error) {
	if l := q.layers[name]; l != nil {
		stat := l.stat
		stat.Shape = slices.Clone(stat.Shape)
		return stat, nil
	}
	return q.Set.Stat(name)
}

// Tensor returns the tensor called name with its data and scales. It returns an error if a scale is not a positive
// number, or if the scale of a block is NaN.
func (q *quantised) Tensor(name string) (tensor.Tensor, error) {
	l := q.layers[name]
	if l == nil {
		return q.Set.Tensor(name)
	}
	t, err := q.Set.Tensor(name)
	if err != nil {
		return t, err
	}
	t.DType, t.Shape = l.stat.DType, slices.Clone(l.stat.Shape)
	quant := &tensor.Quant{Rotation: l.rotation}
	scale := l.scale
	if l.blocks != nil {
		blocks := *l.blocks
		table, err := q.Set.Tensor(l.scale)
		if err != nil {
			return t, err
		}
		blocks.Data = table.Data
		if err := checkBlocks(table, &blocks, t.Shape[1]/blocks.Width); err != nil {
			return t, err
		}
		quant.Blocks, scale = &blocks, l.second
	}
	if scale != "" {
		table, err := q.Set.Tensor(scale)
		if err != nil {
			return t, err
		}
		values, err := positive(table)
		if err != nil {
			return t, err
		}
		if len(values) == 1 {
			t.Scale = values[0]
		} else {
			quant.Rows = values
		}
	}
	if l.columns != "" {
		if quant.Columns, err = q.columnsOf(l); err != nil {
			return t, err
		}
	}
	if quant.Rows != nil || quant.Blocks != nil || quant.Columns != nil || quant.Rotation != 0 {
		t.Quant = quant
	}
	return t, nil
}

// columnsOf returns the factors of the columns of l: the activations would be multiplied by them.
func (q *quantised) columnsOf(l *layer) ([]float32, error) {
	t, err := q.Set.Tensor(l.columns)
	if err != nil {
		return nil, err
	}
	if len(l.stat.Shape) != 2 || tensor.Elements(t.Shape) != l.stat.Shape[1] {
		return nil, fmt.Errorf("%s: shape %v, want a factor for each column of %v", t.Name, t.Shape, l.stat.Shape)
	}
	if l.rotation != 0 {
		return nil, fmt.Errorf("%s: stands beside a rotated weight, want one of both", t.Name)
	}
	return positive(t)
}

// mustBeScaled reports whether a float8 weight among names without a scale is an error: because another one has scales
// or a marker, or because the file says that weights have scales. Otherwise the file holds weights that were only
// rounded to float8.
func (q *quantised) mustBeScaled(names []string) bool {
	return slices.ContainsFunc(names, func(name string) bool {
		return q.layers[name] != nil ||
			slices.ContainsFunc(q.strict, func(prefix string) bool { return strings.HasPrefix(name, prefix) })
	})
}
