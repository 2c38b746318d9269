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

// bandRows is how many rows a worker takes at a time. Between two bands it looks at the context.
const bandRows = 16

// inBands calls what worker returns for bands of so many rows, on all processors. worker is called once for each
// goroutine, so that what it returns may own memory. A panic in a band is an error; after a cancel no band is begun,
// and the error is the context's.
func inBands(ctx context.Context, rows int, worker func() func(first, count int)) error {
	return inBandsOf(ctx, bandRows, rows, worker)
}

// inBandsOf is inBands for bands of another size.
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

// onWhite returns the canvas in 8 bits (of 16 the top byte): img composited on white.
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

// convertedOnWhite is onWhite for a picture whose colours are converted first. The error is the context's, or that of a
// converter that gave up.
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

// sampleRows returns what reads row y of img as converters take it: four samples of 16 bits a pixel, colours not multiplied
// with alpha.
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

func wide(samples []uint16, row []uint8) {
	for i, v := range row[:len(samples)] {
		samples[i] = uint16(v) * 257
	}
}

func deepRow(samples []uint16, row []uint8) {
	for i := range samples {
		samples[i] = uint16(row[2*i])<<8 | uint16(row[2*i+1])
	}
}

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
