package picture

import (
	"context"
	"image"
	"image/color"
	"image/draw"
	"math"
	"runtime"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
)

// bandRows is how many rows a goroutine processes before it takes the next band. It checks the context between bands.
const bandRows = 16

// inBands divides rows into bands of bandRows and processes them on all processors. It calls worker once for each
// goroutine; the returned function is called for each band, with the band's first row and its number of rows, and may
// own memory. A panic in a band is returned as an error. After a cancellation no new band begins, and the error is the
// context's.
func inBands(ctx context.Context, rows int, worker func() func(first, count int)) error {
	return inBandsOf(ctx, bandRows, rows, worker)
}

// inBandsOf is inBands with bands of bandRows rows.
func inBandsOf(ctx context.Context, bandRows, rows int, worker func() func(first, count int)) error {
	var next atomic.Int64
	var workers errgroup.Group
	for range min(runtime.GOMAXPROCS(0), (rows+bandRows-1)/bandRows) {
		workers.Go(func() error {
			return guard(func() error {
				band := worker()
				for {
					first := int(next.Add(int64(bandRows))) - bandRows
					if first >= rows {
						return nil
					}
					if err := ctx.Err(); err != nil {
						return err
					}
					band(first, min(bandRows, rows-first))
				}
			})
		})
	}
	return workers.Wait()
}

// onWhite composites img on a white canvas with 8 bits a sample. Of 16-bit samples it keeps the upper byte.
func onWhite(ctx context.Context, img image.Image, canvas Size) (*image.RGBA, error) {
	dst := image.NewRGBA(image.Rect(0, 0, canvas.Width, canvas.Height))
	return dst, inBands(ctx, canvas.Height, func() func(first, count int) {
		return func(first, count int) {
			band := image.Rect(0, first, canvas.Width, first+count)
			draw.Draw(dst, band, image.White, image.Point{}, draw.Src)
			band = band.Intersect(img.Bounds())
			draw.Draw(dst, band, img, band.Min, draw.Over)
		}
	})
}

// convertedOnWhite is onWhite for a picture whose colours are converted first. The error is the context's, or the panic
// of a converter.
func convertedOnWhite(ctx context.Context, img image.Image, canvas Size, to converter) (*image.RGBA, error) {
	dst := image.NewRGBA(image.Rect(0, 0, canvas.Width, canvas.Height))
	for i := range dst.Pix {
		dst.Pix[i] = 255
	}
	frame := img.Bounds()
	width := frame.Dx()
	_, cmyk := img.(*image.CMYK)
	read := sampleRows(img)
	return dst, inBands(ctx, frame.Dy(), func() func(first, count int) {
		samples, levels := make([]uint16, 4*width*bandRows), make([]uint8, 3*width*bandRows)
		return func(first, count int) {
			for i := range count {
				read(frame.Min.Y+first+i, samples[4*width*i:4*width*(i+1)])
			}
			to.row(levels[:3*width*count], samples[:4*width*count])
			for i := range width * count {
				alpha := uint32(math.MaxUint16)
				if !cmyk {
					alpha = uint32(samples[4*i+3])
				}
				pixel := dst.Pix[dst.PixOffset(frame.Min.X+i%width, frame.Min.Y+first+i/width):]
				for c, level := range levels[3*i : 3*i+3] {
					pixel[c] = uint8((uint32(level)*alpha + 255*(math.MaxUint16-alpha) + math.MaxUint16/2) / math.MaxUint16)
				}
			}
		}
	})
}

// sampleRows returns a function that reads row y of img in the form that converters take: four 16-bit samples a pixel,
// with colours not premultiplied by alpha.
func sampleRows(img image.Image) func(y int, samples []uint16) {
	frame := img.Bounds()
	switch img := img.(type) {
	case *image.CMYK:
		return func(y int, samples []uint16) {
			wide(samples, img.Pix[img.PixOffset(frame.Min.X, y):])
		}
	case *image.NRGBA:
		return func(y int, samples []uint16) {
			wide(samples, img.Pix[img.PixOffset(frame.Min.X, y):])
		}
	case *image.RGBA:
		return func(y int, samples []uint16) {
			wide(samples, img.Pix[img.PixOffset(frame.Min.X, y):])
			unmultiply(samples)
		}
	case *image.Gray:
		return func(y int, samples []uint16) {
			row := img.Pix[img.PixOffset(frame.Min.X, y):]
			for i := range len(samples) / 4 {
				v := uint16(row[i]) * 257
				copy(samples[4*i:], []uint16{v, v, v, math.MaxUint16})
			}
		}
	case *image.YCbCr:
		return func(y int, samples []uint16) { ycbcrRow(img, nil, y, samples) }
	case *image.NYCbCrA:
		return func(y int, samples []uint16) {
			ycbcrRow(&img.YCbCr, img.A[img.AOffset(frame.Min.X, y):], y, samples)
		}
	case *image.NRGBA64:
		return func(y int, samples []uint16) { deepRow(samples, img.Pix[img.PixOffset(frame.Min.X, y):]) }
	case *image.RGBA64:
		return func(y int, samples []uint16) {
			deepRow(samples, img.Pix[img.PixOffset(frame.Min.X, y):])
			unmultiply(samples)
		}
	}
	return func(y int, samples []uint16) {
		for i := range len(samples) / 4 {
			c := color.NRGBA64Model.Convert(img.At(frame.Min.X+i, y)).(color.NRGBA64)
			copy(samples[4*i:], []uint16{c.R, c.G, c.B, c.A})
		}
	}
}

// wide expands 8-bit samples to 16 bits.
func wide(samples []uint16, row []uint8) {
	for i, v := range row[:len(samples)] {
		samples[i] = uint16(v) * 257
	}
}

// deepRow reads 16-bit samples, which package image stores in big-endian order.
func deepRow(samples []uint16, row []uint8) {
	for i := range samples {
		samples[i] = uint16(row[2*i])<<8 | uint16(row[2*i+1])
	}
}

// unmultiply divides the colours of each pixel by its alpha.
func unmultiply(samples []uint16) {
	for i := 0; i < len(samples); i += 4 {
		alpha := uint32(samples[i+3])
		if alpha == math.MaxUint16 || alpha == 0 {
			continue
		}
		for c := range 3 {
			samples[i+c] = uint16(min(uint32(samples[i+c])*math.MaxUint16/alpha, math.MaxUint16))
		}
	}
}

// ycbcrRow converts row y of img to RGB; alpha is that row's alpha, or nil if the picture is opaque.
func ycbcrRow(img *image.YCbCr, alpha []uint8, y int, samples []uint16) {
	for i := range len(samples) / 4 {
		x := img.Rect.Min.X + i
		c := img.COffset(x, y)
		r, g, b := color.YCbCrToRGB(img.Y[img.YOffset(x, y)], img.Cb[c], img.Cr[c])
		a := uint8(255)
		if alpha != nil {
			a = alpha[i]
		}
		out := samples[4*i : 4*i+4]
		out[0], out[1], out[2], out[3] = uint16(r)*257, uint16(g)*257, uint16(b)*257, uint16(a)*257
	}
}

// InBands divides rows into bands and processes them on all processors, for package edit. It calls worker once for each
// goroutine; the returned function is called for each band, with the band's first row and its number of rows, and may
// own memory. A panic in a band is returned as an error. After a cancellation no new band begins, and the error is the
// context's.
func InBands(ctx context.Context, rows int, worker func() func(first, count int)) error {
	return inBands(ctx, rows, worker)
}
