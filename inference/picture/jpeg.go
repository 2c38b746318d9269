package picture

import (
	"bytes"
	"context"
	"encoding/binary"
	"image"
	"image/jpeg"
	"io"
	"iter"
)

// The JPEG markers that this package reads.
const (
	startOfImage = 0xd8
	endOfImage   = 0xd9
	startOfScan  = 0xda
	app1         = 0xe1 // Exif
	app2         = 0xe2 // a colour profile
	app14        = 0xee // Adobe: the meaning of the components
)

// jpegSegments yields the marker and content of each segment before the first scan. It stops where the file is damaged.
func jpegSegments(file []byte) iter.Seq2[byte, []byte] {
	return func(yield func(byte, []byte) bool) {
		rest := file
		for len(rest) >= 4 && rest[0] == 0xff {
			switch rest[1] {
			case 0xff: // padding
				rest = rest[1:]
				continue
			case startOfImage:
				rest = rest[2:]
				continue
			case startOfScan:
				return
			}
			length := int(binary.BigEndian.Uint16(rest[2:])) // counts itself
			if length < 2 || 2+length > len(rest) || !yield(rest[1], rest[4:2+length]) {
				return
			}
			rest = rest[2+length:]
		}
	}
}

// jpegExif returns the content of the APP1 segment "Exif" before the first scan, or nil if there is none.
func jpegExif(file []byte) []byte {
	for marker, content := range jpegSegments(file) {
		if block, ok := bytes.CutPrefix(content, []byte("Exif\x00\x00")); ok && marker == app1 {
			return block
		}
	}
	return nil
}

// jpegDecode also reads two kinds of files that package image/jpeg refuses: pictures without the end marker, as an
// interrupted transfer leaves them, and CMYK pictures without an Adobe marker. The samples of the latter are read as
// Adobe's programs write them, with 255 for no ink, as Pillow does in the reference implementation.
func jpegDecode(ctx context.Context, file []byte) (image.Image, error) {
	end := &endMarker{}
	parts := []io.Reader{forDecoder(ctx, file), end}
	if isPlainCMYK(file) {
		adobe := []byte("\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x00") // the last byte, 0, means no colour transform
		parts = []io.Reader{bytes.NewReader(file[:2]), bytes.NewReader(adobe), forDecoder(ctx, file[2:]), end}
	}
	img, err := jpeg.Decode(io.MultiReader(parts...))
	if err != nil && end.read > 0 {
		return nil, io.ErrUnexpectedEOF // the added end marker has hidden it from the decoder
	}
	return img, err
}

// endMarker reads as the end marker of a JPEG and counts the bytes of it that were read.
type endMarker struct{ read int }

func (e *endMarker) Read(p []byte) (int, error) {
	n := copy(p, []byte{0xff, endOfImage}[e.read:])
	e.read += n
	if n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	return n, nil
}

// isPlainCMYK reports whether the picture has four components and no Adobe marker.
func isPlainCMYK(file []byte) bool {
	four := false
	for marker, content := range jpegSegments(file) {
		switch {
		case marker == app14 && bytes.HasPrefix(content, []byte("Adobe")):
			return false
		case marker >= 0xc0 && marker <= 0xc2 && len(content) >= 6: // a frame: precision, height, width, components
			four = content[5] == 4
		}
	}
	return four
}
