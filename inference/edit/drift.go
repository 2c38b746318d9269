package edit

import (
	"cmp"
	"context"
	"image"
	"math"
	"slices"

	"github.com/kleinbild/kleinbild/inference/picture"
)

// The drift of colours between two pictures of one size is described by a grid of cells of 16×16 pixels: what has to be
// added to the levels of one to get those of the other, apart from what they show. It is measured where both show the
// same thing, and continued into all other cells as smoothly as possible.

// field is the drift: an offset of the sRGB levels for each cell, and so for each pixel by linear interpolation between
// the centres of cells.
type field struct {
	columns, rows int
	offsets       [][3]float32
}

// measured is the difference of two pictures in a cell.
type measured struct {
	offset [3]float64
	weight float64 // 0 if the cell says nothing
}

const (
	// smoothness is the weight of the difference of neighbouring cells, when a cell of full weight has 1. It averages the
	// grain of about 10 cells.
	smoothness = 2.0
	// usualNoise is the deviation of levels within a cell of two pictures that show the same thing. A cell that deviates
	// more counts less.
	usualNoise = 10.0
	// mixedWeight is the weight of a cell that is partly in the mask, as a share of that of its pixels outside: the model
	// has painted such a cell too.
	mixedWeight = 0.05
	// sweeps is the number of relaxation sweeps. Twice the largest number of cells along a side is enough for the
	// over-relaxed method to move a value across the picture.
	sweeps = 256
)

// maskDrift measures the drift from result to cut where the mask is 0. Both have the work size of a. It returns nil if
// the mask leaves nothing to compare.
func maskDrift(ctx context.Context, cut, result *image.RGBA, m *Mask, a Area) (*field, error) {
	size := a.Size()
	f := &field{columns: size.Width / tokenSide, rows: size.Height / tokenSide}
	cells := make([]measured, f.columns*f.rows)
	scaled := m.over(a.Source, a.Scaled)
	err := picture.InBands(ctx, f.rows*tokenSide, func() func(first, count int) { // a band is a row of cells
		reader := scaled.reader()
		values := make([]float64, size.Width)
		sums := make([]cellSum, f.columns)
		return func(first, count int) {
			clear(sums)
			for y := first; y < first+count; y++ {
				reader.row(a.Crop.Min.Y+y, a.Crop.Min.X, values)
				from, to := result.Pix[y*result.Stride:][:4*size.Width], cut.Pix[y*cut.Stride:][:4*size.Width]
				for x, v := range values {
					if v == 0 {
						sums[x/tokenSide].add(to[4*x:4*x+3], from[4*x:4*x+3])
					}
				}
			}
			for i := range sums {
				cells[first/tokenSide*f.columns+i] = sums[i].measure()
			}
		}
	})
	if err != nil {
		return nil, err
	}
	return f, f.solve(ctx, cells)
}

// cellSum adds up the differences of a cell's pixels.
type cellSum struct {
	pixels  int
	sum     [3]int
	squares int // of the sum of the three differences
}

func (s *cellSum) add(to, from []uint8) {
	s.pixels++
	all := 0
	for c := range 3 {
		d := int(to[c]) - int(from[c])
		s.sum[c] += d
		all += d
	}
	s.squares += all * all
}

func (s *cellSum) measure() (m measured) {
	if s.pixels == 0 {
		return m
	}
	n := float64(s.pixels)
	total := 0.0
	for c := range 3 {
		m.offset[c] = float64(s.sum[c]) / n
		total += m.offset[c]
	}
	variance := max(float64(s.squares)/n-total*total, 0) / 9
	m.weight = n / (tokenSide * tokenSide) / (1 + variance/(usualNoise*usualNoise))
	if s.pixels < tokenSide*tokenSide {
		m.weight *= mixedWeight
	}
	return m
}

// solve computes the field from cells. It minimises the weighted squares of the differences from the measured offsets,
// and of those between neighbours. Cells that disagree with the result are then weighted down, and it is
// computed again: something else is to be seen there. The error is the context's.
func (f *field) solve(ctx context.Context, cells []measured) error {
	f.offsets = make([][3]float32, len(cells))
	var mean [3]float64
	total := 0.0
	for _, c := range cells {
		total += c.weight
		for i := range mean {
			mean[i] += c.weight * c.offset[i]
		}
	}
	if total == 0 {
		return nil
	}
	for i := range f.offsets {
		for c := range mean {
			f.offsets[i][c] = float32(mean[c] / total)
		}
	}
	weights := make([]float32, len(cells))
	for i, c := range cells {
		weights[i] = float32(c.weight)
	}
	const rounds = 3
	for round := range rounds {
		for range sweeps {
			f.relax(cells, weights)
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if round == rounds-1 {
			break
		}
		limit := f.spread(cells)
		for i, c := range cells {
			r := f.away(i, c) / limit
			weights[i] = float32(c.weight / (1 + r*r*r*r))
		}
	}
	return nil
}

// away returns how far the measured offset of cell i is from the field, in levels.
func (f *field) away(i int, c measured) float64 {
	sum := 0.0
	for k, v := range f.offsets[i] {
		d := c.offset[k] - float64(v)
		sum += d * d
	}
	return math.Sqrt(sum / 3)
}

// spread returns the distance from the field beyond which a cell is an outlier: three times the median distance, and at
// least 3 levels.
func (f *field) spread(cells []measured) float64 {
	var list []float64
	for i, c := range cells {
		if c.weight > mixedWeight {
			list = append(list, f.away(i, c))
		}
	}
	if len(list) == 0 {
		return 3
	}
	slices.SortFunc(list, cmp.Compare[float64])
	return max(3*list[len(list)/2], 3)
}

// relax runs a sweep of successive over-relaxation.
func (f *field) relax(cells []measured, weights []float32) {
	const over = 1.9
	for y := range f.rows {
		for x := range f.columns {
			i := y*f.columns + x
			var sum [3]float32
			neighbours := float32(0)
			add := func(j int) {
				neighbours++
				for c, v := range f.offsets[j] {
					sum[c] += v
				}
			}
			if x > 0 {
				add(i - 1)
			}
			if x+1 < f.columns {
				add(i + 1)
			}
			if y > 0 {
				add(i - f.columns)
			}
			if y+1 < f.rows {
				add(i + f.columns)
			}
			whole := weights[i] + smoothness*neighbours
			if whole == 0 {
				continue
			}
			for c := range 3 {
				next := (weights[i]*float32(cells[i].offset[c]) + smoothness*sum[c]) / whole
				f.offsets[i][c] += over * (next - f.offsets[i][c])
			}
		}
	}
}

// fieldRow reads the offsets along a row of pixels. It belongs to one goroutine.
type fieldRow struct {
	*field
	row   [][3]float32 // between two rows of cells
	fixed [][3]int     // row in units of 2⁻¹⁶, and the last one again
}

func (f *field) reader() *fieldRow {
	return &fieldRow{f, make([][3]float32, f.columns), make([][3]int, f.columns+1)}
}

// at moves to a row: y is its centre in pixels of the work picture.
func (r *fieldRow) at(y float64) {
	low, part := between(y, r.rows)
	upper, lower := r.offsets[low*r.columns:][:r.columns], r.offsets[min(low+1, r.rows-1)*r.columns:][:r.columns]
	for i := range r.row {
		for c := range 3 {
			r.row[i][c] = upper[i][c] + part*(lower[i][c]-upper[i][c])
			r.fixed[i][c] = int(math.Round(float64(r.row[i][c]) * fixedOne))
		}
	}
	r.fixed[len(r.row)] = r.fixed[len(r.row)-1]
}

// fixedOne is 1 in fixed point.
const fixedOne = 1 << 16

// offset returns the offset at x, the centre of a pixel in the work picture.
func (r *fieldRow) offset(x float64) (d [3]float32) {
	low, part := between(x, r.columns)
	return r.between(cellPlace{low: low, part: part})
}

// cellPlace is a place between two cells: the one before it, and how far it is on the way to the next one.
type cellPlace struct {
	low   int
	part  float32
	fixed int // part in units of 2⁻¹⁶
}

// between returns the offset at a place.
func (r *fieldRow) between(p cellPlace) (d [3]float32) {
	left, right := &r.row[p.low], &r.row[min(p.low+1, len(r.row)-1)]
	d[0] = left[0] + p.part*(right[0]-left[0])
	d[1] = left[1] + p.part*(right[1]-left[1])
	d[2] = left[2] + p.part*(right[2]-left[2])
	return d
}

// between returns the cell whose centre lies before a place, and how far the place is on the way to the next one.
func between(place float64, cells int) (low int, part float32) {
	place = min(max(place/tokenSide-0.5, 0), float64(cells-1))
	low = int(place)
	return low, float32(place - float64(low))
}

// applied returns img with the field added to its levels. img has the field's size in pixels.
func (f *field) applied(ctx context.Context, img *image.RGBA) (*image.RGBA, error) {
	dst := image.NewRGBA(img.Rect)
	width := img.Rect.Dx()
	return dst, picture.InBands(ctx, img.Rect.Dy(), func() func(first, count int) {
		reader := f.reader()
		return func(first, count int) {
			for y := first; y < first+count; y++ {
				reader.at(float64(y) + 0.5)
				from, to := img.Pix[y*img.Stride:][:4*width], dst.Pix[y*dst.Stride:][:4*width]
				for x := range width {
					d := reader.offset(float64(x) + 0.5)
					for c, v := range d {
						to[4*x+c] = uint8(min(max(float32(from[4*x+c])+v, 0), 255) + 0.5)
					}
					to[4*x+3] = from[4*x+3]
				}
			}
		}
	})
}
