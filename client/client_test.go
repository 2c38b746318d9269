package client

import (
	"bytes"
	"context"
	"image"
	"image/color"
	"image/png"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kleinbild/kleinbild/inference"
	"github.com/kleinbild/kleinbild/inference/checkpoint/synthetic"
	"github.com/kleinbild/kleinbild/inference/picture"
	"github.com/kleinbild/kleinbild/server"
)

const token = "secret-of-the-tests"

// tiny returns an engine of a tiny checkpoint.
func tiny(t testing.TB, base bool) *inference.Engine {
	t.Helper()
	folder, kind := filepath.Join(t.TempDir(), "tiny"), synthetic.TinyDistilled()
	if base {
		kind = synthetic.TinyBase()
	}
	if err := synthetic.WriteTiny(folder, kind); err != nil {
		t.Fatal(err)
	}
	e, err := inference.Open(t.Context(), inference.Options{
		Model: folder, Device: inference.DeviceCPU, Precision: inference.Float32, MaxSequenceLength: 32,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	return e
}

// counting is an engine that counts its runs and can hold them.
type counting struct {
	server.Engine
	hold chan struct{} // a run waits for it before it begins; nil for no waiting

	mu                      sync.Mutex
	began, ended, cancelled int
	seeds                   map[uint64]int // how many pictures were made of each
	beforeRun               func(context.Context) error
}

func (c *counting) Generate(
	ctx context.Context, req inference.Request, progress func(inference.Progress),
) (*inference.Result, error) {
	c.mu.Lock()
	c.began++
	hold, before := c.hold, c.beforeRun
	c.mu.Unlock()
	result, err := func() (*inference.Result, error) {
		if before != nil {
			if err := before(ctx); err != nil {
				return nil, err
			}
		}
		if hold != nil {
			select {
			case <-hold:
			case <-ctx.Done():
				return nil, context.Cause(ctx)
			}
		}
		return c.Engine.Generate(ctx, req, progress)
	}()
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case err == nil:
		c.ended++
		if c.seeds == nil {
			c.seeds = map[uint64]int{}
		}
		c.seeds[req.Seed()]++
	case ctx.Err() != nil:
		c.cancelled++
	}
	return result, err
}

func (c *counting) counts() (began, ended, cancelled int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.began, c.ended, c.cancelled
}

// serve serves an engine on a free port of this computer and returns its address.
func serve(t testing.TB, engine server.Engine, change func(*server.Options)) *httptest.Server {
	t.Helper()
	opts := server.Options{
		Open:  func(context.Context) (server.Model, error) { return server.Model{Engine: engine}, nil },
		Token: token, Version: "1.2.3",
	}
	if change != nil {
		change(&opts)
	}
	s, err := server.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	h := httptest.NewServer(s.Handler())
	t.Cleanup(func() {
		h.CloseClientConnections()
		h.Close()
	})
	return h
}

// quick are limits for tests, in which nobody waits for long.
func quick() limits {
	l := usualLimits
	l.wait, l.leastWait, l.mostWait = 5*time.Millisecond, time.Millisecond, 50*time.Millisecond
	return l
}

// connect opens the engine of a server.
func connect(t testing.TB, address string) *Engine {
	t.Helper()
	e, err := connectWith(t, address, token, quick())
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func connectWith(t testing.TB, address, token string, l limits) (*Engine, error) {
	t.Helper()
	a, err := ParseAddress(address, false)
	if err != nil {
		t.Fatal(err)
	}
	e, err := open(t.Context(), Options{Address: a, Token: token, Version: "test"}, l)
	if err == nil {
		t.Cleanup(func() { _ = e.Close() })
	}
	return e, err
}

// small is what most tests ask for.
func small(prompt string) inference.Ask {
	return inference.Ask{Prompt: prompt, Size: &picture.Size{Width: 64, Height: 64}, Seed: new(uint64(7)), Steps: new(2)}
}

func resolve(t testing.TB, ask inference.Ask, e inference.Generator) inference.Request {
	t.Helper()
	req, err := ask.Resolve(e.Info())
	if err != nil {
		t.Fatal(err)
	}
	return req
}

// photo returns a reference that was read from a file of a size, with transparent parts.
func photo(t testing.TB, width, height int, seed uint8) inference.Reference {
	t.Helper()
	img := image.NewNRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			img.SetNRGBA(x, y, color.NRGBA{uint8(x) * seed, uint8(y) + seed, uint8(x ^ y), uint8(255 - y%60)})
		}
	}
	var file bytes.Buffer
	if err := png.Encode(&file, img); err != nil {
		t.Fatal(err)
	}
	ref, err := picture.Decode(t.Context(), file.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	return inference.Reference{Path: "/home/ada/secret folder/photo.png", Reference: ref}
}

// TestSamePicture makes pictures on this computer and by a server. The files must be the same, byte for byte.
func TestSamePicture(t *testing.T) {
	for _, base := range []bool{false, true} {
		engine := tiny(t, base)
		remote := connect(t, serve(t, engine, nil).URL)
		withReferences := small("put the fox of image 1 into image 2")
		withReferences.References = []inference.Source{photo(t, 101, 83, 3), photo(t, 150, 70, 5)}
		withReferences.Preview = true
		wide := inference.Ask{Prompt: "the same, wider", Aspect: picture.Match, Seed: new(uint64(1)), Steps: new(1)}
		wide.References = []inference.Source{photo(t, 632, 79, 7)}
		previews := small("a red fox")
		previews.Preview, previews.Steps = true, new(4)
		guided := small("guided")
		guided.Guidance = new(3.7)
		large := small("a large seed")
		large.Seed = new(uint64(1<<64 - 1))
		for name, ask := range map[string]inference.Ask{
			"text to image": small("a red fox"), "an empty prompt": small(""), "two references": withReferences,
			"the size of image 1": wide, "previews": previews, "guided": guided, "a large seed": large,
			"a long prompt":   small(strings.Repeat("a red fox in the snow, ", 40)),
			"marks and lines": small("\uFEFF\uFEFFä 雪 \U0001F98A\r\nsecond line\r --boundary\n"),
			"a NUL-like word": small("\\u0000 file \\x00"),
		} {
			var here, there []inference.Progress
			want, err := engine.Generate(
				t.Context(),
				resolve(t, ask, engine),
				func(p inference.Progress) { here = append(here, p) },
			)
			if err != nil {
				t.Fatal(name, err)
			}
			got, err := remote.Generate(
				t.Context(),
				resolve(t, ask, remote),
				func(p inference.Progress) { there = append(there, p) },
			)
			if err != nil {
				t.Fatal(name, err)
			}
			if !bytes.Equal(fileOf(t, got), fileOf(t, want)) {
				t.Errorf("%s, base %v: another file: %+v, want %+v", name, base, got.Metadata, want.Metadata)
			}
			if got.Workflow != want.Workflow || got.Truncated != want.Truncated || len(got.Timings) != len(want.Timings) {
				t.Errorf("%s: %s, cut off %q, %v; want %s, %q, %v", name, got.Workflow, got.Truncated, got.Timings,
					want.Workflow, want.Truncated, want.Timings)
			}
			for i, timing := range got.Timings {
				if timing.Stage != want.Timings[i].Stage || timing.Work != want.Timings[i].Work {
					t.Errorf("%s: %v, want %v", name, timing, want.Timings[i])
				}
			}
			checkProgress(t, name, there, here)
		}
	}
}

func fileOf(t *testing.T, r *inference.Result) []byte {
	t.Helper()
	var file bytes.Buffer
	if err := picture.EncodePNG(&file, r.Image, r.Metadata); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

// checkProgress compares what was told of a run elsewhere with what was told of the same run here. A server leaves out
// what follows too fast, but the previews that come must be the same.
func checkProgress(t *testing.T, name string, got, want []inference.Progress) {
	t.Helper()
	previews := map[int][]byte{}
	for _, p := range want {
		if p.Preview != nil {
			previews[p.Step] = p.Preview.Pix
		}
	}
	last := 0.0
	for _, p := range got {
		if p.Fraction < last || p.Fraction > 1 || p.Stage == inference.StageQueue {
			t.Errorf("%s: %+v after %v", name, p, last)
		}
		last = p.Fraction
		if p.Preview != nil && !bytes.Equal(p.Preview.Pix, previews[p.Step]) {
			t.Errorf("%s: another preview after step %d", name, p.Step)
		}
	}
}

// TestPreviewsCome makes a picture slowly, so that all of its previews come.
func TestPreviewsCome(t *testing.T) {
	engine := tiny(t, false)
	remote := connect(t, serve(t, slow{engine}, nil).URL)
	ask := small("a red fox")
	ask.Preview, ask.Steps = true, new(4)
	steps := map[int]bool{}
	_, err := remote.Generate(t.Context(), resolve(t, ask, remote), func(p inference.Progress) {
		if p.Preview != nil {
			steps[p.Step] = true
		}
	})
	if err != nil || len(steps) != 3 {
		t.Errorf("previews after the steps %v, %v; want three", steps, err)
	}
}

// slow is an engine that takes its time after each preview.
type slow struct{ *inference.Engine }

func (s slow) Generate(
	ctx context.Context, req inference.Request, progress func(inference.Progress),
) (*inference.Result, error) {
	return s.Engine.Generate(ctx, req, func(p inference.Progress) {
		progress(p)
		if p.Preview != nil {
			time.Sleep(50 * time.Millisecond)
		}
	})
}

// TestDescription compares the description of an engine elsewhere with the engine's own.
func TestDescription(t *testing.T) {
	engine := tiny(t, true)
	remote := connect(t, serve(t, engine, nil).URL)
	want, got := engine.Info(), remote.Info()
	if got.Remote == "" || strings.Contains(got.Remote, "http") {
		t.Errorf("the engine is at %q", got.Remote)
	}
	want.Remote, want.Location = got.Remote, ""
	if len(got.Notices) != len(want.Notices) {
		t.Errorf("notices %q, want %q", got.Notices, want.Notices)
	}
	got.Notices, want.Notices = nil, nil
	if !sameInfo(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
	for _, prompt := range []string{"", "a red fox", "\uFEFFmarked", strings.Repeat("fox ", 500)} {
		count, limit, err := remote.CountTokens(prompt)
		wantCount, wantLimit, _ := engine.CountTokens(prompt)
		if count != wantCount || limit != wantLimit || err != nil {
			t.Errorf("%.20q: %d of %d, %v; want %d of %d", prompt, count, limit, err, wantCount, wantLimit)
		}
	}
	req := resolve(t, small("a"), remote)
	if got, want := remote.Work(req), engine.Work(req); got != want || got == 0 {
		t.Errorf("work %v, want %v", got, want)
	}
}

func sameInfo(a, b inference.Info) bool {
	x, y := a, b
	x.Notices, y.Notices, x.Missing, y.Missing = nil, nil, nil, nil
	return x.Model == y.Model && x.Digest == y.Digest && x.Location == y.Location && x.Layout == y.Layout &&
		x.Family == y.Family && x.Variant == y.Variant && x.Device == y.Device && x.Precision == y.Precision &&
		x.SizeBytes == y.SizeBytes && x.Steps == y.Steps && x.Guidance == y.Guidance && x.NativeSize == y.NativeSize &&
		x.MaxSequenceLength == y.MaxSequenceLength && x.TokenChannels == y.TokenChannels && x.Demo == y.Demo &&
		x.Costs == y.Costs && x.Remote == y.Remote && x.Weights == y.Weights && x.Closeness == y.Closeness
}

// TestOneRunAtATime checks what an engine promises its caller besides pictures.
func TestOneRunAtATime(t *testing.T) {
	engine := &counting{Engine: tiny(t, false), hold: make(chan struct{})}
	remote := connect(t, serve(t, engine, nil).URL)
	req := resolve(t, small("a"), remote)
	done := make(chan error)
	go func() {
		_, err := remote.Generate(t.Context(), req, nil)
		done <- err
	}()
	eventually(t, "it runs", func() bool { began, _, _ := engine.counts(); return began == 1 })
	if _, err := remote.Generate(t.Context(), req, nil); err != inference.ErrBusy {
		t.Errorf("a second run: %v", err)
	}
	closed := make(chan struct{})
	go func() {
		_ = remote.Close()
		close(closed)
	}()
	select {
	case <-closed:
		t.Error("it was closed in the middle of a run")
	case <-time.After(50 * time.Millisecond):
	}
	close(engine.hold)
	if err := <-done; err != nil {
		t.Error(err)
	}
	<-closed
	if _, err := remote.Generate(t.Context(), req, nil); err != inference.ErrClosed {
		t.Errorf("after Close: %v", err)
	}
	if _, _, err := remote.CountTokens("new"); err != inference.ErrClosed {
		t.Errorf("tokens after Close: %v", err)
	}
}

func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if is() {
			return
		}
	}
	t.Fatalf("did not come about: %s", what)
}

// freePort returns an address on which nobody listens.
func freePort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// handle serves one handler for every path, for servers that are no Kleinbild.
func handle(t testing.TB, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	return s.URL
}
