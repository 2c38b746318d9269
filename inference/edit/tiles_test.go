package edit

import (
	"errors"
	"image"
	"image/color"
	"math"
	"testing"

	"github.com/kleinbild/kleinbild/inference/picture"
)

// TestTiles checks divisions of many sizes: tiles have one size, cover everything, overlap enough, and their weights
// add up to 1 everywhere.
func TestTiles(t *testing.T) {
	for _, most := range []int{64, 256, 1024} {
		overlap := most / 8 / 16 * 16
		overlap = max(overlap, 16)
		for side := 16; side < 5*most; side += 16 {
			tiles, err := NewTiles(picture.Size{Width: side, Height: 64}, most, overlap)
			if err != nil {
				t.Fatal(err)
			}
			a := tiles.columns
			sums := make([]float64, side)
			for i, start := range a.starts {
				if start%16 != 0 || a.length%16 != 0 || a.length > most || start+a.length > side {
					t.Fatalf("side %d: tile %d at %d of %d pixels", side, i, start, a.length)
				}
				if i > 0 && a.starts[i-1]+a.length-start < overlap {
					t.Fatalf("side %d: tiles %v of %d overlap by less than %d", side, a.starts, a.length, overlap)
				}
				for p, w := range a.weights(i) {
					sums[start+p] += float64(w)
				}
			}
			for x, sum := range sums {
				if math.Abs(sum-1) > 1e-6 {
					t.Fatalf("side %d, tiles %v of %d: the weights at %d add up to %v", side, a.starts, a.length, x, sum)
				}
			}
			if fewest := int(math.Ceil(float64(side-overlap) / float64(most-overlap))); len(a.starts) != max(fewest, 1) {
				t.Fatalf("side %d: %d tiles, want %d", side, len(a.starts), fewest)
			}
		}
	}
	for _, bad := range [][3]int{{100, 64, 16}, {128, 60, 16}, {128, 64, 32}, {0, 64, 16}, {128, 64, 0}} {
		if _, err := NewTiles(picture.Size{Width: bad[0], Height: 64}, bad[1], bad[2]); err == nil {
			t.Errorf("%v is accepted", bad)
		}
	}
}

// TestMix: tiles that nothing changes give the picture back, and tiles of different levels meet without a step.
func TestMix(t *testing.T) {
	size := picture.Size{Width: 400, Height: 304}
	img := image.NewRGBA(image.Rect(0, 0, size.Width, size.Height))
	for y := range size.Height {
		for x := range size.Width {
			img.SetRGBA(x, y, color.RGBA{uint8(x * 7), uint8(y * 5), uint8(x ^ y), 255})
		}
	}
	tiles, err := NewTiles(size, 128, 32)
	if err != nil {
		t.Fatal(err)
	}
	cut := func(i int) *image.RGBA {
		at := tiles.At(i)
		part := image.NewRGBA(image.Rectangle{Max: at.Size()})
		for y := range at.Dy() {
			copy(part.Pix[y*part.Stride:][:part.Stride], img.Pix[img.PixOffset(at.Min.X, at.Min.Y+y):])
		}
		return part
	}
	same, err := tiles.Mix(t.Context(), func(i int) (*image.RGBA, error) { return cut(i), nil })
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range same.Pix {
		if v != img.Pix[i] {
			t.Fatalf("value %d is %d, want %d", i, v, img.Pix[i])
		}
	}
	flat, err := tiles.Mix(t.Context(), func(i int) (*image.RGBA, error) {
		tile := cut(i)
		for p := range tile.Pix {
			tile.Pix[p] = uint8(60 + 120*(i%2))
		}
		return tile, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	steepest := 0
	for y := range size.Height {
		for x := 1; x < size.Width; x++ {
			d := int(flat.RGBAAt(x, y).R) - int(flat.RGBAAt(x-1, y).R)
			steepest = max(steepest, d, -d)
		}
	}
	if steepest == 0 || steepest > 8 { // 120 levels over 32 pixels, 1.5 times as steep in the middle
		t.Errorf("the steepest step has %d levels", steepest)
	}
	broken := errors.New("broken")
	if _, err := tiles.Mix(t.Context(), func(int) (*image.RGBA, error) { return nil, broken }); !errors.Is(err, broken) {
		t.Errorf("error %v", err)
	}
	if _, err := tiles.Mix(t.Context(), func(int) (*image.RGBA, error) { return img, nil }); err == nil {
		t.Error("a tile of another size is accepted")
	}
}

// TestWithLowBand: a drift of colours goes, and detail stays.
func TestWithLowBand(t *testing.T) {
	reference := image.NewRGBA(image.Rect(0, 0, 150, 100))
	result := image.NewRGBA(reference.Rect)
	for y := range 100 {
		for x := range 150 {
			level := 60 + x/2 + y/4
			detail := 20 * (2*((x/2+y/2)%2) - 1) // of 4 pixels, with the mean 0
			reference.SetRGBA(x, y, color.RGBA{uint8(level), uint8(level + 10), 90, 255})
			result.SetRGBA(x, y, color.RGBA{uint8(level + 15 - x/6 + detail), uint8(level - 5), uint8(90 + y/5), 255})
		}
	}
	got, err := WithLowBand(t.Context(), result, reference)
	if err != nil {
		t.Fatal(err)
	}
	for y := 8; y < 92; y++ {
		for x := 8; x < 142; x++ {
			p, q := got.RGBAAt(x, y), reference.RGBAAt(x, y)
			detail := 20 * (2*((x/2+y/2)%2) - 1)
			red, green, blue := int(p.R)-int(q.R)-detail, int(p.G)-int(q.G), int(p.B)-int(q.B)
			if max(red, -red, green, -green, blue, -blue) > 3 { // a blurred slope lags at the borders by 16/6 levels
				t.Fatalf("%d, %d: %v for %v", x, y, p, q)
			}
		}
	}
	if _, err := WithLowBand(t.Context(), result, image.NewRGBA(image.Rect(0, 0, 10, 10))); err == nil {
		t.Error("pictures of two sizes are accepted")
	}
}
