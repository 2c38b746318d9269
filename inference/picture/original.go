package picture

import (
	"context"
	"image"
	"image/color"
)

// Original is a picture at full resolution, upright, in the levels of its file: 8 or 16 bits, gray or RGB, with or
// without alpha, in the file's own colour space. It carries the file's profile and Exif block to the file that is
// written of it.
//
// An Original is an image.Image, so that Write, Save and Encode take it. They write its levels unchanged as PNG (or
// WebP for 8 bits), with its profile and Exif. Its colours are those of the file; SRGB converts them. An
// Original is not changed after it was made, so several goroutines may use it.
type Original struct {
	// Pixels is *image.Gray, *image.Gray16, *image.NRGBA or *image.NRGBA64, with its origin at (0, 0) and no padding
	// between rows.
	Pixels image.Image
	Size   Size
	Format string // "PNG", "JPEG", …

	Profile     string // as in Reference
	ProfileNote string // as in Reference

	FileSHA256 string // of the file's bytes, in hexadecimal
}

// OpenOriginal reads the picture in the file at path at full resolution. It has the limits and errors of Open.
//
// The levels are those that the file's samples stand for: of a palette its colours, of JPEG what libjpeg-turbo and so
// nearly every other program decodes, of CMYK the sRGB colours that a Reference has. HEIC has 8 bits, whatever
// the file has; AVIF of 10 and 12 bits has 16.
func OpenOriginal(ctx context.Context, path string) (*Original, error) {
	return nil, nil
}

// DecodeOriginal is OpenOriginal for an encoded file in memory.
func DecodeOriginal(ctx context.Context, file []byte) (*Original, error) {
	return nil, nil
}

// OpenMask is OpenOriginal for a picture that serves as a mask, which may have any sides from 1 pixel on.
func OpenMask(ctx context.Context, path string) (*Original, error) { return nil, nil }

// DecodeMask is OpenMask for an encoded file in memory.
func DecodeMask(ctx context.Context, file []byte) (*Original, error) { return nil, nil }

// NewOriginal returns the Original of a picture in sRGB that came from no file, such as a result of the model.
func NewOriginal(img image.Image) *Original { return nil }

// With returns an Original with other pixels, of any size, and everything else of o. pixels has the type of o.Pixels.
func (o *Original) With(pixels image.Image) *Original { return nil }

// ColorModel implements image.Image.
func (o *Original) ColorModel() color.Model { return o.Pixels.ColorModel() }

// Bounds implements image.Image.
func (o *Original) Bounds() image.Rectangle { return o.Pixels.Bounds() }

// At implements image.Image, in the colours of the file.
func (o *Original) At(x, y int) color.Color { return o.Pixels.At(x, y) }

// Opaque reports whether no pixel is transparent.
func (o *Original) Opaque() bool { return true }

// AlphaRow writes the upper 8 bits of the alpha of row y to row.
func (o *Original) AlphaRow(y int, row []uint8) {}

// SRGB returns the rectangle r of the picture as a Reference has it: 8-bit sRGB, composited on white, scaled to size as
// Pillow's Lanczos does, for enlarging as well. At the rectangle's own size nothing is scaled. The error is the
// context's, or that of a profile which fails.
func (o *Original) SRGB(ctx context.Context, r image.Rectangle, size Size) (*image.RGBA, error) {
	return nil, nil
}
