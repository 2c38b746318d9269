//go:build unix

package inference

import (
	"context"
	"errors"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/kleinbild/kleinbild/inference/checkpoint/synthetic"
	"github.com/kleinbild/kleinbild/inference/picture"
)

// processorTime returns how much processor time this process has used so far, on all cores.
func processorTime(t *testing.T) time.Duration {
	t.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		t.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// TestCancelEndsEveryStage cancels each stage a tenth of a second after it has begun; without the cancel it would take
// seconds. The test measures processor time and allows a second on each core, because test machines are shared.
func TestCancelEndsEveryStage(t *testing.T) {
	spec := synthetic.TinyDistilled()
	spec.VAE = synthetic.NewVAE([]int{64, 128, 256, 256}, nil)
	dir := filepath.Join(t.TempDir(), "wide")
	if err := synthetic.WriteTiny(dir, spec); err != nil {
		t.Fatal(err)
	}
	e, err := Open(t.Context(), Options{Model: dir, Precision: Float32})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	ref := reference(t, 0, 1024, 1024)
	large := picture.Size{Width: 2048, Height: 1024}
	for _, row := range []struct {
		name string
		ask  Ask
		// at says when the tenth of a second begins. calls is how often the stage has called progress.
		at func(p Progress, calls int) bool
	}{
		{"prompt", Ask{Size: &large}, func(p Progress, calls int) bool { return p.Stage == StagePrompt }},
		{"references", Ask{Size: &large, References: []Source{ref}},
			func(p Progress, calls int) bool { return p.Stage == StageReferences }},
		{"steps", Ask{Size: &large}, func(p Progress, calls int) bool { return p.Stage == StageSteps }},
		// The first call is the beginning of the stage, the next four are two double and two single blocks.
		{"preview", Ask{Size: &picture.Size{Width: 192, Height: 192}, Preview: true},
			func(p Progress, calls int) bool { return p.Stage == StageSteps && calls == 5 }},
		{"decode", Ask{Size: &picture.Size{Width: 512, Height: 512}, Steps: new(1)},
			func(p Progress, calls int) bool { return p.Stage == StageDecode }},
		{"stitch", Ask{Steps: new(1), References: []Source{photo(t, 9000, 6000)},
			Edit: &Edit{Mask: disc(900, 600), Context: new(0)}},
			func(p Progress, calls int) bool { return p.Stage == StageStitch }},
	} {
		t.Run(row.name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if row.ask.Edit != nil {
				e.info.NativeSize = 64 // only what follows the model has to be large
			}
			calls := map[Stage]int{}
			var used time.Duration
			started := false
			cancelled := make(chan struct{})
			_, err := e.Generate(ctx, readAndResolve(t, e, row.ask), func(p Progress) {
				calls[p.Stage]++
				if !started && row.at(p, calls[p.Stage]) {
					started = true
					delay := 100 * time.Millisecond
					if row.name == "prompt" || row.name == "preview" {
						delay = 5 * time.Millisecond // the whole stage takes little more
					}
					time.AfterFunc(delay, func() {
						used = processorTime(t)
						cancel()
						close(cancelled)
					})
				}
			})
			if !errors.Is(err, context.Canceled) {
				t.Fatalf("%v, want the context's error", err)
			}
			<-cancelled
			took := processorTime(t) - used
			if took > time.Duration(runtime.GOMAXPROCS(0))*time.Second {
				t.Errorf("%v of processor time after the cancel", took)
			}
			t.Logf("%v of processor time after the cancel", took)
		})
	}

	// The engine must still work after a cancelled run.
	req := quick("a fox")
	want := generate(t, e, req)
	fresh, err := Open(t.Context(), Options{Model: dir, Precision: Float32})
	if err != nil {
		t.Fatal(err)
	}
	defer fresh.Close()
	if !samePicture(want, generate(t, fresh, req)) {
		t.Error("a cancelled run changes the next picture")
	}
}

func TestCancelledBefore(t *testing.T) {
	e := openShort(t, "distilled")
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("the user closed the window")
	cancel(cause)
	if _, err := e.Generate(ctx, resolve(t, e, quick("a fox")), nil); !errors.Is(err, cause) {
		t.Errorf("%v, want the cause", err)
	}
	if len(e.prompts.entries) != 0 {
		t.Error("something unfinished is kept")
	}
	generate(t, e, quick("a fox"))
}
