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

// mostSample bounds the bytes of a strip with which the two compressors are compared. It is an eighth of a strip of a
// picture of 1300 pixels' width; in larger pictures a longer sample takes a quarter of the time of the whole file.
const mostSample = 32 << 10

// writePNG writes img as a PNG file: gray, RGB or RGBA, the latter only if img is not opaque, with 16 bits a sample if
// img has them and else 8. An Original keeps the channels of its file. chunks holds complete chunks that are written
// before the pixels. The same picture gives the same bytes on every machine.
func writePNG(w io.Writer, img image.Image, chunks []byte) error {
	if img.Bounds().Empty() {
		return fmt.Errorf("PNG: picture of %v, want at least one pixel", img.Bounds().Size())
	}
	p := packPixels(img)
	strips, sum := p.compress(0, p.strips(), 1)
	return writeParts(w, append(p.opening(chunks), append(strips, pngEnding(sum))...)...)
}

// opening returns what comes before the strips of pixels, with chunks between the header and the pixels.
func (p pixelRows) opening(chunks []byte) [][]byte {
	header := binary.BigEndian.AppendUint32(nil, uint32(p.width))
	header = binary.BigEndian.AppendUint32(header, uint32(p.height))
	header = append(header, p.depth, p.colourType, 0, 0, 0)
	const deflateFastest = "\x78\x01" // zlib's header
	return [][]byte{
		appendChunk([]byte(pngSignature), "IHDR", header), chunks, appendChunk(nil, "IDAT", []byte(deflateFastest)),
	}
}

// pngEnding returns what comes after the strips of pixels, whose Adler-32 is sum.
func pngEnding(sum uint32) []byte {
	return appendChunk(appendChunk(nil, "IDAT", binary.BigEndian.AppendUint32(nil, sum)), "IEND", nil)
}

// The colour types of PNG.
const (
	pngGray      = 0
	pngRGB       = 2
	pngGrayAlpha = 4
	pngRGBA      = 6
)

// pixelRows gives the pixels of a picture in PNG's layout, row by row.
type pixelRows struct {
	width, height int
	depth         byte // bits of a sample: 8 or 16
	colourType    byte // as PNG numbers them
	pixelBytes    int
	copyRow       func(dst []byte, y int)
}

func packPixels(img image.Image) pixelRows {
	b := img.Bounds()
	p := pixelRows{width: b.Dx(), height: b.Dy(), depth: 8}
	colours, alpha := 3, false
	if o, ok := img.(*Original); ok {
		img, alpha = o.Pixels, o.alpha
		if o.gray {
			colours = 1
		}
	} else {
		alpha = !isOpaque(img)
	}
	if isGray(img) {
		colours, alpha = 1, false
	}
	if deep(img) {
		p.depth = 16
	}
	p.pixelBytes = colours * int(p.depth/8)
	p.colourType = pngRGB
	if colours == 1 {
		p.colourType = pngGray
	}
	if alpha {
		p.pixelBytes += int(p.depth / 8)
		p.colourType += pngGrayAlpha
	}
	p.copyRow = rowCopier(img, colours, alpha, p.pixelBytes)
	return p
}

// rowCopier returns a function that copies row y, counted from the top of img, in PNG's layout.
func rowCopier(img image.Image, colours int, alpha bool, pixelBytes int) func(dst []byte, y int) {
	b := img.Bounds()
	rowOf := func(pix []byte, stride, y, each int) []byte { return pix[y*stride:][:each*b.Dx()] }
	switch img := img.(type) {
	case *image.Gray:
		return func(dst []byte, y int) { copy(dst, rowOf(img.Pix, img.Stride, y, 1)) }
	case *image.Gray16:
		return func(dst []byte, y int) { copy(dst, rowOf(img.Pix, img.Stride, y, 2)) }
	case *image.RGBA:
		if !alpha {
			return func(dst []byte, y int) { copyRGB(dst, rowOf(img.Pix, img.Stride, y, 4)) }
		}
	case *image.NRGBA:
		switch {
		case colours == 3 && alpha:
			return func(dst []byte, y int) { copy(dst, rowOf(img.Pix, img.Stride, y, 4)) }
		case colours == 3:
			return func(dst []byte, y int) { copyRGB(dst, rowOf(img.Pix, img.Stride, y, 4)) }
		}
		return func(dst []byte, y int) { // gray, with or without alpha
			src := rowOf(img.Pix, img.Stride, y, 4)
			for i := 0; i < len(src); i += 4 {
				dst[0] = src[i]
				if alpha {
					dst[1] = src[i+3]
				}
				dst = dst[pixelBytes:]
			}
		}
	case *image.NRGBA64:
		return func(dst []byte, y int) {
			src := rowOf(img.Pix, img.Stride, y, 8)
			for i := 0; i < len(src); i += 8 {
				n := copy(dst, src[i:i+2*colours])
				if alpha {
					copy(dst[n:], src[i+6:i+8])
				}
				dst = dst[pixelBytes:]
			}
		}
	case *image.RGBA64:
		samples := make([]uint16, 4*b.Dx())
		read, one := sampleRows(img), sync.Mutex{}
		return func(dst []byte, y int) {
			one.Lock()
			defer one.Unlock()
			read(b.Min.Y+y, samples)
			for i := 0; i < len(samples); i += 4 {
				for c := range pixelBytes / 2 {
					binary.BigEndian.PutUint16(dst[2*c:], samples[i+c])
				}
				dst = dst[pixelBytes:]
			}
		}
	}
	straight := image.NewNRGBA(image.Rect(0, 0, b.Dx(), b.Dy())) // PNG's colours are not premultiplied by alpha
	draw.Draw(straight, straight.Rect, img, b.Min, draw.Src)
	return rowCopier(straight, colours, alpha, pixelBytes)
}

// copyRGB copies the first three of four bytes of each pixel.
func copyRGB(dst, src []byte) {
	for len(src) >= 4 && len(dst) >= 3 {
		dst[0], dst[1], dst[2] = src[0], src[1], src[2]
		src, dst = src[4:], dst[3:]
	}
}

// filteredRow returns the size of a filtered row in bytes: the filter's number, then the pixels.
func (p pixelRows) filteredRow() int { return 1 + p.width*p.pixelBytes }

// strips returns the number of strips.
func (p pixelRows) strips() int { return (p.height + stripRows - 1) / stripRows }

// compress filters and compresses the strips [from, to). It returns an IDAT chunk for each, which together are one
// deflate stream, and the Adler-32 of all filtered rows up to these, of which that of the rows before is sum.
func (p pixelRows) compress(from, to int, sum uint32) (strips [][]byte, _ uint32) {
	strips = make([][]byte, to-from)
	sums := make([]uint32, len(strips))
	height := func(strip int) int { return min(stripRows, p.height-strip*stripRows) }
	var next atomic.Int64
	var workers sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(strips)) {
		workers.Go(func() {
			c := stripCompressors.Get().(*stripCompressor)
			defer stripCompressors.Put(c)
			filtered := make([]byte, min(stripRows, p.height)*p.filteredRow())
			for i := int(next.Add(1)) - 1; i < len(strips); i = int(next.Add(1)) - 1 {
				first := (from + i) * stripRows
				last := first + height(from+i)
				rows := filtered[:(last-first)*p.filteredRow()]
				p.filter(rows, first, last)
				sums[i] = adler32.Checksum(rows)
				strips[i] = appendChunk(nil, "IDAT", c.compress(rows, last == p.height))
			}
		})
	}
	workers.Wait()
	for i, s := range sums {
		sum = joinAdler(sum, s, height(from+i)*p.filteredRow())
	}
	return strips, sum
}

// stripCompressors holds compressors between the calls of compress.
var stripCompressors = sync.Pool{New: func() any { return newStripCompressor() }}

// joinAdler returns the Adler-32 of two pieces of data that follow each other, of which the second one has n bytes. The
// lower half of a sum is 1 plus the sum of the bytes, the upper half adds up the lower halves after each byte.
func joinAdler(first, second uint32, n int) uint32 {
	const mod = 65521
	a1, b1, a2, b2 := first&0xffff, first>>16, second&0xffff, second>>16
	a := (a1 + a2 + mod - 1) % mod
	b := (uint64(b1) + uint64(b2) + uint64(n%mod)*uint64(a1+mod-1)) % mod
	return uint32(b)<<16 | a
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
	sample := strip[:min(len(strip)/8, mostSample)]
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
