package picture

import (
	"context"
	"image"
)

// fullLuma and fullChroma map samples of the studio range to the full range.
var fullLuma, fullChroma = func() (luma, chroma [256]uint8) {
	for v := range 256 {
		luma[v] = uint8(min(max((float64(v)-16)*255/219, 0), 255) + 0.5)
		chroma[v] = uint8(min(max((float64(v)-128)*255/224+128, 0), 255) + 0.5)
	}
	return luma, chroma
}()

// upsampleChroma interpolates the subsampled chroma planes of a picture (4:2:0, 4:2:2, 4:4:0) linearly between the
// centres of their samples, as libjpeg and libwebp do, with which the reference implementation reads. Package image
// repeats the samples instead, which differs by dozens of levels at the edges of saturated colours. Other pictures are
// returned unchanged. The error is the context's.
func upsampleChroma(ctx context.Context, img image.Image) (image.Image, error) {
	switch img := img.(type) {
	case *image.YCbCr:
		return upsamplePlanes(ctx, img)
	case *image.NYCbCrA:
		planes, err := upsamplePlanes(ctx, &img.YCbCr)
		if err != nil {
			return nil, err
		}
		return &image.NYCbCrA{YCbCr: *planes, A: img.A, AStride: img.AStride}, nil
	}
	return img, nil
}

func upsamplePlanes(ctx context.Context, img *image.YCbCr) (*image.YCbCr, error) {
	var halfWidth, halfHeight bool
	switch img.SubsampleRatio {
	case image.YCbCrSubsampleRatio420:
		halfWidth, halfHeight = true, true
	case image.YCbCrSubsampleRatio422:
		halfWidth = true
	case image.YCbCrSubsampleRatio440:
		halfHeight = true
	default:
		return img, nil
	}
	width, height := img.Rect.Dx(), img.Rect.Dy()
	planeWidth, planeHeight := width, height
	if halfWidth {
		planeWidth = (width + 1) / 2
	}
	if halfHeight {
		planeHeight = (height + 1) / 2
	}
	upsample := func(plane []uint8) ([]uint8, error) {
		full := make([]uint8, width*height)
		return full, inBands(ctx, height, func() func(first, count int) {
			column := make([]int, planeWidth) // one row after the vertical interpolation, times 4
			return func(first, count int) {
				for y := first; y < first+count; y++ {
					near, far := neighbours(y, planeHeight, halfHeight)
					for x := range column {
						column[x] = 3*int(plane[near*img.CStride+x]) + int(plane[far*img.CStride+x])
					}
					for x := range width {
						near, far := neighbours(x, planeWidth, halfWidth)
						full[y*width+x] = uint8((3*column[near] + column[far] + 8) / 16)
					}
				}
			}
		})
	}
	cb, err := upsample(img.Cb)
	if err != nil {
		return nil, err
	}
	cr, err := upsample(img.Cr)
	return &image.YCbCr{
		Y: img.Y, YStride: img.YStride,
		Cb: cb, Cr: cr, CStride: width,
		SubsampleRatio: image.YCbCrSubsampleRatio444,
		Rect:           img.Rect,
	}, err
}

// neighbours returns the indices of the two samples between which pixel i lies, in a plane of n samples. In a halved
// plane the centre of near is a quarter of a sample away, and that of far three quarters, so their weights are 3 and 1.
func neighbours(i, n int, halved bool) (near, far int) {
	if !halved {
		return i, i
	}
	near = i / 2
	if i%2 == 0 {
		return near, max(near-1, 0)
	}
	return near, min(near+1, n-1)
}
