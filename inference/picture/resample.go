package picture

import (
	"context"
	"encoding/binary"
	"image"
	"math"
)

// The resampler follows Pillow's for 8-bit pictures, which the reference implementation uses: a Lanczos kernel with
// three lobes, widened by the scaling factor, in fixed point. The horizontal pass comes first; its results are rounded
// to 8 bits. Then comes the vertical pass.

// weightBits is the number of fractional bits of a weight. Samples have 8 bits, and the weights of one tap list add up
// to 1, and in absolute value to less than 2, so a sum of products fits into 32 bits.
const weightBits = 32 - 8 - 2

// taps holds the weights of the source samples from which one sample of the result is computed.
type taps struct {
	first   int // the index of the first source sample
	weights []int32
}

// lanczosTaps returns the taps for scaling a line of from samples down to to samples, one for each sample of the
// result.
func lanczosTaps(from, to int) []taps {
	return placedTaps(float64(from)/float64(to), 0, from, 0, to)
}

// placedTaps returns the taps of count samples of a result from sample start on, whose samples are factor source
// samples apart. The source is a piece of from samples of a longer line, without the offset samples before it. Samples
// of the result that lie outside of the piece take its nearest sample.
func placedTaps(factor float64, offset, from, start, count int) []taps {
	const lobes = 3
	spread := max(factor, 1)
	list := make([]taps, count)
	for i := range list {
		centre := (float64(start+i)+0.5)*factor - float64(offset)
		first := min(max(int(centre-lobes*spread+0.5), 0), from-1)
		end := max(min(int(centre+lobes*spread+0.5), from), first+1)
		kernel := make([]float64, end-first)
		sum := 0.0
		for j := range kernel {
			kernel[j] = lanczos((float64(first+j) - centre + 0.5) / spread)
			sum += kernel[j]
		}
		if len(kernel) == 1 {
			kernel[0], sum = 1, 1
		}
		list[i] = taps{first, make([]int32, len(kernel))}
		for j, k := range kernel {
			list[i].weights[j] = int32(math.Round(k / sum * (1 << weightBits)))
		}
	}
	return list
}

// lanczos returns sinc(x)·sinc(x/3) for −3 ≤ x < 3, and 0 elsewhere.
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

// rounded converts a weighted sum, to which half has been added, into a sample.
func rounded(sum int32) uint8 { return uint8(min(max(sum>>weightBits, 0), 255)) }

const half = 1 << (weightBits - 1)

// scale returns the opaque picture img, whose origin is (0, 0), scaled down to size. The error is that of ctx.
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

// scaleCMYK is scale for a CMYK picture.
func scaleCMYK(ctx context.Context, img *image.CMYK, size Size) (*image.CMYK, error) {
	dst := image.NewCMYK(image.Rect(0, 0, size.Width, size.Height))
	return dst, resample(ctx, dst.Pix, size, img.Pix, img.Stride, Size{img.Rect.Dx(), img.Rect.Dy()}, 4)
}

// resample scales src into dst. Both have four samples a pixel, of which the first samples (3 or 4) are scaled. Rows of
// dst are contiguous; those of src begin every stride bytes.
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

// narrowRows is the result of the horizontal pass: a picture with the new width and the old height.
type narrowRows struct {
	from, to Size
	samples  int // of a pixel: 3 or 4
	across   []taps
	down     []taps
	pix      []uint8 // [from.Height, to.Width, samples]
}

func newNarrowRows(from, to Size, samples int) *narrowRows {
	return &narrowRows{
		from, to, samples, lanczosTaps(from.Width, to.Width), lanczosTaps(from.Height, to.Height),
		make([]uint8, samples*to.Width*from.Height),
	}
}

// scaled runs the vertical pass, after put has been called for all rows. It writes the first samples of the four that a
// pixel has in dst.
func (n *narrowRows) scaled(ctx context.Context, dst []uint8) error {
	down := n.down
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

// rowScaler runs the horizontal pass for one goroutine. Two samples of a pixel are packed into the halves of a uint64,
// so that one multiplication weights both. A negative sum in the lower half borrows from the upper half; halvesOf
// corrects that at the end.
type rowScaler struct {
	*narrowRows
	even, odd []uint64 // for each pixel of a row: samples 0 and 2, samples 1 and 3
}

// scaler returns a rowScaler for one goroutine.
func (n *narrowRows) scaler() *rowScaler {
	return &rowScaler{n, make([]uint64, n.from.Width), make([]uint64, n.from.Width)}
}

// put scales row y of the source picture. row has four samples a pixel.
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

// halvesOf splits a packed pair of signed sums.
func halvesOf(sums uint64) (lower, upper int32) {
	lower = int32(sums)
	return lower, int32((sums - uint64(int64(lower))) >> 32)
}

// Placed scales a piece of a picture. img is the rectangle crop of a picture of size full; Placed returns the window of
// that picture scaled to size to, as Pillow's Lanczos does. Pixels of the window outside of crop repeat its border. The
// error is that of ctx.
func Placed(
	ctx context.Context, img *image.RGBA, full Size, crop image.Rectangle, to Size, window image.Rectangle,
) (*image.RGBA, error) {
	from := Size{crop.Dx(), crop.Dy()}
	n := &narrowRows{from: from, to: Size{window.Dx(), window.Dy()}, samples: 3}
	n.across = placedTaps(float64(full.Width)/float64(to.Width), crop.Min.X, from.Width, window.Min.X, window.Dx())
	n.down = placedTaps(float64(full.Height)/float64(to.Height), crop.Min.Y, from.Height, window.Min.Y, window.Dy())
	n.pix = make([]uint8, n.samples*n.to.Width*from.Height)
	first := n.down[0].first
	last := n.down[len(n.down)-1]
	err := inBands(ctx, last.first+len(last.weights)-first, func() func(first, count int) {
		scaler := n.scaler()
		return func(at, count int) {
			for y := first + at; y < first+at+count; y++ {
				scaler.put(y, img.Pix[y*img.Stride:][:4*from.Width])
			}
		}
	})
	if err != nil {
		return nil, err
	}
	dst := newOpaque(n.to)
	return dst, n.scaled(ctx, dst.Pix)
}
