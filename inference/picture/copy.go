package picture

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"image"
	"image/jpeg"
	"io"
	"path/filepath"
	"strings"
)

// JPEGQuality is the quality of written JPEG files. It keeps the grain; below 90 the chroma of saturated edges suffers.
const JPEGQuality = 95

// lossless is the quality at which WebP loses nothing.
const lossless = 100

// encoder writes a picture in one format, with its metadata or, if meta is nil, without. JPEG and WebP use quality,
// from 1 to 100.
type encoder struct {
	encode func(w io.Writer, img image.Image, meta *Metadata, quality int) error
	// check returns an error if the format cannot hold m and reserveBytes more.
	check   func(m Metadata, reserveBytes int) error
	quality int // if none is asked for
	side    int // the longest that the format can hold, 0 if there is no limit
}

var (
	pngEncoder = encoder{
		func(w io.Writer, img image.Image, meta *Metadata, _ int) error { return encode(w, img, meta) },
		func(m Metadata, _ int) error { return m.Check() },
		lossless, 0,
	}
	jpegEncoder = encoder{encodeJPEG, func(m Metadata, reserveBytes int) error {
		_, err := m.exif(maxExifBytes - reserveBytes)
		return err
	}, JPEGQuality, 1<<16 - 1}
	webpEncoder = encoder{encodeWebP, pngEncoder.check, lossless, 1 << 14}
	tiffEncoder = encoder{encodeTIFF, pngEncoder.check, lossless, 0}
	// encoders holds the formats that are written, by file extension.
	encoders = map[string]encoder{
		".png": pngEncoder, ".jpg": jpegEncoder, ".jpeg": jpegEncoder, ".webp": webpEncoder, ".tif": tiffEncoder,
		".tiff": tiffEncoder,
	}
)

// writtenFormats names the formats that are written, for errors.
const writtenFormats = ".png, .jpg, .webp or .tif"

// encoderFor returns the encoder for path's extension, or the PNG encoder if the extension is unknown.
func encoderFor(path string) encoder {
	if e, ok := encoders[strings.ToLower(filepath.Ext(path))]; ok {
		return e
	}
	return pngEncoder
}

// Encode writes img with its metadata in the format of a file extension: ".png", ".jpg" or ".jpeg", ".webp" (lossless),
// ".tif" or ".tiff". quality, from 1 to 100, is used for JPEG only. CheckFits reports whether the format can hold the
// metadata.
func Encode(w io.Writer, img image.Image, meta Metadata, extension string, quality int) error {
	e, ok := encoders[extension]
	if !ok {
		return fmt.Errorf("picture: extension %q, want %s", extension, writtenFormats)
	}
	if e.quality == lossless {
		quality = lossless
	}
	if err := e.encode(w, img, &meta, quality); err != nil {
		return fmt.Errorf("picture: %w", err)
	}
	return nil
}

// CopyOptions say how a copy is written.
type CopyOptions struct {
	Quality int  // of JPEG and WebP, 1 to 100; WebP of 100 is lossless. 0 is JPEGQuality, and lossless WebP
	Bare    bool // without the prompt and the settings; the profile and the Exif data of a photo stay
}

// WriteCopy writes img with its metadata to path, in the format of its extension: .png, .jpg or .jpeg, .webp, .tif or
// .tiff. PNG and TIFF have 16 bits a sample if img has them. An existing file is replaced. As with Write, the file
// never appears incomplete.
func WriteCopy(path string, img image.Image, meta Metadata, options CopyOptions) error {
	extension := strings.ToLower(filepath.Ext(path))
	e, ok := encoders[extension]
	if !ok {
		return fmt.Errorf("picture: output %s: extension %q, want %s", path, extension, writtenFormats)
	}
	if options.Quality < 0 || options.Quality > 100 {
		return fmt.Errorf("picture: output %s: quality %d, want 1 to 100", path, options.Quality)
	}
	if err := checkTarget(path, Replace); err != nil {
		return err
	}
	said := &meta
	if options.Bare {
		said = nil
	}
	_, err := writeWhole(path, Replace, func(w io.Writer) error {
		return e.encode(w, img, said, cmp.Or(options.Quality, e.quality))
	})
	return err
}

// encodeJPEG inserts the segment with the metadata after the start-of-image marker.
func encodeJPEG(w io.Writer, img image.Image, meta *Metadata, quality int) error {
	block, err := exifFor(meta, img, maxExifBytes)
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
	var segment []byte
	if block != nil {
		segment = binary.BigEndian.AppendUint16([]byte{0xff, app1}, uint16(2+len(exifPrefix)+len(block)))
		segment = append(append(segment, exifPrefix...), block...)
	}
	return writeParts(w, file.Bytes()[:startOfImage], segment, profile, file.Bytes()[startOfImage:])
}

func writeParts(w io.Writer, parts ...[]byte) error {
	for _, part := range parts {
		if _, err := w.Write(part); err != nil {
			return err
		}
	}
	return nil
}
