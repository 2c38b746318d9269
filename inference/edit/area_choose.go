package edit

import (
	"image"
	"math"

	"github.com/kleinbild/kleinbild/inference/picture"
)

// What NewArea aims at.
const (
	// contextShare of the box's longer side is the context on each side, so that the area is half as long again as the
	// box: crop-and-stitch tools use 1.2 and leave more to their users; with 1.5 the model also sees what casts light and
	// shadow on the object.
	contextShare = 0.25
	// leastContext is the least context, in pixels of the original. People who measured it for this model use 32 to 64.
	leastContext = 64
	// mostEnlarged bounds the enlargement. At 4 a token covers 4 pixels of the original. Beyond that the model sees only
	// blur, and more context helps it more than more pixels.
	mostEnlarged = 4
	// leastEnlarged is the enlargement below which the area grows instead until it is worked on at scale 1, because then
	// nothing is scaled at all.
	leastEnlarged = 1.5
	// mostElongated is the ratio of the sides up to which the shorter side is not grown: the widest picture shape of the
	// program is 21:9.
	mostElongated = 7.0 / 3
	// The sides of a work picture, which are those of any picture that the model makes.
	leastSide, mostSide = 64, 2048
)

// NewArea chooses the area for a mask with the bounding box box in a picture of the given size, for a model whose
// native picture is native × native pixels (0 for 1024). The area is box with context on each side, in pixels of the
// original; a negative context is chosen by the size of box. It grows to the shape and the number of pixels that the
// model is used to, stays inside the picture, and contains box. A small area is worked on enlarged, at most four times;
// a large one is worked on reduced. The work picture has at most native² pixels, or a side of 64.
func NewArea(size picture.Size, box image.Rectangle, context, native int) Area {
	frame := image.Rect(0, 0, size.Width, size.Height)
	box = box.Intersect(frame)
	if box.Empty() {
		box = frame
	}
	if native <= 0 {
		native = picture.NativeSide
	}
	if context < 0 {
		context = max(int(contextShare*float64(max(box.Dx(), box.Dy()))+0.5), leastContext)
	}
	context = min(context, max(size.Width, size.Height))
	wanted := box.Inset(-context).Intersect(frame)
	width, height := float64(wanted.Dx()), float64(wanted.Dy())
	width, height = max(width, height/mostElongated), max(height, width/mostElongated)
	pixels := float64(native) * float64(native)
	// Too small an area grows, so that it is enlarged at most mostEnlarged times, or not at all.
	scale := math.Sqrt(pixels / (width * height))
	if least := max(scale/mostEnlarged, 1); least > 1 {
		width, height, scale = width*least, height*least, scale/least
	}
	if scale > 1 && scale < leastEnlarged {
		width, height, scale = width*scale, height*scale, 1
	}
	width, height = min(width, float64(size.Width)), min(height, float64(size.Height))
	scale = min(math.Sqrt(pixels/(width*height)), scale*mostEnlarged, mostEnlarged, mostSide/max(width, height))
	if scale > 1 && scale < leastEnlarged {
		scale = 1
	}
	scale = max(scale, leastSide/min(width, height))
	return leastStretched(size, wanted, box, width, height, scale, pixels)
}

// leastStretched returns the area of about width × height pixels around wanted, at about the given scale, whose work
// picture has at most the given number of pixels. Sides are multiples of 16, so the scales of the two axes can differ
// where the picture leaves no room; a smaller work picture is taken if that is less stretched.
func leastStretched(
	size picture.Size, wanted, box image.Rectangle, width, height, scale, pixels float64,
) (best Area) {
	least := math.Inf(1)
	for try := 0; try < stretchTries || math.IsInf(least, 1); try++ {
		smaller := math.Pow(stretchStep, float64(try))
		x, across := fitAxis(size.Width, wanted.Min.X, wanted.Max.X, box.Min.X, box.Max.X, width, scale*smaller)
		y, down := fitAxis(size.Height, wanted.Min.Y, wanted.Max.Y, box.Min.Y, box.Max.Y, height, scale*smaller)
		if float64(across*down) > pixels && min(across, down) > leastSide {
			continue
		}
		source := image.Rect(x.from, y.from, x.end, y.end)
		if cost := stretchCost(source, across, down, smaller); cost < least {
			least, best = cost, newArea(source, across, down)
		}
	}
	return best
}

// newArea returns the area source, all of which the model sees at across × down pixels.
func newArea(source image.Rectangle, across, down int) Area {
	scaled := picture.Size{Width: across, Height: down}
	return Area{Source: source, Scaled: scaled, Crop: image.Rect(0, 0, across, down)}
}

// The scales that are tried for the one that stretches least: so many, each by this factor smaller.
const (
	stretchTries = 12
	stretchStep  = 0.99
)

// stretchCost says how bad it is to work on source at across × down pixels: how much wider than tall a square becomes,
// and, with a quarter of the weight, how much smaller the work picture is than it could be.
func stretchCost(source image.Rectangle, across, down int, smaller float64) float64 {
	const lossCost = 0.25
	ratio := float64(across) / float64(source.Dx()) * float64(source.Dy()) / float64(down)
	return max(ratio, 1/ratio) - 1 + lossCost*(1-smaller)
}

// span is a part of an axis, from included and end excluded.
type span struct{ from, end int }

// fitAxis chooses the area along one axis of the picture, which has side pixels: a span of about length pixels around
// the wanted span, which contains the box, and the number of pixels that it has in the work picture, a multiple of 16.
// The span has exactly that many pixels divided by scale if it fits. If it does not, the span is the whole side, and
// its scale differs from that of the other axis by less than 16 pixels of the work picture.
func fitAxis(side, wantedFrom, wantedEnd, boxFrom, boxEnd int, length, scale float64) (s span, scaled int) {
	const slack = 1e-6 // of rounding
	scaled = int(length*scale+slack) / tokenSide * tokenSide
	scaled = min(max(scaled, leastSide), mostSide)
	n := int(math.Round(float64(scaled) / scale))
	if n < boxEnd-boxFrom && scaled+tokenSide <= mostSide {
		scaled += tokenSide
		n = int(math.Round(float64(scaled) / scale))
	}
	n = min(max(n, boxEnd-boxFrom), side)
	return spanAround(n, side, wantedFrom, wantedEnd, boxFrom, boxEnd), scaled
}

// spanAround returns n pixels around the middle of the wanted span, moved until they contain the box and lie in the
// picture, which has side pixels.
func spanAround(n, side, wantedFrom, wantedEnd, boxFrom, boxEnd int) span {
	from := (wantedFrom + wantedEnd - n) / 2
	from = min(from, boxFrom)
	from = max(from, boxEnd-n, 0)
	from = min(from, side-n)
	return span{from, from + n}
}
