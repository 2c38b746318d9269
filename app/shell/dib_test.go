package shell

import (
	"encoding/binary"
	"image"
	"image/color"
	"testing"

	"github.com/kleinbild/kleinbild/inference/picture"
)

// testPicture has many colours and alphas, and an odd width, so that rows of 24-bit pixels need padding to 4 bytes. It
// is not smaller than 64 pixels a side, because comparePicture reads it as a reference.
func testPicture() *image.NRGBA {
	img := image.NewNRGBA(image.Rect(0, 0, 65, 64))
	for i := range img.Pix {
		img.Pix[i] = byte(i*i>>4 + 3*i)
	}
	return img
}

// opaque returns img with alpha 255 everywhere.
func opaque(img *image.NRGBA) *image.NRGBA {
	o := image.NewNRGBA(img.Rect)
	copy(o.Pix, img.Pix)
	for i := 3; i < len(o.Pix); i += 4 {
		o.Pix[i] = 255
	}
	return o
}

// TestDIBV5 reads the bitmap as the format's description says: the header, and the pixels from the bottom row up.
func TestDIBV5(t *testing.T) {
	img := testPicture()
	checkDIBV5(t, dibV5(img), img)
	// A part of a picture does not begin at the origin, and its rows are not adjacent in memory.
	part := img.SubImage(image.Rect(1, 1, 4, 3)).(*image.NRGBA)
	checkDIBV5(t, dibV5(part), part)
}

func checkDIBV5(t *testing.T, dib []byte, img *image.NRGBA) {
	t.Helper()
	width, height := img.Rect.Dx(), img.Rect.Dy()
	if len(dib) < 124+4*width*height {
		t.Fatalf("%d bytes for %v pixels", len(dib), img.Rect.Size())
	}
	le := func(at int) uint32 { return binary.LittleEndian.Uint32(dib[at:]) }
	for _, row := range []struct {
		what string
		at   int
		want uint32
	}{
		{"header", 0, 124}, {"width", 4, uint32(width)},
		{"height, positive for the bottom row first", 8, uint32(height)}, {"planes and bits", 12, 32<<16 | 1},
		{"compression: bit fields", 16, 3}, {"bytes", 20, uint32(4 * width * height)}, {"colours", 32, 0},
		{"red", 40, 0xff0000}, {"green", 44, 0xff00}, {"blue", 48, 0xff}, {"alpha", 52, 0xff000000},
		{"colour space sRGB", 56, 0x73524742},
	} {
		if le(row.at) != row.want {
			t.Errorf("%s: %#x, want %#x", row.what, le(row.at), row.want)
		}
	}
	for y := range height {
		for x := range width {
			p := le(124 + 4*((height-1-y)*width+x))
			have := color.NRGBA{R: uint8(p >> 16), G: uint8(p >> 8), B: uint8(p), A: uint8(p >> 24)}
			if want := img.NRGBAAt(img.Rect.Min.X+x, img.Rect.Min.Y+y); have != want {
				t.Fatalf("pixel %d,%d: %v, want %v", x, y, have, want)
			}
		}
	}
}

// dib32 returns img as a bitmap of 32 bits per pixel with a header of the given size. If compression is 3 (bit fields),
// masks follow a header of 40 bytes, and a longer header if masksAgain is set.
func dib32(img *image.NRGBA, header int, compression uint32, fromTop, masksAgain bool) []byte {
	width, height := img.Rect.Dx(), img.Rect.Dy()
	dib := make([]byte, header)
	copy(dib, dibV5(img)[:header])
	binary.LittleEndian.PutUint32(dib, uint32(header))
	binary.LittleEndian.PutUint32(dib[16:], compression)
	if fromTop {
		binary.LittleEndian.PutUint32(dib[8:], uint32(-height))
	}
	if compression == 3 && (header == 40 || masksAgain) {
		for _, mask := range dibMasks[:3] {
			dib = binary.LittleEndian.AppendUint32(dib, mask)
		}
	}
	for row := range height {
		y := height - 1 - row
		if fromTop {
			y = row
		}
		for x := range width {
			c := img.NRGBAAt(x, y)
			dib = append(dib, c.B, c.G, c.R, c.A)
		}
	}
	return dib
}

// dib24 returns img as a bitmap of 24 bits per pixel, whose rows are padded to 4 bytes.
func dib24(img *image.NRGBA) []byte {
	dib := dib32(img, 40, 0, false, false)[:40]
	dib[14] = 24
	for y := img.Rect.Dy() - 1; y >= 0; y-- {
		for x := range img.Rect.Dx() {
			c := img.NRGBAAt(x, y)
			dib = append(dib, c.B, c.G, c.R)
		}
		for len(dib)%4 != 0 {
			dib = append(dib, 0)
		}
	}
	return dib
}

// dibs returns bitmaps as programs copy them, and the pictures that should be read from them.
func dibs() []dibRow {
	img := testPicture()
	clear := image.NewNRGBA(img.Rect)
	copy(clear.Pix, img.Pix)
	for i := 3; i < len(clear.Pix); i += 4 {
		clear.Pix[i] = 0
	}
	return []dibRow{
		{"24 bits", dib24(img), opaque(img)},
		{"32 bits, the fourth byte unused", dib32(img, 40, 0, false, false), opaque(img)},
		{"32 bits, top row first", dib32(img, 40, 0, true, false), opaque(img)},
		{"bit fields after the short header", dib32(img, 40, 3, false, false), opaque(img)},
		{"version 5", dibV5(img), img},
		{"version 5, top row first", dib32(img, 124, 3, true, false), img},
		{"version 5, masks repeated", dib32(img, 124, 3, false, true), img},
		{"version 5, alpha 0 in every pixel", dib32(clear, 124, 3, false, false), opaque(img)},
	}
}

type dibRow struct {
	name string
	dib  []byte
	want *image.NRGBA
}

func TestBMPOfDIB(t *testing.T) {
	for _, row := range dibs() {
		t.Run(row.name, func(t *testing.T) {
			file, err := bmpOfDIB(row.dib)
			if err != nil {
				t.Fatal(err)
			}
			comparePicture(t, file, row.want)
		})
	}
	for _, cut := range []int{0, 3, 39} {
		if _, err := bmpOfDIB(dibV5(testPicture())[:cut]); err == nil {
			t.Errorf("a bitmap of %d bytes: no error, want one", cut)
		}
	}
	hostile := dibV5(testPicture())
	binary.LittleEndian.PutUint32(hostile[32:], 0xffffffff) // colours
	if _, err := bmpOfDIB(hostile); err == nil {
		t.Error("a palette of 16 GB: no error, want one")
	}
}

// comparePicture reads file as a reference and compares its pixels with want. Reading puts transparent parts on white
// and crops the 65th column.
func comparePicture(t *testing.T, file []byte, want *image.NRGBA) {
	t.Helper()
	have, err := picture.Decode(t.Context(), file)
	if err != nil {
		t.Fatal(err)
	}
	if have.Original.Width != want.Rect.Dx() || have.Original.Height != want.Rect.Dy() {
		t.Fatalf("%v pixels, want %v", have.Original, want.Rect)
	}
	for y := range have.Size.Height {
		for x := range have.Size.Width {
			c := want.NRGBAAt(x, y)
			p := have.Image.RGBAAt(have.Image.Rect.Min.X+x, have.Image.Rect.Min.Y+y)
			for i, pair := range [3][2]uint8{{p.R, c.R}, {p.G, c.G}, {p.B, c.B}} {
				onWhite := (int(pair[1])*int(c.A) + 255*(255-int(c.A)) + 127) / 255
				if d := int(pair[0]) - onWhite; d < -1 || d > 1 {
					t.Fatalf("pixel %d,%d channel %d: %d, want %d", x, y, i, pair[0], onWhite)
				}
			}
		}
	}
}
