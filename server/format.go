package server

import (
	"bytes"
	"image"
	"image/jpeg"
	"image/png"
	"io"
	"math"

	"github.com/HugoSmits86/nativewebp"
	"golang.org/x/image/draw"

	"github.com/kleinbild/kleinbild/inference/picture"
)

// format says how a reply's pictures are encoded.
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

// format reads output_format and output_compression. compresses is false if output_compression is given and has no
// effect: PNG and WebP are always written without loss.
func (v values) format() (f format, compresses bool, err error) {
	f = format{name: formatPNG}
	name, err := v.choice(fieldOutputFormat, formatPNG, formatJPEG, formatWebP)
	if err != nil {
		return f, false, err
	}
	if name != "" {
		f.name = name
	}
	if f.quality, err = v.integer(fieldOutputCompression, 0, 100, picture.JPEGQuality); err != nil {
		return f, false, err
	}
	f.quality = max(f.quality, 1) // the encoder does not accept 0
	_, given := v.given(fieldOutputCompression)
	return f, !given || f.name == formatJPEG || f.quality == 100, nil
}

func (f format) contentType() string { return "image/" + f.name }

// encode writes a finished picture with its metadata.
func (f format) encode(w io.Writer, img image.Image, meta picture.Metadata) error {
	return picture.Encode(w, img, meta, f.extension(), f.quality)
}

func (f format) extension() string { return "." + f.name }

// check refuses a prompt that the format cannot hold in its metadata, before anything is computed.
func (f format) check(prompt string) error {
	const others = 4096 // bytes; the other fields of the metadata take less
	if picture.CheckFits(f.extension(), picture.Metadata{Prompt: prompt}, others) != nil {
		return invalid(fieldPrompt,
			"is too long for the metadata of a JPEG, want a shorter prompt, or %s png or webp", fieldOutputFormat)
	}
	return nil
}

// previewEncoder writes previews as PNG. Time matters more than size.
var previewEncoder = png.Encoder{CompressionLevel: png.BestSpeed}

// previewSize returns the size of the previews of a picture: its own, or less for a photo that is edited.
func previewSize(size picture.Size) picture.Size {
	most := math.Sqrt(maxPreviewPixels / float64(size.Width*size.Height))
	if most >= 1 {
		return size
	}
	side := func(n int) int { return max(int(float64(n)*most), 1) }
	return picture.Size{Width: side(size.Width), Height: side(size.Height)}
}

// encodePreview scales a preview to size and returns the encoded file.
func (f format) encodePreview(preview *image.RGBA, size picture.Size) ([]byte, error) {
	img := image.NewRGBA(image.Rect(0, 0, size.Width, size.Height))
	draw.ApproxBiLinear.Scale(img, img.Bounds(), preview, preview.Bounds(), draw.Src, nil)
	var file bytes.Buffer
	var err error
	switch f.name { // a preview has no metadata, since no request makes it again
	case formatJPEG:
		err = jpeg.Encode(&file, img, &jpeg.Options{Quality: f.quality})
	case formatWebP:
		err = nativewebp.Encode(&file, img, nil)
	default:
		err = previewEncoder.Encode(&file, img)
	}
	return file.Bytes(), err
}
