package inference

import (
	"context"
	"errors"
	"image"
	"image/png"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/kleinbild/kleinbild/inference/checkpoint"
	"github.com/kleinbild/kleinbild/inference/edit"
	"github.com/kleinbild/kleinbild/inference/picture"
)

// TestRefine has the demo model work over a picture of it that was enlarged: it stays the picture that it was, in its
// colours, it changes, and no border of a tile shows.
func TestRefine(t *testing.T) {
	e := openOptions(t, Options{Model: checkpoint.Demo, Precision: Float32})
	const prompt = "a red house on the left and a green tree on the right in a meadow"
	seed, native := uint64(3), e.info.NativeSize
	small := demoPicture(t, e, Ask{Prompt: prompt, Seed: &seed})
	size := picture.Size{Width: 380, Height: 250} // no multiples of 16
	img, err := picture.Placed(t.Context(), small, picture.Size{Width: native, Height: native},
		small.Rect, size, image.Rect(0, 0, size.Width, size.Height))
	if err != nil {
		t.Fatal(err)
	}
	fractions := []float64{0}
	tilesSeen := 0
	// The demo model was not trained to look at references: with more noise it would paint a scene into each tile.
	how := Refinement{Prompt: prompt, Seed: &seed, Steps: new(20), Strength: new(0.05)}
	made, meta, err := e.Refine(t.Context(), img, how, func(p RefineProgress) {
		fractions = append(fractions, p.Of.Fraction)
		tilesSeen = max(tilesSeen, p.Tile)
		if p.Tile < 1 || p.Tile > p.Tiles {
			t.Errorf("tile %d of %d", p.Tile, p.Tiles)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if path := os.Getenv("KLEINBILD_REFINED"); path != "" {
		f, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(png.Encode(f, made), f.Close()); err != nil {
			t.Fatal(err)
		}
	}
	for i := 1; i < len(fractions); i++ {
		if fractions[i] < fractions[i-1] || fractions[i] > 1 {
			t.Fatalf("the fraction goes from %v to %v", fractions[i-1], fractions[i])
		}
	}
	tiles, err := edit.NewTiles(picture.Size{Width: 384, Height: 256}, native, (native/refineOverlap+15)/16*16)
	if err != nil {
		t.Fatal(err)
	}
	if made.Rect != img.Rect || tilesSeen != tiles.Len() || tiles.Len() < 6 {
		t.Fatalf("%v of %d tiles, want %v of %d", made.Rect, tilesSeen, img.Rect, tiles.Len())
	}
	if meta.Prompt != prompt || meta.Seed != seed || meta.Width != size.Width || meta.Edit == nil {
		t.Errorf("metadata %+v", meta)
	}
	v := &verdicts{T: t}
	v.shows(prompt, made, "red", "left")
	v.shows(prompt, made, "green", "right")
	v.most()
	// Blocks of 32 pixels have the mean that they had: colours do not drift, neither as a whole nor by tiles.
	changed, blocks, squares := 0, 0, 0.0
	for y := 0; y+32 <= size.Height; y += 32 {
		for x := 0; x+32 <= size.Width; x += 32 {
			for c := range 3 {
				sum := 0
				for j := range 32 {
					for i := range 32 {
						p, q := made.PixOffset(x+i, y+j)+c, img.PixOffset(x+i, y+j)+c
						sum += int(made.Pix[p]) - int(img.Pix[q])
						if made.Pix[p] != img.Pix[q] {
							changed++
						}
					}
				}
				blocks++
				squares += math.Pow(float64(sum)/1024, 2)
			}
		}
	}
	deviation := math.Sqrt(squares / float64(blocks))
	t.Logf("means of blocks deviate by %.2f levels, %d values changed", deviation, changed)
	if deviation > 3 { // 12 without WithLowBand
		t.Errorf("means of blocks deviate by %.2f levels", deviation)
	}
	if changed < size.Width*size.Height/4 {
		t.Errorf("only %d values changed", changed)
	}
	// A border that shows is a line whose step, beyond that of the picture before, exceeds those around it. If tiles meet
	// without being mixed, with their own low frequencies, the step is 9 levels larger.
	for _, rows := range []bool{false, true} {
		d, before := steps(made, rows), steps(img, rows)
		for at := range d {
			d[at] -= before[at]
		}
		for _, at := range bordersOf(tiles, rows) {
			if at < 8 || at >= len(d)-8 {
				continue
			}
			if around := max(slices.Max(d[at-7:at-1]), slices.Max(d[at+2:at+8])); d[at] > around+1 {
				t.Errorf("rows %v: a step of %.2f levels at %d, want at most %.2f as around it", rows, d[at], at, around)
			}
		}
	}
}

// bordersOf returns where tiles begin and end, and the middles between, where two of them have the same weight.
func bordersOf(tiles edit.Tiles, rows bool) []int {
	var starts, ends []int
	for i := range tiles.Len() {
		r := tiles.At(i)
		if from, to := r.Min.X, r.Max.X; !rows {
			starts, ends = append(starts, from), append(ends, to)
		} else {
			starts, ends = append(starts, r.Min.Y), append(ends, r.Max.Y)
		}
	}
	slices.Sort(starts)
	slices.Sort(ends)
	starts, ends = slices.Compact(starts)[1:], slices.Compact(ends)
	all := append(slices.Clone(starts), ends...)
	for i, start := range starts {
		all = append(all, (start+ends[i])/2)
	}
	return all
}

// steps returns the mean difference of levels between each column, or row, and the one before it.
func steps(img *image.RGBA, rows bool) []float64 {
	along, across := img.Rect.Dx(), img.Rect.Dy()
	if rows {
		along, across = across, along
	}
	offset := func(a, b int) int {
		if rows {
			return img.PixOffset(b, a)
		}
		return img.PixOffset(a, b)
	}
	d := make([]float64, along)
	for a := 1; a < along; a++ {
		for b := range across {
			for c := range 3 {
				d[a] += math.Abs(float64(img.Pix[offset(a, b)+c]) - float64(img.Pix[offset(a-1, b)+c]))
			}
		}
		d[a] /= float64(3 * across)
	}
	return d
}

// TestRefineRefuses: fields and pictures out of their limits, and a cancel between tiles.
func TestRefineRefuses(t *testing.T) {
	e := openOptions(t, Options{Model: checkpoint.Demo, Precision: Float32})
	img := image.NewRGBA(image.Rect(0, 0, 200, 160))
	for _, row := range []struct {
		img  *image.RGBA
		how  Refinement
		want string
	}{
		{image.NewRGBA(image.Rect(0, 0, 400, 32)), Refinement{}, "64 a side at least"},
		{img, Refinement{Strength: new(0.0)}, "strength"},
		{img, Refinement{Steps: new(0)}, "steps"},
	} {
		_, _, err := e.Refine(t.Context(), row.img, row.how, nil)
		if err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%v: error %v, want one with %q", row.how, err, row.want)
		}
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	ended := errors.New("ended")
	_, _, err := e.Refine(ctx, img, Refinement{}, func(p RefineProgress) {
		if p.Tile == 2 {
			cancel(ended)
		}
	})
	if !errors.Is(err, ended) {
		t.Errorf("error %v after a cancel", err)
	}
}

// TestCutNoise: a part of the noise is that of its place, also for the last tokens.
func TestCutNoise(t *testing.T) {
	const channels = 2
	grid := gridOf(picture.Size{Width: 80, Height: 64})
	noise := make([]float32, channels*grid.Tokens())
	for i := range noise {
		noise[i] = float32(i)
	}
	part := cutNoise(noise, channels, grid, image.Rect(32, 16, 80, 64))
	if len(part) != channels*9 || part[0] != 7 || part[8] != 19 || part[9] != 27 || part[17] != 39 {
		t.Errorf("%v", part)
	}
}
