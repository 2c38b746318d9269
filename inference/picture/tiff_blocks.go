package picture

import (
	"bytes"
	"compress/zlib"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"io"
	"math/bits"
	"slices"

	"golang.org/x/image/ccitt"
	"golang.org/x/image/tiff/lzw"
)

// The compressions that are read.
const (
	compressionNone       = 1
	compressionG3         = 3
	compressionG4         = 4
	compressionLZW        = 5
	compressionJPEG       = 7
	compressionDeflate    = 8
	compressionPackBits   = 32773
	compressionDeflateOld = 32946
)

// otherCompressions names the compressions that are not read.
var otherCompressions = map[int]string{2: "CCITT modified Huffman", 6: "JPEG of the old style", 9: "JBIG", 10: "JBIG",
	32766: "NeXT", 32809: "ThunderScan", 34661: "JBIG", 34676: "SGI LogLuv", 34712: "JPEG 2000", 34887: "LERC",
	34925: "LZMA", 50000: "Zstandard", 50001: "WebP", 50002: "JPEG XL"}

const (
	predictorNone       = 1
	predictorHorizontal = 2
)

// tiffDecode decodes the first page as *image.NRGBA, or as *image.RGBA if its colours are premultiplied by alpha. It
// keeps the upper byte of 16-bit samples. The caller must have checked the size in the header.
func tiffDecode(ctx context.Context, file []byte) (image.Image, error) {
	l, err := readLayout(file)
	if err != nil {
		return nil, err
	}
	return l.decode(ctx)
}

// readLayout reads the layout of the first page and where its blocks lie.
func readLayout(file []byte) (*tiffLayout, error) {
	d, err := readDirectory(file)
	if err != nil {
		return nil, err
	}
	l, err := d.layout()
	if err != nil {
		return nil, err
	}
	return l, l.readBlocks()
}

// decode decodes all blocks, as tiffDecode does.
func (l *tiffLayout) decode(ctx context.Context) (image.Image, error) {
	img, err := l.stored(ctx)
	if err != nil {
		return nil, err
	}
	l.colour(img.Pix)
	if l.extra == extraAssociated {
		return &image.RGBA{Pix: img.Pix, Stride: img.Stride, Rect: img.Rect}, nil
	}
	return img, nil
}

// stored decodes all blocks to the samples that are stored, before their colours are converted.
func (l *tiffLayout) stored(ctx context.Context) (*image.NRGBA, error) {
	img := image.NewNRGBA(image.Rect(0, 0, l.width, l.height))
	across, down := blocks(l.width, l.blockWidth), blocks(l.height, l.blockHeight)
	for plane := range l.planes {
		for row := range down {
			for column := range across {
				at := image.Pt(column*l.blockWidth, row*l.blockHeight)
				if err := l.block(ctx, img, (plane*down+row)*across+column, plane, at); err != nil {
					return nil, err
				}
			}
		}
	}
	return img, ctx.Err()
}

// predicted reports whether samples are stored as differences. The tag is meaningful only for LZW and Deflate.
func (l *tiffLayout) predicted() bool {
	return l.predictor != predictorNone &&
		(l.compression == compressionLZW || l.compression == compressionDeflate || l.compression == compressionDeflateOld)
}

// checkCompression returns an error if the compression cannot be undone for this kind of samples.
func (l *tiffLayout) checkCompression() error {
	switch l.compression {
	case compressionNone, compressionPackBits:
	case compressionG4, compressionG3:
		if l.bits != 1 || l.samples != 1 {
			return fmt.Errorf("found CCITT compression of %d samples of %d bits, want one of 1", l.samples, l.bits)
		}
		options, err := l.one(tagT4Options, 0)
		if err != nil {
			return err
		}
		if l.compression == compressionG3 && options&1 != 0 {
			return errors.New("found two-dimensional CCITT group 3, want group 4 or the one-dimensional kind")
		}
	case compressionLZW, compressionDeflate, compressionDeflateOld:
		if l.predicted() && (l.predictor != predictorHorizontal || l.bits < 8) {
			return fmt.Errorf("found predictor %d for samples of %d bits, want the horizontal one for 8 or 16",
				l.predictor, l.bits)
		}
	case compressionJPEG:
		if l.photometric == cmykSamples || l.photometric == palette || l.bits != 8 || l.samples > l.colourSamples() {
			return errors.New("found JPEG of CMYK, of a palette, with alpha or of 16 bits, want gray, RGB or YCbCr of 8")
		}
		return nil
	default:
		name := otherCompressions[l.compression]
		if name == "" {
			name = fmt.Sprintf("number %d", l.compression)
		}
		return fmt.Errorf("found compression %s, want none, CCITT, LZW, JPEG, Deflate or PackBits", name)
	}
	if l.photometric != ycbcr {
		return nil
	}
	sub, err := l.ints(tagSubsampling, 2)
	if err != nil {
		return err
	}
	if !slices.Equal(sub, []int{1, 1}) || l.bits != 8 {
		return errors.New("found YCbCr samples with chroma of fewer pixels, want JPEG, gray, RGB, palette or CMYK")
	}
	return nil
}

// blocks returns how many blocks of the given size cover a length.
func blocks(length, size int) int { return (length + size - 1) / size }

// readBlocks reads where the strips or tiles lie in the file.
func (l *tiffLayout) readBlocks() (err error) {
	if l.blockWidth, err = l.one(tagTileWidth, 0); err != nil {
		return err
	}
	if l.blockHeight, err = l.one(tagTileHeight, 0); err != nil {
		return err
	}
	offsets, counts := tagTileOffsets, tagTileByteCounts
	if l.tiled = l.blockWidth != 0; !l.tiled {
		offsets, counts = tagStripOffsets, tagStripByteCounts
		l.blockWidth = l.width
		if l.blockHeight, err = l.one(tagRowsPerStrip, l.height); err != nil {
			return err
		}
		l.blockHeight = min(l.blockHeight, l.height)
	}
	if l.blockWidth < 1 || l.blockHeight < 1 ||
		l.blockWidth > max(maxTile, l.width+15) || l.blockHeight > max(maxTile, l.height+15) {
		return fmt.Errorf("found blocks of %d×%d pixels for a picture of %d×%d",
			l.blockWidth, l.blockHeight, l.width, l.height)
	}
	n := blocks(l.width, l.blockWidth) * blocks(l.height, l.blockHeight) * l.planes
	if l.offsets, err = l.ints(offsets, n); err != nil {
		return err
	}
	if l.counts, err = l.ints(counts, n); err != nil {
		return err
	}
	if len(l.counts) == 0 && n == 1 && len(l.offsets) == 1 { // such a strip extends to the end of the file
		l.counts = []int{len(l.file) - l.offsets[0]}
	}
	if len(l.offsets) < n || len(l.counts) < n {
		return fmt.Errorf("found %d offsets and %d sizes of blocks, want %d of each", len(l.offsets), len(l.counts), n)
	}
	return l.checkWork(n)
}

// checkWork refuses files whose n blocks cost much more than their picture: tiny tiles, blocks that expand to more than
// maxDecodeBytes together, and blocks that share the same bytes of the file too often.
func (l *tiffLayout) checkWork(n int) error {
	if l.tiled && l.blockWidth*l.blockHeight < minTile {
		return fmt.Errorf("found tiles of %d×%d pixels, want 16×16 at least", l.blockWidth, l.blockHeight)
	}
	blockBytes := l.rowBytes() * l.blockHeight
	if n > maxDecodeBytes/blockBytes {
		return sizeErrorf("found %d blocks of %d bytes, want at most %d MiB", n, blockBytes, maxDecodeBytes>>20)
	}
	if l.compression != compressionNone {
		if err := checkMemory(4*l.width*l.height + blockBytes); err != nil {
			return err
		}
	}
	packed := 0
	if l.compression == compressionJPEG { // the shared tables are parsed again for each block
		if tables, err := l.bytes(tagJPEGTables); err == nil {
			packed = n * len(tables)
		}
	}
	for _, count := range l.counts {
		if packed += min(max(count, 0), len(l.file)); packed > max(maxShared*len(l.file), maxSharedBytes) {
			return sizeErrorf("found %d blocks that share the same bytes, want a file that has its own for each", n)
		}
	}
	return nil
}

// block decodes the strip or tile with that index, whose upper left corner is at. If planes have blocks of their own,
// plane is the number of the plane, else 0. Sample s of a pixel is stored unchanged in byte s of that pixel in img;
// colour converts the samples later.
func (l *tiffLayout) block(ctx context.Context, img *image.NRGBA, index, plane int, at image.Point) error {
	data, err := l.tiffDirectory.at(int64(l.offsets[index]), int64(l.counts[index]))
	if err != nil {
		return fmt.Errorf("block %d: %w", index, io.ErrUnexpectedEOF)
	}
	visible := image.Rectangle{at, at.Add(image.Pt(l.blockWidth, l.blockHeight))}.Intersect(img.Rect)
	height := l.blockHeight
	if !l.tiled {
		height = visible.Dy()
	}
	if l.compression == compressionJPEG {
		err = l.jpegBlock(ctx, img, data, plane, height, visible)
	} else {
		err = l.samplesBlock(ctx, img, data, plane, height, visible)
	}
	if err != nil {
		return fmt.Errorf("block %d: %w", index, err)
	}
	return nil
}

// inBlock returns how many samples of a pixel a block holds.
func (l *tiffLayout) inBlock() int { return l.samples / l.planes }

// rowBytes returns the bytes of a row of a block.
func (l *tiffLayout) rowBytes() int { return (l.blockWidth*l.inBlock()*l.bits + 7) / 8 }

// samplesBlock is block for the compressions whose result is the samples themselves.
func (l *tiffLayout) samplesBlock(
	ctx context.Context, img *image.NRGBA, data []byte, plane, height int, visible image.Rectangle,
) error {
	rowBytes := l.rowBytes()
	data, err := l.unpack(ctx, data, rowBytes*height, height)
	if err != nil {
		return err
	}
	if l.predicted() {
		for y := range height {
			l.undoPredictor(data[y*rowBytes : (y+1)*rowBytes])
		}
	}
	top := 0 // the index of the upper byte of a 16-bit sample
	if l.bits == 16 && l.order.Uint16([]byte{0, 1}) == 256 {
		top = 1
	}
	for y := range visible.Dy() {
		row := data[y*rowBytes : (y+1)*rowBytes]
		at := img.PixOffset(visible.Min.X, visible.Min.Y+y)
		to := img.Pix[at:]
		for s := range l.inBlock() {
			slot := s + plane
			if slot > l.lastUsed() {
				break
			}
			for x := range visible.Dx() {
				i := x*l.inBlock() + s
				switch l.bits {
				case 8:
					to[4*x+slot] = row[i]
				case 16:
					to[4*x+slot] = row[2*i+top]
					if l.lower != nil {
						l.lower[at+4*x+slot] = row[2*i+1-top]
					}
				default:
					to[4*x+slot] = l.small(row, i)
				}
			}
		}
	}
	return nil
}

// lastUsed returns the index of the last sample of a pixel that is used: alpha if there is any, or the last colour.
func (l *tiffLayout) lastUsed() int {
	if n := l.colourSamples(); n < 4 && l.hasAlpha() {
		return n
	}
	return l.colourSamples() - 1
}

func (l *tiffLayout) hasAlpha() bool { return l.extra == extraAssociated || l.extra == extraAlpha }

// small returns sample i of a row whose samples have less than 8 bits. Gray is scaled to 8 bits; an index of a palette
// is returned unchanged.
func (l *tiffLayout) small(row []byte, i int) byte {
	bit := i * l.bits
	v := row[bit/8] >> (8 - l.bits - bit%8) & (1<<l.bits - 1)
	if l.photometric == palette {
		return v
	}
	return byte(int(v) * 255 / (1<<l.bits - 1))
}

// unpack decompresses a block of so many rows to exactly want bytes. The result may be part of the file; the caller
// must not change it then.
func (l *tiffLayout) unpack(ctx context.Context, data []byte, want, height int) ([]byte, error) {
	if l.lsbFirst {
		data = bytes.Clone(data)
		for i, b := range data {
			data[i] = bits.Reverse8(b)
		}
	}
	packed := forDecoder(ctx, data)
	var r io.Reader
	switch l.compression {
	case compressionNone:
		if len(data) < want {
			return nil, io.ErrUnexpectedEOF
		}
		return data[:want], nil
	case compressionG3, compressionG4:
		format := ccitt.SubFormat(ccitt.Group4)
		if l.compression == compressionG3 {
			format = ccitt.Group3
		}
		// With Invert, white runs become zero bits, which TIFF demands for both photometric interpretations.
		r = ccitt.NewReader(packed, ccitt.MSB, format, l.blockWidth, height, &ccitt.Options{Invert: true})
	case compressionLZW:
		r = lzw.NewReader(packed, lzw.MSB, 8)
	case compressionDeflate, compressionDeflateOld:
		if err := l.inflateFrom(packed); err != nil {
			return nil, err
		}
		r = l.inflater
	case compressionPackBits:
		r = bytes.NewReader(unpackBits(data, want))
	}
	out := make([]byte, want)
	_, err := io.ReadFull(r, out)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return out, err
}

// inflateFrom makes l.inflater read another block. There are files of 100,000 blocks, and a new reader for each would
// take 40 KB.
func (l *tiffLayout) inflateFrom(packed io.Reader) (err error) {
	if l.inflater == nil {
		l.inflater, err = zlib.NewReader(packed)
		return err
	}
	return l.inflater.(zlib.Resetter).Reset(packed, nil)
}

// unpackBits decompresses PackBits (TIFF 6.0, section 9) to at least most bytes, or fewer if data is truncated.
func unpackBits(data []byte, most int) (out []byte) {
	for len(data) > 1 && len(out) < most {
		n := int(int8(data[0]))
		data = data[1:]
		switch {
		case n >= 0:
			n = min(n+1, len(data))
			out = append(out, data[:n]...)
			data = data[n:]
		case n != -128:
			out = append(out, bytes.Repeat(data[:1], 1-n)...)
			data = data[1:]
		}
	}
	return out
}

// undoPredictor replaces the differences from the pixel to the left by samples, in place.
func (l *tiffLayout) undoPredictor(row []byte) {
	n := l.inBlock()
	if l.bits == 8 {
		for i := n; i < len(row); i++ {
			row[i] += row[i-n]
		}
		return
	}
	for i := 2 * n; i+1 < len(row); i += 2 {
		l.order.PutUint16(row[i:], l.order.Uint16(row[i:])+l.order.Uint16(row[i-2*n:]))
	}
}

// colour converts the stored samples of all pixels to red, green, blue and alpha, in place.
func (l *tiffLayout) colour(pix []byte) {
	alphaAt := -1
	if n := l.colourSamples(); n < 4 && l.hasAlpha() {
		alphaAt = n
	}
	for i := 0; i < len(pix); i += 4 {
		p := pix[i : i+4 : i+4]
		alpha := byte(255)
		if alphaAt >= 0 {
			alpha = p[alphaAt]
		}
		switch l.photometric {
		case whiteIsZero:
			p[0] = 255 - p[0]
			p[1], p[2] = p[0], p[0]
		case blackIsZero:
			p[1], p[2] = p[0], p[0]
		case palette:
			c := l.colors[p[0]]
			p[0], p[1], p[2] = c.R, c.G, c.B
		case ycbcr:
			if l.compression != compressionJPEG { // jpegBlock has already converted these to RGB
				p[0], p[1], p[2] = color.YCbCrToRGB(p[0], p[1], p[2])
			}
		case cmykSamples:
			p[0], p[1], p[2] = color.CMYKToRGB(p[0], p[1], p[2], p[3])
		}
		if l.extra == extraAssociated { // premultiplied colours cannot exceed alpha; damaged files are corrected
			p[0], p[1], p[2] = min(p[0], alpha), min(p[1], alpha), min(p[2], alpha)
		}
		p[3] = alpha
	}
}
