package picture

import (
	"bytes"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"math/rand/v2"
	"runtime"
	"testing"
)

// grainy returns a smooth picture with grain, like those of the model. With alpha it fades in from left to right.
func grainy(width, height int, alpha bool) *image.RGBA {
	random := rand.New(rand.NewPCG(1, 2))
	img := image.NewRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			at := func(slope float64) uint8 {
				return uint8(128 + 100*slope*float64(x-y)/float64(width+height) + 2*random.NormFloat64())
			}
			c := color.NRGBA{at(1), at(-1), at(0.5), 255}
			if alpha {
				c.A = uint8(255 * x / width)
			}
			img.Set(x, y, c)
		}
	}
	return img
}

// drawing returns a picture of flat colours with repeated figures.
func drawing(width, height int) *image.RGBA {
	img := image.NewRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			img.SetRGBA(x, y, color.RGBA{uint8(x / 32 * 40), uint8(y / 32 * 40), uint8((x ^ y) & 16), 255})
		}
	}
	return img
}

func TestPNGHoldsEveryPixel(t *testing.T) {
	big := grainy(90, 90, false)
	pictures := map[string]image.Image{
		"grain": grainy(131, 3*stripRows+7, false), "alpha": grainy(67, stripRows+1, true),
		"drawing":   drawing(200, 2*stripRows),
		"one pixel": grainy(1, 1, false), "a column": grainy(1, stripRows, true), "a row": grainy(300, 1, false),
		"a part": big.SubImage(image.Rect(11, 12, 80, 85)), "grey": image.NewGray(image.Rect(5, 5, 20, 20)),
	}
	for name, img := range pictures {
		t.Run(name, func(t *testing.T) {
			var file, reference bytes.Buffer
			if err := writePNG(&file, img, nil); err != nil {
				t.Fatal(err)
			}
			found, err := png.Decode(&file)
			if err != nil {
				t.Fatal(err)
			}
			if err := png.Encode(&reference, img); err != nil {
				t.Fatal(err)
			}
			want, err := png.Decode(&reference)
			if err != nil {
				t.Fatal(err)
			}
			if found.Bounds() != want.Bounds() {
				t.Fatalf("bounds %v, want %v", found.Bounds(), want.Bounds())
			}
			for y := range want.Bounds().Dy() {
				for x := range want.Bounds().Dx() {
					if f, w := color.NRGBAModel.Convert(found.At(x, y)), color.NRGBAModel.Convert(want.At(x, y)); f != w {
						t.Fatalf("pixel %d,%d: %v, want %v", x, y, f, w)
					}
				}
			}
		})
	}
}

func TestPNGIsTheSameOnEveryMachine(t *testing.T) {
	img := grainy(100, 5*stripRows, false)
	var files [2]bytes.Buffer
	for i, processors := range []int{1, 4} {
		before := runtime.GOMAXPROCS(processors)
		err := writePNG(&files[i], img, nil)
		runtime.GOMAXPROCS(before)
		if err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(files[0].Bytes(), files[1].Bytes()) {
		t.Error("a picture's file depends on the number of processors")
	}
}

// TestPNGIsSmall compares with package image/png. Its search for repetitions makes files with grain larger. Files of
// drawings are small with either encoder.
func TestPNGIsSmall(t *testing.T) {
	for _, c := range []struct {
		name   string
		img    *image.RGBA
		atMost float64 // of the size that package image/png writes at its default level
	}{
		{"grain", grainy(512, 512, false), 1.0},
		{"alpha", grainy(512, 512, true), 1.05},
		{"smooth", smooth(512, 512), 1.05},
		{"grey grain", greyGrain(512, 512), 1.05},
	} {
		var file, reference bytes.Buffer
		if err := writePNG(&file, c.img, nil); err != nil {
			t.Fatal(err)
		}
		if err := png.Encode(&reference, c.img); err != nil {
			t.Fatal(err)
		}
		ratio := float64(file.Len()) / float64(reference.Len())
		t.Logf("%s: %d bytes, %.3f of image/png's", c.name, file.Len(), ratio)
		if ratio > c.atMost {
			t.Errorf("%s: %d bytes, %.3f of image/png's, want at most %g", c.name, file.Len(), ratio, c.atMost)
		}
	}
	var file bytes.Buffer
	if err := writePNG(&file, drawing(1024, 1024), nil); err != nil {
		t.Fatal(err)
	}
	if file.Len() > 1024*1024*3/100 {
		t.Errorf("drawing: %d bytes, want at most 1%% of the pixels'", file.Len())
	}
}

// greyGrain returns a slow change of colour with the same noise in all three channels.
func greyGrain(width, height int) *image.RGBA {
	img := image.NewRGBA(image.Rect(0, 0, width, height))
	random := rand.New(rand.NewPCG(1, 2))
	for y := range height {
		for x := range width {
			n := random.IntN(9)
			img.SetRGBA(x, y, color.RGBA{
				uint8(x*200/width + n), uint8(y*200/height + n), uint8((x+y)*100/(width+height) + n), 255,
			})
		}
	}
	return img
}

// smooth returns grain at twice the size, like a photograph that was scaled up.
func smooth(width, height int) *image.RGBA {
	small := grainy(width/2, height/2, false)
	img := image.NewRGBA(image.Rect(0, 0, width, height))
	draw.Draw(img, img.Rect, image.NewUniform(color.Black), image.Point{}, draw.Src)
	for y := range height {
		for x := range width {
			var sum [3]int
			for _, p := range []image.Point{
				{x / 2, y / 2}, {(x + 1) / 2, y / 2}, {x / 2, (y + 1) / 2}, {(x + 1) / 2, (y + 1) / 2},
			} {
				c := small.RGBAAt(min(p.X, width/2-1), min(p.Y, height/2-1))
				sum[0], sum[1], sum[2] = sum[0]+int(c.R), sum[1]+int(c.G), sum[2]+int(c.B)
			}
			img.SetRGBA(x, y, color.RGBA{uint8(sum[0] / 4), uint8(sum[1] / 4), uint8(sum[2] / 4), 255})
		}
	}
	return img
}

// BenchmarkPNG compares with package image/png at its default and its fastest level: 1024 × 1024 pixels with grain.
func BenchmarkPNG(b *testing.B) {
	img := grainy(1024, 1024, false)
	encoders := []struct {
		name   string
		encode func(*bytes.Buffer) error
	}{
		{"strips", func(w *bytes.Buffer) error { return writePNG(w, img, nil) }},
		{"image/png", func(w *bytes.Buffer) error { return png.Encode(w, img) }},
		{"image/png, fastest", func(w *bytes.Buffer) error {
			return (&png.Encoder{CompressionLevel: png.BestSpeed}).Encode(w, img)
		}},
	}
	for _, e := range encoders {
		b.Run(e.name, func(b *testing.B) {
			var file bytes.Buffer
			for b.Loop() {
				file.Reset()
				if err := e.encode(&file); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(file.Len()), "file-bytes")
		})
	}
}
