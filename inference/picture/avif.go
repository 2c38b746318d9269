package picture

import (
	"context"
	"image"
	_ "unsafe" // for linkname

	_ "github.com/gen2brain/avif" // holds libavif
)

// libavifGzip is the gzipped WebAssembly module of libavif and libaom. It is run here, because the Decode of package
// avif limits neither memory nor time. If a version of that package lacks the module, the program does not link.
//
//go:linkname libavifGzip github.com/gen2brain/avif.decodeWasm
var libavifGzip []byte

var libavif = &wasmProgram{format: "avif", gzipped: &libavifGzip}

func avifDecode(ctx context.Context, file []byte) (image.Image, error) {
	head, err := readHEIF(file)
	if err != nil {
		return nil, err
	}
	return libavif.alone(ctx, head.size.Width*head.size.Height, func(ctx context.Context) (image.Image, error) {
		return decodeAVIF(ctx, file, head)
	})
}

// decodeAVIF decodes the primary picture, or the first one of a sequence, as image.RGBA or image.RGBA64: colours of 8
// or 16 bits, premultiplied by alpha.
func decodeAVIF(ctx context.Context, file []byte, head heifHead) (image.Image, error) {
	const results = 6 // width, height, depth, number of pictures, and the 8 bytes of a picture's duration
	module, err := libavif.start(ctx, file, results)
	if err != nil {
		return nil, err
	}
	defer module.close()
	decode := func(headerOnly, output uint32) ([]uint32, error) {
		const all = 0
		done, err := module.call("decode", module.file, uint32(len(file)), headerOnly, all,
			module.results, module.results+4, module.results+8, module.results+12, module.results+16, output)
		if err == nil && done == 0 {
			err = module.failed()
		}
		return module.values(results), err
	}
	found, err := decode(1, 0)
	if err != nil {
		return nil, err
	}
	width, height, deep := found[0], found[1], found[2] > 8
	if uint64(width) != uint64(head.size.Width) || uint64(height) != uint64(head.size.Height) {
		return nil, module.failed()
	}
	bounds := image.Rect(0, 0, int(width), int(height))
	size := 4 * bounds.Dx() * bounds.Dy()
	if deep {
		size *= 2
	}
	output, err := module.allocate(size)
	if err != nil {
		return nil, err
	}
	if found, err = decode(0, output); err != nil {
		return nil, err
	}
	pix := module.bytes(output, size)
	if pix == nil || found[0] != width || found[1] != height || found[2] > 8 != deep {
		return nil, module.failed()
	}
	var img image.Image = &image.RGBA{Pix: pix, Stride: 4 * bounds.Dx(), Rect: bounds}
	if deep {
		for i := 0; i < len(pix); i += 2 { // from WebAssembly's little-endian order to package image's big-endian order
			pix[i], pix[i+1] = pix[i+1], pix[i]
		}
		img = &image.RGBA64{Pix: pix, Stride: 8 * bounds.Dx(), Rect: bounds}
	}
	if isEmpty(img, head.alpha) {
		return nil, module.failed()
	}
	return img, nil
}

// isEmpty reports whether libavif returned memory without a picture, as it does without an error if it cannot decode
// the data. A real picture without alpha is opaque, and one with alpha has at least one pixel that is not transparent.
func isEmpty(img image.Image, alpha bool) bool {
	var pix []uint8
	each := 1
	switch img := img.(type) {
	case *image.RGBA:
		pix = img.Pix
	case *image.RGBA64:
		pix, each = img.Pix, 2
	}
	for i := 3 * each; i < len(pix); i += 4 * each {
		if alpha && pix[i] != 0 {
			return false
		}
		if !alpha && pix[i] != 255 {
			return true
		}
	}
	return alpha
}
