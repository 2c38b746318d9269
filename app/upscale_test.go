package app

import (
	"context"
	"errors"
	"image"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/test"

	"github.com/kleinbild/kleinbild/app/studio"
	"github.com/kleinbild/kleinbild/history"
	"github.com/kleinbild/kleinbild/inference"
	"github.com/kleinbild/kleinbild/inference/picture"
)

// fakeNetwork enlarges by repeating pixels.
type fakeNetwork struct {
	name string
	hold chan struct{} // stops at the first row until it is closed, nil for never
}

func (n *fakeNetwork) Info() inference.UpscalerInfo {
	return inference.UpscalerInfo{Name: n.name, Digest: "n"}
}
func (n *fakeNetwork) Close() error { return nil }

func (n *fakeNetwork) Write(ctx context.Context, path string, o *picture.Original, size picture.Size,
	meta *picture.Metadata, exists picture.OnExist, progress func(inference.Progress),
) (string, error) {
	if meta != nil {
		with := *meta
		with.Upscale = n.Info().Enlarged(size)
		meta = &with
	}
	return o.WriteRows(path, size, meta, exists, func(put func([]uint16) error) error {
		return n.rows(ctx, o, size, put, progress)
	})
}

func (n *fakeNetwork) Picture(ctx context.Context, o *picture.Original, size picture.Size,
	progress func(inference.Progress),
) (*picture.Original, error) {
	img, y := o.New(size), 0
	err := n.rows(ctx, o, size, func(row []uint16) error {
		picture.PutRow(img, row, 0, y)
		y++
		return nil
	}, progress)
	return o.With(img), err
}

func (n *fakeNetwork) rows(ctx context.Context, o *picture.Original, size picture.Size, put func([]uint16) error,
	progress func(inference.Progress),
) error {
	progress(inference.Progress{Stage: inference.StageUpscale, Step: 2, Total: 12, Fraction: 0.2})
	if n.hold != nil {
		select {
		case <-n.hold:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	row, large := make([]uint16, 4*o.Size.Width), make([]uint16, 4*size.Width)
	for y := range size.Height {
		o.Row(row, 0, y*o.Size.Height/size.Height, o.Size.Width)
		for x := range size.Width {
			copy(large[4*x:4*x+4], row[4*(x*o.Size.Width/size.Width):])
		}
		if err := put(large); err != nil {
			return err
		}
	}
	return nil
}

// refiningEngine is a fakeEngine that works large pictures over, and changes nothing.
type refiningEngine struct{ *fakeEngine }

func (e refiningEngine) Refine(ctx context.Context, img *image.RGBA, how inference.Refinement,
	progress func(inference.RefineProgress),
) (*image.RGBA, picture.Metadata, error) {
	progress(inference.RefineProgress{Tile: 2, Tiles: 20, Of: inference.Progress{Fraction: 0.1}})
	if e.hold != nil {
		select {
		case <-e.hold:
		case <-ctx.Done():
			return nil, picture.Metadata{}, context.Cause(ctx)
		}
	}
	return img, picture.Metadata{Model: e.info.Model, ModelDigest: e.info.Digest, Seed: *how.Seed,
		Edit: &picture.Edit{Strength: *how.Strength}}, nil
}

// withUpscaler has networks on this computer, and a model that can refine.
func withUpscaler(n *fakeNetwork, paths ...string) benchOption {
	return func(b *bench, cfg *Config) {
		b.engine.info.NativeSize = 128
		cfg.Catalogue = &fakeCatalogue{got: make(chan string)}
		cfg.Open = func(context.Context, inference.Options) (Engine, error) { return refiningEngine{b.engine}, nil }
		cfg.FindUpscalers = func() []string { return paths }
		cfg.OpenUpscaler = func(_ context.Context, o inference.UpscalerOptions) (Upscaler, error) {
			if n == nil {
				return nil, &inference.NoUpscalerError{Name: o.Model}
			}
			n.name = networkName(o.Model)
			return n, nil
		}
	}
}

// atFullSize has the model make pictures of a megapixel, after withUpscaler.
func atFullSize(b *bench, _ *Config) { b.engine.info.NativeSize = 1024 }

// upscaleNow opens the panel by its key and goes on.
func (b *bench) upscaleNow() {
	b.t.Helper()
	b.openUpscalePanel()
	test.Tap(b.upscaling.panel.start)
}

func (b *bench) openUpscalePanel() {
	b.t.Helper()
	b.unfocus()
	b.showUpscalePanel()
	b.until("the panel is open", func() bool { return b.upscaling.panel != nil && b.upscaling.panel.IsOpen() })
}

// TestUpscalePanel chooses in the panel, and enlarges: the result is on show, beside its source in one frame, and what
// was chosen is there the next time.
func TestUpscalePanel(t *testing.T) {
	n := &fakeNetwork{}
	b := newBench(t, usual, withUpscaler(n, "/m/realesr-general-x4v3.pth", "/m/other.safetensors"))
	b.showUpscalePanel()
	b.wantSaid("no finished picture on show to enlarge")
	b.make("a fox")
	source := b.view.shown
	b.openUpscalePanel()
	p := b.upscaling.panel
	size := source.Image.Rect.Size()
	if b.win.Canvas().Focused() != fyne.Focusable(p.start) {
		t.Error("the button of the panel has not the keyboard")
	}
	if want := times(picture.Size{Width: 4 * size.X, Height: 4 * size.Y}); !strings.HasPrefix(p.about.Text, want) ||
		strings.Contains(p.about.Text, "about") {
		t.Errorf("says %q, want %s", p.about.Text, want)
	}
	p.scales[2].OnArrow(-1)
	p.network.SetSelected("other")
	if want := times(picture.Size{Width: 3 * size.X, Height: 3 * size.Y}); !strings.HasPrefix(p.about.Text, want) ||
		!p.scales[1].Chosen || !p.strengths[0].Disabled() {
		t.Errorf("says %q, want %s", p.about.Text, want)
	}
	test.Tap(p.start)
	if p.IsOpen() {
		t.Error("the panel stays")
	}
	b.until("it is enlarged", func() bool { return b.Maker.Run() == nil && len(b.Album.Entries()) == 2 })
	b.settle()
	large := b.view.shown
	if large.Image.Rect.Dx() != 3*size.X || large.Before.Rect.Size() != size || n.name != "other" ||
		large.Meta.Prompt != "a fox" || filepath.Dir(large.Path) != filepath.Dir(source.Path) {
		t.Fatalf("shows %+v", large)
	}
	b.view.modeKey(fyne.KeyB)
	b.settle()
	if !b.view.view.Comparing() {
		t.Error("the two are not compared")
	}
	if got := b.comparison.names[0].Text(); got != "A · before it was enlarged" {
		t.Errorf("A is called %q", got)
	}
	b.view.leaveMode()

	// From the history, the picture and its source come from their files.
	b.openEntry(b.Album.Entries()[1])
	b.settle()
	b.openEntry(b.Album.Entries()[0])
	b.settle()
	shown := b.view.shown
	if shown.Image.Rect.Dx() != 3*size.X || shown.Before == nil || shown.Before.Rect.Size() != size {
		t.Errorf("shows %+v", shown)
	}
	facts := infoFacts(large.Meta, 0)
	found := false
	for _, f := range facts {
		found = found || f[0] == "Enlarged" && f[1] == times(picture.Size{Width: 3 * size.X, Height: 3 * size.Y})
	}
	if !found {
		t.Errorf("Info says %q", facts)
	}

	b.openUpscalePanel() // of the enlarged picture, three times as large again
	p = b.upscaling.panel
	if !p.scales[1].Chosen || p.network.Selected != "other" ||
		!strings.HasPrefix(p.about.Text, times(picture.Size{Width: 9 * size.X, Height: 9 * size.Y})) ||
		!strings.Contains(p.about.Text, " · about ") {
		t.Errorf("the panel says %q, %q", p.network.Selected, p.about.Text)
	}
	b.win.Canvas().Focused().TypedKey(&fyne.KeyEvent{Name: fyne.KeyEscape})
	if p.IsOpen() {
		t.Error("Escape does not close the panel")
	}
}

// TestRefineWords refines: the button says what is done, a batch in the queue is called so, and Esc ends it at once.
func TestRefineWords(t *testing.T) {
	n := &fakeNetwork{hold: make(chan struct{})}
	b := newBench(t, usual, withUpscaler(n, "/m/net.pth"))
	b.make("a fox")
	b.openUpscalePanel()
	p := b.upscaling.panel
	p.refine.SetChecked(true)
	if p.refined.Text != strengths[0].about || !p.strengths[0].Chosen {
		t.Errorf("says %q", p.refined.Text)
	}
	test.Tap(p.strengths[1])
	p.start.Tapped(nil)
	b.until("enlarging", func() bool { return strings.Contains(runStatus(b.Maker.Run()), "enlarging, tile 3 of 12") })
	b.openUpscalePanel()
	if p := b.upscaling.panel; !p.refine.Checked || !p.strengths[1].Chosen {
		t.Error("the choice is forgotten")
	}
	test.Tap(b.upscaling.panel.scales[0])
	test.Tap(b.upscaling.panel.start)
	if got := b.queued.rows[0].text.Text; !strings.HasPrefix(got, "2× · a-fox-") || !strings.HasSuffix(got, " · refined") {
		t.Errorf("the queue has %q", got)
	}
	b.engine.hold = make(chan struct{})
	close(n.hold)
	b.until("refining", func() bool {
		return b.Maker.Run() != nil && strings.Contains(runStatus(b.Maker.Run()), "refining, tile 2 of 20")
	})
	b.queued.edit(0) // opens the panel again
	b.until("the panel is open", func() bool { return b.upscaling.panel.IsOpen() })
	if p := b.upscaling.panel; !b.Queue.Empty() || !p.scales[0].Chosen || !p.refine.Checked {
		t.Error("the batch did not come back to the panel")
	}
	b.upscaling.panel.Close()
	b.escape()
	b.until("the run ends", func() bool { return b.Maker.Run() == nil })
	b.wantSaid("Cancelled")
	if len(b.Album.Entries()) != 1 {
		t.Errorf("%d entries", len(b.Album.Entries()))
	}
}

// TestUpscaleLimits: what cannot be done is said before it begins.
func TestUpscaleLimits(t *testing.T) {
	b := newBench(t, usual, withUpscaler(&fakeNetwork{}, "/m/net.pth"))
	b.make("a fox")
	b.view.shown.Meta.Width, b.view.shown.Meta.Height = 4000, 3000
	b.openUpscalePanel()
	p := b.upscaling.panel
	if !p.start.Disabled() || !strings.Contains(p.about.Text, "192.0 megapixels, want at most 102") {
		t.Errorf("says %q", p.about.Text)
	}
	test.Tap(p.scales[0])
	if p.start.Disabled() {
		t.Errorf("says %q", p.about.Text)
	}
	p.Close()

	remote := newBench(t, usual, withUpscaler(&fakeNetwork{}, "/m/net.pth"), func(b *bench, cfg *Config) {
		cfg.Open = func(context.Context, inference.Options) (Engine, error) { return b.engine, nil }
	})
	remote.set.upscales().setRefine(true)
	remote.make("a fox")
	remote.openUpscalePanel()
	p = remote.upscaling.panel
	if !p.refine.Disabled() || p.asked().Refines() || p.refined.Text != "Only a model on this computer can refine." {
		t.Errorf("says %q", p.refined.Text)
	}
}

// TestUpscaleDownload: without a network the panel offers one, with its licence, and goes on when it is there. If the
// offer was closed meanwhile, a notice takes its place.
func TestUpscaleDownload(t *testing.T) {
	var paths []string
	b := newBench(t, usual, withUpscaler(&fakeNetwork{}), func(_ *bench, cfg *Config) {
		cfg.FindUpscalers = func() []string { return paths }
	})
	catalogue := b.cfg.Catalogue.(*fakeCatalogue)
	b.make("a fox")
	tapped := func() { b.win.Canvas().Focused().TypedKey(&fyne.KeyEvent{Name: fyne.KeyReturn}) }
	offered := func() {
		b.t.Helper()
		b.showUpscalePanel()
		b.until("an offer", func() bool { return b.upscaling.offer.IsOpen() })
	}
	offered()
	tapped()
	b.until("it begins", func() bool { return strings.Contains(b.upscaling.state.Text, "3100.0 MB of") })
	tapped() // stop
	b.until("it is stopped", func() bool { return b.upscaling.cancel == nil })
	b.wantSaid("The download is stopped")

	offered()
	tapped()
	paths = []string{"/m/realesr-general-x4v3.pth"}
	catalogue.got <- "x"
	b.until("the panel", func() bool { return b.upscaling.panel != nil && b.upscaling.panel.IsOpen() })
	b.upscaling.panel.Close()

	paths = nil
	offered()
	tapped()
	b.upscaling.offer.Close()
	catalogue.got <- "x"
	b.until("it is there", func() bool { return b.upscaling.cancel == nil })
	b.wantSaid("Pictures can be enlarged now.")

	catalogue.fail = errors.New("no connection")
	offered()
	tapped()
	catalogue.got <- "x"
	b.until("it failed", func() bool { return b.upscaling.cancel == nil })
	b.wantSaid("No connection.")
}

// TestUpscaleNotices: what goes wrong while a picture is enlarged is one sentence, and the picture on show stays.
func TestUpscaleNotices(t *testing.T) {
	for _, row := range []struct {
		name, want string
		network    *fakeNetwork
		do         func(e history.Entry) error
	}{
		{"gone", "is not there", &fakeNetwork{}, func(e history.Entry) error { return os.Remove(e.Path) }},
		{"changed", "has changed since it was used", &fakeNetwork{}, func(e history.Entry) error {
			return picture.WriteCopy(e.Path, landscape(64, 64, 1), picture.Metadata{}, picture.CopyOptions{})
		}},
		{"no network", "is not there any more", nil, func(history.Entry) error { return nil }},
	} {
		t.Run(row.name, func(t *testing.T) {
			b := newBench(t, usual, withUpscaler(row.network, "/m/net.pth"))
			b.make("a fox")
			if err := row.do(b.Album.Entries()[0]); err != nil {
				t.Fatal(err)
			}
			shown := b.view.shown
			b.upscaleNow()
			b.until("the end", func() bool { return b.Maker.Run() == nil })
			b.settle()
			b.wantSaid(row.want)
			if b.view.shown != shown || len(b.Album.Entries()) != 1 {
				t.Error("another picture is on show")
			}
		})
	}
}

// TestRealUpscale drives a network and the demo model themselves: what is refined is the enlarged picture with other
// pixels, and a refinement that is cancelled ends within a second.
func TestRealUpscale(t *testing.T) {
	network := filepath.Join("..", "inference", "testdata", "golden", "upscale", "compact-x2.pth")
	b := newBench(t, usual, func(_ *bench, cfg *Config) {
		cfg.FindUpscalers = func() []string { return []string{network} }
		cfg.OpenUpscaler = func(ctx context.Context, o inference.UpscalerOptions) (Upscaler, error) {
			return inference.OpenUpscaler(ctx, o)
		}
		cfg.Open = func(ctx context.Context, o inference.Options) (Engine, error) {
			return inference.Open(ctx, inference.Options{Model: "demo", Device: inference.DeviceCPU})
		}
	})
	b.make("a red house")
	size := b.view.shown.Image.Rect.Size()
	wait := func(n int) *image.RGBA {
		t.Helper()
		b.until("it is made", func() bool { return b.Maker.Run() == nil && len(b.Album.Entries()) == n })
		b.settle()
		if b.view.shown.ID != b.Album.Entries()[0].ID {
			t.Fatalf("the result is not on show; the window says %q", b.said())
		}
		return b.view.shown.Image
	}
	b.set.upscales().setScale(2)
	b.upscaleNow()
	plain := wait(2)
	source := b.Album.Entries()[1]
	b.set.upscales().setRefine(true)
	b.openEntry(source)
	b.settle()
	b.upscaleNow()
	refined := wait(3)
	if plain.Rect.Size() != size.Mul(2) || refined.Rect != plain.Rect {
		t.Errorf("%v and %v pixels of %v", plain.Rect, refined.Rect, size)
	}
	if string(plain.Pix) == string(refined.Pix) {
		t.Error("the model changed nothing")
	}
	meta := b.view.shown.Meta
	if meta.Prompt != "a red house" || meta.Upscale.Model != "compact-x2" || meta.Upscale.Refine.Strength != 0.25 {
		t.Errorf("%+v, %+v", meta, meta.Upscale)
	}

	b.openEntry(source)
	b.settle()
	b.set.upscales().setScale(4)
	b.upscaleNow()
	b.until("refining", func() bool {
		return b.Maker.Run() != nil && b.Maker.Run().Progress.Stage == inference.StageRefine
	})
	start := time.Now()
	b.escape()
	b.until("the run ends", func() bool { return b.Maker.Run() == nil })
	if took := time.Since(start); took > time.Second {
		t.Errorf("cancelling took %v", took)
	}
	b.wantSaid("Cancelled")
}

// TestUpscaleWithoutModel enlarges although no model can be opened. The window can then be closed when that is done,
// but not if what waits needs a model.
func TestUpscaleWithoutModel(t *testing.T) {
	b := newBench(t, usual, withUpscaler(&fakeNetwork{}, "/m/net.pth"), func(_ *bench, cfg *Config) {
		cfg.Open = func(context.Context, inference.Options) (Engine, error) { return nil, errors.New("no model") }
	})
	path := b.file("fox.png", 64, 64, 1)
	b.Queue.Add(studio.NewUpscale(path, "", studio.Upscale{Scale: 2, Strength: 0.5}))
	b.Maker.Next()
	if b.canFinish() || b.Maker.Run() != nil {
		t.Error("a refinement that waits for a model can be finished")
	}
	b.Queue.Clear()
	b.Queue.Add(studio.NewUpscale(path, "", studio.Upscale{Scale: 2}))
	if !b.canFinish() {
		t.Error("an enlargement cannot be finished without a model")
	}
	b.finish()
	closed := false
	b.win.SetOnClosed(func() { closed = true })
	b.until("the window closes", func() bool { return closed })
	if large, err := picture.OpenAnySize(t.Context(), filepath.Join(b.PicturesDir(), "fox ×2.png")); err != nil ||
		large.Size != (picture.Size{Width: 128, Height: 128}) {
		t.Error(large, err)
	}
}
