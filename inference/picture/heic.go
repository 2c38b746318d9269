package picture

import (
	"context"
	"errors"
	"image"
	"slices"
	_ "unsafe" // for linkname

	_ "github.com/gen2brain/heic" // holds libheif
)

// libheifGzip is the gzipped WebAssembly module of libheif and libde265. It is run here, because the Decode of package
// heic has faults: it returns memory that it has freed, so that the first samples are lost; it assumes too short rows
// for narrow pictures; it does not limit memory; and it writes to standard output. If a version of that package lacks
// the module, the program does not link.
//
//go:linkname libheifGzip github.com/gen2brain/heic.heifWasm
var libheifGzip []byte

var libheif = &wasmProgram{format: "heic", gzipped: &libheifGzip}

var errHEIC = errors.New("heic: invalid format: the pictures in it cannot be decoded")

// The colour spaces and chroma formats that the module's C function returns, as numbered by libheif.
const (
	heifYCbCr      = 0
	heifRGB        = 1
	heifMonochrome = 2

	heif420 = 1
	heif422 = 2
	heif444 = 3
)

// decodeHEIC decodes the primary picture, rotated and cropped as the file demands. A larger picture than limit is an
// error.
func decodeHEIC(ctx context.Context, file []byte, limit Size) (image.Image, error) {
	const results = 5 // width, height, colour space, chroma format, whether colours are premultiplied by alpha
	module, err := libheif.start(ctx, file, results)
	if err != nil {
		return nil, err
	}
	defer module.close()
	var values []uint32
	decode := func(headerOnly, output uint32) error {
		done, err := module.call("decode", module.file, uint32(len(file)), headerOnly,
			module.results, module.results+4, module.results+8, module.results+12, module.results+16, output)
		if err != nil {
			return err
		}
		values = module.values(results)
		if done == 0 || values[0] == 0 || values[1] == 0 ||
			values[0] > uint32(limit.Width) || values[1] > uint32(limit.Height) {
			return errHEIC
		}
		return nil
	}
	if err := decode(1, 0); err != nil {
		return nil, err
	}
	before := values
	layout, size, err := heicLayout(values[0], values[1], values[2], values[3], values[4] == 1)
	if err != nil {
		return nil, err
	}
	output, err := module.allocate(size)
	if err != nil {
		return nil, err
	}
	if err := decode(0, output); err != nil {
		return nil, err
	}
	pixels := module.bytes(output, size)
	if pixels == nil || !slices.Equal(values, before) {
		return nil, errHEIC
	}
	return layout(pixels), nil
}

// heicLayout returns the size in bytes of a decoded picture, and a function that makes an image.Image of these bytes.
// The planes follow one another. The length of a row is a multiple of 16 samples, and at least 64.
func heicLayout(w, h, space, chroma uint32, multiplied bool) (layout func([]byte) image.Image, size int, err error) {
	width, height := int(w), int(h)
	stride := func(width int) int { return (max(width, 64) + 15) / 16 * 16 }
	bounds := image.Rect(0, 0, width, height)
	row := stride(width)
	switch space {
	case heifMonochrome:
		return func(b []byte) image.Image { return &image.Gray{Pix: b, Stride: row, Rect: bounds} }, row * height, nil
	case heifRGB:
		row *= 4
		return func(b []byte) image.Image {
			if multiplied {
				return &image.RGBA{Pix: b, Stride: row, Rect: bounds}
			}
			return &image.NRGBA{Pix: b, Stride: row, Rect: bounds}
		}, row * height, nil
	case heifYCbCr:
		ratios := map[uint32]image.YCbCrSubsampleRatio{
			heif420: image.YCbCrSubsampleRatio420, heif422: image.YCbCrSubsampleRatio422, heif444: image.YCbCrSubsampleRatio444,
		}
		ratio, known := ratios[chroma]
		if !known {
			break
		}
		chromaRow, chromaHeight := row, height
		if chroma != heif444 {
			chromaRow = stride((width + 1) / 2)
		}
		if chroma == heif420 {
			chromaHeight = (height + 1) / 2
		}
		luma, each := row*height, chromaRow*chromaHeight
		return func(b []byte) image.Image {
			return &image.YCbCr{
				Y: b[:luma], Cb: b[luma : luma+each], Cr: b[luma+each : luma+2*each],
				YStride: row, CStride: chromaRow, SubsampleRatio: ratio, Rect: bounds,
			}
		}, luma + 2*each, nil
	}
	return nil, 0, errors.New("heic: unsupported feature: this layout of colours")
}
