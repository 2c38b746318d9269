package ui

import (
	"image"
	"math"
)

// FrameRules say where a frame may lie, in pixels of the picture. The zero value allows every frame of at least one
// pixel.
type FrameRules struct {
	Within image.Rectangle // the frame stays inside; empty for no such limit
	Around image.Rectangle // the frame holds all of it; empty for no such limit
	Least  image.Point     // the smallest size
	Ratio  float64         // of width to height; 0 for any
	// Edges snap to whole steps. The left edge counts them from the left edge of Grid, the right one from its right edge,
	// and so on. 0 and 1 snap to pixels.
	Step int
	Grid image.Rectangle
	// While the whole frame is dragged, its edges and its middle are drawn to those of Pull, if they come as near as Near
	// pixels. 0 draws nothing.
	Pull image.Rectangle
	Near int
	// Allows refuses what no rectangle can say, such as too large an area; nil allows all. A change that it refuses does
	// not happen.
	Allows func(image.Rectangle) bool
}

// framePart is what of a frame is moved: its left (-1) or right (1) edge, its upper (-1) or lower (1) one, one of each
// at a corner, or none of them for the whole frame.
type framePart struct{ x, y int }

// moved returns the frame that becomes of from if a part of it is moved by some pixels, as far as the rules allow it.
func (r FrameRules) moved(from image.Rectangle, part framePart, by image.Point) image.Rectangle {
	to := from
	switch {
	case part == framePart{}:
		to = r.slid(from, by)
	case r.Ratio > 0:
		to = r.scaled(from, part, by)
	default:
		to.Min.X, to.Max.X = r.across().stretched(from.Min.X, from.Max.X, part.x, by.X)
		to.Min.Y, to.Max.Y = r.down().stretched(from.Min.Y, from.Max.Y, part.y, by.Y)
	}
	if r.Allows != nil && !r.Allows(to) {
		return from
	}
	return to
}

// pull returns by how much a frame moves to lie at the edges or the middle of Pull.
func (r FrameRules) pull(at image.Rectangle) image.Point {
	along := func(lo, hi, from, to int) int {
		best := r.Near + 1
		for _, by := range []int{from - lo, to - hi, (from + to - lo - hi) / 2} {
			if max(by, -by) < max(best, -best) {
				best = by
			}
		}
		if max(best, -best) > r.Near {
			return 0
		}
		return best
	}
	if r.Near <= 0 || r.Pull.Empty() {
		return image.Point{}
	}
	return image.Pt(along(at.Min.X, at.Max.X, r.Pull.Min.X, r.Pull.Max.X),
		along(at.Min.Y, at.Max.Y, r.Pull.Min.Y, r.Pull.Max.Y))
}

// movable says whether the frame can be moved as a whole.
func (r FrameRules) movable(from image.Rectangle) bool {
	for _, by := range []image.Point{{1, 0}, {-1, 0}, {0, 1}, {0, -1}} {
		if r.slid(from, by.Mul(max(r.Step, 1))) != from {
			return true
		}
	}
	return false
}

// Fit returns the frame with the ratio of the rules, in the place of from and with about its area. It is from if there
// is none.
func (r FrameRules) Fit(from image.Rectangle) image.Rectangle {
	if r.Ratio <= 0 || from.Empty() {
		return from
	}
	width := math.Sqrt(float64(from.Dx()) * float64(from.Dy()) * r.Ratio)
	least, most := r.widths(r.across().room(), r.down().room())
	if least > most {
		return from
	}
	size := r.sized(min(max(width, least), most))
	corner := from.Min.Add(from.Max).Sub(size).Div(2)
	to := r.slid(image.Rectangle{corner, corner.Add(size)}, image.Point{})
	if r.Allows != nil && !r.Allows(to) {
		return from
	}
	return to
}

func (r FrameRules) slid(from image.Rectangle, by image.Point) image.Rectangle {
	return from.Add(image.Pt(
		r.across().slid(from.Min.X, from.Max.X, by.X), r.down().slid(from.Min.Y, from.Max.Y, by.Y)))
}

// scaled moves one edge or a corner and keeps the ratio. The opposite edge or corner stays; if an edge is moved, the
// frame grows to both sides of the middle.
func (r FrameRules) scaled(from image.Rectangle, part framePart, by image.Point) image.Rectangle {
	across, down := r.across(), r.down()
	var width float64
	switch dx, dy := float64(from.Dx()+part.x*by.X), float64(from.Dy()+part.y*by.Y); {
	case part.y == 0:
		width = dx
	case part.x == 0:
		width = dy * r.Ratio
	default: // the point of the diagonal that is nearest to the pointer
		width = (dx*r.Ratio + dy) / (r.Ratio*r.Ratio + 1) * r.Ratio
	}
	least, most := r.widths(
		across.roomFor(from.Min.X, from.Max.X, part.x), down.roomFor(from.Min.Y, from.Max.Y, part.y))
	if least > most {
		return from
	}
	width = min(max(width, least), most)
	if part.x != 0 { // the edge that is moved lies at a step
		lo, hi := across.stretched(from.Min.X, from.Max.X, part.x, part.x*(int(math.Round(width))-from.Dx()))
		width = min(max(float64(hi-lo), least), most)
	}
	size := r.sized(width)
	to := image.Rectangle{from.Min, from.Min.Add(size)}
	place := func(lo, hi, length, side int) int {
		switch {
		case side < 0:
			return hi - length - lo
		case side == 0:
			return (hi - lo - length) / 2
		}
		return 0
	}
	to = to.Add(image.Pt(
		place(from.Min.X, from.Max.X, size.X, part.x), place(from.Min.Y, from.Max.Y, size.Y, part.y)))
	if part.x == 0 {
		to = to.Add(image.Pt(across.kept(to.Min.X, to.Max.X), 0))
	}
	if part.y == 0 {
		to = to.Add(image.Pt(0, down.kept(to.Min.Y, to.Max.Y)))
	}
	return to
}

// sized returns the size of a frame with the ratio of the rules.
func (r FrameRules) sized(width float64) image.Point {
	return image.Pt(max(int(math.Round(width)), 1), max(int(math.Round(width/r.Ratio)), 1))
}

// widths returns the smallest and the largest width of a frame with the ratio of the rules, if across and down bound
// its sides.
func (r FrameRules) widths(across, down [2]int) (least, most float64) {
	least = max(float64(across[0]), float64(down[0])*r.Ratio)
	return least, min(float64(across[1]), float64(down[1])*r.Ratio)
}

// frameAxis are the rules for the two edges of a frame that lie across or down: the lower and the higher place.
type frameAxis struct {
	within, around, grid [2]int // within and around have no length if there is no such limit
	least, step          int
}

func (r FrameRules) across() frameAxis {
	return frameAxis{
		[2]int{r.Within.Min.X, r.Within.Max.X}, [2]int{r.Around.Min.X, r.Around.Max.X},
		[2]int{r.Grid.Min.X, r.Grid.Max.X}, max(r.Least.X, 1), max(r.Step, 1),
	}
}

func (r FrameRules) down() frameAxis {
	return frameAxis{
		[2]int{r.Within.Min.Y, r.Within.Max.Y}, [2]int{r.Around.Min.Y, r.Around.Max.Y},
		[2]int{r.Grid.Min.Y, r.Grid.Max.Y}, max(r.Least.Y, 1), max(r.Step, 1),
	}
}

// farthest is beyond all pictures, and far from the end of the integers.
const farthest = 1 << 28

// limits returns the range of the lower edge and of the higher one.
func (a frameAxis) limits() (lo, hi [2]int) {
	lo, hi = [2]int{-farthest, farthest}, [2]int{-farthest, farthest}
	if a.within[0] < a.within[1] {
		lo[0], hi[1] = a.within[0], a.within[1]
	}
	if a.around[0] < a.around[1] {
		lo[1], hi[0] = a.around[0], a.around[1]
	}
	return lo, hi
}

// stretched moves the lower edge (side -1) or the higher one (1) by some pixels.
func (a frameAxis) stretched(lo, hi, side, by int) (int, int) {
	low, high := a.limits()
	switch {
	case side < 0 && by != 0:
		to := snapped(lo+by, a.grid[0], a.step)
		lo = max(min(to, low[1], hi-a.least), low[0])
	case side > 0 && by != 0:
		to := snapped(hi+by, a.grid[1], a.step)
		hi = min(max(to, high[0], lo+a.least), high[1])
	}
	return lo, hi
}

// slid returns by how many pixels both edges move if they are to move by that many.
func (a frameAxis) slid(lo, hi, by int) int {
	if by != 0 {
		by = snapped(lo+by, a.grid[0], a.step) - lo
	}
	return by + a.kept(lo+by, hi+by)
}

// kept returns by how many pixels both edges have to move to be within the limits, 0 if they cannot.
func (a frameAxis) kept(lo, hi int) int {
	low, high := a.limits()
	least, most := max(low[0]-lo, high[0]-hi), min(low[1]-lo, high[1]-hi)
	if least > most {
		return 0
	}
	return min(max(0, least), most)
}

// room returns the least and the greatest length of a frame.
func (a frameAxis) room() [2]int {
	low, high := a.limits()
	return [2]int{max(a.least, high[0]-low[1]), high[1] - low[0]}
}

// roomFor is room for a frame of which only one edge moves; side 0 moves both.
func (a frameAxis) roomFor(lo, hi, side int) [2]int {
	low, high := a.limits()
	switch {
	case side < 0:
		return [2]int{max(a.least, hi-low[1]), hi - low[0]}
	case side > 0:
		return [2]int{max(a.least, high[0]-lo), high[1] - lo}
	}
	return a.room()
}

// snapped returns the place nearest to v that lies whole steps away from origin.
func snapped(v, origin, step int) int {
	return origin + int(math.Round(float64(v-origin)/float64(step)))*step
}
