package edit

import (
	"context"
	"fmt"
	"image"

	"github.com/kleinbild/kleinbild/inference/picture"
)

// WithLowBand returns result with the low frequencies of reference, an opaque picture of the same size: what both are
// like when they are blurred over about 32 pixels is the same then, so that only detail is result's. The error is the
// context's, or says that the sizes differ.
func WithLowBand(ctx context.Context, result, reference *image.RGBA) (*image.RGBA, error) {
	size := sizeOf(result.Rect)
	if size != sizeOf(reference.Rect) {
		return nil, fmt.Errorf("edit: low band of a picture of %v for one of %v, want one size", sizeOf(reference.Rect), size)
	}
	f := &field{columns: (size.Width + tokenSide - 1) / tokenSide, rows: (size.Height + tokenSide - 1) / tokenSide}
	f.offsets = make([][3]float32, f.columns*f.rows)
	err := picture.InBands(ctx, f.rows, func() func(first, count int) {
		return func(first, count int) {
			for i := first * f.columns; i < (first+count)*f.columns; i++ {
				x, y := i%f.columns*tokenSide, i/f.columns*tokenSide
				f.offsets[i] = meanOffset(result, reference,
					image.Rect(x, y, min(x+tokenSide, size.Width), min(y+tokenSide, size.Height)))
			}
		}
	})
	if err != nil {
		return nil, err
	}
	f.blur(1, f.columns, f.columns, f.rows)
	f.blur(f.columns, f.rows, 1, f.columns)
	return f.applied(ctx, result)
}

// meanOffset returns by how much the mean levels of a part of result are below those of reference.
func meanOffset(result, reference *image.RGBA, part image.Rectangle) (mean [3]float32) {
	var sum [3]int
	for y := part.Min.Y; y < part.Max.Y; y++ {
		a, b := result.Pix[y*result.Stride:], reference.Pix[y*reference.Stride:]
		for i := 4 * part.Min.X; i < 4*part.Max.X; i += 4 {
			for c := range sum {
				sum[c] += int(b[i+c]) - int(a[i+c])
			}
		}
	}
	for c, v := range sum {
		mean[c] = float32(v) / float32(part.Dx()*part.Dy())
	}
	return mean
}

// blur weights each cell with its neighbours by 1, 2, 1 along lines of `cells` cells that are `step` apart. There are
// `lines` lines, which begin `next` apart. Outside of the field is the nearest cell.
func (f *field) blur(step, cells, next, lines int) {
	for line := range lines {
		first := line * next
		before := f.offsets[first]
		for i := range cells {
			at := &f.offsets[first+i*step]
			after := f.offsets[first+min(i+1, cells-1)*step]
			here := *at
			for c := range at {
				at[c] = (before[c] + 2*here[c] + after[c]) / 4
			}
			before = here
		}
	}
}
