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

// KeepUnchanged returns the original with only that part of result which differs from it. result is the model's picture
// of the whole original, of the work size of a, after an edit without a mask. amount, from 0 to 1, says how large a
// difference has to be to stay: at 0 the whole result stays. Colours are matched first, so that a drift of all
// colours is no difference. changed is the share of the original's pixels that are written; if nothing differs, kept is
// the original. The error is the context's, or says that an argument is out of range.
func KeepUnchanged(
	ctx context.Context, o *picture.Original, a Area, result *image.RGBA, amount float64,
) (kept *picture.Original, changed float64, err error) {
	if !(amount >= 0 && amount <= 1) {
		return nil, 0, fmt.Errorf("edit: keep unchanged: amount %v, want 0 to 1", amount)
	}
	m := FullMask(o.Size)
	if amount > 0 {
		if err := checkSizes(o, a, nil, result, m, Options{}); err != nil {
			return nil, 0, err
		}
		cut, err := Cut(ctx, o, a)
		if err != nil {
			return nil, 0, err
		}
		if result, err = MatchTo(ctx, result, cut); err != nil {
			return nil, 0, err
		}
		if m, err = differenceMask(ctx, cut, result, a, o.Size, amount); err != nil || m == nil {
			return o, 0, err
		}
	}
	if kept, err = Stitch(ctx, o, a, nil, result, m, Options{}); err != nil {
		return nil, 0, err
	}
	changed, err = m.Share(ctx, a.Rect())
	return kept, changed, err
}

// The rule for what differs. Distances are Euclidean in OKLab, where about 0.02 is just noticeable; lengths are pixels
// of the work picture.
const (
	leastDifference, mostDifference = 0.015, 0.07 // the threshold at the amounts 0 and 1
	// noiseFactor times the median difference is the least threshold, because most of the picture did not change. Beyond
	// mostNoise the median is no noise any more.
	noiseFactor, mostNoise = 3.0, 0.02
	// A change has to exceed the threshold seedFactor times somewhere, and to have leastPixels.
	seedFactor, leastPixels = 1.5, 24
	grain                   = 2  // the radius of the mean of differences, over which grain cancels out
	closed                  = 4  // gaps of up to 2·closed are part of a change
	grownBy                 = 6  // a change grows by as much, because its border is softer than its middle
	softened                = 10 // the width of the feather around it
)

// differenceMask returns the mask, for a picture of the given size, of what differs between two work pictures of the
// area. It returns nil if nothing does.
func differenceMask(
	ctx context.Context, cut, result *image.RGBA, a Area, size picture.Size, amount float64,
) (*Mask, error) {
	width, height := cut.Rect.Dx(), cut.Rect.Dy()
	differences, err := labDifferences(ctx, cut, result)
	if err != nil {
		return nil, err
	}
	threshold := leastDifference + amount*(mostDifference-leastDifference)
	sorted := slices.Clone(differences)
	slices.SortFunc(sorted, cmp.Compare[float32])
	threshold = max(threshold, noiseFactor*min(float64(sorted[len(sorted)/2]), mostNoise))
	changed := largeChanges(differences, width, height, float32(threshold))
	if !slices.Contains(changed, 255) {
		return nil, nil
	}
	// Growing by more and shrinking again closes gaps. The soft edge lies outside of the grown change.
	changed = extreme(changed, width, height, closed+grownBy, true)
	changed = extreme(changed, width, height, closed, false)
	changed = extreme(changed, width, height, softened/2, true)
	for range 2 {
		changed = meanOf(changed, width, height, softened/4)
	}
	work := &image.Gray{Pix: changed, Stride: width, Rect: image.Rect(0, 0, width, height)}
	m := &Mask{gray: image.NewGray(image.Rect(0, 0, size.Width, size.Height)), size: size, exact: true}
	rect := a.Rect()
	err = picture.InBands(ctx, rect.Dy(), func() func(first, count int) {
		return func(first, count int) {
			for y := rect.Min.Y + first; y < rect.Min.Y+first+count; y++ {
				v := (float64(y-a.Source.Min.Y)+0.5)*float64(a.Scaled.Height)/float64(a.Source.Dy()) - float64(a.Crop.Min.Y)
				row := m.gray.Pix[y*m.gray.Stride:]
				for x := rect.Min.X; x < rect.Max.X; x++ {
					u := (float64(x-a.Source.Min.X)+0.5)*float64(a.Scaled.Width)/float64(a.Source.Dx()) - float64(a.Crop.Min.X)
					row[x] = interpolatedGray(work, u-0.5, v-0.5)
				}
			}
		}
	})
	if err != nil {
		return nil, err
	}
	if m.findBounds("nothing differs") != nil {
		return nil, nil
	}
	return m, nil
}

func interpolatedGray(img *image.Gray, u, v float64) uint8 {
	u = min(max(u, 0), float64(img.Rect.Dx()-1))
	v = min(max(v, 0), float64(img.Rect.Dy()-1))
	x, y := int(u), int(v)
	right, below := min(x+1, img.Rect.Dx()-1), min(y+1, img.Rect.Dy()-1)
	at := func(i, j int) float64 { return float64(img.Pix[j*img.Stride+i]) }
	partX, partY := u-float64(x), v-float64(y)
	upper := at(x, y) + partX*(at(right, y)-at(x, y))
	lower := at(x, below) + partX*(at(right, below)-at(x, below))
	return uint8(upper + partY*(lower-upper) + 0.5)
}

// labDifferences returns the distance of two pictures in OKLab for each pixel, after the difference was averaged over
// the pixels around it.
func labDifferences(ctx context.Context, a, b *image.RGBA) ([]float32, error) {
	width, height := a.Rect.Dx(), a.Rect.Dy()
	planes := [3][]float32{}
	for c := range planes {
		planes[c] = make([]float32, width*height)
	}
	err := picture.InBands(ctx, height, func() func(first, count int) {
		return func(first, count int) {
			for y := first; y < first+count; y++ {
				p, q := a.Pix[y*a.Stride:][:4*width], b.Pix[y*b.Stride:][:4*width]
				for x := range width {
					if p[4*x] == q[4*x] && p[4*x+1] == q[4*x+1] && p[4*x+2] == q[4*x+2] {
						continue
					}
					u, v := okLab(p[4*x:4*x+3]), okLab(q[4*x:4*x+3])
					for c := range planes {
						planes[c][y*width+x] = u[c] - v[c]
					}
				}
			}
		}
	})
	if err != nil {
		return nil, err
	}
	for c := range planes {
		planes[c] = meanOf(planes[c], width, height, grain)
	}
	for i := range planes[0] {
		l, x, y := planes[0][i], planes[1][i], planes[2][i]
		planes[0][i] = float32(math.Sqrt(float64(l*l + x*x + y*y)))
	}
	return planes[0], ctx.Err()
}

// okLab converts sRGB levels to OKLab (Björn Ottosson, 2020).
func okLab(levels []uint8) [3]float32 {
	r, g, b := picture.SRGBToLight(float32(levels[0])), picture.SRGBToLight(float32(levels[1])),
		picture.SRGBToLight(float32(levels[2]))
	root := func(v float32) float32 { return float32(math.Cbrt(float64(v))) }
	l := root(0.4122214708*r + 0.5363325363*g + 0.0514459929*b)
	m := root(0.2119034982*r + 0.6806995451*g + 0.1073969566*b)
	s := root(0.0883024619*r + 0.2817188376*g + 0.6299787005*b)
	return [3]float32{
		0.2104542553*l + 0.7936177850*m - 0.0040720468*s,
		1.9779984951*l - 2.4285922050*m + 0.4505937099*s,
		0.0259040371*l + 0.7827717662*m - 0.8086757660*s,
	}
}

// largeChanges returns 255 for the pixels above the threshold that belong to a connected piece of leastPixels or more
// with a pixel above seedFactor times the threshold, and 0 for others.
func largeChanges(differences []float32, width, height int, threshold float32) []uint8 {
	marks := make([]uint8, len(differences)) // 1: seen
	var piece []int
	for start, d := range differences {
		if marks[start] != 0 || d <= threshold {
			continue
		}
		piece = append(piece[:0], start)
		marks[start] = 1
		most := d
		for next := 0; next < len(piece); next++ {
			i := piece[next]
			x, y := i%width, i/width
			most = max(most, differences[i])
			visit := func(j int, inside bool) {
				if inside && marks[j] == 0 && differences[j] > threshold {
					marks[j] = 1
					piece = append(piece, j)
				}
			}
			visit(i-1, x > 0)
			visit(i+1, x+1 < width)
			visit(i-width, y > 0)
			visit(i+width, y+1 < height)
		}
		if len(piece) >= leastPixels && most > seedFactor*threshold {
			for _, i := range piece {
				marks[i] = 255
			}
		}
	}
	for i, v := range marks {
		if v == 1 {
			marks[i] = 0
		}
	}
	return marks
}

// extreme returns the largest or the smallest value in the square of the given radius around each pixel.
func extreme(pix []uint8, width, height, radius int, largest bool) []uint8 {
	pick := func(a, b uint8) uint8 {
		if largest == (a > b) {
			return a
		}
		return b
	}
	line := func(out, in []uint8, n, step int) {
		for i := range n {
			v := in[i*step]
			for j := max(i-radius, 0); j <= min(i+radius, n-1); j++ {
				v = pick(v, in[j*step])
			}
			out[i*step] = v
		}
	}
	across, both := make([]uint8, len(pix)), make([]uint8, len(pix))
	for y := range height {
		line(across[y*width:], pix[y*width:], width, 1)
	}
	for x := range width {
		line(both[x:], across[x:], height, width)
	}
	return both
}

// meanOf returns the mean over the square of the given radius around each pixel, or over what of it is in the picture.
func meanOf[T uint8 | float32](pix []T, width, height, radius int) []T {
	across, both := make([]float32, len(pix)), make([]T, len(pix))
	rounding := float32(0)
	if _, whole := any(pix[0]).(uint8); whole {
		rounding = 0.5
	}
	for y := range height {
		row, out := pix[y*width:(y+1)*width], across[y*width:(y+1)*width]
		for x := range out {
			var sum float32
			from, end := max(x-radius, 0), min(x+radius+1, width)
			for _, v := range row[from:end] {
				sum += float32(v)
			}
			out[x] = sum / float32(end-from)
		}
	}
	sums := make([]float32, width)
	for y := range height {
		clear(sums)
		from, end := max(y-radius, 0), min(y+radius+1, height)
		for j := from; j < end; j++ {
			for x, v := range across[j*width : (j+1)*width] {
				sums[x] += v
			}
		}
		for x, v := range sums {
			both[y*width+x] = T(v/float32(end-from) + rounding)
		}
	}
	return both
}
