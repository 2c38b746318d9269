package picture

import (
	"bytes"
	"encoding/binary"
	"image"
	"io"

	"golang.org/x/image/riff"
)

// orientation is the Exif tag 0x0112: how the stored picture was turned, 1 (upright) to 8.
type orientation uint16

const upright orientation = 1

// exifOrientation reads the one tag that matters from an Exif block (a TIFF header and its first directory). Whatever
// is missing or damaged means upright: a wrong tag is no reason to refuse a picture.
func exifOrientation(block []byte) orientation {
	block = bytes.TrimPrefix(block, []byte("Exif\x00\x00")) // some writers of WebP keep JPEG's prefix
	if len(block) < 8 {
		return upright
	}
	var order binary.ByteOrder
	switch string(block[:4]) {
	case "II*\x00":
		order = binary.LittleEndian
	case "MM\x00*":
		order = binary.BigEndian
	default:
		return upright
	}
	directory := uint64(order.Uint32(block[4:]))
	if directory+2 > uint64(len(block)) {
		return upright
	}
	entries := block[directory+2:]
	for range order.Uint16(block[directory:]) {
		if len(entries) < 12 {
			break
		}
		const tagOrientation = 0x0112
		if order.Uint16(entries) == tagOrientation {
			if value := exifInteger(order, entries); value >= 1 && value <= 8 {
				return orientation(value)
			}
			break
		}
		entries = entries[12:]
	}
	return upright
}

// exifInteger returns the first value of an entry of 12 bytes, 0 if it is no integer. The standard wants a SHORT for most
// tags, and some writers store a LONG or a BYTE.
func exifInteger(order binary.ByteOrder, entry []byte) uint32 {
	const typeByte, typeShort, typeLong, typeSignedByte, typeSignedShort, typeSignedLong = 1, 3, 4, 6, 8, 9
	switch order.Uint16(entry[2:]) {
	case typeByte, typeSignedByte:
		return uint32(entry[8])
	case typeShort, typeSignedShort:
		return uint32(order.Uint16(entry[8:]))
	case typeLong, typeSignedLong:
		return order.Uint32(entry[8:])
	}
	return 0
}

// turn returns the upright size of a stored one.
func (o orientation) turn(stored Size) Size {
	if o >= 5 {
		return Size{stored.Height, stored.Width}
	}
	return stored
}

// apply returns the upright picture; img has its origin at (0, 0).
func (o orientation) apply(img *image.RGBA) *image.RGBA {
	if o == upright {
		return img
	}
	width, height := img.Rect.Dx(), img.Rect.Dy()
	// The stored pixel of upright (x, y) is at origin + x·right + y·down; steps are in bytes of img.Pix.
	const px = 4
	row := img.Stride
	lastX, lastY := (width-1)*px, (height-1)*row
	var origin, right, down int
	switch o {
	case 2: // mirrored left to right
		origin, right, down = lastX, -px, row
	case 3: // upside down
		origin, right, down = lastX+lastY, -px, -row
	case 4: // mirrored top to bottom
		origin, right, down = lastY, px, -row
	case 5: // mirrored at the main diagonal
		origin, right, down = 0, row, px
	case 6: // to be turned clockwise
		origin, right, down = lastY, -row, px
	case 7: // mirrored at the other diagonal
		origin, right, down = lastX+lastY, -row, -px
	case 8: // to be turned anticlockwise
		origin, right, down = lastX, row, -px
	}
	size := o.turn(Size{width, height})
	dst := image.NewRGBA(image.Rect(0, 0, size.Width, size.Height))
	at := 0
	for y := range size.Height {
		from := origin + y*down
		for range size.Width {
			copy(dst.Pix[at:at+px], img.Pix[from:from+px])
			at += px
			from += right
		}
	}
	return dst
}

// pngExif finds the chunk eXIf, before or after the picture's data.
func pngExif(file []byte) []byte {
	chunks, err := newChunkReader(bytes.NewReader(file))
	for err == nil {
		if err = chunks.next(); err == nil && chunks.kind == "eXIf" {
			block, err := chunks.data(len(file))
			if err != nil {
				return nil
			}
			return block
		}
	}
	return nil
}

// webpExif finds the chunk EXIF.
func webpExif(file []byte) []byte {
	_, chunks, err := riff.NewReader(bytes.NewReader(file))
	for err == nil {
		var id riff.FourCC
		var data io.Reader
		id, _, data, err = chunks.Next()
		if err == nil && id == (riff.FourCC{'E', 'X', 'I', 'F'}) {
			block, err := io.ReadAll(data)
			if err != nil {
				return nil
			}
			return block
		}
	}
	return nil
}
