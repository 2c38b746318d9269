package picture

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"golang.org/x/image/tiff"
)

// TestTIFFKeepsEverything writes pictures of every kind as TIFF, and reads them again with this package and with
// golang.org/x/image/tiff: levels, profile, Exif data and metadata are those of the source.
func TestTIFFKeepsEverything(t *testing.T) {
	for _, row := range []struct {
		name          string
		profile, exif bool
		other         bool // package tiff reads it, too
	}{
		{"420.jpg", false, false, true}, {"gray.jpg", false, false, true}, {"turned-6-exif.jpg", true, true, true},
		{"adobe.jpg", true, true, true}, {"alpha.png", false, false, true}, {"gray-alpha.png", false, false, false},
		{"lossless.webp", true, true, true}, {"gray16.png", false, false, true}, {"gray-alpha16.png", false, false, false},
		{"rgb16.png", false, false, true}, {"p3-16.png", true, false, true}, {"rgba16.png", false, false, true},
		{"rgb16.tif", false, true, true}, {"rgba16.tif", false, true, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			path := filepath.Join(originals, row.name)
			o, err := OpenOriginal(t.Context(), path)
			if err != nil {
				t.Fatal(err)
			}
			written := filepath.Join(t.TempDir(), "x.tif")
			if err := WriteCopy(written, o, example(), CopyOptions{}); err != nil {
				t.Fatal(err)
			}
			file := content(t, written)
			again, err := OpenOriginal(t.Context(), written)
			if err != nil {
				t.Fatal(err)
			}
			compareLevels(t, again.Pixels, o.Pixels)
			if again.Depth() != o.Depth() || !o.alpha && again.Gray() != o.Gray() || again.alpha != o.alpha ||
				again.Profile != o.Profile {
				t.Errorf("depth %d, gray %v, alpha %v, profile %q; want those of %+v", again.Depth(), again.Gray(), again.alpha,
					again.Profile, o)
			}
			if got := tiffColours(file).icc; (got != nil) != row.profile || !bytes.Equal(got, o.profileToWrite()) {
				t.Errorf("a profile of %d bytes, want the file's of %d", len(got), len(o.profileToWrite()))
			}
			e, ok := newExif(file)
			if !ok {
				t.Fatal("no TIFF header")
			}
			if made := e.bytes(e.entry(e.first(), tagMake)); (made != nil) != row.exif {
				t.Errorf("maker %q, want that of the file: %v", made, row.exif)
			}
			if meta, err := ReadMetadataFile(written); err != nil || !reflect.DeepEqual(meta, example().WithoutFolders()) {
				t.Errorf("metadata %+v, %v", meta, err)
			}
			other, err := tiff.Decode(bytes.NewReader(file))
			var unsupported tiff.UnsupportedError
			switch {
			case err == nil:
				compareLevels(t, other, o.Pixels)
			case row.other || !errors.As(err, &unsupported):
				t.Error(err)
			}
		})
	}
}

// TestTIFFOfResults writes what the model makes, of sizes that fill the last strip in part, in one strip and in many.
func TestTIFFOfResults(t *testing.T) {
	for _, size := range []image.Point{{1, 1}, {33, 31}, {17, 64}, {127, 65}, {5, 4097}} {
		img := image.NewRGBA(image.Rectangle{Max: size})
		for i := range img.Pix {
			img.Pix[i] = uint8(i * i / 7)
			if i%4 == 3 {
				img.Pix[i] = 255
			}
		}
		var file bytes.Buffer
		if err := Encode(&file, img, example(), ".tiff", 1); err != nil {
			t.Fatal(err)
		}
		got, err := tiff.Decode(bytes.NewReader(file.Bytes()))
		if err != nil || got.Bounds() != img.Rect || worst(img, got) != 0 {
			t.Errorf("%v: %v, or other levels", size, err)
		}
	}
	if err := Encode(new(bytes.Buffer), image.NewRGBA(image.Rectangle{}), example(), ".tif", 1); err == nil {
		t.Error("a picture without pixels was written")
	}
}

// TestBareCopies: a copy without prompt and settings has neither, in any format, but it has the profile and the Exif
// data of the photo. The settings of an earlier picture, from which the photo was made, are gone, too.
func TestBareCopies(t *testing.T) {
	dir := t.TempDir()
	meta := example()
	meta.Prompt = "unmistakable"
	photo, err := OpenOriginal(t.Context(), filepath.Join(originals, "adobe.jpg"))
	if err != nil {
		t.Fatal(err)
	}
	// A photo that was edited and saved as JPEG has the settings in its Exif block; now that is edited.
	edited := filepath.Join(dir, "edited.jpg")
	if err := WriteCopy(edited, photo, meta, CopyOptions{}); err != nil {
		t.Fatal(err)
	}
	if photo, err = OpenOriginal(t.Context(), edited); err != nil {
		t.Fatal(err)
	}
	for _, img := range []image.Image{photo, cornered()} {
		for _, extension := range []string{".png", ".jpg", ".webp", ".tif"} {
			name := fmt.Sprintf("%T%s", img, extension)
			path := filepath.Join(dir, "bare"+extension)
			if err := WriteCopy(path, img, meta, CopyOptions{Bare: true, Quality: 90}); err != nil {
				t.Fatal(err)
			}
			file := content(t, path)
			for _, secret := range []string{"unmistakable", "u\x00n\x00m\x00i", "Kleinbild", "Sampler"} {
				if bytes.Contains(file, []byte(secret)) {
					t.Errorf("%s: has %q", name, secret)
				}
			}
			if _, err := ReadOriginFile(path); !errors.Is(err, ErrNoMetadata) {
				t.Errorf("%s: %v, want no metadata", name, err)
			}
			again, err := OpenOriginal(t.Context(), path)
			if err != nil {
				if o, ok := img.(*Original); ok {
					t.Fatalf("%s of %v: %v", name, o.Size, err)
				}
				continue // of one pixel
			}
			if img == image.Image(photo) && (again.Profile != photo.Profile || again.carried.exif == nil) {
				t.Errorf("%s: profile %q, Exif of %d bytes, want the photo's", name, again.Profile, len(again.carried.exif))
			}
		}
	}
}

// TestEditsOfEdits: an edit of an edit reads back with its own settings, and neither it nor a bare copy of it contains
// those of the first edit, also if the photo has a caption.
func TestEditsOfEdits(t *testing.T) {
	photo, err := OpenOriginal(t.Context(), filepath.Join(originals, "adobe.jpg"))
	if err != nil {
		t.Fatal(err)
	}
	captioned := photo.With(photo.Pixels)
	captioned.carried.exif = layExif([]exifEntry{{tagImageDescription, typeASCII, []byte("my dog\x00")}}, nil)
	first, second := example(), example()
	first.Prompt, second.Prompt = "unmistakable", "a second fox"
	secrets := []string{"unmistakable", "u\x00n\x00m\x00i"}
	for _, from := range []string{".jpg", ".webp", ".tif"} {
		for _, to := range []string{".jpg", ".webp", ".tif"} {
			for _, o := range []*Original{photo, captioned} {
				dir := t.TempDir()
				edit, again := filepath.Join(dir, "edit"+from), filepath.Join(dir, "again"+to)
				bare := filepath.Join(dir, "bare"+to)
				write := func(path string, img *Original, meta Metadata, options CopyOptions) *Original {
					if err := WriteCopy(path, img, meta, options); err != nil {
						t.Fatal(err)
					}
					written, err := OpenOriginal(t.Context(), path)
					if err != nil {
						t.Fatal(err)
					}
					return written
				}
				edited := write(again, write(edit, o, first, CopyOptions{}), second, CopyOptions{})
				write(bare, edited, second, CopyOptions{Bare: true})
				if meta, err := ReadMetadataFile(again); err != nil || meta.Prompt != second.Prompt {
					t.Errorf("%s of %s: prompt %q, %v", to, from, meta.Prompt, err)
				}
				for _, text := range exifTextsOf(t, again) {
					if text.keyword == keywordParameters && !strings.Contains(text.value, second.Prompt) {
						t.Errorf("%s of %s: other programs read %q", to, from, text.value)
					}
				}
				for path, has := range map[string][]string{again: secrets, bare: append(secrets, second.Prompt)} {
					for _, secret := range has {
						if bytes.Contains(content(t, path), []byte(secret)) {
							t.Errorf("%s of %s: has %q", filepath.Base(path), from, secret)
						}
					}
					if o == captioned && !bytes.Contains(content(t, path), []byte("my dog")) {
						t.Errorf("%s of %s: the caption is gone", filepath.Base(path), from)
					}
				}
			}
		}
	}
}

// exifTextsOf returns the texts in the Exif block of a file.
func exifTextsOf(t *testing.T, path string) []text {
	file := content(t, path)
	f, err := recognise(file)
	if err != nil {
		t.Fatal(err)
	}
	read := map[string]func(io.Reader) ([]text, error){"JPEG": jpegTexts, "WebP": webpTexts, "TIFF": tiffTexts}[f.name]
	texts, err := read(bytes.NewReader(file))
	if err != nil || len(texts) < 2 {
		t.Errorf("%s: %d texts, %v, want Kleinbild's and that for other programs", path, len(texts), err)
	}
	return texts
}

// TestLargePartsHideNoSettings: the settings of a TIFF or WebP file are found if its profile and the photo's Exif block
// are as large as may be.
func TestLargePartsHideNoSettings(t *testing.T) {
	photo, err := OpenOriginal(t.Context(), filepath.Join(originals, "adobe.jpg"))
	if err != nil {
		t.Fatal(err)
	}
	large := photo.With(photo.Pixels)
	large.carried.icc = append(bytes.Clone(photo.carried.icc), make([]byte, maxProfileBytes-len(photo.carried.icc))...)
	large.carried.exif = layExif([]exifEntry{{0x013b, typeASCII, make([]byte, maxCarriedExif-1000)}}, nil)
	for _, extension := range []string{".tif", ".webp"} {
		var file bytes.Buffer
		if err := Encode(&file, large, example(), extension, 95); err != nil {
			t.Fatal(err)
		}
		if file.Len() < maxProfileBytes+maxCarriedExif-1000 {
			t.Fatalf("%s: %d bytes, want those of the profile and of the Exif block", extension, file.Len())
		}
		if meta, err := ReadMetadata(bytes.NewReader(file.Bytes())); err != nil || meta.Prompt != example().Prompt {
			t.Errorf("%s: prompt %q, %v", extension, meta.Prompt, err)
		}
		if extension == ".tif" && !bytes.Equal(tiffColours(file.Bytes()).icc, large.carried.icc) {
			t.Error("the profile has changed")
		}
	}
}

// TestQualityOfCopies: a lower quality gives a smaller file, WebP of 100 loses nothing, PNG and TIFF never do.
func TestQualityOfCopies(t *testing.T) {
	dir := t.TempDir()
	img := grainy(190, 130, false)
	size := func(extension string, quality int) int64 {
		t.Helper()
		path := filepath.Join(dir, "x"+extension)
		if err := WriteCopy(path, img, example(), CopyOptions{Quality: quality}); err != nil {
			t.Fatal(err)
		}
		got, err := OpenOriginal(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		if meta, err := ReadMetadataFile(path); err != nil || meta.Seed != example().Seed {
			t.Errorf("%s of %d: metadata %v", extension, quality, err)
		}
		exact := worst(img, got) == 0
		if want := strings.Contains(".png .tif", extension) || extension == ".webp" && quality%100 == 0; exact != want {
			t.Errorf("%s of %d: exact %v, want %v", extension, quality, exact, want)
		}
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	for _, extension := range []string{".jpg", ".webp"} {
		low, middle, high := size(extension, 30), size(extension, 80), size(extension, 95)
		if low >= middle || middle >= high {
			t.Errorf("%s: %d, %d and %d bytes, want more with each quality", extension, low, middle, high)
		}
		usual := map[string]int{".jpg": JPEGQuality, ".webp": lossless}[extension]
		if a, b := size(extension, 0), size(extension, usual); a != b {
			t.Errorf("%s: %d bytes without a quality, want the %d of %d", extension, a, b, usual)
		}
	}
	size(".png", 50)
	size(".tif", 50)
	for _, quality := range []int{-1, 101} {
		if err := WriteCopy(filepath.Join(dir, "y.jpg"), img, example(), CopyOptions{Quality: quality}); err == nil {
			t.Errorf("quality %d was taken", quality)
		}
	}
}

// TestLossyWebP keeps the alpha channel, the profile and the Exif data beside a lossy picture.
func TestLossyWebP(t *testing.T) {
	for name, alpha := range map[string]bool{"lossless.webp": true, "adobe.jpg": false, "alpha.png": true} {
		o, err := OpenOriginal(t.Context(), filepath.Join(originals, name))
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "x.webp")
		if err := WriteCopy(path, o, example(), CopyOptions{Quality: 90}); err != nil {
			t.Fatal(err)
		}
		again, err := OpenOriginal(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		if again.Profile != o.Profile || again.Opaque() == alpha || webpChunk(content(t, path), "VP8 ") == nil {
			t.Errorf("%s: profile %q, opaque %v, want %q and %v", name, again.Profile, again.Opaque(), o.Profile, !alpha)
		}
	}
}
