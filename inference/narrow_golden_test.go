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

// narrowFormula is a backend whose products with weights of a format of 8 bits follow the formula of the published
// format as it is written: rows of x are multiplied by H for each group, divided by their scale, rounded, multiplied by
// the scale again, and multiplied by the weights' values. The rest is the backend's own. The format is int8 or e4m3.
type narrowFormula struct {
	backend.Backend
	format tensor.DType
}

// formulaWeight is a weight whose products take quantised rows, rotated in groups.
type formulaWeight struct {
	backend.Weight
	group int
}

func (w formulaWeight) Slice(from, to int) backend.Weight {
	return formulaWeight{w.Weight.Slice(from, to), w.group}
}

func (f narrowFormula) Weight(t tensor.Tensor) (backend.Weight, error) {
	w, err := f.Backend.Weight(t)
	if err == nil && t.DType == f.format {
		return formulaWeight{w, t.Rotation()}, nil
	}
	return w, err
}

// LinearWeight quantises a weight of floats with a scale for each row, and gives the backend the values that this
// means.
func (f narrowFormula) LinearWeight(t tensor.Tensor) (backend.Weight, error) {
	if t.DType != tensor.BF16 && t.DType != tensor.F16 && t.DType != tensor.F32 {
		return f.Weight(t)
	}
	cols := t.Shape[1]
	group := 0
	if f.format == tensor.I8 {
		group = tensor.RotationFor(cols)
	}
	values := t.Float32s()
	f.quantise(values, cols, group)
	plain := tensor.Tensor{Name: t.Name, DType: tensor.F32, Shape: t.Shape, Scale: 1}
	for _, v := range values {
		plain.Data = binary.LittleEndian.AppendUint32(plain.Data, math.Float32bits(v))
	}
	w, err := f.Backend.Weight(plain)
	return formulaWeight{w, group}, err
}

func (f narrowFormula) Linear(dst, x backend.Matrix, w backend.Weight, ep backend.Epilogue) {
	if q, ok := w.(formulaWeight); ok {
		x, w = f.quantised(x, q.group), q.Weight
		defer f.Free(x)
	}
	f.Backend.Linear(dst, x, w, ep)
}

func (f narrowFormula) SwiGLU(dst, x backend.Matrix, gate, up backend.Weight) {
	if q, ok := gate.(formulaWeight); ok {
		x, gate, up = f.quantised(x, q.group), q.Weight, up.(formulaWeight).Weight
		defer f.Free(x)
	}
	f.Backend.SwiGLU(dst, x, gate, up)
}

func (f narrowFormula) quantised(x backend.Matrix, group int) backend.Matrix {
	values := make([]float32, x.Rows*x.Cols)
	f.Download(values, x)
	f.quantise(values, x.Cols, group)
	q := f.Alloc(x.Rows, x.Cols, tensor.F32)
	f.Upload(q, values)
	return q
}

// quantise replaces rows of cols values by those that their quantisation means, without the rotation.
func (f narrowFormula) quantise(values []float32, cols, group int) {
	for ; len(values) > 0; values = values[cols:] {
		row := values[:cols]
		tensor.Rotate(row, group) // tensor's tests compare it with its definition
		largest := 0.0
		for _, v := range row {
			largest = max(largest, math.Abs(float64(v)))
		}
		scale := max(largest/127, 1e-30)
		if f.format == tensor.F8E4M3 {
			scale = max(largest/448, 1e-30)
		}
		for i, v := range row {
			q := max(-128, min(127, math.RoundToEven(float64(v)/scale)))
			if f.format == tensor.F8E4M3 {
				q = nearestE4M3(float64(v) / scale)
			}
			row[i] = float32(scale * q)
		}
		tensor.Rotate(row, group) // which is its own inverse
	}
}

// nearestE4M3 rounds a number to one with three bits behind the first, or to a multiple of 2^-9 if it is smaller than
// 2^-6.
func nearestE4M3(v float64) float64 {
	_, exponent := math.Frexp(v)
	unit := math.Ldexp(1, max(exponent-4, -9))
	return max(-448, min(448, math.RoundToEven(v/unit)*unit))
}

// narrowFactor bounds the error of products in 8 bits, as a multiple of that of the formula: what is left for sums in
// another order, and for values that are rounded to the other neighbour.
const narrowFactor = 1.25

// TestInt8Goldens compares the velocities in int8 with the reference's in float32, of a checkpoint that is stored as
// int8. They must not be much further from it than the formula of the format is with the same activations. The same
// holds for a checkpoint whose blocks are quantised as they are read, beside the velocities of its own weights.
func TestInt8Goldens(t *testing.T) {
	narrowGoldens(t, "int8", tensor.I8, func(format tensor.DType) backend.Backend {
		return cpu.NewInt8(format, cpu.Int8{Quantise: true})
	})
}

// TestFP8Goldens does the same for fp8, which only cards multiply.
func TestFP8Goldens(t *testing.T) { narrowGoldens(t, "fp8-scaled", tensor.F8E4M3, nil) }

// narrowGoldens runs the golden `name` and the plain checkpoint in a format of 8 bits on the software device and,
// unless processor is nil, on the processor.
func narrowGoldens(t *testing.T, name string, narrow tensor.DType, processor func(tensor.DType) backend.Backend) {
	cases := slices.DeleteFunc(formatCases(t), func(c formatCase) bool { return c.name != name })
	if len(cases) == 0 {
		t.Skipf("there is no golden of %s", name)
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
			formula := velocities(t, e, c, latents, narrowFormula{cpu.New(format), narrow})
			devices := map[string]backend.Backend{}
			if processor != nil {
				devices["processor"] = processor(format)
			}
			if format == tensor.BF16 {
				card := sim
				card.Narrow = &cuda.Narrow{DType: narrow, Quantise: true}
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
					if !(got <= narrowFactor*limit) || !(got > float32Tolerance) {
						t.Errorf("%s, want at most %v times the formula's %.4g, and more than float32's", name, narrowFactor,
							limit)
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
