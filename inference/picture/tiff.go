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

// The TIFF reader follows TIFF 6.0 and its supplements. It reads the first page of a classic TIFF or BigTIFF file, in
// strips or tiles. golang.org/x/image/tiff reads fewer kinds and misreads others: fax pages in which zero is black come
// out negative, separate planes and reversed bits as noise. So only the decoders of compressed blocks are from other
// packages.

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

// The photometric interpretations that are read, as TIFF numbers them.
const (
	whiteIsZero = 0
	blackIsZero = 1
	rgbSamples  = 2
	palette     = 3
	cmykSamples = 5
	ycbcr       = 6
)

// otherSamples names the photometric interpretations that are not read.
var otherSamples = map[int]string{4: "a transparency mask", 8: "CIE L*a*b*", 9: "ICC L*a*b*", 10: "ITU L*a*b*",
	32803: "a camera's raw samples", 32844: "LogL", 32845: "LogLuv", 34892: "a camera's linear raw samples"}

const (
	extraAssociated = 1 // in ExtraSamples: alpha, by which the colours are premultiplied
	extraAlpha      = 2 // in ExtraSamples: alpha, by which they are not
)

// tiffDirectory is the first directory of a file, with its fields by their tags.
type tiffDirectory struct {
	file   []byte
	order  binary.ByteOrder
	big    bool // BigTIFF: offsets and counts of 8 bytes
	fields map[int]tiffField
}

// tiffField is an entry of a directory: count values of type kind, which begin at offset in the file.
type tiffField struct {
	kind   uint16
	count  uint64
	offset int64
}

// kindBytes gives the size of a value in bytes, by the number of its type.
var kindBytes = map[uint16]int64{
	1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8,
}

var errTIFFEnd = fmt.Errorf("the directory: %w", io.ErrUnexpectedEOF)

// at returns n bytes of the file from offset on. Callers must not change them.
func (d *tiffDirectory) at(offset, n int64) ([]byte, error) {
	if size := int64(len(d.file)); offset < 0 || n < 0 || offset > size-n {
		return nil, errTIFFEnd
	}
	return d.file[offset : offset+n : offset+n], nil
}

// readDirectory parses the first directory of a file.
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
	return d, d.read(start, entryBytes, countBytes)
}

// read parses the directory at start, whose count and entries have so many bytes.
func (d *tiffDirectory) read(start, entryBytes, countBytes int64) error {
	head, err := d.at(start, countBytes)
	if err != nil {
		return err
	}
	count := uint64(d.order.Uint16(head))
	if d.big {
		count = d.order.Uint64(head)
	}
	if count > maxDirectoryEntries {
		return fmt.Errorf("found a directory of %d entries, want at most %d", count, maxDirectoryEntries)
	}
	table, err := d.at(start+countBytes, int64(count)*entryBytes)
	if err != nil {
		return err
	}
	for i := range int64(count) {
		d.entry(table[i*entryBytes:(i+1)*entryBytes], start+countBytes+i*entryBytes)
	}
	return nil
}

// directoryAt returns the directory to which a field points. It returns false if there is none that can be read.
func (d *tiffDirectory) directoryAt(tag int) (*tiffDirectory, bool) {
	start, err := d.one(tag, 0)
	if err != nil || start <= 0 {
		return nil, false
	}
	other := &tiffDirectory{file: d.file, order: d.order, big: d.big, fields: map[int]tiffField{}}
	entryBytes, countBytes := int64(12), int64(2)
	if d.big {
		entryBytes, countBytes = 20, 8
	}
	return other, other.read(int64(start), entryBytes, countBytes) == nil
}

// entry parses the entry e, which lies at place in the file, and stores it in d.fields. It ignores entries of unknown
// types, and all but the first of several entries with the same tag.
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

// bytes returns the raw bytes of a field, or nil if there is no such field.
func (d *tiffDirectory) bytes(tag int) ([]byte, error) {
	f, ok := d.fields[tag]
	if !ok {
		return nil, nil
	}
	return d.at(f.offset, int64(f.count)*kindBytes[f.kind])
}

// ints returns the first integers of a field, at most as many as most says. It returns none if there is no such field,
// and an error if the values are not integers.
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

// tiffLayout holds what a directory declares about the pixels.
type tiffLayout struct {
	*tiffDirectory
	width, height          int
	samples                int // of a pixel, including extra samples
	bits                   int // of a sample
	photometric            int
	compression, predictor int
	lsbFirst               bool // the first pixel of a byte is in its lowest bit
	planes                 int  // 1, or samples if each sample has blocks of its own
	extra                  int  // the type of the first extra sample; 0 if it is unknown or there is none
	blockWidth             int  // of a strip or tile, in pixels
	blockHeight            int
	tiled                  bool
	offsets, counts        []int         // of each block: where its data lie in the file, and their size in bytes
	inflater               io.ReadCloser // the Deflate reader, which is reused for all blocks
	colors                 []color.NRGBA // the palette
	// lower takes the lower bytes of 16-bit samples, in the place that the upper byte has in the picture; nil if they are
	// not kept.
	lower []byte
}

// colourSamples returns the number of samples of a pixel without the extra ones.
func (l *tiffLayout) colourSamples() int {
	switch l.photometric {
	case rgbSamples, ycbcr:
		return 3
	case cmykSamples:
		return 4
	}
	return 1
}

// one returns the first integer of a field, or otherwise if there is no such field.
func (d *tiffDirectory) one(tag, otherwise int) (int, error) {
	list, err := d.ints(tag, 1)
	if err != nil || len(list) == 0 {
		return otherwise, err
	}
	return list[0], nil
}

// layout reads the fields that describe the pixels. It returns an error for a kind of picture that is not read.
func (d *tiffDirectory) layout() (*tiffLayout, error) {
	l := &tiffLayout{tiffDirectory: d}
	var planar, fill, inks int
	for _, field := range []struct {
		to             *int
		tag, otherwise int
	}{
		{&l.width, tagWidth, 0}, {&l.height, tagHeight, 0}, {&l.samples, tagSamplesPerPixel, 0},
		{&l.photometric, tagPhotometric, -1}, {&l.compression, tagCompression, compressionNone},
		{&l.predictor, tagPredictor, predictorNone}, {&fill, tagFillOrder, 1},
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

// bitsRead returns the sizes of samples, in bits, that are read for this photometric interpretation.
func (l *tiffLayout) bitsRead() []int {
	switch l.photometric {
	case whiteIsZero, blackIsZero:
		return []int{1, 2, 4, 8, 16}
	case palette:
		return []int{1, 2, 4, 8}
	}
	return []int{8, 16}
}

// readPalette stores the palette in l.colors. Its values have 16 bits, of which the upper byte is kept. All reds come
// first.
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
	shift := 0 // some writers store values of 8 bits
	if slices.Max(list) > 255 {
		shift = 8
	}
	for i := range n {
		red, green, blue := uint8(list[i]>>shift), uint8(list[i+n]>>shift), uint8(list[i+2*n]>>shift)
		l.colors = append(l.colors, color.NRGBA{red, green, blue, 255})
	}
	return nil
}

// tiffConfig returns the size of the first page. Nothing uses its colour model.
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

// tiffExif returns an Exif block with the orientation of the first page, so that it is read like that of other formats.
func tiffExif(file []byte) []byte {
	d, err := readDirectory(file)
	if err != nil {
		return nil
	}
	value, err := d.one(tagOrientation, int(upright))
	if err != nil || value < 1 || value > 8 {
		return nil
	}
	block := []byte("II*\x00\x08\x00\x00\x00\x01\x00") // a header, and a directory with one entry
	for _, v := range []uint16{tagOrientation, 3, 1, 0, uint16(value), 0} {
		block = binary.LittleEndian.AppendUint16(block, v)
	}
	return block
}
