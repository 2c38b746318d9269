package picture

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"math/bits"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const tiffWidth, tiffHeight = 80, 96

// tiffRGB returns a pixel of the test picture. Its channels differ from each other, and so do the halves of a byte.
func tiffRGB(x, y int) (r, g, b byte) { return byte(3 * x), byte(2 * y), byte(2 * (x ^ y)) }

// tiffSpec describes a TIFF file to be written: fields by their tags, and the data of blocks.
type tiffSpec struct {
	order  binary.ByteOrder
	big    bool
	fields map[int][]int
	blocks [][]byte
	// unsorted writes the fields in descending order of tags; noCounts leaves out the sizes of the blocks.
	unsorted, noCounts bool
}

// plain returns an uncompressed picture with 8 bits a sample in one strip.
func plain(photometric, samples int, pixel func(x, y int) []byte) tiffSpec {
	var data []byte
	for y := range tiffHeight {
		for x := range tiffWidth {
			data = append(data, pixel(x, y)...)
		}
	}
	return tiffSpec{order: binary.LittleEndian, blocks: [][]byte{data}, fields: map[int][]int{
		tagWidth: {tiffWidth}, tagHeight: {tiffHeight}, tagBitsPerSample: slices.Repeat([]int{8}, samples),
		tagCompression: {1},
		tagPhotometric: {photometric}, tagSamplesPerPixel: {samples}, tagRowsPerStrip: {tiffHeight},
	}}
}

func rgbPixel(x, y int) []byte {
	r, g, b := tiffRGB(x, y)
	return []byte{r, g, b}
}

func grayPixel(x, y int) []byte { return []byte{byte(3 * x)} }

// file returns the bytes of the file: header, blocks, values of long fields, directory. All numbers have type LONG.
func (s tiffSpec) file() []byte {
	var file []byte
	appender := s.order.(binary.AppendByteOrder)
	word := func(to []byte, v int) []byte {
		if s.big {
			return appender.AppendUint64(to, uint64(v))
		}
		return appender.AppendUint32(to, uint32(v))
	}
	offsets, counts := tagStripOffsets, tagStripByteCounts
	if s.fields[tagTileWidth] != nil {
		offsets, counts = tagTileOffsets, tagTileByteCounts
	}
	file = make([]byte, 16)
	s.fields[offsets], s.fields[counts] = nil, nil
	for _, block := range s.blocks {
		s.fields[offsets] = append(s.fields[offsets], len(file))
		s.fields[counts] = append(s.fields[counts], len(block))
		file = append(file, block...)
	}
	if s.noCounts {
		delete(s.fields, counts)
	}
	var tags []int
	for tag := range s.fields {
		tags = append(tags, tag)
	}
	slices.Sort(tags)
	if s.unsorted {
		slices.Reverse(tags)
	}
	inline := 1
	if s.big {
		inline = 2
	}
	var directory []byte
	for _, tag := range tags {
		var values []byte
		for _, v := range s.fields[tag] {
			values = appender.AppendUint32(values, uint32(v))
		}
		kind := uint16(4)
		if tag == tagJPEGTables {
			kind, values = 7, nil
			for _, v := range s.fields[tag] {
				values = append(values, byte(v))
			}
		}
		directory = appender.AppendUint16(directory, uint16(tag))
		directory = appender.AppendUint16(directory, kind)
		directory = word(directory, len(s.fields[tag]))
		if len(s.fields[tag]) > inline {
			directory = word(directory, len(file))
			file = append(file, values...)
		} else {
			directory = append(append(directory, values...), make([]byte, 4*inline-len(values))...)
		}
	}
	head := []byte("II")
	if s.order == binary.ByteOrder(binary.BigEndian) {
		head = []byte("MM")
	}
	if s.big {
		head = appender.AppendUint16(head, 43)
		head = append(appender.AppendUint16(head, 8), 0, 0)
		head = word(head, len(file))
		file = append(file, appender.AppendUint64(nil, uint64(len(tags)))...)
	} else {
		head = word(appender.AppendUint16(head, 42), len(file))
		file = appender.AppendUint16(file, uint16(len(tags)))
	}
	copy(file, head)
	return append(append(file, directory...), make([]byte, 8)...)
}

func deflatedBlock(data []byte) []byte { return []byte(deflated(string(data))) }

// packBits compresses data with PackBits: three or more equal bytes as a repetition, others as runs of one byte.
func packBits(data []byte) (out []byte) {
	for len(data) > 0 {
		n := 1
		for n < len(data) && n < 128 && data[n] == data[0] {
			n++
		}
		if n >= 3 {
			out, data = append(out, byte(1-n), data[0]), data[n:]
		} else {
			out, data = append(out, 0, data[0]), data[1:]
		}
	}
	return append(out, 0x80)
}

// with sets fields, given as tag, values, tag, values, ….
func (s tiffSpec) with(pairs ...any) tiffSpec {
	for i := 0; i < len(pairs); i += 2 {
		s.fields[pairs[i].(int)] = pairs[i+1].([]int)
	}
	return s
}

// each applies change to every block.
func (s tiffSpec) each(change func([]byte) []byte) tiffSpec {
	for i := range s.blocks {
		s.blocks[i] = change(s.blocks[i])
	}
	return s
}

// cut divides the picture, whose pixels have so many bytes, into tiles or strips of the given size.
func (s tiffSpec) cut(width, height, pixel int) tiffSpec {
	data := s.blocks[0]
	s.blocks = nil
	for top := 0; top < tiffHeight; top += height {
		for left := 0; left < tiffWidth; left += width {
			var block []byte
			for y := top; y < top+height; y++ {
				for x := left; x < left+width; x++ {
					if x >= tiffWidth || y >= tiffHeight {
						block = append(block, slices.Repeat([]byte{77}, pixel)...) // a tile's padding
						continue
					}
					i := (y*tiffWidth + x) * pixel
					block = append(block, data[i:i+pixel]...)
				}
			}
			s.blocks = append(s.blocks, block)
		}
	}
	return s
}

// planes stores each sample in a plane of its own.
func (s tiffSpec) planes(samples int) tiffSpec {
	data := s.blocks[0]
	s.blocks = make([][]byte, samples)
	for i, v := range data {
		s.blocks[i%samples] = append(s.blocks[i%samples], v)
	}
	return s.with(tagPlanar, []int{2})
}

// bits16 stores bytes as the upper bytes of 16-bit samples, with different lower bytes.
func (s tiffSpec) bits16() tiffSpec {
	n := len(s.fields[tagBitsPerSample])
	return s.with(tagBitsPerSample, slices.Repeat([]int{16}, n)).each(func(data []byte) (wide []byte) {
		for _, v := range data {
			wide = s.order.(binary.AppendByteOrder).AppendUint16(wide, uint16(v)<<8|uint16(255-v))
		}
		return wide
	})
}

// differences applies the horizontal predictor to samples of size bytes.
func (s tiffSpec) differences(samples, size int) tiffSpec {
	return s.with(tagPredictor, []int{2}).each(func(data []byte) []byte {
		data = bytes.Clone(data)
		row := tiffWidth * samples * size
		for start := 0; start < len(data); start += row {
			for i := row - size; i >= samples*size; i -= size {
				at, before := data[start+i:], data[start+i-samples*size:]
				if size == 1 {
					at[0] -= before[0]
				} else {
					s.order.PutUint16(at, s.order.Uint16(at)-s.order.Uint16(before))
				}
			}
		}
		return data
	})
}

// narrow returns a gray picture with so few bits a sample.
func narrow(photometric, size int) tiffSpec {
	s := plain(photometric, 1, grayPixel).with(tagBitsPerSample, []int{size})
	var data []byte
	for i := 0; i < len(s.blocks[0]); i += 8 / size {
		var b byte
		for j := range 8 / size {
			b = b<<size | s.blocks[0][i+j]>>(8-size)
		}
		data = append(data, b)
	}
	s.blocks[0] = data
	return s
}

func bigEndian(s tiffSpec) tiffSpec { s.order = binary.BigEndian; return s }
func bigTIFF(s tiffSpec) tiffSpec   { s.big = true; return s }

func reversed(data []byte) []byte {
	data = bytes.Clone(data)
	for i := range data {
		data[i] = bits.Reverse8(data[i])
	}
	return data
}

func TestTIFF(t *testing.T) {
	rgb := func() tiffSpec { return plain(rgbSamples, 3, rgbPixel) }
	gray := func(x, y int) color.NRGBA { v := byte(3 * x); return color.NRGBA{v, v, v, 255} }
	inverse := func(x, y int) color.NRGBA { v := 255 - byte(3*x); return color.NRGBA{v, v, v, 255} }
	colour := func(x, y int) color.NRGBA { r, g, b := tiffRGB(x, y); return color.NRGBA{r, g, b, 255} }
	faded := func(x, y int) color.NRGBA { c := colour(x, y); c.A = byte(255 - 2*y); return c }
	withAlpha := func(x, y int) []byte { return append(rgbPixel(x, y), byte(255-2*y)) }
	few := func(size int) func(x, y int) color.NRGBA {
		return func(x, y int) color.NRGBA {
			v := byte(int(byte(3*x)>>(8-size)) * 255 / (1<<size - 1))
			return color.NRGBA{v, v, v, 255}
		}
	}
	var colors []int
	for _, shift := range []int{0, 3, 5} {
		for i := range 256 {
			colors = append(colors, (i<<shift&255)<<8|7)
		}
	}
	indexed := func(x, y int) color.NRGBA { i := byte(3 * x); return color.NRGBA{i, i << 3, i << 5, 255} }
	deflate := func(s tiffSpec) tiffSpec { return s.with(tagCompression, []int{8}).each(deflatedBlock) }

	for _, row := range []struct {
		name string
		spec tiffSpec
		want func(x, y int) color.NRGBA
	}{
		{"RGB", rgb(), colour},
		{"big-endian", bigEndian(rgb()), colour},
		{"BigTIFF", bigTIFF(rgb()), colour},
		{"BigTIFF, big-endian", bigTIFF(bigEndian(rgb())), colour},
		{"tags in any order", func() tiffSpec { s := rgb(); s.unsorted = true; return s }(), colour},
		{"one strip of unknown size", func() tiffSpec { s := rgb(); s.noCounts = true; return s }(), colour},
		{"strips", rgb().with(tagRowsPerStrip, []int{16}).cut(tiffWidth, 16, 3), colour},
		{"tiles", rgb().with(tagTileWidth, []int{32}, tagTileHeight, []int{48}).cut(32, 48, 3), colour},
		{"planes", rgb().planes(3), colour},
		{"PackBits", rgb().with(tagCompression, []int{32773}).each(packBits), colour},
		{"Deflate", deflate(rgb()), colour},
		{"differences", deflate(rgb().differences(3, 1)), colour},
		{"differences in planes", deflate(rgb().planes(3).differences(1, 1)), colour},
		{"16 bits", rgb().bits16(), colour},
		{"16 bits, big-endian", bigEndian(rgb()).bits16(), colour},
		{"16 bits, differences", deflate(rgb().bits16().differences(3, 2)), colour},
		{"16 bits, big-endian, differences", deflate(bigEndian(rgb()).bits16().differences(3, 2)), colour},
		{"reversed bits", rgb().with(tagFillOrder, []int{2}).each(reversed), colour},
		{"alpha", plain(rgbSamples, 4, withAlpha).with(tagExtraSamples, []int{2}), faded},
		{"alpha in planes", plain(rgbSamples, 4, withAlpha).with(tagExtraSamples, []int{2}).planes(4), faded},
		{"alpha of 16 bits", plain(rgbSamples, 4, withAlpha).with(tagExtraSamples, []int{2}).bits16(), faded},
		{"a fourth sample of no meaning", plain(rgbSamples, 4, withAlpha), colour},
		{"two more samples", plain(rgbSamples, 5, func(x, y int) []byte { return append(withAlpha(x, y), 9) }).
			with(tagExtraSamples, []int{2, 0}), faded},
		{"gray", plain(blackIsZero, 1, grayPixel), gray},
		{"gray, white is zero", plain(whiteIsZero, 1, grayPixel), inverse},
		{"gray of 16 bits", plain(blackIsZero, 1, grayPixel).bits16(), gray},
		{"gray of 16 bits, white is zero", plain(whiteIsZero, 1, grayPixel).bits16(), inverse},
		{"gray of 4 bits", narrow(blackIsZero, 4), few(4)},
		{"gray of 2 bits", narrow(blackIsZero, 2), few(2)},
		{"1 bit", narrow(blackIsZero, 1), few(1)},
		{"1 bit, reversed", narrow(blackIsZero, 1).with(tagFillOrder, []int{2}).each(reversed), few(1)},
		{"gray with alpha", plain(blackIsZero, 2, func(x, y int) []byte {
			return []byte{byte(3 * x), byte(255 - 2*y)}
		}).with(tagExtraSamples, []int{2}),
			func(x, y int) color.NRGBA { c := gray(x, y); c.A = byte(255 - 2*y); return c }},
		{"palette", plain(palette, 1, grayPixel).with(tagColorMap, colors), indexed},
		{"CMYK", plain(cmykSamples, 4, func(x, y int) []byte {
			return []byte{byte(3 * x), byte(2 * y), 0, 51}
		}), func(x, y int) color.NRGBA {
			r, g, b := color.CMYKToRGB(byte(3*x), byte(2*y), 0, 51)
			return color.NRGBA{r, g, b, 255}
		}},
		{"YCbCr", plain(ycbcr, 3, rgbPixel).with(tagSubsampling, []int{1, 1}), func(x, y int) color.NRGBA {
			r, g, b := color.YCbCrToRGB(tiffRGB(x, y))
			return color.NRGBA{r, g, b, 255}
		}},
	} {
		img, err := decodeTIFF(row.spec.file())
		if err != nil {
			t.Errorf("%s: %v", row.name, err)
			continue
		}
		checkPixels(t, row.name, img, row.want)
	}

	// Premultiplied colours, composited on white.
	premultiplied := plain(rgbSamples, 4, func(x, y int) []byte { return []byte{100, 50, 0, 128} })
	img, err := decodeTIFF(premultiplied.with(tagExtraSamples, []int{1}).file())
	if err != nil {
		t.Fatal(err)
	}
	white, err := onWhite(t.Context(), img, Size{tiffWidth, tiffHeight})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := white.RGBAAt(7, 7), (color.RGBA{227, 177, 127, 255}); got != want {
		t.Errorf("premultiplied alpha on white: %v, want %v", got, want)
	}
}

// decodeTIFF decodes a file in the same way as the files of every format are decoded.
func decodeTIFF(file []byte) (image.Image, error) {
	f, err := recognise(file)
	if err != nil {
		return nil, err
	}
	img, _, err := decodeChecked(context.Background(), f, file, func(s Size) error {
		return checkReference(s, MaxPixels)
	})
	return img, err
}

func checkPixels(t *testing.T, name string, img image.Image, want func(x, y int) color.NRGBA) {
	t.Helper()
	if img.Bounds() != image.Rect(0, 0, tiffWidth, tiffHeight) {
		t.Errorf("%s: bounds %v", name, img.Bounds())
		return
	}
	for y := range tiffHeight {
		for x := range tiffWidth {
			if got := img.At(x, y); got != color.Color(want(x, y)) {
				t.Errorf("%s: pixel (%d, %d) is %v, want %v", name, x, y, got, want(x, y))
				return
			}
		}
	}
}

// TestTIFFOfOthers reads files that Pillow wrote: fax pages with a chequered pattern and a white field, and a gray
// picture with LZW.
func TestTIFFOfOthers(t *testing.T) {
	page := func(x, y int) color.NRGBA {
		if (x/7+y/5)%2 == 1 || 10 <= x && x < 50 && 10 <= y && y < 30 {
			return color.NRGBA{255, 255, 255, 255}
		}
		return color.NRGBA{0, 0, 0, 255}
	}
	for _, name := range []string{
		"g3-black-is-zero", "g3-white-is-zero", "g4-black-is-zero", "g4-white-is-zero", "lzw-gray",
	} {
		file, err := os.ReadFile(filepath.Join("testdata", "tiff", name+".tif"))
		if err != nil {
			t.Fatal(err)
		}
		img, err := decodeTIFF(file)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		want := page
		if name == "lzw-gray" {
			want = func(x, y int) color.NRGBA {
				r, g, _ := tiffRGB(x, y)
				if 20 <= x && x < 60 && 20 <= y && y < 40 {
					r, g = 200, 40
				}
				v := r/2 + g/2
				return color.NRGBA{v, v, v, 255}
			}
		}
		checkPixels(t, name, img, want)
	}
}

// TestTIFFWithJPEG checks blocks with tables of their own, and blocks whose tables are in the directory, as in tiled
// files.
func TestTIFFWithJPEG(t *testing.T) {
	img := image.NewRGBA(image.Rect(0, 0, tiffWidth, tiffHeight))
	for y := range tiffHeight {
		for x := range tiffWidth {
			img.Set(x, y, color.RGBA{byte(3 * x), byte(2 * y), 90, 255})
		}
	}
	var file bytes.Buffer
	if err := jpeg.Encode(&file, img, &jpeg.Options{Quality: 95}); err != nil {
		t.Fatal(err)
	}
	// SOI, quantisation tables (FF DB), frame (FF C0), Huffman tables (FF C4), scan (FF DA).
	at := func(marker string) int { return bytes.Index(file.Bytes(), []byte(marker)) }
	frame, codes, scan := at("\xff\xc0"), at("\xff\xc4"), at("\xff\xda")
	tables := slices.Concat(file.Bytes()[:frame], file.Bytes()[codes:scan], []byte("\xff\xd9"))
	var numbers []int
	for _, b := range tables {
		numbers = append(numbers, int(b))
	}
	block := slices.Concat([]byte("\xff\xd8"), file.Bytes()[frame:codes], file.Bytes()[scan:])
	for _, row := range []struct {
		name string
		spec tiffSpec
	}{
		{"tables in the block", plain(ycbcr, 3, rgbPixel).with(tagCompression, []int{7}).
			each(func([]byte) []byte { return file.Bytes() })},
		{"tables in the directory", plain(ycbcr, 3, rgbPixel).with(tagCompression, []int{7}, tagJPEGTables, numbers).
			each(func([]byte) []byte { return block })},
	} {
		got, err := decodeTIFF(row.spec.file())
		if err != nil {
			t.Errorf("%s: %v", row.name, err)
			continue
		}
		rgba, err := onWhite(t.Context(), got, Size{tiffWidth, tiffHeight})
		if err != nil {
			t.Fatal(err)
		}
		// The tolerance is for JPEG of quality 95 of smooth colours.
		if mean, worst, at := difference(rgba, img); mean > 2 || worst > 12 {
			t.Errorf("%s: %.2f levels off, at worst %d at %v", row.name, mean, worst, at)
		}
	}
}

// TestTIFFIsRefused checks that the error for a kind that is not read names it, and that nothing panics.
func TestTIFFIsRefused(t *testing.T) {
	rgb := func() tiffSpec { return plain(rgbSamples, 3, rgbPixel) }
	for _, row := range []struct {
		name string
		spec tiffSpec
		want string
	}{
		{"floating point", plain(blackIsZero, 1, grayPixel).with(tagSampleFormat, []int{3}), "floating-point"},
		{"32 bits", plain(blackIsZero, 1, grayPixel).with(tagBitsPerSample, []int{32}), "32 bits"},
		{"samples of several sizes", rgb().with(tagBitsPerSample, []int{5, 6, 5}), "[5 6 5] bits"},
		{"L*a*b*", plain(8, 3, rgbPixel), "CIE L*a*b*"},
		{"raw", plain(32803, 1, grayPixel), "camera's raw"},
		{"unknown samples", plain(99, 1, grayPixel), "interpretation 99"},
		{"Zstandard", rgb().with(tagCompression, []int{50000}), "Zstandard"},
		{"modified Huffman", narrow(blackIsZero, 1).with(tagCompression, []int{2}), "modified Huffman"},
		{"group 3 of two dimensions", narrow(blackIsZero, 1).with(tagCompression, []int{3}, tagT4Options, []int{1}),
			"two-dimensional"},
		{"fax of gray", plain(blackIsZero, 1, grayPixel).with(tagCompression, []int{4}), "CCITT"},
		{"unknown compression", rgb().with(tagCompression, []int{12345}), "number 12345"},
		{"differences of floats", rgb().with(tagCompression, []int{8}, tagPredictor, []int{3}), "predictor 3"},
		{"chroma of fewer pixels", plain(ycbcr, 3, rgbPixel), "chroma"},
		{"other inks", plain(cmykSamples, 4, func(x, y int) []byte { return make([]byte, 4) }).with(tagInkSet, []int{2}),
			"inks"},
		{"too few samples", rgb().with(tagSamplesPerPixel, []int{2}), "2 samples"},
		{"no palette", plain(palette, 1, grayPixel), "palette of 0"},
		{"tiles of nothing", rgb().with(tagTileWidth, []int{16}, tagTileHeight, []int{0}), "blocks of 16×0"},
		{"huge tiles", rgb().with(tagTileWidth, []int{1 << 30}, tagTileHeight, []int{1 << 30}), "blocks of"},
		{"too few strips", rgb().with(tagRowsPerStrip, []int{1}), "want 96"},
		{"ends too early", rgb().each(func(b []byte) []byte { return b[:len(b)-4000] }), "ends too early"},
		{"ends too early, deflated",
			rgb().with(tagCompression, []int{8}).each(func(b []byte) []byte { return deflatedBlock(b[:99]) }), "ends too early"},
		{"not a JPEG", plain(ycbcr, 3, rgbPixel).with(tagCompression, []int{7}), "JPEG"},
	} {
		img, err := decodeTIFF(row.spec.file())
		if err == nil || !strings.Contains(err.Error(), row.want) || !strings.HasPrefix(err.Error(), "TIFF: ") {
			t.Errorf("%s: %v, %v, want %q", row.name, img != nil, err, row.want)
		}
	}
	whole := rgb().file()
	for _, size := range []int{4, 7, 8, 9, len(whole) - 20, len(whole) - 100} {
		if _, err := decodeTIFF(whole[:size]); err == nil {
			t.Errorf("the first %d bytes are read", size)
		}
	}
}

func FuzzTIFF(f *testing.F) {
	for _, name := range []string{"g3-black-is-zero", "g4-white-is-zero", "lzw-gray"} {
		file, err := os.ReadFile(filepath.Join("testdata", "tiff", name+".tif"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(file)
	}
	f.Add(bigTIFF(narrow(blackIsZero, 4)).file())
	f.Add(plain(palette, 1, grayPixel).with(tagTileWidth, []int{16}, tagTileHeight, []int{16}).cut(16, 16, 1).file())
	f.Fuzz(func(t *testing.T, file []byte) {
		defer soon(t)()
		ref, err := prepare(t.Context(), file, 1<<20)
		if (ref == nil) == (err == nil) {
			t.Error(fmt.Sprint(ref, err))
		}
	})
}
