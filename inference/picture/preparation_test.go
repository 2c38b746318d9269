package picture

import (
	"image"
	"testing"
)

func TestPreparation(t *testing.T) {
	for _, row := range []struct {
		size   Size
		native int
		want   string
	}{
		{Size{96, 64}, 0, "96×64"},
		{Size{97, 64}, 0, "97×64 → 96×64, 1 px cropped at the right"},
		{Size{100, 70}, 0, "100×70 → 96×64, 2 px cropped at the left, 2 at the right, 3 at the top and 3 at the bottom"},
		{Size{64, 66}, 0, "64×66 → 64×64, 1 px cropped at the top and 1 at the bottom"},
		{Size{2048, 2048}, 0, "2048×2048 → 1024×1024"},
		{Size{1512, 2016}, 0,
			"1512×2016 → 880×1168, 3 px cropped at the left, 3 at the right, 7 at the top and 7 at the bottom"},
		{Size{512, 512}, 192, "512×512 → 192×192"},
		{Size{600, 800}, 192,
			"600×800 → 160×208, 3 px cropped at the left, 4 at the right, 7 at the top and 8 at the bottom"},
	} {
		file := encodePNG(t, image.NewGray(image.Rect(0, 0, row.size.Width, row.size.Height)))
		ref, err := Decode(t.Context(), file)
		if err != nil {
			t.Fatal(err)
		}
		p := ref.Preparation(row.native)
		if p.Changed() != p.Resized() {
			t.Errorf("%v: changed %v, resized %v", row.size, p.Changed(), p.Resized())
		}
		if got := p.String(); got != row.want {
			t.Errorf("%v for %d: %s, want %s", row.size, row.native, got, row.want)
		}
		if seen := ref.For(row.native); p.Size != seen.Size || p.Changed() != (seen.Size != row.size) {
			t.Errorf("%v for %d: %+v, but the model sees %v", row.size, row.native, p, seen.Size)
		}
	}
}

// TestPreparationOfColours checks that the text mentions the conversion of colours after the sizes.
func TestPreparationOfColours(t *testing.T) {
	size := Size{64, 64}
	for _, row := range []struct {
		ref  *Reference
		want string
	}{
		{&Reference{Profile: "Display P3"}, "64×64; colours converted from Display P3"},
		{&Reference{ProfileNote: "the colour profile is damaged"}, "64×64; the colour profile is damaged"},
	} {
		row.ref.Size, row.ref.Original = size, size
		if p := row.ref.Preparation(0); p.String() != row.want || !p.Changed() || p.Resized() {
			t.Errorf("%s, want %s", p, row.want)
		}
	}
}
