package picture

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/adler32"
	"image"
	"image/draw"
	"io"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/klauspost/compress/flate"
)

// stripRows is the height of the strips that are compressed in parallel. It is constant, so that the file of a picture
// does not depend on the number of processors. A strip cannot refer to the data before it; at this height that makes
// files 0.1 % larger.
const stripRows = 64

// matchLevel is the compression level of strips with repetitions. It is the lowest at which screenshots and pictures
// with grey grain are at most 5 % larger than package png's files; level 3 made them 15 % larger. Level 8 takes twice
// the time.
const matchLevel = 7

// writePNG writes img as a PNG file with 8 bits a channel: RGB if img is opaque, else RGBA. chunks holds complete
// chunks that are written before the pixels. The same picture gives the same bytes on every machine.
func writePNG(w io.Writer, img image.Image, chunks []byte) error {
	if img.Bounds().Empty() {
		return fmt.Errorf("PNG: picture of %v, want at least one pixel", img.Bounds().Size())
	}
	p := packPixels(img)
	header := binary.BigEndian.AppendUint32(nil, uint32(p.width))
	header = binary.BigEndian.AppendUint32(header, uint32(p.height))
	header = append(header, 8, p.colourType, 0, 0, 0)
	start := appendChunk([]byte(pngSignature), "IHDR", header)
	const deflateFastest = "\x78\x01" // zlib's header
	pixels := appendChunk(nil, "IDAT", []byte(deflateFastest))
	filtered := make([]byte, p.height*p.filteredRow())
	strips := p.compress(filtered)
	checksum := binary.BigEndian.AppendUint32(nil, adler32.Checksum(filtered))
	end := appendChunk(appendChunk(nil, "IDAT", checksum), "IEND", nil)
	return writeParts(w, append([][]byte{start, chunks, pixels}, append(strips, end)...)...)
}

// pixelRows gives the pixels of a picture in PNG's layout, row by row.
type pixelRows struct {
	width, height int
	colourType    byte // as PNG numbers them: 2 for RGB, 6 for RGBA
	pixelBytes    int
	copyRow       func(dst []byte, y int)
}

func packPixels(img image.Image) pixelRows {
	b := img.Bounds()
	p := pixelRows{width: b.Dx(), height: b.Dy(), colourType: 6, pixelBytes: 4}
	if o, ok := img.(interface{ Opaque() bool }); !ok || !o.Opaque() {
		straight := image.NewNRGBA(image.Rect(0, 0, p.width, p.height)) // PNG's colours are not premultiplied by alpha
		draw.Draw(straight, straight.Rect, img, b.Min, draw.Src)
		p.copyRow = func(dst []byte, y int) { copy(dst, straight.Pix[y*straight.Stride:]) }
		return p
	}
	rgba, ok := img.(*image.RGBA)
	if !ok {
		rgba = image.NewRGBA(b)
		draw.Draw(rgba, b, img, b.Min, draw.Src)
	}
	p.colourType, p.pixelBytes = 2, 3
	p.copyRow = func(dst []byte, y int) {
		src := rgba.Pix[y*rgba.Stride:][:4*p.width]
		for len(src) >= 4 && len(dst) >= 3 {
			dst[0], dst[1], dst[2] = src[0], src[1], src[2]
			src, dst = src[4:], dst[3:]
		}
	}
	return p
}

// filteredRow returns the size of a filtered row in bytes: the filter's number, then the pixels.
func (p pixelRows) filteredRow() int { return 1 + p.width*p.pixelBytes }

// compress filters all rows into filtered. It returns an IDAT chunk for each strip; together they are one deflate
// stream.
func (p pixelRows) compress(filtered []byte) [][]byte {
	strips := make([][]byte, (p.height+stripRows-1)/stripRows)
	var next atomic.Int64
	var workers sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(strips)) {
		workers.Go(func() {
			c := newStripCompressor()
			for i := int(next.Add(1)) - 1; i < len(strips); i = int(next.Add(1)) - 1 {
				from, to := i*stripRows, min((i+1)*stripRows, p.height)
				rows := filtered[from*p.filteredRow() : to*p.filteredRow()]
				p.filter(rows, from, to)
				strips[i] = appendChunk(nil, "IDAT", c.compress(rows, to == p.height))
			}
		})
	}
	workers.Wait()
	return strips
}

// filter writes rows from to to-1, filtered, to dst.
func (p pixelRows) filter(dst []byte, from, to int) {
	above, row := make([]byte, p.width*p.pixelBytes), make([]byte, p.width*p.pixelBytes)
	if from > 0 {
		p.copyRow(above, from-1)
	}
	for y := from; y < to; y++ {
		p.copyRow(row, y)
		filterRow(dst[:p.filteredRow()], row, above, p.pixelBytes)
		dst = dst[p.filteredRow():]
		above, row = row, above
	}
}

// stripCompressor holds two compressors and uses the better one for each strip. Grain has no repetitions, and a search
// for them makes the file larger. Flat colours and drawings have repetitions.
type stripCompressor struct {
	buffer           bytes.Buffer
	entropy, matches *flate.Writer
}

func newStripCompressor() *stripCompressor {
	c := new(stripCompressor)
	c.entropy, _ = flate.NewWriter(&c.buffer, flate.HuffmanOnly) // the only possible error is an invalid level
	c.matches, _ = flate.NewWriter(&c.buffer, matchLevel)
	return c
}

// compress returns the part of the deflate stream for a strip. It ends on a byte boundary.
func (c *stripCompressor) compress(strip []byte, last bool) []byte {
	sample := strip[:len(strip)/8]
	best := c.matches
	if len(c.deflate(c.entropy, sample, false)) < len(c.deflate(c.matches, sample, false)) {
		best = c.entropy
	}
	return c.deflate(best, strip, last)
}

// deflate returns data compressed by w. The result is valid until the next call.
func (c *stripCompressor) deflate(w *flate.Writer, data []byte, last bool) []byte {
	c.buffer.Reset()
	w.Reset(&c.buffer)
	w.Write(data) // writing to a bytes.Buffer never fails
	if last {
		w.Close()
	} else {
		w.Flush()
	}
	return c.buffer.Bytes()
}
