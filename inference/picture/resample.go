package picture

import (
	"context"
	"encoding/binary"
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
	dst := newOpaque(size)
	return dst, resample(ctx, dst.Pix, size, img.Pix, img.Stride, from, 3)
}

// newOpaque returns an opaque black picture.
func newOpaque(size Size) *image.RGBA {
	img := image.NewRGBA(image.Rect(0, 0, size.Width, size.Height))
	for i := 3; i < len(img.Pix); i += 4 {
		img.Pix[i] = 255
	}
	return img
}

// scaleInks is scale for a picture of four inks.
func scaleInks(ctx context.Context, img *image.CMYK, size Size) (*image.CMYK, error) {
	dst := image.NewCMYK(image.Rect(0, 0, size.Width, size.Height))
	return dst, resample(ctx, dst.Pix, size, img.Pix, img.Stride, Size{img.Rect.Dx(), img.Rect.Dy()}, 4)
}

// resample fills the first samples (3 or 4) of the four that a pixel has in dst, whose rows lie one behind the other,
// from those of src.
func resample(ctx context.Context, dst []uint8, to Size, src []uint8, stride int, from Size, samples int) error {
	narrow := newNarrowRows(from, to, samples)
	err := inBands(ctx, from.Height, func() func(first, count int) {
		scaler := narrow.scaler()
		return func(first, count int) {
			for y := first; y < first+count; y++ {
				scaler.put(y, src[y*stride:y*stride+4*from.Width])
			}
		}
	})
	if err != nil {
		return err
	}
	return narrow.scaled(ctx, dst)
}

// narrowRows is a picture whose rows have been scaled down, and its columns not yet.
type narrowRows struct {
	from, to Size
	samples  int // of a pixel: 3 or 4
	across   []taps
	pix      []uint8
}

func newNarrowRows(from, to Size, samples int) *narrowRows {
	return &narrowRows{from, to, samples, lanczosTaps(from.Width, to.Width), make([]uint8, samples*to.Width*from.Height)}
}

// scaled scales the columns, once all rows have been put, into the first samples of the four that a pixel has in dst.
func (n *narrowRows) scaled(ctx context.Context, dst []uint8) error {
	down := lanczosTaps(n.from.Height, n.to.Height)
	return inBands(ctx, n.to.Height, func() func(first, count int) {
		sums := make([]int32, n.samples*n.to.Width)
		return func(first, count int) {
			for y := first; y < first+count; y++ {
				for i := range sums {
					sums[i] = half
				}
				for j, w := range down[y].weights {
					at := len(sums) * (down[y].first + j)
					for i, v := range n.pix[at : at+len(sums)] {
						sums[i] += w * int32(v)
					}
				}
				out := dst[4*n.to.Width*y : 4*n.to.Width*(y+1)]
				for x := range n.to.Width {
					for c := range n.samples {
						out[4*x+c] = rounded(sums[n.samples*x+c])
					}
				}
			}
		}
	})
}

// rowScaler scales rows, for one goroutine. The samples of a pixel lie in pairs, in the halves of 64 bits, so that one
// multiplication weighs two: the sum of the lower half borrows from the upper one where it is negative, which is given
// back at the end.
type rowScaler struct {
	*narrowRows
	even, odd []uint64 // of each pixel of a row: samples 0 and 2, and 1 and 3
}

// scaler returns a scaler of rows for one goroutine.
func (n *narrowRows) scaler() *rowScaler {
	return &rowScaler{n, make([]uint64, n.from.Width), make([]uint64, n.from.Width)}
}

// put scales row y of the picture, of four samples a pixel.
func (s *rowScaler) put(y int, row []uint8) {
	row = row[:4*len(s.even)]
	odd := s.odd[:len(s.even)]
	for i := range s.even {
		pixel := uint64(binary.LittleEndian.Uint32(row[4*i:]))
		s.even[i] = pixel&0xff | pixel&0xff0000<<16
		odd[i] = pixel>>8&0xff | pixel>>8&0xff0000<<16
	}
	const halves = half<<32 | half
	length := s.samples * s.to.Width
	out := s.pix[length*y : length*(y+1)]
	for x, t := range s.across {
		sum02, sum13 := uint64(halves), uint64(halves)
		even, odd := s.even[t.first:][:len(t.weights)], s.odd[t.first:][:len(t.weights)]
		for i, w := range t.weights {
			w := uint64(int64(w))
			sum02 += w * even[i]
			sum13 += w * odd[i]
		}
		p := out[s.samples*x : s.samples*(x+1)]
		sum0, sum2 := halvesOf(sum02)
		sum1, sum3 := halvesOf(sum13)
		p[0], p[1], p[2] = rounded(sum0), rounded(sum1), rounded(sum2)
		if len(p) == 4 {
			p[3] = rounded(sum3)
		}
	}
}

// halvesOf takes two sums apart.
func halvesOf(sums uint64) (lower, upper int32) {
	lower = int32(sums)
	return lower, int32((sums - uint64(int64(lower))) >> 32)
}
