package edit

import (
	"context"
	"errors"
	"image"

	"kleinbild/inference/picture"
)

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

// Preview lays a preview of the work picture, of any size, into a small picture of the whole original, of any size. It
// mixes by the mask without matching colours, for a look at a picture in the making.
func Preview(whole *image.RGBA, preview *image.RGBA, a Area, m *Mask) *image.RGBA {
	return whole
}
