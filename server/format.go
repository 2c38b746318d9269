package server

import (
	"bytes"
	"image"
	"image/jpeg"
	"image/png"
	"io"

	"github.com/HugoSmits86/nativewebp"
	"golang.org/x/image/draw"

	"kleinbild/inference/picture"
)

// format is how a reply's pictures are encoded.
type format struct {
	name    string // png, jpeg or webp, as OpenAI calls them
	quality int    // of a JPEG, 1 to 100
}

// The fields that ask for a format.
const (
	fieldOutputFormat      = "output_format"
	fieldOutputCompression = "output_compression"
)

const (
	formatPNG  = "png"
	formatJPEG = "jpeg"
	formatWebP = "webp"
)

// usualQuality keeps a picture's grain.
const usualQuality = 95

// format reads what a reply's pictures are encoded as, and whether output_compression has an effect: PNG and WebP are
// written without loss.
func (v values) format() (f format, compresses bool, err error) {
	f = format{name: formatPNG}
	name, err := v.choice(fieldOutputFormat, formatPNG, formatJPEG, formatWebP)
	if err != nil {
		return f, false, err
	}
	if name != "" {
		f.name = name
	}
	if f.quality, err = v.integer(fieldOutputCompression, 0, 100, usualQuality); err != nil {
		return f, false, err
	}
	_, given := v.given(fieldOutputCompression)
	return f, !given || f.name == formatJPEG || f.quality == 100, nil
}

func (f format) contentType() string { return "image/" + f.name }

// encode writes a finished picture. A PNG carries meta.
func (f format) encode(w io.Writer, img *image.RGBA, meta picture.Metadata) error {
	switch f.name {
	case formatJPEG:
		return jpeg.Encode(w, img, &jpeg.Options{Quality: max(f.quality, 1)})
	case formatWebP:
		return nativewebp.Encode(w, img, nil)
	}
	return picture.EncodePNG(w, img, meta)
}

// encodePreview returns a preview as a file of the finished picture's size.
func (f format) encodePreview(preview *image.RGBA, size picture.Size) ([]byte, error) {
	img := image.NewRGBA(image.Rect(0, 0, size.Width, size.Height))
	draw.ApproxBiLinear.Scale(img, img.Bounds(), preview, preview.Bounds(), draw.Src, nil)
	var file bytes.Buffer
	if f.name == formatPNG { // without metadata: nothing makes a preview again
		encoder := png.Encoder{CompressionLevel: png.BestSpeed}
		err := encoder.Encode(&file, img)
		return file.Bytes(), err
	}
	err := f.encode(&file, img, picture.Metadata{})
	return file.Bytes(), err
}
