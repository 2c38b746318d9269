package picture

import (
	"bytes"
	"encoding/binary"
	"io"

	"golang.org/x/image/riff"
)

// exifReader reads an Exif block: a TIFF header and directories of tags. For a missing or damaged field its methods
// return nil or 0.
type exifReader struct {
	block []byte
	order binary.ByteOrder
}

// newExif returns a reader of block, or false if block is not an Exif block.
func newExif(block []byte) (exifReader, bool) {
	block = bytes.TrimPrefix(block, []byte(exifPrefix)) // some writers of WebP keep JPEG's prefix
	if len(block) < 8 {
		return exifReader{}, false
	}
	switch string(block[:4]) {
	case "II*\x00":
		return exifReader{block, binary.LittleEndian}, true
	case "MM\x00*":
		return exifReader{block, binary.BigEndian}, true
	}
	return exifReader{}, false
}

// first returns the offset of the first directory.
func (e exifReader) first() uint32 { return e.order.Uint32(e.block[4:]) }

// entry returns the 12 bytes of the entry for tag in the directory at the given offset.
func (e exifReader) entry(directory uint32, tag uint16) []byte {
	if directory == 0 || uint64(directory)+2 > uint64(len(e.block)) {
		return nil
	}
	entries := e.block[directory+2:]
	for range e.order.Uint16(e.block[directory:]) {
		if len(entries) < 12 {
			break
		}
		if e.order.Uint16(entries) == tag {
			return entries[:12]
		}
		entries = entries[12:]
	}
	return nil
}

// integer returns the first value of an entry, or 0 if that is not an integer. Most tags should have type SHORT, but
// some writers store a LONG or a BYTE.
func (e exifReader) integer(entry []byte) uint32 {
	const typeByte, typeShort, typeLong, typeSignedByte, typeSignedShort, typeSignedLong = 1, 3, 4, 6, 8, 9
	if entry == nil {
		return 0
	}
	switch e.order.Uint16(entry[2:]) {
	case typeByte, typeSignedByte:
		return uint32(entry[8])
	case typeShort, typeSignedShort:
		return uint32(e.order.Uint16(entry[8:]))
	case typeLong, typeSignedLong:
		return e.order.Uint32(entry[8:])
	}
	return 0
}

// bytes returns the value of an entry of type BYTE, ASCII or UNDEFINED.
func (e exifReader) bytes(entry []byte) []byte {
	const typeByte, typeText, typeUndefined = 1, 2, 7
	if entry == nil {
		return nil
	}
	switch e.order.Uint16(entry[2:]) {
	case typeByte, typeText, typeUndefined:
	default:
		return nil
	}
	count := e.order.Uint32(entry[4:])
	if count <= 4 {
		return entry[8 : 8+count]
	}
	offset := e.order.Uint32(entry[8:])
	if uint64(offset)+uint64(count) > uint64(len(e.block)) {
		return nil
	}
	return e.block[offset : offset+count]
}

// exifAdobeRGB reports whether an Exif block declares Adobe RGB as a DCF optional file does: the colour space is not
// sRGB, and the interoperability index is R03. The colour space 2, which some programs write, also stands for Adobe
// RGB.
func exifAdobeRGB(block []byte) bool {
	const tagColourSpace, tagInteroperability, tagIndex = 0xa001, 0xa005, 0x0001
	const uncalibrated, adobe = 0xffff, 2
	e, ok := newExif(block)
	if !ok {
		return false
	}
	directory := e.integer(e.entry(e.first(), tagExifDirectory))
	switch e.integer(e.entry(directory, tagColourSpace)) {
	case adobe:
		return true
	case uncalibrated:
		index := e.bytes(e.entry(e.integer(e.entry(directory, tagInteroperability)), tagIndex))
		return bytes.HasPrefix(index, []byte("R03"))
	}
	return false
}

// pngExif returns the content of the chunk eXIf before or after the pixels, or nil if there is none.
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

// webpExif returns the content of the chunk EXIF, or nil if there is none.
func webpExif(file []byte) []byte { return webpChunk(file, "EXIF") }

// webpChunk returns the content of the first chunk with that id, or nil if there is none.
func webpChunk(file []byte, id string) []byte {
	_, chunks, err := riff.NewReader(bytes.NewReader(file))
	for err == nil {
		var found riff.FourCC
		var data io.Reader
		found, _, data, err = chunks.Next()
		if err == nil && string(found[:]) == id {
			content, err := io.ReadAll(data)
			if err != nil {
				return nil
			}
			return content
		}
	}
	return nil
}
