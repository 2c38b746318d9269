package edit

import (
	"cmp"
	"context"
	"fmt"
	"image"
	"math"
	"slices"

	"github.com/kleinbild/kleinbild/inference/picture"
)

// MatchTo returns result with its colours matched to reference: first as a whole, by a gain and an offset for each
// channel, then the slow drift from place to place. Only places that show the same thing in both pictures are compared,
// so that what an edit has changed keeps its new colours; if there are none, nothing is matched. If the pictures have
// different shapes, places cannot be compared, and the mean and the deviation of the levels are matched, within
// mostGain. The pictures are opaque. The error is the context's.
func MatchTo(ctx context.Context, result, reference *image.RGBA) (*image.RGBA, error) {
	from, to := sizeOf(reference.Rect), sizeOf(result.Rect)
	if from != to {
		stretch := float64(from.Width) * float64(to.Height) / (float64(from.Height) * float64(to.Width))
		if max(stretch, 1/stretch) > sameShape {
			return matchLevels(ctx, result, reference)
		}
		scaled, err := picture.Placed(ctx, reference, from, image.Rectangle{Max: reference.Rect.Size()}, to,
			image.Rectangle{Max: result.Rect.Size()})
		if err != nil {
			return nil, err
		}
		reference = scaled
	}
	cells, columns, err := compareCells(ctx, result, reference)
	if err != nil {
		return nil, err
	}
	tone, ok := fitTone(cells)
	if !ok {
		return result, nil
	}
	f := &field{columns: columns, rows: len(cells) / columns}
	list := make([]measured, len(cells))
	for i, c := range cells {
		list[i].weight = c.alike
		for k := range 3 {
			list[i].offset[k] = c.reference[k] - tone.apply(k, c.result[k])
		}
	}
	f.discardOutliers(list)
	if err := f.solve(ctx, list); err != nil {
		return nil, err
	}
	toned, err := tone.applied(ctx, result)
	if err != nil {
		return nil, err
	}
	return f.applied(ctx, toned)
}

const (
	// sameShape is how much the ratios of the sides of two pictures may differ to be compared place by place.
	sameShape = 1.03
	// mostGain bounds the gain of a channel, and its inverse.
	mostGain = 1.35
	// leastAlike is the share of cells that have to show the same thing for colours to be matched.
	leastAlike = 0.03
	// flat is the deviation of luminance, in levels, below which a cell has no texture that could be compared. Such cells
	// count flatWeight.
	flat, flatWeight = 4.0, 0.25
	// leastCorrelation is the correlation of two cells' luminance from which on they may show the same thing.
	leastCorrelation = 0.5
)

// cellPair compares a cell of 16×16 pixels in two pictures.
type cellPair struct {
	result, reference [3]float64 // mean levels
	alike             float64    // from 0 to 1: how surely both show the same thing
	at                [2]float64 // its place in the picture, from −1 to 1
}

// compareCells compares two pictures of one size, cell by cell. Cells at the right and lower border may be smaller.
func compareCells(ctx context.Context, result, reference *image.RGBA) (cells []cellPair, columns int, err error) {
	width, height := result.Rect.Dx(), result.Rect.Dy()
	columns = (width + tokenSide - 1) / tokenSide
	rows := (height + tokenSide - 1) / tokenSide
	cells = make([]cellPair, columns*rows)
	err = picture.InBands(ctx, rows, func() func(first, count int) {
		return func(first, count int) {
			for row := first; row < first+count; row++ {
				for column := range columns {
					cell := &cells[row*columns+column]
					r := image.Rect(column*tokenSide, row*tokenSide, (column+1)*tokenSide, (row+1)*tokenSide)
					*cell = comparePair(result, reference, r.Intersect(image.Rect(0, 0, width, height)))
					cell.at = [2]float64{
						2*float64(column+1)/float64(columns+1) - 1, 2*float64(row+1)/float64(rows+1) - 1,
					}
				}
			}
		}
	})
	return cells, columns, err
}

func comparePair(result, reference *image.RGBA, r image.Rectangle) (pair cellPair) {
	var x, y, xx, yy, xy float64 // sums of luminance
	for j := r.Min.Y; j < r.Max.Y; j++ {
		a, b := result.Pix[j*result.Stride+4*r.Min.X:], reference.Pix[j*reference.Stride+4*r.Min.X:]
		for i := 0; i < 4*r.Dx(); i += 4 {
			p, q := a[i:i+3:i+3], b[i:i+3:i+3]
			for c := range 3 {
				pair.result[c] += float64(p[c])
				pair.reference[c] += float64(q[c])
			}
			u := 0.299*float64(p[0]) + 0.587*float64(p[1]) + 0.114*float64(p[2])
			v := 0.299*float64(q[0]) + 0.587*float64(q[1]) + 0.114*float64(q[2])
			x, y, xx, yy, xy = x+u, y+v, xx+u*u, yy+v*v, xy+u*v
		}
	}
	n := float64(r.Dx() * r.Dy())
	for c := range 3 {
		pair.result[c] /= n
		pair.reference[c] /= n
	}
	varX, varY, both := xx/n-x*x/n/n, yy/n-y*y/n/n, xy/n-x*y/n/n
	share := n / (tokenSide * tokenSide)
	switch {
	case max(varX, varY) < flat*flat:
		pair.alike = flatWeight * share
	case min(varX, varY) > flat*flat/4:
		correlation := both / math.Sqrt(varX*varY)
		pair.alike = share * min(max((correlation-leastCorrelation)/(1-leastCorrelation), 0), 1)
	}
	return pair
}

// tone is a gain and an offset for each channel. While it is fitted it also has a slope, so that a drift across the
// picture is not taken for a gain between its bright and its dark side; the field removes that drift.
type tone struct {
	gain, offset [3]float64
	slope        [3][2]float64
}

func (t tone) apply(c int, level float64) float64 { return t.gain[c]*level + t.offset[c] }

// fitTone finds the tone that maps the result's means to the reference's, by weighted least squares. Cells that
// disagree with most others lose their weight in each round. It returns false if too few cells agree.
func fitTone(cells []cellPair) (t tone, ok bool) {
	t.gain = [3]float64{1, 1, 1}
	for c := range 3 {
		t.offset[c] = weightedMedian(cells, func(p cellPair) float64 { return p.reference[c] - p.result[c] })
	}
	weights := make([]float64, len(cells))
	total := 0.0
	const rounds = 10
	for range rounds {
		var away []float64
		for _, p := range cells {
			if p.alike > 0 {
				away = append(away, t.away(p))
			}
		}
		if len(away) == 0 {
			return t, false
		}
		slices.SortFunc(away, cmp.Compare[float64])
		limit := max(4*away[len(away)/2], 6)
		total = 0
		for i, p := range cells {
			r := t.away(p) / limit
			weights[i] = p.alike * math.Pow(max(1-r*r, 0), 2)
			total += weights[i]
		}
		if total < leastAlike*float64(len(cells)) {
			return t, false
		}
		for c := range 3 {
			t.fit(c, cells, weights, total)
		}
	}
	return t, true
}

func (t tone) away(p cellPair) float64 {
	sum := 0.0
	for c := range 3 {
		d := p.reference[c] - t.apply(c, p.result[c]) - t.slope[c][0]*p.at[0] - t.slope[c][1]*p.at[1]
		sum += d * d
	}
	return math.Sqrt(sum / 3)
}

// fit sets the tone of a channel by weighted least squares. The gain stays near 1, and the slope near 0, if the cells
// say little about them.
func (t *tone) fit(c int, cells []cellPair, weights []float64, total float64) {
	var mean [3]float64 // of the result's level and the place
	y := 0.0
	for i, p := range cells {
		for k, v := range [3]float64{p.result[c], p.at[0], p.at[1]} {
			mean[k] += weights[i] * v / total
		}
		y += weights[i] * p.reference[c] / total
	}
	const gainPrior, slopePrior = 25, 0.01 // variances, in levels and places, that a gain of 1 and no slope are worth
	m := [3][4]float64{{gainPrior * total, 0, 0, gainPrior * total}, {0, slopePrior * total}, {0, 0, slopePrior * total}}
	for i, p := range cells {
		v := [3]float64{p.result[c] - mean[0], p.at[0] - mean[1], p.at[1] - mean[2]}
		for j := range 3 {
			for k := range 3 {
				m[j][k] += weights[i] * v[j] * v[k]
			}
			m[j][3] += weights[i] * v[j] * (p.reference[c] - y)
		}
	}
	x := solved(m)
	// What the fit leaves is taken for noise of the result. Noise in the known makes a fitted gain too small, by the share
	// that it has in the known's variance, so it is taken out of that.
	noise := 0.0
	for i, p := range cells {
		d := p.reference[c] - y - x[0]*(p.result[c]-mean[0]) - x[1]*(p.at[0]-mean[1]) - x[2]*(p.at[1]-mean[2])
		noise += weights[i] * d * d
	}
	m[0][0] -= min(noise, m[0][0]/2)
	x = solved(m)
	t.gain[c] = min(max(x[0], 1/mostGain), mostGain)
	t.slope[c] = [2]float64{x[1], x[2]}
	t.offset[c] = y - t.gain[c]*mean[0] - x[1]*mean[1] - x[2]*mean[2]
}

// solved solves three linear equations whose matrix is positive definite; the last column is the right side.
func solved(m [3][4]float64) (x [3]float64) {
	for i := range 3 {
		for j := i + 1; j < 3; j++ {
			factor := m[j][i] / m[i][i]
			for k := i; k < 4; k++ {
				m[j][k] -= factor * m[i][k]
			}
		}
	}
	for i := 2; i >= 0; i-- {
		x[i] = m[i][3]
		for k := i + 1; k < 3; k++ {
			x[i] -= m[i][k] * x[k]
		}
		x[i] /= m[i][i]
	}
	return x
}

func weightedMedian(cells []cellPair, value func(cellPair) float64) float64 {
	type weighted struct{ value, weight float64 }
	var list []weighted
	total := 0.0
	for _, p := range cells {
		if p.alike > 0 {
			list = append(list, weighted{value(p), p.alike})
			total += p.alike
		}
	}
	slices.SortFunc(list, func(a, b weighted) int { return cmp.Compare(a.value, b.value) })
	sum := 0.0
	for _, w := range list {
		if sum += w.weight; sum >= total/2 {
			return w.value
		}
	}
	return 0
}

// applied returns img with the tone applied to its levels.
func (t tone) applied(ctx context.Context, img *image.RGBA) (*image.RGBA, error) {
	var table [3][256]uint8
	for c := range 3 {
		for v := range 256 {
			table[c][v] = uint8(min(max(t.apply(c, float64(v)), 0), 255) + 0.5)
		}
	}
	dst := image.NewRGBA(image.Rectangle{Max: img.Rect.Size()})
	width := img.Rect.Dx()
	return dst, picture.InBands(ctx, img.Rect.Dy(), func() func(first, count int) {
		return func(first, count int) {
			for y := first; y < first+count; y++ {
				from, to := img.Pix[y*img.Stride:][:4*width], dst.Pix[y*dst.Stride:][:4*width]
				for i := 0; i < len(from); i += 4 {
					to[i], to[i+1], to[i+2], to[i+3] = table[0][from[i]], table[1][from[i+1]], table[2][from[i+2]], from[i+3]
				}
			}
		}
	})
}

// discardOutliers sets the weight of cells to 0 that are far from most others: their content was changed.
func (f *field) discardOutliers(cells []measured) {
	var list []float64
	size := func(c measured) float64 {
		return math.Sqrt((c.offset[0]*c.offset[0] + c.offset[1]*c.offset[1] + c.offset[2]*c.offset[2]) / 3)
	}
	for _, c := range cells {
		if c.weight > 0 {
			list = append(list, size(c))
		}
	}
	if len(list) == 0 {
		return
	}
	slices.SortFunc(list, cmp.Compare[float64])
	limit := max(6*list[len(list)/2], 12)
	for i, c := range cells {
		if size(c) > limit {
			cells[i].weight = 0
		}
	}
}

// matchLevels matches the mean and the deviation of the levels of two pictures of different shapes.
func matchLevels(ctx context.Context, result, reference *image.RGBA) (*image.RGBA, error) {
	var t tone
	x, varX := levelsOf(result)
	y, varY := levelsOf(reference)
	for c := range 3 {
		t.gain[c] = min(max(math.Sqrt((varY[c]+1)/(varX[c]+1)), 1/mostGain), mostGain)
		t.offset[c] = y[c] - t.gain[c]*x[c]
	}
	return t.applied(ctx, result)
}

// levelsOf returns the mean and the variance of each channel.
func levelsOf(img *image.RGBA) (mean, variance [3]float64) {
	n := 0.0
	for y := range img.Rect.Dy() {
		row := img.Pix[y*img.Stride:][:4*img.Rect.Dx()]
		for i := 0; i < len(row); i += 4 {
			for c := range 3 {
				v := float64(row[i+c])
				mean[c] += v
				variance[c] += v * v
			}
		}
		n += float64(img.Rect.Dx())
	}
	for c := range 3 {
		mean[c] /= n
		variance[c] = max(variance[c]/n-mean[c]*mean[c], 0)
	}
	return mean, variance
}

// Preview lays a preview of the work picture, of any size, into a small picture of the whole original, of any size. It
// mixes by the mask without matching colours, for a look at a picture in the making. whole stays as it is. The error
// is the context's.
func Preview(ctx context.Context, whole, preview *image.RGBA, a Area, m *Mask) (*image.RGBA, error) {
	size, from := sizeOf(whole.Rect), sizeOf(preview.Rect)
	if size.Width <= 0 || size.Height <= 0 || from.Width <= 0 || from.Height <= 0 {
		return nil, fmt.Errorf("edit: preview: pictures of %v and %v, want at least one pixel", size, from)
	}
	dst := image.NewRGBA(image.Rectangle{Max: whole.Rect.Size()})
	mask := m.over(image.Rect(0, 0, m.size.Width, m.size.Height), size)
	work := a.Size()
	// place returns where pixel i of whole lies in the preview, along an axis.
	place := func(i, side, picture, from, length, scaled, crop, work, preview int) float64 {
		at := (float64(i)+0.5)*float64(picture)/float64(side) - float64(from)
		return (at*float64(scaled)/float64(length) - float64(crop)) * float64(preview) / float64(work)
	}
	return dst, picture.InBands(ctx, size.Height, func() func(first, count int) {
		reader, values := mask.reader(), make([]float64, size.Width)
		return func(first, count int) {
			for y := first; y < first+count; y++ {
				copy(dst.Pix[y*dst.Stride:][:4*size.Width], whole.Pix[y*whole.Stride:])
				v := place(y, size.Height, m.size.Height, a.Source.Min.Y, a.Source.Dy(), a.Scaled.Height, a.Crop.Min.Y,
					work.Height, from.Height)
				if v < 0 || v >= float64(from.Height) {
					continue
				}
				reader.row(y, 0, values)
				for x, weight := range values {
					u := place(x, size.Width, m.size.Width, a.Source.Min.X, a.Source.Dx(), a.Scaled.Width, a.Crop.Min.X,
						work.Width, from.Width)
					if weight == 0 || u < 0 || u >= float64(from.Width) {
						continue
					}
					p := dst.Pix[y*dst.Stride+4*x:][:3]
					for c, level := range interpolated(preview, u-0.5, v-0.5) {
						p[c] = uint8(float64(p[c]) + weight*(level-float64(p[c])) + 0.5)
					}
				}
			}
		}
	})
}

// interpolated returns the levels at a place between the centres of pixels.
func interpolated(img *image.RGBA, u, v float64) (levels [3]float64) {
	u = min(max(u, 0), float64(img.Rect.Dx()-1))
	v = min(max(v, 0), float64(img.Rect.Dy()-1))
	x, y := int(u), int(v)
	right, below := min(x+1, img.Rect.Dx()-1), min(y+1, img.Rect.Dy()-1)
	partX, partY := u-float64(x), v-float64(y)
	for c := range levels {
		at := func(i, j int) float64 { return float64(img.Pix[j*img.Stride+4*i+c]) }
		upper := at(x, y) + partX*(at(right, y)-at(x, y))
		lower := at(x, below) + partX*(at(right, below)-at(x, below))
		levels[c] = upper + partY*(lower-upper)
	}
	return levels
}
