package picture

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"
	"strings"

	"golang.org/x/image/webp"
)

// format is a file format of references. The table below decides which formats are read. The registry of package image
// is not used, because any package that registers a decoder there would add a format.
type format struct {
	name        string
	magic       []string // '?' matches any byte
	config      func(file []byte) (image.Config, error)
	work        func(file []byte) error // refuses a file whose decoding costs more than its size suggests; nil if none can
	decode      func(ctx context.Context, file []byte) (image.Image, error)
	orientation func(file []byte) orientation // the orientation of the decoded picture; nil if it is always upright
	colour      func(file []byte) colourTags  // the colour space that the file declares; nil if it is always sRGB
}

const formatNames = "PNG, JPEG, WebP, HEIC, AVIF, BMP, TIFF or GIF"

var formats = []format{
	{"PNG", []string{pngSignature}, header(png.DecodeConfig), checkPNG, pngDecode, byExif(pngExif), pngColours},
	{"JPEG", []string{"\xff\xd8\xff"}, header(jpeg.DecodeConfig), checkJPEG, jpegDecode, byExif(jpegExif), jpegColours},
	{"WebP", []string{"RIFF????WEBPVP8"}, header(webp.DecodeConfig), checkWebP, webpDecode, byExif(webpExif), webpColours},
	{"BMP", []string{"BM????\x00\x00\x00\x00"}, bmpConfig, nil, bmpDecode, nil, nil},
	{"TIFF", []string{"II*\x00", "MM\x00*", "II+\x00", "MM\x00+"}, tiffConfig, nil, tiffDecode, byExif(tiffExif),
		tiffColours},
	{"GIF", []string{"GIF87a", "GIF89a"}, header(gif.DecodeConfig), nil, gifDecode, nil, nil},
	{"HEIC", nil, heicConfig, nil, heicDecode, nil, heifColours}, // recognised by their brands
	{"AVIF", nil, avifConfig, nil, avifDecode, avifOrientation, heifColours},
}

// header adapts a DecodeConfig function to a file in memory.
func header(config func(io.Reader) (image.Config, error)) func(file []byte) (image.Config, error) {
	return func(file []byte) (image.Config, error) { return config(bytes.NewReader(file)) }
}

func gifDecode(ctx context.Context, file []byte) (image.Image, error) {
	return gif.Decode(forDecoder(ctx, file))
}

// byExif returns a function that reads the orientation from the Exif block that find returns.
func byExif(find func(file []byte) []byte) func(file []byte) orientation {
	return func(file []byte) orientation { return exifOrientation(find(file)) }
}

// foreign names formats that people try and that are not read, so that the error can name what was found.
var foreign = []struct{ name, magic string }{
	{"JPEG XL picture", "\x00\x00\x00\x0cJXL "},
	{"JPEG XL picture", "\xff\x0a"},
	{"JPEG 2000 picture", "\x00\x00\x00\x0cjP  "},
	{"Photoshop file", "8BPS"},
	{"PDF file", "%PDF"},
	{"SVG or XML file", "<?xml"},
	{"SVG file", "<svg"},
	{"HTML file", "<!DOC"},
	{"Windows icon", "\x00\x00\x01\x00"},
	{"film (QuickTime)", "????moov"},
	{"film (QuickTime)", "????mdat"},
	{"film (QuickTime)", "????wide"},
	{"film (Matroska or WebM)", "\x1a\x45\xdf\xa3"},
	{"film (AVI)", "RIFF????AVI "},
	{"film (Windows Media)", "\x30\x26\xb2\x75"},
	{"film (Flash)", "FLV\x01"},
	{"film (MPEG)", "\x00\x00\x01\xba"},
	{"film (MPEG)", "\x00\x00\x01\xb3"},
	{"film or sound (Ogg)", "OggS"},
}

// brands gives the kind of content of an ISO base media file, by the first letters of its brands: the major brand in
// bytes 8 to 11, and the compatible brands from byte 16 on. HEIC and AVIF pictures are such files, and so are films
// made by phones.
var brands = []struct{ brand, name string }{
	{"avif", "AVIF picture"}, {"avis", "AVIF picture"},
	{"hei", "HEIC picture"}, {"hev", "HEIC picture"},
	{"crx ", "camera's raw picture (CR3)"},
	{"M4A", "sound file"}, {"M4B", "sound file"}, {"M4P", "sound file"},
	{"qt  ", "film (QuickTime)"},
	{"iso", "film (MP4)"}, {"mp4", "film (MP4)"}, {"M4V", "film (MP4)"}, {"avc1", "film (MP4)"}, {"3g", "film (MP4)"},
	{"dash", "film (MP4)"}, {"f4v", "film (MP4)"}, {"F4V", "film (MP4)"}, {"MSNV", "film (MP4)"}, {"XAVC", "film (MP4)"},
	{"mif1", "HEIF picture"}, {"msf1", "HEIF picture"}, {"mif2", "HEIF picture"},
}

// mediaName returns the kind of content of an ISO base media file, or "" for another file. The major brand is looked up
// first, because some pictures list compatible brands of films. A general HEIF brand counts only if no other brand is
// known.
func mediaName(file []byte) string {
	if !hasMagic(file, "????ftyp????????") {
		return ""
	}
	end := min(uint32(len(file)), binary.BigEndian.Uint32(file))
	list := []string{string(file[8:12])}
	for at := uint32(16); at+4 <= end; at += 4 {
		list = append(list, string(file[at:at+4]))
	}
	name := "film or another file of ISO's base media format"
	for _, found := range list {
		for _, row := range brands {
			if !strings.HasPrefix(found, row.brand) {
				continue
			}
			if row.name != "HEIF picture" {
				return row.name
			}
			name = row.name
		}
	}
	return name
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

// recognise returns the format that the file's first bytes indicate. Its error names what was found instead.
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
	if name := mediaName(file); name != "" {
		for _, f := range formats {
			if name == f.name+" picture" {
				return f, nil
			}
		}
		return format{}, fmt.Errorf("found a %s, want %s", name, formatNames)
	}
	if len(file) == 0 {
		return format{}, fmt.Errorf("found an empty file, want %s", formatNames)
	}
	return format{}, fmt.Errorf("found a file that begins with %q, want %s", file[:min(len(file), 8)], formatNames)
}

// decodeChecked decodes the first frame of file and returns it with the size of its canvas, whose origin is (0, 0).
// Only a frame of an animation may be smaller than the canvas. Decoders allocate and compute by what a header declares,
// so the declared size is given to checkSize, and the file to f.work, before the decoder starts. decodeChecked returns
// when the decoder has ended, which is soon after ctx is cancelled; the error is then the context's.
func decodeChecked(ctx context.Context, f format, file []byte, checkSize func(Size) error) (image.Image, Size, error) {
	var img image.Image
	var header Size
	err := guard(func() error {
		config, err := f.config(file)
		if err != nil {
			return err
		}
		header = Size{config.Width, config.Height}
		if err := checkSize(header); err != nil {
			return err
		}
		if f.work != nil {
			if err := f.work(file); err != nil {
				return err
			}
		}
		img, err = f.decode(ctx, file)
		return err
	})
	switch {
	case ctx.Err() != nil:
		return nil, Size{}, ctx.Err()
	case errors.Is(err, ErrSize):
		return nil, Size{}, err
	case err != nil:
		return nil, Size{}, damaged(f, err)
	}
	canvas := image.Rect(0, 0, header.Width, header.Height)
	switch bounds := img.Bounds(); {
	case bounds == canvas:
	case (f.name == "GIF" || f.name == "WebP") && bounds.In(canvas): // a frame of an animation
	case f.name == "HEIC" && bounds.Min == image.Point{} && bounds.In(canvas): // libheif has applied the file's crop
		header = Size{bounds.Dx(), bounds.Dy()}
		if err := checkSize(header); err != nil {
			return nil, Size{}, err
		}
	default:
		return nil, Size{}, fmt.Errorf("%s: the header says %v, the data %v", f.name, header, bounds)
	}
	return img, header, nil
}

// decodeError is the error for a file that a decoder refused. Its text is for people; it wraps the decoder's error.
type decodeError struct {
	text string
	err  error
}

func (e *decodeError) Error() string { return e.text }
func (e *decodeError) Unwrap() error { return e.err }

// damaged returns the decodeError for an error of a decoder: one line, in which the decoder's own prefixes are
// replaced.
func damaged(f format, err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return &decodeError{f.name + ": the file ends too early", err}
	}
	what, why := "damaged or not supported", err.Error()
	for trimmed := false; !trimmed; {
		trimmed = true
		for _, opening := range decoderOpenings {
			if rest, ok := strings.CutPrefix(why, opening.words); ok {
				what, why, trimmed = opening.meaning, rest, false
			}
		}
	}
	return &decodeError{fmt.Sprintf("%s: %s: %s", f.name, what, why), err}
}

// decoderOpenings lists prefixes of the errors of decoders, and what each of them means.
var decoderOpenings = func() (list []struct{ words, meaning string }) {
	const broken, unknown = "the file is damaged", "this kind is not supported"
	for _, words := range []string{
		"png: ", "jpeg: ", "gif: ", "bmp: ", "webp: ", "riff: ", "vp8: ", "vp8l: ", "zlib: ", "heic: ", "avif: ",
		"invalid format: ", "invalid JPEG format: ", "decoder failed: ",
	} {
		list = append(list, struct{ words, meaning string }{words, broken})
	}
	return append(list, struct{ words, meaning string }{"unsupported feature: ", unknown},
		struct{ words, meaning string }{"unsupported JPEG feature: ", unknown})
}()

// guard runs code of another project that reads data from strangers, and returns its panic as an error, so that a
// picture which breaks a decoder does not end the program. No other function turns panics into errors.
func guard(decode func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("decoder failed: %v", p)
		}
	}()
	return decode()
}
