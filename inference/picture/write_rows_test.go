package picture

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// pattern fills a picture of a straight type with levels that differ from pixel to pixel.
func pattern(img image.Image) image.Image {
	pix := pixOf(img)
	for i := range pix {
		pix[i] = uint8(i*7 + i/131)
	}
	return img
}

// TestWriteRows writes pictures of all kinds by rows, a few at a time, and compares the file with that of Write.
func TestWriteRows(t *testing.T) {
	meta := Metadata{Prompt: "a fox", Width: 16, Height: 16, Upscale: &Upscale{Model: "x", Width: 93, Height: 271}}
	size := Size{93, 271} // more than four strips
	r := image.Rect(0, 0, size.Width, size.Height)
	opaque := pattern(image.NewNRGBA(r)).(*image.NRGBA)
	for i := 3; i < len(opaque.Pix); i += 4 {
		opaque.Pix[i] = 255
	}
	p3, err := OpenOriginal(t.Context(), filepath.Join(originals, "p3.png"))
	if err != nil {
		t.Fatal(err)
	}
	grayAlpha, err := OpenOriginal(t.Context(), filepath.Join(originals, "gray-alpha.png"))
	if err != nil {
		t.Fatal(err)
	}
	var list []*Original
	for _, img := range []image.Image{
		image.NewGray(r), image.NewGray16(r), image.NewNRGBA(r), image.NewNRGBA64(r), opaque,
	} {
		if img != image.Image(opaque) {
			pattern(img)
		}
		o, err := NewOriginal(img)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, o)
	}
	for _, o := range append(list, p3, grayAlpha) {
		for _, extension := range []string{"png", "tif"} {
			name := fmt.Sprintf("%T %s.%s", o.Pixels, o.Format, extension)
			dir := t.TempDir()
			whole, rows := filepath.Join(dir, "whole."+extension), filepath.Join(dir, "rows."+extension)
			if _, err := Write(whole, o, meta, Refuse); err != nil {
				t.Fatal(name, err)
			}
			written, err := o.WriteRows(rows, o.Size, &meta, Refuse, func(put func([]uint16) error) error {
				samples := make([]uint16, 4*o.Size.Width*40)
				for y := 0; y < o.Size.Height; y += 40 {
					n := min(40, o.Size.Height-y)
					for i := range n {
						o.Row(samples[4*o.Size.Width*i:], 0, y+i, o.Size.Width)
					}
					if err := put(samples[:4*o.Size.Width*n]); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil || written != rows {
				t.Fatal(name, written, err)
			}
			want, _ := os.ReadFile(whole)
			if have, err := os.ReadFile(rows); err != nil || !bytes.Equal(have, want) {
				t.Errorf("%s: %d bytes, %v; want the %d that Write writes", name, len(have), err, len(want))
			}
		}
	}
}

func TestWriteRowsRefuses(t *testing.T) {
	o, err := NewOriginal(pattern(image.NewNRGBA(image.Rect(0, 0, 4, 4))))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	reason := errors.New("enough")
	row := make([]uint16, 16)
	for _, c := range []struct {
		name, file string
		size       Size
		produce    func(put func([]uint16) error) error
		want       string
	}{
		{"too large", "x.png", Size{20_000, 10_001}, nil, "want at most 200 megapixels"},
		{"too large for JPEG", "x.jpg", Size{20_000, 9_000}, nil, "want at most 102 megapixels; .png takes 200"},
		{"too long for JPEG", "x.jpg", Size{65_536, 1}, nil, "want at most 65535 a side; .png takes more"},
		{"too long for WebP", "x.webp", Size{1, 16_385}, nil, "want at most 16384 a side"},
		{"empty", "x.png", Size{0, 4}, nil, "want at most 200 megapixels"},
		{"no folder", "missing/x.png", Size{4, 4}, nil, "does not exist"},
		{"an error", "x.png", Size{4, 4}, func(put func([]uint16) error) error { return reason }, "enough"},
		{"an error in the middle", "x.tif", Size{4, 4}, func(put func([]uint16) error) error {
			return errors.Join(put(row), reason)
		}, "enough"},
		{"too few rows", "x.png", Size{4, 4}, func(put func([]uint16) error) error { return put(row) }, "1 rows, want the 4"},
		{"too many rows", "x.png", Size{4, 1}, func(put func([]uint16) error) error {
			return put(append(slices.Clone(row), row...))
		}, "want whole rows"},
		{"a part of a row", "x.png", Size{4, 1}, func(put func([]uint16) error) error { return put(row[:8]) },
			"want whole rows"},
	} {
		_, err := o.WriteRows(filepath.Join(dir, c.file), c.size, nil, Refuse, c.produce)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", c.name, err, c.want)
		}
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("%v is left", left)
	}
}

// TestRowScaler compares with Pillow's scaling in 8 bits, which rounds twice.
func TestRowScaler(t *testing.T) {
	from := Size{61, 47}
	img := image.NewRGBA(image.Rect(0, 0, from.Width, from.Height))
	for y := range from.Height {
		for x := range from.Width {
			for c := range 3 {
				img.Pix[img.PixOffset(x, y)+c] = uint8(40 + (x*x*(c+1)+y*9+x*y*c)%170)
			}
			img.Pix[img.PixOffset(x, y)+3] = 255
		}
	}
	for _, to := range []Size{{61, 47}, {30, 23}, {122, 94}, {45, 100}, {1, 1}, {61, 5}, {7, 47}, {200, 141}} {
		want := newOpaque(to)
		if err := resample(t.Context(), want.Pix, to, img.Pix, img.Stride, from, 3); err != nil {
			t.Fatal(err)
		}
		rows := 0
		s := NewRowScaler(from, to, 3, func(row []float32) error {
			for i, v := range row {
				level := min(max(float64(v), 0), 255)
				if w := want.Pix[rows*want.Stride+i/3*4+i%3]; math.Abs(level-float64(w)) > 1.5 {
					t.Fatalf("%v: row %d, value %d: %.2f, want %d", to, rows, i, level, w)
				}
			}
			rows++
			return nil
		})
		row := make([]float32, 3*from.Width)
		for y := range from.Height {
			for i := range row {
				row[i] = float32(img.Pix[y*img.Stride+i/3*4+i%3])
			}
			if err := s.Put(row); err != nil {
				t.Fatal(err)
			}
		}
		if rows != to.Height {
			t.Errorf("%v: %d rows", to, rows)
		}
	}
	reason := errors.New("enough")
	s := NewRowScaler(Size{1, 1}, Size{2, 2}, 1, func([]float32) error { return reason })
	if err := s.Put([]float32{1}); err != reason {
		t.Errorf("%v, want the error of emit", err)
	}
}

// TestAnySize opens pictures that are too small, or too long, for the model.
func TestAnySize(t *testing.T) {
	for _, size := range []Size{{1, 1}, {1, 300}, {63, 64}} {
		path := filepath.Join(t.TempDir(), "x.png")
		img := pattern(image.NewNRGBA(image.Rect(0, 0, size.Width, size.Height)))
		if _, err := Write(path, img, Metadata{}, Refuse); err != nil {
			t.Fatal(err)
		}
		if o, err := OpenAnySize(t.Context(), path); err != nil || o.Size != size {
			t.Errorf("%v: %v", size, err)
		}
		if _, err := OpenOriginal(t.Context(), path); err == nil {
			t.Errorf("%v: OpenOriginal takes it", size)
		}
	}
}
