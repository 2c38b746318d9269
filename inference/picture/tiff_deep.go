package picture

import (
	"context"
	"image"
)

// tiffDecodeDeep is tiffDecode with both bytes of 16-bit samples: a picture of such samples becomes *image.Gray16,
// *image.NRGBA64, or *image.RGBA64 if its colours are premultiplied by alpha. Gray of 8 bits and less becomes
// *image.Gray. CMYK keeps 8 bits, because it is converted anyway.
func tiffDecodeDeep(ctx context.Context, file []byte) (image.Image, error) {
	l, err := readLayout(file)
	if err != nil {
		return nil, err
	}
	if l.bits != 16 || l.photometric == cmykSamples || l.photometric == ycbcr {
		img, err := l.decode(ctx)
		if rgb, ok := img.(*image.NRGBA); ok && err == nil && !l.hasAlpha() && l.isGray() {
			return firstSamples(rgb), nil
		}
		return img, err
	}
	if err := checkMemory(2 * 8 * l.width * l.height); err != nil {
		return nil, err
	}
	l.lower = make([]byte, 4*l.width*l.height)
	upper, err := l.stored(ctx)
	if err != nil {
		return nil, err
	}
	return l.joined(upper.Pix), nil
}

func (l *tiffLayout) isGray() bool {
	return l.photometric == whiteIsZero || l.photometric == blackIsZero
}

// firstSamples returns the red samples of a picture as gray.
func firstSamples(img *image.NRGBA) *image.Gray {
	gray := image.NewGray(img.Rect)
	for i := range gray.Pix {
		gray.Pix[i] = img.Pix[4*i]
	}
	return gray
}

// joined returns the picture of 16-bit samples whose upper bytes are given and whose lower bytes are in l.lower.
func (l *tiffLayout) joined(upper []byte) image.Image {
	r := image.Rect(0, 0, l.width, l.height)
	flip := byte(0)
	if l.photometric == whiteIsZero {
		flip = 255
	}
	if l.isGray() && !l.hasAlpha() {
		gray := image.NewGray16(r)
		for i := range l.width * l.height {
			gray.Pix[2*i], gray.Pix[2*i+1] = upper[4*i]^flip, l.lower[4*i]^flip
		}
		return gray
	}
	img := image.NewNRGBA64(r)
	alphaAt := -1
	if l.hasAlpha() {
		alphaAt = l.colourSamples()
	}
	for i := 0; i < len(upper); i += 4 {
		p := img.Pix[2*i : 2*i+8 : 2*i+8]
		for c := range 3 {
			from := i
			if !l.isGray() {
				from += c
			}
			p[2*c], p[2*c+1] = upper[from]^flip, l.lower[from]^flip
		}
		p[6], p[7] = 255, 255
		if alphaAt >= 0 {
			p[6], p[7] = upper[i+alphaAt], l.lower[i+alphaAt]
		}
		if l.extra == extraAssociated { // damaged files are corrected, as colour does
			alpha := uint16(p[6])<<8 | uint16(p[7])
			for c := range 3 {
				v := min(uint16(p[2*c])<<8|uint16(p[2*c+1]), alpha)
				p[2*c], p[2*c+1] = byte(v>>8), byte(v)
			}
		}
	}
	if l.extra == extraAssociated {
		return &image.RGBA64{Pix: img.Pix, Stride: img.Stride, Rect: img.Rect}
	}
	return img
}
