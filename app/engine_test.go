package app

import (
	"bytes"
	"context"
	"image"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kleinbild/kleinbild/history"
	"github.com/kleinbild/kleinbild/inference"
	"github.com/kleinbild/kleinbild/inference/checkpoint/synthetic"
	"github.com/kleinbild/kleinbild/inference/picture"
)

// TestRealEngine drives the engine itself, with a tiny checkpoint: the picture is the one that the engine makes of the
// same request without a window.
func TestRealEngine(t *testing.T) {
	model := filepath.Join(t.TempDir(), "tiny")
	if err := synthetic.WriteTiny(model, synthetic.TinyDistilled()); err != nil {
		t.Fatal(err)
	}
	open := func(o inference.Options) (*inference.Engine, error) {
		o.Model, o.MaxSequenceLength, o.Precision = model, 32, inference.Float32 // few tokens: ten times as fast
		return inference.Open(t.Context(), o)
	}
	previews := 0
	b := newBench(t, usual, func(_ *bench, cfg *Config) {
		cfg.Open = func(ctx context.Context, o inference.Options) (Engine, error) {
			if o.Device == inference.DeviceCUDA {
				return nil, inference.ErrNoCUDA
			}
			return open(o)
		}
	})
	b.slots.add(0, []string{b.file("one.png", 80, 64, 1)})
	b.settle()
	b.shape.choose(picture.Match)
	b.advanced.steps.SetText("2")
	b.prompt.setText("a red fox")
	b.settle()
	if !strings.HasSuffix(b.prompt.tokens.Text, " of 32 tokens") {
		t.Errorf("tokens %q", b.prompt.tokens.Text)
	}
	b.generate()
	b.until("a picture", func() bool {
		if b.view.previewing {
			previews++
		}
		return b.Maker.Run() == nil && len(b.Album.Entries()) == 1
	})
	if previews == 0 {
		t.Error("no preview was shown")
	}
	saved, err := history.Read(b.Album.Entries()[0].Path)
	if err != nil {
		t.Fatal(err)
	}
	e, err := open(inference.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	ref, err := inference.OpenReference(t.Context(), filepath.Join(b.dir, "one.png"))
	if err != nil {
		t.Fatal(err)
	}
	request, err := inference.Ask{
		Prompt: "a red fox", References: []inference.Source{ref}, Size: &picture.Size{Width: 80, Height: 64},
		Seed: new(uint64(1836311903)), Steps: new(2),
	}.Resolve(e.Info())
	if err != nil {
		t.Fatal(err)
	}
	want, err := e.Generate(t.Context(), request, nil)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(saved.Pix, want.Image.(*image.RGBA).Pix) {
		t.Error("the window's picture is another one than the engine's")
	}

	// Cancelled in the middle, the window is ready again at once.
	b.advanced.steps.SetText("500")
	b.generate()
	b.until("the first step", func() bool { return b.Maker.Run().Progress.Step > 0 })
	b.escape()
	b.until("the end", func() bool { return b.Maker.Run() == nil })

	// A device that is not there is a sentence and a way back, not a window that cannot be used.
	b.advanced.device.SetSelected("Graphics card")
	b.until("the page", func() bool { return !b.Model.Opening() && b.start.content.Visible() })
	if b.Model.Err() == nil || !strings.Contains(strings.ToLower(explain(b.Model.Err())), "cuda") {
		t.Errorf("says %q", explain(b.Model.Err()))
	}
	b.advanced.device.SetSelected("Automatic")
	b.until("the model is open", func() bool { return b.session.Model.Engine() != nil && !b.start.content.Visible() })
}
