package picture

import (
	"cmp"
	"context"
	"errors"
	"image"
	"io"
	"sync"

	"github.com/kleinbild/kleinbild/inference/picture/jpegrows"
)

// largeJPEG is a JPEG with more than wholeJPEGPixels, which is scaled down while it is decoded.
type largeJPEG struct {
	*jpegrows.Picture
	format format
}

// newLargeJPEG parses the headers of a JPEG file and checks its size and scans. It returns nil for a picture of at most
// atMost pixels, and for a file that only package image/jpeg can decode or reject.
func newLargeJPEG(f format, file []byte, atMost int, checkSize func(Size) error) (*largeJPEG, error) {
	if f.name != "JPEG" {
		return nil, nil
	}
	var large *largeJPEG
	err := guard(func() error {
		config, err := f.config(file)
		if err != nil || config.Width*config.Height <= atMost {
			return nil // decodeChecked will report the error
		}
		if err := checkSize(Size{config.Width, config.Height}); err != nil {
			return err
		}
		if _, err := checkJPEGScans(file); err != nil {
			return err
		}
		p, err := jpegrows.New(file)
		if errors.Is(err, jpegrows.ErrNotRead) {
			return nil
		}
		large = &largeJPEG{p, f}
		return err
	})
	if err != nil && errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, damaged(f, err)
	}
	return large, err
}

func (l *largeJPEG) size() Size { return Size{l.Width, l.Height} }

// scaled returns the picture in sRGB, scaled to size fit, as prepareWhole does for other pictures. The error for a
// damaged file is a decodeError.
func (l *largeJPEG) scaled(ctx context.Context, tags colourTags, fit Size) (*image.RGBA, conversion, error) {
	var kind image.Image = &image.RGBA{}
	switch l.Kind {
	case jpegrows.Gray:
		kind = &image.Gray{}
	case jpegrows.CMYK:
		kind = &image.CMYK{}
	}
	converted := conversionOf(tags, kind)
	if converted.to == nil {
		img, err := l.scaledRGB(ctx, fit)
		return img, converted, err
	}
	if _, slow := converted.to.(*pipeline); !slow {
		img, err := l.scaleRows(ctx, fit, rowConverter(converted.to))
		return img, converted, err
	}
	var small image.Image
	var err error
	if l.Kind == jpegrows.CMYK {
		small, err = l.scaledCMYK(ctx, fit)
	} else {
		small, err = l.scaledRGB(ctx, fit)
	}
	if err != nil {
		return nil, conversion{}, err
	}
	img, err := convertedOnWhite(ctx, small, fit, converted.to)
	if err != nil && ctx.Err() == nil {
		img, err = l.scaledRGB(ctx, fit)
		return img, damagedProfile, err
	}
	return img, converted, err
}

// scaledRGB returns the picture scaled to size fit, without colour conversion; CMYK becomes RGB.
func (l *largeJPEG) scaledRGB(ctx context.Context, fit Size) (*image.RGBA, error) {
	change := unchanged
	if l.Kind == jpegrows.CMYK {
		change = func() func(row []uint8) { return cmykToRGB }
	}
	return l.scaleRows(ctx, fit, change)
}

func unchanged() func(row []uint8) { return func([]uint8) {} }

// cmykToRGB converts a row of CMYK in place as Pillow does in the reference implementation: each of the three inks
// absorbs its share of the light that black lets through.
func cmykToRGB(row []uint8) {
	for ; len(row) >= 4; row = row[4:] {
		left := 255 - uint32(row[3])
		for c, ink := range row[:3] {
			product := uint32(ink)*left + 128
			row[c] = uint8(left - (product>>8+product)>>8) // divided by 255, rounded
		}
	}
}

// rowConverter returns a function that makes, for each goroutine, a function that converts a row of four 8-bit samples
// a pixel to sRGB in place.
func rowConverter(to converter) func() func(row []uint8) {
	return func() func(row []uint8) {
		var samples []uint16
		var levels []uint8
		return func(row []uint8) {
			if samples == nil {
				samples, levels = make([]uint16, len(row)), make([]uint8, len(row)/4*3)
			}
			wide(samples, row)
			to.row(levels, samples)
			for i := 0; i < len(row); i += 4 {
				copy(row[i:i+3], levels[i/4*3:])
			}
		}
	}
}

// scaleRows decodes the picture and scales it to size fit. change is called once for each goroutine; the function that
// it returns is applied to each row before the row is scaled.
func (l *largeJPEG) scaleRows(ctx context.Context, fit Size, change func() func(row []uint8)) (*image.RGBA, error) {
	dst := newOpaque(fit)
	return dst, l.scaleInto(ctx, dst.Pix, newNarrowRows(l.size(), fit, 3), change)
}

// scaledCMYK returns a CMYK picture scaled to size fit.
func (l *largeJPEG) scaledCMYK(ctx context.Context, fit Size) (*image.CMYK, error) {
	dst := image.NewCMYK(image.Rect(0, 0, fit.Width, fit.Height))
	return dst, l.scaleInto(ctx, dst.Pix, newNarrowRows(l.size(), fit, 4), unchanged)
}

// scaleInto decodes the picture and scales it into dst.
func (l *largeJPEG) scaleInto(
	ctx context.Context, dst []uint8, narrow *narrowRows, change func() func(row []uint8),
) error {
	err := l.eachRow(ctx, func() func(y int, row []uint8) {
		scaler, change := narrow.scaler(), change()
		return func(y int, row []uint8) {
			change(row)
			scaler.put(y, row)
		}
	})
	if err != nil {
		return err
	}
	return narrow.scaled(ctx, dst)
}

// eachRow decodes the picture in bands. While the rows of one band are made, the coefficients of the next band are
// read. use is called once for each goroutine; the function that it returns is called for each row, with four samples a
// pixel, and may change them.
func (l *largeJPEG) eachRow(ctx context.Context, use func() func(y int, row []uint8)) error {
	const bandHeight = 64 // rows; a band takes some megabytes
	d := l.NewDecoder(bandHeight)
	now, next := d.NewCoefficients(), d.NewCoefficients()
	more := d.Next(now)
	readErr := readBand(d, now)()
	for more && readErr == nil {
		band := now
		more = d.Next(next)
		wait := readBand(d, next)
		err := l.makeRows(ctx, d, band, use)
		readErr = wait()
		if err != nil {
			return err
		}
		d.Advance(band)
		now, next = next, now
	}
	if readErr != nil {
		return damaged(l.format, readErr)
	}
	return nil
}

// readBand starts to read a band and returns a function that waits for the end. If several parts fail, it returns the
// error of the first part, so that the same file always gives the same error.
func readBand(d *jpegrows.Decoder, band *jpegrows.Coefficients) (wait func() error) {
	errs := make([]error, d.Parts())
	var reading sync.WaitGroup
	for part := range errs {
		reading.Go(func() { errs[part] = guard(func() error { return d.Read(band, part) }) })
	}
	return func() error {
		reading.Wait()
		return cmp.Or(errs...)
	}
}

// makeRows transforms a band, makes the rows that are then ready, and gives them to use.
func (l *largeJPEG) makeRows(
	ctx context.Context, d *jpegrows.Decoder, band *jpegrows.Coefficients, use func() func(y int, row []uint8),
) error {
	err := inBandsOf(ctx, 1, band.Rows(), func() func(first, count int) {
		return func(first, _ int) { d.Transform(band, first) }
	})
	if err != nil {
		return err
	}
	start, end := d.Ready(band)
	return inBandsOf(ctx, bandRows/2, end-start, func() func(first, count int) {
		row, scratch, use := make([]uint8, 4*l.Width), d.NewScratch(), use()
		return func(first, count int) {
			for y := start + first; y < start+first+count; y++ {
				d.Row(y, row, scratch)
				use(y, row)
			}
		}
	})
}
