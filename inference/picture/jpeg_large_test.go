package picture

import (
	"context"
	"encoding/binary"
	"errors"
	"image"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/kleinbild/kleinbild/inference/picture/jpegrows"
	"github.com/kleinbild/kleinbild/inference/picture/jpegrows/jpegtest"
)

func anySize(Size) error { return nil }

// openByRows opens a JPEG file of any size for decoding by rows.
func openByRows(t *testing.T, file []byte) *largeJPEG {
	t.Helper()
	f, err := recognise(file)
	if err != nil {
		t.Fatal(err)
	}
	large, err := newLargeJPEG(f, file, 0, anySize)
	if err != nil || large == nil {
		t.Fatalf("%v, %v, want the file read by rows", large, err)
	}
	return large
}

// TestJPEGByRowsIsTheReferences compares with the small pictures that the reference implementation has prepared. All
// levels must be equal; those of pictures with a profile may differ by one.
func TestJPEGByRowsIsTheReferences(t *testing.T) {
	compared := 0
	for _, folder := range append(goldenFolders(t, "prepare"), kindFolders(t)...) {
		list, err := filepath.Glob(filepath.Join(folder, "*.jpg.expected.png"))
		if err != nil {
			t.Fatal(err)
		}
		for _, expected := range list {
			path := strings.TrimSuffix(expected, ".expected.png")
			file, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			large := openByRows(t, file)
			img, converted, err := large.scaled(t.Context(), large.format.colour(file), large.size().fit(MaxArea))
			if err != nil {
				t.Errorf("%s: %v", path, err)
				continue
			}
			got, want := crop(large.format.orientation(file).apply(img)), crop(readPNG(t, expected))
			if got.Rect != want.Rect {
				t.Errorf("%s: %v, want %v", path, got.Rect, want.Rect)
				continue
			}
			most := 0
			if converted.to != nil {
				most = 1
			}
			if mean, worst, at := difference(got, want); worst > most {
				t.Errorf("%s: %d levels off at %v, %.3f in the mean, want at most %d", path, worst, at, mean, most)
			}
			compared++
		}
	}
	if compared < 10 {
		t.Errorf("%d pictures compared, want some", compared)
	}
}

// TestLargeJPEGIsPreparedAsAWholeOne compares a large picture that several goroutines decode and scale in bands with
// the same picture decoded first and scaled then. All levels must be equal. The levels of package image/jpeg are close:
// its inverse DCT and its interpolation round differently, each by one level, and a level of chroma counts up to 1.8
// times in RGB.
func TestLargeJPEGIsPreparedAsAWholeOne(t *testing.T) {
	profile := func(name string) string {
		file, err := os.ReadFile(filepath.Join("testdata", "kinds", name))
		if err != nil {
			t.Fatal(err)
		}
		return jpegSegment(app2, "ICC_PROFILE\x00\x01\x01"+string(jpegColours(file).icc))
	}
	rotated := jpegSegment(app1, "Exif\x00\x00"+string(exifBlock(binary.BigEndian, "MM\x00*", 0x0112, 3, 6)))
	const gray, full, halved = 1, 2, 4 // largest differences from package image/jpeg, in levels
	for _, row := range []struct {
		name        string
		size        Size
		factors     []byte
		progressive bool
		segments    string
		atMost      int
	}{
		{"gray", Size{4001, 2003}, []byte{0x11}, false, "", gray},
		{"4:2:0, rotated", Size{2003, 4001}, []byte{0x22, 0x11, 0x11}, true, rotated, halved},
		{"4:2:2", Size{4001, 2003}, []byte{0x21, 0x11, 0x11}, false, "", halved},
		{"Display P3", Size{4001, 2003}, []byte{0x11, 0x11, 0x11}, true, profile("profile-display-p3.jpg"), full},
		{"CMYK", Size{4001, 2003}, []byte{0x11, 0x11, 0x11, 0x11}, false, jpegtest.Adobe(0), full},
		{"CMYK with a profile", Size{4001, 2003}, []byte{0x11, 0x11, 0x11, 0x11}, true,
			jpegtest.Adobe(2) + profile("profile-cmyk.jpg"), full},
	} {
		t.Run(row.name, func(t *testing.T) {
			file := jpegtest.File{
				Width: row.size.Width, Height: row.size.Height, Factors: row.factors, Progressive: row.progressive,
				Segments: row.segments, Coefficients: jpegtest.Photo,
			}.Encode()
			ref, err := Decode(t.Context(), file)
			if err != nil {
				t.Fatal(err)
			}
			large := openByRows(t, file)
			tags, turn := large.format.colour(file), large.format.orientation(file)
			compare := func(name string, decoded image.Image, atMost int) {
				img, converted, err := prepareWhole(t.Context(), decoded, tags, row.size, row.size.fit(MaxArea))
				if err != nil {
					t.Fatal(err)
				}
				if converted.name != ref.Profile || converted.note != ref.ProfileNote {
					t.Errorf("profile %q %q, want %q %q", ref.Profile, ref.ProfileNote, converted.name, converted.note)
				}
				mean, worst, at := difference(ref.Image, crop(turn.apply(img)))
				t.Logf("%s: mean %.3f, worst %d", name, mean, worst)
				if worst > atMost {
					t.Errorf("%s: %d levels off at %v, want at most %d", name, worst, at, atMost)
				}
			}
			compare("decoded first", wholeByRows(t, large, tags), 0)
			byJPEG, err := jpegDecode(t.Context(), file)
			if err != nil {
				t.Fatal(err)
			}
			compare("decoded by package image/jpeg", byJPEG, row.atMost)

			_, err = Decode(t.Context(), file[:len(file)*9/10])
			if !errors.Is(err, io.ErrUnexpectedEOF) || err.Error() != "picture: JPEG: the file ends too early" {
				t.Errorf("nine tenths of the file: %v, want that it ends too early", err)
			}
		})
	}
}

// wholeByRows decodes a whole picture with package jpegrows.
func wholeByRows(t *testing.T, large *largeJPEG, tags colourTags) image.Image {
	t.Helper()
	d := large.NewDecoder(1)
	c, scratch := d.NewCoefficients(), d.NewScratch()
	canvas := image.Rect(0, 0, large.Width, large.Height)
	img := image.NewRGBA(canvas)
	for d.Next(c) {
		for part := range d.Parts() {
			if err := d.Read(c, part); err != nil {
				t.Fatal(err)
			}
		}
		for row := range c.Rows() {
			d.Transform(c, row)
		}
		first, end := d.Ready(c)
		for y := first; y < end; y++ {
			d.Row(y, img.Pix[y*img.Stride:(y+1)*img.Stride], scratch)
		}
		d.Advance(c)
	}
	switch {
	case large.Kind == jpegrows.CMYK && tags.icc != nil:
		return &image.CMYK{Pix: img.Pix, Stride: img.Stride, Rect: canvas}
	case large.Kind == jpegrows.CMYK:
		cmykToRGB(img.Pix)
		for i := 3; i < len(img.Pix); i += 4 {
			img.Pix[i] = 255
		}
	case large.Kind == jpegrows.Gray:
		gray := image.NewGray(canvas)
		for i := range gray.Pix {
			gray.Pix[i] = img.Pix[4*i]
		}
		return gray
	}
	return img
}

// TestLargeJPEGEndsWithItsContext checks that a cancellation takes effect between two bands.
func TestLargeJPEGEndsWithItsContext(t *testing.T) {
	file := jpegtest.File{
		Width: 8000, Height: 8000, Factors: []byte{0x22, 0x11, 0x11}, Repeat: true, Coefficients: jpegtest.Photo,
	}
	large := openByRows(t, file.Encode())
	ctx, cancel := context.WithCancel(t.Context())
	var rows atomic.Int64
	_, err := large.scaleRows(ctx, Size{1024, 1024}, func() func([]uint8) {
		return func([]uint8) {
			if rows.Add(1) == 1 {
				cancel()
			}
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want the context's error", err)
	}
	if rows.Load() > 100 {
		t.Errorf("%d rows were made, want at most those of one band", rows.Load())
	}
}
