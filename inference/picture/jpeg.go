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

// The markers of JPEG that matter here.
const (
	startOfImage = 0xd8
	endOfImage   = 0xd9
	startOfScan  = 0xda
	app1         = 0xe1 // Exif
	app2         = 0xe2 // a colour profile
	app14        = 0xee // Adobe: what the components mean
)

// jpegSegments yields marker and content of each segment before the picture's data; it ends where the file is damaged.
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

// jpegExif finds the APP1 segment "Exif" among those before the picture's data.
func jpegExif(file []byte) []byte {
	for marker, content := range jpegSegments(file) {
		if block, ok := bytes.CutPrefix(content, []byte("Exif\x00\x00")); ok && marker == app1 {
			return block
		}
	}
	return nil
}

// jpegDecode reads what package jpeg refuses: pictures whose last marker is missing, as a transfer that was cut off by a
// byte or two leaves them, and CMYK without Adobe's marker. The samples of the latter are taken for those that Adobe's
// programs write, 255 for no ink, as the reference's reader takes them.
func jpegDecode(ctx context.Context, file []byte) (image.Image, error) {
	end := &endMarker{}
	parts := []io.Reader{forDecoder(ctx, file), end}
	if isPlainCMYK(file) {
		adobe := []byte("\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x00") // the last byte: no transform
		parts = append([]io.Reader{bytes.NewReader(file[:2]), bytes.NewReader(adobe), forDecoder(ctx, file[2:])}, parts[1:]...)
	}
	img, err := jpeg.Decode(io.MultiReader(parts...))
	if err != nil && end.read > 0 {
		return nil, io.ErrUnexpectedEOF // which the marker hid
	}
	return img, err
}

// endMarker is read as JPEG's last marker, and counts the bytes of it that were asked for.
type endMarker struct{ read int }

func (e *endMarker) Read(p []byte) (int, error) {
	n := copy(p, []byte{0xff, endOfImage}[e.read:])
	e.read += n
	if n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	return n, nil
}

// isPlainCMYK says whether the picture has four components and no marker of Adobe.
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
