package picture

import (
	"bytes"
	"encoding/binary"
	"io"
)

// The cost of decoding a file is known from its headers. The size of the picture bounds most of it (MaxPixels). The
// checks in this file, and those beside the readers of TIFF, BMP and HEIF, find out what a file demands in addition.
// The limits are in limits.go.

func checkMemory(bytes int) error {
	if bytes > maxDecodeBytes {
		return sizeErrorf("found a picture that takes %d MiB to decode, want at most %d; "+
			"save it smaller, or in a simpler way", bytes>>20, maxDecodeBytes>>20)
	}
	return nil
}

// jpegFrame describes the blocks of 8 × 8 samples that the frame header of a JPEG declares.
type jpegFrame struct {
	progressive bool
	ids         []byte // of the components
	blocks      []int  // of each component
	total       int    // of all components
}

const blockSamples = 64

// newJPEGFrame parses the content of a frame header. It returns nil for a header that no decoder accepts. Blocks that
// cross the border of the picture are counted as whole blocks.
func newJPEGFrame(marker byte, content []byte) *jpegFrame {
	if len(content) < 6 || len(content) < 6+3*int(content[5]) {
		return nil
	}
	f := &jpegFrame{progressive: marker == 0xc2}
	height, width := int(binary.BigEndian.Uint16(content[1:])), int(binary.BigEndian.Uint16(content[3:]))
	components := content[6 : 6+3*int(content[5])]
	if len(components) == 0 {
		return nil
	}
	across, down := max(int(components[1]>>4), 1), max(int(components[1]&15), 1)
	if len(components) == 3 {
		across, down = 1, 1
	}
	units := blocks(width, 8*across) * blocks(height, 8*down)
	for ; len(components) > 0; components = components[3:] {
		n := units * int(components[1]>>4) * int(components[1]&15)
		if content[5] == 1 {
			n = units
		}
		f.ids, f.blocks, f.total = append(f.ids, components[0]), append(f.blocks, n), f.total+n
	}
	return f
}

// memory returns the bytes that package image/jpeg allocates for the frame: a byte for each sample, four for each
// coefficient of a progressive picture, and the pixels that it builds of CMYK.
func (f *jpegFrame) memory() int {
	bytes := f.total * blockSamples
	if f.progressive {
		bytes += f.total * blockSamples * 4
	}
	if len(f.ids) == 4 {
		bytes += 4 * f.blocks[0] * blockSamples
	}
	return bytes
}

// checkJPEG bounds the work and the memory of package image/jpeg.
func checkJPEG(file []byte) error {
	frame, err := checkJPEGScans(file)
	if err != nil || frame == nil {
		return err
	}
	return checkMemory(frame.memory())
}

// checkJPEGScans counts the blocks that the scans of a JPEG visit, and returns the file's first frame, or nil if there
// is none. It finds markers in the same way as package image/jpeg, so that it counts every scan which that package
// decodes. If the file is damaged it stops without an error, because the decoder will report the damage.
func checkJPEGScans(file []byte) (frame *jpegFrame, err error) {
	passed, scans := 0, 0
	for rest := file[min(2, len(file)):]; ; {
		at := bytes.IndexByte(rest, 0xff)
		if at < 0 || at+1 >= len(rest) {
			return frame, nil
		}
		marker := rest[at+1]
		switch {
		case marker == 0xff: // padding
			rest = rest[at+1:]
			continue
		case marker == 0 || marker >= 0xd0 && marker <= 0xd7: // a scan's data
			rest = rest[at+2:]
			continue
		case marker == endOfImage || at+4 > len(rest):
			return frame, nil
		}
		rest = rest[at+2:]
		length := int(binary.BigEndian.Uint16(rest))
		if length < 2 || length > len(rest) {
			return frame, nil
		}
		content := rest[2:length]
		rest = rest[length:]
		switch {
		case marker >= 0xc0 && marker <= 0xc2 && frame == nil:
			if frame = newJPEGFrame(marker, content); frame == nil {
				return nil, nil
			}
		case marker == startOfScan && frame != nil && len(content) > 0:
			scans++
			for i := 1; i+1 < len(content) && i <= 2*int(content[0]); i += 2 {
				if component := bytes.IndexByte(frame.ids, content[i]); component >= 0 {
					passed += frame.blocks[component]
				}
			}
			most := maxSequentialPasses
			if frame.progressive {
				most = maxPasses
			}
			if passed > most*frame.total {
				return nil, sizeErrorf("found a JPEG whose first %d scans pass over the picture more than %d times, want fewer; "+
					"save it again as a usual one", scans, most)
			}
		}
	}
}

// checkPNG bounds the memory of the picture that package image/png makes. An interlaced file takes twice as much,
// because its passes are decoded into pictures of their own.
func checkPNG(file []byte) error {
	const header = len(pngSignature) + 8 // the content of IHDR begins here
	if len(file) < header+13 {
		return nil
	}
	width, height := int(binary.BigEndian.Uint32(file[header:])), int(binary.BigEndian.Uint32(file[header+4:]))
	depth, kind, interlaced := file[header+8], file[header+9], file[header+12] == 1
	const gray, indexed = 0, 3
	bytesEach := 4
	if kind == gray || kind == indexed {
		bytesEach = 1
		for name := range pngChunks(file) {
			if kind == gray && name == "tRNS" {
				bytesEach = 4
			}
		}
	}
	if depth == 16 {
		bytesEach *= 2
	}
	bytes := width * height * bytesEach
	if interlaced {
		bytes *= 2
	}
	return checkMemory(bytes)
}

// checkWebP refuses truncated lossy pictures, because package vp8 allocates the size that a chunk declares before it
// reads the chunk.
func checkWebP(file []byte) error {
	rest := file[min(12, len(file)):]
	for len(rest) >= 8 {
		size := uint64(binary.LittleEndian.Uint32(rest[4:]))
		if size > uint64(len(rest)-8) {
			if string(rest[:4]) == "VP8 " {
				return io.ErrUnexpectedEOF
			}
			return nil
		}
		rest = rest[min(8+size+size%2, uint64(len(rest))):]
	}
	return nil
}
