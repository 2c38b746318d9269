package picture

import (
	"bytes"
	"compress/zlib"
	"context"
	"encoding/binary"
	"image"
	"maps"
	"math"
	"slices"
)

// What an Original adds to a file of each format: its declarations of colours and its Exif block.

// pngDeclarations returns the chunks of a PNG file that declare the colours, and the Exif block, of an Original:
// without the settings of the picture that it was made from, as its own have chunks of their own.
func (o *Original) pngDeclarations() (chunks []byte) {
	profile := o.carried.icc
	if o.Format != "PNG" {
		profile = o.profileToWrite() // also beside code points, which few programs read
	}
	for _, c := range o.carried.chunks {
		if c.kind == "cICP" { // it comes before the others, because it decides
			chunks = appendChunk(chunks, c.kind, c.data)
		}
	}
	if profile != nil {
		chunks = appendChunk(chunks, "iCCP", deflatedProfile(profile))
	}
	for _, c := range o.carried.chunks {
		if c.kind != "cICP" && (c.kind != "sRGB" || profile == nil) { // PNG forbids sRGB beside a profile
			chunks = appendChunk(chunks, c.kind, c.data)
		}
	}
	if exif := o.carried.exif; exif != nil {
		chunks = appendChunk(chunks, "eXIf", photoExif(exif))
	}
	return chunks
}

// deflatedProfile returns the content of the chunk iCCP.
func deflatedProfile(profile []byte) []byte {
	var content bytes.Buffer
	content.WriteString("ICC profile\x00\x00")
	w := zlib.NewWriter(&content)
	w.Write(profile) // writing to a bytes.Buffer never fails
	w.Close()
	return content.Bytes()
}

// iccSegments returns the APP2 segments of a JPEG file that hold a profile, or nil if there is none or it is too long.
func iccSegments(profile []byte) (segments []byte) {
	const name, most = "ICC_PROFILE\x00", 0xffff - 2 - len("ICC_PROFILE\x00") - 2
	parts := slices.Collect(slices.Chunk(profile, most))
	if len(parts) > 255 {
		return nil
	}
	for i, part := range parts {
		segments = append(segments, 0xff, app2)
		segments = binary.BigEndian.AppendUint16(segments, uint16(2+len(name)+2+len(part)))
		segments = append(segments, name...)
		segments = append(segments, byte(i+1), byte(len(parts)))
		segments = append(segments, part...)
	}
	return segments
}

// forJPEG returns a picture that package image/jpeg encodes without conversion: 8 bits, on white if it is transparent.
// The colours are those of the file.
func (o *Original) forJPEG() (image.Image, error) {
	switch img := o.Pixels.(type) {
	case *image.Gray:
		return img, nil
	case *image.NRGBA:
		if o.opaque && !o.gray {
			return &image.RGBA{Pix: img.Pix, Stride: img.Stride, Rect: img.Rect}, nil
		}
	}
	rgba, err := o.scaledRows(context.Background(), o.Bounds(), o.Size, nil)
	if err != nil || !o.gray {
		return rgba, err
	}
	gray := image.NewGray(rgba.Rect)
	for i := range gray.Pix {
		gray.Pix[i] = rgba.Pix[4*i]
	}
	return gray, nil
}

// forWebP returns the picture with 8 bits a sample, in the colours of the file.
func (o *Original) forWebP() image.Image {
	if img, ok := o.Pixels.(*image.NRGBA); ok {
		return img
	}
	dst := image.NewNRGBA(o.Bounds())
	samples := make([]uint16, 4*o.Size.Width)
	for y := range o.Size.Height {
		o.Row(samples, 0, y, o.Size.Width)
		for i := range samples {
			samples[i] = samples[i] >> 8 * 257 // the upper byte, as a Reference has it
		}
		putSamples(dst, 0, y, samples)
	}
	return dst
}

// Screen returns the whole picture in sRGB on white, as a screen shows it. The error is the context's.
func (o *Original) Screen(ctx context.Context) (*image.RGBA, error) {
	return o.SRGB(ctx, o.Bounds(), o.Size)
}

// exifFor returns the Exif block with m for a picture: the photo's own block with m added to it, if it fits into limit
// bytes, or else m alone. If m is nil, it returns the photo's own block without settings, or nil if there is none or if
// it does not fit.
func exifFor(m *Metadata, img image.Image, limit int) ([]byte, error) {
	o, ok := img.(*Original)
	if m == nil {
		if !ok || o.carried.exif == nil || len(o.carried.exif) > limit {
			return nil, nil
		}
		return photoExif(o.carried.exif), nil
	}
	if !ok || o.carried.exif == nil {
		return m.exif(limit)
	}
	own, err := m.json()
	if err != nil {
		return nil, err
	}
	description := append(asciiJSON(own), 0)
	for _, comment := range [][]byte{m.comment(), nil} {
		if block := mergeExif(o.carried.exif, description, []byte(m.software()+"\x00"), comment); len(block) <= limit {
			return block, nil
		}
	}
	return m.exif(limit)
}

// withoutSettings returns an Exif block without the texts that say how a picture was made: that of Kleinbild or another
// program in which image 1 of an edit was made. The block keeps its length.
func withoutSettings(block []byte) []byte {
	block = slices.Clone(block)
	e, ok := newExif(block)
	if !ok {
		return block
	}
	below := e.integer(e.entry(e.first(), tagExifDirectory))
	for _, tag := range []uint16{tagDocumentName, tagImageDescription, tagMake, tagModel, tagSoftware, tagUserComment} {
		entry := e.entry(e.first(), tag)
		if tag == tagUserComment {
			entry = e.entry(below, tag)
		}
		// A text that is read as settings, or that names the program, is overwritten.
		var found textList
		value := e.bytes(entry)
		alone := exifEntry{tag, typeASCII, value}
		if tag == tagUserComment {
			found.addExif(layExif(nil, []exifEntry{{tag, typeUndefined, value}}))
			found.texts = slices.DeleteFunc(found.texts, func(t text) bool { return !isParameters(t.value) })
		} else {
			found.addExif(layExif([]exifEntry{alone}, nil))
		}
		if len(found.texts) > 0 || tag == tagSoftware && bytes.HasPrefix(value, []byte(programName)) {
			clear(value)
		}
	}
	return block
}

// isParameters says whether a comment is a text about how a picture was made, and not one of a photographer's.
func isParameters(comment string) bool {
	_, err := readParameters(comment)
	return err == nil
}

// mergeExif adds Kleinbild's fields to an Exif block. The directories are written again behind the block, and the
// values stay where they are, because makers' notes refer to the block by offsets. If the photo has a description of
// its own, Kleinbild's goes to DocumentName, and a comment of the photo stays. Settings of an earlier picture, from
// which the photo was made, are overwritten: they are not the photo's own words.
func mergeExif(photo, description, software, comment []byte) []byte {
	e, _ := newExif(withoutSettings(photo))
	root, below, _ := e.dropSettings()
	place := uint16(tagImageDescription)
	if text := bytes.Trim(e.bytes(root[tagImageDescription]), "\x00 "); len(text) > 0 {
		place = tagDocumentName
	}
	e.put(root, exifEntry{place, typeASCII, description})
	e.put(root, exifEntry{tagSoftware, typeASCII, software})
	if found := below[tagUserComment]; comment != nil && (found == nil || userComment(e.bytes(found)) == "") {
		e.put(below, exifEntry{tagUserComment, typeUndefined, comment})
	}
	e.layBoth(root, below)
	return e.block
}

// photoExif is withoutSettings, and removes what Kleinbild has appended to the block.
func photoExif(block []byte) []byte {
	block = withoutSettings(block)
	e, ok := newExif(block)
	if !ok {
		return block
	}
	root, below, cut := e.dropSettings()
	if !cut {
		return block
	}
	e.layBoth(root, below)
	return e.block
}

// dropSettings returns the entries of the first directory, and of the one below it. If values that withoutSettings has
// cleared lie behind all that belongs to the photo, where mergeExif appends them, it drops them and cuts the block
// there, with the directories that mergeExif has written: else the block would grow with each picture that is made from
// the one before.
func (e *exifReader) dropSettings() (root, below map[uint16][]byte, cut bool) {
	root = e.entries(e.first())
	below = e.entries(e.integer(root[tagExifDirectory]))
	at := e.laidAt()
	allRoot, allBelow := maps.Clone(root), maps.Clone(below)
	for _, list := range []map[uint16][]byte{root, below} {
		for _, tag := range []uint16{tagDocumentName, tagImageDescription, tagSoftware, tagUserComment} {
			value := e.bytes(list[tag])
			if len(value) > 4 && len(bytes.Trim(value, "\x00")) == 0 {
				at = min(at, int(e.order.Uint32(list[tag][8:])))
				delete(list, tag)
			}
		}
	}
	if at == len(e.block) {
		return allRoot, allBelow, false
	}
	gps := e.integer(root[tagGPSDirectory])
	inner := e.integer(below[tagInteroperabilityDirectory])
	for _, list := range []map[uint16][]byte{root, below, e.entries(gps), e.entries(inner)} {
		for _, entry := range list {
			if e.end(entry) > uint64(at) {
				return allRoot, allBelow, false // it belongs to the photo
			}
		}
	}
	if int(max(gps, inner)) >= at {
		return allRoot, allBelow, false
	}
	e.block = e.block[:at]
	return root, below, true
}

// laidAt returns where layBoth has laid the directories at the end of the block, or the block's length if it has not.
func (e *exifReader) laidAt() int {
	end := func(directory uint32) int {
		if directory == 0 || uint64(directory)+2 > uint64(len(e.block)) {
			return 0
		}
		return int(directory) + 2 + 12*int(e.order.Uint16(e.block[directory:])) + 4
	}
	first := e.first()
	if end(first) != len(e.block) {
		return len(e.block)
	}
	if below := e.integer(e.entry(first, tagExifDirectory)); below < first && end(below)/2 == int(first)/2 {
		return int(below)
	}
	return int(first)
}

// end returns where the value of an entry ends in the block, 0 if it lies in the entry itself. A value of a kind that
// is not known may lie anywhere.
func (e *exifReader) end(entry []byte) uint64 {
	sizes := [...]uint64{0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4} // of TIFF's kinds, in bytes
	kind := e.order.Uint16(entry[2:])
	if kind == 0 || int(kind) >= len(sizes) {
		return math.MaxUint64
	}
	if length := sizes[kind] * uint64(e.order.Uint32(entry[4:])); length > 4 {
		return uint64(e.order.Uint32(entry[8:])) + length
	}
	return 0
}

// layBoth appends both directories to the block, whose first directory they are then.
func (e *exifReader) layBoth(root, below map[uint16][]byte) {
	if len(below) > 0 {
		at := make([]byte, 4)
		e.order.PutUint32(at, e.lay(below))
		root[tagExifDirectory] = e.rawEntry(tagExifDirectory, typeLong, 1, at)
	}
	first := e.lay(root) // it may move the block
	e.order.PutUint32(e.block[4:], first)
}

// entries returns the 12 bytes of each entry of a directory, by tag.
func (e *exifReader) entries(directory uint32) map[uint16][]byte {
	list := map[uint16][]byte{}
	if directory == 0 || uint64(directory)+2 > uint64(len(e.block)) {
		return list
	}
	rest := e.block[directory+2:]
	for range e.order.Uint16(e.block[directory:]) {
		if len(rest) < 12 {
			break
		}
		if tag := e.order.Uint16(rest); list[tag] == nil {
			list[tag] = slices.Clone(rest[:12])
		}
		rest = rest[12:]
	}
	return list
}

func (e *exifReader) rawEntry(tag, kind uint16, count int, value []byte) []byte {
	entry := make([]byte, 12)
	e.order.PutUint16(entry, tag)
	e.order.PutUint16(entry[2:], kind)
	e.order.PutUint32(entry[4:], uint32(count))
	copy(entry[8:], value)
	return entry
}

// put sets an entry of text or bytes, and appends its value to the block.
func (e *exifReader) put(list map[uint16][]byte, entry exifEntry) {
	value := entry.data
	if len(value) > 4 {
		e.even()
		at := make([]byte, 4)
		e.order.PutUint32(at, uint32(len(e.block)))
		e.block = append(e.block, value...)
		value = at
	}
	list[entry.tag] = e.rawEntry(entry.tag, entry.kind, len(entry.data), value)
}

// lay appends a directory to the block and returns its offset.
func (e *exifReader) lay(list map[uint16][]byte) (at uint32) {
	e.even()
	at = uint32(len(e.block))
	count := make([]byte, 2)
	e.order.PutUint16(count, uint16(len(list)))
	e.block = append(e.block, count...)
	var tags []uint16
	for tag := range list {
		tags = append(tags, tag)
	}
	slices.Sort(tags)
	for _, tag := range tags {
		e.block = append(e.block, list[tag]...)
	}
	e.block = append(e.block, 0, 0, 0, 0) // no further directory
	return at
}

func (e *exifReader) even() {
	if len(e.block)%2 == 1 {
		e.block = append(e.block, 0)
	}
}
