package inference

import (
	"math"
	"slices"
	"testing"

	"github.com/kleinbild/kleinbild/inference/backend"
	"github.com/kleinbild/kleinbild/inference/flux2"
	"github.com/kleinbild/kleinbild/inference/tensor"
)

// smallAdapted opens a model with one block of each kind and one head, whose text encoder is not used, and begins a run
// with made-up embeds.
func smallAdapted(t *testing.T, model string, device Device, precision Precision) *adapted {
	t.Helper()
	e := openEngine(t, model, device, precision)
	e.b.Begin(t.Context())
	a := &adapted{t: t, e: e, scope: backend.NewScope(e.b), grid: flux2.Grid{Height: 2, Width: 3}}
	t.Cleanup(a.scope.Free)
	const tokens = 11
	width := e.transformer.Config().ContextDim
	a.embeds = a.scope.Alloc(tokens, width)
	values := make([]float32, tokens*width)
	for i := range values {
		values[i] = float32(math.Sin(float64(i)))
	}
	e.b.Upload(a.embeds, values)
	return a
}

// TestLoRAsBesideWeights applies adapters on the software device, where a product goes on with the thin matrices of low
// ranks behind its weight, and compares the velocities with the processor's in float32. What differs must be the
// rounding to bfloat16, as without adapters.
func TestLoRAsBesideWeights(t *testing.T) {
	model := withTransformer(t, smallTransformer(t))
	device, processor := smallAdapted(t, model, DeviceSim, BF16), smallAdapted(t, model, DeviceCPU, Float32)
	noise := processor.noise(3)
	const sigma = 0.8
	hidden := processor.e.transformer.Config().Hidden()
	low := writeLoRAFor(t, hidden, loraKinds[0].add)
	second := writeLoRAFor(t, hidden, func(f *loraFile, m string, rows, cols int) {
		f.add(m+".lora_A.weight", 0.01, 0.05, 12, cols)
		f.add(m+".lora_B.weight", 0, 0.1, rows, 12)
	})
	kronecker := writeLoRAFor(t, hidden, loraKinds[5].add)
	plain := processor.velocity(nil, noise, sigma)
	rounding := relativeRMS(device.velocity(nil, noise, sigma), plain)
	for _, row := range []struct {
		name string
		list []LoRA
	}{
		{"LoRA", []LoRA{{Path: low, Strength: 2}}},
		{"two", []LoRA{{Path: low, Strength: -0.5}, {Path: second, Strength: 0.8}}},
		{"one twice", []LoRA{{Path: low, Strength: 0.7}, {Path: low, Strength: 0.8}}},
		{"LoRA and LoKr", []LoRA{{Path: low, Strength: 0.5}, {Path: kronecker, Strength: 0.5}}}, // one after the other
	} {
		want, have := processor.velocity(row.list, noise, sigma), device.velocity(row.list, noise, sigma)
		off, moved := relativeRMS(have, want), relativeRMS(want, plain)
		t.Logf("%s: %.2g off, %.2g without adapters; %.2g from the model without adapters", row.name, off, rounding, moved)
		if !(off <= 2*rounding) || !(moved > 10*rounding) {
			t.Errorf("%s: %.3g off, want at most twice the %.3g without adapters; moved by %.3g, want ten times as much",
				row.name, off, rounding, moved)
		}
	}
	if have := device.velocity(nil, noise, sigma); !slices.Equal(have, device.velocity(nil, noise, sigma)) ||
		relativeRMS(have, plain) != rounding {
		t.Error("after the adapters the model is another one")
	}
}

// TestLoRAOfOneLayerInTwoSteps: only one product has thin matrices behind its weight, whose operand changes between the
// steps of a run. The second step must not use the first one's.
func TestLoRAOfOneLayerInTwoSteps(t *testing.T) {
	a := smallAdapted(t, withTransformer(t, smallTransformer(t)), DeviceSim, BF16)
	only := func(f *loraFile, m string, rows, cols int) {
		if m == "single_blocks.0.linear2" {
			loraKinds[0].add(f, m, rows, cols)
		}
	}
	list := []LoRA{{Path: writeLoRAFor(t, a.e.transformer.Config().Hidden(), only), Strength: 2}}
	first, second := a.noise(3), a.noise(4)
	want := a.velocity(list, second, 0.5) // of a run that begins with it
	n, channels := a.grid.Tokens(), a.e.transformer.Config().InChannels
	run := a.e.transformer.NewRun([]backend.Matrix{a.embeds}, a.grid, backend.Matrix{}, nil)
	defer run.Free()
	in, dst := a.scope.Upload(n, channels, first), a.scope.AllocAs(n, channels, tensor.F32)
	for _, latents := range [][]float32{first, first, second} { // the third is played from a recording
		a.e.b.Upload(in, latents)
		run.Velocity(dst, in, 0, 0.5, func(int, int) {})
	}
	if have := download(a.e, dst); !slices.Equal(have, want) {
		t.Errorf("the third step is %.3g off, want the same bits", relativeRMS(have, want))
	}
}
