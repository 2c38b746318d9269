package ui

import (
	"image"
	"math"
	"math/rand/v2"
	"testing"
)

var (
	photo = image.Rect(0, 0, 600, 400)
	whole = framePart{}
	left  = framePart{-1, 0}
	right = framePart{1, 0}
	above = framePart{0, -1}
	below = framePart{0, 1}
	high  = framePart{1, -1} // the upper right corner
	low   = framePart{1, 1}  // the lower right corner
)

func TestMoveFrame(t *testing.T) {
	crop := FrameRules{Within: photo, Least: image.Pt(64, 64)}
	square, wide := crop, crop
	square.Ratio, wide.Ratio = 1, 2
	stepped := crop
	stepped.Step, stepped.Grid = 16, photo
	extend := FrameRules{Around: photo, Grid: photo, Within: image.Rect(-1000, -1000, 1600, 1400)}
	tens := extend
	tens.Step = 10
	cinema := extend
	cinema.Ratio = 2
	small := extend
	small.Allows = func(r image.Rectangle) bool { return r.Dx() <= 700 }
	from := image.Rect(100, 100, 300, 200)
	for _, row := range []struct {
		name  string
		rules FrameRules
		from  image.Rectangle
		part  framePart
		by    image.Point
		want  image.Rectangle
	}{
		{"move", crop, from, whole, image.Pt(7, -9), image.Rect(107, 91, 307, 191)},
		{"move to the corner", crop, from, whole, image.Pt(1000, 1000), image.Rect(400, 300, 600, 400)},
		{"move to the other", crop, from, whole, image.Pt(-1000, -1000), image.Rect(0, 0, 200, 100)},
		{"no rules", FrameRules{}, from, whole, image.Pt(-1000, 0), image.Rect(-900, 100, -700, 200)},
		{"left edge", crop, from, left, image.Pt(-30, 50), image.Rect(70, 100, 300, 200)},
		{"left edge to the end", crop, from, left, image.Pt(-300, 0), image.Rect(0, 100, 300, 200)},
		{"left edge, too far in", crop, from, left, image.Pt(500, 0), image.Rect(236, 100, 300, 200)},
		{"lower edge", crop, from, below, image.Pt(50, 500), image.Rect(100, 100, 300, 400)},
		{"corner", crop, from, low, image.Pt(10, 20), image.Rect(100, 100, 310, 220)},
		{"upper corner, too far in", crop, from, high, image.Pt(-500, 500), image.Rect(100, 136, 164, 200)},

		{"square, corner", square, image.Rect(100, 100, 200, 200), low, image.Pt(60, 20), image.Rect(100, 100, 240, 240)},
		{"square, corner at the limit", square, image.Rect(100, 100, 200, 200), low, image.Pt(900, 900),
			image.Rect(100, 100, 400, 400)},
		{"wide, corner too far in", wide, from, high, image.Pt(-500, 500), image.Rect(100, 136, 228, 200)},
		{"square, right edge grows around the middle", square, image.Rect(100, 100, 200, 200), right, image.Pt(20, 0),
			image.Rect(100, 90, 220, 210)},
		{"square, left edge grows and stays inside", square, image.Rect(300, 0, 400, 100), left, image.Pt(-20, 0),
			image.Rect(280, 0, 400, 120)},
		{"wide, upper edge", wide, from, above, image.Pt(0, -50), image.Rect(50, 50, 350, 200)},

		{"steps, move", stepped, image.Rect(0, 0, 200, 100), whole, image.Pt(20, 7), image.Rect(16, 0, 216, 100)},
		{"steps, right edge counts from the picture's", stepped, image.Rect(0, 0, 600, 400), right, image.Pt(-20, 0),
			image.Rect(0, 0, 584, 400)},
		{"steps, the limit is reached", stepped, image.Rect(16, 0, 216, 100), left, image.Pt(-100, 0),
			image.Rect(0, 0, 216, 100)},

		{"extend to the left", extend, photo, left, image.Pt(-200, 0), image.Rect(-200, 0, 600, 400)},
		{"extend inwards", extend, photo, left, image.Pt(200, 0), photo},
		{"extend back in", extend, image.Rect(-200, 0, 600, 400), left, image.Pt(500, 0), photo},
		{"extend at a corner", extend, photo, high, image.Pt(55, -33), image.Rect(0, -33, 655, 400)},
		{"extend beyond the limit", extend, photo, below, image.Pt(0, 5000), image.Rect(0, 0, 600, 1400)},
		{"slide around the picture", extend, image.Rect(-50, 0, 700, 400), whole, image.Pt(500, 30),
			image.Rect(0, 0, 750, 400)},
		{"nothing to slide", extend, photo, whole, image.Pt(50, 30), photo},
		{"extend in tens", tens, photo, low, image.Pt(44, 46), image.Rect(0, 0, 640, 450)},
		{"extend with a ratio", cinema, image.Rect(-100, 0, 700, 400), right, image.Pt(200, 0),
			image.Rect(-100, -50, 900, 450)},
		{"extend with a ratio, inwards", cinema, image.Rect(-100, 0, 700, 400), right, image.Pt(-200, 0),
			image.Rect(-100, 0, 700, 400)},
		{"refused", small, photo, right, image.Pt(101, 0), photo},
		{"allowed", small, photo, right, image.Pt(100, 0), image.Rect(0, 0, 700, 400)},
	} {
		t.Run(row.name, func(t *testing.T) {
			if got := row.rules.moved(row.from, row.part, row.by); got != row.want {
				t.Errorf("%v, want %v", got, row.want)
			}
		})
	}
	if extend.movable(photo) || !crop.movable(from) {
		t.Error("a frame with the picture's size has nowhere to go, a small one inside it has")
	}
}

func TestFitFrame(t *testing.T) {
	for _, row := range []struct {
		name  string
		rules FrameRules
		from  image.Rectangle
		want  image.Rectangle
	}{
		{"no ratio", FrameRules{Within: photo}, photo, photo},
		{"largest square", FrameRules{Within: photo, Ratio: 1}, photo, image.Rect(100, 0, 500, 400)},
		{"same area", FrameRules{Within: photo, Ratio: 1}, image.Rect(200, 150, 400, 200), image.Rect(250, 125, 350, 225)},
		{"kept inside", FrameRules{Within: photo, Ratio: 1}, image.Rect(0, 0, 400, 100), image.Rect(100, 0, 300, 200)},
		{"around the picture", FrameRules{Around: photo, Ratio: 1}, photo, image.Rect(0, -100, 600, 500)},
		{"impossible", FrameRules{Within: photo, Around: photo, Ratio: 1}, photo, photo},
	} {
		if got := row.rules.Fit(row.from); got != row.want {
			t.Errorf("%s: %v, want %v", row.name, got, row.want)
		}
	}
}

// TestFrameKeepsItsRules moves frames by chance: none leaves its limits, and all keep their ratio, to a pixel.
func TestFrameKeepsItsRules(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 11))
	for range 20_000 {
		rules := FrameRules{Within: photo, Least: image.Pt(32, 32), Step: 1 + random.IntN(20), Grid: photo}
		from := image.Rect(200, 100, 320, 180)
		if random.IntN(2) == 0 {
			rules = FrameRules{Around: photo, Within: photo.Inset(-500), Step: rules.Step, Grid: photo}
			from = photo.Inset(-120)
		}
		if random.IntN(2) == 0 {
			rules.Ratio = float64(from.Dx()) / float64(from.Dy())
		}
		for range 8 {
			part := framePart{random.IntN(3) - 1, random.IntN(3) - 1}
			by := image.Pt(random.IntN(1001)-500, random.IntN(1001)-500)
			to := rules.moved(from, part, by)
			if !to.In(rules.Within) || !rules.Around.In(to) || to.Dx() < rules.Least.X || to.Dy() < rules.Least.Y {
				t.Fatalf("%v moved %v by %v: %v is against %+v", from, part, by, to, rules)
			}
			// One pixel in either side, as both are rounded.
			if r := rules.Ratio; r > 0 && math.Abs(float64(to.Dx())-float64(to.Dy())*r) > 1+r {
				t.Fatalf("%v moved %v by %v: %v has not the ratio %v", from, part, by, to, r)
			}
			if part == whole && to.Size() != from.Size() {
				t.Fatalf("%v moved by %v became %v", from, by, to)
			}
			from = to
		}
	}
}
