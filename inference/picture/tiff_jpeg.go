package picture

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/jpeg"
	"slices"
)

// jpegBlock is block for JPEG compression. The directory may hold tables that all blocks share.
func (l *tiffLayout) jpegBlock(
	ctx context.Context, img *image.NRGBA, data []byte, plane, height int, visible image.Rectangle,
) error {
	tables, err := l.bytes(tagJPEGTables)
	if err != nil {
		return err
	}
	if len(tables) >= 4 && len(data) >= 2 { // joined without the end marker of the tables and the start marker of the data
		data = slices.Concat(tables[:len(tables)-2], data[2:])
	}
	if err := checkJPEG(data); err != nil {
		return err
	}
	config, err := jpeg.DecodeConfig(bytes.NewReader(data))
	if err != nil {
		return err
	}
	if config.Width > l.blockWidth+15 || config.Height > height+15 ||
		config.Width < visible.Dx() || config.Height < visible.Dy() {
		return fmt.Errorf("found a JPEG of %d×%d pixels, want %d×%d", config.Width, config.Height, l.blockWidth, height)
	}
	decoded, err := jpeg.Decode(forDecoder(ctx, data))
	if err != nil {
		return err
	}
	rows := image.Rectangle{Max: visible.Size()}
	put := func(slot int, sample func(x, y int) byte) {
		for y := range rows.Dy() {
			to := img.Pix[img.PixOffset(visible.Min.X, visible.Min.Y+y):]
			for x := range rows.Dx() {
				to[4*x+slot] = sample(x, y)
			}
		}
	}
	switch stored := decoded.(type) {
	case *image.Gray:
		put(plane, func(x, y int) byte { return stored.GrayAt(x, y).Y })
	case *image.YCbCr:
		if l.colourSamples() != 3 || l.planes != 1 {
			return errors.New("found a JPEG of three samples, want one")
		}
		if l.photometric == rgbSamples { // only the directory says so: the decoder took the samples for YCbCr
			put(0, func(x, y int) byte { return stored.YCbCrAt(x, y).Y })
			put(1, func(x, y int) byte { return stored.YCbCrAt(x, y).Cb })
			put(2, func(x, y int) byte { return stored.YCbCrAt(x, y).Cr })
			return nil
		}
		upsampled, err := upsamplePlanes(ctx, stored)
		if err != nil {
			return err
		}
		draw.Draw(img, visible, upsampled, image.Point{}, draw.Src)
	default:
		if l.colourSamples() != 3 || decoded.ColorModel() != color.RGBAModel {
			return fmt.Errorf("found a JPEG of a kind that does not fit %d samples a pixel", l.samples)
		}
		draw.Draw(img, visible, decoded, image.Point{}, draw.Src)
	}
	return nil
}
