package inference

import (
	"strings"
	"testing"

	"github.com/kleinbild/kleinbild/inference/cuda"
	"github.com/kleinbild/kleinbild/inference/picture"
	"github.com/kleinbild/kleinbild/kernels/cu"
	"github.com/kleinbild/kleinbild/kernels/ptxsim"
)

// TestKeysValuesFit checks the limits of a processor's memory.
func TestKeysValuesFit(t *testing.T) {
	const gb = 1_000_000_000
	model := Need{Processor: 10 * gb}
	for _, row := range []struct {
		name       string
		need, held int64
		room       int64
		fits, fail bool
	}{
		{"nothing known", 100 * gb, 100 * gb, 0, true, false},
		{"enough", 2 * gb, 2 * gb, 16 * gb, true, false},
		{"beside the model", 2 * gb, 6*gb + 1, 16 * gb, false, false},
		{"more than there is", 17 * gb, 0, 16 * gb, false, true},
	} {
		fits, err := keysValuesFit(row.need, row.held, model, Room{Bytes: row.room})
		if fits != row.fits || (err != nil) != row.fail {
			t.Errorf("%s: %v %v", row.name, fits, err)
		}
		if err != nil && !strings.Contains(err.Error(), "17.0 GB, want at most the 16.0 GB of this computer") {
			t.Errorf("%s: %v", row.name, err)
		}
	}
}

// openKVSim opens a tiny model as one with a reference cache on software devices.
func openKVSim(t *testing.T, devices ...ptxsim.Device) (*Engine, *simDevices) {
	t.Helper()
	d := &simDevices{next: devices}
	e, err := Open(t.Context(), Options{
		Model: tinyModel(t, "distilled"), Device: DeviceSim, MaxSequenceLength: 16, Variant: KV,
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

// TestPlannedKeysValues compares what a device counts with the plan of a run whose references are cached, and with that
// of runs after it. On a device that has no room for them beside a larger picture, they leave.
func TestPlannedKeysValues(t *testing.T) {
	e, d := openKVSim(t, ptxsim.Device{})
	ask := quick("a fox")
	ask.References, ask.Steps = []Source{reference(t, 0, 64, 80), reference(t, 1, 64, 64)}, new(2)
	const tokens, blocks, hidden = 20 + 16, 4, 256
	plain := quick("a fox")
	p := plan(t, e, ask)
	bytes := int64(blocks * tokens * 2 * hidden * 2)
	if want := plan(t, e, plain).KeptBytes + bytes + tokens*128*4; p.KeptBytes != want {
		t.Errorf("%d bytes are kept, want %d", p.KeptBytes, want)
	}
	d.opened.PeakBytes()
	first := generate(t, e, ask)
	checkPeak(t, "two references", d, p)
	if held := e.keysValues.sizeBytes(); held != bytes {
		t.Errorf("%d bytes of keys and values, want %d", held, bytes)
	}
	if again := generate(t, e, ask); !samePicture(first, again) {
		t.Error("the picture differs with the cache")
	}
	checkPeak(t, "with the cache", d, p)
	generate(t, e, plain)
	if len(e.keysValues.entries) != 1 {
		t.Error("a picture without references drops what fits beside it")
	}

	// Weights come and go while the references are computed, and in each step.
	tight, d := openKVSim(t, ptxsim.Device{TotalBytes: p.LeastBytes + p.WeightsBytes/4})
	p = plan(t, tight, ask)
	if !p.Fits() || p.PeakBytes >= p.WeightsBytes {
		t.Errorf("%+v on a tight device, want weights to be loaded in turn", p)
	}
	for _, name := range []string{"a tight device", "a tight device with the cache"} {
		if result := generate(t, tight, ask); !samePicture(first, result) {
			t.Errorf("%s: another picture", name)
		}
		checkPeak(t, name, d, p)
	}

	// There is just room for the second picture.
	large := quick("a dog")
	large.Size = &picture.Size{Width: 160, Height: 128}
	need := max(plan(t, e, large).PeakBytes, plan(t, e, ask).LeastBytes)
	small, d := openKVSim(t, ptxsim.Device{TotalBytes: need})
	if result := generate(t, small, ask); !samePicture(first, result) || len(small.keysValues.entries) != 1 {
		t.Error("another picture on a small device")
	}
	want := generate(t, small, large)
	if len(small.keysValues.entries) != 0 {
		t.Error("keys and values stay where the weights need their memory")
	}
	if result := generate(t, e, large); !samePicture(want, result) {
		t.Error("another picture without the keys and values of others")
	}
	if held := d.used(t); held > need {
		t.Errorf("%d bytes held, want at most %d", held, need)
	}
}

// TestKeysValuesOf9B plans pictures of a full-size 9B-KV model with references of 1024×1024, without its weights. The
// keys and values take 512 KiB a token, and nothing else is kept but latents and the prompt.
func TestKeysValuesOf9B(t *testing.T) {
	c, err := hollowCheckpoint(full9B(), nil)
	if err != nil {
		t.Fatal(err)
	}
	e, err := newEngine(t.Context(), c, Options{
		Device: DeviceSim, Variant: KV, sim: &cuda.Options{Open: func() (cu.Context, error) {
			return ptxsim.Open(ptxsim.Device{TotalBytes: 80e9}), nil
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	ask := Ask{Prompt: "a fox", Size: &picture.Size{Width: 1024, Height: 1024}}
	without := plan(t, e, ask)
	for i := range MaxReferences {
		ask.References = append(ask.References, reference(t, i, 1024, 1024))
		p := plan(t, e, ask)
		t.Logf("%d references: weights %.2f GB, working memory %.2f GB, kept %.2f GB, together %.2f GB, at least %.2f GB",
			i+1, float64(p.WeightsBytes)/1e9, float64(p.ActivationsBytes)/1e9, float64(p.KeptBytes)/1e9,
			float64(p.PeakBytes)/1e9, float64(p.LeastBytes)/1e9)
		const tokens, latents = 64 * 64, 128 * 4 // bytes of a token's latents
		if got, want := p.KeptBytes-without.KeptBytes, int64(i+1)*tokens*(512<<10+latents); got != want {
			t.Errorf("%d references: %d bytes are kept for them, want %d", i+1, got, want)
		}
	}
}
