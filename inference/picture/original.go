package picture

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"image"
	"image/color"
	"io"
	"sync"
)

// Original is a picture at full resolution, upright, in the levels of its file: 8 or 16 bits, gray or RGB, with or
// without alpha, in the file's own colour space. It carries the file's profile and Exif block to the file that is
// written of it.
//
// An Original is an image.Image, so that Write, Save and Encode take it. They write its levels unchanged as PNG (or
// WebP for 8 bits), with its profile and Exif. Its colours are those of the file; SRGB converts them. An Original is
// not changed after it was made, so several goroutines may use it.
type Original struct {
	// Pixels is *image.Gray, *image.Gray16, *image.NRGBA or *image.NRGBA64, with its origin at (0, 0) and no padding
	// between rows.
	Pixels image.Image
	Size   Size
	Format string // "PNG", "JPEG", …; "" if the picture came from no file

	Profile     string // as in Reference
	ProfileNote string // as in Reference

	FileSHA256 string // of the file's bytes, in hexadecimal

	opaque    bool       // no pixel is transparent
	alpha     bool       // a file of the picture has an alpha channel
	gray      bool       // a file of the picture has one colour channel
	converted conversion // from Pixels to sRGB
	carried   carried
	light     func() *Light
}

// carried is what an Original takes from its file to the file that is written of it.
type carried struct {
	icc    []byte  // the ICC profile, or nil
	byCode bool    // code points decide the colours, whatever the profile says
	chunks []chunk // PNG's other declarations: of colours, and of the resolution in print
	exif   []byte  // the Exif block, upright and without a thumbnail, or nil
}

// chunk is a chunk of a PNG file.
type chunk struct {
	kind string
	data []byte
}

// OpenOriginal reads the picture in the file at path at full resolution. It has the limits and errors of Open.
//
// The levels are those that the file's samples stand for: of a palette its colours, of JPEG what libjpeg-turbo and so
// nearly every other program decodes, of CMYK the sRGB colours that a Reference has. HEIC has 8 bits, whatever the file
// has; AVIF of 10 and 12 bits has 16. If the file stores colours multiplied by alpha, they are divided by it.
func OpenOriginal(ctx context.Context, path string) (*Original, error) {
	return openOriginal(ctx, path, checkReference)
}

// DecodeOriginal is OpenOriginal for an encoded file in memory.
func DecodeOriginal(ctx context.Context, file []byte) (*Original, error) {
	return decodeOriginalOf(ctx, file, checkReference)
}

// OpenAnySize is OpenOriginal for a picture that the model does not see: its sides may have from 1 pixel to
// MaxMaskSide.
func OpenAnySize(ctx context.Context, path string) (*Original, error) {
	return openOriginal(ctx, path, checkMask)
}

// OpenMask is OpenOriginal for a picture that serves as a mask, which may have any sides from 1 pixel to MaxMaskSide.
func OpenMask(ctx context.Context, path string) (*Original, error) {
	return openOriginal(ctx, path, checkMask)
}

// DecodeMask is OpenMask for an encoded file in memory.
func DecodeMask(ctx context.Context, file []byte) (*Original, error) {
	return decodeOriginalOf(ctx, file, checkMask)
}

// checkMask checks the size in the header of a mask.
func checkMask(size Size, maxPixels int) error {
	short, long := min(size.Width, size.Height), max(size.Width, size.Height)
	switch {
	case short > 0 && long > maxPixels/short:
		return checkReference(size, maxPixels)
	case long > MaxMaskSide:
		return sizeErrorf("found %v pixels, want at most %d a side", size, MaxMaskSide)
	}
	return nil
}

func openOriginal(ctx context.Context, path string, check func(Size, int) error) (*Original, error) {
	file, err := openRegular(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, fmt.Errorf("picture: %w", err)
	}
	var content bytes.Buffer
	content.Grow(int(info.Size()) + bytes.MinRead) // openRegular has checked it
	if _, err := content.ReadFrom(io.LimitReader(cancellable{ctx, file, 1 << 20}, MaxFileBytes)); err != nil {
		return nil, fmt.Errorf("picture: %s: %w", path, err)
	}
	o, err := decodeOriginal(ctx, content.Bytes(), check)
	if err != nil {
		return nil, fmt.Errorf("picture: %s: %w", path, err)
	}
	return o, nil
}

func decodeOriginalOf(ctx context.Context, file []byte, check func(Size, int) error) (*Original, error) {
	if len(file) > MaxFileBytes {
		return nil, fmt.Errorf("picture: found %d bytes, want at most %d MiB", len(file), MaxFileBytes>>20)
	}
	o, err := decodeOriginal(ctx, file, check)
	if err != nil {
		return nil, fmt.Errorf("picture: %w", err)
	}
	return o, nil
}

// decodeOriginal decodes a file to upright pixels. It returns when all its work has ended, also after a cancellation.
func decodeOriginal(ctx context.Context, file []byte, check func(Size, int) error) (*Original, error) {
	f, err := recognise(file)
	if err != nil {
		return nil, err
	}
	checkSize, release := admitted(ctx, originalWeight, func(header Size) error { return check(header, MaxPixels) })
	defer release()
	o, err := decodeAsStored(ctx, f, file, checkSize)
	if err != nil {
		return nil, err
	}
	orientation := upright
	if f.orientation != nil {
		orientation = f.orientation(file)
	}
	if o.Pixels, err = turned(ctx, o.Pixels, orientation); err != nil {
		return nil, err
	}
	o.Size = Size{o.Pixels.Bounds().Dx(), o.Pixels.Bounds().Dy()}
	o.Format = f.name
	o.Profile, o.ProfileNote = o.converted.name, o.converted.note
	o.carried.exif = carriedExif(f, file, o.Size)
	sum := sha256.Sum256(file)
	o.FileSHA256 = hex.EncodeToString(sum[:])
	o.light = sync.OnceValue(func() *Light { return newLight(o) })
	return o, nil
}

// decodeAsStored decodes a file without turning it upright. It sets what depends on the decoded picture.
func decodeAsStored(ctx context.Context, f format, file []byte, checkSize func(Size) error) (*Original, error) {
	var tags colourTags
	if f.colour != nil {
		tags = f.colour(file)
	}
	o, err := decodeByRows(ctx, f, file, tags, checkSize)
	if o != nil || err != nil {
		return o, err
	}
	f.decode = deepDecoder(f)
	decoded, canvas, err := decodeChecked(ctx, f, file, checkSize)
	if err != nil {
		return nil, err
	}
	if inks, ok := decoded.(*image.CMYK); ok {
		return originalOfCMYK(ctx, inks, canvas, tags)
	}
	o = &Original{}
	err = guard(func() (err error) {
		o.converted = conversionOf(tags, decoded)
		o.Pixels, err = straight(ctx, decoded, canvas)
		return err
	})
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, fmt.Errorf("%s: it cannot be prepared: %w", f.name, err)
	}
	o.opaque = isOpaque(o.Pixels)
	o.gray = isGray(o.Pixels)
	o.alpha = !o.opaque
	if f.name == "PNG" {
		const grayAlpha, rgbAlpha, colourTypeAt = 4, 6, len(pngSignature) + 8 + 9
		switch file[colourTypeAt] {
		case grayAlpha:
			o.alpha, o.gray = true, true
		case rgbAlpha:
			o.alpha = true
		}
	}
	o.carried = carriedColours(f, file, tags, o.gray)
	return o, nil
}

// deepDecoder returns the decoder of a format that keeps samples of 16 bits.
func deepDecoder(f format) func(ctx context.Context, file []byte) (image.Image, error) {
	if f.name == "TIFF" {
		return tiffDecodeDeep
	}
	return f.decode
}

// decodeByRows decodes a JPEG with package jpegrows. It returns nil for another file, and for one that is left to
// package image/jpeg.
func decodeByRows(
	ctx context.Context, f format, file []byte, tags colourTags, checkSize func(Size) error,
) (*Original, error) {
	rows, err := newLargeJPEG(f, file, 0, checkSize)
	if rows == nil && err == nil {
		return nil, nil
	}
	var o *Original
	if err == nil {
		o, err = rows.original(ctx, tags)
	}
	if err == nil {
		o.carried = carriedColours(f, file, tags, o.gray)
		if rows.isCMYK() {
			o.carried = carried{}
		}
		return o, nil
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if rows != nil && rows.Width*rows.Height > wholeJPEGPixels {
		return nil, err
	}
	return nil, nil // image/jpeg may be more tolerant, or says what is wrong
}

// originalOfCMYK returns the Original of a picture in CMYK, which no file that is written can hold: its colours in
// sRGB, as a Reference has them.
func originalOfCMYK(ctx context.Context, inks *image.CMYK, canvas Size, tags colourTags) (*Original, error) {
	var rgba *image.RGBA
	converted := conversionOf(tags, inks)
	err := guard(func() (err error) {
		rgba, converted, err = prepareWhole(ctx, inks, tags, canvas, canvas)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &Original{
		Pixels: &image.NRGBA{Pix: rgba.Pix, Stride: rgba.Stride, Rect: rgba.Rect}, opaque: true,
		converted: conversion{name: converted.name, note: converted.note},
	}, nil
}

// NewOriginal returns the Original of a picture in sRGB that came from no file, such as a result of the model. It may
// share img's pixels, which must not change afterwards.
func NewOriginal(img image.Image) (*Original, error) {
	size := Size{img.Bounds().Dx(), img.Bounds().Dy()}
	if size.Width <= 0 || size.Height <= 0 {
		return nil, fmt.Errorf("picture: picture of %v, want at least one pixel", size)
	}
	if img.Bounds().Min != (image.Point{}) {
		img = atOrigin{img}
	}
	pixels, err := straight(context.Background(), img, size)
	if err != nil {
		return nil, err
	}
	o := &Original{Pixels: pixels, Size: size, opaque: isOpaque(pixels), gray: isGray(pixels)}
	o.alpha = !o.opaque
	o.light = sync.OnceValue(func() *Light { return newLight(o) })
	return o, nil
}

// With returns an Original with other pixels, of any size, and everything else of o. pixels must have the type of
// o.Pixels, its origin at (0, 0), and no padding between rows.
func (o *Original) With(pixels image.Image) *Original {
	other := *o
	other.Pixels = pixels
	other.Size = Size{pixels.Bounds().Dx(), pixels.Bounds().Dy()}
	other.opaque = isOpaque(pixels)
	other.alpha = o.alpha || !other.opaque
	if other.Size != o.Size {
		other.carried.exif = withExifSize(o.carried.exif, other.Size)
	}
	return &other
}

// ColorModel implements image.Image.
func (o *Original) ColorModel() color.Model { return o.Pixels.ColorModel() }

// Bounds implements image.Image.
func (o *Original) Bounds() image.Rectangle { return o.Pixels.Bounds() }

// At implements image.Image, in the colours of the file.
func (o *Original) At(x, y int) color.Color { return o.Pixels.At(x, y) }

// Opaque reports whether no pixel is transparent.
func (o *Original) Opaque() bool { return o.opaque }

// Depth returns the bits of a sample: 8 or 16.
func (o *Original) Depth() int {
	if deep(o.Pixels) {
		return 16
	}
	return 8
}

// Gray reports whether the picture has one colour channel.
func (o *Original) Gray() bool { return o.gray }

// PlainSRGB reports whether the samples are sRGB, or are taken for it, in three channels.
func (o *Original) PlainSRGB() bool { return o.converted.to == nil && !o.gray }

// Copy returns a copy of the pixels, for With.
func (o *Original) Copy() image.Image {
	other := newLike(o.Pixels, o.Size)
	copy(pixOf(other), pixOf(o.Pixels))
	return other
}

// New returns an empty picture of the type of Pixels, for With.
func (o *Original) New(size Size) image.Image { return newLike(o.Pixels, size) }

// Bytes returns the memory that the pixels take.
func (o *Original) Bytes() int64 { return int64(len(pixOf(o.Pixels))) }

// AlphaRow writes the upper 8 bits of the alpha of row y to row.
func (o *Original) AlphaRow(y int, row []uint8) {
	row = row[:o.Size.Width]
	switch img := o.Pixels.(type) {
	case *image.NRGBA:
		pix := img.Pix[y*img.Stride:]
		for x := range row {
			row[x] = pix[4*x+3]
		}
	case *image.NRGBA64:
		pix := img.Pix[y*img.Stride:]
		for x := range row {
			row[x] = pix[8*x+6]
		}
	default:
		for x := range row {
			row[x] = 255
		}
	}
}
