package compose

import (
	"bytes"
	"context"
	"image"
	"image/color"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/kleinbild/kleinbild/app/studio/paint"
	"github.com/kleinbild/kleinbild/inference/picture"
)

// noise returns an original with random levels; alpha says whether its alpha is random, too.
func noise(t *testing.T, width, height int, alpha bool) *picture.Original {
	t.Helper()
	img := image.NewNRGBA(image.Rect(0, 0, width, height))
	source := rand.New(rand.NewPCG(uint64(width), uint64(height)))
	for i := range img.Pix {
		img.Pix[i] = uint8(source.Uint32())
		if i%4 == 3 && !alpha {
			img.Pix[i] = 255
		}
	}
	o, err := picture.NewOriginal(img)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// flat returns an original of one colour.
func flat(t *testing.T, width, height int, c color.NRGBA) *picture.Original {
	t.Helper()
	canvas := NewCanvas(picture.Size{Width: width, Height: height}, c)
	o, err := picture.NewOriginal(canvas.Image())
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func lay(t *testing.T, c *Canvas, layers ...Layer) *image.NRGBA {
	t.Helper()
	for _, l := range layers {
		if err := c.Lay(t.Context(), l); err != nil {
			t.Fatal(err)
		}
	}
	return c.Image()
}

// TestOwnSizeIsExact: a picture at its own size keeps its levels to the bit, wherever it lies, and leaves the rest.
func TestOwnSizeIsExact(t *testing.T) {
	ground := color.NRGBA{10, 20, 30, 255}
	for name, at := range map[string]image.Point{
		"inside": {31, 5}, "over the left and upper edge": {-17, -9}, "over the right and lower edge": {90, 60},
		"at the corner": {},
	} {
		o := noise(t, 67, 41, false)
		img := lay(t, NewCanvas(picture.Size{Width: 127, Height: 83}, ground), Layer{Picture: o, At: o.Bounds().Add(at)})
		for y := range 83 {
			for x := range 127 {
				want := ground
				if p := image.Pt(x, y).Sub(at); p.In(o.Bounds()) {
					want = o.At(p.X, p.Y).(color.NRGBA)
				}
				if got := img.NRGBAAt(x, y); got != want {
					t.Fatalf("%s: pixel %d, %d: %v, want %v", name, x, y, got, want)
				}
			}
		}
	}
	// Also its alpha, where nothing lies below it.
	o := noise(t, 33, 31, true)
	img := lay(t, NewCanvas(o.Size, color.NRGBA{}), Layer{Picture: o, At: o.Bounds()})
	for y := range 31 {
		for x := range 33 {
			want := o.At(x, y).(color.NRGBA)
			if got := img.NRGBAAt(x, y); got != want && want.A != 0 {
				t.Fatalf("with alpha: pixel %d, %d: %v, want %v", x, y, got, want)
			}
		}
	}
}

// TestScalingIsTheResampler: at another size, a picture has the levels of the one resampler of the program, also where
// a part of it alone is seen.
func TestScalingIsTheResampler(t *testing.T) {
	o := noise(t, 127, 61, false)
	for _, size := range []picture.Size{{Width: 63, Height: 31}, {Width: 31, Height: 40}, {Width: 300, Height: 150}} {
		want, err := o.SRGB(t.Context(), o.Bounds(), size)
		if err != nil {
			t.Fatal(err)
		}
		for _, at := range []image.Point{{}, {-7, -11}, {20, 13}, {-100, 3}} {
			canvas := picture.Size{Width: 64, Height: 48}
			img := lay(t, NewCanvas(canvas, color.NRGBA{A: 255}), Layer{
				Picture: o, At: image.Rect(0, 0, size.Width, size.Height).Add(at),
			})
			for y := range canvas.Height {
				for x := range canvas.Width {
					p := image.Pt(x, y).Sub(at)
					if !p.In(want.Rect) {
						continue
					}
					w, got := want.RGBAAt(p.X, p.Y), img.NRGBAAt(x, y)
					if got != (color.NRGBA{w.R, w.G, w.B, 255}) {
						t.Fatalf("%v at %v: pixel %d, %d: %v, want %v", size, at, x, y, got, w)
					}
				}
			}
		}
	}
}

// TestMixesLight: half of white over black is half of the light, which is level 188, and not the mean of the levels.
func TestMixesLight(t *testing.T) {
	half := color.NRGBA{255, 255, 255, 128}
	size := picture.Size{Width: 16, Height: 16}
	img := lay(t, NewCanvas(size, color.NRGBA{A: 255}),
		Layer{Picture: flat(t, 16, 16, half), At: image.Rect(0, 0, 16, 16)})
	light := 128.0 / 255
	want := uint8(255*(1.055*math.Pow(light, 1/2.4)-0.055) + 0.5)
	if got := img.NRGBAAt(8, 8); got != (color.NRGBA{want, want, want, 255}) {
		t.Errorf("half of white over black is %v, want level %d", got, want)
	}
	// A colour over itself stays, at every opacity.
	for alpha := range 256 {
		c := color.NRGBA{uint8(alpha), uint8(255 - alpha), 77, 255}
		over := c
		over.A = uint8(alpha)
		img := lay(t, NewCanvas(size, c), Layer{Picture: flat(t, 16, 16, over), At: image.Rect(0, 0, 16, 16)})
		if got := img.NRGBAAt(3, 3); got != c {
			t.Fatalf("%v over itself with the opacity %d is %v", c, alpha, got)
		}
	}
	// Two halves on an empty canvas leave a quarter of it.
	empty := lay(t, NewCanvas(size, color.NRGBA{}),
		Layer{Picture: flat(t, 16, 16, half), At: image.Rect(0, 0, 16, 16)},
		Layer{Picture: flat(t, 16, 16, half), At: image.Rect(0, 0, 16, 16)})
	if got := empty.NRGBAAt(8, 8); got != (color.NRGBA{255, 255, 255, 192}) {
		t.Errorf("two halves of white are %v", got)
	}
}

// TestCutOut: what is cut out shows what lies below, to the bit; its soft edge lies between both.
func TestCutOut(t *testing.T) {
	below, above := color.NRGBA{200, 10, 10, 255}, flat(t, 64, 64, color.NRGBA{10, 10, 200, 255})
	w := paint.New(image.Pt(64, 64)).Edit()
	w.Line(paint.Brush{Size: 30, Hardness: 0.3}, 32, 32, 32, 32)
	cut := w.Done()
	img := lay(t, NewCanvas(picture.Size{Width: 64, Height: 64}, below),
		Layer{Picture: above, At: image.Rect(0, 0, 64, 64), Cut: cut})
	soft := 0
	for y := range 64 {
		for x := range 64 {
			got := img.NRGBAAt(x, y)
			switch level := cut.At(x, y); level {
			case 255:
				if got != below {
					t.Fatalf("cut out at %d, %d: %v", x, y, got)
				}
			case 0:
				if got != (color.NRGBA{10, 10, 200, 255}) {
					t.Fatalf("left at %d, %d: %v", x, y, got)
				}
			default:
				soft++
				if got.R < 10 || got.R > 200 || got.B < 10 || got.B > 200 || got.A != 255 {
					t.Fatalf("edge at %d, %d: %v", x, y, got)
				}
			}
		}
	}
	if soft < 100 {
		t.Errorf("%d pixels of a soft edge", soft)
	}
	// The look on the screen is cut in the same way.
	look, err := Look(t.Context(), above, above.Size)
	if err != nil {
		t.Fatal(err)
	}
	without := Without(look, cut)
	for y := range 64 {
		for x := range 64 {
			if got := without.RGBAAt(x, y).A; got != 255-cut.At(x, y) {
				t.Fatalf("look at %d, %d: opacity %d, want %d", x, y, got, 255-cut.At(x, y))
			}
		}
	}
	if look.RGBAAt(32, 32).A != 255 || Without(look, paint.New(image.Pt(64, 64))) != look {
		t.Error("the look itself was changed")
	}
}

// TestNoFringe: scaling a picture whose unseen pixels have another colour brings none of it to the edge, and no white.
func TestNoFringe(t *testing.T) {
	img := image.NewNRGBA(image.Rect(0, 0, 64, 64))
	for y := range 64 {
		for x := range 64 {
			img.SetNRGBA(x, y, color.NRGBA{0, 255, 0, 0})
			if x >= 21 && x < 43 {
				img.SetNRGBA(x, y, color.NRGBA{120, 40, 40, 255})
			}
		}
	}
	o, err := picture.NewOriginal(img)
	if err != nil {
		t.Fatal(err)
	}
	out := lay(t, NewCanvas(picture.Size{Width: 40, Height: 40}, color.NRGBA{}),
		Layer{Picture: o, At: image.Rect(0, 0, 40, 40)})
	for x := range 40 {
		// Below a quarter of the opacity a level stands for four or more of colour: rounding shows.
		if c := out.NRGBAAt(x, 20); c.A > 64 && (apart(c.R, 120) > 4 || apart(c.G, 40) > 4 || apart(c.B, 40) > 4) {
			t.Errorf("column %d: %v", x, c)
		}
	}
}

func apart(a, b uint8) int { return max(int(a)-int(b), int(b)-int(a)) }

// TestLayErrors: what does not fit, and a composition that is given up, are errors; what lies outside is none.
func TestLayErrors(t *testing.T) {
	o := noise(t, 40, 30, false)
	c := NewCanvas(picture.Size{Width: 40, Height: 30}, color.NRGBA{1, 2, 3, 255})
	before := bytes.Clone(c.Image().Pix)
	if err := c.Lay(t.Context(), Layer{Picture: o, At: o.Bounds().Add(image.Pt(40, 0))}); err != nil {
		t.Error(err)
	}
	if err := c.Lay(t.Context(), Layer{Picture: o}); err == nil {
		t.Error("no place is a place")
	}
	if err := c.Lay(t.Context(), Layer{Picture: o, At: o.Bounds(), Cut: paint.New(image.Pt(30, 40))}); err == nil {
		t.Error("a cut-out of another picture fits")
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := c.Lay(ctx, Layer{Picture: o, At: o.Bounds()}); err == nil {
		t.Error("a composition that was given up goes on")
	}
	if !bytes.Equal(c.Image().Pix, before) {
		t.Error("the canvas has changed")
	}
}
