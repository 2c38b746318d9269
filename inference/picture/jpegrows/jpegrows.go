// Package jpegrows decodes a JPEG file in bands of rows, in memory for a few hundred rows. It reads a file in memory
// and returns rows of RGBA or CMYK samples. Package image/jpeg holds the whole picture instead, and all coefficients of
// a progressive one: more than a gigabyte for 100 megapixels.
//
// The samples are equal to those of libjpeg-turbo with its default settings: the inverse DCT "islow", the interpolation
// of chroma called "fancy upsampling", and the conversion to RGB. The reference implementation reads JPEG with that
// library.
//
// All scans of a file are decoded in parallel: each scan has a reader at its own position in the file, and all of them
// decode a row of MCUs before any of them continues with the next row. A progressive file therefore takes no more
// memory than a sequential one.
//
// The package starts no goroutines, but its caller can use several:
//
//	d := p.NewDecoder(64)
//	c := d.NewCoefficients()
//	for d.Next(c) {
//		err := d.Read(c, part)   // for each of d.Parts(); the parts may be read concurrently
//		d.Transform(c, i)        // for each of c.Rows(), also concurrently
//		first, end := d.Ready(c) // the rows of the picture that can now be made
//		d.Row(y, row, scratch)   // for each of these rows, also concurrently
//		d.Advance(c)
//	}
//
// While one band is transformed and its rows are made, the next band may be read into other coefficients.
//
// The package decodes progressive and sequential files with Huffman codes, 8 bits a sample, and one, three or four
// components. For a file with an unusual header (other sampling factors, damaged tables, repeated scans) it returns
// ErrNotRead. Package image/jpeg decodes such a file, or returns an error that says what is wrong with it.
package jpegrows

import (
	"errors"
	"image/jpeg"
)

// ErrNotRead is returned for a file that this package leaves to image/jpeg.
var ErrNotRead = errors.New("jpegrows: not read here")

// Kind says what the four bytes of a pixel are.
type Kind int

const (
	Gray Kind = iota // R = G = B, then 255
	RGB              // R, G, B, then 255
	CMYK             // C, M, Y, K: 255 for full ink, as in image.CMYK
)

// maxScans limits the scans that are decoded in parallel. Common encoders make ten, optimisers a few more.
const maxScans = 100

// Picture is a JPEG file whose headers have been parsed. Several decoders may use it at the same time.
type Picture struct {
	Width, Height int // pixels
	Kind          Kind

	components       []component
	hMax, vMax       int  // the largest sampling factors of any component
	mcuCols, mcuRows int  // MCUs in a row, and rows of MCUs
	toRGB            bool // the first three components are YCbCr
	progressive      bool
	scans            []scanHeader
}

// component is one plane of a picture, such as luma.
type component struct {
	id         byte
	h, v       int       // sampling factors
	table      byte      // number of the quantisation table
	quant      [64]int32 // the quantisation table in natural order, row by row
	wide, high int       // size in blocks, without those that only fill MCUs; a scan of one component has no others
	stride     int       // blocks in a row, including those that fill the last MCU
}

func formatError(text string) error { return jpeg.FormatError(text) }
