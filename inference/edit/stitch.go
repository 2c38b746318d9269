package edit

import (
	"context"
	"fmt"
	"image"
	"math"

	"github.com/kleinbild/kleinbild/inference/picture"
)

// Chosen stands for a value that the package chooses, see Options.Feather and NewArea.
const Chosen = -1

// Options says how Stitch lays a result into the original.
type Options struct {
	// Feather is the width of the soft edge inside the mask, in pixels of the original. 0 gives a hard edge; a negative
	// number stands for DefaultFeather.
	Feather int
	// MatchColours removes the slow drift of colours between the cut and the result. It is measured where the mask is 0,
	// where both show the same thing, and continued smoothly into the mask.
	MatchColours bool
}

// Stitch lays result, the model's picture of the area's work size, into the original. cut is what Cut returned for the
// area; it is only used to match colours. The returned picture has the original's size, bit depth, profile and alpha;
// pixels whose mask is 0 are equal to the original's. The original stays as it is. With Feather 0, a mask of 0 and 255,
// and no matching of colours, the pixels in the mask are exactly the result's, if the area is at scale 1 and the
// original in sRGB.
//
// Where the weight of the result is between 0 and 1, both are mixed in linear light. A gray original takes the result's
// luminance. A transparent pixel keeps its alpha and takes the colour with which it looks like the result on white;
// with MaskFromAlpha it becomes opaque instead, with the result behind it.
//
// The error is the context's, or says that the sizes do not fit.
func Stitch(
	ctx context.Context, o *picture.Original, a Area, cut, result *image.RGBA, m *Mask, options Options,
) (*picture.Original, error) {
	if err := checkSizes(o, a, cut, result, m, options); err != nil {
		return nil, err
	}
	rect := m.bounds.Intersect(a.Rect())
	if rect.Empty() {
		return o, nil
	}
	feather := options.Feather
	if feather < 0 {
		feather = DefaultFeather(m)
	}
	if m.transparency {
		feather = 0 // the original lies over the result, so there is no edge
	}
	var drift *field
	if options.MatchColours {
		var err error
		if drift, err = maskDrift(ctx, cut, result, m, a); err != nil {
			return nil, err
		}
	}
	w, err := newWeights(ctx, m, rect, feather)
	if err != nil {
		return nil, err
	}
	window := rect.Sub(a.Source.Min)
	scaled, err := picture.Placed(ctx, result, a.Scaled, a.Crop, sizeOf(a.Source), window)
	if err != nil {
		return nil, err
	}
	s := &stitcher{o: o, area: a, weights: w, result: scaled, drift: drift, light: o.Light(), pixels: o.Copy()}
	s.columns = make([]cellPlace, rect.Dx())
	for i := range s.columns {
		x := workPlace(rect.Min.X+i, a.Source.Min.X, a.Source.Dx(), a.Scaled.Width, a.Crop.Min.X)
		s.columns[i].low, s.columns[i].part = between(x, a.Size().Width/tokenSide)
		s.columns[i].fixed = int(s.columns[i].part*fixedOne + 0.5)
	}
	if err := picture.InBands(ctx, rect.Dy(), s.worker); err != nil {
		return nil, err
	}
	return o.With(s.pixels), nil
}

func sizeOf(r image.Rectangle) picture.Size { return picture.Size{Width: r.Dx(), Height: r.Dy()} }

func checkSizes(o *picture.Original, a Area, cut, result *image.RGBA, m *Mask, options Options) error {
	work := a.Size()
	switch {
	case sizeOf(result.Rect) != work || result.Rect.Min != image.Point{}:
		return fmt.Errorf("edit: stitch: result of %v, want the area's %v", result.Rect, work)
	case options.MatchColours && (cut == nil || cut.Rect != result.Rect):
		return fmt.Errorf("edit: stitch: no cut of the area's %v, want it for matching colours", work)
	case m.size != o.Size:
		return fmt.Errorf("edit: stitch: mask for a picture of %v, want %v", m.size, o.Size)
	case !a.Source.In(o.Bounds()) || a.Source.Empty():
		return fmt.Errorf("edit: stitch: area %v, want a part of the picture of %v", a.Source, o.Size)
	}
	return nil
}

// stitcher mixes the rows of a stitch.
type stitcher struct {
	o       *picture.Original
	area    Area
	weights *weights
	result  *image.RGBA // at the original's scale, for the pixels of weights.rect
	drift   *field      // nil if colours are not matched
	light   *picture.Light
	pixels  image.Image // what is written, with the original's pixels at first
	columns []cellPlace // where each column of weights.rect lies in drift
}

// stitchRow is the memory of one goroutine.
type stitchRow struct {
	*stitcher
	reader  *maskReader
	values  []float64
	weight  []float32
	levels  []float32 // the result's sRGB levels, three a pixel
	samples []uint16
	mixed   []float32 // light, three a pixel
	drift   *fieldRow
}

func (s *stitcher) worker() func(first, count int) {
	n := s.weights.rect.Dx()
	r := &stitchRow{
		stitcher: s, reader: s.weights.mask.reader(), values: make([]float64, n), weight: make([]float32, n),
		levels: make([]float32, 3*n), samples: make([]uint16, 4*n), mixed: make([]float32, 3*n),
	}
	if s.drift != nil {
		r.drift = s.drift.reader()
	}
	return func(first, count int) {
		for y := first; y < first+count; y++ {
			r.row(y)
		}
	}
}

// row mixes a row, counted from the top of the rectangle.
func (r *stitchRow) row(y int) {
	rect := r.weights.rect
	r.weights.row(r.reader, rect.Min.Y+y, r.values, r.weight)
	// Runs of pixels with a weight of 0 are skipped, and runs in which the result is simply copied are quick.
	const skipped, copied, mixed = 0, 1, 2
	direct := r.o.PlainSRGB() && r.o.Opaque()
	kind := func(w float32) int {
		switch {
		case w == 0:
			return skipped
		case w == 1 && direct:
			return copied
		}
		return mixed
	}
	moved := false
	for x := 0; x < len(r.weight); {
		this := kind(r.weight[x])
		end := x + 1
		for end < len(r.weight) && kind(r.weight[end]) == this {
			end++
		}
		if this != skipped {
			if !moved && r.drift != nil {
				r.drift.at(workPlace(rect.Min.Y+y, r.area.Source.Min.Y, r.area.Source.Dy(), r.area.Scaled.Height,
					r.area.Crop.Min.Y))
				moved = true
			}
			if img, ok := r.pixels.(*image.NRGBA); ok && this == copied {
				r.copyBytes(img, y, x, end)
			} else if r.readLevels(y, x, end); this == copied {
				r.copyRun(y, x, end)
			} else {
				r.o.Row(r.samples[4*x:4*end], rect.Min.X+x, rect.Min.Y+y, end-x)
				r.mixRun(x, end)
				picture.PutRow(r.pixels, r.samples[4*x:4*end], rect.Min.X+x, rect.Min.Y+y)
			}
		}
		x = end
	}
}

// workPlace returns where the centre of pixel i of the original lies along an axis of the work picture.
func workPlace(i, from, length, scaled, crop int) float64 {
	return (float64(i-from)+0.5)*float64(scaled)/float64(length) - float64(crop)
}

// readLevels reads the result's levels for a run of pixels, with the drift removed.
func (r *stitchRow) readLevels(y, x, end int) {
	pix := r.result.Pix[y*r.result.Stride:][4*x : 4*end]
	levels := r.levels[3*x : 3*end]
	if r.drift == nil {
		for i := range levels {
			levels[i] = float32(pix[i/3*4+i%3])
		}
		return
	}
	for i, place := range r.columns[x:end] {
		d := r.drift.between(place)
		p, l := pix[4*i:4*i+3:4*i+3], levels[3*i:3*i+3:3*i+3]
		for c := range 3 {
			l[c] = min(max(float32(p[c])+d[c], 0), 255)
		}
	}
}

// copyBytes is readLevels and copyRun for 8-bit levels, in whole numbers.
func (r *stitchRow) copyBytes(img *image.NRGBA, y, x, end int) {
	rect := r.weights.rect
	from := r.result.Pix[y*r.result.Stride:][4*x : 4*end]
	to := img.Pix[img.PixOffset(rect.Min.X+x, rect.Min.Y+y):][:len(from)]
	if r.drift == nil {
		copy(to, from) // both are opaque
		return
	}
	const half = fixedOne / 2
	for i, place := range r.columns[x:end] {
		left, right := &r.drift.fixed[place.low], &r.drift.fixed[place.low+1]
		p, q := from[4*i:4*i+3:4*i+3], to[4*i:4*i+3:4*i+3]
		for c := range 3 {
			d := left[c] + (right[c]-left[c])*place.fixed/fixedOne
			q[c] = uint8(min(max((int(p[c])*fixedOne+d+half)>>16, 0), 255))
		}
	}
}

// copyRun writes the result's levels of a run of row y, counted from the top of the rectangle.
func (r *stitchRow) copyRun(y, x, end int) {
	rect := r.weights.rect
	for i := x; i < end; i++ {
		for c := range 3 {
			r.samples[4*i+c] = uint16(r.levels[3*i+c]*257 + 0.5)
		}
		r.samples[4*i+3] = math.MaxUint16
	}
	picture.PutRow(r.pixels, r.samples[4*x:4*end], rect.Min.X+x, rect.Min.Y+y)
}

// mixRun mixes samples with the result's levels in linear light.
func (r *stitchRow) mixRun(x, end int) {
	samples, light := r.samples[4*x:4*end], r.mixed[3*x:3*end]
	r.light.FromSamples(light, samples)
	behind := r.weights.behind
	for i := x; i < end; i++ {
		w, levels, l := r.weight[i], r.levels[3*i:3*i+3], r.mixed[3*i:3*i+3]
		if alpha := r.samples[4*i+3]; alpha != math.MaxUint16 {
			share := float32(alpha) / math.MaxUint16
			switch {
			case behind:
				w = 1 - share
				r.samples[4*i+3] = math.MaxUint16
			case alpha == 0:
				w = 0 // its colour is never seen
			default:
				for c, v := range levels {
					levels[c] = (v - (1-share)*255) / share // SRGBToLight clips it
				}
			}
		} else if behind {
			w = 0
		}
		for c, v := range levels {
			l[c] += w * (picture.SRGBToLight(v) - l[c])
		}
	}
	r.light.ToSamples(samples, light)
}
