package cli

import (
	"bytes"
	"encoding/json"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"os"
	"strings"
	"testing"

	"github.com/kleinbild/kleinbild/inference"
	"github.com/kleinbild/kleinbild/inference/picture"
)

// pattern fills img with colours of which no two neighbours are equal.
func pattern(img interface{ Set(x, y int, c color.Color) }, width, height int, alpha func(x, y int) uint16) {
	for y := range height {
		for x := range width {
			v := func(k int) uint16 { return uint16((x*k*977 + y*k*1237 + k*5501) % 65536) }
			img.Set(x, y, color.NRGBA64{v(1), v(2), v(3), alpha(x, y)})
		}
	}
}

func opaque(int, int) uint16 { return 0xffff }

// writeImage writes img as PNG, or as JPEG if the path ends in .jpg.
func writeImage(t *testing.T, path string, img image.Image) {
	t.Helper()
	var data bytes.Buffer
	err := png.Encode(&data, img)
	if strings.HasSuffix(path, ".jpg") {
		data.Reset()
		err = jpeg.Encode(&data, img, &jpeg.Options{Quality: 95})
	}
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, path, data.String())
}

// writeMask writes a mask that is white in r.
func writeMask(t *testing.T, path string, width, height int, r image.Rectangle) {
	t.Helper()
	mask := image.NewGray(image.Rect(0, 0, width, height))
	for y := r.Min.Y; y < r.Max.Y; y++ {
		for x := r.Min.X; x < r.Max.X; x++ {
			mask.SetGray(x, y, color.Gray{Y: 255})
		}
	}
	writeImage(t, path, mask)
}

func openOriginal(t *testing.T, path string) *picture.Original {
	t.Helper()
	o, err := picture.OpenOriginal(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// differs counts the pixels in which before, moved by offset, and after differ, inside and outside of r.
func differs(before, after *picture.Original, offset image.Point, r image.Rectangle) (inside, outside int) {
	b := before.Bounds()
	for y := b.Min.Y; y < b.Max.Y; y++ {
		for x := b.Min.X; x < b.Max.X; x++ {
			at := image.Pt(x, y).Add(offset)
			switch {
			case before.At(x, y) == after.At(at.X, at.Y):
			case at.In(r):
				inside++
			default:
				outside++
			}
		}
	}
	return inside, outside
}

// TestMaskedEdits edits a part of photos of all kinds: what lies outside of the mask is the same bit for bit, in the
// file's own depth and size.
func TestMaskedEdits(t *testing.T) {
	t.Chdir(t.TempDir())
	rgb, deep := image.NewNRGBA(image.Rect(0, 0, 149, 101)), image.NewNRGBA64(image.Rect(0, 0, 97, 131))
	pattern(rgb, 149, 101, opaque)
	pattern(deep, 97, 131, func(x, _ int) uint16 { return uint16(0xffff - x*300) })
	gray := image.NewGray16(image.Rect(0, 0, 80, 112))
	pattern(gray, 80, 112, opaque)
	writeImage(t, "photo.png", rgb)
	writeImage(t, "photo.jpg", rgb)
	writeImage(t, "deep.png", deep)
	writeImage(t, "gray.png", gray)
	for _, row := range []struct {
		photo string
		mask  image.Rectangle // in pixels of a mask of maskW × maskH
		w, h  int
		in    image.Rectangle // the pixels of the photo that may change
		more  []string
	}{
		{"photo.png", image.Rect(40, 30, 90, 70), 149, 101, image.Rect(40, 30, 90, 70), nil},
		{"photo.png", image.Rect(0, 0, 20, 101), 149, 101, image.Rect(0, 0, 20, 101), []string{"--whole"}},
		{"photo.png", image.Rect(148, 100, 149, 101), 149, 101, image.Rect(148, 100, 149, 101),
			[]string{"--context", "3", "--feather", "0"}},
		{"photo.png", image.Rect(0, 0, 149, 101), 149, 101, image.Rect(0, 0, 149, 101), []string{"--source", "hidden"}},
		{"photo.jpg", image.Rect(40, 30, 90, 70), 149, 101, image.Rect(40, 30, 90, 70), []string{"--match-colours", "off"}},
		{"deep.png", image.Rect(10, 10, 60, 60), 97, 131, image.Rect(10, 10, 60, 60), []string{"--strength", "0.6"}},
		{"gray.png", image.Rect(10, 80, 60, 112), 80, 112, image.Rect(10, 80, 60, 112), nil},
		{"gray.png", image.Rect(0, 0, 20, 28), 40, 56, image.Rect(0, 0, 40, 56), nil}, // half the photo's size
	} {
		writeMask(t, "mask.png", row.w, row.h, row.mask)
		args := append([]string{"generate", "-m", "demo", "--steps", "2", "-s", "3",
			"-p", "a fox", "-i", row.photo, "--mask", "mask.png", "-o", "out.png", "--json"}, row.more...)
		got := mustMake(t, args...)
		before, after := openOriginal(t, row.photo), openOriginal(t, "out.png")
		if before.Size != after.Size {
			t.Errorf("%s %v: size %v, want %v", row.photo, row.mask, after.Size, before.Size)
			continue
		}
		inside, outside := differs(before, after, image.Point{}, row.in)
		if outside != 0 || inside == 0 {
			t.Errorf("%s %v: %d pixels outside of the mask differ, %d inside", row.photo, row.mask, outside, inside)
		}
		if _, deep := before.Pixels.(*image.NRGBA64); deep {
			if _, kept := after.Pixels.(*image.NRGBA64); !kept {
				t.Errorf("%s: %T, want 16 bits", row.photo, after.Pixels)
			}
		}
		var report struct {
			Width, Height int
			Edited        struct {
				Area       struct{ X, Y, Width, Height int }
				WorkWidth  int `json:"work_width"`
				WorkHeight int `json:"work_height"`
				Scale      float64
				Changed    float64
			}
			Edit picture.Edit
		}
		if err := json.Unmarshal([]byte(got.out), &report); err != nil {
			t.Fatal(err)
		}
		e, a := report.Edited, report.Edited.Area
		if row.more != nil && row.more[0] == "--whole" {
			row.in = row.in.Intersect(image.Rect(2, 2, 146, 98)) // its sides are multiples of 16, in the middle
		}
		if share := float64(row.in.Dx()*row.in.Dy()) / float64(before.Size.Width*before.Size.Height); e.Changed > share+0.1 ||
			e.Changed == 0 || !row.in.In(image.Rect(a.X, a.Y, a.X+a.Width, a.Y+a.Height)) || e.WorkWidth%16 != 0 ||
			e.WorkHeight%16 != 0 || e.Scale <= 0 || report.Width != before.Size.Width || report.Edit.Mask == nil {
			t.Errorf("%s %v: report %s", row.photo, row.mask, got.out)
		}
	}
}

// TestEditsRepeat checks that --like makes each kind of edit again, to the byte, also when the file of the mask is
// gone.
func TestEditsRepeat(t *testing.T) {
	t.Chdir(t.TempDir())
	photo := image.NewNRGBA(image.Rect(0, 0, 120, 90))
	pattern(photo, 120, 90, func(x, y int) uint16 {
		if x < 30 && y > 50 {
			return 0
		}
		return 0xffff
	})
	writeImage(t, "photo.png", photo)
	for _, row := range []struct {
		name string
		args []string
	}{
		{"mask", []string{"--mask", "mask.png"}},
		{"options", []string{"--mask", "mask.png", "--whole", "--feather", "2", "--match-colours", "off", "--source",
			"hidden", "--strength", "0.5"}},
		{"context", []string{"--mask", "mask.png", "--context", "9"}},
		{"area", []string{"--mask", "mask.png", "--area", "10,12,100,70"}},
		{"alpha", []string{"--mask", "alpha"}},
		{"extension", []string{"--extend", "16,0,7,30"}},
		{"shape", []string{"--extend", "square"}},
		{"strength", []string{"--strength", "0.5"}},
		{"keep", []string{"--keep-unchanged", "0.5"}},
		{"match", []string{"--match-colours", "on"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			writeMask(t, "mask.png", 60, 45, image.Rect(10, 10, 40, 30))
			args := append([]string{"generate", "-m", "demo", "--steps", "2", "-s", "3",
				"-p", "a fox", "-i", "photo.png", "-o", "made.png"}, row.args...)
			mustMake(t, args...)
			if err := os.Remove("mask.png"); err != nil {
				t.Fatal(err)
			}
			got := mustMake(t, "generate", "--like", "made.png", "-o", "again.png", "-m", "demo")
			if !bytes.Equal(readFile(t, "made.png"), readFile(t, "again.png")) {
				t.Errorf("another file than the one repeated; %s\n%s\n%s", got.err, mustMake(t, "info", "made.png").out,
					mustMake(t, "info", "again.png").out)
			}
		})
	}
}

// TestMaskOfAnotherShape checks that a mask is scaled to its picture, and that a note says so if that changes its
// shape.
func TestMaskOfAnotherShape(t *testing.T) {
	t.Chdir(t.TempDir())
	writePicture(t, "photo.png", 96, 80)
	for _, row := range []struct {
		width, height int
		want          string
	}{
		{80, 80, "note: --mask: found 80x80 for image 1 of 96x80: it is stretched to that shape\n"},
		{48, 40, ""}, {29, 24, ""},
	} {
		writeMask(t, "mask.png", row.width, row.height, image.Rect(5, 5, 20, 20))
		got := call("", "generate", "-m", "demo", "--steps", "1", "-p", "x", "-i", "photo.png", "--mask", "mask.png")
		if got.code != exitOK || !strings.Contains(got.err, row.want) ||
			strings.Contains(got.err, "stretched") != (row.want != "") {
			t.Errorf("%d×%d: %d %s, want %q", row.width, row.height, got.code, got.err, row.want)
		}
	}
}

// TestEditsRepeatWithTheMaskFile checks that the mask of a JPEG, which does not hold it, is found by its digest, and
// that --like asks for it if it is gone.
func TestEditsRepeatWithTheMaskFile(t *testing.T) {
	t.Chdir(t.TempDir())
	photo := image.NewNRGBA(image.Rect(0, 0, 96, 80))
	pattern(photo, 96, 80, opaque)
	writeImage(t, "photo.png", photo)
	if err := os.Mkdir("masks", 0o755); err != nil {
		t.Fatal(err)
	}
	writeMask(t, "masks/mask.png", 96, 80, image.Rect(20, 20, 50, 50))
	mustMake(t, "generate", "-m", "demo", "--steps", "1", "-s", "3", "-p", "x", "-i", "photo.png", "--mask",
		"masks/mask.png", "-o", "made.jpg")
	if meta, err := picture.ReadMetadataFile("made.jpg"); err != nil || meta.Edit.Mask.File.Path != "mask.png" {
		t.Fatalf("%+v, %v", meta.Edit, err)
	}
	mustMake(t, "generate", "--like", "made.jpg", "-o", "again.jpg", "-m", "demo")
	if !bytes.Equal(readFile(t, "made.jpg"), readFile(t, "again.jpg")) {
		t.Error("another file than the one repeated")
	}
	// The mask was not named on this command line, and a PNG holds it, but its file is still one of the user's.
	mustMake(t, "generate", "--like", "made.jpg", "-o", "made.png", "-m", "demo")
	mask := readFile(t, "masks/mask.png")
	for _, like := range []string{"made.jpg", "made.png"} {
		refused := call("", "generate", "--like", like, "-o", "masks/mask.png", "-m", "demo")
		line := errorLine(t, refused)
		if refused.code != exitUsage || !strings.Contains(line, "is also the mask; it is not overwritten") ||
			!bytes.Equal(mask, readFile(t, "masks/mask.png")) {
			t.Errorf("onto the mask of %s: %d %s", like, refused.code, line)
		}
	}
	if err := os.RemoveAll("masks"); err != nil {
		t.Fatal(err)
	}
	got := call("", "generate", "--like", "made.jpg", "-o", "x.jpg", "-m", "demo")
	if line := errorLine(t, got); got.code != exitFailure || !strings.Contains(line, "give it again with --mask") {
		t.Errorf("%d %s", got.code, line)
	}
}

// TestExtendKeepsThePicture checks that the picture lies on the larger canvas as it was.
func TestExtendKeepsThePicture(t *testing.T) {
	t.Chdir(t.TempDir())
	photo := image.NewNRGBA(image.Rect(0, 0, 121, 90))
	pattern(photo, 121, 90, opaque)
	writeImage(t, "photo.png", photo)
	for _, row := range []struct {
		extend string
		size   picture.Size
		offset image.Point
	}{
		{"20,0,11,30", picture.Size{Width: 152, Height: 120}, image.Pt(20, 0)},
		{"0,3,0,0", picture.Size{Width: 121, Height: 93}, image.Pt(0, 3)},
	} {
		mustMake(t, "generate", "-m", "demo", "--steps", "2", "-p", "x", "-i", "photo.png", "--extend",
			row.extend, "-o", "out.png")
		before, after := openOriginal(t, "photo.png"), openOriginal(t, "out.png")
		if after.Size != row.size {
			t.Fatalf("%s: size %v, want %v", row.extend, after.Size, row.size)
		}
		if _, outside := differs(before, after, row.offset, image.Rectangle{}); outside != 0 {
			t.Errorf("%s: %d of the old pixels differ", row.extend, outside)
		}
	}
}

// TestStrength checks that less strength leaves the picture closer to image 1.
func TestStrength(t *testing.T) {
	t.Chdir(t.TempDir())
	writePicture(t, "photo.png", 96, 80)
	outputs := map[string]bool{}
	for _, strength := range []string{"1", "0.75", "0.25"} {
		mustMake(t, "generate", "-m", "demo", "--steps", "4", "-s", "1", "-p", "x", "-i", "photo.png",
			"--strength", strength, "-o", "out.png")
		out := openOriginal(t, "out.png")
		if out.Size != (picture.Size{Width: 96, Height: 80}) {
			t.Errorf("strength %s: size %v", strength, out.Size)
		}
		rgba, err := out.SRGB(t.Context(), out.Bounds(), out.Size)
		if err != nil {
			t.Fatal(err)
		}
		outputs[string(rgba.Pix)] = true
	}
	if len(outputs) != 3 {
		t.Errorf("%d pictures of 3 strengths", len(outputs))
	}
}

// TestRemove checks the prompt of --remove.
func TestRemove(t *testing.T) {
	t.Chdir(t.TempDir())
	writePicture(t, "photo.png", 96, 80)
	writeMask(t, "mask.png", 96, 80, image.Rect(20, 20, 40, 50))
	mustMake(t, "generate", "-m", "demo", "--steps", "1", "-i", "photo.png", "--mask", "mask.png",
		"--remove", "-o", "out.png")
	meta, err := picture.ReadMetadataFile("out.png")
	if err != nil || meta.Prompt != inference.RemovePrompt {
		t.Errorf("prompt %q, %v", meta.Prompt, err)
	}
}

// TestBadEdits checks that an edit that cannot be made says so in one line, and neither overwrites nor leaves a file.
func TestBadEdits(t *testing.T) {
	t.Chdir(t.TempDir())
	writePicture(t, "photo.png", 96, 80)
	writeMask(t, "mask.png", 96, 80, image.Rect(20, 20, 40, 50))
	writeMask(t, "black.png", 30, 30, image.Rectangle{})
	writeFile(t, "text.png", "hello")
	photo := readFile(t, "photo.png")
	for _, row := range []struct {
		name string
		args []string
		want string
	}{
		{"a black mask", []string{"-p", "x", "-i", "photo.png", "--mask", "black.png"}, "nothing to change"},
		{"opaque", []string{"-p", "x", "-i", "photo.png", "--mask", "alpha"}, "nothing to change"},
		{"no picture", []string{"-p", "x", "-i", "photo.png", "--mask", "text.png"}, "text.png"},
		{"no file", []string{"-p", "x", "-i", "photo.png", "--mask", "gone.png"}, "gone.png"},
		{"no image 1", []string{"-p", "x", "--mask", "mask.png"}, "--image (-i): found none, want at least one to edit"},
		{"five pictures", []string{"-p", "x", "-i", "photo.png", "-i", "photo.png", "-i", "photo.png", "-i", "photo.png",
			"-i", "photo.png", "--mask", "mask.png"}, "found 5 reference pictures, want at most 4"},
		{"strength", []string{"-p", "x", "-i", "photo.png", "--strength", "0"}, "--strength: found 0, want"},
		{"strength, negative", []string{"-p", "x", "-i", "photo.png", "--strength", "-1"}, "--strength: found -1, want"},
		{"extension", []string{"-p", "x", "-i", "photo.png", "--extend", "-1,0,0,0"}, "--extend: found -1,0,0,0, want"},
		{"an extension by nothing", []string{"-p", "x", "-i", "photo.png", "--extend", "0,0,0,0"},
			`--extend: found "0,0,0,0", want`},
		{"an area", []string{"-p", "x", "-i", "photo.png", "--mask", "mask.png", "--area", "0,0,9"},
			`--area: found "0,0,9", want X,Y,WIDTH,HEIGHT`},
		{"an area without the mask", []string{"-p", "x", "-i", "photo.png", "--mask", "mask.png", "--area", "0,0,40,40"},
			"--area: found 0,0,40,40 for a mask at 20,20,20,30, want one around the mask"},
		{"a shape", []string{"-p", "x", "-i", "photo.png", "--mask", "mask.png", "-a", "square"},
			`--aspect: found "square", want none: an edit has the size of image 1`},
		{"too large a canvas", []string{"-p", "x", "-i", "photo.png", "--extend", "8000,0,0,0"},
			"--extend: found 8000,0,0,0"},
		{"colours", []string{"-p", "x", "-i", "photo.png", "--match-colours", "yes"},
			`--match-colours: found "yes", want on or off`},
		{"source", []string{"-p", "x", "-i", "photo.png", "--mask", "mask.png", "--source", "gone"},
			`--source: found "gone", want reference or hidden`},
		{"a size", []string{"-p", "x", "-i", "photo.png", "--mask", "mask.png", "--size", "64x64"}, "--size: found 64x64"},
		{"remove without a mask", []string{"-i", "photo.png", "--remove"}, "--remove: found no mask"},
		{"remove with a prompt", []string{"-p", "x", "-i", "photo.png", "--mask", "mask.png", "--remove"},
			"--remove: found -p as well"},
		{"onto image 1", []string{"-p", "x", "-i", "photo.png", "--mask", "mask.png", "-o", "photo.png"},
			"not overwritten without --overwrite"},
		{"onto the mask", []string{"-p", "x", "-i", "photo.png", "--mask", "mask.png", "-o", "mask.png"},
			"not overwritten without --overwrite"},
	} {
		t.Run(row.name, func(t *testing.T) {
			got := call("", append([]string{"generate", "-m", "demo", "--steps", "1"}, row.args...)...)
			line := errorLine(t, got)
			if got.code == exitOK || !strings.Contains(line, row.want) || strings.Contains(line, "inference: ") ||
				strings.Contains(line, "image 1, or a ratio") {
				t.Errorf("%d %q, want %q", got.code, line, row.want)
			}
			if have := strings.Join(names(t), " "); have != "black.png mask.png photo.png text.png" {
				t.Errorf("files %s", have)
			}
		})
	}
	if !bytes.Equal(photo, readFile(t, "photo.png")) {
		t.Error("the photo is another one")
	}
	mustMake(t, "generate", "-m", "demo", "--steps", "1", "-p", "x", "-i", "photo.png", "--mask", "mask.png",
		"-o", "photo.png", "--overwrite")
	if bytes.Equal(photo, readFile(t, "photo.png")) || openOriginal(t, "photo.png").Size.Width != 96 {
		t.Error("--overwrite did not replace the photo by the edited one")
	}
}
