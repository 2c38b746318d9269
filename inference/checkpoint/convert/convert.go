// Package convert writes a network of a checkpoint to a file with quantised weights: the transformer or the text
// encoder, as GGUF for this program, ComfyUI-GGUF, stable-diffusion.cpp and llama.cpp, or as safetensors in ComfyUI's
// layouts of fp8 and int8. The weights must be BF16, F16 or F32. It works in pieces on all cores, in the memory of a
// few megabytes.
package convert

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"strings"

	"github.com/kleinbild/kleinbild/atomicfile"
	"github.com/kleinbild/kleinbild/inference/checkpoint"
	"github.com/kleinbild/kleinbild/inference/checkpoint/chunked"
	"github.com/kleinbild/kleinbild/inference/checkpoint/gguf"
	"github.com/kleinbild/kleinbild/inference/checkpoint/quantise"
	"github.com/kleinbild/kleinbild/inference/checkpoint/safetensors"
	"github.com/kleinbild/kleinbild/inference/tensor"
)

// Job says what to convert.
type Job struct {
	// Source has the weights by their Diffusers names.
	Source  tensor.Source
	Network Network
	Kind    Kind
	// Weighted takes the weighted functions of package quantise, where they exist.
	Weighted bool
	// Metadata is added to that of a GGUF file. A text encoder's tells its sizes and its vocabulary.
	Metadata []gguf.Pair
}

// ErrExists is wrapped by the error of Write if the file exists.
var ErrExists = errors.New("exists already; remove it, or choose another name")

// CheckPath returns an error if Write could not write the file at path: because it exists, because its name does not
// end as those of its kind do, or because the system does not allow the name.
func CheckPath(path string, kind Kind) error {
	if err := atomicfile.CheckName(path); err != nil {
		return fmt.Errorf("convert: %s: %w", path, err)
	}
	if _, err := os.Lstat(path); err == nil {
		return fmt.Errorf("convert: %s: %w", path, ErrExists)
	}
	if !strings.HasSuffix(strings.ToLower(path), kind.Extension()) {
		return fmt.Errorf("convert: %s: want a name that ends in %s, for %s", path, kind.Extension(), kind.Name)
	}
	return nil
}

// Write writes the file at path, which must not exist. The file appears when it is complete; if Write fails or ctx
// ends, nothing stays. progress may be nil; it is called with the work that is done and all work, in bytes, never
// concurrently.
func Write(ctx context.Context, path string, job Job, progress func(done, total int64)) (err error) {
	if err := CheckPath(path, job.Kind); err != nil {
		return err
	}
	stacks, err := job.stacks()
	if err != nil {
		return fmt.Errorf("convert: %w", err)
	}
	file, err := atomicfile.Create(path, 0o666)
	if err != nil {
		return fmt.Errorf("convert: %w", err)
	}
	defer file.Discard()
	write := job.writeComfy
	if job.Kind.GGUF {
		write = job.writeGGUF
	}
	if err := write(ctx, file, stacks, progress); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return fmt.Errorf("convert: %s: %w", path, err)
	}
	if err := file.Claim(path); errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("convert: %s: %w", path, ErrExists)
	} else if err != nil {
		return fmt.Errorf("convert: %s: %w", path, err)
	}
	return nil
}

// stacks returns the tensors of the file.
func (j Job) stacks() ([]*stack, error) {
	names := j.Source.Names()
	var list []checkpoint.Stacked
	var err error
	switch {
	case j.Network == Transformer:
		list, err = checkpoint.OriginalTransformer(names)
	case j.Kind.GGUF:
		list, err = checkpoint.LlamaEncoder(names)
	default: // ComfyUI's text encoders have the names of transformers
		for _, name := range names {
			list = append(list, checkpoint.Stacked{Name: name, Weights: []string{name}})
		}
	}
	if err != nil {
		return nil, err
	}
	var stacks []*stack
	for _, from := range list {
		s, err := newStack(j.Source, from)
		if err != nil {
			return nil, err
		}
		stacks = append(stacks, s)
	}
	return stacks, nil
}

// writeGGUF writes a GGUF file.
func (j Job) writeGGUF(
	ctx context.Context, file *atomicfile.File, stacks []*stack, report func(done, total int64),
) error {
	architecture := "flux" // city96's converter says so for FLUX.1 and FLUX.2 alike
	if j.Network == TextEncoder {
		architecture = "qwen3"
	}
	metadata := append([]gguf.Pair{
		{Key: "general.architecture", Value: architecture},
		{Key: "general.quantization_version", Value: uint32(2)},
		{Key: "general.file_type", Value: j.Kind.fileType},
	}, j.Metadata...)
	var entries []gguf.Entry
	var p counter
	for _, s := range stacks {
		e := gguf.Entry{Name: s.name, Shape: s.shape, DType: j.Kind.dtypeOf(j.Network, s.name, s.shape, s.stored)}
		if e.DType.BlockValues() > 1 {
			e.Fill = s.blocks(e.DType, j.Weighted)
		} else {
			e.Fill = s.wide(e.DType)
		}
		entries = append(entries, e)
		p.total += e.SizeBytes()
	}
	p.report = report
	return gguf.Write(ctx, file, metadata, entries, p.add)
}

// largestFloat8 is the largest value of float8_e4m3fn.
const largestFloat8 = 448

// leastScale is the scale of zeros, since a scale must be positive. It is that of the reference.
const leastScale = 1e-30

// writeComfy writes a safetensors file in which each quantised weight NAME.weight has a scale, NAME.weight_scale, and a
// marker, NAME.comfy_quant.
func (j Job) writeComfy(
	ctx context.Context, file *atomicfile.File, stacks []*stack, report func(done, total int64),
) error {
	p := counter{report: report}
	var quantised []*stack
	for _, s := range stacks {
		dtype := j.Kind.dtypeOf(j.Network, s.name, s.shape, s.stored)
		size := int64(dtype.Bytes(tensor.Elements(s.shape)))
		p.total += size
		if dtype == j.Kind.DType {
			quantised = append(quantised, s)
			p.total += size // it is read twice: once for the scales
		}
	}
	scales := map[*stack]*scaling{}
	for _, s := range quantised {
		scale, err := j.scalesOf(ctx, s)
		if err != nil {
			return err
		}
		scales[s] = scale
		p.add(int64(tensor.Elements(s.shape)))
	}
	var entries []safetensors.Entry
	for _, s := range stacks {
		scale := scales[s]
		if scale == nil {
			entries = append(entries, safetensors.Entry{Name: s.name, DType: s.stored, Shape: s.shape, Fill: s.wide(s.stored)})
			continue
		}
		layer := strings.TrimSuffix(s.name, ".weight")
		fill := s.float8(scale.values[0])
		if j.Kind.DType == tensor.I8 {
			fill = s.int8(scale.values, scale.group)
		}
		entries = append(entries,
			safetensors.Entry{Name: s.name, DType: j.Kind.DType, Shape: s.shape, Fill: fill},
			safetensors.Entry{Name: layer + ".weight_scale", DType: tensor.F32, Shape: scale.shape, Fill: scale.fill},
			bytesEntry(layer+".comfy_quant", scale.marker))
	}
	return safetensors.Write(ctx, file, map[string]string{"format": "pt"}, entries, p.add)
}

// scaling has the scales of a quantised weight.
type scaling struct {
	values []float32
	shape  []int
	group  int // of ConvRot
	marker []byte
}

// rowsAtOnce is the number of rows whose largest values a goroutine finds at once.
const rowsAtOnce = 64

// scalesOf returns the scales of s: one for fp8, and one for each row for int8.
func (j Job) scalesOf(ctx context.Context, s *stack) (*scaling, error) {
	rows := s.shape[0]
	scale := &scaling{values: make([]float32, rows)}
	marker := struct {
		Format    string `json:"format"`
		ConvRot   bool   `json:"convrot,omitempty"`
		GroupSize int    `json:"convrot_groupsize,omitempty"`
	}{Format: "float8_e4m3fn"}
	if j.Kind.DType == tensor.I8 {
		scale.group = tensor.RotationFor(s.rowValues())
		marker.Format, marker.ConvRot, marker.GroupSize = "int8_tensorwise", scale.group > 0, scale.group
	}
	err := chunked.Each(ctx, (rows+rowsAtOnce-1)/rowsAtOnce, func(_ *struct{}, i int) error {
		return s.largest(scale.values, i*rowsAtOnce, min((i+1)*rowsAtOnce, rows), scale.group)
	})
	if err != nil {
		return nil, err
	}
	if j.Kind.DType == tensor.I8 {
		scale.shape = []int{rows, 1}
		for i, v := range scale.values {
			scale.values[i] = tensor.Int8Scale(v)
		}
	} else {
		largest := float32(0)
		for _, v := range scale.values {
			largest = max(largest, v)
		}
		scale.values = []float32{max(largest/largestFloat8, leastScale)}
	}
	scale.marker, err = json.Marshal(marker)
	return scale, err
}

// fill stores scales.
func (s *scaling) fill(dst []byte, first int) error {
	for i := range len(dst) / 4 {
		binary.LittleEndian.PutUint32(dst[4*i:], math.Float32bits(s.values[first+i]))
	}
	return nil
}

// bytesEntry returns a tensor of bytes.
func bytesEntry(name string, data []byte) safetensors.Entry {
	fill := func(dst []byte, first int) error {
		copy(dst, data[first:])
		return nil
	}
	return safetensors.Entry{Name: name, DType: tensor.U8, Shape: []int{len(data)}, Fill: fill}
}

// counter adds up progress.
type counter struct {
	done, total int64
	report      func(done, total int64)
}

func (c *counter) add(n int64) {
	c.done = min(c.done+n, c.total) // scales and markers are not counted
	if c.report != nil {
		c.report(c.done, c.total)
	}
}

// HasWeighted reports whether a kind has weighted functions.
func (k Kind) HasWeighted() bool { return quantise.HasWeighted(k.DType) }
