package inference

import (
	"math"
	"testing"

	"github.com/kleinbild/kleinbild/inference/picture"
)

// TestLoRAWork checks that the estimate of the work counts adapters: as much as the products beside the weights take.
func TestLoRAWork(t *testing.T) {
	e := openEngine(t, tinyModel(t, "distilled"), DeviceCPU, Float32)
	size := picture.Size{Width: 64, Height: 96}
	ask := Ask{Prompt: "a fox", Size: &size, Steps: new(3)}
	plain := e.Work(resolve(t, e, ask))
	const text, picture, passes = MaxSequenceLength, 4 * 6, 3
	for _, row := range []struct {
		kind string
		work float64 // of a pass
	}{
		// By layers of the kinds' table: text tokens, picture tokens, and both in single blocks.
		{"LoRA", 5 * (text*(768+256+256+256) + picture*(768+256+1536+256+256+768+256+128+128+256) +
			(text+picture)*(2304+256+256+1024))},
		{"difference", text*(768*256+256*256) + picture*(768*256+1536*256+256*768+256*128+128*256) +
			(text+picture)*(2304*256+256*1024)},
	} {
		var path string
		for _, k := range loraKinds {
			if k.name == row.kind {
				path = writeLoRA(t, 1, k.add)
			}
		}
		ask.LoRAs = []LoRA{{Path: path, Strength: 1}}
		if got := e.Work(resolve(t, e, ask)); got != plain {
			t.Errorf("%s: work of %g before the file was read, want %g", row.kind, got, plain)
		}
		if _, err := e.LoRA(t.Context(), ask.LoRAs[0]); err != nil {
			t.Fatal(err)
		}
		got, want := e.Work(resolve(t, e, ask))-plain, passes*row.work
		if math.Abs(got-want) > 1e-6*want {
			t.Errorf("%s: work of %g more, want %g", row.kind, got, want)
		}
		ask.LoRAs[0].Strength = 0
		if got := e.Work(resolve(t, e, ask)); got != plain {
			t.Errorf("%s at 0: work of %g, want %g", row.kind, got, plain)
		}
	}
}
