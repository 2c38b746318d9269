package inference

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/kleinbild/kleinbild/inference/backend"
	"github.com/kleinbild/kleinbild/inference/cuda"
	"github.com/kleinbild/kleinbild/inference/picture"
	"github.com/kleinbild/kleinbild/kernels/cu"
	"github.com/kleinbild/kleinbild/kernels/ptxsim"
)

// The following tests run the whole engine on the software device, which reports all errors of kernels. It is slow, so
// that the requests are as small as possible.

// simDevices gives one engine one software device after the other. The last one is used again and again.
type simDevices struct {
	opened *ptxsim.Context // the present device
	next   []ptxsim.Device
}

func (s *simDevices) open() (cu.Context, error) {
	d := s.next[0]
	if len(s.next) > 1 {
		s.next = s.next[1:]
	}
	s.opened = ptxsim.Open(d)
	return s.opened, nil
}

// used returns how much memory the engine holds.
func (s *simDevices) used(t *testing.T) int64 {
	t.Helper()
	free, total, err := s.opened.MemGetInfo()
	if err != nil {
		t.Fatal(err)
	}
	return total - free
}

func openSim(t *testing.T, devices ...ptxsim.Device) (*Engine, *simDevices) {
	t.Helper()
	d := &simDevices{next: devices}
	e, err := Open(t.Context(), Options{
		Model: tinyModel(t, "distilled"), Device: DeviceSim, MaxSequenceLength: 16,
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

func plan(t *testing.T, e *Engine, ask Ask) Plan {
	t.Helper()
	p, err := e.Plan(resolve(t, e, ask))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// checkPeak compares how much memory a run has used with its plan.
func checkPeak(t *testing.T, name string, d *simDevices, p Plan) {
	t.Helper()
	peak := d.opened.PeakBytes()
	off := math.Abs(float64(peak-p.PeakBytes)) / float64(p.PeakBytes)
	t.Logf("%s: took %d bytes, planned %d: off by %.3f %%", name, peak, p.PeakBytes, 100*off)
	if off > 0.03 {
		t.Errorf("%s: want at most 3 %%", name)
	}
}

// TestPlannedMemory compares how much memory the device counts with the plan of each run. Weights that do not fit
// together are loaded in turn, and the pictures are the same.
func TestPlannedMemory(t *testing.T) {
	e, d := openSim(t, ptxsim.Device{})
	small := quick("a fox")
	edit := small
	edit.References = []Source{reference(t, 0, 64, 80), reference(t, 1, 64, 64)}
	edit.Steps, edit.Preview = new(2), true
	var first *Result
	for _, row := range []struct {
		name string
		ask  Ask
	}{{"text to image", small}, {"two references, previews", edit}} {
		before := d.used(t)
		p := plan(t, e, row.ask)
		if now := d.used(t); now != before {
			t.Errorf("%s: planning took %d bytes", row.name, now-before)
		}
		if p.PeakBytes != p.WeightsBytes+p.ActivationsBytes+p.KeptBytes || !p.Fits() {
			t.Errorf("%s: %+v, want everything to fit", row.name, p)
		}
		d.opened.PeakBytes()
		e.caches.drop() // they are of another request
		result := generate(t, e, row.ask)
		if first == nil {
			first = result
		}
		checkPeak(t, row.name, d, p)
	}
	p := plan(t, e, small)

	turns, d := openSim(t, ptxsim.Device{TotalBytes: p.LeastBytes + p.WeightsBytes/4})
	p = plan(t, turns, small)
	if !p.Fits() || p.PeakBytes >= p.WeightsBytes {
		t.Errorf("%+v on a small device, want weights to be loaded in turn", p)
	}
	if result := generate(t, turns, small); !samePicture(result, first) {
		t.Error("the picture differs if weights are loaded in turn")
	}
	checkPeak(t, "a small device", d, p)
	// After a run the device holds the entries of the caches beside weights and activations.
	if calls, again := stagesOf(t, turns, small); calls[StagePrompt] != 1 || !samePicture(again, first) {
		t.Errorf("a second run calls progress %d times, same picture %v; want it to skip the encoder", calls[StagePrompt],
			samePicture(again, first))
	}
}

// TestOutOfDeviceMemory asks for a picture that is too large, and takes memory away during a run, as another process
// may.
func TestOutOfDeviceMemory(t *testing.T) {
	full, _ := openSim(t, ptxsim.Device{})
	small, large := quick("a fox"), quick("a fox")
	large.Size = &picture.Size{Width: 320, Height: 192}
	need := plan(t, full, large).LeastBytes
	e, d := openSim(t, ptxsim.Device{TotalBytes: need - 1})

	before := d.used(t)
	_, err := e.Generate(t.Context(), resolve(t, e, large), func(Progress) { t.Error("computed what does not fit") })
	var short *backend.MemoryError
	if !errors.As(err, &short) || short.Need != need || short.Room != need-1 ||
		!strings.HasSuffix(err.Error(), " would fit") {
		t.Fatalf("%v, want %d bytes needed, %d to have, and what would fit", err, need, need-1)
	}
	if now := d.used(t); now != before {
		t.Errorf("the failure left %d bytes", now-before)
	}
	fitting := large
	words := strings.Fields(err.Error())
	if fitting.Size, err = ParseSize(words[len(words)-3]); err != nil {
		t.Fatal(err)
	}
	if p := plan(t, e, fitting); !p.Fits() {
		t.Errorf("what would fit, does not: %+v", p)
	}

	// Another process takes almost all free memory when the run begins, so that there is no room for the text encoder.
	var taken cu.DevicePtr
	_, err = e.Generate(t.Context(), resolve(t, e, small), func(p Progress) {
		if free, _, err := d.opened.MemGetInfo(); taken == 0 && err == nil {
			taken, err = d.opened.MemAlloc(free - 64<<10)
			if err != nil {
				t.Error(err)
			}
		}
	})
	if short = nil; !errors.As(err, &short) || !strings.Contains(err.Error(), "text encoder") ||
		!strings.Contains(err.Error(), "would fit") || short.Room >= short.Need {
		t.Fatalf("%v, want that the text encoder does not fit, and what would", err)
	}
	if _, err := e.Generate(t.Context(), resolve(t, e, small), nil); !errors.As(err, &short) {
		t.Errorf("%v while another process holds the memory", err)
	}
	if err := d.opened.MemFree(taken); err != nil {
		t.Fatal(err)
	}
	generate(t, e, small)
	p := plan(t, e, small)
	if held := d.used(t); held > p.PeakBytes {
		t.Errorf("%d bytes held after failures, planned %d: something leaked", held, p.PeakBytes)
	}
}

// TestFaultAndCancel checks that the run after a failed kernel, which destroys the context, opens a new context, and
// that a cancelled run leaves the memory usable.
func TestFaultAndCancel(t *testing.T) {
	e, d := openSim(t, ptxsim.Device{Budget: 50}, ptxsim.Device{})
	req := quick("a fox")
	req.Steps = new(3)
	_, err := e.Generate(t.Context(), resolve(t, e, req), nil)
	var fault *ptxsim.Fault
	if !errors.Is(err, backend.ErrLost) || !errors.As(err, &fault) || !strings.HasPrefix(err.Error(), "qwen3: cuda: ") &&
		!strings.HasPrefix(err.Error(), "cuda: ") {
		t.Fatalf("%v, want the fault and its operation", err)
	}
	broken := d.opened
	// Plan can be called during a run. Within a step no memory is allocated.
	var plans []Plan
	want, err := e.Generate(t.Context(), resolve(t, e, req), func(p Progress) {
		plans = append(plans, plan(t, e, req))
		if p.Stage == StageSteps {
			if peak, used := d.opened.PeakBytes(), d.used(t); p.Step > 0 && peak != used {
				t.Errorf("step %d: up to %d bytes taken, %d after it", p.Step, peak, used)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if p := plans[len(plans)-1]; p.PeakBytes != plan(t, e, req).PeakBytes || p.RoomBytes != p.TotalBytes {
		t.Errorf("planned during a run: %+v", p)
	}
	if d.opened == broken {
		t.Fatal("no new context after a fault")
	}

	ctx, cancel := context.WithCancelCause(t.Context())
	reason := errors.New("enough")
	_, err = e.Generate(ctx, resolve(t, e, req), func(p Progress) {
		if p.Stage == StageSteps && p.Step == 1 {
			cancel(reason)
		}
		if p.Stage == StageDecode || p.Stage == StageSteps && p.Step > 1 {
			t.Errorf("%s %d after the cancellation", p.Stage, p.Step)
		}
	})
	if err != reason {
		t.Errorf("cancelled: %v, want %v", err, reason)
	}
	if again := generate(t, e, req); !samePicture(again, want) {
		t.Error("another picture after a cancelled run")
	}
}

func TestDevicesRefused(t *testing.T) {
	model := tinyModel(t, "distilled")
	if _, err := Open(t.Context(), Options{Model: model, Device: DeviceSim, Precision: Float32}); err == nil ||
		!strings.Contains(err.Error(), "bf16") {
		t.Errorf("float32 on the software device: %v", err)
	}
	if _, err := Graphics(); err == nil {
		t.Skip("this machine has a graphics card")
	}
	if _, err := Open(t.Context(), Options{Model: model, Device: DeviceCUDA}); !errors.Is(err, ErrNoCUDA) ||
		!errors.Is(err, cu.ErrNoDriver) && !errors.Is(err, cu.ErrNoDevice) {
		t.Errorf("cuda without a card: %v, want ErrNoCUDA and the reason", err)
	}
	e, err := Open(t.Context(), Options{Model: model, Device: DeviceAuto})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if n := e.Info().Notices; len(n) == 0 || !strings.HasPrefix(n[len(n)-1], "computing on the processor: no NVIDIA") {
		t.Errorf("auto without a card says %q", n)
	}
	if _, err := e.Plan(resolve(t, e, quick("a fox"))); !errors.Is(err, ErrNoPlan) {
		t.Errorf("a plan on the processor: %v, want ErrNoPlan", err)
	}
}
