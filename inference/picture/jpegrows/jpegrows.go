// Package jpegrows decodes a JPEG file a band of rows at a time, in memory for some hundred rows. A file in memory
// enters, rows of RGBA or CMYK leave. Package image/jpeg holds the whole picture instead, and all coefficients of a
// progressive one: more than a gigabyte for 100 megapixels.
//
// The samples are those of libjpeg-turbo with its default settings, level for level: its inverse DCT ("islow"), its
// interpolation of halved colour planes ("fancy upsampling") and its conversion to RGB. The reference implementation
// reads JPEG with that library.
//
// All scans of a file are decoded side by side: each scan has a reader at its own place in the file, and all of them
// decode the same row of MCUs before any of them goes on. So a progressive file takes no more memory than another.
//
// The package starts no goroutine, but leaves room for them:
//
//	d := p.NewDecoder(64)
//	c := d.NewCoefficients()
//	for d.Next(c) {
//		err := d.Read(c, part)   // for each of d.Parts(), which may be read at the same time
//		d.Transform(c, i)        // for each of c.Rows(), at the same time
//		first, end := d.Ready(c) // these rows of the picture can be made now
//		d.Row(y, row, scratch)   // for each of them, at the same time
//		d.Advance(c)
//	}
//
// While one band is transformed and its rows are made, the next one may be read into other coefficients.
//
// Progressive and sequential files with Huffman codes, 8 bits a sample and one, three or four components are decoded.
// What is unusual in a header (other factors of sampling, damaged tables, scans that repeat) is ErrNotRead: package
// image/jpeg reads such a file, or says what is wrong with it.
package jpegrows

import (
	"errors"
	"image/jpeg"
)

// ErrNotRead is the error for a file that this package leaves to image/jpeg.
var ErrNotRead = errors.New("jpegrows: not read here")

// Kind is what the four bytes of a pixel are.
type Kind int

const (
	Gray Kind = iota // R = G = B, then 255
	RGB              // R, G, B, then 255
	CMYK             // C, M, Y, K: 255 for full ink, as in image.CMYK
)

// maxScans is how many scans are decoded side by side. Common encoders make ten, optimisers some more.
const maxScans = 100

// Picture is a JPEG file whose headers have been read. Several decoders may use it.
type Picture struct {
	Width, Height int // pixels
	Kind          Kind

	components     []component
	hMax, vMax     int // the largest factors of sampling
	mcuWide, mcuHi int // MCUs in a row, and rows of MCUs
	toRGB          bool
	progressive    bool
	scans          []scanHeader
}

// component is one of the planes that a picture consists of.
type component struct {
	id         byte
	h, v       int       // factors of sampling
	table      byte      // number of the quantisation table
	quant      [64]int32 // in natural order: row by row
	wide, high int       // blocks that lie in the picture: what a scan of this component alone has
	stride     int       // blocks in a row, with those that fill the last MCU
}

func formatError(text string) error { return jpeg.FormatError(text) }
