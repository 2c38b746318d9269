package picture

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// kindFolders returns folders with pictures of every kind that is read. Beside each picture NAME lie the pixels that
// Pillow reads of it, in NAME.expected.png. The second folder is outside this repository, and may be missing.
func kindFolders(t *testing.T) []string {
	folders := []string{filepath.Join("testdata", "kinds")}
	cases := os.Getenv("KLEINBILD_CASES")
	if cases == "" {
		cases = filepath.Join("..", "..", "..", "shared", "cases")
	}
	if folder := filepath.Join(cases, "pictures"); exists(folder) {
		return append(folders, folder)
	}
	t.Logf("only testdata: no folder of cases at %s", cases)
	return folders
}

// levelsOff returns the largest mean difference from the expected pixels, in levels.
func levelsOff(path string) float64 {
	switch filepath.Ext(path) {
	case ".jpg", ".webp", ".heic", ".avif":
		return 2 // decoders of lossy formats differ, and so do conversions of colours
	}
	if strings.HasPrefix(filepath.Base(path), "display-p3") {
		return 2
	}
	return 0.5
}

func TestKindsAreReadAsPillowReadsThem(t *testing.T) {
	for _, folder := range kindFolders(t) {
		list, err := filepath.Glob(filepath.Join(folder, "*.expected.png"))
		if err != nil || len(list) == 0 {
			t.Fatalf("%s: %v, %d pictures, want some", folder, err, len(list))
		}
		for _, expected := range list {
			path := strings.TrimSuffix(expected, ".expected.png")
			t.Run(filepath.Base(path), func(t *testing.T) {
				ref, err := Open(t.Context(), path)
				if err != nil {
					t.Fatal(err)
				}
				want, err := Open(t.Context(), expected)
				if err != nil {
					t.Fatal(err)
				}
				if ref.Size != want.Size || ref.Original != want.Original {
					t.Fatalf("size %v of %v, want %v of %v", ref.Size, ref.Original, want.Size, want.Original)
				}
				mean, worst, at := difference(ref.Image, want.Image)
				t.Logf("mean %.3f, worst %d at %v; profile %q %s", mean, worst, at, ref.Profile, ref.ProfileNote)
				if mean > levelsOff(path) {
					t.Errorf("mean absolute difference %.3f, want at most %g; worst %d at %v", mean, levelsOff(path), worst, at)
				}
			})
		}
	}
}

// TestKindsThatAreRefused checks that the error for a kind that is not read names that kind.
func TestKindsThatAreRefused(t *testing.T) {
	read := func(name string) []byte {
		file, err := os.ReadFile(filepath.Join("testdata", "kinds", name))
		if err != nil {
			t.Fatal(err)
		}
		return file
	}
	patched := func(name string, at int, values ...byte) []byte {
		file := read(name)
		copy(file[at:], values)
		return file
	}
	film := func(brands string) []byte {
		return append([]byte{0, 0, 0, byte(8 + len(brands))}, "ftyp"+brands...)
	}
	const compression, redMask = 14 + 16, 14 + 40
	runs, jpg, avif := read("rle8.bmp"), read("no-end.jpg"), read("plain.avif")
	for _, row := range []struct {
		name string
		file []byte
		want []string
	}{
		{"OS/2's run lengths of 24 bits", patched("os2v2-palette8.bmp", compression, 4), []string{"BMP", "not supported"}},
		{"OS/2's fax", patched("os2v2-palette1.bmp", compression, 3), []string{"BMP", "not supported", "OS/2"}},
		{"JPEG in BMP", patched("rgb32.bmp", compression, 4), []string{"BMP", "not supported"}},
		{"no mask for red", patched("v4-alpha.bmp", redMask, 0, 0, 0, 0), []string{"BMP", "damaged", "masks"}},
		{"a mask with a hole", patched("v4-alpha.bmp", redMask, 0, 0, 0xf7, 0), []string{"BMP", "damaged", "masks"}},
		{"masks of 32 bits for 16", patched("bitfields-565.bmp", redMask, 0, 0, 0xff, 0),
			[]string{"BMP", "damaged", "masks"}},
		{"run lengths that end early", runs[:len(runs)-100], []string{"BMP", "ends too early"}},
		{"JPEG that ends early", jpg[:len(jpg)-60], []string{"JPEG", "ends too early"}},
		{"HEIC with transparency", read("refused-transparency.heic"), []string{"HEIC", "not supported", "transparency"}},
		{"HEIC that ends early", read("plain.heic")[:1200], []string{"HEIC", "ends too early"}},
		{"HEIC with nothing but its brand", film("heic\x00\x00\x00\x00mif1heic"), []string{"HEIC", "ends too early"}},
		{"AVIF that ends early", avif[:500], []string{"AVIF", "ends too early"}},
		{"AVIF with damaged pixels", append(bytes.Clone(avif[:300]), make([]byte, len(avif)-300)...),
			[]string{"AVIF", "damaged"}},
		{"AVIF with nothing but its brand", film("avif\x00\x00\x00\x00mif1avif"), []string{"AVIF", "ends too early"}},
		{"an animation without a frame", riffFile("VP8X", vp8x(1<<1, 64, 64), "ANIM", "\x00\x00\x00\x00\x00\x00"),
			[]string{"WebP", "ends too early"}},
		{"a frame beyond its canvas", riffFile("VP8X", vp8x(1<<1, 64, 64),
			"ANMF", "\x01\x00\x00\x00\x00\x00\x3f\x00\x00\x3f\x00\x00\x00\x00\x00\x00"),
			[]string{"WebP: the file is damaged", "canvas"}},
		{"MP4", film("isom\x00\x00\x02\x00isomiso2avc1mp41"), []string{"film (MP4)"}},
		{"MP4 of another maker", film("mp42\x00\x00\x00\x00mp42"), []string{"film (MP4)"}},
		{"QuickTime", film("qt  \x00\x00\x00\x00qt  "), []string{"film (QuickTime)"}},
		{"a phone's film", film("3gp4\x00\x00\x00\x003gp4"), []string{"film"}},
		{"a film of an unknown brand", film("zzzz\x00\x00\x00\x00yyyy"), []string{"film"}},
		{"QuickTime without brand", []byte("\x00\x00\x00\x08wide\x00\x00\x00\x00mdat"), []string{"film (QuickTime)"}},
		{"WebM", []byte("\x1aE\xdf\xa3\x01\x00\x00\x00"), []string{"film"}},
		{"AVI", []byte("RIFF\x00\x00\x00\x00AVI LIST"), []string{"film (AVI)"}},
		{"sound", film("M4A \x00\x00\x00\x00M4A mp42isom"), []string{"sound"}},
	} {
		_, err := Decode(t.Context(), row.file)
		if err == nil {
			t.Errorf("%s is accepted", row.name)
			continue
		}
		oneLine(t, row.name, err)
		for _, want := range row.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: error %q, want %q in it", row.name, err, want)
			}
		}
		for _, prefix := range []string{"bmp:", "avif:", "heic:"} {
			if strings.Contains(err.Error(), prefix) {
				t.Errorf("%s: error %q has the prefix of another package", row.name, err)
			}
		}
	}
	if cases := kindFolders(t); len(cases) > 1 {
		_, err := Open(t.Context(), filepath.Join(cases[1], "film.png"))
		if err == nil || !strings.Contains(err.Error(), "film") {
			t.Errorf("film.png: %v, want it refused as a film", err)
		}
	}
}

// TestDecodersErrorsInOwnWords checks that errors tell the user what is wrong with the file, not which package found
// it.
func TestDecodersErrorsInOwnWords(t *testing.T) {
	whole := encodePNG(t, cornered())
	const header = len(pngSignature) + 8 // IHDR's content, 13 bytes
	depth := bytes.Clone(whole)
	depth[header+8] = 3
	depth = append(appendChunk([]byte(pngSignature), "IHDR", depth[header:header+13]), depth[header+17:]...)
	sum := bytes.Clone(whole)
	sum[len(sum)-13] ^= 1 // of IDAT, before IEND
	for name, row := range map[string]struct {
		file []byte
		want string
	}{
		"PNG, unknown depth": {depth, "PNG: this kind is not supported: bit depth 3, color type 0"},
		"PNG, wrong sum":     {sum, "PNG: the file is damaged: invalid checksum"},
		"JPEG of 12 bits": {[]byte("\xff\xd8\xff\xc1\x00\x11\x0c\x00\x64\x00\x64\x03\x01\x11\x00\x02\x11\x00\x03\x11\x00"),
			"JPEG: this kind is not supported: precision"},
		"JPEG without frame": {[]byte("\xff\xd8\xff\xda\x00\x0c\x03\x01\x00\x02\x11\x03\x11\x00\x3f\x00"),
			"JPEG: the file is damaged: missing SOF marker"},
		"GIF without colours": {[]byte("GIF89a\x64\x00\x64\x00\x00\x00\x00," +
			"\x00\x00\x00\x00\x64\x00\x64\x00\x00\x02\x01\x00\x00;"),
			"GIF: the file is damaged: no color table"},
	} {
		_, err := Decode(t.Context(), row.file)
		if err == nil || err.Error() != "picture: "+row.want {
			t.Errorf("%s: %v, want %q", name, err, row.want)
		}
	}
}
