package picture

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"io"
	"math/bits"

	"github.com/jsummers/gobmp"
)

// Package gobmp decodes BMP. golang.org/x/image/bmp does not read 16 bits, bit fields after a 40-byte header (which the
// clipboard of Windows holds), run lengths, or the headers of OS/2. checkBMP refuses files that gobmp would misread.

// The compressions of BMP that checkBMP looks into.
const (
	runLength8 = 1
	runLength4 = 2
	bitFields  = 3
)

func bmpConfig(file []byte) (image.Config, error) {
	if err := checkBMP(file); err != nil {
		return image.Config{}, err
	}
	return gobmp.DecodeConfig(bytes.NewReader(file))
}

func bmpDecode(ctx context.Context, file []byte) (image.Image, error) {
	if err := checkBMP(file); err != nil {
		return nil, err
	}
	img, err := gobmp.Decode(forDecoder(ctx, file))
	if err != nil {
		return nil, err
	}
	if rgb, ok := img.(*image.NRGBA); ok {
		opaqueIfInvisible(rgb)
		floor16(rgb, file)
	}
	return img, nil
}

// floor16 changes the levels of 5-bit and 6-bit samples to those of Pillow in the reference implementation, which
// computes v·255/31 (or v·255/63) and drops the remainder. gobmp rounds instead.
func floor16(img *image.NRGBA, file []byte) {
	order := binary.LittleEndian
	header := file[14:]
	if len(header) < 40 || order.Uint32(header) < 40 || order.Uint16(header[14:]) != 16 {
		return
	}
	masks := [3]uint32{0x7c00, 0x03e0, 0x001f}
	if order.Uint32(header[16:]) == bitFields {
		for c := range masks {
			masks[c] = order.Uint32(header[40+4*c:])
		}
	}
	var levels [3][256]uint8
	for c, mask := range masks {
		most := mask >> bits.TrailingZeros32(mask)
		for v := range min(most, 255) + 1 {
			levels[c][uint8(0.5+float64(v)*(255/float64(most)))] = uint8(v * 255 / most)
		}
	}
	for i := 0; i < len(img.Pix); i += 4 {
		for c := range levels {
			img.Pix[i+c] = levels[c][img.Pix[i+c]]
		}
	}
}

// checkBMP refuses files that gobmp misreads without an error: compressions of OS/2, whose numbers have another meaning
// in Windows files, bit fields whose masks are not contiguous, and truncated run lengths.
func checkBMP(file []byte) error {
	const fileHeaderBytes, os2v1, windowsBytes = 14, 12, 40
	if len(file) < fileHeaderBytes+os2v1 {
		return io.ErrUnexpectedEOF
	}
	order := binary.LittleEndian
	pixels := uint64(order.Uint32(file[10:]))
	header := file[fileHeaderBytes:]
	headerBytes := order.Uint32(header)
	if headerBytes < 20 { // OS/2 version 1, which has no compression
		return nil
	}
	if len(header) < windowsBytes {
		return io.ErrUnexpectedEOF
	}
	depth, compression := order.Uint16(header[14:]), order.Uint32(header[16:])
	switch compression {
	case runLength8, runLength4:
		// gobmp treats the end of the file as the end of the picture.
		if headerBytes >= 24 && pixels+uint64(order.Uint32(header[20:])) > uint64(len(file)) {
			return io.ErrUnexpectedEOF
		}
		width, height := int64(int32(order.Uint32(header[4:]))), int64(int32(order.Uint32(header[8:])))
		inPair := 2
		if compression == runLength4 {
			inPair = 4
		}
		return checkRunLengths(file[min(pixels, uint64(len(file))):], inPair, width*max(height, -height))
	case bitFields:
		switch headerBytes {
		case 40, 52, 56, 108, 124:
		default:
			return fmt.Errorf("bmp: unsupported feature: compression %d of OS/2", compression)
		}
		masks := header[windowsBytes:]
		if len(masks) < 12 {
			return io.ErrUnexpectedEOF
		}
		for i := range 3 {
			mask := order.Uint32(masks[4*i:])
			run := mask >> bits.TrailingZeros32(mask)
			if mask == 0 || run&(run+1) != 0 || depth == 16 && mask > 0xffff {
				return errors.New("bmp: invalid format: the masks of the bit fields")
			}
		}
	}
	return nil
}

// checkRunLengths refuses run lengths that cover far more pixels than the picture has. Literal pixels are stored inPair
// to a pair of bytes. gobmp handles each pixel of a run even if it lies outside the picture, so that every two bytes of
// the file could cost 255 steps.
func checkRunLengths(data []byte, inPair int, pixels int64) error {
	covered := int64(0)
	for i := 0; i+1 < len(data); i += 2 {
		if covered += int64(data[i]); covered > maxRunLengths*pixels {
			return errors.New("bmp: invalid format: more pixels than the picture has")
		}
		if data[i] != 0 {
			continue
		}
		switch b := data[i+1]; b {
		case 0: // end of the row
		case 1: // end of the picture
			return nil
		case 2: // move to another position, given in two more bytes
			i += 2
		default: // b literal pixels, padded to pairs of bytes
			i += 2 * ((int(b) + inPair - 1) / inPair)
		}
	}
	return nil
}

// opaqueIfInvisible makes a picture opaque if all its alpha is 0. Some writers declare alpha and do not set it.
func opaqueIfInvisible(img *image.NRGBA) {
	for i := 3; i < len(img.Pix); i += 4 {
		if img.Pix[i] != 0 {
			return
		}
	}
	for i := 3; i < len(img.Pix); i += 4 {
		img.Pix[i] = 255
	}
}
