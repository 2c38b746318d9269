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

// JPEGQuality keeps a picture's grain; below 90 the chroma of saturated edges suffers.
const JPEGQuality = 95

// encoder writes a picture with its metadata in one format. quality is that of a JPEG.
type encoder struct {
	encode func(w io.Writer, img image.Image, meta Metadata, quality int) error
	// check refuses metadata that the format cannot hold with so many bytes more.
	check func(m Metadata, reserveBytes int) error
}

var (
	pngEncoder = encoder{
		func(w io.Writer, img image.Image, meta Metadata, _ int) error { return encode(w, img, meta) },
		func(m Metadata, _ int) error { return m.Check() },
	}
	jpegEncoder = encoder{encodeJPEG, func(m Metadata, reserveBytes int) error { _, err := m.exif(maxExifBytes - reserveBytes); return err }}
	webpEncoder = encoder{encodeWebP, pngEncoder.check}
	// encoders are the formats that are written, by the extension of the file's name.
	encoders = map[string]encoder{".png": pngEncoder, ".jpg": jpegEncoder, ".jpeg": jpegEncoder, ".webp": webpEncoder}
)

// encoderFor returns the format that the name of a file asks for; a name that asks for none gets PNG.
func encoderFor(path string) encoder {
	if e, ok := encoders[strings.ToLower(filepath.Ext(path))]; ok {
		return e
	}
	return pngEncoder
}

// Encode writes img with its metadata in the format of a file's extension: ".png", ".jpg" or ".jpeg", ".webp" (lossless).
// quality is that of a JPEG, 1 to 100. CheckFits says whether the format holds the metadata.
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

// WriteCopy writes img to path, whose extension says how: .png, .jpg or .jpeg, .webp (lossless), all with its metadata.
// What has the name is replaced; as with Write the file appears whole or not at all.
func WriteCopy(path string, img *image.RGBA, meta Metadata) error {
	extension := strings.ToLower(filepath.Ext(path))
	if _, ok := encoders[extension]; !ok {
		return fmt.Errorf("picture: output %s: extension %q, want .png, .jpg or .webp", path, extension)
	}
	_, err := Write(path, img, meta, Replace)
	return err
}

// encodeJPEG puts the metadata's segment behind the start of the image.
func encodeJPEG(w io.Writer, img image.Image, meta Metadata, quality int) error {
	block, err := meta.exif(maxExifBytes)
	if err != nil {
		return err
	}
	var file bytes.Buffer
	if err := jpeg.Encode(&file, img, &jpeg.Options{Quality: quality}); err != nil {
		return err
	}
	const startOfImage = 2
	segment := binary.BigEndian.AppendUint16([]byte{0xff, 0xe1}, uint16(2+len(exifPrefix)+len(block)))
	return writeParts(w, file.Bytes()[:startOfImage], segment, []byte(exifPrefix), block, file.Bytes()[startOfImage:])
}

// encodeWebP makes an extended file of the simple one that the encoder writes: a header that announces the metadata, the
// picture's chunk, the metadata's chunk.
func encodeWebP(w io.Writer, img image.Image, meta Metadata, _ int) error {
	block, err := meta.exif(4 * maxMetadataBytes)
	if err != nil {
		return err
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
	const hasExif, hasAlpha, alphaIsUsed = 1 << 3, 1 << 4, 1 << 28
	flags := byte(hasExif)
	if binary.LittleEndian.Uint32(chunk[chunkHeader+1:])&alphaIsUsed != 0 { // behind the signature: 14 + 14 bits of size
		flags |= hasAlpha
	}
	extended := append([]byte("VP8X"), 10, 0, 0, 0, flags, 0, 0, 0)
	for _, side := range []int{img.Bounds().Dx() - 1, img.Bounds().Dy() - 1} { // 24 bits each
		extended = append(extended, byte(side), byte(side>>8), byte(side>>16))
	}
	exif := append(binary.LittleEndian.AppendUint32([]byte("EXIF"), uint32(len(block))), block...)
	if len(exif)%2 != 0 {
		exif = append(exif, 0)
	}
	header := binary.LittleEndian.AppendUint32([]byte("RIFF"), uint32(4+len(extended)+len(chunk)+len(exif)))
	return writeParts(w, header, []byte("WEBP"), extended, chunk, exif)
}

func writeParts(w io.Writer, parts ...[]byte) error {
	for _, part := range parts {
		if _, err := w.Write(part); err != nil {
			return err
		}
	}
	return nil
}
