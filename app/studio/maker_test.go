package studio

import (
	"context"
	"errors"
	"image"
	"image/color"
	"image/draw"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kleinbild/kleinbild/inference"
	"github.com/kleinbild/kleinbild/inference/picture"
)

// painter is an engine that makes grey pictures at once. hold, if it is not nil, keeps each one until something is
// sent.
type painter struct {
	fail error
	hold chan struct{}
	made []inference.Request

	variant inference.Variant
	loras   inference.LoRANames
	network *nearest // that enlarges, nil for none
}

func (p *painter) LoRAs(context.Context) (inference.LoRANames, error) { return p.loras, nil }

func (p *painter) LoRA(ctx context.Context, l inference.LoRA) (inference.LoRAInfo, error) {
	return inference.DescribeLoRA(ctx, l)
}

func (p *painter) Info() inference.Info {
	return inference.Info{Model: "painter", Digest: "p", Device: "d", Variant: p.variant, NativeSize: 1024}
}

func (p *painter) CountTokens(prompt string) (int, int, error) { return len(prompt), 512, nil }

func (p *painter) Work(req inference.Request) float64 { return 10 }

func (p *painter) Close() error { return nil }

func (p *painter) Generate(
	ctx context.Context, req inference.Request, progress func(inference.Progress),
) (*inference.Result, error) {
	p.made = append(p.made, req)
	preview := image.NewRGBA(image.Rect(0, 0, 4, 4))
	progress(inference.Progress{Stage: inference.StageSteps, Step: 1, Total: 2, Fraction: 0.5, Preview: preview})
	if p.hold != nil {
		select {
		case <-p.hold:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if p.fail != nil {
		return nil, p.fail
	}
	m := picture.Metadata{Prompt: req.Prompt(), Seed: req.Seed(), Width: 64, Height: 64, ModelDigest: "p", Device: "d"}
	grey := image.NewRGBA(image.Rect(0, 0, 64, 64))
	draw.Draw(grey, grey.Rect, image.NewUniform(color.Gray{128}), image.Point{}, draw.Src)
	return &inference.Result{Image: grey, Metadata: m}, nil
}

// rig is a studio whose loop is the test's own goroutine.
type rig struct {
	*Studio
	t      *testing.T
	dir    string
	engine *painter
	posted chan func()
	events []string
}

// newRig opens a studio over a folder, with its model. It finds what an earlier rig has kept in that folder.
func newRig(t *testing.T, dir string, engine *painter) *rig {
	t.Helper()
	r := &rig{t: t, dir: dir, engine: engine, posted: make(chan func(), 1000)}
	loop := NewLoop(func(f func()) { r.posted <- f }, func(f func()) { go f() })
	r.Studio = New(loop, Config{
		Version: "test", Preferences: memory{},
		HistoryFile: filepath.Join(dir, "history.db"), PicturesDir: filepath.Join(dir, "pictures"),
		Open:      func(context.Context, inference.Options) (Engine, error) { return engine, nil },
		Bin:       Bin{Throw: os.Remove},
		SpareDirs: func() []string { return nil },
		OpenUpscaler: func(_ context.Context, opts inference.UpscalerOptions) (Upscaler, error) {
			if engine.network == nil {
				return nil, &inference.NoUpscalerError{}
			}
			engine.network.opened = append(engine.network.opened, opts.Model)
			return engine.network, nil
		},
	})
	r.Maker.Began.Subscribe(func(run *Run) { r.note("began " + run.Batch.Desk.Prompt) })
	r.Maker.Made.Subscribe(func(m Made) { r.note("made " + m.Picture.Meta.Prompt) })
	r.Maker.Ended.Subscribe(func(e Ended) {
		if e.Err != nil {
			r.note("ended: " + e.Err.Error())
		}
	})
	r.Maker.Idle.Subscribe(func() { r.note("idle") })
	r.Model.Opened.Subscribe(func(error) { r.Maker.Next() })
	r.Model.Open(inference.Options{})
	r.until("the model is open", func() bool { return r.Model.Engine() != nil })
	t.Cleanup(loop.Close)
	return r
}

func (r *rig) note(what string) { r.events = append(r.events, what) }

// until runs what is posted until done.
func (r *rig) until(what string, done func() bool) {
	r.t.Helper()
	deadline := time.After(20 * time.Second)
	for !done() {
		select {
		case f := <-r.posted:
			f()
		case <-deadline:
			r.t.Fatalf("waited in vain: %s; so far %q", what, r.events)
		}
	}
}

func small(prompt string, count int) Batch {
	size := picture.Size{Width: 64, Height: 64}
	return Batch{Desk: Desk{Prompt: prompt, Count: count}, Size: size, Seed: 7, Count: count}
}

// TestMovedLoRA makes a batch whose adapter got another name and place while the batch waited: its digest finds it. One
// that is nowhere is left to the engine.
func TestMovedLoRA(t *testing.T) {
	list, err := inference.ListLoRAs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	own := list[slices.IndexFunc(list, inference.IsEmbeddedLoRA)]
	info, err := inference.DescribeLoRA(t.Context(), inference.LoRA{Path: own.Path})
	if err != nil {
		t.Fatal(err)
	}
	r := newRig(t, t.TempDir(), &painter{loras: inference.LoRANames{own}})
	old := filepath.Join(r.dir, "old.safetensors")
	moved, lost := small("moved", 1), small("lost", 1)
	moved.Desk.LoRAs = []LoRA{{Name: "old", Path: old, Digest: info.Digest, Strength: 0.5}}
	lost.Desk.LoRAs = []LoRA{{Name: "old", Path: old, Digest: strings.Repeat("0", 64), Strength: 0.5}}
	tagged := small("tagged <lora:old:0.25>", 1)
	tagged.Tags = inference.LoRANames{{Name: "old", Path: old, Digest: info.Digest}}
	for _, b := range []Batch{moved, lost, tagged} {
		r.Queue.Add(b)
	}
	r.Maker.Next()
	r.until("all is made", func() bool { return r.Maker.Run() == nil && r.Queue.Empty() })
	if len(r.engine.made) != 3 {
		t.Fatalf("%d pictures: %q", len(r.engine.made), r.events)
	}
	for i, want := range []inference.LoRA{
		{Name: own.Name, Path: own.Path, Digest: info.Digest, Strength: 0.5},
		lost.Desk.LoRAs[0].Ask(),
		{Name: own.Name, Path: own.Path, Digest: info.Digest, Strength: 0.25},
	} {
		if got := r.engine.made[i].LoRAs(); len(got) != 1 || got[0] != want {
			t.Errorf("picture %d: made with %+v, want %+v", i, got, want)
		}
	}
}

// TestMaker makes what is in the queue, one batch after the other, and tells each step of it.
func TestMaker(t *testing.T) {
	r := newRig(t, t.TempDir(), &painter{})
	r.events = nil
	r.Queue.Add(small("a", 2))
	r.Queue.Add(small("b", 1))
	r.Maker.Next()
	r.until("all is made", func() bool { return r.Maker.Run() == nil && r.Queue.Empty() })
	want := "began a, made a, made a, began b, made b, idle"
	if got := strings.Join(r.events, ", "); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	var seeds []uint64
	for _, req := range r.engine.made {
		seeds = append(seeds, req.Seed())
	}
	if !slices.Equal(seeds, []uint64{7, 8, 7}) {
		t.Errorf("seeds %v", seeds)
	}
	entries := r.Album.Entries()
	if len(entries) != 3 || entries[0].Picture.Prompt != "b" || entries[0].Picture.Version != "test" {
		t.Fatalf("the history has %d entries: %+v", len(entries), entries)
	}
	for _, e := range entries {
		if _, err := os.Stat(e.Path); err != nil {
			t.Error(err)
		}
	}
	if got := r.Album.Prompts(); !slices.Equal(got, []string{"b", "a"}) {
		t.Errorf("prompts %q", got)
	}
	info, other := r.engine.Info(), inference.Info{Digest: "q"}
	if r.Album.Estimate(info, 20) < r.Album.Estimate(info, 10) || r.Album.Estimate(other, 10) != 0 {
		t.Error("the estimate is not that of the same model, or does not grow with the work")
	}
}

func TestMakerStops(t *testing.T) {
	for _, row := range []struct {
		name   string
		do     func(r *rig)
		events string
		waits  string
	}{
		{"cancelled", func(r *rig) { r.Maker.Cancel() }, "began a, ended: context canceled, began b, made b, idle", ""},
		{"failed", func(r *rig) { r.engine.fail = errors.New("broken"); r.engine.hold <- struct{}{} },
			"began a, ended: broken, began b, ended: broken, idle", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := newRig(t, t.TempDir(), &painter{hold: make(chan struct{}, 9)})
			r.events = nil
			r.Queue.Add(small("a", 2))
			r.Queue.Add(small("b", 1))
			progress := 0
			r.Maker.Progress.Subscribe(func(preview *image.RGBA) {
				if preview != nil && r.Maker.Run().Fraction() > 0 {
					progress++
				}
			})
			r.Maker.Next()
			r.until("a preview", func() bool { return progress > 0 })
			row.do(r)
			// Only when the first run has ended: a picture that may go on and is cancelled as well does either.
			r.until("the first run ends", func() bool { return r.Maker.Run() == nil || r.Maker.Run().Batch.Desk.Prompt == "b" })
			for range 2 {
				r.engine.hold <- struct{}{}
			}
			r.until("the end", func() bool { return r.Maker.Run() == nil && r.Queue.Empty() })
			if got := strings.Join(r.events, ", "); got != row.events {
				t.Errorf("%s, want %s", got, row.events)
			}
		})
	}
}

// TestUnwritableFolder: a batch that cannot be saved waits in front of the others, in a paused queue.
func TestUnwritableFolder(t *testing.T) {
	r := newRig(t, t.TempDir(), &painter{})
	file := filepath.Join(r.dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r.Settings.SetPicturesDir(filepath.Join(file, "inside"))
	r.Queue.Add(small("a", 1))
	r.Queue.Add(small("b", 1))
	r.Maker.Next()
	r.until("the end", func() bool { return r.Queue.Paused() && r.Maker.Run() == nil })
	if r.Queue.prompts() != "a b" || len(r.engine.made) != 0 {
		t.Errorf("%q wait, %d computed", r.Queue.prompts(), len(r.engine.made))
	}
	r.Settings.SetPicturesDir("")
	r.Queue.GoOn()
	r.Maker.Next()
	r.until("all is made", func() bool { return r.Queue.Empty() && r.Maker.Run() == nil })
	if len(r.Album.Entries()) != 2 {
		t.Errorf("%d in the history", len(r.Album.Entries()))
	}
}
