package inference

import (
	"math"
	"testing"

	"github.com/kleinbild/kleinbild/inference/picture"
)

// TestCosts compares the work that follows from an engine's description with the stages' own formulas.
func TestCosts(t *testing.T) {
	for _, variant := range []string{"distilled", "base"} {
		e := openShort(t, variant)
		for name, ask := range map[string]Ask{
			"a picture":      {Prompt: "a", Size: &picture.Size{Width: 128, Height: 64}},
			"many steps":     {Prompt: "a", Size: &picture.Size{Width: 64, Height: 64}, Steps: new(50)},
			"two references": {References: []Source{reference(t, 1, 64, 64), reference(t, 2, 128, 96)}},
			"no guidance":    {Prompt: "a", Guidance: new(1.0)},
		} {
			req := resolve(t, e, ask)
			passes := 1.0
			if variant == "base" && name != "no guidance" {
				passes = 2
			}
			tokens, want := 32+gridOf(req.Size()).Tokens(), 0.0
			for _, ref := range req.References() {
				size := ref.SizeFor(e.info.NativeSize)
				tokens += gridOf(size).Tokens()
				want += encodeWork(e.vae.Config(), size)
			}
			want += passes*promptWork(e.encoder.Config(), 32) + decodeWork(e.vae.Config(), req.Size()) +
				passes*float64(req.Steps())*stepWork(e.transformer.Config(), tokens)
			got := e.Info().Work(req)
			if !(math.Abs(got-want) <= 1e-12*want) || e.Work(req) != got {
				t.Errorf("%s, %s: %v, and %v of the engine, want %v", variant, name, got, e.Work(req), want)
			}
		}
	}
	// References whose keys and values are cached take a pass for themselves, and their keys a share of each step.
	e := openShort(t, "distilled")
	e.info.Variant = KV
	req := resolve(t, e, Ask{References: []Source{reference(t, 1, 64, 64), reference(t, 2, 128, 96)}, Steps: new(3)})
	n, refs, want := 32+gridOf(req.Size()).Tokens(), 0, promptWork(e.encoder.Config(), 32)
	for _, ref := range req.References() {
		size := ref.SizeFor(e.info.NativeSize)
		refs += gridOf(size).Tokens()
		want += encodeWork(e.vae.Config(), size)
	}
	cfg := e.transformer.Config()
	pairs := float64(cfg.DoubleBlocks+cfg.SingleBlocks) * 2 * float64(cfg.Hidden()) * float64(n) * float64(refs)
	want += decodeWork(e.vae.Config(), req.Size()) + stepWork(cfg, refs) + 3*(stepWork(cfg, n)+pairs)
	if got := e.Info().Work(req); !(math.Abs(got-want) <= 1e-12*want) || e.Work(req) != got {
		t.Errorf("with cached references: %v, and %v of the engine, want %v", got, e.Work(req), want)
	}
	for _, bad := range []Costs{{StepPair: math.NaN()}, {PromptToken: -1}, {EncodePixel: math.Inf(1)}} {
		if bad.Valid() {
			t.Errorf("%+v is valid", bad)
		}
	}
	if c := openShort(t, "base").Info().Costs; !c.Valid() || c.StepPair == 0 || c.StepToken == 0 {
		t.Errorf("%+v", c)
	}
}
