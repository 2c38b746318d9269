package picture

import (
	"bytes"
	"encoding/binary"
	"image"
	"image/color"
	"image/jpeg"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
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
	meta := example().WithoutFolders()
	meta.Prompt = "ein Füchschen, 狐 \U0001f98a <&>\n\"quoted\""
	for _, name := range []string{"a.png", "b.JPG", "c.jpeg", "d.webp", "a.png"} { // the last one replaces the first
		if err := WriteCopy(filepath.Join(dir, name), img, meta, CopyOptions{}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range []string{"a.png", "b.JPG", "c.jpeg", "d.webp"} {
		if got, err := ReadMetadataFile(filepath.Join(dir, name)); err != nil || !reflect.DeepEqual(got, meta) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	lossless, err := webp.Decode(bytes.NewReader(content(t, filepath.Join(dir, "d.webp"))))
	if err != nil || worst(img, lossless) != 0 {
		t.Errorf("WebP: %v; it is lossless", err)
	}
	// A JPEG of quality 95 of a smooth picture differs by a few levels.
	lossy, err := jpeg.Decode(bytes.NewReader(content(t, filepath.Join(dir, "b.JPG"))))
	if err != nil || worst(img, lossy) > 12 {
		t.Errorf("JPEG: %v, off by %v levels", err, worst(img, lossy))
	}
	for _, name := range []string{"e.gif", "f", "no/such/folder.png"} {
		if err := WriteCopy(filepath.Join(dir, name), img, meta, CopyOptions{}); err == nil {
			t.Errorf("%s was written", name)
		}
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 4 {
		t.Errorf("%d files, %v, want the 4 that were written", len(files), err)
	}
}

// TestExifForOthers checks that a JPEG or WebP file contains the text that other programs look for, that its Exif block
// follows the standard, and that the picture can still be decoded.
func TestExifForOthers(t *testing.T) {
	meta := example()
	for _, prompt := range []string{"a fox", "a fox, füchse, 狐"} {
		meta.Prompt = prompt
		block, err := meta.exif(maxExifBytes)
		if err != nil {
			t.Fatal(err)
		}
		fields := exifFields(block)
		if got := userComment(fields[tagUserComment]); got != meta.parameters() {
			t.Errorf("UserComment %q, want %q", got, meta.parameters())
		}
		if got := string(fields[tagSoftware]); got != "Kleinbild 1.2.3\x00" {
			t.Errorf("Software %q", got)
		}
		for _, b := range fields[tagImageDescription] {
			if b >= 0x80 {
				t.Fatalf("ImageDescription %q, want ASCII", fields[tagImageDescription])
			}
		}
		if got := exifOrientation(block); got != upright {
			t.Errorf("orientation %v", got)
		}
	}
	// If not everything fits into a JPEG, Kleinbild's own text is kept. If that does not fit either, CheckFits refuses it.
	for _, row := range []struct {
		bytes            int
		comment, refused bool
	}{{20_000, true, false}, {50_000, false, false}, {66_000, false, true}} {
		meta.Prompt = strings.Repeat("x", row.bytes)
		block, err := meta.exif(maxExifBytes)
		if (err != nil) != row.refused || err == nil && (exifFields(block)[tagUserComment] != nil) != row.comment {
			t.Errorf("prompt of %d bytes: block of %d, %v", row.bytes, len(block), err)
		}
		err = CheckFits("x.jpg", meta, 0)
		if (err != nil) != row.refused || err != nil && !strings.Contains(err.Error(), ".png takes more") {
			t.Errorf("prompt of %d bytes: %v", row.bytes, err)
		}
		for _, name := range []string{"x.webp", "x.png"} {
			if err := CheckFits(name, meta, 0); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

// TestWebPWithAlpha checks the alpha flag in the header of an extended file.
func TestWebPWithAlpha(t *testing.T) {
	for _, alpha := range []uint8{255, 100} {
		img := image.NewRGBA(image.Rect(0, 0, 33, 17))
		for i := range img.Pix {
			img.Pix[i] = alpha
		}
		var file bytes.Buffer
		meta := example()
		if err := encodeWebP(&file, img, &meta, lossless); err != nil {
			t.Fatal(err)
		}
		got, err := webp.Decode(bytes.NewReader(file.Bytes()))
		if err != nil || got.Bounds() != img.Rect || worst(img, got) != 0 {
			t.Errorf("alpha %d: %v", alpha, err)
		}
		if size := binary.LittleEndian.Uint32(file.Bytes()[4:]); int(size) != file.Len()-8 || size%2 != 0 {
			t.Errorf("RIFF of %d bytes in a file of %d", size, file.Len())
		}
	}
}

// worst returns the largest difference between the levels of two pictures.
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

// TestJPEGWithPadding checks that metadata is found behind bytes of 0xff before a marker, which the format allows.
func TestJPEGWithPadding(t *testing.T) {
	var file bytes.Buffer
	if err := Encode(&file, image.NewRGBA(image.Rect(0, 0, 64, 64)), example(), ".jpg", 90); err != nil {
		t.Fatal(err)
	}
	for _, padding := range []int{0, 1, 5} {
		padded := slices.Concat(file.Bytes()[:2], bytes.Repeat([]byte{0xff}, padding), file.Bytes()[2:])
		meta, err := ReadMetadata(bytes.NewReader(padded))
		if err != nil || meta.Prompt != example().Prompt {
			t.Errorf("%d bytes of padding: %q, %v", padding, meta.Prompt, err)
		}
	}
	padded := slices.Concat(file.Bytes()[:2], bytes.Repeat([]byte{0xff}, 9))
	if _, err := ReadMetadata(bytes.NewReader(padded)); err == nil {
		t.Error("a file that ends in padding was read")
	}
}
