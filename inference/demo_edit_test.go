package inference

import (
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/kleinbild/kleinbild/inference/checkpoint"
	"github.com/kleinbild/kleinbild/inference/picture"
)

// demoEdits is how many seeds TestDemoMasks tries for each edit; $KLEINBILD_DEMO_EDITS has another number.
// tools/demo/README.md has the figures of up to 100.
const demoEdits = 4

// TestDemoMasks changes a part of pictures of the demo model by masks and margins: what the prompt names must be there
// in its colour, what was there must be gone, and every pixel outside must be the same bit for bit.
func TestDemoMasks(t *testing.T) {
	e := openOptions(t, Options{Model: checkpoint.Demo, Precision: Float32})
	seeds := demoEdits
	if text := os.Getenv("KLEINBILD_DEMO_EDITS"); text != "" {
		var err error
		if seeds, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	const side = 128
	left, right := image.Rect(0, 24, 66, 112), image.Rect(66, 24, 128, 112)
	for _, row := range []struct {
		name, before, prompt string
		mask                 image.Rectangle // empty for an extension
		extend               Margins
		hidden               bool
		right                func(v *verdicts, img image.Image)
	}{
		{"another colour", "a red house on the left and a green tree on the right in a meadow",
			"a blue house on the left and a green tree on the right in a meadow", left, Margins{}, true,
			func(v *verdicts, img image.Image) {
				v.both(img, "blue", "left", "red")
			}},
		{"removed", "a red house on the left and a green tree on the right in a meadow",
			"a red house on the left in a meadow", right, Margins{}, true,
			func(v *verdicts, img image.Image) {
				v.both(img, "red", "left", "green")
			}},
		{"added", "a meadow under a blue sky", "a red house on the left in a meadow", left, Margins{}, true,
			func(v *verdicts, img image.Image) {
				v.both(img, "red", "left", "blue")
			}},
		{"extended by a house", "a meadow under a blue sky", "a red house on the right in a meadow", image.Rectangle{},
			Margins{Right: 64}, false,
			func(v *verdicts, img image.Image) {
				v.both(img, "red", "right", "blue")
			}},
		{"a meadow extended", "a meadow under a blue sky", "a meadow under a blue sky", image.Rectangle{},
			Margins{Right: 64}, false,
			func(v *verdicts, img image.Image) {
				// Sky and grass go on in the new area in their colours.
				for _, rows := range [][2]int{{0, 24}, {side - 24, side}} {
					old := meanColour(img, image.Rect(0, rows[0], side, rows[1]))
					added := meanColour(img, image.Rect(side, rows[0], side+64, rows[1]))
					v.hold(distance(old, added) <= 20, "rows %v: %v goes on as %v", rows, old, added)
				}
			}},
	} {
		t.Run(row.name, func(t *testing.T) {
			v := &verdicts{T: t}
			for seed := range seeds {
				before := demoPicture(t, e, Ask{
					Prompt: row.before, Seed: new(uint64(1000 + seed)), Size: &picture.Size{Width: side, Height: side},
				})
				ref := demoReference(t, before)
				edit := &Edit{Extend: Extension{Margins: row.extend}, Hidden: row.hidden, Whole: true}
				if !row.mask.Empty() {
					mask := image.NewGray(before.Rect)
					for y := row.mask.Min.Y; y < row.mask.Max.Y; y++ {
						for x := row.mask.Min.X; x < row.mask.Max.X; x++ {
							mask.SetGray(x, y, color.Gray{Y: 255})
						}
					}
					edit.Mask = MaskImage{Image: mask}
				}
				request := readAndResolve(t, e, Ask{
					Prompt: row.prompt, References: []Source{ref}, Edit: edit, Seed: new(uint64(seed)),
				})
				result, err := e.Generate(t.Context(), request, nil)
				if err != nil {
					t.Fatal(err)
				}
				shown, err := result.Shown(t.Context(), picture.Size{})
				if err != nil {
					t.Fatal(err)
				}
				row.right(v, shown)
				for y := range side {
					for x := range side {
						at := image.Pt(x+row.extend.Left, y+row.extend.Top)
						if !at.In(row.mask) && before.RGBAAt(x, y) != shown.RGBAAt(at.X, at.Y) {
							t.Fatalf("seed %d: (%d, %d) is %v, was %v", seed, x, y, shown.RGBAAt(at.X, at.Y), before.RGBAAt(x, y))
						}
					}
				}
			}
			v.Logf("%d of %d right", v.right, v.said)
			if v.right*100 < v.said*85 {
				t.Errorf("%d of %d are as the prompts say, want 85 of 100", v.right, v.said)
			}
		})
	}
}

// both checks that a picture has one colour at its place, and lacks another one.
func (v *verdicts) both(img image.Image, colour, place, gone string) {
	v.Helper()
	there, other := findColour(img, demoColours[colour]), findColour(img, demoColours[gone])
	v.hold(there.share >= 0.008 && third(there.x) == place && other.share <= 0.004,
		"%s covers %.1f %% at %.2f, %s covers %.1f %%", colour, 100*there.share, there.x, gone, 100*other.share)
}

// meanColour returns the mean levels of red, green and blue in r.
func meanColour(img image.Image, r image.Rectangle) (mean [3]float64) {
	for y := r.Min.Y; y < r.Max.Y; y++ {
		for x := r.Min.X; x < r.Max.X; x++ {
			red, green, blue, _ := img.At(x, y).RGBA()
			for c, v := range [3]uint32{red, green, blue} {
				mean[c] += float64(v>>8) / float64(r.Dx()*r.Dy())
			}
		}
	}
	return mean
}

// distance returns the largest difference of two colours in a channel.
func distance(a, b [3]float64) (most float64) {
	for c := range a {
		most = max(most, math.Abs(a[c]-b[c]))
	}
	return most
}

// demoReference writes a picture to a file and returns it as image 1.
func demoReference(t *testing.T, img image.Image) Reference {
	t.Helper()
	path := filepath.Join(t.TempDir(), fmt.Sprintf("%p.png", img))
	f, err := os.Create(path)
	if err == nil {
		err = png.Encode(f, img)
	}
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	ref, err := OpenReference(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	return ref
}
