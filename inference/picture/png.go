package picture

import (
	"bytes"
	"encoding/binary"
	"errors"
	"image"
	"image/png"
	"io"
)

// pngDecode reads pictures without their last chunk as well, which package png refuses although all pixels are there.
func pngDecode(r io.Reader) (image.Image, error) {
	file, err := wholeFile(r)
	if err != nil {
		return nil, err
	}
	img, err := png.Decode(bytes.NewReader(file))
	if !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return img, err
	}
	return png.Decode(bytes.NewReader(withEnd(file)))
}

// withEnd returns the chunks of a PNG file that was cut off, followed by IEND. A chunk that was begun is left out, but for
// one of pixels, of which that is kept what is there.
func withEnd(file []byte) []byte {
	at := len(pngSignature)
	for len(file)-at >= 12 {
		length := uint64(binary.BigEndian.Uint32(file[at:]))
		if length+12 > uint64(len(file)-at) {
			break
		}
		at += int(length) + 12
	}
	whole := bytes.Clone(file[:min(at, len(file))])
	if begun := file[len(whole):]; len(begun) >= 8 && string(begun[4:8]) == "IDAT" {
		length := min(int(binary.BigEndian.Uint32(begun)), len(begun)-8)
		whole = appendChunk(whole, "IDAT", begun[8:8+length])
	}
	return appendChunk(whole, "IEND", nil)
}
