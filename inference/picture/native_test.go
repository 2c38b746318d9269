package picture

import (
	"image"
	"testing"
)

func TestNativeSize(t *testing.T) {
	for _, row := range []struct {
		name   string
		size   Size
		native int
		want   Size
	}{
		{"the published models", Size{1024, 1024}, 1024, Size{1024, 1024}},
		{"a larger model", Size{880, 1168}, 2048, Size{880, 1168}},
		{"unknown", Size{880, 1168}, 0, Size{880, 1168}},
		{"square", Size{1024, 1024}, 192, Size{192, 192}},
		{"portrait", Size{880, 1168}, 192, Size{160, 208}},
		{"what the model made", Size{240, 144}, 192, Size{240, 144}},
		{"of just the area", Size{192, 192}, 192, Size{192, 192}},
		{"smaller", Size{64, 96}, 192, Size{64, 96}},
		{"a strip", Size{2880, 352}, 192, Size{544, 64}},
		{"a strip of the least height", Size{512, 64}, 64, Size{512, 64}},
		{"the least model", Size{1024, 1024}, 1, Size{64, 64}},
	} {
		got := row.size.forNative(row.native)
		if got != row.want {
			t.Errorf("%s: %v for %d: %v, want %v", row.name, row.size, row.native, got, row.want)
		}
		if again := got.forNative(row.native); again != got {
			t.Errorf("%s: %v becomes %v the second time", row.name, got, again)
		}
		if match, err := Match.SizeFor(row.native, row.size); err != nil || match != got {
			t.Errorf("%s: match is %v, %v, want %v", row.name, match, err, got)
		}
	}
}

// TestReferenceForNative checks that scaling keeps a red left half in place, and that the result is cached.
func TestReferenceForNative(t *testing.T) {
	img := image.NewRGBA(image.Rect(0, 0, 512, 256))
	for y := range 256 {
		for x := range 512 {
			i := img.PixOffset(x, y)
			img.Pix[i+3] = 255
			if x < 256 {
				img.Pix[i] = 200
			}
		}
	}
	ref := &Reference{
		Image: img, Size: Size{512, 256}, Original: Size{1000, 500}, Format: "PNG", FileSHA256: "f",
		PixelsSHA256: pixelsDigest(img),
	}
	if ref.For(1024) != ref || ref.For(0) != ref {
		t.Error("a model of 1024 or of unknown size gets another picture than was prepared")
	}
	small := ref.For(128)
	if want := (Size{176, 80}); small.Size != want || small.Image.Rect != image.Rect(0, 0, want.Width, want.Height) {
		t.Fatalf("%v, %v, want %v", small.Size, small.Image.Rect, want)
	}
	if small.FileSHA256 != "f" || small.Original != ref.Original || small.Format != "PNG" {
		t.Errorf("%+v, want the file of the original", small)
	}
	if small.PixelsSHA256 == ref.PixelsSHA256 || small.PixelsSHA256 != pixelsDigest(small.Image) {
		t.Error("the digest is not that of its pixels")
	}
	for _, at := range []struct{ x, red int }{{8, 200}, {80, 200}, {96, 0}, {168, 0}} {
		if got := small.Image.RGBAAt(at.x, 40); int(got.R) != at.red || got.A != 255 {
			t.Errorf("pixel %d is %v, want red of %d", at.x, got, at.red)
		}
	}
	if ref.For(128) != small {
		t.Error("For computes the same picture again")
	}
	if other := ref.For(64); other.Size == small.Size || ref.For(128).Size != small.Size {
		t.Error("For returns the size of another model")
	}
}
