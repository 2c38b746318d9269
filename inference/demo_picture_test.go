package inference

import (
	"context"
	"image"
	"image/color"
	"math"
	"testing"

	"kleinbild/inference/checkpoint"
	"kleinbild/inference/picture"
)

// demoColours are the hues, in degrees, that a picture must show where a prompt names them.
var demoColours = map[string][2]float64{
	"red": {345, 12}, "yellow": {40, 65}, "green": {90, 165}, "blue": {205, 240},
}

// patch is where a colour was found: its share of the picture, and the middle of it from the left, 0 … 1.
type patch struct{ share, x float64 }

// findColour measures the strongly coloured pixels of a hue. Skies and lands of the demo model's world are pale or dark.
func findColour(img image.Image, hues [2]float64) (p patch) {
	box := img.Bounds()
	n := 0.0
	for y := box.Min.Y; y < box.Max.Y; y++ {
		for x := box.Min.X; x < box.Max.X; x++ {
			hue, saturation, value := hsv(img.At(x, y))
			within := hue >= hues[0] && hue <= hues[1]
			if hues[0] > hues[1] {
				within = hue >= hues[0] || hue <= hues[1]
			}
			if within && saturation > 0.6 && value > 0.4 {
				n++
				p.x += float64(x-box.Min.X) + 0.5
			}
		}
	}
	if n == 0 {
		return patch{}
	}
	return patch{n / float64(box.Dx()*box.Dy()), p.x / n / float64(box.Dx())}
}

func hsv(c color.Color) (hue, saturation, value float64) {
	r32, g32, b32, _ := c.RGBA()
	r, g, b := float64(r32)/65535, float64(g32)/65535, float64(b32)/65535
	value = max(r, g, b)
	chroma := value - min(r, g, b)
	if chroma == 0 {
		return 0, 0, value
	}
	switch value {
	case r:
		hue = (g - b) / chroma
	case g:
		hue = 2 + (b-r)/chroma
	default:
		hue = 4 + (r-g)/chroma
	}
	return math.Mod(60*hue+360, 360), chroma / value, value
}

// brightness is the mean of all values, 0 … 1.
func brightness(img *image.RGBA) float64 {
	sum := 0.0
	for i, v := range img.Pix {
		if i%4 != 3 {
			sum += float64(v)
		}
	}
	return sum / 255 / float64(len(img.Pix)/4*3)
}

func demoPicture(t *testing.T, e *Engine, req Request) *image.RGBA {
	t.Helper()
	if req.Size == (picture.Size{}) {
		req.Size = picture.Size{Width: e.info.NativeSize, Height: e.info.NativeSize}
	}
	r, err := e.Generate(context.Background(), req, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r.Image
}

// TestDemoPictures runs the whole program with meaning: what the prompt names is there, in its colour, and where it says.
// The model is a toy that misses one thing in ten; what is asked of it is that most of what was said is true.
func TestDemoPictures(t *testing.T) {
	e := openOptions(t, Options{Model: checkpoint.Demo, Precision: Float32})
	said, right := 0, 0
	hold := func(ok bool, format string, args ...any) {
		said++
		if ok {
			right++
		} else {
			t.Logf(format, args...)
		}
	}
	for seed, row := range []struct {
		prompt string
		// want maps a colour to where it stands; absent is a colour that must not be there.
		want   map[string]string
		absent string
	}{
		{"a large red house on the left in a meadow", map[string]string{"red": "left"}, "blue"},
		{"a large red house on the right in a meadow", map[string]string{"red": "right"}, "blue"},
		{"a large blue car in the centre on snow", map[string]string{"blue": "centre"}, "red"},
		{"a large red car in the centre on snow", map[string]string{"red": "centre"}, "blue"},
		{"a large blue car on the left and a large red ball on the right in the desert", map[string]string{"blue": "left", "red": "right"}, ""},
		{"a large red car on the left and a large blue ball on the right in the desert", map[string]string{"red": "left", "blue": "right"}, ""},
	} {
		img := demoPicture(t, e, Request{Prompt: row.prompt, Seed: uint64(seed)})
		for name, place := range row.want {
			p := findColour(img, demoColours[name])
			hold(p.share >= 0.008, "%s: %s covers %.1f %% of the picture, want at least 0.8", row.prompt, name, 100*p.share)
			hold(third(p.x) == place, "%s: %s is %s (%.2f), want %s", row.prompt, name, third(p.x), p.x, place)
		}
		if row.absent != "" {
			p := findColour(img, demoColours[row.absent])
			hold(p.share <= 0.004, "%s: %s covers %.1f %% of the picture, want none", row.prompt, row.absent, 100*p.share)
		}
	}
	day := brightness(demoPicture(t, e, Request{Prompt: "a green tree in a meadow", Seed: 7}))
	night := brightness(demoPicture(t, e, Request{Prompt: "a green tree at night", Seed: 7}))
	hold(night < 0.6*day, "brightness %.2f at night and %.2f by day, want night far darker", night, day)
	t.Logf("%d of %d right", right, said)
	if right*10 < said*9 {
		t.Errorf("%d of %d are as the prompts say, want nine in ten", right, said)
	}
}

func third(x float64) string {
	switch {
	case x < 0.4:
		return "left"
	case x > 0.6:
		return "right"
	}
	return "centre"
}

// TestDemoSizes makes a picture at each aspect ratio, scaled to what the model was trained on.
func TestDemoSizes(t *testing.T) {
	e := openOptions(t, Options{Model: checkpoint.Demo, Precision: Float32})
	for _, aspect := range picture.AspectRatios() {
		if aspect == picture.Match {
			continue
		}
		size, err := aspect.SizeFor(e.info.NativeSize)
		if err != nil {
			t.Fatal(err)
		}
		img := demoPicture(t, e, Request{Prompt: "a large red house in a meadow", Seed: 3, Size: size, Steps: 1})
		if img.Rect.Dx() != size.Width || img.Rect.Dy() != size.Height || size.Width > 2*e.info.NativeSize {
			t.Errorf("%s: %v, want %v", aspect, img.Rect, size)
		}
	}
}
