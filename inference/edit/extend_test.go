package edit

import (
	"errors"
	"image"
	"math"
	"testing"

	"github.com/kleinbild/kleinbild/inference/picture"
)

// TestExtendKeepsTheOldPixels extends pictures of all kinds and compares every old sample, then stitches a result into
// the canvas and compares again.
func TestExtendKeepsTheOldPixels(t *testing.T) {
	for name, o := range originalsOfAllKinds(t) {
		t.Run(name, func(t *testing.T) {
			for _, g := range []Margins{{Left: 33}, {Right: 1}, {Top: 40, Bottom: 7}, {Left: 5, Top: 6, Right: 70, Bottom: 8}} {
				canvas, m, err := Extend(t.Context(), o, g)
				if err != nil {
					t.Fatal(err)
				}
				if canvas.Size != g.Canvas(o.Size) || m.Size() != canvas.Size || canvas.Depth() != o.Depth() {
					t.Fatalf("%v for %v, want %v", canvas.Size, m.Size(), g.Canvas(o.Size))
				}
				a := NewArea(canvas.Size, m.Bounds(), Chosen, 256)
				cut := mustCut(t, canvas, a)
				out, err := Stitch(t.Context(), canvas, a, cut, changed(cut), m, Options{Feather: Chosen, MatchColours: true})
				if err != nil {
					t.Fatal(err)
				}
				old := o.Bounds().Add(image.Pt(g.Left, g.Top))
				for y := range canvas.Size.Height {
					for x := range canvas.Size.Width {
						if image.Pt(x, y).In(old) {
							want := sample(o, x-g.Left, y-g.Top)
							if sample(canvas, x, y) != want || sample(out, x, y) != want {
								t.Fatalf("%+v: (%d, %d) is %v and then %v, want %v", g, x, y,
									sample(canvas, x, y), sample(out, x, y), want)
							}
						} else if s := sample(out, x, y); s[3] != math.MaxUint16 {
							t.Fatalf("%+v: (%d, %d) has alpha %d, want it opaque", g, x, y, s[3])
						}
					}
				}
			}
		})
	}
}

// TestExtendContinuesTheEdges checks that the new area meets the old one without a step.
func TestExtendContinuesTheEdges(t *testing.T) {
	o := original(t, photo(160, 120, 4))
	g := Margins{Left: 50, Top: 30, Right: 20, Bottom: 60}
	canvas, _, err := Extend(t.Context(), o, g)
	if err != nil {
		t.Fatal(err)
	}
	for y := range 120 {
		if got, want := sample(canvas, 49, 30+y), sample(o, 0, y); got != want {
			t.Errorf("left of row %d: %v, want %v", y, got, want)
		}
		if got, want := sample(canvas, 210, 30+y), sample(o, 159, y); got != want {
			t.Errorf("right of row %d: %v, want %v", y, got, want)
		}
	}
	for x := range 160 {
		if got, want := sample(canvas, 50+x, 29), sample(o, x, 0); got != want {
			t.Errorf("above column %d: %v, want %v", x, got, want)
		}
	}
	// Far away the rows are smoother than the edge.
	rough := func(y int) (sum float64) {
		for x := 1; x < 230; x++ {
			sum += math.Abs(float64(sample(canvas, x, y)[0]) - float64(sample(canvas, x-1, y)[0]))
		}
		return sum
	}
	if near, far := rough(150), rough(209); far > near/2 {
		t.Errorf("the last row varies by %.0f, the first new one by %.0f: want it smoother", far, near)
	}
}

func TestMarginsAreChecked(t *testing.T) {
	size := picture.Size{Width: 1000, Height: 500}
	for _, row := range []struct {
		g    Margins
		fine bool
	}{
		{Margins{Left: 1}, true}, {Margins{Left: 3000}, true}, {Margins{Bottom: 7500}, true},
		{Margins{}, false}, {Margins{Left: -1, Right: 5}, false}, {Margins{Left: 3001}, false},
		{Margins{Bottom: 7501}, false}, {Margins{Left: 20_000, Bottom: 20_000}, false},
		{Margins{Left: math.MaxInt, Right: math.MaxInt}, false},
	} {
		if err := row.g.Check(size); (err == nil) != row.fine {
			t.Errorf("%+v: %v, want it fine: %v", row.g, err, row.fine)
		}
	}
	if err := (Margins{}).Check(size); !errors.Is(err, ErrNothingToChange) {
		t.Errorf("no margins: %v", err)
	}
	for _, row := range []struct {
		width, height float64
		want          Margins
	}{
		{2, 1, Margins{}}, {16, 9, Margins{Top: 31, Bottom: 32}}, {3, 1, Margins{Left: 250, Right: 250}},
		{1, 1, Margins{Top: 250, Bottom: 250}}, {0, 1, Margins{}}, {math.NaN(), 1, Margins{}}, {1, 0, Margins{}},
	} {
		if got := MarginsFor(size, row.width, row.height); got != row.want {
			t.Errorf("%g:%g: %+v, want %+v", row.width, row.height, got, row.want)
		}
	}
	if err := MarginsFor(size, 1e300, 1e-8).Check(size); err == nil {
		t.Error("an endless ratio was accepted")
	}
}
