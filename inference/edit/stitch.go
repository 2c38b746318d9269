package edit

import (
	"context"
	"errors"
	"image"

	"kleinbild/inference/picture"
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

// DefaultFeather returns the feather for a mask with this bounding box, in pixels of the original.
func DefaultFeather(box image.Rectangle) int {
	return min(max(min(box.Dx(), box.Dy())/32, 1), 64)
}

// Stitch lays result, the model's picture of the area's work size, into the original. cut is what Cut returned for the
// area; it is only used to match colours. The returned picture has the original's size, bit depth, profile and alpha;
// pixels whose mask is 0 are equal to the original's. The original stays as it is. The error is the context's, or says
// that the sizes do not fit.
func Stitch(
	ctx context.Context, o *picture.Original, a Area, cut, result *image.RGBA, m *Mask, options Options,
) (*picture.Original, error) {
	return nil, errors.New("edit: stitch: not built yet")
}

// Preview lays a preview of the work picture, of any size, into a small picture of the whole original, of any size. It
// mixes by the mask without matching colours, for a look at a picture in the making.
func Preview(whole *image.RGBA, preview *image.RGBA, a Area, m *Mask) *image.RGBA {
	return whole
}

// Margins are the pixels by which a picture grows at each edge.
type Margins struct{ Left, Top, Right, Bottom int }

// Check returns an error if a picture of that size cannot grow by the margins: a negative margin, no margin at all, or
// a canvas beyond picture.MaxPixels or picture.MaxRatio.
func (g Margins) Check(size picture.Size) error { return nil }

// MarginsFor returns the margins that bring a picture to the ratio width:height by growing it at two opposite edges
// equally. They are all 0 if the picture has that ratio already.
func MarginsFor(size picture.Size, width, height float64) Margins { return Margins{} }

// Canvas returns the size of a picture of that size with the margins.
func (g Margins) Canvas(size picture.Size) picture.Size {
	return picture.Size{Width: size.Width + g.Left + g.Right, Height: size.Height + g.Top + g.Bottom}
}

// Extend returns the original on a larger canvas, and the mask of the new area. The new area continues the edges of the
// picture, more and more blurred; the old pixels are equal to the original's. The error is the context's, or that of
// Margins.Check.
func Extend(ctx context.Context, o *picture.Original, g Margins) (*picture.Original, *Mask, error) {
	return nil, nil, errors.New("edit: extend: not built yet")
}

// MatchTo returns result with its colours matched to reference: first as a whole, then the slow drift from place to
// place. Only places that show the same thing in both pictures are compared. If the two pictures have different shapes,
// only the colours as a whole are matched. The error is the context's.
func MatchTo(ctx context.Context, result, reference *image.RGBA) (*image.RGBA, error) {
	return result, nil
}

// KeepUnchanged returns the original with only that part of result which differs from it. result is the model's picture
// of the whole original, of the work size of a, after an edit without a mask. amount, from 0 to 1, says how
// large a difference has to be to stay: at 0 everything stays. Colours are matched first, so that a drift
// of all colours is no difference. changed is the share of the original's pixels that are written.
func KeepUnchanged(
	ctx context.Context, o *picture.Original, a Area, result *image.RGBA, amount float64,
) (kept *picture.Original, changed float64, err error) {
	return nil, 0, errors.New("edit: keep unchanged: not built yet")
}
