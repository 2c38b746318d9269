package picture

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"image"
	"image/jpeg"
	"io"
	"path/filepath"
	"strings"

	"github.com/HugoSmits86/nativewebp"
)

// JPEGQuality is the quality of written JPEG files. It keeps the grain; below 90 the chroma of saturated edges suffers.
const JPEGQuality = 95

// encoder writes a picture and its metadata in one format. Only JPEG uses quality, from 1 to 100.
type encoder struct {
	encode func(w io.Writer, img image.Image, meta Metadata, quality int) error
	// check returns an error if the format cannot hold m and reserveBytes more.
	check func(m Metadata, reserveBytes int) error
}

var (
	pngEncoder = encoder{
		func(w io.Writer, img image.Image, meta Metadata, _ int) error { return encode(w, img, meta) },
		func(m Metadata, _ int) error { return m.Check() },
	}
	jpegEncoder = encoder{encodeJPEG, func(m Metadata, reserveBytes int) error {
		_, err := m.exif(maxExifBytes - reserveBytes)
		return err
	}}
	webpEncoder = encoder{encodeWebP, pngEncoder.check}
	// encoders holds the formats that are written, by file extension.
	encoders = map[string]encoder{".png": pngEncoder, ".jpg": jpegEncoder, ".jpeg": jpegEncoder, ".webp": webpEncoder}
)

// encoderFor returns the encoder for path's extension, or the PNG encoder if the extension is unknown.
func encoderFor(path string) encoder {
	if e, ok := encoders[strings.ToLower(filepath.Ext(path))]; ok {
		return e
	}
	return pngEncoder
}

// Encode writes img with its metadata in the format of a file extension: ".png", ".jpg" or ".jpeg", or ".webp"
// (lossless). quality, from 1 to 100, is used for JPEG only. CheckFits reports whether the format can hold the
// metadata.
func Encode(w io.Writer, img image.Image, meta Metadata, extension string, quality int) error {
	e, ok := encoders[extension]
	if !ok {
		return fmt.Errorf("picture: extension %q, want .png, .jpg or .webp", extension)
	}
	if err := e.encode(w, img, meta, quality); err != nil {
		return fmt.Errorf("picture: %w", err)
	}
	return nil
}

// WriteCopy writes img with its metadata to path, in the format of its extension: .png, .jpg or .jpeg, or .webp
// (lossless). An existing file is replaced. As with Write, the file never appears incomplete.
func WriteCopy(path string, img image.Image, meta Metadata) error {
	extension := strings.ToLower(filepath.Ext(path))
	if _, ok := encoders[extension]; !ok {
		return fmt.Errorf("picture: output %s: extension %q, want .png, .jpg or .webp", path, extension)
	}
	_, err := Write(path, img, meta, Replace)
	return err
}

// encodeJPEG inserts the segment with the metadata after the start-of-image marker.
func encodeJPEG(w io.Writer, img image.Image, meta Metadata, quality int) error {
	block, err := meta.exifFor(img, maxExifBytes)
	if err != nil {
		return err
	}
	var profile []byte
	if o, ok := img.(*Original); ok {
		profile = iccSegments(o.profileToWrite())
		if img, err = o.forJPEG(); err != nil {
			return err
		}
	}
	var file bytes.Buffer
	if err := jpeg.Encode(&file, img, &jpeg.Options{Quality: quality}); err != nil {
		return err
	}
	const startOfImage = 2
	segment := binary.BigEndian.AppendUint16([]byte{0xff, 0xe1}, uint16(2+len(exifPrefix)+len(block)))
	return writeParts(w, file.Bytes()[:startOfImage], segment, []byte(exifPrefix), block, profile,
		file.Bytes()[startOfImage:])
}

// encodeWebP converts the simple file that the encoder writes into an extended one: a header that announces the
// metadata, the chunk with the picture, and the chunk with the metadata.
func encodeWebP(w io.Writer, img image.Image, meta Metadata, _ int) error {
	block, err := meta.exifFor(img, maxCarriedExif+4*maxMetadataBytes)
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
	if err := nativewebp.Encode(&file, img, nil); err != nil {
		return err
	}
	const riffHeader, chunkHeader = 12, 8
	chunk := file.Bytes()[riffHeader:]
	if len(chunk) < chunkHeader+5 || string(chunk[:4]) != "VP8L" {
		return fmt.Errorf("WebP: the encoder wrote %q, want VP8L", chunk[:min(len(chunk), 4)])
	}
	const hasExif, hasAlpha, hasProfile, alphaIsUsed = 1 << 3, 1 << 4, 1 << 5, 1 << 28
	flags := byte(hasExif)
	if profile != nil {
		flags |= hasProfile
		profile = riffChunk("ICCP", profile)
	}
	if binary.LittleEndian.Uint32(chunk[chunkHeader+1:])&alphaIsUsed != 0 { // after the signature: 14 + 14 bits of size
		flags |= hasAlpha
	}
	extended := append([]byte("VP8X"), 10, 0, 0, 0, flags, 0, 0, 0)
	for _, side := range []int{img.Bounds().Dx() - 1, img.Bounds().Dy() - 1} { // 24 bits each
		extended = append(extended, byte(side), byte(side>>8), byte(side>>16))
	}
	exif := riffChunk("EXIF", block)
	size := 4 + len(extended) + len(profile) + len(chunk) + len(exif)
	header := binary.LittleEndian.AppendUint32([]byte("RIFF"), uint32(size))
	return writeParts(w, header, []byte("WEBP"), extended, profile, chunk, exif)
}

// riffChunk returns a chunk of a RIFF file, padded to an even length.
func riffChunk(id string, content []byte) []byte {
	chunk := append(binary.LittleEndian.AppendUint32([]byte(id), uint32(len(content))), content...)
	if len(chunk)%2 != 0 {
		chunk = append(chunk, 0)
	}
	return chunk
}

func writeParts(w io.Writer, parts ...[]byte) error {
	for _, part := range parts {
		if _, err := w.Write(part); err != nil {
			return err
		}
	}
	return nil
}
