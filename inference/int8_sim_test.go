package inference

import (
	"strings"
	"testing"

	"github.com/kleinbild/kleinbild/inference/cuda"
	"github.com/kleinbild/kleinbild/inference/tensor"
	"github.com/kleinbild/kleinbild/kernels/ptxsim"
)

// TestNarrowOnSoftwareDevice makes pictures in int8 and fp8 on the software device: they take the planned memory, of
// which the transformer's weights take about half of bfloat16's, and are the same pictures if the weights are quantised
// anew each time that they pass through lanes.
func TestNarrowOnSoftwareDevice(t *testing.T) {
	for _, precision := range []Precision{Int8, FP8} {
		t.Run(string(precision), func(t *testing.T) { testNarrowOnSoftwareDevice(t, precision) })
	}
}

func testNarrowOnSoftwareDevice(t *testing.T, narrow Precision) {
	open := func(device ptxsim.Device, precision Precision) (*Engine, *simDevices) {
		d := &simDevices{next: []ptxsim.Device{device}}
		e, err := Open(t.Context(), Options{
			Model: tinyModel(t, "distilled"), Device: DeviceSim, Precision: precision, MaxSequenceLength: 16,
			sim: &cuda.Options{Open: d.open, ChunkBytes: 64 << 10, PartBytes: 1 << 20},
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := e.Close(); err != nil {
				t.Error(err)
			}
		})
		return e, d
	}
	small := quick("a fox")
	small.Steps = new(2)
	plain, _ := open(ptxsim.Device{}, BF16)
	inBF16 := plan(t, plain, small)
	e, d := open(ptxsim.Device{Major: 8, Minor: 9}, narrow)
	if e.Info().Precision != narrow {
		t.Errorf("computes in %v", e.Info().Precision)
	}
	p := plan(t, e, small)
	// The text encoder, the VAE and the layers outside of the blocks stay in bfloat16.
	var blocks int64
	source := plain.ckpt.Transformer.Source
	for _, name := range source.Names() {
		w, err := source.Tensor(name)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(name, "transformer_blocks.") && len(w.Shape) == 2 {
			blocks += 2 * int64(tensor.Elements(w.Shape))
		}
	}
	if saved := inBF16.WeightsBytes - p.WeightsBytes; float64(saved) < 0.45*float64(blocks) || saved > blocks/2 {
		t.Errorf("%d bytes of weights, %d in bfloat16, want nearly half of the blocks' %d less", p.WeightsBytes,
			inBF16.WeightsBytes, blocks)
	}
	d.opened.PeakBytes()
	first := generate(t, e, small)
	checkPeak(t, string(narrow), d, p)

	turns, _ := open(
		ptxsim.Device{Major: 8, Minor: 9, TotalBytes: p.LeastBytes + p.WeightsBytes/4}, narrow,
	)
	if q := plan(t, turns, small); !q.Fits() || q.PeakBytes >= p.WeightsBytes {
		t.Errorf("%+v on a small device, want weights to be loaded in turn", q)
	}
	if !samePicture(generate(t, turns, small), first) {
		t.Error("the picture differs if weights are loaded in turn")
	}
	if samePicture(generate(t, plain, small), first) {
		t.Error("the picture is that of bfloat16")
	}
}

// TestLoRAsOnInt8 applies adapters to weights that are quantised on the software device, and compares the velocities
// with those of the processor in int8. The two differ in the rounding of activations, as without adapters.
func TestLoRAsOnInt8(t *testing.T) {
	model := withTransformer(t, smallTransformer(t))
	device, processor := smallAdapted(t, model, DeviceSim, Int8), smallAdapted(t, model, DeviceCPU, Int8)
	noise := processor.noise(3)
	const sigma = 0.8
	hidden := processor.e.transformer.Config().Hidden()
	low, kronecker := writeLoRAFor(t, hidden, loraKinds[0].add), writeLoRAFor(t, hidden, loraKinds[5].add)
	plain := processor.velocity(nil, noise, sigma)
	rounding := relativeRMS(device.velocity(nil, noise, sigma), plain)
	for _, row := range []struct {
		name string
		list []LoRA
	}{
		{"LoRA", []LoRA{{Path: low, Strength: 2}}},
		{"LoRA and LoKr", []LoRA{{Path: low, Strength: 0.5}, {Path: kronecker, Strength: 0.5}}},
	} {
		want, have := processor.velocity(row.list, noise, sigma), device.velocity(row.list, noise, sigma)
		off, moved := relativeRMS(have, want), relativeRMS(want, plain)
		t.Logf("%s: %.2g off, %.2g without adapters; %.2g from the model without adapters", row.name, off, rounding, moved)
		if !(off <= 2*rounding) || !(moved > 10*rounding) {
			t.Errorf("%s: %.3g off, want at most twice the %.3g without adapters; moved by %.3g, want ten times as much",
				row.name, off, rounding, moved)
		}
	}
}
