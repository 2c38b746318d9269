package edit

import (
	"bytes"
	"context"
	"errors"
	"image"
	"image/color"
	"image/draw"
	"image/jpeg"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/kleinbild/kleinbild/inference/picture"
)

// redrawn returns img as an edit returns it: one object is painted over, everything has a tint and a slope, and the
// whole went through JPEG, which loses as the VAE does.
func redrawn(
	t *testing.T, img *image.RGBA, object image.Rectangle, c color.Color, tint [3]float64, slope float64,
) *image.RGBA {
	t.Helper()
	out := image.NewRGBA(img.Rect)
	random := rand.New(rand.NewPCG(4, 4))
	copy(out.Pix, img.Pix)
	draw.Draw(out, object, image.NewUniform(c), image.Point{}, draw.Src)
	for y := range out.Rect.Dy() {
		for x := range out.Rect.Dx() {
			p := out.Pix[y*out.Stride+4*x:]
			for k := range 3 {
				d := tint[k] + slope*float64(x-y)/float64(out.Rect.Dx()) + random.NormFloat64()
				p[k] = uint8(min(max(float64(p[k])+d, 0), 255) + 0.5)
			}
		}
	}
	var file bytes.Buffer
	if err := jpeg.Encode(&file, out, &jpeg.Options{Quality: 88}); err != nil {
		t.Fatal(err)
	}
	lossy, err := jpeg.Decode(&file)
	if err != nil {
		t.Fatal(err)
	}
	draw.Draw(out, out.Rect, lossy, image.Point{}, draw.Src)
	return out
}

// meanOff returns the mean difference of each channel in a rectangle.
func meanOff(a, b *image.RGBA, r image.Rectangle) (off [3]float64) {
	for y := r.Min.Y; y < r.Max.Y; y++ {
		for x := r.Min.X; x < r.Max.X; x++ {
			for c := range 3 {
				off[c] += float64(a.Pix[y*a.Stride+4*x+c]) - float64(b.Pix[y*b.Stride+4*x+c])
			}
		}
	}
	for c := range 3 {
		off[c] /= float64(r.Dx() * r.Dy())
	}
	return off
}

func mostOf(v [3]float64) float64 { return max(math.Abs(v[0]), math.Abs(v[1]), math.Abs(v[2])) }

func TestMatchToRemovesTintAndSlope(t *testing.T) {
	o := original(t, photo(512, 384, 2))
	cut := mustCut(t, o, WholeArea(o.Size, 0))
	object := image.Rect(200, 120, 320, 260)
	for _, row := range []struct {
		name  string
		tint  [3]float64
		slope float64
	}{
		{"nothing", [3]float64{}, 0}, {"a tint", [3]float64{10, -8, 16}, 0}, {"a slope", [3]float64{3, 3, -3}, 14},
	} {
		result := redrawn(t, cut, object, color.RGBA{210, 40, 40, 255}, row.tint, row.slope)
		got, err := MatchTo(t.Context(), result, cut)
		if err != nil {
			t.Fatal(err)
		}
		before, after := 0.0, 0.0
		for y := 0; y+64 <= 384; y += 64 {
			for x := 0; x+64 <= 512; x += 64 {
				r := image.Rect(x, y, x+64, y+64)
				if r.Overlaps(object) {
					continue
				}
				before, after = max(before, mostOf(meanOff(result, cut, r))), max(after, mostOf(meanOff(got, cut, r)))
			}
		}
		red := [3]float64{}
		middle := image.Rect(240, 160, 280, 220)
		for y := middle.Min.Y; y < middle.Max.Y; y++ {
			for x := middle.Min.X; x < middle.Max.X; x++ {
				for c := range 3 {
					red[c] += float64(got.Pix[y*got.Stride+4*x+c]) / float64(middle.Dx()*middle.Dy())
				}
			}
		}
		t.Logf("%s: %.2f levels before, %.2f after; the object is %.0f", row.name, before, after, red)
		if after > 2 {
			t.Errorf("%s: %.2f levels remain, want at most 2", row.name, after)
		}
		if off := mostOf([3]float64{red[0] - 210, red[1] - 40, red[2] - 40}); off > 6 {
			t.Errorf("%s: the object is %.0f, want its own red", row.name, red)
		}
	}
}

// TestMatchToLeavesAnotherPictureAlone gives pictures that show nothing alike.
func TestMatchToLeavesAnotherPictureAlone(t *testing.T) {
	a := mustCut(t, original(t, photo(256, 256, 1)), WholeArea(picture.Size{Width: 256, Height: 256}, 0))
	noise := image.NewRGBA(a.Rect)
	random := rand.New(rand.NewPCG(1, 1))
	for i := range noise.Pix {
		noise.Pix[i] = uint8(random.IntN(256)) | uint8(i%4/3*255)
	}
	got, err := MatchTo(t.Context(), noise, a)
	if err != nil || !bytes.Equal(got.Pix, noise.Pix) {
		t.Errorf("%v; noise was matched to a photo", err)
	}
}

func TestMatchToOtherSizes(t *testing.T) {
	size := picture.Size{Width: 512, Height: 384}
	o := original(t, photo(512, 384, 2))
	cut := mustCut(t, o, WholeArea(size, 0))
	small := mustCut(t, o, WholeArea(size, 256)) // the same shape
	result := redrawn(t, cut, image.Rectangle{}, color.Black, [3]float64{12, 12, -12}, 0)
	got, err := MatchTo(t.Context(), result, small)
	if err != nil {
		t.Fatal(err)
	}
	if off := mostOf(meanOff(got, cut, cut.Rect)); off > 1.5 {
		t.Errorf("%.2f levels remain, want at most 1.5", off)
	}
	strip := mustCut(t, original(t, photo(512, 64, 2)), WholeArea(picture.Size{Width: 512, Height: 64}, 0))
	if got, err = MatchTo(t.Context(), result, strip); err != nil {
		t.Fatal(err)
	}
	x, _ := levelsOf(got)
	y, _ := levelsOf(strip)
	if off := mostOf([3]float64{x[0] - y[0], x[1] - y[1], x[2] - y[2]}); off > 3 {
		t.Errorf("another shape: the means %.1f differ from %.1f", x, y)
	}
}

// TestKeepUnchangedRestoresTheRest checks an edit in which one object changed and everything drifted: the object stays,
// and far from it every sample is the original's, at full resolution.
func TestKeepUnchangedRestoresTheRest(t *testing.T) {
	for _, row := range []struct {
		name   string
		size   picture.Size
		native int
		amount float64
	}{
		{"at scale 1", picture.Size{Width: 512, Height: 384}, 0, 0.5},
		{"reduced", picture.Size{Width: 1023, Height: 771}, 400, 0.5},
		{"weak", picture.Size{Width: 512, Height: 384}, 0, 0.05},
		{"strong", picture.Size{Width: 512, Height: 384}, 0, 1},
	} {
		t.Run(row.name, func(t *testing.T) {
			o := original(t, photo(row.size.Width, row.size.Height, 2))
			a := WholeArea(row.size, row.native)
			cut := mustCut(t, o, a)
			w, h := cut.Rect.Dx(), cut.Rect.Dy()
			object := image.Rect(w*4/10, h*3/10, w*6/10, h*7/10)
			result := redrawn(t, cut, object, color.RGBA{210, 40, 40, 255}, [3]float64{7, -5, 9}, 6)
			kept, share, err := KeepUnchanged(t.Context(), o, a, result, row.amount)
			if err != nil {
				t.Fatal(err)
			}
			s := a.Scale()
			// A change grows and fades out over some 20 pixels of the work picture.
			const around = 24
			grown := image.Rect(int(float64(object.Min.X-around)/s), int(float64(object.Min.Y-around)/s),
				int(float64(object.Max.X+around)/s), int(float64(object.Max.Y+around)/s))
			middle := grown.Inset(int(float64(around+8) / s))
			same, red := 0, 0
			for y := range row.size.Height {
				for x := range row.size.Width {
					before, after := sample(o, x, y), sample(kept, x, y)
					if !image.Pt(x, y).In(grown) {
						if before != after {
							t.Fatalf("(%d, %d) is %v, want the original's %v", x, y, after, before)
						}
						same++
					}
					if image.Pt(x, y).In(middle) && after[0]>>8 > 190 && after[1]>>8 < 70 {
						red++
					}
				}
			}
			all := middle.Dx() * middle.Dy()
			t.Logf("%.3f of the picture is written, %d pixels are kept", share, same)
			if red < all*99/100 {
				t.Errorf("%d of %d pixels of the object are red", red, all)
			}
			if least := float64(object.Dx()*object.Dy()) / float64(w*h); share < least*0.9 || share > 0.5 {
				t.Errorf("%.3f of the picture is written, the object is %.3f", share, least)
			}
		})
	}
}

// TestKeepUnchangedKnowsNoise gives a result that is a little off everywhere, in patches as a decoder leaves them. Even
// a weak amount must not take that for an edit.
func TestKeepUnchangedKnowsNoise(t *testing.T) {
	size := picture.Size{Width: 512, Height: 384}
	o := original(t, photo(512, 384, 2))
	a := WholeArea(size, 0)
	result := mustCut(t, o, a)
	random := rand.New(rand.NewPCG(5, 5))
	for y := 0; y < 384; y += 8 {
		for x := 0; x < 512; x += 8 {
			d := random.IntN(2)*20 - 10
			for j := y; j < y+8; j++ {
				for i := 4 * x; i < 4*(x+8); i++ {
					if p := &result.Pix[j*result.Stride+i]; i%4 != 3 {
						*p = uint8(min(max(int(*p)+d, 0), 255))
					}
				}
			}
		}
	}
	object := image.Rect(200, 100, 300, 200)
	draw.Draw(result, object, image.NewUniform(color.RGBA{255, 0, 0, 255}), image.Point{}, draw.Src)
	kept, share, err := KeepUnchanged(t.Context(), o, a, result, 0.05)
	if err != nil {
		t.Fatal(err)
	}
	if share < 0.05 || share > 0.15 {
		t.Errorf("%.3f of the picture is written, want the object's 0.051 and a border", share)
	}
	// Matching takes a little of so much noise for a lower contrast.
	if s := sample(kept, 250, 150); s[0]>>8 < 235 || s[1]>>8 > 25 {
		t.Errorf("the object is %v, want it red", s)
	}
}

func TestKeepUnchangedAtItsLimits(t *testing.T) {
	size := picture.Size{Width: 256, Height: 192}
	o := original(t, photo(256, 192, 2))
	a := WholeArea(size, 0)
	cut := mustCut(t, o, a)
	drifted := redrawn(t, cut, image.Rectangle{}, color.Black, [3]float64{6, 6, 6}, 0)
	kept, share, err := KeepUnchanged(t.Context(), o, a, drifted, 0.5)
	if err != nil || kept != o || share != 0 {
		t.Errorf("only drift: %v, share %v, want the original itself", err, share)
	}
	kept, share, err = KeepUnchanged(t.Context(), o, a, drifted, 0)
	if err != nil || share != 1 || sample(kept, 9, 9)[0] != uint16(drifted.RGBAAt(9, 9).R)*257 {
		t.Errorf("off: %v, share %v, want the whole result", err, share)
	}
	for _, amount := range []float64{-0.1, 1.1, math.NaN(), math.Inf(1)} {
		if _, _, err := KeepUnchanged(t.Context(), o, a, drifted, amount); err == nil {
			t.Errorf("amount %v was accepted", amount)
		}
	}
	if _, _, err := KeepUnchanged(t.Context(), o, a, image.NewRGBA(image.Rect(0, 0, 16, 16)), 0.5); err == nil {
		t.Error("a result of another size was accepted")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := KeepUnchanged(ctx, o, a, drifted, 0.5); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want the context's error", err)
	}
}

func TestPreviewLiesInItsPlace(t *testing.T) {
	size := picture.Size{Width: 800, Height: 600}
	m := mustMask(t, boxMask(size, image.Rect(400, 300, 500, 400)), size)
	a := NewArea(size, m.Bounds(), 100, 256)
	whole := image.NewRGBA(image.Rect(0, 0, 200, 150)) // black
	preview := image.NewRGBA(image.Rect(0, 0, 40, 40))
	for i := range preview.Pix {
		preview.Pix[i] = 200
	}
	got, err := Preview(t.Context(), whole, preview, a, m)
	if err != nil {
		t.Fatal(err)
	}
	for y := range 150 {
		for x := range 200 {
			want := uint8(0)
			if image.Pt(x, y).In(image.Rect(100, 75, 125, 100)) {
				want = 200
			}
			if got.RGBAAt(x, y).R != want {
				t.Fatalf("(%d, %d) is %v, want %d", x, y, got.RGBAAt(x, y), want)
			}
		}
	}
}
