package picture

import (
	"bytes"
	"image"
	"image/color"
	"image/jpeg"
	"math"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/image/webp"
)

func TestWriteCopy(t *testing.T) {
	dir := t.TempDir()
	img := image.NewRGBA(image.Rect(0, 0, 48, 32))
	for y := range 32 {
		for x := range 48 {
			img.SetRGBA(x, y, color.RGBA{uint8(5 * x), uint8(7 * y), uint8(90 + x), 255})
		}
	}
	meta := Metadata{Prompt: "a copy", Seed: 3}
	for _, name := range []string{"a.png", "b.JPG", "c.jpeg", "d.webp", "a.png"} { // the last one replaces the first
		if err := WriteCopy(filepath.Join(dir, name), img, meta); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got, err := ReadMetadataFile(filepath.Join(dir, "a.png")); err != nil || got.Prompt != "a copy" {
		t.Errorf("%+v, %v", got, err)
	}
	lossless, err := webp.Decode(bytes.NewReader(content(t, filepath.Join(dir, "d.webp"))))
	if err != nil || worst(img, lossless) != 0 {
		t.Errorf("WebP: %v; it is lossless", err)
	}
	// At quality 95 smooth pictures keep their levels within a few.
	lossy, err := jpeg.Decode(bytes.NewReader(content(t, filepath.Join(dir, "b.JPG"))))
	if err != nil || worst(img, lossy) > 12 {
		t.Errorf("JPEG: %v, off by %v levels", err, worst(img, lossy))
	}
	for _, name := range []string{"e.gif", "f", "no/such/folder.png"} {
		if err := WriteCopy(filepath.Join(dir, name), img, meta); err == nil {
			t.Errorf("%s was written", name)
		}
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 4 {
		t.Errorf("%d files, %v, want the 4 that were written", len(files), err)
	}
}

// worst is the largest difference of two pictures' levels.
func worst(a, b image.Image) float64 {
	most := 0.0
	for y := range a.Bounds().Dy() {
		for x := range a.Bounds().Dx() {
			p, q := color.RGBAModel.Convert(a.At(x, y)).(color.RGBA), color.RGBAModel.Convert(b.At(x, y)).(color.RGBA)
			for _, d := range []int{int(p.R) - int(q.R), int(p.G) - int(q.G), int(p.B) - int(q.B)} {
				most = max(most, math.Abs(float64(d)))
			}
		}
	}
	return most
}
