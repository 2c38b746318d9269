package picture

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"image"
	"io"

	"github.com/HugoSmits86/nativewebp"
	"github.com/gen2brain/webp"
)

// encodeWebP converts the file that an encoder writes into an extended one: a header that announces what follows, the
// profile, the chunks with the picture, and the chunk with the metadata. nativewebp writes lossless files; lossy ones
// are written by libwebp, in WebAssembly.
func encodeWebP(w io.Writer, img image.Image, meta *Metadata, quality int) error {
	block, err := exifFor(meta, img, maxWrittenExif)
	if err != nil {
		return err
	}
	var profile []byte
	if o, ok := img.(*Original); ok {
		if !o.gray { // WebP has RGB only, for which a profile of gray is invalid
			profile = o.profileToWrite()
		}
		img = o.forWebP()
	}
	var file bytes.Buffer
	if quality == lossless {
		err = nativewebp.Encode(&file, img, nil)
	} else {
		err = webp.Encode(&file, img, webp.Options{Quality: quality, Method: webp.DefaultMethod})
	}
	if err != nil {
		return err
	}
	const riffHeader = 12
	const hasExif, hasAlpha, hasProfile, alphaIsUsed = 1 << 3, 1 << 4, 1 << 5, 1 << 28
	var flags byte
	var pixels []byte
	for id, content := range riffChunks(file.Bytes()[min(riffHeader, file.Len()):]) {
		switch id {
		case "VP8L": // after the signature: 14 + 14 bits of size
			if len(content) >= 5 && binary.LittleEndian.Uint32(content[1:])&alphaIsUsed != 0 {
				flags |= hasAlpha
			}
		case "ALPH":
			flags |= hasAlpha
		case "VP8 ":
		default:
			continue
		}
		pixels = append(pixels, riffChunk(id, content)...)
	}
	if pixels == nil {
		return fmt.Errorf("WebP: the encoder wrote no picture")
	}
	if profile != nil {
		flags |= hasProfile
		profile = riffChunk("ICCP", profile)
	}
	var exif []byte
	if block != nil {
		flags |= hasExif
		exif = riffChunk("EXIF", block)
	}
	extended := append([]byte("VP8X"), 10, 0, 0, 0, flags, 0, 0, 0)
	for _, side := range []int{img.Bounds().Dx() - 1, img.Bounds().Dy() - 1} { // 24 bits each
		extended = append(extended, byte(side), byte(side>>8), byte(side>>16))
	}
	size := 4 + len(extended) + len(profile) + len(pixels) + len(exif)
	header := binary.LittleEndian.AppendUint32([]byte("RIFF"), uint32(size))
	return writeParts(w, header, []byte("WEBP"), extended, profile, pixels, exif)
}

// riffChunk returns a chunk of a RIFF file, padded to an even length.
func riffChunk(id string, content []byte) []byte {
	chunk := append(binary.LittleEndian.AppendUint32([]byte(id), uint32(len(content))), content...)
	if len(chunk)%2 != 0 {
		chunk = append(chunk, 0)
	}
	return chunk
}
