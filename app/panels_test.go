package app

import (
	"image"
	"math"
	"strings"
	"testing"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/test"

	"github.com/kleinbild/kleinbild/app/studio"
	"github.com/kleinbild/kleinbild/app/ui"
	"github.com/kleinbild/kleinbild/inference"
	"github.com/kleinbild/kleinbild/inference/picture"
)

var usual = fyne.NewSize(1280, 800)

// middle is the middle of an object, as a place in the window.
func middle(o fyne.CanvasObject) fyne.Position {
	return fyne.CurrentApp().Driver().AbsolutePositionForObject(o).AddXY(o.Size().Width/2, o.Size().Height/2)
}

func (b *bench) wantSaid(part string) {
	b.t.Helper()
	if !strings.Contains(b.said(), part) {
		b.t.Errorf("the window says %q, want a sentence with %q", b.said(), part)
	}
}

func TestSizes(t *testing.T) {
	b := newBench(t, usual)
	size := b.size
	match := b.shape.tiles[8]
	test.Tap(match)
	if b.shape.aspect() == picture.Match {
		t.Error("match was chosen without an image 1")
	}
	b.slots.add(0, []string{b.file("one.png", 336, 208, 1)})
	b.settle()
	test.Tap(match)
	if got := size(); got != (picture.Size{Width: 336, Height: 208}) {
		t.Errorf("match: %v", got)
	}
	b.slots.clear(1)
	if got := size(); got != (picture.Size{Width: 1344, Height: 768}) {
		t.Errorf("match without image 1: %v, want the choice before", got)
	}
	test.Tap(b.shape.tiles[2])
	if got := size(); got != (picture.Size{Width: 768, Height: 1344}) {
		t.Errorf("portrait: %v", got)
	}
	b.engine.info.NativeSize = 128
	b.engineChanged()
	if got := b.shape.tiles[0].Pixels; got != image.Pt(128, 128) {
		t.Errorf("square of a small model: %v", got)
	}
}

func TestAdvanced(t *testing.T) {
	b := newBench(t, usual)
	b.advanced.toggle()
	b.advanced.steps.SetText("9")
	b.make("nine steps")
	if got := b.engine.made()[0].Steps(); got != 9 {
		t.Errorf("%d steps", got)
	}
	b.advanced.steps.SetText("many")
	b.generate()
	b.wantSaid("steps")
	if !b.advanced.rows[1].hidden {
		t.Error("a distilled model has guidance")
	}
	b.engine.info.Variant, b.engine.info.Guidance = inference.Base, 4
	b.engineChanged()
	if b.advanced.rows[1].hidden {
		t.Error("a base model has no guidance")
	}
	b.advanced.steps.SetText("")
	b.advanced.guidance.SetText("3,5")
	b.make("guided")
	if got := b.engine.made()[1].Guidance(); got != 3.5 {
		t.Errorf("guidance %v", got)
	}
	old := b.engine
	b.advanced.device.SetSelected("Processor")
	b.until("the model is open again", func() bool { return b.session.Model.Engine() != nil })
	if !old.closed || b.set.Device() != "cpu" {
		t.Errorf("closed %v, device %s", old.closed, b.set.Device())
	}
}

// TestFitsEverywhere looks for texts that lie over each other or leave the window, from the least size to 4K.
func TestFitsEverywhere(t *testing.T) {
	b := newBench(t, usual)
	b.engine.hold = make(chan struct{})
	b.twoReferences()
	b.prompt.setText("something to make")
	b.generate()
	b.generate()
	b.until("a preview", func() bool { return b.view.previewing })
	b.advanced.toggle()
	for _, size := range []fyne.Size{
		leastSize, {Width: 1024, Height: 640}, {Width: 1280, Height: 720}, {Width: 1920, Height: 1080},
		{Width: 3840, Height: 2160},
	} {
		b.win.Resize(size)
		if m := b.win.Content().MinSize(); m.Width > size.Width || m.Height > size.Height {
			t.Errorf("%v: wants at least %v", size, m)
		}
		type placed struct {
			text           string
			x1, y1, x2, y2 float32
		}
		var texts []placed
		walk(b.win.Content(), fyne.Position{}, func(o fyne.CanvasObject, pos fyne.Position) {
			l, ok := o.(*ui.Label)
			if !ok || l.Text == "" {
				return
			}
			inRight := pos.X >= b.frame.right.Position().X
			natural := l.Natural()
			width := min(natural.Width, l.Size().Width)
			switch l.Align {
			case fyne.TextAlignCenter:
				pos.X += (l.Size().Width - width) / 2
			case fyne.TextAlignTrailing:
				pos.X += l.Size().Width - width
			}
			middle, half := pos.Y+l.Size().Height/2, natural.Height/2-3
			p := placed{l.Text, pos.X, middle - half, pos.X + width, middle + half}
			if p.y1 >= size.Height || inRight && l != b.cost.model && p.y2 > size.Height-b.strip.height()-b.cost.height() {
				return // out of sight, or where scrolling brings it
			}
			if p.x1 < 0 || p.x2 > size.Width+0.5 {
				t.Errorf("%v: %q lies from %v to %v", size, p.text, p.x1, p.x2)
			}
			for _, q := range texts {
				if p.x1 < q.x2 && q.x1 < p.x2 && p.y1 < q.y2 && q.y1 < p.y2 {
					t.Errorf("%v: %q at %v,%v lies over %q at %v,%v", size, p.text, p.x1, p.y1, q.text, q.x1, q.y1)
				}
			}
			texts = append(texts, p)
		})
		if len(texts) < 30 {
			t.Errorf("%v: found %d texts", size, len(texts))
		}
	}
}

// TestTextAtWholePixels: text between the screen's pixels is blurred.
func TestTextAtWholePixels(t *testing.T) {
	b := newBench(t, usual)
	b.twoReferences()
	b.engine.info.NativeSize = 128
	b.make("something")
	for range 6 {
		b.Queue.Add(studio.Batch{Count: 1})
	}
	b.advanced.toggle()
	for _, size := range []fyne.Size{leastSize, {Width: 1111, Height: 733}, {Width: 1440, Height: 900}} {
		for _, scale := range []float32{1, 1.25, 1.5, 2} {
			b.win.Canvas().(test.WindowlessCanvas).SetScale(scale)
			b.win.Resize(size)
			b.rescaled()
			b.notice.Say("A sentence.", ui.Action{Text: "Undo"})
			texts := 0
			walk(b.win.Content(), fyne.Position{}, func(o fyne.CanvasObject, pos fyne.Position) {
				l, ok := o.(*ui.Label)
				if !ok || l.Text == "" {
					return
				}
				texts++
				at := pos.Add(test.WidgetRenderer(l).Objects()[0].Position())
				for _, v := range []float32{at.X * scale, at.Y * scale} {
					if off := math.Abs(float64(v) - math.Round(float64(v))); off > 0.01 {
						t.Errorf("%v at scale %v: %q lies at %v, %v of the screen's pixels", size, scale, l.Text, at.X*scale, at.Y*scale)
					}
				}
			})
			if texts < 30 {
				t.Errorf("found %d texts", texts)
			}
		}
	}
}

// walk visits what is visible, with its place in the window.
func walk(o fyne.CanvasObject, parent fyne.Position, visit func(fyne.CanvasObject, fyne.Position)) {
	if !o.Visible() {
		return
	}
	pos := parent.Add(o.Position())
	visit(o, pos)
	var children []fyne.CanvasObject
	switch o := o.(type) {
	case *fyne.Container:
		children = o.Objects
	case fyne.Widget:
		children = test.WidgetRenderer(o).Objects()
	}
	for _, c := range children {
		walk(c, pos, visit)
	}
}
