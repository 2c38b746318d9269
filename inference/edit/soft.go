package edit

import (
	"context"
	"image"
)

// SoftEdge returns the factor by which a feather of so many pixels weakens the result at each pixel of the mask's
// picture: 255 for none. Stitch multiplies it with the mask.
func SoftEdge(ctx context.Context, m *Mask, feather int) (*image.Gray, error) {
	soft := image.NewGray(image.Rect(0, 0, m.size.Width, m.size.Height))
	w, err := newWeights(ctx, m, soft.Rect, feather)
	if err != nil {
		return nil, err
	}
	for i := range soft.Pix {
		soft.Pix[i] = 255
		if w.feather != nil {
			soft.Pix[i] = uint8((uint32(w.feather[i])*255 + 1<<15) >> 16)
		}
	}
	return soft, nil
}
