package paint

import (
	"image"
	"math"
	"slices"

	"golang.org/x/image/vector"
)

// Work is a mask that is being made from another one, which stays as it is: a tile is copied before it is first
// changed. One goroutine uses it.
type Work struct {
	Mask  // shows the work as it is at the moment
	owned []bool
}

// Edit returns a Work that begins as the mask.
func (m *Mask) Edit() *Work {
	return &Work{Mask{m.size, m.across, slices.Clone(m.tiles)}, make([]bool, len(m.tiles))}
}

// Done returns the mask that was made. The Work must not be used after that.
func (w *Work) Done() *Mask {
	m := w.Mask
	for i, t := range m.tiles { // what is all of one level takes no memory
		if w.owned[i] {
			m.tiles[i] = m.plain(i, t)
		}
	}
	w.owned, w.Mask = nil, Mask{}
	return &m
}

// own returns a tile of the work that may be changed.
func (w *Work) own(i int) *tile {
	if !w.owned[i] {
		t := &tile{}
		if w.tiles[i] != black {
			*t = *w.tiles[i]
		}
		w.tiles[i], w.owned[i] = t, true
	}
	return w.tiles[i]
}

// within calls do for each tile that overlaps a rectangle, with the overlap.
func (w *Work) within(r image.Rectangle, do func(i int, part image.Rectangle)) {
	r = r.Intersect(image.Rectangle{Max: w.size})
	if r.Empty() {
		return
	}
	for ty := r.Min.Y / TileSide; ty*TileSide < r.Max.Y; ty++ {
		for tx := r.Min.X / TileSide; tx*TileSide < r.Max.X; tx++ {
			i := ty*w.across + tx
			do(i, w.rect(i).Intersect(r))
		}
	}
}

// Brush is round. Size is its diameter in pixels of the picture. Up to Hardness of its radius, from 0 to 1, it covers
// all; from there to its edge it fades out.
type Brush struct {
	Size     float64
	Hardness float64
}

// The limits of Brush.Size.
const (
	LeastSize = 1
	MostSize  = 1000
)

// Line draws with a brush from one place to another, in pixels of the picture, and returns the rectangle that may have
// changed. A pixel gets the greatest coverage of all lines through it, so that a stroke of many lines is as even as one
// of few.
func (w *Work) Line(b Brush, x0, y0, x1, y1 float64) image.Rectangle {
	fall := newFalloff(b)
	reach := fall.reach
	box := image.Rect(
		int(math.Floor(min(x0, x1)-reach)), int(math.Floor(min(y0, y1)-reach)),
		int(math.Ceil(max(x0, x1)+reach)), int(math.Ceil(max(y0, y1)+reach)),
	).Intersect(image.Rectangle{Max: w.size})
	dx, dy := x1-x0, y1-y0
	length := dx*dx + dy*dy
	if length > 0 {
		dx, dy = dx/length, dy/length // so that the dot product is the place along the line, from 0 to 1
	}
	w.within(box, func(i int, part image.Rectangle) {
		if w.tiles[i] == white {
			return
		}
		ox, oy := part.Min.X/TileSide*TileSide, part.Min.Y/TileSide*TileSide
		var t *tile
		for y := part.Min.Y; y < part.Max.Y; y++ {
			py := float64(y) + 0.5
			from, end := across(py, x0, y0, x1, y1, reach)
			first, last := max(part.Min.X, from), min(part.Max.X, end)
			if first >= last {
				continue
			}
			if t == nil {
				t = w.own(i)
			}
			row := t[(y-oy)*TileSide:][first-ox : last-ox]
			py -= y0
			px := float64(first) + 0.5 - x0
			along, across := py*dy, py
			for k := range row {
				s := min(max(along+px*dx, 0), 1) * length
				ax, ay := px-s*dx, across-s*dy
				row[k] = max(row[k], fall.at(ax*ax+ay*ay))
				px++
			}
		}
	})
	return box
}

// across returns the columns in which a row at height y may lie within reach of the line.
func across(y, x0, y0, x1, y1, reach float64) (from, end int) {
	lo, hi := math.Inf(1), math.Inf(-1)
	for _, p := range [2][2]float64{{x0, y0}, {x1, y1}} {
		if d := reach*reach - (y-p[1])*(y-p[1]); d > 0 {
			half := math.Sqrt(d)
			lo, hi = min(lo, p[0]-half), max(hi, p[0]+half)
		}
	}
	// The body between both ends is a rectangle: its edges are the line moved by reach to both sides.
	dx, dy := x1-x0, y1-y0
	if l := math.Hypot(dx, dy); l > 0 {
		nx, ny := -dy/l*reach, dx/l*reach
		corners := [4][2]float64{{x0 + nx, y0 + ny}, {x1 + nx, y1 + ny}, {x1 - nx, y1 - ny}, {x0 - nx, y0 - ny}}
		for k, a := range corners {
			b := corners[(k+1)%4]
			if (a[1] <= y) != (b[1] <= y) {
				x := a[0] + (y-a[1])/(b[1]-a[1])*(b[0]-a[0])
				lo, hi = min(lo, x), max(hi, x)
			}
		}
	}
	if lo > hi {
		return 0, 0
	}
	return int(math.Floor(lo)) - 1, int(math.Ceil(hi)) + 1
}

// falloff is the coverage of a brush by the square of the distance from its middle.
type falloff struct {
	reach  float64 // from where on it covers nothing
	scale  float64 // entries of table for a unit of the squared distance
	inside float64 // squared distance up to which it covers all
	table  [fallSteps + 1]uint8
}

const fallSteps = 2048

func newFalloff(b Brush) *falloff {
	radius := b.Size / 2
	// A hard edge is one pixel wide, so that it has no steps.
	inner := min(radius*b.Hardness, radius-0.5)
	outer := radius + 0.5
	f := &falloff{reach: outer, inside: max(inner, 0) * max(inner, 0), scale: fallSteps / (outer * outer)}
	width := outer - inner
	for i := range f.table {
		d := math.Sqrt(float64(i) / f.scale)
		u := min(max((outer-d)/width, 0), 1)
		if width > 1.5 {
			u = u * u * (3 - 2*u) // a smooth step
		}
		f.table[i] = uint8(255*u + 0.5)
	}
	return f
}

func (f *falloff) at(squared float64) uint8 {
	if squared <= f.inside {
		return 255
	}
	i := int(squared * f.scale)
	if i > fallSteps {
		return 0
	}
	return f.table[i]
}

// Rectangle fills a rectangle and returns the part of it that lies in the mask.
func (w *Work) Rectangle(r image.Rectangle) image.Rectangle {
	w.within(r, func(i int, part image.Rectangle) {
		if part == w.rect(i) {
			w.tiles[i], w.owned[i] = white, false
			return
		}
		t := w.own(i)
		ox, oy := part.Min.X/TileSide*TileSide, part.Min.Y/TileSide*TileSide
		for y := part.Min.Y - oy; y < part.Max.Y-oy; y++ {
			copy(t[y*TileSide:][part.Min.X-ox:part.Max.X-ox], white[:])
		}
	})
	return r.Intersect(image.Rectangle{Max: w.size})
}

// Point is a place in pixels of the picture.
type Point struct{ X, Y float32 }

// Polygon fills the inside of a closed line, with an edge that has no steps, and returns the rectangle that may have
// changed. What the line goes around several times is inside, too.
func (w *Work) Polygon(corners []Point) image.Rectangle {
	if len(corners) < 3 {
		return image.Rectangle{}
	}
	least, most := corners[0], corners[0]
	for _, c := range corners {
		least, most = Point{min(least.X, c.X), min(least.Y, c.Y)}, Point{max(most.X, c.X), max(most.Y, c.Y)}
	}
	box := image.Rect(int(math.Floor(float64(least.X))), int(math.Floor(float64(least.Y))),
		int(math.Ceil(float64(most.X))), int(math.Ceil(float64(most.Y)))).Intersect(image.Rectangle{Max: w.size})
	// One row of tiles after the other. The rasterizer counts in fixed point up to a side of 512, which is too coarse for
	// edges of this length.
	left := box.Min.X / TileSide * TileSide
	width := max((box.Max.X-left+TileSide-1)/TileSide*TileSide, 3*TileSide)
	raster := vector.NewRasterizer(width, TileSide)
	cover := image.NewAlpha(image.Rect(0, 0, width, TileSide))
	drawn := -1
	w.within(box, func(i int, part image.Rectangle) {
		top := part.Min.Y / TileSide * TileSide
		if top != drawn {
			drawn = top
			raster.Reset(width, TileSide)
			for k, c := range corners {
				if x, y := c.X-float32(left), c.Y-float32(top); k == 0 {
					raster.MoveTo(x, y)
				} else {
					raster.LineTo(x, y)
				}
			}
			raster.ClosePath()
			clear(cover.Pix)
			raster.Draw(cover, cover.Rect, image.Opaque, image.Point{})
		}
		t := w.own(i)
		from := part.Min.X/TileSide*TileSide - left
		for y := range TileSide {
			row := t[y*TileSide:][:TileSide]
			for k, v := range cover.Pix[y*width+from:][:TileSide] {
				row[k] = max(row[k], v)
			}
		}
	})
	return box
}
