package picture

import (
	"context"
	"image"
	"math"
)

// The resampler follows Pillow's for pictures of 8 bits, which the reference uses: Lanczos's kernel of three lobes,
// widened by the factor of the scaling, in fixed point; rows first, whose results are rounded to 8 bits, then columns.

// weightBits is the precision of a weight: a sum of products with 8 bits, whose weights add up to 1 and in absolute
// terms to less than 2, fits 32 bits.
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
	from := Size{img.Rect.Dx(), img.Rect.Dy()}
	if from == size {
		return img, nil
	}
	dst := image.NewRGBA(image.Rect(0, 0, size.Width, size.Height))
	for i := 3; i < len(dst.Pix); i += 4 {
		dst.Pix[i] = 255
	}
	return dst, resample(ctx, dst.Pix, size, img.Pix, img.Stride, from, 3)
}

// scaleInks is scale for a picture of four inks.
func scaleInks(ctx context.Context, img *image.CMYK, size Size) (*image.CMYK, error) {
	dst := image.NewCMYK(image.Rect(0, 0, size.Width, size.Height))
	return dst, resample(ctx, dst.Pix, size, img.Pix, img.Stride, Size{img.Rect.Dx(), img.Rect.Dy()}, 4)
}

// resample fills the first samples (3 or 4) of the four that a pixel has in dst, whose rows lie one behind the other,
// from those of src.
func resample(ctx context.Context, dst []uint8, to Size, src []uint8, stride int, from Size, samples int) error {
	narrow := make([]uint8, samples*to.Width*from.Height) // the rows are scaled, the columns are not
	across := lanczosTaps(from.Width, to.Width)
	err := inBands(ctx, from.Height, func() func(first, count int) {
		return func(first, count int) {
			for y := first; y < first+count; y++ {
				row := src[y*stride : y*stride+4*from.Width]
				out := narrow[samples*to.Width*y : samples*to.Width*(y+1)]
				if samples == 4 {
					resampleRow4(out, row, across)
				} else {
					resampleRow3(out, row, across)
				}
			}
		}
	})
	if err != nil {
		return err
	}
	down := lanczosTaps(from.Height, to.Height)
	return inBands(ctx, to.Height, func() func(first, count int) {
		sums := make([]int32, samples*to.Width)
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
				out := dst[4*to.Width*y : 4*to.Width*(y+1)]
				for x := range to.Width {
					for c := range samples {
						out[4*x+c] = rounded(sums[samples*x+c])
					}
				}
			}
		}
	})
}

// resampleRow3 scales the first three of the four samples that each pixel of row has.
func resampleRow3(out, row []uint8, across []taps) {
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
		p := out[3*x : 3*x+3]
		p[0], p[1], p[2] = rounded(r), rounded(g), rounded(b)
	}
}

// resampleRow4 is resampleRow3 for all four.
func resampleRow4(out, row []uint8, across []taps) {
	for x, t := range across {
		c, m, y, k := int32(half), int32(half), int32(half), int32(half)
		in := row[4*t.first : 4*(t.first+len(t.weights))]
		for _, w := range t.weights {
			p := in[:4:4]
			c += w * int32(p[0])
			m += w * int32(p[1])
			y += w * int32(p[2])
			k += w * int32(p[3])
			in = in[4:]
		}
		p := out[4*x : 4*x+4]
		p[0], p[1], p[2], p[3] = rounded(c), rounded(m), rounded(y), rounded(k)
	}
}
