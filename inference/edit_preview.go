package inference

import (
	"context"
	"image"
	"math"

	"github.com/kleinbild/kleinbild/inference/edit"
	"github.com/kleinbild/kleinbild/inference/picture"
)

// WorkArea returns what part of image 1, which has the given size, the model will work on for a mask with the given
// bounds, and the size at which it works. native is Info.NativeSize. Of e, only Context, Whole and Area count.
func (e Edit) WorkArea(image1 picture.Size, bounds image.Rectangle, native int) (
	area image.Rectangle, work picture.Size,
) {
	a := edit.WholeArea(image1, native)
	if e.Area != nil {
		a = edit.GivenArea(image1, *e.Area, bounds, native)
	} else if !e.Whole {
		context := edit.Chosen
		if e.Context != nil {
			context = *e.Context
		}
		a = edit.NewArea(image1, bounds, context, native)
	}
	return a.Rect(), a.Size()
}

// SoftEdge shows what the feather of an edit does, on a small copy of a mask for an image 1 of the given size. feather
// is Edit.Feather. It returns the feather that is used, in pixels of image 1, and for each pixel of the copy the factor
// by which it weakens the result, 255 for none. The error says that the mask changes nothing, or is the context's.
func SoftEdge(ctx context.Context, small *image.Gray, image1 picture.Size, feather *int) (
	soft *image.Gray, used int, err error,
) {
	mask, err := edit.NewMask(small, image1)
	if err != nil {
		return nil, 0, err
	}
	if used = edit.DefaultFeather(mask); feather != nil {
		used = *feather
	}
	size := picture.Size{Width: small.Rect.Dx(), Height: small.Rect.Dy()}
	if mask, err = edit.NewMask(small, size); err != nil {
		return nil, 0, err
	}
	scale := math.Sqrt(float64(size.Width) / float64(image1.Width) * float64(size.Height) / float64(image1.Height))
	near := int(float64(used)*scale + 0.5)
	soft, err = edit.SoftEdge(ctx, mask, near)
	return soft, used, err
}
