package picture

import (
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/color"
	"io"
	"slices"
)

// The TIFF reader follows TIFF 6.0 and its supplements: the first page of a file, classic or BigTIFF, in strips or tiles.
// golang.org/x/image/tiff reads fewer kinds and takes some for others (fax pages with black as zero come out negative,
// separate planes and reversed bits as noise), so that only the decoders of compressed blocks are from other packages.

// The tags of a directory.
const (
	tagWidth           = 256
	tagHeight          = 257
	tagBitsPerSample   = 258
	tagCompression     = 259
	tagPhotometric     = 262
	tagFillOrder       = 266
	tagStripOffsets    = 273
	tagOrientation     = 274
	tagSamplesPerPixel = 277
	tagRowsPerStrip    = 278
	tagStripByteCounts = 279
	tagPlanar          = 284
	tagT4Options       = 292
	tagPredictor       = 317
	tagColorMap        = 320
	tagTileWidth       = 322
	tagTileHeight      = 323
	tagTileOffsets     = 324
	tagTileByteCounts  = 325
	tagInkSet          = 332
	tagExtraSamples    = 338
	tagSampleFormat    = 339
	tagJPEGTables      = 347
	tagSubsampling     = 530
	tagProfile         = 34675
)

// The photometric interpretations that are read.
const (
	whiteIsZero = 0
	blackIsZero = 1
	rgbSamples  = 2
	palette     = 3
	cmykSamples = 5
	ycbcr       = 6
)

// otherSamples names photometric interpretations that are not read.
var otherSamples = map[int]string{4: "a transparency mask", 8: "CIE L*a*b*", 9: "ICC L*a*b*", 10: "ITU L*a*b*",
	32803: "a camera's raw samples", 32844: "LogL", 32845: "LogLuv", 34892: "a camera's linear raw samples"}

const (
	extraAssociated = 1 // of ExtraSamples: alpha that the colours are multiplied with
	extraAlpha      = 2
)

// tiffDirectory is the first directory of a file.
type tiffDirectory struct {
	file   []byte
	order  binary.ByteOrder
	big    bool // BigTIFF: offsets and counts of 8 bytes
	fields map[int]tiffField
}

// tiffField is an entry: count values of kind, whose bytes begin at offset.
type tiffField struct {
	kind   uint16
	count  uint64
	offset int64
}

// kindBytes are the sizes of the kinds of values, by their numbers.
var kindBytes = map[uint16]int64{1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}

var errTIFFEnd = fmt.Errorf("the directory: %w", io.ErrUnexpectedEOF)

// at returns the file's n bytes at an offset, which nobody may write to.
func (d *tiffDirectory) at(offset, n int64) ([]byte, error) {
	if size := int64(len(d.file)); offset < 0 || n < 0 || offset > size-n {
		return nil, errTIFFEnd
	}
	return d.file[offset : offset+n : offset+n], nil
}

// readDirectory reads the first directory of a file.
func readDirectory(file []byte) (*tiffDirectory, error) {
	d := &tiffDirectory{file: file, fields: map[int]tiffField{}}
	header, err := d.at(0, 8)
	if err != nil {
		return nil, err
	}
	switch string(header[:2]) {
	case "II":
		d.order = binary.LittleEndian
	case "MM":
		d.order = binary.BigEndian
	default:
		return nil, fmt.Errorf("found byte order %q, want II or MM", header[:2])
	}
	start, entryBytes, countBytes := int64(d.order.Uint32(header[4:])), int64(12), int64(2)
	if d.big = d.order.Uint16(header[2:]) == 43; d.big {
		rest, err := d.at(8, 8)
		if err != nil {
			return nil, err
		}
		start, entryBytes, countBytes = int64(d.order.Uint64(rest)), 20, 8
	}
	head, err := d.at(start, countBytes)
	if err != nil {
		return nil, err
	}
	count := uint64(d.order.Uint16(head))
	if d.big {
		count = d.order.Uint64(head)
	}
	if count > maxDirectoryEntries {
		return nil, fmt.Errorf("found a directory of %d entries, want at most %d", count, maxDirectoryEntries)
	}
	table, err := d.at(start+countBytes, int64(count)*entryBytes)
	if err != nil {
		return nil, err
	}
	for i := range int64(count) {
		d.entry(table[i*entryBytes:(i+1)*entryBytes], start+countBytes+i*entryBytes)
	}
	return d, nil
}

// entry takes up an entry of the directory that lies at place. Kinds that nobody knows are passed over, and of two entries
// with one tag the first counts.
func (d *tiffDirectory) entry(e []byte, place int64) {
	tag, f := int(d.order.Uint16(e)), tiffField{kind: d.order.Uint16(e[2:])}
	var inline, offset int64
	if d.big {
		f.count, inline, offset = d.order.Uint64(e[4:]), 8, int64(d.order.Uint64(e[12:]))
		f.offset = place + 12
	} else {
		f.count, inline, offset = uint64(d.order.Uint32(e[4:])), 4, int64(d.order.Uint32(e[8:]))
		f.offset = place + 8
	}
	each, known := kindBytes[f.kind]
	if !known || f.count > uint64(len(d.file)) {
		return
	}
	if int64(f.count)*each > inline {
		f.offset = offset
	}
	if _, twice := d.fields[tag]; !twice {
		d.fields[tag] = f
	}
}

// bytes returns the raw bytes of a field, nil where there is none.
func (d *tiffDirectory) bytes(tag int) ([]byte, error) {
	f, ok := d.fields[tag]
	if !ok {
		return nil, nil
	}
	return d.at(f.offset, int64(f.count)*kindBytes[f.kind])
}

// ints returns the whole numbers of a field, at most so many of them; none where there is no such field.
func (d *tiffDirectory) ints(tag, most int) (list []int, err error) {
	f, ok := d.fields[tag]
	if !ok {
		return nil, nil
	}
	each := kindBytes[f.kind]
	n := int(min(f.count, uint64(most)))
	data, err := d.at(f.offset, int64(n)*each)
	if err != nil {
		return nil, err
	}
	for i := range n {
		v := data[int64(i)*each:]
		switch f.kind {
		case 1, 6, 7:
			list = append(list, int(v[0]))
		case 3, 8:
			list = append(list, int(d.order.Uint16(v)))
		case 4, 9, 13:
			list = append(list, int(d.order.Uint32(v)))
		case 16, 17, 18:
			list = append(list, int(min(d.order.Uint64(v), 1<<62)))
		default:
			return nil, fmt.Errorf("tag %d: found values of kind %d, want whole numbers", tag, f.kind)
		}
	}
	return list, nil
}

// tiffLayout is what a directory says of the pixels.
type tiffLayout struct {
	*tiffDirectory
	width, height          int
	samples                int // of a pixel, extra ones included
	bits                   int // of a sample
	photometric            int
	compression, predictor int
	lsbFirst               bool // bytes have their first pixel in the lowest bit
	planes                 int  // 1, or samples where each has blocks of its own
	extra                  int  // meaning of the first extra sample, 0 unknown
	blockWidth             int
	blockHeight            int
	tiled                  bool
	offsets, counts        []int
	inflater               io.ReadCloser // of Deflate, used for one block after the other
	colors                 []color.NRGBA
}

// colourSamples are the samples of a pixel without the extra ones.
func (l *tiffLayout) colourSamples() int {
	switch l.photometric {
	case rgbSamples, ycbcr:
		return 3
	case cmykSamples:
		return 4
	}
	return 1
}

// one reads a field of one number.
func (d *tiffDirectory) one(tag, otherwise int) (int, error) {
	list, err := d.ints(tag, 1)
	if err != nil || len(list) == 0 {
		return otherwise, err
	}
	return list[0], nil
}

// layout reads what decides whether and how the pixels can be read.
func (d *tiffDirectory) layout() (*tiffLayout, error) {
	l := &tiffLayout{tiffDirectory: d}
	var planar, fill, inks int
	for _, field := range []struct {
		to             *int
		tag, otherwise int
	}{
		{&l.width, tagWidth, 0}, {&l.height, tagHeight, 0}, {&l.samples, tagSamplesPerPixel, 0}, {&l.photometric, tagPhotometric, -1},
		{&l.compression, tagCompression, compressionNone}, {&l.predictor, tagPredictor, predictorNone}, {&fill, tagFillOrder, 1},
		{&planar, tagPlanar, 1}, {&inks, tagInkSet, 1}, {&l.extra, tagExtraSamples, 0},
	} {
		var err error
		if *field.to, err = d.one(field.tag, field.otherwise); err != nil {
			return nil, err
		}
	}
	bits, err := d.ints(tagBitsPerSample, 64)
	if err != nil {
		return nil, err
	}
	if len(bits) == 0 {
		bits = []int{1}
	}
	if l.samples == 0 {
		l.samples = len(bits)
	}
	l.bits, l.lsbFirst, l.planes = bits[0], fill == 2, 1
	if planar == 2 {
		l.planes = l.samples
	}
	formats, err := d.ints(tagSampleFormat, 64)
	if err != nil {
		return nil, err
	}
	const unsigned = 1
	allAre := func(list []int, want int) bool {
		return !slices.ContainsFunc(list, func(v int) bool { return v != want })
	}
	switch {
	case l.photometric == -1:
		return nil, errors.New("found no photometric interpretation, want one")
	case !allAre(formats, unsigned):
		return nil, errors.New("found samples that are floating-point or signed numbers, want unsigned ones of up to 16 bits")
	case !allAre(bits, l.bits):
		return nil, fmt.Errorf("found samples of %v bits, want them alike", bits)
	case l.photometric > ycbcr || otherSamples[l.photometric] != "":
		name := otherSamples[l.photometric]
		if name == "" {
			name = fmt.Sprintf("photometric interpretation %d", l.photometric)
		}
		return nil, fmt.Errorf("found %s, want gray, RGB, palette or CMYK", name)
	case !slices.Contains(l.bitsRead(), l.bits):
		return nil, fmt.Errorf("found samples of %d bits, want %v", l.bits, l.bitsRead())
	case l.samples < l.colourSamples() || l.samples > 16:
		return nil, fmt.Errorf("found %d samples a pixel, want at least %d", l.samples, l.colourSamples())
	case l.photometric == cmykSamples && inks != 1:
		return nil, errors.New("found inks other than CMYK")
	}
	if err := l.checkCompression(); err != nil {
		return nil, err
	}
	if l.samples == l.colourSamples() {
		l.extra = 0
	}
	return l, l.readPalette()
}

// bitsRead are the sizes of samples that are read.
func (l *tiffLayout) bitsRead() []int {
	switch l.photometric {
	case whiteIsZero, blackIsZero:
		return []int{1, 2, 4, 8, 16}
	case palette:
		return []int{1, 2, 4, 8}
	}
	return []int{8, 16}
}

// readPalette takes the top bytes of the colours, which have 16 bits: all reds come first.
func (l *tiffLayout) readPalette() error {
	if l.photometric != palette {
		return nil
	}
	n := 1 << l.bits
	list, err := l.ints(tagColorMap, 3*n)
	if err != nil {
		return err
	}
	if len(list) < 3*n {
		return fmt.Errorf("found a palette of %d numbers, want %d", len(list), 3*n)
	}
	shift := 0 // some writers store bytes
	if slices.Max(list) > 255 {
		shift = 8
	}
	for i := range n {
		l.colors = append(l.colors, color.NRGBA{uint8(list[i] >> shift), uint8(list[i+n] >> shift), uint8(list[i+2*n] >> shift), 255})
	}
	return nil
}

// tiffConfig returns the size of the first page. The colour model is not used.
func tiffConfig(file []byte) (image.Config, error) {
	d, err := readDirectory(file)
	if err != nil {
		return image.Config{}, err
	}
	l, err := d.layout()
	if err != nil {
		return image.Config{}, err
	}
	return image.Config{ColorModel: color.NRGBAModel, Width: l.width, Height: l.height}, nil
}

// tiffExif returns an Exif block with the orientation of the first page, as formats other than TIFF carry it.
func tiffExif(file []byte) []byte {
	d, err := readDirectory(file)
	if err != nil {
		return nil
	}
	turned, err := d.one(tagOrientation, int(upright))
	if err != nil || turned < 1 || turned > 8 {
		return nil
	}
	block := []byte("II*\x00\x08\x00\x00\x00\x01\x00") // a directory of one entry at byte 8
	for _, v := range []uint16{tagOrientation, 3, 1, 0, uint16(turned), 0} {
		block = binary.LittleEndian.AppendUint16(block, v)
	}
	return block
}
