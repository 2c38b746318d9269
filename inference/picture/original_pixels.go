package picture

import (
	"context"
	"image"
	"image/color"
	"math"
)

// straight returns the pixels of a decoded picture as *image.Gray, *image.Gray16, *image.NRGBA or *image.NRGBA64, with
// all levels kept. A frame of an animation is put on a transparent canvas. A picture that has one of these types
// already is returned as it is.
func straight(ctx context.Context, img image.Image, canvas Size) (image.Image, error) {
	img, err := upsampleChroma(ctx, img)
	if err != nil {
		return nil, err
	}
	frame := img.Bounds()
	whole := image.Rect(0, 0, canvas.Width, canvas.Height)
	if frame == whole {
		switch img := img.(type) {
		case *image.Gray:
			if img.Stride == canvas.Width {
				return img, nil
			}
		case *image.Gray16:
			if img.Stride == 2*canvas.Width {
				return img, nil
			}
		case *image.NRGBA:
			if img.Stride == 4*canvas.Width {
				return img, nil
			}
		case *image.NRGBA64:
			if img.Stride == 8*canvas.Width {
				return img, nil
			}
		case *image.RGBA:
			if img.Stride == 4*canvas.Width && img.Opaque() {
				return &image.NRGBA{Pix: img.Pix, Stride: img.Stride, Rect: img.Rect}, nil
			}
		case *image.RGBA64:
			if img.Stride == 8*canvas.Width && img.Opaque() {
				return &image.NRGBA64{Pix: img.Pix, Stride: img.Stride, Rect: img.Rect}, nil
			}
		}
	}
	dst := emptyLike(img, whole)
	read := sampleRows(img)
	return dst, inBands(ctx, frame.Dy(), func() func(first, count int) {
		samples := make([]uint16, 4*frame.Dx())
		return func(first, count int) {
			for y := frame.Min.Y + first; y < frame.Min.Y+first+count; y++ {
				read(y, samples)
				putSamples(dst, frame.Min.X, y, samples)
			}
		}
	})
}

// emptyLike returns a transparent picture of the type that straight gives img.
func emptyLike(img image.Image, r image.Rectangle) image.Image {
	switch img.(type) {
	case *image.Gray:
		if img.Bounds() == r {
			return image.NewGray(r)
		}
	case *image.Gray16:
		if img.Bounds() == r {
			return image.NewGray16(r)
		}
		return image.NewNRGBA64(r)
	}
	if deep(img) {
		return image.NewNRGBA64(r)
	}
	return image.NewNRGBA(r)
}

// putSamples writes 16-bit samples, four a pixel as sampleRows reads them, to row y of dst from column x on. Levels of
// 8 bits are rounded; gray pictures take the first sample.
func putSamples(dst image.Image, x, y int, samples []uint16) {
	narrow := func(v uint16) uint8 { return uint8((uint32(v) + 128) / 257) }
	n := len(samples) / 4
	switch dst := dst.(type) {
	case *image.Gray:
		row := dst.Pix[dst.PixOffset(x, y):][:n]
		for i := range row {
			row[i] = narrow(samples[4*i])
		}
	case *image.Gray16:
		row := dst.Pix[dst.PixOffset(x, y):][:2*n]
		for i := range n {
			row[2*i], row[2*i+1] = uint8(samples[4*i]>>8), uint8(samples[4*i])
		}
	case *image.NRGBA:
		row := dst.Pix[dst.PixOffset(x, y):][:4*n]
		for i, v := range samples[:4*n] {
			row[i] = narrow(v)
		}
	case *image.NRGBA64:
		row := dst.Pix[dst.PixOffset(x, y):][:8*n]
		for i, v := range samples[:4*n] {
			row[2*i], row[2*i+1] = uint8(v>>8), uint8(v)
		}
	}
}

// pixOf returns the bytes of a picture of a straight type.
func pixOf(img image.Image) []uint8 {
	switch img := img.(type) {
	case *image.Gray:
		return img.Pix
	case *image.Gray16:
		return img.Pix
	case *image.NRGBA:
		return img.Pix
	case *image.NRGBA64:
		return img.Pix
	}
	return nil
}

// pixelBytesOf returns the bytes of a pixel of a straight type.
func pixelBytesOf(img image.Image) int {
	switch img.(type) {
	case *image.Gray:
		return 1
	case *image.Gray16:
		return 2
	case *image.NRGBA:
		return 4
	}
	return 8
}

// newLike returns an empty picture of the straight type of img.
func newLike(img image.Image, size Size) image.Image {
	r := image.Rect(0, 0, size.Width, size.Height)
	switch img.(type) {
	case *image.Gray:
		return image.NewGray(r)
	case *image.Gray16:
		return image.NewGray16(r)
	case *image.NRGBA:
		return image.NewNRGBA(r)
	}
	return image.NewNRGBA64(r)
}

func isGray(img image.Image) bool {
	switch img.(type) {
	case *image.Gray, *image.Gray16:
		return true
	}
	return false
}

func isOpaque(img image.Image) bool {
	o, ok := img.(interface{ Opaque() bool })
	return ok && o.Opaque()
}

// part returns the rectangle r of a picture of a straight type.
func part(img image.Image, r image.Rectangle) image.Image {
	return img.(interface {
		SubImage(image.Rectangle) image.Image
	}).SubImage(r)
}

// atOrigin is a picture moved to the origin.
type atOrigin struct{ image.Image }

func (a atOrigin) Bounds() image.Rectangle { return image.Rectangle{Max: a.Image.Bounds().Size()} }

func (a atOrigin) At(x, y int) color.Color {
	from := a.Image.Bounds().Min
	return a.Image.At(from.X+x, from.Y+y)
}

// turned returns the upright picture of a straight type.
func turned(ctx context.Context, img image.Image, o orientation) (image.Image, error) {
	if o == upright {
		return img, nil
	}
	stored := Size{img.Bounds().Dx(), img.Bounds().Dy()}
	dst := newLike(img, o.turn(stored))
	px := pixelBytesOf(img)
	from, to := pixOf(img), pixOf(dst)
	origin, right, down := o.steps(stored.Width, stored.Height, px)
	size := o.turn(stored)
	return dst, inBands(ctx, size.Height, func() func(first, count int) {
		return func(first, count int) {
			// Pixels of a column are neighbours in img if the picture is turned by 90°, so all rows of the band are filled
			// column by column.
			for x := range size.Width {
				source := origin + first*down + x*right
				target := (first*size.Width + x) * px
				for range count {
					copy(to[target:target+px], from[source:source+px])
					source += down
					target += size.Width * px
				}
			}
		}
	})
}

// SRGB returns the rectangle r of the picture as a Reference has it: 8-bit sRGB, composited on white, scaled to size as
// Pillow's Lanczos does, for enlarging as well. At the rectangle's own size nothing is scaled. The error is the
// context's.
func (o *Original) SRGB(ctx context.Context, r image.Rectangle, size Size) (*image.RGBA, error) {
	from := Size{r.Dx(), r.Dy()}
	if _, slow := o.converted.to.(*pipeline); slow && from != size && from.Width*from.Height > maxSlowPixels {
		small, err := o.scaledRows(ctx, r, size, nil)
		if err != nil {
			return nil, err
		}
		converted, err := convertedOnWhite(ctx, small, size, o.converted.to)
		if err != nil && ctx.Err() == nil {
			return small, nil // as a Reference of a picture whose profile fails
		}
		return converted, err
	}
	img, err := o.scaledRows(ctx, r, size, o.converted.to)
	if err != nil && ctx.Err() == nil && o.converted.to != nil {
		return o.scaledRows(ctx, r, size, nil)
	}
	return img, err
}

// scaledRows composites the rectangle r on white, converts it with to if that is not nil, and scales it to size, row by
// row.
func (o *Original) scaledRows(ctx context.Context, r image.Rectangle, size Size, to converter) (*image.RGBA, error) {
	from := Size{r.Dx(), r.Dy()}
	dst := newOpaque(size)
	img := part(o.Pixels, r)
	read := sampleRows(img)
	var narrow *narrowRows
	if from != size {
		narrow = newNarrowRows(from, size, 3)
	}
	err := inBands(ctx, from.Height, func() func(first, count int) {
		var samples []uint16
		var levels []uint8
		if to != nil {
			samples, levels = make([]uint16, 4*from.Width), make([]uint8, 3*from.Width)
		}
		row := make([]uint8, 4*from.Width)
		var scaler *rowScaler
		if narrow != nil {
			scaler = narrow.scaler()
		}
		return func(first, count int) {
			for y := first; y < first+count; y++ {
				if narrow == nil {
					row = dst.Pix[y*dst.Stride:][:4*from.Width]
				}
				if to == nil {
					o.rowOnWhite(row, r.Min.X, r.Min.Y+y)
				} else {
					read(r.Min.Y+y, samples)
					to.row(levels, samples)
					levelsOnWhite(row, levels, samples)
				}
				if narrow != nil {
					scaler.put(y, row)
				}
			}
		}
	})
	if err != nil || narrow == nil {
		return dst, err
	}
	return dst, narrow.scaled(ctx, dst.Pix)
}

// rowOnWhite writes the levels of row y from column x on, composited on white as onWhite does.
func (o *Original) rowOnWhite(row []uint8, x, y int) {
	n := len(row) / 4
	switch img := o.Pixels.(type) {
	case *image.Gray:
		for i, v := range img.Pix[img.PixOffset(x, y):][:n] {
			row[4*i], row[4*i+1], row[4*i+2], row[4*i+3] = v, v, v, 255
		}
	case *image.Gray16:
		pix := img.Pix[img.PixOffset(x, y):]
		for i := range n {
			v := pix[2*i]
			row[4*i], row[4*i+1], row[4*i+2], row[4*i+3] = v, v, v, 255
		}
	case *image.NRGBA:
		pix := img.Pix[img.PixOffset(x, y):][:4*n]
		copy(row, pix)
		if o.opaque {
			return
		}
		for i := 0; i < 4*n; i += 4 {
			if alpha := uint32(pix[i+3]) * 257; alpha != math.MaxUint16 {
				for c := range 3 {
					row[i+c] = overWhite(uint32(pix[i+c])*alpha/255, alpha)
				}
				row[i+3] = 255
			}
		}
	case *image.NRGBA64:
		pix := img.Pix[img.PixOffset(x, y):][:8*n]
		for i := range n {
			p, out := pix[8*i:8*i+8:8*i+8], row[4*i:4*i+4:4*i+4]
			out[0], out[1], out[2], out[3] = p[0], p[2], p[4], 255
			if alpha := uint32(p[6])<<8 | uint32(p[7]); alpha != math.MaxUint16 {
				for c := range 3 {
					out[c] = overWhite((uint32(p[2*c])<<8|uint32(p[2*c+1]))*alpha/math.MaxUint16, alpha)
				}
			}
		}
	}
}

// overWhite composites a colour that is premultiplied by alpha on white as package draw does. Both have 16 bits.
func overWhite(multiplied, alpha uint32) uint8 {
	return uint8((255*((math.MaxUint16-alpha)*257)/math.MaxUint16 + multiplied) >> 8)
}

// levelsOnWhite composites converted levels, three a pixel, on white, by the alpha of their samples.
func levelsOnWhite(row, levels []uint8, samples []uint16) {
	for i := range len(levels) / 3 {
		alpha := uint32(samples[4*i+3])
		out := row[4*i : 4*i+4 : 4*i+4]
		out[3] = 255
		if alpha == math.MaxUint16 {
			copy(out, levels[3*i:3*i+3])
			continue
		}
		for c, level := range levels[3*i : 3*i+3] {
			out[c] = uint8((uint32(level)*alpha + 255*(math.MaxUint16-alpha) + math.MaxUint16/2) / math.MaxUint16)
		}
	}
}

// Row reads n pixels of row y from column x on: four 16-bit samples each, RGB and alpha, not premultiplied. Gray is
// read three times.
func (o *Original) Row(samples []uint16, x, y, n int) {
	sampleRows(part(o.Pixels, image.Rect(x, y, x+n, y+1)))(y, samples[:4*n])
}

// PutRow writes samples as Row reads them to a picture of a straight type (see Original.Pixels), such as one that the
// caller makes for With. Levels of 8 bits are rounded; a gray picture takes the first sample.
func PutRow(img image.Image, samples []uint16, x, y int) { putSamples(img, x, y, samples) }
