package ui

import (
	"image"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"fyne.io/fyne/v2"
	"golang.org/x/image/draw"
)

// noisy is a picture in which neighbours differ, so that a wrong place shows. Its levels are so far from black and
// white that no kernel overshoots.
func noisy(w, h int) *image.RGBA {
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	r := rand.New(rand.NewPCG(1, 2))
	for i := range img.Pix {
		img.Pix[i] = 64 + uint8(r.Uint32()%128)
		if i%4 == 3 {
			img.Pix[i] = 255
		}
	}
	return img
}

// TestShrunk: bands give what scaling all at once gives, but for rounding twice.
func TestShrunk(t *testing.T) {
	src := noisy(301, 257)
	for _, row := range []struct {
		area image.Rectangle
		size image.Point
	}{
		{src.Rect, image.Pt(150, 128)},
		{src.Rect, image.Pt(299, 31)},
		{src.Rect, image.Pt(1, 1)},
		{image.Rect(33, 1, 300, 200), image.Pt(65, 49)},
		{image.Rect(33, 1, 97, 65), image.Pt(64, 64)},
	} {
		want := image.NewRGBA(image.Rectangle{Max: row.size})
		draw.CatmullRom.Scale(want, want.Rect, src, row.area, draw.Src, nil)
		got := shrunk(src, row.area, row.size)
		if got.Rect != want.Rect {
			t.Fatalf("%v: %v", row, got.Rect)
		}
		worst := 0
		for i := range got.Pix {
			worst = max(worst, int(got.Pix[i])-int(want.Pix[i]), int(want.Pix[i])-int(got.Pix[i]))
		}
		if worst > 1 {
			t.Errorf("%v: levels differ by %d", row, worst)
		}
	}
}

// works is a background whose work a test runs when it wants to.
type works []func() func()

func (w *works) add(work func() func()) { *w = append(*w, work) }

// drawn is how many pixels the graphics card gets of a layer.
func (l *layer) drawn() (pixels int) {
	for _, img := range []image.Image{l.whole.Image, l.part.Image} {
		if img != nil {
			pixels += area(img.Bounds().Size())
		}
	}
	return pixels
}

// stall is how long a view may keep Fyne's goroutine busy. Another program can take the processor at any moment, so of
// each step the best of some tries counts.
const stall = 16 * time.Millisecond

// TestLargePicture looks closely at a photo of 24 megapixels beside another one, and moves it. The graphics card gets
// what the screen shows of it, and Fyne's goroutine is never busy for long.
func TestLargePicture(t *testing.T) {
	photo, other := noisy(6000, 4000), noisy(6000, 4000)
	var best []time.Duration // of each step
	for try := range 5 {
		v := newView(t)
		var todo works
		v.Background = todo.add
		step := 0
		timed := func(do func()) {
			start := time.Now()
			do()
			took := time.Since(start)
			if try == 0 {
				best = append(best, took)
			}
			best[step] = min(best[step], took)
			step++
		}
		settle := func() {
			for len(todo) > 0 {
				done := todo[0]()
				todo = todo[1:]
				timed(done)
			}
		}
		check := func(what string) {
			t.Helper()
			for _, l := range []*layer{v.after, v.left} {
				if n := l.drawn(); n > 2*uploadPixels {
					t.Fatalf("%s: %d pixels are drawn, want at most %d", what, n, 2*uploadPixels)
				}
			}
		}
		timed(func() { v.Set(photo, photo.Rect.Size(), other) })
		check("at first")
		settle()
		check("fitted")
		if got := v.after.whole.Image.Bounds().Dx(); got != int(v.after.Size().Width+0.5) {
			t.Fatalf("fitted: a copy of %d pixels for %v", got, v.after.Size())
		}
		timed(func() { v.OneToOne(fyne.NewPos(100, 100)) })
		settle()
		check("at 1:1")
		v.wantExact(t, photo, other)
		for range 10 {
			timed(func() { v.Dragged(dragged(v.Middle(), -300, -120)) })
			check("panned")
		}
		timed(v.DragEnd)
		settle()
		v.wantExact(t, photo, other)
		for range 3 {
			timed(func() { v.TypedKey(&fyne.KeyEvent{Name: fyne.KeyMinus}) })
		}
		settle()
		check("nearly 1:1")
		if v.after.partIs.size.X >= v.after.partIs.area.Dx() || v.after.partIs.size.X == 0 {
			t.Fatalf("what is in sight is not shrunk: %v", v.after.partIs)
		}
		timed(v.ZoomToFit)
		settle()
		if v.after.part.Visible() || v.left.part.Visible() {
			t.Fatal("fitted again, a part still covers the whole")
		}
		if slices.Max(best) <= stall {
			t.Logf("at most %v", slices.Max(best))
			return
		}
	}
	t.Errorf("Fyne's goroutine was busy for %v in its steps, want at most %v each", best, stall)
}

// wantExact fails if what is in sight at 1:1 is not the picture's pixels, at their places.
func (v *PictureView) wantExact(t *testing.T, after, before *image.RGBA) {
	t.Helper()
	for _, row := range []struct {
		l   *layer
		img *image.RGBA
	}{{v.after, after}, {v.left, before}} {
		left, top := v.ToPicture(fyne.Position{})
		seen := image.Rect(int(left)+1, int(top)+1, int(left+v.Size().Width), int(top+v.Size().Height))
		seen = seen.Intersect(row.img.Rect)
		a := row.l.partIs.area
		if !row.l.part.Visible() || !seen.In(a) || row.l.part.Size() != fyne.NewSize(float32(a.Dx()), float32(a.Dy())) ||
			row.l.part.Position() != fyne.NewPos(float32(a.Min.X), float32(a.Min.Y)) {
			t.Fatalf("in sight is %v, sharp is %v at %v of size %v", seen, a, row.l.part.Position(), row.l.part.Size())
		}
		got := row.l.part.Image.(*image.RGBA)
		for _, p := range []image.Point{seen.Min, seen.Max.Sub(image.Pt(1, 1)), seen.Min.Add(seen.Size().Div(2))} {
			if got.RGBAAt(p.X-a.Min.X, p.Y-a.Min.Y) != row.img.RGBAAt(p.X, p.Y) {
				t.Fatalf("another pixel at %v", p)
			}
		}
	}
}

// TestFramed compares a picture that was made larger with what it was: the first lies in its place in the second.
func TestFramed(t *testing.T) {
	v := newView(t)
	after, before := blank(1200, 600), blank(300, 200)
	frame := image.Pt(1200, 600)
	v.SetFramed(frame, Framed{after, Area{0, 0, 1200, 600}}, Framed{before, Area{300, 100, 900, 500}})
	s := v.CurrentScale()
	origin, size := v.Placed()
	if !nearly(v.left.Position(), fyne.NewPos(300*s, 100*s)) {
		t.Errorf("the first is at %v, want %v", v.left.Position(), fyne.NewPos(300*s, 100*s))
	}
	if w := v.left.Size().Width; w < 900*s-1 || w > 900*s+1 || v.clip.Position() != origin {
		t.Errorf("the first is %v wide, want %v", w, 900*s)
	}
	if v.bands.Size() != size {
		t.Errorf("the ground beside it is %v, want %v", v.bands.Size(), size)
	}
	v.TakeTurns(true)
	if v.clip.Visible() || v.divider.Visible() {
		t.Error("of two that take turns, the second is to be on show first, without a divider")
	}
	v.ShowBefore(true)
	if !v.clip.Visible() || v.clip.Size() != size || !v.ShowsBefore() {
		t.Errorf("the first covers %v, want %v", v.clip.Size(), size)
	}
	v.ShowBefore(false)
	v.TakeTurns(false)
	if !v.divider.Visible() {
		t.Error("the divider is gone")
	}
}

func nearly(a, b fyne.Position) bool {
	return a.X-b.X < 1 && b.X-a.X < 1 && a.Y-b.Y < 1 && b.Y-a.Y < 1
}

// TestLink zooms and moves one of two views: the other one shows the same part of its picture, whatever its size is.
func TestLink(t *testing.T) {
	a, b := newView(t), newView(t)
	b.Set(blank(600, 200), image.Pt(600, 200), nil) // half of a's
	Link(a, b)
	same := func(what string) {
		t.Helper()
		ax, ay := a.ToPicture(a.Middle())
		bx, by := b.ToPicture(b.Middle())
		if a.fit != b.fit || !near(int(1000*a.CurrentScale()), int(500*b.CurrentScale())) ||
			!nearly(fyne.NewPos(ax, ay), fyne.NewPos(2*bx, 2*by)) {
			t.Errorf("%s: %v at %v,%v and %v at %v,%v", what, a.CurrentScale(), ax, ay, b.CurrentScale(), bx, by)
		}
	}
	same("at first")
	a.Scrolled(scrolled(fyne.NewPos(300, 250), 60))
	same("zoomed at the pointer")
	b.Dragged(dragged(b.Middle(), -40, 10))
	b.DragEnd()
	same("the other one panned")
	b.TypedKey(&fyne.KeyEvent{Name: fyne.Key1})
	same("1:1 of the other one")
	a.ZoomToFit()
	if same("fitted"); !b.fit {
		t.Error("the other one is not fitted")
	}
}

// TestHold tells the owner of the space bar, and that it was let go where the keyboard was taken away meanwhile.
func TestHold(t *testing.T) {
	v := newView(t)
	var got []bool
	v.OnHold = func(down bool) { got = append(got, down) }
	space := &fyne.KeyEvent{Name: fyne.KeySpace}
	v.KeyDown(space)
	v.KeyUp(space)
	v.KeyDown(&fyne.KeyEvent{Name: fyne.KeyA})
	v.KeyDown(space)
	v.FocusLost()
	if len(got) != 4 || !got[0] || got[1] || !got[2] || got[3] {
		t.Errorf("told %v", got)
	}
}
