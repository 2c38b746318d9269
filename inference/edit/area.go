package edit

import (
	"context"
	"image"
	"math"

	"github.com/kleinbild/kleinbild/inference/picture"
)

// Area says which part of a picture the model works on, and at what size. The rectangle Source of the picture is scaled
// to the size Scaled, of which the model sees the rectangle Crop. Only WholeArea crops; there the pixels outside of the
// crop have no result and stay as they are.
type Area struct {
	Source image.Rectangle // in pixels of the original, inside of it
	Scaled picture.Size    // of Source in the work picture
	Crop   image.Rectangle // of Scaled; its sides are multiples of 16
}

// Size returns the size of the work picture, which is what Cut returns. Its sides are multiples of 16.
func (a Area) Size() picture.Size { return picture.Size{Width: a.Crop.Dx(), Height: a.Crop.Dy()} }

// Scale returns pixels of the work picture for each pixel of the original: more than 1 if the area is worked on
// enlarged.
func (a Area) Scale() float64 {
	return math.Sqrt(float64(a.Scaled.Width) / float64(a.Source.Dx()) * float64(a.Scaled.Height) / float64(a.Source.Dy()))
}

// Rect returns the pixels of the original for which the work picture has a result: those whose centre lies in it.
func (a Area) Rect() image.Rectangle {
	covers := func(from, length, scaled, cropFrom, cropEnd int) (first, end int) {
		// Pixel i of the source has its centre at (i + 0.5)·scaled/length in the scaled picture.
		first = from + (2*cropFrom*length+scaled-1)/(2*scaled)
		end = from + (2*cropEnd*length+scaled-1)/(2*scaled)
		return first, min(end, from+length)
	}
	x0, x1 := covers(a.Source.Min.X, a.Source.Dx(), a.Scaled.Width, a.Crop.Min.X, a.Crop.Max.X)
	y0, y1 := covers(a.Source.Min.Y, a.Source.Dy(), a.Scaled.Height, a.Crop.Min.Y, a.Crop.Max.Y)
	return image.Rect(x0, y0, x1, y1)
}

// Cut returns the work picture of an area: sRGB, composited on white, scaled as Pillow's Lanczos does. At scale 1 it
// has the picture's own pixels. The error is the context's, or that of a damaged colour profile.
func Cut(ctx context.Context, o *picture.Original, a Area) (*image.RGBA, error) {
	scaled, err := o.SRGB(ctx, a.Source, a.Scaled)
	if err != nil {
		return nil, err
	}
	if a.Crop == scaled.Rect {
		return scaled, nil
	}
	size := a.Size()
	cut := image.NewRGBA(image.Rect(0, 0, size.Width, size.Height))
	for y := range size.Height {
		copy(cut.Pix[y*cut.Stride:][:4*size.Width], scaled.Pix[scaled.PixOffset(a.Crop.Min.X, a.Crop.Min.Y+y):])
	}
	return cut, nil
}

// StretchedArea returns the area of a whole picture with a result for each of its pixels: that of WholeArea, with the
// picture scaled to multiples of 16 instead of cropped. The scales of its axes differ a little.
func StretchedArea(size picture.Size, native int) Area {
	a := WholeArea(size, native)
	a.Scaled = a.Size()
	a.Crop = image.Rect(0, 0, a.Scaled.Width, a.Scaled.Height)
	return a
}

// WholeArea returns the area of a whole picture: the size at which a reference of this size is seen by a model whose
// native picture is native × native pixels (0 if that is unknown), cropped to multiples of 16 at the centre.
func WholeArea(size picture.Size, native int) Area {
	scaled := size.Fit(native)
	cropped := picture.Size{Width: scaled.Width / tokenSide * tokenSide, Height: scaled.Height / tokenSide * tokenSide}
	left, top := (scaled.Width-cropped.Width)/2, (scaled.Height-cropped.Height)/2
	return Area{
		Source: image.Rect(0, 0, size.Width, size.Height),
		Scaled: scaled,
		Crop:   image.Rect(left, top, left+cropped.Width, top+cropped.Height),
	}
}
