package picture

import (
	"context"
	"image"
	"math"
)

// The resampler follows Pillow's for pictures of 8 bits, which the reference uses: Lanczos's kernel of three lobes, widened
// by the factor of the scaling, in fixed point; rows first, whose results are rounded to 8 bits, then columns.

// weightBits is the precision of a weight: a sum of products with 8 bits, whose weights add up to 1 and in absolute terms to
// less than 2, fits 32 bits.
const weightBits = 32 - 8 - 2

// taps are the samples that one sample of the result is a sum of.
type taps struct {
	first   int // the first sample's place
	weights []int32
}

// lanczosTaps returns the taps of each of the to samples that from samples are scaled down to.
func lanczosTaps(from, to int) []taps {
	const lobes = 3
	factor := float64(from) / float64(to)
	spread := max(factor, 1)
	list := make([]taps, to)
	for i := range list {
		centre := (float64(i) + 0.5) * factor
		first := max(int(centre-lobes*spread+0.5), 0)
		end := min(int(centre+lobes*spread+0.5), from)
		kernel := make([]float64, end-first)
		sum := 0.0
		for j := range kernel {
			kernel[j] = lanczos((float64(first+j) - centre + 0.5) / spread)
			sum += kernel[j]
		}
		list[i] = taps{first, make([]int32, len(kernel))}
		for j, k := range kernel {
			list[i].weights[j] = int32(math.Round(k / sum * (1 << weightBits)))
		}
	}
	return list
}

// lanczos is sinc(x)·sinc(x/3) for −3 ≤ x < 3.
func lanczos(x float64) float64 {
	switch {
	case x == 0:
		return 1
	case x < -3 || x >= 3:
		return 0
	}
	x *= math.Pi
	return math.Sin(x) / x * math.Sin(x/3) / (x / 3)
}

// rounded turns a sum of weighted samples into a sample.
func rounded(sum int32) uint8 { return uint8(min(max(sum>>weightBits, 0), 255)) }

const half = 1 << (weightBits - 1)

// scale returns the opaque picture img, whose origin is (0, 0), scaled down to size. The error is the context's.
func scale(ctx context.Context, img *image.RGBA, size Size) (*image.RGBA, error) {
	width, height := img.Rect.Dx(), img.Rect.Dy()
	if (Size{width, height}) == size {
		return img, nil
	}
	const colours = 3
	narrow := make([]uint8, colours*size.Width*height) // the rows are scaled, the columns are not
	across := lanczosTaps(width, size.Width)
	err := inBands(ctx, height, func() func(first, count int) {
		return func(first, count int) {
			for y := first; y < first+count; y++ {
				row := img.Pix[y*img.Stride : y*img.Stride+4*width]
				out := narrow[colours*size.Width*y : colours*size.Width*(y+1)]
				for x, t := range across {
					r, g, b := int32(half), int32(half), int32(half)
					in := row[4*t.first : 4*(t.first+len(t.weights))]
					for _, w := range t.weights {
						p := in[:4:4]
						r += w * int32(p[0])
						g += w * int32(p[1])
						b += w * int32(p[2])
						in = in[4:]
					}
					p := out[colours*x : colours*x+colours]
					p[0], p[1], p[2] = rounded(r), rounded(g), rounded(b)
				}
			}
		}
	})
	if err != nil {
		return nil, err
	}
	dst := image.NewRGBA(image.Rect(0, 0, size.Width, size.Height))
	down := lanczosTaps(height, size.Height)
	err = inBands(ctx, size.Height, func() func(first, count int) {
		sums := make([]int32, colours*size.Width)
		return func(first, count int) {
			for y := first; y < first+count; y++ {
				for i := range sums {
					sums[i] = half
				}
				for j, w := range down[y].weights {
					at := len(sums) * (down[y].first + j)
					for i, v := range narrow[at : at+len(sums)] {
						sums[i] += w * int32(v)
					}
				}
				out := dst.Pix[y*dst.Stride:]
				for x := range size.Width {
					p := out[4*x : 4*x+4]
					p[0], p[1], p[2], p[3] = rounded(sums[colours*x]), rounded(sums[colours*x+1]), rounded(sums[colours*x+2]), 255
				}
			}
		}
	})
	return dst, err
}
