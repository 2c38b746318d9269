package picture

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"image"
	"image/color"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// arrangements are all eight ways to mirror and turn a picture, with and without a crop that has an odd corner.
func arrangements(size Size) (list []Arrangement) {
	crop := image.Rect(size.Width/7, size.Height/5, size.Width-3, size.Height-1)
	for turns := range 4 {
		for _, mirrored := range []bool{false, true} {
			list = append(list, Arrangement{Mirrored: mirrored, Turns: turns}, Arrangement{crop, mirrored, turns})
		}
	}
	return list
}

// byHand arranges a picture pixel by pixel.
func byHand(img image.Image, a Arrangement) *image.NRGBA64 {
	r := img.Bounds()
	if !a.Crop.Empty() {
		r = a.Crop
	}
	out := moved(r.Dx(), r.Dy(), func(x, y int) color.Color {
		if a.Mirrored {
			x = r.Dx() - 1 - x
		}
		return img.At(r.Min.X+x, r.Min.Y+y)
	})
	for range a.Turns {
		before := out
		width, height := before.Rect.Dy(), before.Rect.Dx()
		out = moved(width, height, func(x, y int) color.Color { return before.At(y, width-1-x) })
	}
	return out
}

// moved returns a picture of that size whose pixels come from somewhere.
func moved(width, height int, from func(x, y int) color.Color) *image.NRGBA64 {
	out := image.NewNRGBA64(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			out.Set(x, y, from(x, y))
		}
	}
	return out
}

// TestArrangedReference: a picture that is arranged is prepared, to the bit, as a file is that has been cropped,
// mirrored and turned before.
func TestArrangedReference(t *testing.T) {
	ctx := context.Background()
	deep := image.NewNRGBA64(image.Rect(0, 0, 170, 131))
	glass := image.NewNRGBA(image.Rect(0, 0, 1203, 901)) // larger than a reference, with transparent pixels
	gray := image.NewGray(image.Rect(0, 0, 211, 97))
	for y := range 901 {
		for x := range 1203 {
			glass.SetNRGBA(x, y, color.NRGBA{uint8(x * y), uint8(x + 3*y), uint8(x ^ y), uint8(255 - (x*y)%97)})
			if image.Pt(x, y).In(deep.Rect) {
				deep.SetNRGBA64(x, y, color.NRGBA64{uint16(x * 381), uint16(y * 499), uint16(x * y), 0xffff})
			}
			if image.Pt(x, y).In(gray.Rect) {
				gray.SetGray(x, y, color.Gray{uint8(x + y*y)})
			}
		}
	}
	files := map[string][]byte{
		"glass.png": encodePNG(t, glass), "deep.png": encodePNG(t, deep), "gray.png": encodePNG(t, gray),
	}
	for _, name := range []string{"kinds/orientation-long-mm.jpg", "kinds/animated-display-p3.webp"} {
		file, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		files[filepath.Base(name)] = file
	}
	for name, file := range files {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, file, 0o600); err != nil {
			t.Fatal(err)
		}
		original, err := OpenOriginal(ctx, path)
		if err != nil {
			t.Fatal(err)
		}
		plain, err := Open(ctx, path)
		if err != nil {
			t.Fatal(err)
		}
		for i, a := range arrangements(original.Size) {
			if a == (Arrangement{}) || name == "glass.png" && i%5 != 1 {
				continue
			}
			if short := min(a.Crop.Dx(), a.Crop.Dy()); !a.Crop.Empty() && short < MinSide {
				continue
			}
			ref, err := OpenArranged(ctx, path, a)
			if err != nil {
				t.Fatalf("%s %+v: %v", name, a, err)
			}
			pixels := straightLike(byHand(original, a), original)
			var before bytes.Buffer
			if err := EncodePNG(&before, original.With(pixels), Metadata{}); err != nil {
				t.Fatal(err)
			}
			want, err := Decode(ctx, before.Bytes())
			if err != nil {
				t.Fatalf("%s %+v: %v", name, a, err)
			}
			if ref.Size != want.Size || ref.PixelsSHA256 != want.PixelsSHA256 || !bytes.Equal(ref.Image.Pix, want.Image.Pix) {
				t.Errorf("%s %+v: %v, want the pixels of a file that was arranged before, %v", name, a, ref.Size, want.Size)
			}
			if ref.Original != want.Original || ref.FileSHA256 != plain.FileSHA256 || ref.Arrangement != a {
				t.Errorf("%s %+v: %v of file %s", name, a, ref.Original, ref.FileSHA256)
			}
			full, err := OpenArrangedOriginal(ctx, path, a)
			if err != nil {
				t.Fatal(err)
			}
			compareLevels(t, full.Pixels, pixels)
		}
	}
}

// straightLike returns img in the type of the pixels of o.
func straightLike(img *image.NRGBA64, o *Original) image.Image {
	size := Size{img.Rect.Dx(), img.Rect.Dy()}
	dst := o.New(size)
	samples, read := make([]uint16, 4*size.Width), sampleRows(img)
	for y := range size.Height {
		read(y, samples)
		PutRow(dst, samples, 0, y)
	}
	return dst
}

// TestArrangementPlaces: a rectangle and its picture are moved alike, and steps of the user add up.
func TestArrangementPlaces(t *testing.T) {
	size := Size{30, 20}
	marked := image.NewNRGBA(image.Rect(0, 0, size.Width, size.Height))
	r := image.Rect(3, 5, 11, 9)
	for y := r.Min.Y; y < r.Max.Y; y++ {
		for x := r.Min.X; x < r.Max.X; x++ {
			marked.SetNRGBA(x, y, color.NRGBA{255, 0, 0, 255})
		}
	}
	for _, a := range arrangements(size) {
		a = a.Uncropped()
		shown := a.Shown(r, size)
		img := byHand(marked, a)
		for y := range img.Rect.Dy() {
			for x := range img.Rect.Dx() {
				if red, _, _, _ := img.At(x, y).RGBA(); (red > 0) != image.Pt(x, y).In(shown) {
					t.Fatalf("%+v: %v lies at %v, but not (%d, %d)", a, r, shown, x, y)
				}
			}
		}
		if back := a.Stored(shown, size); back != r {
			t.Errorf("%+v: %v and back is %v", a, r, back)
		}
		if got := a.Size(size); got != (Size{img.Rect.Dx(), img.Rect.Dy()}) {
			t.Errorf("%+v: size %v", a, got)
		}
		for name, step := range map[string]struct {
			to, then Arrangement
		}{
			"turned": {a.Turn(1), Arrangement{Turns: 1}}, "turned back": {a.Turn(-1), Arrangement{Turns: 3}},
			"across": {a.MirrorAcross(), Arrangement{Mirrored: true}},
			"down":   {a.MirrorDown(), Arrangement{Mirrored: true, Turns: 2}},
		} {
			compareLevels(t, byHand(marked, step.to), byHand(img, step.then))
			if t.Failed() {
				t.Fatalf("%+v %s", a, name)
			}
		}
	}
}

// TestArrangementInMetadata: a picture says how its references were arranged, and readers that know no arrangements
// refuse it. What does not fit the picture is an error, not a guess.
func TestArrangementInMetadata(t *testing.T) {
	a := Arrangement{image.Rect(10, 20, 300, 400), true, 3}
	meta := Metadata{Prompt: "a fox", References: []ReferenceFile{{Path: "one.png", SHA256: "1"}, {"two.png", "2", a}}}
	file := encoded(t, meta)
	if !bytes.Contains(file, []byte(`{"format":3,`)) ||
		!bytes.Contains(file, []byte(`"arrangement":{"crop":[10,20,300,400],"mirrored":true,"turns":3}`)) {
		t.Errorf("the file does not say it: %.700q", file)
	}
	if strings.Count(string(file), "arrangement") != 1 {
		t.Error("a picture that is not arranged says something of it")
	}
	back, err := ReadMetadata(bytes.NewReader(file))
	if err != nil || back.References[1] != meta.References[1] || back.References[0] != meta.References[0] {
		t.Errorf("%+v, %v", back.References, err)
	}
	for _, text := range []string{`{"crop":[1,2,3]}`, `{"crop":[5,5,5,9]}`, `{"crop":[9,9,1,1]}`, `{"crop":"all"}`} {
		if err := json.Unmarshal([]byte(text), &a); err == nil {
			t.Errorf("%s is an arrangement", text)
		}
	}
	path := filepath.Join(t.TempDir(), "one.png")
	if err := os.WriteFile(path, encodePNG(t, image.NewNRGBA(image.Rect(0, 0, 200, 100))), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []Arrangement{
		{Crop: image.Rect(100, 0, 201, 100)}, {Crop: image.Rect(-1, 0, 100, 100)}, {Turns: 4}, {Turns: -1},
		{Crop: image.Rect(0, 0, 200, 10)}, {Crop: image.Rect(0, 0, 20, 20)},
	} {
		if ref, err := OpenArranged(context.Background(), path, bad); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%+v: %v, %v", bad, ref, err)
		}
	}
	small := Arrangement{Crop: image.Rect(0, 0, 20, 20)}
	if _, err := OpenArranged(context.Background(), path, small); !errors.Is(err, ErrSize) {
		t.Errorf("a small crop: %v, want ErrSize", err)
	}
}
