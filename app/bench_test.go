package app

import (
	"context"
	"errors"
	"image"
	"image/color"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/test"

	"github.com/kleinbild/kleinbild/app/studio"
	"github.com/kleinbild/kleinbild/app/ui"
	"github.com/kleinbild/kleinbild/inference"
	"github.com/kleinbild/kleinbild/inference/picture"
)

// fakeEngine paints gradients with a disc, step by step.
type fakeEngine struct {
	info inference.Info
	step time.Duration // that a step takes
	fail error
	hold chan struct{} // stops after the first step until it is closed
	// paint makes a picture of w×h pixels for a seed.
	paint func(w, h int, seed uint64) *image.RGBA

	mu       sync.Mutex
	requests []inference.Request
	closed   bool
}

func newFakeEngine() *fakeEngine {
	return &fakeEngine{paint: landscape, info: inference.Info{
		Model: "fake", Digest: "fake-digest", Family: "FLUX.2 [klein] 4B", Variant: inference.Distilled, Device: "a test",
		Precision: inference.Float32, Steps: 4, Guidance: 1, NativeSize: 1024, MaxSequenceLength: 512,
	}}
}

func (e *fakeEngine) Info() inference.Info { return e.info }

func (e *fakeEngine) CountTokens(prompt string) (int, int, error) { return 9 + len(prompt)/4, 512, nil }

func (e *fakeEngine) Work(req inference.Request) float64 {
	return float64(req.Size().Width * req.Size().Height)
}

func (e *fakeEngine) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.closed = true
	return nil
}

func (e *fakeEngine) made() []inference.Request {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]inference.Request(nil), e.requests...)
}

func (e *fakeEngine) Generate(
	ctx context.Context, req inference.Request, progress func(inference.Progress),
) (*inference.Result, error) {
	e.mu.Lock()
	e.requests = append(e.requests, req)
	e.mu.Unlock()
	if e.fail != nil {
		return nil, e.fail
	}
	steps := e.info.Steps
	for i := range steps {
		begun := float64(i) / float64(steps)
		progress(inference.Progress{Stage: inference.StageSteps, Step: i, Total: steps, Fraction: begun})
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(e.step):
		}
		if i == 1 && e.hold != nil {
			select {
			case <-ctx.Done():
				return nil, context.Cause(ctx)
			case <-e.hold:
			}
		}
		progress(inference.Progress{
			Stage: inference.StageSteps, Step: i + 1, Total: steps, Fraction: float64(i+1) / float64(steps),
			Remaining: time.Duration(steps-i-1) * e.step,
			Preview:   e.paint(max(req.Size().Width/8, 1), max(req.Size().Height/8, 1), req.Seed()),
		})
	}
	m := picture.Metadata{
		Prompt: req.Prompt(), Seed: req.Seed(), Steps: steps, Guidance: 1, Width: req.Size().Width, Height: req.Size().Height,
		Model: e.info.Model, ModelDigest: e.info.Digest, Device: e.info.Device, Precision: string(e.info.Precision),
	}
	for _, r := range req.References() {
		m.References = append(m.References, picture.ReferenceFile{Path: r.Path, SHA256: r.FileSHA256})
	}
	return &inference.Result{
		Image:    e.paint(req.Size().Width, req.Size().Height, req.Seed()),
		Workflow: inference.WorkflowOf(len(req.References())), Metadata: m,
	}, nil
}

// landscape is a picture that a person can look at: sky, sun, hills; the seed chooses the hour.
func landscape(w, h int, seed uint64) *image.RGBA {
	skies := []color.RGBA{
		{157, 194, 214, 255}, {232, 184, 116, 255}, {44, 50, 84, 255}, {201, 219, 225, 255}, {94, 122, 154, 255},
	}
	hills := []color.RGBA{
		{92, 128, 96, 255}, {123, 90, 70, 255}, {58, 70, 92, 255}, {138, 164, 154, 255}, {70, 96, 90, 255},
	}
	sky, hill := skies[seed%5], hills[seed%5]
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	sunX, sunY, r := float64(w)*(0.55+0.3*float64(seed%7)/7), float64(h)*0.28, float64(min(w, h))*0.11
	for x := range w {
		u := float64(x) / float64(w)
		far := float64(h) * (0.68 - 0.09*math.Sin(u*5+1))
		near := float64(h) * (0.84 - 0.06*math.Sin(u*4-1))
		for y := range h {
			c := sky
			switch d := math.Hypot(float64(x)-sunX, float64(y)-sunY); {
			case float64(y) > near:
				c = color.RGBA{59, 77, 63, 255}
			case float64(y) > far:
				c = hill
			case d < r:
				c = color.RGBA{246, 231, 176, 255}
			}
			img.SetRGBA(x, y, c)
		}
	}
	return img
}

// bench is a window under test. Its loop runs what other goroutines post on the test's own, one at a time, and notes
// the longest.
type bench struct {
	*session
	t       *testing.T
	engine  *fakeEngine
	posted  chan func()
	longest time.Duration
	busiest time.Duration // the same in processor time, which does not depend on what else the machine does
	working atomic.Int32  // goroutines that the window started
	dir     string
	clock   testClock
}

// testClock is the window's clock, which a test drives.
type testClock struct {
	now    time.Duration
	timers []*testTimer
}

type testTimer struct {
	due time.Duration
	do  func()
}

func (c *testClock) after(d time.Duration, do func()) func() bool {
	t := &testTimer{c.now + d, do}
	c.timers = append(c.timers, t)
	return func() bool {
		i := slices.Index(c.timers, t)
		if i >= 0 {
			c.timers = slices.Delete(c.timers, i, i+1)
		}
		return i >= 0
	}
}

// pass lets a time pass.
func (c *testClock) pass(d time.Duration) {
	c.now += d
	for _, t := range slices.Clone(c.timers) {
		if i := slices.Index(c.timers, t); i >= 0 && t.due <= c.now {
			c.timers = slices.Delete(c.timers, i, i+1)
			t.do()
		}
	}
}

// firstSeed is the seed on show at the start.
const firstSeed = "1836311903"

type benchOption func(*bench, *Config)

// withTheme opens the window in a theme.
func withTheme(theme string) benchOption {
	return func(*bench, *Config) { fyne.CurrentApp().Preferences().SetString("theme", theme) }
}

func withEngine(e *fakeEngine) benchOption { return func(b *bench, _ *Config) { b.engine = e } }

// withoutModel is a machine without a model of its own, but with others' and a catalogue.
func withoutModel(_ *bench, cfg *Config) {
	cfg.Open = func(context.Context, inference.Options) (Engine, error) { return demoEngine(), nil }
	cfg.FindModels = func(context.Context) []Model {
		const spec = "/home/ada/ComfyUI/models/diffusion_models/flux-2-klein-4b.safetensors"
		return []Model{{
			Name: "flux-2-klein-4b", Spec: spec, SizeBytes: 15_800_000_000, Quality: "as bf16",
			Need: inference.Need{Processor: 8_500_000_000},
		}}
	}
	cfg.Catalogue = &fakeCatalogue{}
	cfg.memoryOn = func(inference.Device) inference.Room { return inference.Room{Bytes: 23_600_000_000} }
}

// demoEngine is what opens where there is no model.
func demoEngine() *fakeEngine {
	e := newFakeEngine()
	e.info.Model, e.info.Family = "kleinbild-demo", "FLUX.2 [klein] of its own size"
	e.info.Demo, e.info.Missing, e.info.Processor = true, &inference.NoModelError{}, true
	return e
}

// fakeCatalogue has two models and a network that enlarges; Get waits for the test.
type fakeCatalogue struct {
	got  chan string
	fail error
}

func (c *fakeCatalogue) Downloads() []Download {
	return []Download{
		{
			Name: "4b", Title: "FLUX.2 [klein] 4B", About: "The usual choice: a picture in four steps.",
			SizeBytes: 15_800_000_000, Quality: "as bf16", Need: inference.Need{Processor: 8_500_000_000}, Measured: true,
			Licence:  "free for any use (Apache-2.0)",
			Expected: func() time.Duration { return 6 * time.Minute },
		},
		{
			Name: "9b", Title: "FLUX.2 [klein] 9B", About: "Finer pictures, slower, for large computers.",
			SizeBytes: 34_000_000_000, Quality: "very close", Need: inference.Need{Processor: 11_000_000_000},
			Licence: "not for commercial use (FLUX Non-Commercial License)",
			Agree:   "The 9B model may not be used commercially.",
		},
	}
}

func (c *fakeCatalogue) Upscaler() (Download, bool) {
	return Download{
		Name: "realesr-general-x4v3", Title: "Upscaler, 4 times: small and fast", SizeBytes: 4_885_111,
		Licence: "free for any use (BSD-3-Clause)",
	}, true
}

func (c *fakeCatalogue) Get(ctx context.Context, name string, progress func(done, total int64)) (string, error) {
	progress(3_100_000_000, 15_800_000_000)
	select {
	case spec := <-c.got:
		return spec, c.fail
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

func newBench(t *testing.T, size fyne.Size, options ...benchOption) *bench {
	t.Helper()
	a := test.NewTempApp(t)
	b := &bench{t: t, engine: newFakeEngine(), posted: make(chan func(), 10000), dir: t.TempDir()}
	cfg := Config{
		Version: "test",
		DeskDir: filepath.Join(b.dir, "desk"), HistoryFile: filepath.Join(b.dir, "history.db"),
		ThumbnailDir: filepath.Join(b.dir, "thumbnails"), PicturesDir: filepath.Join(b.dir, "Pictures"),
	}
	for _, o := range options {
		o(b, &cfg)
	}
	if cfg.Open == nil {
		cfg.Open = func(context.Context, inference.Options) (Engine, error) { return b.engine, nil }
	}
	if a.Preferences().String("theme") == "" {
		a.Preferences().SetString("theme", ui.ThemeDark)
	}
	b.session = b.open(a, cfg, size)
	b.shape.setSeed(firstSeed)
	return b
}

// open makes a window and waits until it is ready.
func (b *bench) open(a fyne.App, cfg Config, size fyne.Size) *session {
	w := a.NewWindow("")
	s := newSession(a, w, cfg, studio.NewLoop(func(f func()) { b.posted <- f }, b.spawn))
	s.Loop.After = b.clock.after
	b.t.Cleanup(func() {
		s.Loop.Close()
		for b.working.Load() > 0 { // they write into folders that go with the test
			time.Sleep(time.Millisecond)
		}
	})
	w.Resize(size)
	b.until("the model is open", func() bool { return !s.Model.Opening() })
	b.settle()
	return s
}

func (b *bench) spawn(f func()) {
	b.working.Add(1)
	go func() {
		defer b.working.Add(-1)
		f()
	}()
}

// until runs what is posted until done.
func (b *bench) until(what string, done func() bool) {
	b.t.Helper()
	deadline := time.After(time.Minute)
	for !done() {
		select {
		case f := <-b.posted:
			b.timed(f)
		case <-time.After(5 * time.Millisecond): // done may wait for something that is not posted
		case <-deadline:
			b.t.Fatalf("waited for a minute in vain: %s; the window says %q", what, b.said())
		}
	}
}

// settle runs what is posted until no goroutine of the window's is at work. A picture that an engine holds is left.
func (b *bench) settle() {
	b.t.Helper()
	if b.session != nil {
		b.prompt.countTokens() // not to wait for a pause in typing
	}
	held := int32(0)
	if b.engine.hold != nil && b.session.Maker.Run() != nil {
		held = 1
	}
	b.until("the window rests", func() bool { return b.working.Load() <= held && len(b.posted) == 0 })
}

func (b *bench) timed(f func()) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	start, work := time.Now(), spent()
	f()
	b.longest, b.busiest = max(b.longest, time.Since(start)), max(b.busiest, spent()-work)
}

func (b *bench) said() string {
	if b.session == nil || !b.notice.Visible() {
		return ""
	}
	return b.notice.said()
}

// said is all that the notices say, one a line.
func (n notices) said() string { return strings.Join(n.Sentences(), "\n") }

// size is that of the next picture.
func (b *bench) size() picture.Size {
	b.t.Helper()
	req, err := b.Request()
	if err != nil {
		b.t.Fatal(err)
	}
	return req.Size()
}

func (p *slotsPanel) clearAll() { p.Desk.Choose(func(d *studio.Desk) { d.Slots = nil }) }

// engineChanged opens the engine again, so that the panels hear of what a test has changed about it.
func (b *bench) engineChanged() {
	b.t.Helper()
	b.openModel(inference.Options{})
	b.until("the model is open again", func() bool { return b.Model.Engine() != nil })
}

// file writes a PNG picture of landscape and returns its path.
func (b *bench) file(name string, w, h int, seed uint64) string {
	b.t.Helper()
	return b.write(name, landscape(w, h, seed))
}

// write writes a PNG picture and returns its path.
func (b *bench) write(name string, img image.Image) string {
	b.t.Helper()
	path := filepath.Join(b.dir, name)
	f, err := os.Create(path)
	if err == nil {
		quick := png.Encoder{CompressionLevel: png.BestSpeed}
		err = errors.Join(quick.Encode(f, img), f.Close())
	}
	if err != nil {
		b.t.Fatal(err)
	}
	return path
}

// make generates and waits for the end.
func (b *bench) make(prompt string) {
	b.t.Helper()
	n := len(b.Album.Entries())
	b.prompt.setText(prompt)
	b.generate()
	b.until("a picture of "+prompt, func() bool {
		return b.Maker.Run() == nil && len(b.Album.Entries()) >= n+b.shape.count()
	})
}

// capture draws the window.
func (b *bench) capture() image.Image { return b.win.Canvas().Capture() }
