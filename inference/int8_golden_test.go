package inference

import (
	"encoding/binary"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"testing"

	"github.com/kleinbild/kleinbild/inference/backend"
	"github.com/kleinbild/kleinbild/inference/cpu"
	"github.com/kleinbild/kleinbild/inference/cuda"
	"github.com/kleinbild/kleinbild/inference/flux2"
	"github.com/kleinbild/kleinbild/inference/scheduler"
	"github.com/kleinbild/kleinbild/inference/tensor"
)

// int8Formula is a backend whose products with weights of int8 follow the formula of the published format as it is
// written: rows of x are multiplied by H for each group, divided by their scale, rounded, multiplied by the scale
// again, and multiplied by the weights' values. The rest is the backend's own.
type int8Formula struct{ backend.Backend }

// int8Weight is a weight whose products take quantised rows, rotated in groups.
type int8Weight struct {
	backend.Weight
	group int
}

func (w int8Weight) Slice(from, to int) backend.Weight {
	return int8Weight{w.Weight.Slice(from, to), w.group}
}

func (f int8Formula) Weight(t tensor.Tensor) (backend.Weight, error) {
	w, err := f.Backend.Weight(t)
	if err == nil && t.DType == tensor.I8 {
		return int8Weight{w, t.Rotation()}, nil
	}
	return w, err
}

// LinearWeight quantises a weight with a scale for each row, and gives the backend the values that this means.
func (f int8Formula) LinearWeight(t tensor.Tensor) (backend.Weight, error) {
	if t.DType == tensor.I8 {
		return f.Weight(t)
	}
	cols := t.Shape[1]
	group := tensor.RotationFor(cols)
	values := t.Float32s()
	quantiseFormula(values, cols, group)
	plain := tensor.Tensor{Name: t.Name, DType: tensor.F32, Shape: t.Shape, Scale: 1}
	for _, v := range values {
		plain.Data = binary.LittleEndian.AppendUint32(plain.Data, math.Float32bits(v))
	}
	w, err := f.Backend.Weight(plain)
	return int8Weight{w, group}, err
}

func (f int8Formula) Linear(dst, x backend.Matrix, w backend.Weight, ep backend.Epilogue) {
	if q, ok := w.(int8Weight); ok {
		x, w = f.quantised(x, q.group), q.Weight
		defer f.Free(x)
	}
	f.Backend.Linear(dst, x, w, ep)
}

func (f int8Formula) SwiGLU(dst, x backend.Matrix, gate, up backend.Weight) {
	if q, ok := gate.(int8Weight); ok {
		x, gate, up = f.quantised(x, q.group), q.Weight, up.(int8Weight).Weight
		defer f.Free(x)
	}
	f.Backend.SwiGLU(dst, x, gate, up)
}

func (f int8Formula) quantised(x backend.Matrix, group int) backend.Matrix {
	values := make([]float32, x.Rows*x.Cols)
	f.Download(values, x)
	quantiseFormula(values, x.Cols, group)
	q := f.Alloc(x.Rows, x.Cols, tensor.F32)
	f.Upload(q, values)
	return q
}

// quantiseFormula replaces rows of cols values by those that their quantisation means, without the rotation.
func quantiseFormula(values []float32, cols, group int) {
	for ; len(values) > 0; values = values[cols:] {
		row := values[:cols]
		tensor.Rotate(row, group) // tensor's tests compare it with its definition
		largest := 0.0
		for _, v := range row {
			largest = max(largest, math.Abs(float64(v)))
		}
		scale := max(largest/127, 1e-30)
		for i, v := range row {
			row[i] = float32(scale * max(-128, min(127, math.RoundToEven(float64(v)/scale))))
		}
		tensor.Rotate(row, group) // which is its own inverse
	}
}

// int8Factor bounds the error of int8, as a multiple of that of the formula: what is left for sums in another order,
// and for values that are rounded to the other neighbour.
const int8Factor = 1.25

// TestInt8Goldens compares the velocities in int8 with the reference's in float32, of a checkpoint that is stored as
// int8. They must not be much further from it than the formula of the format is with the same activations. The same
// holds for a checkpoint whose blocks are quantised as they are read, beside the velocities of its own weights.
func TestInt8Goldens(t *testing.T) {
	cases := slices.DeleteFunc(formatCases(t), func(c formatCase) bool { return c.name != "int8" })
	if len(cases) == 0 {
		t.Skip("there is no golden of int8")
	}
	stored := cases[0]
	plain := stored
	plain.Transformer = "models/single/flux-2-klein-4b.safetensors"
	golden := stored.stages(t, filepath.Join(stored.dir, "stages.safetensors"))
	var latents, want [][]float32
	for i := range stored.Steps {
		latents = append(latents, golden.get(fmt.Sprintf("latents.%d", i)))
		want = append(want, golden.get(fmt.Sprintf("velocity.%d", i)))
	}
	for _, c := range []formatCase{stored, plain} {
		e := openEngine(t, c.model(t, true), DeviceCPU, Float32)
		reference := want
		if c.Transformer != stored.Transformer {
			reference = velocities(t, e, c, latents, cpu.New(tensor.F32))
		}
		for _, format := range []tensor.DType{tensor.F32, tensor.BF16} {
			formula := velocities(t, e, c, latents, int8Formula{cpu.New(format)})
			devices := map[string]backend.Backend{"processor": cpu.NewInt8(format, cpu.Int8{Quantise: true})}
			if format == tensor.BF16 {
				card := sim
				card.Narrow = &cuda.Narrow{DType: tensor.I8, Quantise: true}
				b, err := cuda.New(card)
				if err != nil {
					t.Fatal(err)
				}
				devices["software device"] = b
			}
			for device, b := range devices {
				have := velocities(t, e, c, latents, b)
				for i := range have {
					got, limit := relativeRMS(have[i], reference[i]), relativeRMS(formula[i], reference[i])
					name := fmt.Sprintf("%s, %v on the %s, step %d: relative RMS %.4f", c.Transformer, format, device, i, got)
					t.Logf("%s, the formula's %.4f", name, limit)
					if !(got <= int8Factor*limit) || !(got > float32Tolerance) {
						t.Errorf("%s, want at most %v times the formula's %.4g, and more than float32's", name, int8Factor, limit)
					}
				}
			}
		}
	}
}

// velocities returns the velocities that b computes with the weights of e: of the first step with the latents of the
// seed, and of each other step with those that the step before left in the reference.
func velocities(t *testing.T, e *Engine, c formatCase, latents [][]float32, b backend.Backend) (all [][]float32) {
	t.Helper()
	defer b.Close()
	own := &Engine{ckpt: e.ckpt, tokens: e.tokens}
	if err := own.loadStages(b); err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	b.Begin(ctx)
	scope := backend.NewScope(b)
	defer scope.Free()
	none := func(int, int) {}
	enc, err := e.tokens.Prompt(c.Prompt, e.info.MaxSequenceLength)
	if err != nil {
		t.Fatal(err)
	}
	embeds := scope.Alloc(len(enc.IDs), own.encoder.Config().EmbedDim())
	if err := own.encoder.Encode(ctx, embeds, enc.IDs, enc.Count, none); err != nil {
		t.Fatal(err)
	}
	channels, grid := own.transformer.Config().InChannels, flux2.Grid{Height: c.Height / 16, Width: c.Width / 16}
	n := grid.Tokens()
	run := own.transformer.NewRun([]backend.Matrix{embeds}, grid, backend.Matrix{}, nil)
	defer run.Free()
	sigmas := scheduler.Sigmas(n, c.Steps)
	enter := pack(scheduler.Noise(c.Seed, n*channels), channels, n)
	velocity := scope.AllocAs(n, channels, tensor.F32)
	for i, after := range latents {
		run.Velocity(velocity, scope.Upload(n, channels, enter), 0, sigmas[i], none)
		values := make([]float32, n*channels)
		b.Download(values, velocity)
		if err := b.Sync(); err != nil {
			t.Fatal(err)
		}
		all, enter = append(all, values), after
	}
	return all
}
