package picture

import (
	"encoding/binary"
	"fmt"
	"hash/adler32"
	"image"
	"io"
	"runtime"
	"sync"
	"sync/atomic"
)

// A TIFF file is an Exif block with pixels: the block of the photo, with the profile and Kleinbild's texts, gets the
// fields that describe the pixels, and the strips follow it. So makers' notes, which refer to the block by offsets,
// still find what they mean, and the texts lie at the beginning of the file. golang.org/x/image/tiff writes neither
// profiles nor texts, and RGB with a channel of alpha only.

// The values of fields in the files that are written.
const (
	typeShort             = 3
	tagYCbCrPositioning   = 531
	deflateCompression    = 8
	horizontalDifferences = 2
)

// maxTIFFBytes is the largest file that has offsets of 32 bits.
const maxTIFFBytes = 1<<32 - 1

// encodeTIFF writes img in strips of deflated differences, with the channels and bits of writePNG.
func encodeTIFF(w io.Writer, img image.Image, meta *Metadata, _ int) error {
	if img.Bounds().Empty() {
		return fmt.Errorf("TIFF: picture of %v, want at least one pixel", img.Bounds().Size())
	}
	block, err := exifFor(meta, img, maxWrittenExif)
	if err != nil {
		return err
	}
	if block == nil {
		block = layExif(nil, nil) // the header alone
	}
	var profile []byte
	if o, ok := img.(*Original); ok {
		profile = o.profileToWrite()
	}
	e, ok := newExif(block)
	if !ok {
		return fmt.Errorf("TIFF: the Exif block begins with %q", block[:min(len(block), 4)])
	}
	p := packPixels(img)
	strips := p.tiffStrips(e.order)
	head, err := p.tiffHead(e, profile, strips)
	if err != nil {
		return err
	}
	return writeParts(w, append([][]byte{head}, strips...)...)
}

// tiffHead returns the block with the directory of a picture, up to the first strip.
func (p pixelRows) tiffHead(e exifReader, profile []byte, strips [][]byte) ([]byte, error) {
	root := e.entries(e.first())
	delete(root, tagYCbCrPositioning) // of a JPEG
	photometric, samples := rgbSamples, 3
	if p.colourType == pngGray || p.colourType == pngGrayAlpha {
		photometric, samples = blackIsZero, 1
	}
	alpha := p.colourType == pngRGBA || p.colourType == pngGrayAlpha
	if alpha {
		samples++
		e.putNumbers(root, tagExtraSamples, typeShort, extraAlpha)
	}
	bits := make([]int, samples)
	for i := range bits {
		bits[i] = int(p.depth)
	}
	for _, f := range []struct {
		tag    uint16
		kind   uint16
		values []int
	}{
		{tagWidth, typeLong, []int{p.width}}, {tagHeight, typeLong, []int{p.height}}, {tagBitsPerSample, typeShort, bits},
		{tagCompression, typeShort, []int{deflateCompression}}, {tagPhotometric, typeShort, []int{photometric}},
		{tagOrientation, typeShort, []int{int(upright)}}, {tagSamplesPerPixel, typeShort, []int{samples}},
		{tagRowsPerStrip, typeLong, []int{stripRows}}, {tagPlanar, typeShort, []int{1}},
		{tagPredictor, typeShort, []int{horizontalDifferences}},
	} {
		e.putNumbers(root, f.tag, f.kind, f.values...)
	}
	if profile != nil {
		root[tagProfile] = e.rawEntry(tagProfile, typeUndefined, len(profile), nil) // its place is not known yet
	}
	sizes, offsets := make([]int, len(strips)), make([]int, len(strips))
	e.putNumbers(root, tagStripByteCounts, typeLong, sizes...)
	e.putNumbers(root, tagStripOffsets, typeLong, offsets...) // their places are not known yet
	first := e.lay(root)
	e.order.PutUint32(e.block[4:], first)
	if profile != nil { // behind the directory, so that tiffTexts need not read it
		e.order.PutUint32(e.entry(first, tagProfile)[8:], uint32(len(e.block)))
		e.block = append(e.block, profile...)
		e.even()
	}
	at := len(e.block)
	for i, s := range strips {
		sizes[i], offsets[i] = len(s), at
		at += len(s)
	}
	if at > maxTIFFBytes {
		return nil, fmt.Errorf("TIFF: a file of %d bytes, want at most %d", at, maxTIFFBytes)
	}
	e.setLongs(e.entry(first, tagStripByteCounts), sizes)
	e.setLongs(e.entry(first, tagStripOffsets), offsets)
	return e.block, nil
}

// putNumbers sets an entry of numbers of type SHORT or LONG.
func (e *exifReader) putNumbers(list map[uint16][]byte, tag, kind uint16, values ...int) {
	var data []byte
	for _, v := range values {
		number := make([]byte, 4)
		if kind == typeShort {
			number = number[:2]
			e.order.PutUint16(number, uint16(v))
		} else {
			e.order.PutUint32(number, uint32(v))
		}
		data = append(data, number...)
	}
	e.put(list, exifEntry{tag, kind, data})
	e.order.PutUint16(list[tag][2:], kind)
	e.order.PutUint32(list[tag][4:], uint32(len(values)))
}

// setLongs replaces the values of an entry of type LONG.
func (e exifReader) setLongs(entry []byte, values []int) {
	place := entry[8:]
	if len(values) > 1 {
		place = e.block[e.order.Uint32(entry[8:]):]
	}
	for i, v := range values {
		e.order.PutUint32(place[4*i:], uint32(v))
	}
}

// tiffStrips returns the compressed strips, each a zlib stream of the differences between neighbouring pixels.
func (p pixelRows) tiffStrips(order binary.ByteOrder) [][]byte {
	strips := make([][]byte, (p.height+stripRows-1)/stripRows)
	var next atomic.Int64
	var workers sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(strips)) {
		workers.Go(func() {
			c := newStripCompressor()
			rowBytes := p.width * p.pixelBytes
			all := make([]byte, min(stripRows, p.height)*rowBytes)
			for i := int(next.Add(1)) - 1; i < len(strips); i = int(next.Add(1)) - 1 {
				from, to := i*stripRows, min((i+1)*stripRows, p.height)
				rows := all[:(to-from)*rowBytes]
				for y := from; y < to; y++ {
					row := rows[(y-from)*rowBytes:][:rowBytes]
					p.copyRow(row, y)
					p.difference(row, order)
				}
				const deflateFastest = "\x78\x01" // zlib's header
				strip := append([]byte(deflateFastest), c.compress(rows, true)...)
				strip = binary.BigEndian.AppendUint32(strip, adler32.Checksum(rows))
				if len(strip)%2 == 1 {
					strip = append(strip, 0) // strips begin at even offsets
				}
				strips[i] = strip
			}
		})
	}
	workers.Wait()
	return strips
}

// difference replaces each pixel of a row, in PNG's layout, by its difference from the one before it, in the byte order
// of the file.
func (p pixelRows) difference(row []byte, order binary.ByteOrder) {
	if p.depth == 8 {
		for i := len(row) - 1; i >= p.pixelBytes; i-- {
			row[i] -= row[i-p.pixelBytes]
		}
		return
	}
	for i := len(row) - 2; i >= 0; i -= 2 {
		sample := binary.BigEndian.Uint16(row[i:])
		if i >= p.pixelBytes {
			sample -= binary.BigEndian.Uint16(row[i-p.pixelBytes:])
		}
		order.PutUint16(row[i:], sample)
	}
}

// tiffTexts returns the texts of the first directory, if it lies at the beginning of the file, as in the files that are
// written here. It reads no more than that beginning.
func tiffTexts(r io.Reader) ([]text, error) {
	head, err := io.ReadAll(io.LimitReader(r, maxExifChunk))
	if err != nil {
		return nil, endsEarly("TIFF", err)
	}
	var list textList
	list.addExif(head)
	return list.texts, nil
}
