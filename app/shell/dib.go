package shell

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"image"
)

// A device-independent bitmap (DIB) is how Windows keeps pictures on its clipboard: a BMP file without the file's header.
const (
	bmpFileHeaderBytes = 14
	infoHeaderBytes    = 40  // BITMAPINFOHEADER
	v5HeaderBytes      = 124 // BITMAPV5HEADER
	biBitFields        = 3
	lcsSRGB            = 0x73524742 // "sRGB"
	lcsGMImages        = 4          // a picture, to be matched by perception
)

// dibMasks are the places of red, green, blue and alpha in a pixel of 32 bits.
var dibMasks = [4]uint32{0x00ff0000, 0x0000ff00, 0x000000ff, 0xff000000}

// dibV5 spells img as CF_DIBV5: sRGB, 32 bits a pixel, alpha not multiplied into the colours, the lowest row first. Rows from
// the top, which the format has too, are read upside down by some programs.
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

// bmpOfDIB puts the file's header back in front of a DIB.
func bmpOfDIB(dib []byte) ([]byte, error) {
	if len(dib) < infoHeaderBytes {
		return nil, fmt.Errorf("clipboard: the bitmap has %d bytes, want at least %d: copy the picture again", len(dib), infoHeaderBytes)
	}
	order := binary.LittleEndian
	header, bits, compression, colours := uint64(order.Uint32(dib)), order.Uint16(dib[14:]), order.Uint32(dib[16:]), uint64(order.Uint32(dib[32:]))
	pixels := header
	if compression == biBitFields {
		// Masks follow the short header. Some programs repeat them behind a longer one, which holds them already.
		if header == infoHeaderBytes || masksRepeated(dib, header) {
			pixels += 12
		}
	}
	if colours == 0 && bits <= 8 {
		colours = 1 << bits
	}
	pixels += 4 * colours
	if pixels > uint64(len(dib)) {
		return nil, fmt.Errorf("clipboard: the bitmap's pixels begin at byte %d of %d: copy the picture again", pixels, len(dib))
	}
	file := append(make([]byte, 0, bmpFileHeaderBytes+len(dib)), "BM"...)
	file = order.AppendUint32(file, uint32(bmpFileHeaderBytes+len(dib)))
	file = order.AppendUint32(file, 0) // reserved
	file = order.AppendUint32(file, bmpFileHeaderBytes+uint32(pixels))
	return append(file, dib...), nil
}

// masksRepeated tells whether the masks of a long header stand behind it once more.
func masksRepeated(dib []byte, header uint64) bool {
	const masksBytes = 12
	return header >= infoHeaderBytes+masksBytes && header+masksBytes <= uint64(len(dib)) &&
		bytes.Equal(dib[header:header+masksBytes], dib[infoHeaderBytes:infoHeaderBytes+masksBytes])
}
