package picture

import (
	"bytes"
	"context"
	"encoding/binary"
	"image"
	"image/png"
	"iter"
)

// pngDecode also reads files without the last chunk, which package image/png refuses although all pixels are present.
func pngDecode(ctx context.Context, file []byte) (image.Image, error) {
	if !hasEnd(file) {
		file = withEnd(file)
	}
	return png.Decode(forDecoder(ctx, file))
}

// hasEnd reports whether a PNG file is complete up to its chunk IEND.
func hasEnd(file []byte) bool {
	for rest := file[min(len(pngSignature), len(file)):]; len(rest) >= 12; {
		length := uint64(binary.BigEndian.Uint32(rest))
		if length+12 > uint64(len(rest)) {
			return false
		}
		if string(rest[4:8]) == "IEND" {
			return true
		}
		rest = rest[length+12:]
	}
	return false
}

// withEnd returns the complete chunks of a truncated PNG file, followed by IEND. Of an incomplete chunk IDAT it keeps
// the bytes that are present; another incomplete chunk is left out.
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

// pngChunks yields the kind and content of each complete chunk before the first IDAT.
func pngChunks(file []byte) iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		for rest := file[min(len(pngSignature), len(file)):]; len(rest) >= 12; {
			length, kind := uint64(binary.BigEndian.Uint32(rest)), string(rest[4:8])
			if kind == "IDAT" || length+12 > uint64(len(rest)) || !yield(kind, rest[8:8+length]) {
				return
			}
			rest = rest[length+12:]
		}
	}
}
