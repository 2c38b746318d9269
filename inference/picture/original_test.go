package picture

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const originals = "testdata/originals"

// levelsOf returns all samples of a picture with 16 bits each, as its file has them: RGB and alpha.
func levelsOf(img image.Image) []uint16 {
	b := img.Bounds()
	var levels []uint16
	for y := b.Min.Y; y < b.Max.Y; y++ {
		for x := b.Min.X; x < b.Max.X; x++ {
			c := color.NRGBA64{}
			switch img := img.(type) {
			case *image.NRGBA64:
				c = img.NRGBA64At(x, y)
			case *image.NRGBA:
				n := img.NRGBAAt(x, y)
				c = color.NRGBA64{uint16(n.R) * 257, uint16(n.G) * 257, uint16(n.B) * 257, uint16(n.A) * 257}
			default:
				c = color.NRGBA64Model.Convert(img.At(x, y)).(color.NRGBA64)
			}
			levels = append(levels, c.R, c.G, c.B, c.A)
		}
	}
	return levels
}

// compareLevels fails at the first sample that differs.
func compareLevels(t *testing.T, got, want image.Image) {
	t.Helper()
	if got.Bounds() != want.Bounds() {
		t.Fatalf("%v, want %v", got.Bounds(), want.Bounds())
	}
	g, w := levelsOf(got), levelsOf(want)
	for i := range w {
		if g[i] != w[i] {
			width := got.Bounds().Dx()
			t.Fatalf("pixel (%d, %d) sample %d: %#04x, want %#04x", i/4%width, i/4/width, i%4, g[i], w[i])
		}
	}
}

func decodePNG(t *testing.T, file []byte) image.Image {
	t.Helper()
	img, err := png.Decode(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// formula16 is the picture that tools/reference/originals.py writes with 16 bits.
func formula16(width, height, channels int) image.Image {
	if channels == 1 {
		img := image.NewGray16(image.Rect(0, 0, width, height))
		for y := range height {
			for x := range width {
				img.SetGray16(x, y, color.Gray16{uint16(x*701 + y*977)})
			}
		}
		return img
	}
	img := image.NewNRGBA64(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			at := func(c int) uint16 { return uint16(x*701 + y*977 + c*12289) }
			switch channels {
			case 2:
				img.SetNRGBA64(x, y, color.NRGBA64{at(0), at(0), at(0), at(1)})
			case 3:
				img.SetNRGBA64(x, y, color.NRGBA64{at(0), at(1), at(2), 0xffff})
			case 4:
				img.SetNRGBA64(x, y, color.NRGBA64{at(0), at(1), at(2), at(3)})
			}
		}
	}
	return img
}

// TestOriginalsKeepTheirLevels reads pictures of every kind, compares their levels with those that Pillow reads, or
// with the formula that made them, writes them as PNG, and compares again.
func TestOriginalsKeepTheirLevels(t *testing.T) {
	const width, height = 93, 71
	clockwise := func(img image.Image) image.Image {
		dst, err := turned(t.Context(), img, 6)
		if err != nil {
			t.Fatal(err)
		}
		return dst
	}
	for _, row := range []struct {
		name          string
		depth, kind   byte // of the written PNG
		want          image.Image
		profile, exif bool
	}{
		{"420.jpg", 8, pngRGB, nil, false, false},
		{"422.jpg", 8, pngRGB, nil, false, false},
		{"444-progressive.jpg", 8, pngRGB, nil, false, false},
		{"gray.jpg", 8, pngGray, nil, false, false},
		{"turned-6-exif.jpg", 8, pngRGB, nil, true, true},
		{"adobe.jpg", 8, pngRGB, nil, true, true},
		{"cmyk.jpg", 8, pngRGB, nil, false, false},
		{"p3.png", 8, pngRGB, nil, true, true},
		{"alpha.png", 8, pngRGBA, nil, false, false},
		{"gray-alpha.png", 8, pngGrayAlpha, nil, false, false},
		{"gray.png", 8, pngGray, nil, false, false},
		{"palette.png", 8, pngRGB, nil, false, false},
		{"lossless.webp", 8, pngRGBA, nil, true, true},
		{"plain.bmp", 8, pngRGB, nil, false, false},
		{"plain.tif", 8, pngRGB, nil, false, false},
		{"gray16.png", 16, pngGray, formula16(width, height, 1), false, false},
		{"gray-alpha16.png", 16, pngGrayAlpha, formula16(width, height, 2), false, false},
		{"rgb16.png", 16, pngRGB, formula16(width, height, 3), false, false},
		{"p3-16.png", 16, pngRGB, formula16(width, height, 3), true, false},
		{"rgba16.png", 16, pngRGBA, formula16(width, height, 4), false, false},
		{"rgb16.tif", 16, pngRGB, clockwise(formula16(width, height, 3)), false, true},
		{"rgba16.tif", 16, pngRGBA, clockwise(formula16(width, height, 4)), false, true},
		{"gray16.tif", 16, pngGray, clockwise(formula16(width, height, 1)), false, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			path := filepath.Join(originals, row.name)
			o, err := OpenOriginal(t.Context(), path)
			if err != nil {
				t.Fatal(err)
			}
			want := row.want
			if want == nil {
				file, err := os.ReadFile(path + ".levels.png")
				if err != nil {
					t.Fatal(err)
				}
				want = decodePNG(t, file)
			}
			compareLevels(t, o.Pixels, want)
			if row.depth != byte(o.Depth()) {
				t.Errorf("depth %d, want %d", o.Depth(), row.depth)
			}
			var file bytes.Buffer
			if err := EncodePNG(&file, o, Metadata{Prompt: "a fox"}); err != nil {
				t.Fatal(err)
			}
			compareLevels(t, decodePNG(t, file.Bytes()), want)
			if found := file.Bytes()[24:26]; found[0] != row.depth || found[1] != row.kind {
				t.Errorf("PNG of depth and kind %v, want %d and %d", found, row.depth, row.kind)
			}
			checkCarried(t, path, file.Bytes(), row.profile, row.exif, o.Size)
			if meta, err := ReadMetadata(bytes.NewReader(file.Bytes())); err != nil || meta.Prompt != "a fox" {
				t.Errorf("metadata %v, %v", meta, err)
			}
			again, err := DecodeOriginal(t.Context(), file.Bytes())
			if err != nil {
				t.Fatal(err)
			}
			compareLevels(t, again.Pixels, want)
			if again.Profile != o.Profile || again.ProfileNote != o.ProfileNote {
				t.Errorf("profile %q %q, want %q %q", again.Profile, again.ProfileNote, o.Profile, o.ProfileNote)
			}
		})
	}
}

// TestPartsAreScaledAsPillowScalesThem enlarges and reduces a rectangle of a picture.
func TestPartsAreScaledAsPillowScalesThem(t *testing.T) {
	o, err := OpenOriginal(t.Context(), filepath.Join(originals, "420.jpg"))
	if err != nil {
		t.Fatal(err)
	}
	for name, size := range map[string]Size{"part-enlarged": {160, 144}, "part-reduced": {32, 16}} {
		got, err := o.SRGB(t.Context(), image.Rect(13, 9, 60, 50), size)
		if err != nil {
			t.Fatal(err)
		}
		compareLevels(t, got, readPNG(t, filepath.Join(originals, name+".levels.png")))
	}
}

// TestPlacedIsAWindowOfTheScaledPicture compares windows with the same pixels of the whole scaled picture, and a piece
// of a picture with the whole one, away from the piece's border.
func TestPlacedIsAWindowOfTheScaledPicture(t *testing.T) {
	img := grainy(93, 71, false)
	full := Size{93, 71}
	for _, to := range []Size{{93, 71}, {200, 150}, {40, 33}, {93, 142}} {
		whole := image.Rect(0, 0, to.Width, to.Height)
		scaled, err := Placed(t.Context(), img, full, img.Rect, to, whole)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range []image.Rectangle{
			whole, image.Rect(0, 0, 1, 1), image.Rect(to.Width-5, to.Height-9, to.Width, to.Height), whole.Inset(7),
		} {
			got, err := Placed(t.Context(), img, full, img.Rect, to, r)
			if err != nil {
				t.Fatal(err)
			}
			want := image.NewRGBA(got.Rect)
			draw.Draw(want, want.Rect, scaled, r.Min, draw.Src)
			compareLevels(t, got, want)
		}
		piece := image.NewRGBA(image.Rect(0, 0, 60, 50))
		draw.Draw(piece, piece.Rect, img, image.Pt(10, 11), draw.Src)
		inner := image.Rect(25*to.Width/93, 26*to.Height/71, 55*to.Width/93, 46*to.Height/71)
		got, err := Placed(t.Context(), piece, full, image.Rect(10, 11, 70, 61), to, inner)
		if err != nil {
			t.Fatal(err)
		}
		want := image.NewRGBA(got.Rect)
		draw.Draw(want, want.Rect, scaled, inner.Min, draw.Src)
		compareLevels(t, got, want)
	}
}

// TestResolutionIsKept checks that a print keeps its size: the density of JFIF and of PNG go into the PNG.
func TestResolutionIsKept(t *testing.T) {
	file, err := os.ReadFile(filepath.Join(originals, "420.jpg"))
	if err != nil {
		t.Fatal(err)
	}
	copy(file[13:], []byte{1, 300 >> 8, 300 & 255, 300 >> 8, 300 & 255}) // dots in an inch, behind JFIF's version
	for range 2 {
		o, err := DecodeOriginal(t.Context(), file)
		if err != nil {
			t.Fatal(err)
		}
		var written bytes.Buffer
		if err := EncodePNG(&written, o, Metadata{}); err != nil {
			t.Fatal(err)
		}
		file = written.Bytes()
		found := []byte(nil)
		for kind, data := range pngChunks(file) {
			if kind == "pHYs" {
				found = data
			}
		}
		if want := []byte{0, 0, 0x2e, 0x23, 0, 0, 0x2e, 0x23, 1}; !bytes.Equal(found, want) {
			t.Errorf("pHYs %v, want %v", found, want)
		}
	}
}

// TestMasksMayBeSmall reads a mask of one pixel, which is no original.
func TestMasksMayBeSmall(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mask.png")
	if _, err := Write(path, image.NewGray(image.Rect(0, 0, 1, 1)), Metadata{}, Refuse); err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	opened, err := OpenMask(t.Context(), path)
	if err != nil || opened.Size != (Size{1, 1}) {
		t.Fatalf("%v, %v", opened, err)
	}
	if decoded, err := DecodeMask(t.Context(), file); err != nil || decoded.FileSHA256 != opened.FileSHA256 {
		t.Errorf("%v, %v", decoded, err)
	}
	if _, err := DecodeOriginal(t.Context(), file); err == nil {
		t.Error("an original of one pixel was accepted")
	}
	// Such a mask once took gigabytes and many minutes, from a file of 54 kB.
	for _, size := range []Size{{MaxPixels, 1}, {1, MaxPixels}, {MaxMaskSide + 1, 2}} {
		if err := checkMask(size, MaxPixels); !errors.Is(err, ErrSize) {
			t.Errorf("a mask of %v: %v, want an error for its size", size, err)
		}
	}
	if err := checkMask(Size{1, MaxMaskSide}, MaxPixels); err != nil {
		t.Error(err)
	}
	if checkMask(Size{20_000, 20_000}, MaxPixels) == nil {
		t.Error("a mask of 400 megapixels was accepted")
	}
}

// TestTenBitsAreKept reads an AVIF of 10 bits in Display P3, declared by code points, and compares its levels with
// those of avifdec (libavif 0.11.1), before and after they are written as PNG of 16 bits.
func TestTenBitsAreKept(t *testing.T) {
	path := filepath.Join(originals, "ten-bit.avif")
	o, err := OpenOriginal(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(path + ".levels.png")
	if err != nil {
		t.Fatal(err)
	}
	want := decodePNG(t, file)
	compareLevels(t, o.Pixels, want)
	different := map[uint16]bool{}
	for _, v := range levelsOf(o.Pixels) {
		different[v] = true
	}
	if o.Depth() != 16 || len(different) < 1000 || o.Profile != "Display P3" {
		t.Errorf("depth %d, %d levels, profile %q", o.Depth(), len(different), o.Profile)
	}
	var written bytes.Buffer
	if err := EncodePNG(&written, o, Metadata{}); err != nil {
		t.Fatal(err)
	}
	compareLevels(t, decodePNG(t, written.Bytes()), want)
	tags := pngColours(written.Bytes())
	if !bytes.Equal(tags.cicp, []byte{12, 13, 0, 1}) || profileConversion(tags.icc, o.Pixels).to == nil {
		t.Errorf("code points %v and a profile of %d bytes, want both for Display P3", tags.cicp, len(tags.icc))
	}
}

// checkCarried compares the profile and the Exif block in a PNG file with those in the file at path.
func checkCarried(t *testing.T, path string, file []byte, wantProfile, wantExif bool, size Size) {
	t.Helper()
	source, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := recognise(source)
	if err != nil {
		t.Fatal(err)
	}
	profile := pngColours(file).icc
	if (profile != nil) != wantProfile {
		t.Fatalf("a profile of %d bytes, want one: %v", len(profile), wantProfile)
	}
	if wantProfile && !bytes.Equal(profile, f.colour(source).icc) {
		t.Error("the profile is not the file's")
	}
	block := pngExif(file)
	if (block != nil) != wantExif {
		t.Fatalf("an Exif block of %d bytes, want one: %v", len(block), wantExif)
	}
	if !wantExif {
		return
	}
	e, ok := newExif(block)
	if !ok {
		t.Fatal("the Exif block is damaged")
	}
	if o := exifOrientation(block); o != upright {
		t.Errorf("orientation %d, want 1", o)
	}
	if made := e.bytes(e.entry(e.first(), tagMake)); len(made) < 5 {
		t.Errorf("maker %q, want that of the file", made)
	}
	if bytes.Contains(block, []byte("\xff\xd8\xff")) {
		t.Error("the thumbnail of the unedited picture is in the Exif block")
	}
	directory := e.integer(e.entry(e.first(), tagExifDirectory))
	if width := e.integer(e.entry(directory, tagExifWidth)); width != 0 && width != uint32(size.Width) {
		t.Errorf("Exif width %d, want %d", width, size.Width)
	}
}

// TestOriginalIsWhatAReferenceSees compares SRGB with the pixels of References, for pictures of all kinds.
func TestOriginalIsWhatAReferenceSees(t *testing.T) {
	list, err := filepath.Glob("testdata/*/*")
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, path := range list {
		if strings.Contains(path, ".expected.") || strings.Contains(path, ".levels.") || strings.Contains(path, "fuzz") {
			continue
		}
		switch filepath.Base(path) {
		case "alpha.avif", "display-p3.avif", "turned-6.avif", "plain.heic", "turned-6.heic":
		default:
			if strings.HasSuffix(path, ".avif") || strings.HasSuffix(path, ".heic") { // each takes a second
				continue
			}
		}
		ref, err := Open(t.Context(), path)
		if err != nil {
			continue
		}
		t.Run(filepath.Base(path), func(t *testing.T) {
			o, err := OpenOriginal(t.Context(), path)
			if err != nil {
				t.Fatal(err)
			}
			if o.Size != ref.Original || o.FileSHA256 != ref.FileSHA256 || o.Profile != ref.Profile ||
				o.ProfileNote != ref.ProfileNote || o.Format != ref.Format {
				t.Errorf("%v %v %q %q %s, want %v %v %q %q %s", o.Size, o.FileSHA256[:8], o.Profile, o.ProfileNote, o.Format,
					ref.Original, ref.FileSHA256[:8], ref.Profile, ref.ProfileNote, ref.Format)
			}
			scaled, err := o.SRGB(t.Context(), o.Bounds(), o.Size.Fit(0))
			if err != nil {
				t.Fatal(err)
			}
			mean, worst, at := difference(crop(scaled), ref.Image)
			// References up to 8 megapixels are decoded by image/jpeg, whose inverse DCT rounds otherwise; conversions to
			// sRGB enlarge that near the border of the colour space. Divided and multiplied again by alpha, a level may be
			// off by one.
			most, mostMean := 0, 0.0
			switch filepath.Ext(path) {
			case ".jpg":
				most, mostMean = 30, 0.4
			case ".avif", ".tif", ".tiff", ".webp":
				most, mostMean = 1, 0.3
			}
			if worst > most || mean > mostMean {
				t.Errorf("mean %.3f, worst %d at %v, want at most %g and %d", mean, worst, at, mostMean, most)
			}
			seen++
		})
	}
	if seen < 100 {
		t.Errorf("compared %d pictures, want at least 100", seen)
	}
}

// TestLightComesBack converts all kinds of colours to light and back.
func TestLightComesBack(t *testing.T) {
	for _, name := range []string{
		"originals/420.jpg", "originals/p3.png", "originals/adobe.jpg", "originals/rgb16.png", "originals/p3-16.png",
		"originals/gray16.png", "originals/gray.png", "kinds/profile-gray22.png", "kinds/profile-linear.png",
		"kinds/profile-gray-alpha.png", "kinds/profile-table-rgb.png", "kinds/profile-16-bit-prophoto.png",
		"kinds/profile-gama-only.png", "kinds/profile-cicp-2020.png", "kinds/display-p3.avif", "kinds/profile-gray-dot20.png",
	} {
		t.Run(name, func(t *testing.T) {
			o, err := OpenOriginal(t.Context(), filepath.Join("testdata", name))
			if err != nil {
				t.Fatal(err)
			}
			l := o.Light()
			samples := make([]uint16, 4*o.Size.Width)
			light := make([]float32, 3*o.Size.Width)
			back := make([]uint16, len(samples))
			worst := 0
			for y := range o.Size.Height {
				o.Row(samples, 0, y, o.Size.Width)
				copy(back, samples)
				l.FromSamples(light, samples)
				l.ToSamples(back, light)
				for i := range back {
					worst = max(worst, int(back[i])-int(samples[i]), int(samples[i])-int(back[i]))
				}
			}
			// A level of 8 bits is 257; half of it would be rounded to the same level. The tables of a profile are clipped
			// to sRGB, and one sample of a dark colour then stands for several, so they are left out of the exact check.
			most := 100
			if l.table != nil {
				most = 257 * 255
			}
			t.Logf("worst %d of 65535", worst)
			if worst > most {
				t.Errorf("worst %d of 65535, want at most %d", worst, most)
			}
		})
	}
}

// TestExifIsMerged checks that a photo's fields and Kleinbild's are both in written JPEG and WebP files.
func TestExifIsMerged(t *testing.T) {
	for _, extension := range []string{".jpg", ".webp"} {
		for _, name := range []string{"turned-6-exif.jpg", "adobe.jpg", "p3.png", "lossless.webp", "rgb16.tif"} {
			t.Run(name+" as "+extension, func(t *testing.T) {
				o, err := OpenOriginal(t.Context(), filepath.Join(originals, name))
				if err != nil {
					t.Fatal(err)
				}
				var file bytes.Buffer
				meta := Metadata{Prompt: "a fox", Seed: 7, Steps: 4}
				if err := Encode(&file, o, meta, extension, 95); err != nil {
					t.Fatal(err)
				}
				found, err := ReadMetadata(bytes.NewReader(file.Bytes()))
				if err != nil || found.Prompt != meta.Prompt || found.Seed != 7 {
					t.Errorf("metadata %v, %v", found, err)
				}
				f, err := recognise(file.Bytes())
				if err != nil {
					t.Fatal(err)
				}
				block := map[string]func([]byte) []byte{"JPEG": jpegExif, "WebP": webpExif}[f.name](file.Bytes())
				e, ok := newExif(block)
				if !ok || len(e.bytes(e.entry(e.first(), tagMake))) < 5 {
					t.Error("the photo's maker is gone")
				}
				if o := exifOrientation(block); o != upright {
					t.Errorf("orientation %d, want 1", o)
				}
				again, err := DecodeOriginal(t.Context(), file.Bytes())
				if err != nil {
					t.Fatal(err)
				}
				if again.Profile != o.Profile {
					t.Errorf("profile %q, want %q", again.Profile, o.Profile)
				}
				if extension == ".webp" && o.Depth() == 8 {
					compareLevels(t, again.Pixels, o.Pixels)
				}
			})
		}
	}
}

// TestMergedExifKeepsTheCaption checks that a photo's own description stays.
func TestMergedExifKeepsTheCaption(t *testing.T) {
	photo := layExif([]exifEntry{
		{tagImageDescription, typeASCII, []byte("my dog\x00")}, {tagMake, typeASCII, []byte("M\x00")},
	},
		[]exifEntry{{tagUserComment, typeUndefined, []byte("ASCII\x00\x00\x00a note")}})
	block := mergeExif(photo, []byte(`{"format":1}`+"\x00"), []byte("K\x00"), []byte(unicodeComment+"\x00x"))
	fields := exifFields(block)
	for tag, want := range map[uint16]string{
		tagImageDescription: "my dog\x00", tagDocumentName: `{"format":1}` + "\x00", tagSoftware: "K\x00",
		tagUserComment: "ASCII\x00\x00\x00a note", tagMake: "M\x00",
	} {
		if string(fields[tag]) != want {
			t.Errorf("tag %#x: %q, want %q", tag, fields[tag], want)
		}
	}
	if !bytes.Equal(block[8:len(photo)], photo[8:]) {
		t.Error("the photo's bytes have moved")
	}
}

// TestExifDoesNotGrow edits a photo again and again, in one format after the other: the Exif block does not grow, has
// the settings of the last picture only, and keeps the photo's own words.
func TestExifDoesNotGrow(t *testing.T) {
	o, err := OpenOriginal(t.Context(), filepath.Join(originals, "turned-6-exif.jpg"))
	if err != nil {
		t.Fatal(err)
	}
	most := 0
	for i, extension := range []string{".jpg", ".webp", ".jpg", ".png", ".jpg", ".png", ".webp", ".jpg"} {
		meta := Metadata{Prompt: fmt.Sprintf("step %d of the fox", i), Seed: uint64(i), Steps: 4}
		var file bytes.Buffer
		if err := Encode(&file, o, meta, extension, 95); err != nil {
			t.Fatal(err)
		}
		again, err := DecodeOriginal(t.Context(), file.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		if found, err := ReadMetadata(bytes.NewReader(file.Bytes())); err != nil || found.Seed != meta.Seed {
			t.Errorf("%d, %s: seed %d, %v", i, extension, found.Seed, err)
		}
		block := again.carried.exif
		e, ok := newExif(block)
		if !ok || len(e.bytes(e.entry(e.first(), tagMake))) < 5 {
			t.Fatalf("%d, %s: the photo's maker is gone", i, extension)
		}
		for old := range i {
			if bytes.Contains(block, fmt.Appendf(nil, "step %d of the fox", old)) {
				t.Errorf("%d, %s: the settings of step %d are still there", i, extension, old)
			}
		}
		if extension == ".png" && bytes.Contains(block, []byte("fox")) {
			t.Errorf("%d: eXIf has settings", i)
		}
		if i == 0 {
			most = len(block) + 8
		}
		if len(block) > most {
			t.Errorf("%d, %s: %d bytes, want at most %d", i, extension, len(block), most)
		}
		o = again
	}
}

// TestMadeProfileIsTheColours writes pictures whose colours no profile declares as JPEG, and compares the colours that
// the profile in the JPEG stands for.
func TestMadeProfileIsTheColours(t *testing.T) {
	for _, name := range []string{"profile-cicp-2020.png", "profile-cicp-p3.png", "profile-chrm-p3-gama-screen.png"} {
		o, err := OpenOriginal(t.Context(), filepath.Join("testdata/kinds", name))
		if err != nil {
			t.Fatal(err)
		}
		profile := o.profileToWrite()
		if profile == nil {
			t.Fatalf("%s: no profile", name)
		}
		c := profileConversion(profile, o.Pixels)
		if c.to == nil {
			t.Fatalf("%s: the profile is not read: %s", name, c.note)
		}
		samples := make([]uint16, 4*o.Size.Width)
		got, want := make([]uint8, 3*o.Size.Width), make([]uint8, 3*o.Size.Width)
		for y := range o.Size.Height {
			o.Row(samples, 0, y, o.Size.Width)
			c.to.row(got, samples)
			o.converted.to.row(want, samples)
			for i := range got {
				if d := int(got[i]) - int(want[i]); d < -2 || d > 2 {
					t.Fatalf("%s: row %d value %d: %d, want %d", name, y, i, got[i], want[i])
				}
			}
		}
	}
}

func TestAdlerIsJoined(t *testing.T) {
	for _, n := range []int{0, 1, 5552, 70_000, 1_000_003} {
		first, second := bytes.Repeat([]byte{250, 3, 255}, 1000), bytes.Repeat([]byte{255}, n)
		got := joinAdler(adlerOf(first), adlerOf(second), n)
		if want := adlerOf(append(first, second...)); got != want {
			t.Errorf("%d bytes: %08x, want %08x", n, got, want)
		}
	}
}

func adlerOf(data []byte) uint32 {
	a, b := uint32(1), uint32(0)
	for _, v := range data {
		a = (a + uint32(v)) % 65521
		b = (b + a) % 65521
	}
	return binary.BigEndian.Uint32([]byte{byte(b >> 8), byte(b), byte(a >> 8), byte(a)})
}
