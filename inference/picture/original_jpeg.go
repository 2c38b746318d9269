package picture

import (
	"context"
	"image"

	"github.com/kleinbild/kleinbild/inference/picture/jpegrows"
)

func (l *largeJPEG) isCMYK() bool { return l.Kind == jpegrows.CMYK }

// original decodes the picture at full resolution. CMYK is converted to sRGB.
func (l *largeJPEG) original(ctx context.Context, tags colourTags) (*Original, error) {
	o := &Original{opaque: true, gray: l.Kind == jpegrows.Gray}
	var kind image.Image = &image.RGBA{}
	switch l.Kind {
	case jpegrows.Gray:
		kind = &image.Gray{}
	case jpegrows.CMYK:
		kind = &image.CMYK{}
	}
	r := image.Rect(0, 0, l.Width, l.Height)
	err := guard(func() error {
		o.converted = conversionOf(tags, kind)
		if l.Kind == jpegrows.Gray {
			gray := image.NewGray(r)
			o.Pixels = gray
			return l.eachRow(ctx, func() func(y int, row []uint8) {
				return func(y int, row []uint8) {
					out := gray.Pix[y*gray.Stride:][:l.Width]
					for x := range out {
						out[x] = row[4*x]
					}
				}
			})
		}
		img := image.NewNRGBA(r)
		o.Pixels = img
		change := unchanged
		if l.Kind == jpegrows.CMYK {
			change = func() func(row []uint8) {
				return func(row []uint8) {
					cmykToRGB(row)
					for i := 3; i < len(row); i += 4 {
						row[i] = 255
					}
				}
			}
			if to := o.converted.to; to != nil {
				change = func() func(row []uint8) {
					convert := rowConverter(to)()
					return func(row []uint8) {
						convert(row)
						for i := 3; i < len(row); i += 4 {
							row[i] = 255
						}
					}
				}
			}
			o.converted.to = nil
		}
		return l.eachRow(ctx, func() func(y int, row []uint8) {
			change := change()
			return func(y int, row []uint8) {
				change(row)
				copy(img.Pix[y*img.Stride:], row)
			}
		})
	})
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return o, err
}
