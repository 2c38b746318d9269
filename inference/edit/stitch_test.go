package edit

import (
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"math"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/kleinbild/kleinbild/inference/picture"
)

// photo returns a smooth picture with texture, shapes and grain, that looks the same at any size.
func photo(width, height int, seed uint64) *image.NRGBA {
	random := rand.New(rand.NewPCG(seed, 1))
	img := image.NewNRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			u, v := float64(x)/float64(width), float64(y)/float64(height)
			hill := 0.0
			if v > 0.6+0.08*math.Sin(7*u) {
				hill = 1
			}
			wave := 12*math.Sin(40*u+9*v) + 8*math.Cos(55*v-13*u)
			level := func(sky, meadow float64) uint8 {
				return uint8(min(max(sky+(meadow-sky)*hill+wave+2*random.NormFloat64()+40*(v-0.5), 0), 255))
			}
			img.SetNRGBA(x, y, color.NRGBA{level(120, 90), level(160, 140), level(210, 60), 255})
		}
	}
	return img
}

func original(t testing.TB, img image.Image) *picture.Original {
	t.Helper()
	o, err := picture.NewOriginal(img)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// blob returns a mask with a disc of the given radius; soft adds a ramp of grey of that width.
func blob(size picture.Size, x, y, radius, soft float64) *image.Gray {
	gray := image.NewGray(image.Rect(0, 0, size.Width, size.Height))
	for j := range size.Height {
		for i := range size.Width {
			d := radius - math.Hypot(float64(i)-x, float64(j)-y)
			gray.Pix[j*gray.Stride+i] = uint8(255*min(max(d/max(soft, 1e-9), 0), 1) + 0.5)
		}
	}
	return gray
}

// boxMask returns a white rectangle.
func boxMask(size picture.Size, r image.Rectangle) *image.Gray {
	gray := image.NewGray(image.Rect(0, 0, size.Width, size.Height))
	for y := r.Min.Y; y < r.Max.Y; y++ {
		for x := r.Min.X; x < r.Max.X; x++ {
			gray.SetGray(x, y, color.Gray{255})
		}
	}
	return gray
}

func mustMask(t testing.TB, img image.Image, size picture.Size) *Mask {
	t.Helper()
	m, err := NewMask(img, size)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func mustCut(t testing.TB, o *picture.Original, a Area) *image.RGBA {
	t.Helper()
	cut, err := Cut(t.Context(), o, a)
	if err != nil {
		t.Fatal(err)
	}
	return cut
}

// changed returns cut with other colours, as a model would repaint it: levels are inverted in part and have noise.
func changed(cut *image.RGBA) *image.RGBA {
	random := rand.New(rand.NewPCG(9, 9))
	out := image.NewRGBA(cut.Rect)
	for i, v := range cut.Pix {
		out.Pix[i] = 255
		if i%4 != 3 {
			out.Pix[i] = uint8((int(255-v)+int(v)/3)&0xf0 + random.IntN(16))
		}
	}
	return out
}

// sample returns the samples of a pixel with 16 bits.
func sample(o *picture.Original, x, y int) (s [4]uint16) {
	o.Row(s[:], x, y, 1)
	return s
}

// originalsOfAllKinds returns pictures of all bit depths and channels, from files and made here.
func originalsOfAllKinds(t *testing.T) map[string]*picture.Original {
	list := map[string]*picture.Original{
		"odd size": original(t, photo(333, 211, 1)), "narrow": original(t, photo(70, 500, 2)),
		"small": original(t, photo(64, 64, 3)), "the model's size": original(t, photo(256, 256, 4)),
	}
	for _, name := range []string{
		"420.jpg", "gray.jpg", "turned-6-exif.jpg", "adobe.jpg", "cmyk.jpg", "alpha.png", "gray-alpha.png", "palette.png",
		"lossless.webp", "gray16.png", "gray-alpha16.png", "rgb16.png", "p3-16.png", "rgba16.png", "rgba16.tif", "plain.bmp",
	} {
		o, err := picture.OpenOriginal(t.Context(), filepath.Join("..", "picture", "testdata", "originals", name))
		if err != nil {
			t.Fatal(err)
		}
		list[name] = o
	}
	for _, name := range []string{
		"profile-table-rgb.png", "profile-gray-dot20.png", "profile-alpha-display-p3.png", "profile-16-bit-prophoto.png",
	} {
		o, err := picture.OpenOriginal(t.Context(), filepath.Join("..", "picture", "testdata", "kinds", name))
		if err != nil {
			t.Fatal(err)
		}
		list[name] = o
	}
	return list
}

// TestOutsideTheMaskNothingChanges stitches into pictures of all kinds, with masks of all shapes, at all scales, and
// compares every sample whose mask is 0.
func TestOutsideTheMaskNothingChanges(t *testing.T) {
	for name, o := range originalsOfAllKinds(t) {
		size := o.Size
		w, h := float64(size.Width), float64(size.Height)
		masks := map[string]image.Image{
			"disc": blob(size, w/2, h/3, min(w, h)/4, 0), "soft": blob(size, w/3, h/2, min(w, h)/3, 20),
			"pixel":   boxMask(size, image.Rect(size.Width-1, size.Height-1, size.Width, size.Height)),
			"left":    boxMask(size, image.Rect(0, 0, 5, size.Height)),
			"bottom":  boxMask(size, image.Rect(0, size.Height-3, size.Width, size.Height)),
			"frame":   frame(size, 4),
			"whole":   boxMask(size, o.Bounds()),
			"smaller": blob(picture.Size{Width: 19, Height: 13}, 9, 5, 4, 3),
			"dots":    dots(size),
		}
		for maskName, img := range masks {
			t.Run(name+", "+maskName, func(t *testing.T) {
				m := mustMask(t, img, size)
				areas := []Area{NewArea(size, m.Bounds(), Chosen, 256), WholeArea(size, 64), WholeArea(size, 0)}
				for i, a := range areas {
					cut := mustCut(t, o, a)
					options := Options{Feather: []int{Chosen, 0, 7}[i], MatchColours: i == 0}
					out, err := Stitch(t.Context(), o, a, cut, changed(cut), m, options)
					if err != nil {
						t.Fatal(err)
					}
					checkOutside(t, o, out, m, a)
				}
			})
		}
	}
}

func frame(size picture.Size, width int) image.Image {
	gray := boxMask(size, image.Rect(0, 0, size.Width, size.Height))
	for y := width; y < size.Height-width; y++ {
		clear(gray.Pix[y*gray.Stride+width : (y+1)*gray.Stride-width])
	}
	return gray
}

func dots(size picture.Size) image.Image {
	gray := image.NewGray(image.Rect(0, 0, size.Width, size.Height))
	random := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		gray.Pix[random.IntN(len(gray.Pix))] = uint8(1 + random.IntN(255))
	}
	return gray
}

// checkOutside compares the samples that must not change, and checks that others did.
func checkOutside(t *testing.T, o, out *picture.Original, m *Mask, a Area) {
	t.Helper()
	if out.Size != o.Size || out.Depth() != o.Depth() || out.Gray() != o.Gray() || out.FileSHA256 != o.FileSHA256 ||
		fmt.Sprintf("%T", out.Pixels) != fmt.Sprintf("%T", o.Pixels) {
		t.Fatalf("%v %d %T, want the original's %v %d %T", out.Size, out.Depth(), out.Pixels, o.Size, o.Depth(), o.Pixels)
	}
	reader := m.over(o.Bounds(), o.Size).reader()
	values := make([]float64, o.Size.Width)
	inside, written := 0, 0
	for y := range o.Size.Height {
		reader.row(y, 0, values)
		for x, v := range values {
			before, after := sample(o, x, y), sample(out, x, y)
			if (v == 0 || !image.Pt(x, y).In(a.Rect())) && before != after {
				t.Fatalf("area %+v: (%d, %d) is %v, want the original's %v", a, x, y, after, before)
			}
			if before[3] != after[3] {
				t.Fatalf("(%d, %d): alpha %d, want %d", x, y, after[3], before[3])
			}
			if v > 0 && before[3] > 0 && image.Pt(x, y).In(a.Rect()) {
				inside++
				if before != after {
					written++
				}
			}
		}
	}
	if inside > 50 && written < inside/4 {
		t.Errorf("area %+v: %d of %d pixels in the mask were written", a, written, inside)
	}
}

// TestInsideIsTheResult checks what the goldens of an edit ask for: at scale 1, with a hard mask and without
// matching, the result's own levels are in the mask, and the original's outside.
func TestInsideIsTheResult(t *testing.T) {
	for _, row := range []struct {
		name string
		size picture.Size
		deep bool
	}{
		{"multiple of 16", picture.Size{Width: 96, Height: 80}, false},
		{"cropped", picture.Size{Width: 103, Height: 91}, true},
	} {
		o := original(t, photo(row.size.Width, row.size.Height, 5))
		if row.deep {
			wide := image.NewNRGBA64(o.Bounds())
			for i, v := range o.Pixels.(*image.NRGBA).Pix {
				wide.Pix[2*i], wide.Pix[2*i+1] = v, v
			}
			o = original(t, wide)
		}
		m := mustMask(t, blob(row.size, 50, 40, 30, 0), row.size)
		a := WholeArea(row.size, 0)
		result := changed(mustCut(t, o, a))
		out, err := Stitch(t.Context(), o, a, nil, result, m, Options{})
		if err != nil {
			t.Fatal(err)
		}
		origin := a.Rect().Min
		inside := 0
		for y := range row.size.Height {
			for x := range row.size.Width {
				want := sample(o, x, y)
				if m.Gray().GrayAt(x, y).Y == 255 && image.Pt(x, y).In(a.Rect()) {
					inside++
					c := result.RGBAAt(x-origin.X, y-origin.Y)
					want = [4]uint16{uint16(c.R) * 257, uint16(c.G) * 257, uint16(c.B) * 257, math.MaxUint16}
				}
				if got := sample(out, x, y); got != want {
					t.Fatalf("%s: (%d, %d) is %v, want %v", row.name, x, y, got, want)
				}
			}
		}
		if inside < 1000 {
			t.Errorf("%s: %d pixels inside", row.name, inside)
		}
	}
}

// TestDriftIsRemoved adds a tint and a drift to the whole result, which shows the same as the cut outside of the mask
// and something else inside. What lies inside must then look as it would without the drift.
func TestDriftIsRemoved(t *testing.T) {
	const side = 512
	size := picture.Size{Width: side, Height: side}
	o := original(t, photo(side, side, 6))
	for _, row := range []struct {
		name  string
		drift func(x, y int) [3]float64
		most  float64 // levels that may remain, on average and at each place of the border
	}{
		{"nothing", func(_, _ int) [3]float64 { return [3]float64{} }, 0.5},
		{"a tint", func(_, _ int) [3]float64 { return [3]float64{9, -6, 14} }, 1},
		{"a slope", func(x, y int) [3]float64 {
			return [3]float64{0.03 * float64(x-256), 0.02 * float64(y-256), 0.02 * float64(x-y)}
		}, 1.5},
		{"a bow", func(x, y int) [3]float64 {
			d := math.Hypot(float64(x-100), float64(y-300)) / 512
			return [3]float64{12 * d * d, -10 * d, 8 * d}
		}, 2},
	} {
		t.Run(row.name, func(t *testing.T) {
			m := mustMask(t, blob(size, 260, 250, 110, 0), size)
			a := NewArea(size, m.Bounds(), Chosen, side)
			if a.Scale() != 1 {
				t.Fatalf("scale %v", a.Scale())
			}
			cut := mustCut(t, o, a)
			result := image.NewRGBA(cut.Rect)
			random := rand.New(rand.NewPCG(3, 3))
			clean := image.NewRGBA(cut.Rect) // without drift: the same outside, a red object inside
			for y := range cut.Rect.Dy() {
				for x := range cut.Rect.Dx() {
					c := cut.RGBAAt(x, y)
					px, py := a.Source.Min.X+x, a.Source.Min.Y+y
					if math.Hypot(float64(px-260), float64(py-250)) < 80 {
						c = color.RGBA{200, 40, 30, 255}
					}
					clean.SetRGBA(x, y, c)
					d := row.drift(px, py)
					level := func(v uint8, d float64) uint8 {
						return uint8(min(max(float64(v)+d+random.NormFloat64()*1.5, 0), 255) + 0.5)
					}
					result.SetRGBA(x, y, color.RGBA{level(c.R, d[0]), level(c.G, d[1]), level(c.B, d[2]), 255})
				}
			}
			out, err := Stitch(t.Context(), o, a, cut, result, m, Options{MatchColours: true})
			if err != nil {
				t.Fatal(err)
			}
			// Inside the mask, the picture is compared with clean in pieces along the border and in the middle.
			worst, middle := 0.0, 0.0
			for angle := range 16 {
				phi := float64(angle) * math.Pi / 8
				for _, radius := range []float64{100, 40} {
					off := meanDifference(out, clean, a,
						int(260+radius*math.Cos(phi)), int(250+radius*math.Sin(phi)), 9)
					if radius == 100 {
						worst = max(worst, off)
					} else {
						middle = max(middle, off)
					}
				}
			}
			t.Logf("at the border %.2f levels remain, in the middle %.2f", worst, middle)
			if worst > row.most || middle > 2*row.most {
				t.Errorf("at the border %.2f levels remain, in the middle %.2f, want at most %g and %g",
					worst, middle, row.most, 2*row.most)
			}
		})
	}
}

// meanDifference returns the largest mean difference of a channel in a square around a place of the original.
func meanDifference(out *picture.Original, clean *image.RGBA, a Area, x, y, half int) float64 {
	var sum [3]float64
	n := 0.0
	for j := y - half; j <= y+half; j++ {
		for i := x - half; i <= x+half; i++ {
			s := sample(out, i, j)
			c := clean.RGBAAt(i-a.Source.Min.X, j-a.Source.Min.Y)
			for k, v := range []uint8{c.R, c.G, c.B} {
				sum[k] += float64(s[k])/257 - float64(v)
			}
			n++
		}
	}
	worst := 0.0
	for _, v := range sum {
		worst = max(worst, math.Abs(v/n))
	}
	return worst
}

// TestAnotherColourIsNotSmeared repaints everything in the mask, and a part outside of it as a shadow would be. The
// drift that is measured must stay small: the mask's content is no evidence, and the shadow is an outlier.
func TestAnotherColourIsNotSmeared(t *testing.T) {
	size := picture.Size{Width: 512, Height: 512}
	o := original(t, photo(512, 512, 7))
	m := mustMask(t, blob(size, 256, 256, 100, 0), size)
	a := WholeArea(size, 512)
	cut := mustCut(t, o, a)
	result := image.NewRGBA(cut.Rect)
	copy(result.Pix, cut.Pix)
	for y := range 512 {
		for x := range 512 {
			switch {
			case m.Gray().GrayAt(x, y).Y > 0:
				result.SetRGBA(x, y, color.RGBA{255, 0, 0, 255})
			case x > 350 && x < 390 && y > 200 && y < 300: // a shadow beside the object
				c := cut.RGBAAt(x, y)
				result.SetRGBA(x, y, color.RGBA{c.R / 2, c.G / 2, c.B / 2, 255})
			}
		}
	}
	f, err := maskDrift(t.Context(), cut, result, m, a)
	if err != nil {
		t.Fatal(err)
	}
	reader := f.reader()
	worst := 0.0
	for y := 170; y < 340; y += 5 {
		reader.at(float64(y))
		for x := 170; x < 340; x += 5 {
			for _, d := range reader.offset(float64(x)) {
				worst = max(worst, math.Abs(float64(d)))
			}
		}
	}
	t.Logf("the drift in the mask is up to %.2f levels", worst)
	if worst > 3 {
		t.Errorf("the drift in the mask is up to %.2f levels, want at most 3", worst)
	}
}

// TestAFaintNewColourStays makes the mask's content a little warmer, as an edit may want it: less than an outlier.
func TestAFaintNewColourStays(t *testing.T) {
	size := picture.Size{Width: 512, Height: 512}
	o := original(t, photo(512, 512, 7))
	m := mustMask(t, blob(size, 256, 256, 120, 0), size)
	a := WholeArea(size, 512)
	cut := mustCut(t, o, a)
	result := image.NewRGBA(cut.Rect)
	copy(result.Pix, cut.Pix)
	warm := [3]int{8, 0, -8}
	for y := range 512 {
		for x := range 512 {
			if m.Gray().GrayAt(x, y).Y > 0 {
				for c, d := range warm {
					p := &result.Pix[y*result.Stride+4*x+c]
					*p = uint8(min(max(int(*p)+d, 0), 255))
				}
			}
		}
	}
	out, err := Stitch(t.Context(), o, a, cut, result, m, Options{Feather: Chosen, MatchColours: true})
	if err != nil {
		t.Fatal(err)
	}
	if off := meanDifference(out, result, a, 256, 256, 60); off > 0.5 {
		t.Errorf("%.2f levels of the new colour are gone", off)
	}
}

// TestSeamIsNoise compares the gradient across the mask's border with that beside it, after an edit that repaints what
// was there with a tint, at several scales.
func TestSeamIsNoise(t *testing.T) {
	for _, row := range []struct {
		side, native int
		feather      int
	}{{512, 512, Chosen}, {1024, 512, Chosen}, {300, 512, Chosen}, {512, 512, 0}} {
		size := picture.Size{Width: row.side, Height: row.side}
		o := original(t, photo(row.side, row.side, 8))
		r := image.Rect(row.side/4, row.side/4, row.side*3/4, row.side*3/4)
		m := mustMask(t, boxMask(size, r), size)
		a := NewArea(size, r, Chosen, row.native)
		cut := mustCut(t, o, a)
		result := image.NewRGBA(cut.Rect)
		for i, v := range cut.Pix {
			result.Pix[i] = uint8(min(int(v)+[]int{8, 5, 11, 0}[i%4], 255))
		}
		seam := func(out *picture.Original) (across, beside float64) {
			jump := func(x int) (sum float64) {
				for y := r.Min.Y + 20; y < r.Max.Y-20; y++ {
					left, right := sample(out, x-1, y), sample(out, x, y)
					sum += float64(right[0])/257 - float64(left[0])/257
				}
				return math.Abs(sum / float64(r.Dy()-40))
			}
			for d := -12; d <= 12; d++ {
				if d > 3 || d < -3 {
					beside = max(beside, jump(r.Min.X+d))
				}
			}
			return jump(r.Min.X), beside
		}
		matched, err := Stitch(t.Context(), o, a, cut, result, m, Options{Feather: row.feather, MatchColours: true})
		if err != nil {
			t.Fatal(err)
		}
		hard, err := Stitch(t.Context(), o, a, cut, result, m, Options{})
		if err != nil {
			t.Fatal(err)
		}
		across, beside := seam(matched)
		unmatched, _ := seam(hard)
		t.Logf("%+v: scale %.2f: across %.2f, beside up to %.2f; without matching %.2f",
			row, a.Scale(), across, beside, unmatched)
		if across > beside+0.5 {
			t.Errorf("%+v: %.2f levels across the seam, beside it at most %.2f", row, across, beside)
		}
		if unmatched < 4 {
			t.Errorf("%+v: without matching %.2f levels: the test sees no seam", row, unmatched)
		}
	}
}

// TestMixingIsLinear mixes black and white by grey masks with exact weights.
func TestMixingIsLinear(t *testing.T) {
	size := picture.Size{Width: 64, Height: 64}
	black := image.NewNRGBA(image.Rect(0, 0, 64, 64))
	for i := 3; i < len(black.Pix); i += 4 {
		black.Pix[i] = 255
	}
	gray := image.NewGray(black.Rect)
	for i := range gray.Pix {
		gray.Pix[i] = uint8(i % 64)
	}
	white := image.NewRGBA(black.Rect)
	for i := range white.Pix {
		white.Pix[i] = 255
	}
	m := mustMask(t, gray, size)
	o := original(t, black)
	out, err := Stitch(t.Context(), o, WholeArea(size, 0), nil, white, m, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for x := range 64 {
		light := 2 * float64(x) / 255
		want := 255 * (1.055*math.Pow(light, 1/2.4) - 0.055)
		if light <= 0.0031308 {
			want = 255 * 12.92 * light
		}
		if got := float64(sample(out, x, 0)[0]) / 257; math.Abs(got-want) > 0.51 {
			t.Errorf("mask %d: %v, want %.2f", x, got, want)
		}
	}
}

// TestProfilesTakeTheResult checks that the picture in its own colour space looks like the result in the mask.
func TestProfilesTakeTheResult(t *testing.T) {
	for name, o := range originalsOfAllKinds(t) {
		if !o.Opaque() {
			continue
		}
		t.Run(name, func(t *testing.T) {
			a := WholeArea(o.Size, 0)
			cut := mustCut(t, o, a)
			result := image.NewRGBA(cut.Rect)
			for y := range result.Rect.Dy() {
				for x := range result.Rect.Dx() {
					c := color.RGBA{uint8(40 + x*2%180), uint8(40 + y*3%180), uint8(40 + (x+y)%180), 255}
					if o.Gray() {
						c = color.RGBA{c.R, c.R, c.R, 255}
					}
					result.SetRGBA(x, y, c)
				}
			}
			out, err := Stitch(t.Context(), o, a, nil, result, FullMask(o.Size), Options{})
			if err != nil {
				t.Fatal(err)
			}
			got := mustCut(t, out, a)
			worst, sum := 0, 0
			for i := range got.Pix {
				d := int(got.Pix[i]) - int(result.Pix[i])
				worst, sum = max(worst, d, -d), sum+max(d, -d)
			}
			mean := float64(sum) / float64(len(got.Pix)/4*3)
			t.Logf("%s: mean %.3f, worst %d", o.Profile, mean, worst)
			// A level of a wide colour space is several levels of sRGB near its border; a table is interpolated.
			if mean > 0.6 || worst > 6 {
				t.Errorf("mean %.3f, worst %d levels away", mean, worst)
			}
		})
	}
}

// TestTransparentPixelsLookLikeTheResult checks partial alpha: it stays, and on white the picture is the result.
func TestTransparentPixelsLookLikeTheResult(t *testing.T) {
	img := photo(128, 64, 3)
	for i := 3; i < len(img.Pix); i += 4 {
		img.Pix[i] = uint8((i / 4 % 128) * 2)
	}
	o := original(t, img)
	a := WholeArea(o.Size, 0)
	result := image.NewRGBA(o.Bounds())
	for i := range result.Pix {
		result.Pix[i] = []uint8{250, 240, 245, 255}[i%4] // light, so that it can be reached over white
	}
	out, err := Stitch(t.Context(), o, a, nil, result, FullMask(o.Size), Options{})
	if err != nil {
		t.Fatal(err)
	}
	got := mustCut(t, out, a)
	for x := range 128 {
		if sample(out, x, 0)[3] != sample(o, x, 0)[3] {
			t.Fatalf("column %d: alpha changed", x)
		}
		if x < 24 { // hardly visible: 8 bits of colour cannot do it
			continue
		}
		c := got.RGBAAt(x, 9)
		for k, v := range []uint8{c.R, c.G, c.B} {
			if d := int(v) - int(result.Pix[k]); d < -2 || d > 2 {
				t.Errorf("column %d: %v on white, want %v", x, c, result.Pix[:3])
			}
		}
	}
	if s := sample(out, 0, 0); s != sample(o, 0, 0) {
		t.Errorf("an invisible pixel was changed to %v", s)
	}
}

// TestTransparencyIsFilled uses the picture's own transparency as the mask.
func TestTransparencyIsFilled(t *testing.T) {
	img := photo(96, 64, 3)
	for i := 3; i < len(img.Pix); i += 4 {
		img.Pix[i] = uint8(min(max((i/4%96-32)*8, 0), 255))
	}
	o := original(t, img)
	m, err := MaskFromAlpha(o)
	if err != nil {
		t.Fatal(err)
	}
	a := WholeArea(o.Size, 0)
	result := image.NewRGBA(o.Bounds())
	for i := range result.Pix {
		result.Pix[i] = []uint8{200, 30, 60, 255}[i%4]
	}
	out, err := Stitch(t.Context(), o, a, mustCut(t, o, a), result, m, Options{Feather: Chosen})
	if err != nil {
		t.Fatal(err)
	}
	for x := range 96 {
		got, was := sample(out, x, 9), sample(o, x, 9)
		switch {
		case was[3] == math.MaxUint16 && got != was:
			t.Errorf("column %d: %v, want the opaque pixel %v", x, got, was)
		case got[3] != math.MaxUint16:
			t.Errorf("column %d: alpha %d, want it filled", x, got[3])
		case was[3] == 0 && got != [4]uint16{200 * 257, 30 * 257, 60 * 257, math.MaxUint16}:
			t.Errorf("column %d: %v, want the result", x, got)
		}
	}
}

// TestDistancesAreEuclidean compares the feather's distances with those to all pixels outside.
func TestDistancesAreEuclidean(t *testing.T) {
	random := rand.New(rand.NewPCG(8, 8))
	for range 30 {
		size := picture.Size{Width: 16 + random.IntN(40), Height: 16 + random.IntN(40)}
		gray := image.NewGray(image.Rect(0, 0, size.Width, size.Height))
		for range 1 + random.IntN(4) {
			x, y := random.IntN(size.Width), random.IntN(size.Height)
			r := image.Rect(x, y, x+1+random.IntN(30), y+1+random.IntN(30)).Intersect(gray.Rect)
			for j := r.Min.Y; j < r.Max.Y; j++ {
				for i := r.Min.X; i < r.Max.X; i++ {
					gray.SetGray(i, j, color.Gray{255})
				}
			}
		}
		m := mustMask(t, gray, size)
		const feather = 9
		w := &weights{rect: m.Bounds(), mask: m.over(gray.Rect, size)}
		got, err := w.distances(t.Context(), feather)
		if err != nil {
			t.Fatal(err)
		}
		for y := w.rect.Min.Y; y < w.rect.Max.Y; y++ {
			for x := w.rect.Min.X; x < w.rect.Max.X; x++ {
				want := float64(feather + 1)
				for j := range size.Height {
					for i := range size.Width {
						if gray.GrayAt(i, j).Y == 0 {
							want = min(want, math.Hypot(float64(i-x), float64(j-y)))
						}
					}
				}
				d := float64(got[(y-w.rect.Min.Y)*w.rect.Dx()+x-w.rect.Min.X]) / distanceSteps
				if math.Abs(d-want) > 0.6/distanceSteps {
					t.Fatalf("%v in %v: (%d, %d): %v, want %v", w.rect, size, x, y, d, want)
				}
			}
		}
	}
}

// TestFeatherLiesInside checks that the weight rises from the border inwards, and reaches 1 in masks of any width.
func TestFeatherLiesInside(t *testing.T) {
	size := picture.Size{Width: 200, Height: 120}
	for _, width := range []int{1, 2, 3, 9, 60} {
		for _, feather := range []int{1, 5, 500} {
			m := mustMask(t, boxMask(size, image.Rect(50, 0, 50+width, 120)), size)
			w, err := newWeights(t.Context(), m, m.Bounds(), feather)
			if err != nil {
				t.Fatal(err)
			}
			out := make([]float32, width)
			w.row(w.mask.reader(), 60, make([]float64, width), out)
			most := float32(0)
			for i, v := range out {
				most = max(most, v)
				if v <= 0 || v > 1 || v != out[width-1-i] || i > 0 && i <= (width-1)/2 && v < out[i-1] {
					t.Fatalf("width %d, feather %d: weights %v", width, feather, out)
				}
			}
			if most < 0.999 {
				t.Errorf("width %d, feather %d: the core has weight %v, want 1", width, feather, most)
			}
			if feather > 1 && width >= 9 && out[0] > 0.2 {
				t.Errorf("width %d, feather %d: the border has weight %v", width, feather, out[0])
			}
		}
	}
}

func TestStitchRefuses(t *testing.T) {
	size := picture.Size{Width: 128, Height: 128}
	o := original(t, photo(128, 128, 1))
	m := FullMask(size)
	a := WholeArea(size, 0)
	cut := mustCut(t, o, a)
	small := image.NewRGBA(image.Rect(0, 0, 64, 128))
	other := FullMask(picture.Size{Width: 64, Height: 64})
	outside := WholeArea(picture.Size{Width: 130, Height: 128}, 0)
	for name, err := range map[string]error{
		"result":  second(Stitch(t.Context(), o, a, cut, small, m, Options{})),
		"no cut":  second(Stitch(t.Context(), o, a, nil, cut, m, Options{MatchColours: true})),
		"mask":    second(Stitch(t.Context(), o, a, cut, cut, other, Options{})),
		"outside": second(Stitch(t.Context(), o, outside, cut, cut, m, Options{})),
	} {
		if err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, options := range []Options{{}, {Feather: 5}, {MatchColours: true}} {
		if _, err := Stitch(ctx, o, a, cut, cut, m, options); !errors.Is(err, context.Canceled) {
			t.Errorf("%+v: %v, want the context's error", options, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }
