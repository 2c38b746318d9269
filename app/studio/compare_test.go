package studio

import (
	"image"
	"testing"

	"github.com/kleinbild/kleinbild/inference/picture"
)

// TestFrame: a picture that was made larger is the frame of what it was, whichever of the two is on show and at
// whatever resolution they are; anything else has no place of its own.
func TestFrame(t *testing.T) {
	sized := func(w, h int) *image.RGBA { return image.NewRGBA(image.Rect(0, 0, w, h)) }
	small := Picture{Image: sized(100, 80), Path: "/small.png"}
	large := func(w, h int, path string) Picture {
		m := picture.Metadata{Width: 160, Height: 100, References: []picture.ReferenceFile{{Path: path}},
			Edit: &picture.Edit{Extend: [4]int{40, 0, 20, 20}}}
		return Picture{Image: sized(w, h), Path: "/large.png", Meta: m}
	}
	enlarged := Picture{Image: sized(400, 320), Meta: picture.Metadata{Upscale: &picture.Upscale{}}}
	none := Area{}
	for _, row := range []struct {
		name     string
		a, b     Picture
		before   bool
		size     image.Point
		atA, atB Area
	}{
		{"nothing else yet", Picture{}, small, false, image.Pt(100, 80), none, Area{0, 0, 100, 80}},
		{"image 1 of a larger picture", Picture{Image: small.Image}, large(160, 100, "/x.png"), true, image.Pt(160, 100),
			Area{40, 0, 100, 80}, Area{0, 0, 160, 100}},
		{"image 1 at a lower resolution", Picture{Image: sized(25, 20)}, large(160, 100, "/x.png"), true,
			image.Pt(160, 100), Area{40, 0, 100, 80}, Area{0, 0, 160, 100}},
		{"shown at half its size", small, large(80, 50, "/small.png"), false, image.Pt(80, 50), Area{20, 0, 50, 40},
			Area{0, 0, 80, 50}},
		{"the other way round", large(160, 100, "/small.png"), small, false, image.Pt(160, 100), Area{0, 0, 160, 100},
			Area{40, 0, 100, 80}},
		{"of another picture", large(160, 100, "/x.png"), small, false, image.Pt(100, 80), none, Area{0, 0, 100, 80}},
		{"enlarged", small, enlarged, false, image.Pt(400, 320), Area{0, 0, 400, 320}, Area{0, 0, 400, 320}},
		{"what was enlarged", enlarged, small, false, image.Pt(400, 320), Area{0, 0, 400, 320}, Area{0, 0, 400, 320}},
		{"enlarged, but of another shape", Picture{Image: sized(30, 30)}, enlarged, false, image.Pt(400, 320), none,
			Area{0, 0, 400, 320}},
		{"not made larger", Picture{Image: sized(30, 30)}, small, true, image.Pt(100, 80), none, Area{0, 0, 100, 80}},
	} {
		if size, atA, atB := Frame(row.a, row.b, row.before); size != row.size || atA != row.atA || atB != row.atB {
			t.Errorf("%s: %v, %v, %v", row.name, size, atA, atB)
		}
	}
	nonsense := large(160, 100, "/small.png")
	nonsense.Meta.Edit.Extend = [4]int{-5, 0, 4000, 0}
	if _, atA, _ := Frame(small, nonsense, true); atA != none {
		t.Errorf("margins beyond the picture: %v", atA)
	}
}
