package picture

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"

	"golang.org/x/image/bmp"
	"golang.org/x/image/webp"
)

// format is one file format that references come in. The table, not the registry of package image, decides what is
// read: another package's import cannot widen it.
type format struct {
	name   string
	magic  []string // '?' matches any byte
	config func(io.Reader) (image.Config, error)
	decode func(io.Reader) (image.Image, error)
	exif   func(file []byte) []byte // the Exif block of the file, nil if it has none
}

const formatNames = "PNG, JPEG, WebP, BMP, TIFF or GIF"

var formats = []format{
	{"PNG", []string{pngSignature}, png.DecodeConfig, png.Decode, pngExif},
	{"JPEG", []string{"\xff\xd8\xff"}, jpeg.DecodeConfig, jpeg.Decode, jpegExif},
	{"WebP", []string{"RIFF????WEBPVP8"}, webp.DecodeConfig, decodeWebP, webpExif},
	{"BMP", []string{"BM????\x00\x00\x00\x00"}, bmp.DecodeConfig, bmp.Decode, nil},
	{"TIFF", []string{"II*\x00", "MM\x00*", "II+\x00", "MM\x00+"}, tiffConfig, tiffDecode, tiffExif},
	{"GIF", []string{"GIF87a", "GIF89a"}, gif.DecodeConfig, gif.Decode, nil},
}

// foreign names formats that people try and that are not read, so that the error can say what was found.
var foreign = []struct{ name, magic string }{
	{"HEIC or AVIF picture", "????ftyp"},
	{"JPEG XL picture", "\x00\x00\x00\x0cJXL "},
	{"JPEG XL picture", "\xff\x0a"},
	{"JPEG 2000 picture", "\x00\x00\x00\x0cjP  "},
	{"Photoshop file", "8BPS"},
	{"PDF file", "%PDF"},
	{"SVG or XML file", "<?xml"},
	{"SVG file", "<svg"},
	{"HTML file", "<!DOC"},
	{"Windows icon", "\x00\x00\x01\x00"},
}

func hasMagic(file []byte, magic string) bool {
	if len(file) < len(magic) {
		return false
	}
	for i := range len(magic) {
		if magic[i] != '?' && magic[i] != file[i] {
			return false
		}
	}
	return true
}

// recognise finds the format by the file's first bytes.
func recognise(file []byte) (format, error) {
	for _, f := range formats {
		for _, magic := range f.magic {
			if hasMagic(file, magic) {
				return f, nil
			}
		}
	}
	for _, f := range foreign {
		if hasMagic(file, f.magic) {
			return format{}, fmt.Errorf("found a %s, want %s", f.name, formatNames)
		}
	}
	if len(file) == 0 {
		return format{}, fmt.Errorf("found an empty file, want %s", formatNames)
	}
	return format{}, fmt.Errorf("found a file that begins with %q, want %s", file[:min(len(file), 8)], formatNames)
}

// decodeChecked decodes the first frame of file and returns it with the size of its canvas, whose origin is (0, 0); only
// a GIF's frame may be smaller than that. Before it decodes, the size in the header has passed checkSize, which is what
// makes memory bounded: every decoder allocates by that size.
func decodeChecked(f format, file []byte, checkSize func(Size) error) (image.Image, Size, error) {
	var config image.Config
	err := guard(func() (err error) {
		config, err = f.config(bytes.NewReader(file))
		return err
	})
	if err != nil {
		return nil, Size{}, damaged(f, err)
	}
	header := Size{config.Width, config.Height}
	if err := checkSize(header); err != nil {
		return nil, Size{}, err
	}
	var img image.Image
	err = guard(func() (err error) {
		img, err = f.decode(bytes.NewReader(file))
		return err
	})
	if err != nil {
		return nil, Size{}, damaged(f, err)
	}
	canvas := image.Rect(0, 0, header.Width, header.Height)
	if img.Bounds() != canvas && !(f.name == "GIF" && img.Bounds().In(canvas)) {
		return nil, Size{}, fmt.Errorf("%s: the header says %v, the data %v", f.name, header, img.Bounds())
	}
	return img, header, nil
}

// damaged says in one line that the decoder gave up.
func damaged(f format, err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%s: the file ends too early: %w", f.name, err)
	}
	return fmt.Errorf("%s: damaged or not supported: %w", f.name, err)
}

// guard runs a decoder of another project. It is the one place that turns a panic into an error: these decoders read
// hostile bytes, and a picture that breaks one must not end the program.
func guard(decode func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("decoder failed: %v", p)
		}
	}()
	return decode()
}
