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

// The BMP reader is gobmp: golang.org/x/image/bmp reads neither 16 bits, nor bit fields behind a 40-byte header (which is
// what the clipboard of Windows holds), nor run lengths, nor the headers of OS/2. What gobmp would take for something else
// is refused before.

// The compressions of BMP.
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

// floor16 gives samples of 5 and 6 bits the levels that the reference's reader gives them: v·255/31 without a remainder,
// where gobmp rounds.
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

// checkBMP refuses what gobmp reads without complaint and wrongly: compressions of OS/2, whose numbers mean something
// else elsewhere, masks that are no run of bits, and run lengths that were cut off.
func checkBMP(file []byte) error {
	const fileHeaderBytes, os2v1, windowsBytes = 14, 12, 40
	if len(file) < fileHeaderBytes+os2v1 {
		return io.ErrUnexpectedEOF
	}
	order := binary.LittleEndian
	pixels := uint64(order.Uint32(file[10:]))
	header := file[fileHeaderBytes:]
	headerBytes := order.Uint32(header)
	if headerBytes < 20 { // of OS/2, without compression
		return nil
	}
	if len(header) < windowsBytes {
		return io.ErrUnexpectedEOF
	}
	depth, compression := order.Uint16(header[14:]), order.Uint32(header[16:])
	switch compression {
	case runLength8, runLength4:
		// A decoder of run lengths takes the end of the file for the end of the picture.
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

// checkRunLengths adds up the run lengths, in which a pair of bytes holds inPair pixels that are not repeated. gobmp
// tries each pixel of a run, also of one that lies beyond the picture's edge, so that two bytes could ask for 255
// pixels as often as there are bytes.
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
		case 0: // the end of a row
		case 1: // the end of the picture
			return nil
		case 2: // a step to another place: two more bytes
			i += 2
		default: // b pixels as they are, padded to pairs of bytes
			i += 2 * ((int(b) + inPair - 1) / inPair)
		}
	}
	return nil
}

// opaqueIfInvisible corrects pictures of writers that declare alpha and leave it at zero.
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
