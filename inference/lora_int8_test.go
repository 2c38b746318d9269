package inference

import (
	"fmt"
	"slices"
	"testing"

	"github.com/kleinbild/kleinbild/inference/backend"
	"github.com/kleinbild/kleinbild/inference/cpu"
	"github.com/kleinbild/kleinbild/inference/tensor"
)

// TestLoRAsInInt8 applies every kind of adapter to a model whose blocks are quantised as they are read. The adapters
// stay beside the integers, in floats, so that the velocity is no further from that of merged weights in float32 than
// the formula of int8 with the same adapters is.
func TestLoRAsInInt8(t *testing.T) {
	exact := openEngine(t, tinyModel(t, "distilled"), DeviceCPU, Float32)
	c := loraTestCase()
	on := func(b backend.Backend) *adapted {
		own := &Engine{info: exact.info, ckpt: exact.ckpt, tokens: exact.tokens}
		if err := own.loadStages(b); err != nil {
			t.Fatal(err)
		}
		own.caches = newCaches(b)
		own.base, own.loras.sets = baseOf(own.transformer), map[string]*loraSet{}
		a := c.adapt(t, own)
		t.Cleanup(func() {
			a.scope.Free()
			own.loras.close()
			b.Close()
		})
		return a
	}
	a := c.adapt(t, exact)
	defer a.scope.Free()
	noise := a.noise(c.Seed)
	const sigma = 0.8
	for _, format := range []tensor.DType{tensor.F32, tensor.BF16} {
		ints, formula := on(cpu.NewInt8(format, cpu.Int8{Quantise: true})), on(narrowFormula{cpu.New(format), tensor.I8})
		plain := ints.velocity(nil, noise, sigma)
		compare := func(name string, list []LoRA) {
			want := a.mergedVelocity(list, noise, sigma)
			have, limit := ints.velocity(list, noise, sigma), relativeRMS(formula.velocity(list, noise, sigma), want)
			off, moved := relativeRMS(have, want), relativeRMS(plain, want)
			said := fmt.Sprintf("%s, %v: %.4f off, the formula %.4f, the model without adapters %.4f",
				name, format, off, limit, moved)
			if t.Log(said); !(off <= narrowFactor*limit) || !(off > float32Tolerance) || !(moved > 2*off) {
				t.Errorf("%s; want at most %v times the formula's, more than float32's, and less than half of the last",
					said, narrowFactor)
			}
		}
		var all []LoRA
		for i, kind := range loraKinds {
			path := writeLoRA(t, uint64(i), kind.add)
			all = append(all, LoRA{Path: path, Strength: 0.2})
			compare(kind.name, []LoRA{{Path: path, Strength: 1}})
		}
		compare("all at once", all)
		if have := ints.velocity(nil, noise, sigma); !slices.Equal(have, plain) {
			t.Errorf("%v: after the adapters the model is another one", format)
		}
	}
}
