package edit

import (
	"context"
	"image"
	"math"

	"github.com/kleinbild/kleinbild/inference/picture"
)

// weights says how much of the result each pixel of a rectangle of the original takes.
type weights struct {
	rect    image.Rectangle
	mask    *scaledMask
	exact   bool     // the weight is the mask itself
	behind  bool     // the result lies behind the original, see MaskFromAlpha
	feather []uint16 // [rect.Dy(), rect.Dx()] from 0 to 65535; nil for no feather
}

// newWeights returns the weights for the mask's pixels in rect. The mask is nowhere else, except outside of rect, where
// there is no result. With a feather the weight rises from the border of the mask inwards over so many pixels, or over
// half the width of the mask if that is less, so that its core always takes the whole result.
func newWeights(ctx context.Context, m *Mask, rect image.Rectangle, feather int) (*weights, error) {
	size := m.size
	w := &weights{
		rect: rect, mask: m.over(image.Rect(0, 0, size.Width, size.Height), size),
		exact: m.exact, behind: m.transparency,
	}
	if feather <= 0 || m.exact {
		return w, nil
	}
	feather = min(feather, mostFeather)
	distances, err := w.distances(ctx, feather)
	if err != nil {
		return nil, err
	}
	w.feather = distances
	return w, w.ramp(ctx, feather)
}

// mostFeather bounds the feather, because distances have 16 bits in steps of 1/distanceSteps pixel.
const (
	mostFeather   = 2000
	distanceSteps = 32
)

// row writes the weights of row y of the original, for the pixels of w.rect. reader is w.mask's for one goroutine.
// A weight is 0 if and only if the mask is 0. A grey mask of one half or more takes the whole result, because the model
// itself changes grey areas only partly; below that it fades out.
func (w *weights) row(reader *maskReader, y int, values []float64, out []float32) {
	reader.row(y, w.rect.Min.X, values)
	if w.exact {
		for i, v := range values {
			out[i] = float32(v)
		}
		return
	}
	if w.feather == nil {
		for i, v := range values {
			out[i] = float32(min(2*v, 1))
		}
		return
	}
	const unit = 1.0 / math.MaxUint16
	for i, f := range w.feather[(y-w.rect.Min.Y)*w.rect.Dx():][:len(out)] {
		out[i] = float32(min(2*values[i], 1)) * float32(f) * unit
	}
}

// distances returns, for each pixel of w.rect, the Euclidean distance to the nearest pixel whose mask is 0, in steps of
// 1/distanceSteps pixel, up to feather + 1. Outside of w.rect the mask is 0, but the border of the picture is none.
// The distance in a column comes first, then a row takes the least of the parabolas of its columns, as Felzenszwalb and
// Huttenlocher do.
func (w *weights) distances(ctx context.Context, feather int) ([]uint16, error) {
	width, height := w.rect.Dx(), w.rect.Dy()
	most := uint16(feather + 1)
	columns := make([]uint16, width*height)
	err := picture.InBands(ctx, height, func() func(first, count int) {
		reader, values := w.mask.reader(), make([]float64, width)
		return func(first, count int) {
			for y := first; y < first+count; y++ {
				reader.row(w.rect.Min.Y+y, w.rect.Min.X, values)
				for x, v := range values {
					if v > 0 {
						columns[y*width+x] = most
					}
				}
			}
		}
	})
	if err != nil {
		return nil, err
	}
	top, bottom := w.open()
	const chunk = 16 // columns of one unit of work
	err = picture.InBands(ctx, (width+chunk-1)/chunk, func() func(first, count int) {
		return func(first, count int) {
			from, end := first*chunk, min((first+count)*chunk, width)
			sweep := func(y, before int, edge bool) {
				row := columns[y*width+from : y*width+end]
				if before < 0 || before >= height {
					if !edge {
						for i := range row {
							row[i] = min(row[i], 1)
						}
					}
					return
				}
				for i, v := range columns[before*width+from : before*width+end] {
					row[i] = min(row[i], v+1)
				}
			}
			for y := range height {
				sweep(y, y-1, top)
			}
			for y := height - 1; y >= 0; y-- {
				sweep(y, y+1, bottom)
			}
		}
	})
	if err != nil {
		return nil, err
	}
	left, right := w.rect.Min.X == 0, w.rect.Max.X == w.mask.width()
	return columns, picture.InBands(ctx, height, func() func(first, count int) {
		e := newEnvelope(width + 2)
		return func(first, count int) {
			for y := first; y < first+count; y++ {
				e.row(columns[y*width:(y+1)*width], most, left, right)
			}
		}
	})
}

// open reports whether the rectangle's upper and lower edges are edges of the picture.
func (w *weights) open() (top, bottom bool) {
	return w.rect.Min.Y == 0, w.rect.Max.Y == len(w.mask.down.shares)
}

func (s *scaledMask) width() int { return len(s.across.shares) }

// envelope is the lower envelope of parabolas, in memory for one goroutine.
type envelope struct {
	at   []int     // columns of the parabolas
	from []float64 // where each of them begins to be the lowest
	g    []int     // their least values' roots
}

func newEnvelope(n int) *envelope {
	return &envelope{make([]int, 0, n), make([]float64, 0, n), make([]int, 0, n)}
}

// row replaces the distances in columns by the distances in the plane, in steps of 1/distanceSteps pixel. A column at
// most is too far away to matter. left and right say that the row's ends are those of the picture.
func (e *envelope) row(row []uint16, most uint16, left, right bool) {
	e.at, e.from, e.g = e.at[:0], e.from[:0], e.g[:0]
	if !left {
		e.add(-1, 0)
	}
	for x, g := range row {
		if g < most {
			e.add(x, int(g))
		}
	}
	if !right {
		e.add(len(row), 0)
	}
	far := most * distanceSteps
	if len(e.at) == 0 {
		for x := range row {
			row[x] = far
		}
		return
	}
	k := 0
	for x := range row {
		for k+1 < len(e.at) && e.from[k+1] <= float64(x) {
			k++
		}
		d := x - e.at[k]
		squared := d*d + e.g[k]*e.g[k]
		if squared >= int(most)*int(most) {
			row[x] = far
			continue
		}
		row[x] = uint16(math.Sqrt(float64(squared))*distanceSteps + 0.5)
	}
}

// add appends the parabola of a column, which lies right of all others.
func (e *envelope) add(x, g int) {
	for len(e.at) > 0 {
		last := len(e.at) - 1
		other, h := e.at[last], e.g[last]
		meet := float64(x*x+g*g-other*other-h*h) / float64(2*(x-other))
		if meet > e.from[last] {
			e.at, e.from, e.g = append(e.at, x), append(e.from, meet), append(e.g, g)
			return
		}
		e.at, e.from, e.g = e.at[:last], e.from[:last], e.g[:last]
	}
	e.at, e.from, e.g = append(e.at, x), append(e.from, math.Inf(-1)), append(e.g, g)
}

// ramp replaces distances by the feather's factor: a smooth step from 0 at the mask's border to 1 at the feather's
// width.
func (w *weights) ramp(ctx context.Context, feather int) error {
	deepest := uint16(0)
	for _, d := range w.feather {
		deepest = max(deepest, d)
	}
	width := min(float64(feather), max(float64(deepest)/distanceSteps-0.5, 0.5))
	factor := make([]uint16, int(deepest)+1)
	for d := range factor {
		// The border lies half a pixel before the centre of the first pixel.
		t := min(max((float64(d)/distanceSteps-0.5)/width, 0), 1)
		if d > 0 {
			t = max(t, 1/math.MaxUint16) // a pixel in the mask never has the weight 0
		}
		factor[d] = uint16(math.Ceil(t * t * (3 - 2*t) * math.MaxUint16))
	}
	rows, across := w.rect.Dy(), w.rect.Dx()
	return picture.InBands(ctx, rows, func() func(first, count int) {
		return func(first, count int) {
			row := w.feather[first*across : (first+count)*across]
			for i, d := range row {
				row[i] = factor[d]
			}
		}
	})
}

// DefaultFeather returns the feather for a mask, in pixels of the original: a twelfth of the mask's usual width, which
// is twice its area divided by its outline, and at most 48. New area around a picture has a narrow one, because under
// it lies only the continuation of the picture's edge.
func DefaultFeather(m *Mask) int {
	if m.transparency {
		return 0
	}
	const half, share, most, mostExtended = 128, 12, 48, 8
	b := m.gray.Rect
	area, outline := 0, 0
	for y := range b.Dy() {
		row := m.gray.Pix[y*m.gray.Stride:][:b.Dx()]
		for x, v := range row {
			if v < half {
				continue
			}
			area++
			if x > 0 && row[x-1] < half || x+1 < len(row) && row[x+1] < half ||
				y > 0 && m.gray.Pix[(y-1)*m.gray.Stride+x] < half ||
				y+1 < b.Dy() && m.gray.Pix[(y+1)*m.gray.Stride+x] < half {
				outline++
			}
		}
	}
	if outline == 0 {
		return 1 // no border, or a faint mask, which is soft by itself
	}
	scale := math.Sqrt(float64(m.size.Width) / float64(b.Dx()) * float64(m.size.Height) / float64(b.Dy()))
	feather := min(max(int(2*float64(area)/float64(outline)/share*scale+0.5), 1), most)
	if m.extended {
		feather = min(feather, mostExtended)
	}
	return feather
}
