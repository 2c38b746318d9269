package shell

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"image"
)

// Windows keeps pictures on its clipboard as device-independent bitmaps (DIB): BMP files without the file header.
const (
	bmpFileHeaderBytes = 14
	infoHeaderBytes    = 40  // BITMAPINFOHEADER
	v5HeaderBytes      = 124 // BITMAPV5HEADER
	biBitFields        = 3
	lcsSRGB            = 0x73524742 // "sRGB"
	lcsGMImages        = 4          // rendering intent: perceptual
)

// dibMasks are the bits of red, green, blue and alpha in a pixel of 32 bits.
var dibMasks = [4]uint32{0x00ff0000, 0x0000ff00, 0x000000ff, 0xff000000}

// dibV5 returns img in the clipboard format CF_DIBV5: sRGB, 32 bits per pixel, colours not multiplied by alpha, the
// bottom row first. The format allows the top row first too, but some programs then show the picture upside down.
func dibV5(img *image.NRGBA) []byte {
	width, height := img.Rect.Dx(), img.Rect.Dy()
	dib := make([]byte, v5HeaderBytes+4*width*height)
	put := binary.LittleEndian.PutUint32
	put(dib, v5HeaderBytes)
	put(dib[4:], uint32(width))
	put(dib[8:], uint32(height))
	binary.LittleEndian.PutUint16(dib[12:], 1) // plane
	binary.LittleEndian.PutUint16(dib[14:], 32)
	put(dib[16:], biBitFields)
	put(dib[20:], uint32(4*width*height))
	for i, mask := range dibMasks {
		put(dib[40+4*i:], mask)
	}
	put(dib[56:], lcsSRGB)
	put(dib[108:], lcsGMImages)
	pixels := dib[v5HeaderBytes:]
	for y := range height {
		from := img.Pix[img.PixOffset(img.Rect.Min.X, img.Rect.Min.Y+y):][:4*width]
		to := pixels[4*width*(height-1-y):][:4*width]
		for x := 0; x < len(from); x += 4 {
			to[x], to[x+1], to[x+2], to[x+3] = from[x+2], from[x+1], from[x], from[x+3]
		}
	}
	return dib
}

// bmpOfDIB returns a DIB as a BMP file: it puts a file header before it, which says where the pixels begin. The DIB may
// come from any program.
func bmpOfDIB(dib []byte) ([]byte, error) {
	if len(dib) < infoHeaderBytes {
		return nil, fmt.Errorf("clipboard: the bitmap has %d bytes, want at least %d: copy the picture again",
			len(dib), infoHeaderBytes)
	}
	order := binary.LittleEndian
	header, colours := uint64(order.Uint32(dib)), uint64(order.Uint32(dib[32:]))
	bits, compression := order.Uint16(dib[14:]), order.Uint32(dib[16:])
	pixels := header
	if compression == biBitFields {
		// The masks follow the short header. The longer headers hold them, but some programs repeat them after the
		// header.
		if header == infoHeaderBytes || masksRepeated(dib, header) {
			pixels += 12
		}
	}
	if colours == 0 && bits <= 8 {
		colours = 1 << bits
	}
	pixels += 4 * colours
	if pixels > uint64(len(dib)) {
		const format = "clipboard: the bitmap's pixels begin at byte %d, want at most %d: copy the picture again"
		return nil, fmt.Errorf(format, pixels, len(dib))
	}
	file := append(make([]byte, 0, bmpFileHeaderBytes+len(dib)), "BM"...)
	file = order.AppendUint32(file, uint32(bmpFileHeaderBytes+len(dib)))
	file = order.AppendUint32(file, 0) // reserved
	file = order.AppendUint32(file, bmpFileHeaderBytes+uint32(pixels))
	return append(file, dib...), nil
}

// masksRepeated tells whether the masks in a long header are repeated after it.
func masksRepeated(dib []byte, header uint64) bool {
	const masksBytes = 12
	return header >= infoHeaderBytes+masksBytes && header+masksBytes <= uint64(len(dib)) &&
		bytes.Equal(dib[header:header+masksBytes], dib[infoHeaderBytes:infoHeaderBytes+masksBytes])
}
