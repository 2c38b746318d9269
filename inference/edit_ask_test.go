package inference

import (
	"context"
	"errors"
	"image"
	"image/color"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kleinbild/kleinbild/inference/picture"
)

// writePNG writes a picture whose pixels at gives, and returns its path.
func writePNG(t testing.TB, width, height int, at func(x, y int) color.Color) string {
	t.Helper()
	img := image.NewNRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			img.Set(x, y, at(x, y))
		}
	}
	f, err := os.CreateTemp(t.TempDir(), "*.png")
	if err == nil {
		err = png.Encode(f, img)
	}
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return f.Name()
}

// gradient is a picture without equal neighbours.
func gradient(x, y int) color.Color {
	return color.NRGBA{uint8(40 + 2*x%150), uint8(60 + 2*y%150), uint8(x*y%255 + 1), 255}
}

// box returns a mask that is white in r.
func box(r image.Rectangle) func(x, y int) color.Color {
	return func(x, y int) color.Color {
		if image.Pt(x, y).In(r) {
			return color.White
		}
		return color.Black
	}
}

// TestCheckEdit checks each field of an edit on both sides of its limits, and the fields that exclude each other.
func TestCheckEdit(t *testing.T) {
	mask := MaskFile("mask.png")
	refs := []Source{reference(t, 0, 96, 80)}
	nan := math.NaN()
	size := &picture.Size{Width: 64, Height: 64}
	for _, row := range []struct {
		name string
		ask  Ask
		want string // the error, "" if there is none
	}{
		{"nothing", Ask{Edit: &Edit{}}, ""},
		{"everything", Ask{Edit: &Edit{Mask: mask, Strength: new(0.5), Feather: new(3), Context: new(40),
			MatchColours: new(false), Hidden: true}}, ""},
		{"no image 1", Ask{References: []Source{}, Edit: &Edit{Mask: mask}},
			"references: found none, want at least one to edit"},

		{"least strength", Ask{Edit: &Edit{Strength: new(1e-9)}}, ""},
		{"most strength", Ask{Edit: &Edit{Strength: new(1.0)}}, ""},
		{"strength 0", Ask{Edit: &Edit{Strength: new(0.0)}}, "strength: found 0, want a number above 0 and at most 1"},
		{"strength negative", Ask{Edit: &Edit{Strength: new(-0.1)}}, "strength: found -0.1, want "},
		{"strength above 1", Ask{Edit: &Edit{Strength: new(1.01)}}, "strength: found 1.01, want "},
		{"strength NaN", Ask{Edit: &Edit{Strength: &nan}}, "strength: found NaN, want "},

		{"most feather", Ask{Edit: &Edit{Mask: mask, Feather: new(1000)}}, ""},
		{"feather negative", Ask{Edit: &Edit{Mask: mask, Feather: new(-1)}},
			"feather: found -1, want a whole number of pixels"},
		{"feather too wide", Ask{Edit: &Edit{Mask: mask, Feather: new(1001)}}, "feather: found 1001, want "},
		{"feather without a mask", Ask{Edit: &Edit{Feather: new(2)}}, "feather: found 2 without a mask, want a mask"},
		{"context negative", Ask{Edit: &Edit{Mask: mask, Context: new(-1)}}, "context: found -1, want "},
		{"context too wide", Ask{Edit: &Edit{Mask: mask, Context: new(10001)}}, "context: found 10001, want "},
		{"context without a mask", Ask{Edit: &Edit{Context: new(2)}}, "context: found 2 without a mask, want a mask"},
		{"context and all", Ask{Edit: &Edit{Mask: mask, Context: new(2), Whole: true}},
			"context: found the whole picture as well, want one of both"},

		{"area", Ask{Edit: &Edit{Mask: mask, Area: &image.Rectangle{Max: image.Pt(1, 1)}}}, ""},
		{"area negative", Ask{Edit: &Edit{Mask: mask, Area: &image.Rectangle{Min: image.Pt(-1, 0), Max: image.Pt(1, 1)}}},
			"area: found -1,0,2,1, want X,Y,WIDTH,HEIGHT"},
		{"area empty", Ask{Edit: &Edit{Mask: mask, Area: new(image.Rectangle)}}, "area: found 0,0,0,0, want "},
		{"area without a mask", Ask{Edit: &Edit{Area: &image.Rectangle{Max: image.Pt(1, 1)}}},
			"area: found 0,0,1,1 without a mask, want a mask"},
		{"area of an extension", Ask{Edit: &Edit{Extend: Extension{Ratio: 2}, Area: &image.Rectangle{Max: image.Pt(1, 1)}}},
			"area: found 0,0,1,1 without a mask, want a mask"},
		{"area and context", Ask{Edit: &Edit{Mask: mask, Context: new(2), Area: &image.Rectangle{Max: image.Pt(1, 1)}}},
			"area: found a context as well, want one of both"},
		{"area and all", Ask{Edit: &Edit{Mask: mask, Whole: true, Area: &image.Rectangle{Max: image.Pt(1, 1)}}},
			"area: found the whole picture as well, want one of both"},

		{"keep", Ask{Edit: &Edit{KeepUnchanged: new(1.0)}}, ""},
		{"keep nothing with a mask", Ask{Edit: &Edit{Mask: mask, KeepUnchanged: new(0.0)}}, ""},
		{"keep too much", Ask{Edit: &Edit{KeepUnchanged: new(1.5)}}, "keep unchanged: found 1.5, want a number from 0 to 1"},
		{"keep NaN", Ask{Edit: &Edit{KeepUnchanged: &nan}}, "keep unchanged: found NaN, want "},
		{"keep with a mask", Ask{Edit: &Edit{Mask: mask, KeepUnchanged: new(0.5)}},
			"keep unchanged: found 0.5 with a mask, or an extension, want none of both"},

		{"extension", Ask{Edit: &Edit{Extend: Extension{Margins: Margins{Right: 8192}}}}, ""},
		{"extension to a ratio", Ask{Edit: &Edit{Extend: Extension{Ratio: 8}}}, ""},
		{"extension negative", Ask{Edit: &Edit{Extend: Extension{Margins: Margins{Left: -1, Top: 5}}}},
			"extension: found -1,5,0,0, want LEFT,TOP,RIGHT,BOTTOM"},
		{"extension too wide", Ask{Edit: &Edit{Extend: Extension{Margins: Margins{Bottom: 8193}}}},
			"extension: found 0,0,0,8193, want "},
		{"extension to a thin ratio", Ask{Edit: &Edit{Extend: Extension{Ratio: 0.1}}}, "extension: found 0.1:1, want "},
		{"extension to NaN", Ask{Edit: &Edit{Extend: Extension{Ratio: nan}}}, "extension: found NaN:1, want "},
		{"extension of both kinds", Ask{Edit: &Edit{Extend: Extension{Margins{Left: 1}, 2}}},
			"extension: found 1,0,0,0, want "},
		{"extension and mask", Ask{Edit: &Edit{Mask: mask, Extend: Extension{Ratio: 2}}},
			"extension: found a mask as well, want one of both"},

		{"hidden", Ask{Edit: &Edit{Strength: new(0.5), Hidden: true}}, ""},
		{"hidden without effect", Ask{Edit: &Edit{Hidden: true}}, "use of image 1: found a strength of 1 and no mask, want "},
		{"mask and size", Ask{Size: size, Edit: &Edit{Mask: mask}},
			"size: found 64x64, want none: an edit has the size of image 1"},
		{"strength and shape", Ask{Aspect: picture.Wide, Edit: &Edit{Strength: new(0.5)}},
			`aspect ratio: found "wide", want none: an edit has the size of image 1`},
		{"mask and match", Ask{Aspect: picture.Match, Edit: &Edit{Mask: mask}}, ""},
		{"colours and size", Ask{Size: size, Edit: &Edit{MatchColours: new(true)}}, ""},
	} {
		if row.ask.References == nil {
			row.ask.References = refs
		}
		_, err := row.ask.Check()
		var field FieldError
		if row.want != "" && (!errors.As(err, &field) || !strings.HasPrefix(err.Error(), row.want)) ||
			row.want == "" && err != nil {
			t.Errorf("%s: %v, want %q", row.name, err, row.want)
		}
	}
}

// TestReadEdit reads image 1 and masks: what the edit becomes, and what cannot be edited.
func TestReadEdit(t *testing.T) {
	photo := goldenFile(writePNG(t, 320, 240, gradient))
	white := MaskFile(writePNG(t, 320, 240, box(image.Rect(100, 50, 140, 90))))
	text := filepath.Join(t.TempDir(), "mask.txt")
	if err := os.WriteFile(text, []byte("no picture"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name string
		edit Edit
		want string // the error, "" if there is none
		got  func(e Editing, r Request) bool
	}{
		{"a mask", Edit{Mask: white}, "", func(e Editing, r Request) bool {
			return e.Picture == picture.Size{Width: 320, Height: 240} && image.Rect(100, 50, 140, 90).In(e.Area) &&
				e.Work == r.Size() && e.Work.Width%16 == 0 && e.Start == 0 && e.Strength == 1 && e.MatchColours &&
				e.Feather > 0 && e.Context < 0 && r.PictureSize() == e.Picture && e.Scale > 0
		}},
		{"the whole picture", Edit{Mask: white, Whole: true, Feather: new(0)}, "", func(e Editing, r Request) bool {
			return e.Area == image.Rect(0, 0, 320, 240) && e.Scale == 1 && r.Size() == e.Picture && e.Feather == 0
		}},
		{"a small mask", Edit{Mask: MaskFile(writePNG(t, 1, 1, box(image.Rect(0, 0, 1, 1))))}, "",
			func(e Editing, r Request) bool { return e.Area == image.Rect(0, 0, 320, 240) }},
		{"a corner", Edit{Mask: MaskFile(writePNG(t, 320, 240, box(image.Rect(319, 239, 320, 240)))), Context: new(0)}, "",
			func(e Editing, r Request) bool {
				return image.Rect(319, 239, 320, 240).In(e.Area) && e.Work.Check() == nil
			}},
		{"an area", Edit{Mask: white, Area: &image.Rectangle{Min: image.Pt(90, 40), Max: image.Pt(170, 120)}}, "",
			func(e Editing, r Request) bool {
				return e.Area == image.Rect(90, 40, 170, 120) && e.AskedArea == e.Area &&
					r.EditMetadata().Area == [4]int{90, 40, 80, 80}
			}},
		{"an area without all of the mask", Edit{Mask: white,
			Area: &image.Rectangle{Min: image.Pt(101, 40), Max: image.Pt(170, 120)}},
			"area: found 101,40,69,80 for a mask at 100,50,40,40, want one around the mask", nil},
		{"an area beyond image 1", Edit{Mask: white, Area: &image.Rectangle{Max: image.Pt(321, 240)}},
			"area: found 0,0,321,240 for 320x240, want one inside of image 1", nil},
		{"strength", Edit{Strength: new(0.5)}, "", func(e Editing, r Request) bool {
			return e.Start == 25 && e.Area.Empty() && r.Size() == picture.Size{Width: 320, Height: 240} && r.Original() == nil &&
				!e.MatchColours
		}},
		{"keep", Edit{KeepUnchanged: new(0.5)}, "", func(e Editing, r Request) bool {
			return e.Area == image.Rect(0, 0, 320, 240) && r.Mask() == nil && r.Original() != nil
		}},

		{"a black mask", Edit{Mask: MaskFile(writePNG(t, 320, 240, box(image.Rectangle{})))},
			"mask: found nothing to change: it is black everywhere, want a picture that is white", nil},
		{"no transparency", Edit{Mask: AlphaMask{}}, "mask: found nothing to change: the picture is opaque everywhere", nil},
		{"no file", Edit{Mask: MaskFile("gone.png")}, "picture: stat gone.png: ", nil},
		{"no picture", Edit{Mask: MaskFile(text)}, "picture: " + text + ": ", nil},
		{"a strength of no step", Edit{Strength: new(1e-300)}, "strength: found 1e-300 of 50 steps, want enough for one step",
			nil},
	} {
		c, err := Ask{References: []Source{photo}, Edit: &row.edit}.Check()
		if err == nil {
			c, err = c.Read(t.Context(), 1)
		}
		var r Request
		if err == nil {
			r, err = c.Resolve(baseInfo)
		}
		if row.want != "" {
			if err == nil || !strings.HasPrefix(err.Error(), row.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%s: %v, want %q", row.name, err, row.want)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", row.name, err)
			continue
		}
		if e, ok := r.Editing(); !ok || !row.got(e, r) {
			t.Errorf("%s: %+v, size %v", row.name, e, r.Size())
		}
	}
}

// TestOriginalIsRead checks that image 1 is read once, at its full resolution only if the edit needs that, and that a
// Checked that has been read can be read again.
func TestOriginalIsRead(t *testing.T) {
	path := writePNG(t, 64, 64, gradient)
	white := image.NewGray(image.Rect(0, 0, 3, 3))
	white.Pix[4] = 255
	mask := MaskImage{white}
	small := reference(t, 0, 64, 64)
	for _, row := range []struct {
		name string
		ask  Ask
		want string
	}{
		{"from a file", Ask{References: []Source{goldenFile(path)}, Edit: &Edit{Mask: mask}}, ""},
		{"only small", Ask{References: []Source{small}, Edit: &Edit{Mask: mask}}, "inference: image 1 has no file"},
		{"of another kind", Ask{References: []Source{sourceFunc(func() (Reference, error) { return small, nil })},
			Edit: &Edit{Mask: mask}}, "inference: image 1 has only been read small"},
		{"a mask without end", Ask{References: []Source{goldenFile(path)}, Edit: &Edit{Mask: MaskImage{image.White}}},
			"inference: a mask of 2000000000×2000000000 pixels, want at most 102 megapixels"},
		{"a mask without pixels", Ask{References: []Source{goldenFile(path)}, Edit: &Edit{Mask: MaskImage{&image.Gray{}}}},
			"edit: mask of 0×0 pixels"},
		{"small is enough", Ask{References: []Source{small}, Edit: &Edit{Strength: new(0.5)}}, ""},
	} {
		c, err := row.ask.Check()
		if err == nil {
			c, err = c.Read(t.Context(), 1)
		}
		if err == nil {
			c, err = c.Read(t.Context(), 1)
		}
		if row.want == "" && err != nil || row.want != "" && (err == nil || !strings.HasPrefix(err.Error(), row.want)) {
			t.Errorf("%s: %v, want %q", row.name, err, row.want)
		}
		if held := c.HeldBytes(); err == nil && held < 64*64*4 {
			t.Errorf("%s: holds %d bytes", row.name, held)
		}
	}
	changed, err := OpenReference(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(writePNG(t, 64, 80, gradient), path); err != nil {
		t.Fatal(err)
	}
	_, _, err = changed.OpenOriginal(context.Background())
	if err == nil || !strings.Contains(err.Error(), "has changed") {
		t.Errorf("a file that has changed: %v", err)
	}
	if _, err := (Checked{}).Resolve(baseInfo); err == nil {
		t.Error("the zero Checked is resolved")
	}
}

func TestParseExtension(t *testing.T) {
	for text, want := range map[string]Extension{
		"1,2,3,4":      {Margins: Margins{Left: 1, Top: 2, Right: 3, Bottom: 4}},
		"0, 0, 512, 0": {Margins: Margins{Right: 512}}, "-1,0,0,0": {Margins: Margins{Left: -1}},
		"16:9": {Ratio: 16.0 / 9}, "square": {Ratio: 1}, "2.39:1": {Ratio: 2.39},
	} {
		if got, err := ParseExtension(text); err != nil || got != want {
			t.Errorf("%q: %v, %v, want %v", text, got, err, want)
		}
		if want.valid() {
			got, err := ParseExtension(want.String())
			if err != nil || math.Abs(got.Ratio-want.Ratio) > 1e-9 || got.Margins != want.Margins {
				t.Errorf("%v is read back as %v, %v", want, got, err)
			}
		}
	}
	for _, text := range []string{
		"", "1,2,3", "1,2,3,4,5", "a,b,c,d", "1.5,0,0,0", "16:0", "0:9", "-16:9", "match", "huge", "NaN:1",
		"99999999999999999999,0,0,0", "0,0,0,0", "0, 0,0,00"} {
		if got, err := ParseExtension(text); err == nil || !strings.HasPrefix(err.Error(), "extension: found ") {
			t.Errorf("%q: %v, %v, want an error", text, got, err)
		}
	}
}
