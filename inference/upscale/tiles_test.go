package upscale

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// noise is a picture of random values with some structure.
func noise(width, height int) []float32 {
	rng := rand.New(rand.NewPCG(3, 4))
	pixels := make([]float32, 3*width*height)
	for i := range pixels {
		x, y := i/3%width, i/3/width
		pixels[i] = 0.5 + 0.3*float32(math.Sin(float64(x*(i%3+1))/5)*math.Cos(float64(y)/7)) + 0.2*(rng.Float32()-0.5)
	}
	return pixels
}

// reader reads rectangles of a picture.
func reader(pixels []float32, width int) Source {
	return func(dst []float32, x, y, w, h int) {
		for row := range h {
			copy(dst[3*w*row:3*w*(row+1)], pixels[3*((y+row)*width+x):])
		}
	}
}

func byTiles(t *testing.T, n *Network, tiling Tiling, pixels []float32, width, height int) (result []float32) {
	t.Helper()
	last := 0.0
	err := n.EnlargeRows(t.Context(), tiling, width, height, reader(pixels, width), func(rows []float32) error {
		if len(rows)%(3*width*n.Info().Scale) != 0 {
			t.Fatalf("%d values, want whole rows", len(rows))
		}
		result = append(result, rows...)
		return nil
	}, func(tile, tiles int, share float64) {
		if share < last || share > 1 || tile > tiles {
			t.Fatalf("progress %d of %d, %v after %v", tile, tiles, share, last)
		}
		last = share
	})
	if err != nil || last != 1 {
		t.Fatal(err, last)
	}
	return result
}

// TestTilesAreExact compares pictures that were enlarged in tiles with those that were enlarged as a whole. The margins
// are the networks' reach, so that they are the same but for the order of summation.
func TestTilesAreExact(t *testing.T) {
	for _, file := range goldenFiles {
		n := openGolden(t, file)
		for _, size := range [][2]int{{61, 37}, {1, 1}, {2, 71}} {
			width, height := size[0], size[1]
			pixels := noise(width, height)
			whole, err := n.Enlarge(t.Context(), pixels, height, width, nil)
			if err != nil {
				t.Fatal(err)
			}
			for _, rows := range []int{100, 8} { // of a band
				tiling := n.NewTiling(width, height, 20, rows*3*width*n.Info().Scale*n.Info().Scale)
				if tiling.Margin < n.Info().Reach || tiling.Feather != 0 {
					t.Fatalf("%s: %+v with a reach of %d, want a margin for it", file, tiling, n.Info().Reach)
				}
				got := byTiles(t, n, tiling, pixels, width, height)
				if len(got) != len(whole) {
					t.Fatalf("%s: %v: %d values, want %d", file, size, len(got), len(whole))
				}
				worst := 0.0
				for i, v := range whole {
					worst = max(worst, math.Abs(float64(v-got[i])))
				}
				if !(worst <= 1e-5) {
					t.Errorf("%s: %v in %+v: values differ by up to %g", file, size, tiling, worst)
				}
			}
		}
	}
}

// TestSeams enlarges a picture with margins that are shorter than the network's reach. Around the seams the result may
// be another one than that of the whole picture, but there is no step in it.
func TestSeams(t *testing.T) {
	n := openGolden(t, "rrdb-x2plus.safetensors")
	const width, height, side = 96, 80, 32
	pixels := noise(width, height)
	whole, err := n.Enlarge(t.Context(), pixels, height, width, nil)
	if err != nil {
		t.Fatal(err)
	}
	steps := func(tiling Tiling) (atSeams, worst float64) {
		got := byTiles(t, n, tiling, pixels, width, height)
		scale := n.Info().Scale
		count := 0
		for y := range height * scale {
			for x := 1; x < width*scale; x++ {
				for c := range 3 {
					i := 3*(y*width*scale+x) + c
					d := float64(got[i] - whole[i])
					worst = max(worst, math.Abs(d))
					if x%(side*scale) == 0 {
						atSeams += math.Abs(d - float64(got[i-3]-whole[i-3]))
						count++
					}
				}
			}
		}
		return atSeams / float64(count), worst
	}
	hard, _ := steps(Tiling{Width: side, Height: side})
	soft, worst := steps(Tiling{Width: side, Height: side, Margin: 16, Feather: 4})
	t.Logf("steps at seams %.2g without a margin, %.2g with one; differences up to %.2g", hard, soft, worst)
	if !(soft < 0.1/255) || !(worst < 1.0/255) || !(hard > 10*soft) {
		t.Errorf("steps at seams of %.2g, differences up to %.2g, want less than a tenth of a level and a level; without a "+
			"margin %.2g, want far more", soft, worst, hard)
	}
}

func TestTiling(t *testing.T) {
	n := &Network{info: Info{Scale: 4, Fold: 1, Reach: 352}}
	tiling := n.NewTiling(5000, 3000, 256, 64<<20)
	if want := (Tiling{Width: 250, Height: 250, Margin: longMargin, Feather: longFeather}); tiling != want {
		t.Errorf("%+v, want %+v", tiling, want)
	}
	if w, h := tiling.Largest(5000, 100); w != 250+2*longMargin || h != 100 {
		t.Errorf("%d×%d", w, h)
	}
	n.info.Fold = 2
	for _, size := range []int{1, 2, 3, 255, 256, 257, 511, 4999} {
		tiling := n.NewTiling(size, size, 256, 1<<30)
		if tiling.Width%2 != 0 || tiling.Width < 1 || tiling.Width > 256 || tiling.Margin%2 != 0 {
			t.Errorf("%d: %+v, want even lengths of at most 256", size, tiling)
		}
	}
}

// TestJoiner checks that the weights of all tiles add up to 1 for any cores and feathers.
func TestJoiner(t *testing.T) {
	for _, core := range []int{1, 3, 8, 50} {
		for _, feather := range []int{0, 1, 4, 9} {
			const length = 53
			j := joiner{feather: feather}
			sums := make([]float32, length)
			for from := 0; from < length; from += core {
				list, covered := j.weights(interval{from, min(from+core, length)}, length)
				for i, w := range list {
					if w < 0 {
						t.Errorf("a weight of %v", w)
					}
					sums[covered.from+i] += w
				}
			}
			if slices.ContainsFunc(sums, func(v float32) bool { return math.Abs(float64(v)-1) > 1e-5 }) {
				t.Error(fmt.Sprint(core, feather), sums)
			}
		}
	}
}

func TestEnlargeRowsStops(t *testing.T) {
	n := openGolden(t, "compact-x2.safetensors")
	reason := errors.New("full")
	calls := 0
	err := n.EnlargeRows(t.Context(), Tiling{Width: 8, Height: 8, Margin: 4}, 8, 64, reader(noise(8, 64), 8),
		func([]float32) error { calls++; return reason }, nil)
	if err != reason || calls != 1 {
		t.Errorf("%v after %d calls, want the error of put", err, calls)
	}
}
