package picture

import (
	"bytes"
	"slices"
)

// The Exif block of an Original goes into the file that is written of it. Offsets in the block stay as they are,
// because makers' notes refer to the whole block by them, so values are changed in place.

const (
	tagOrientationExif = 0x0112
	tagExifWidth       = 0xa002
	tagExifHeight      = 0xa003
	tagThumbnailAt     = 0x0201
	tagThumbnailBytes  = 0x0202
)

// carriedExif returns the Exif block of a file for a picture that has been turned upright and has the given size. It
// has no thumbnail, which would still show the picture before the edit. It returns nil if there is none or if it is
// larger than maxCarriedExif.
func carriedExif(f format, file []byte, size Size) []byte {
	var block []byte
	switch f.name {
	case "PNG":
		block = pngExif(file)
	case "JPEG":
		block = jpegExif(file)
	case "WebP":
		block = webpExif(file)
	case "TIFF":
		block = tiffPhotoExif(file)
	case "HEIC", "AVIF":
		block = heifExif(file)
	}
	block = bytes.TrimPrefix(block, []byte(exifPrefix))
	if len(block) > maxCarriedExif {
		return nil
	}
	e, ok := newExif(slices.Clone(block))
	if !ok {
		return nil
	}
	e.setInteger(e.entry(e.first(), tagOrientationExif), uint32(upright))
	e.setSize(size)
	return e.dropThumbnail()
}

// withExifSize returns an Exif block for a picture of another size, or nil for nil.
func withExifSize(block []byte, size Size) []byte {
	e, ok := newExif(slices.Clone(block))
	if !ok {
		return nil
	}
	e.setSize(size)
	return e.block
}

func (e exifReader) setSize(size Size) {
	directory := e.integer(e.entry(e.first(), tagExifDirectory))
	e.setInteger(e.entry(directory, tagExifWidth), uint32(size.Width))
	e.setInteger(e.entry(directory, tagExifHeight), uint32(size.Height))
}

// setInteger replaces the first value of an entry, if it is an integer that has room for value.
func (e exifReader) setInteger(entry []byte, value uint32) {
	const typeByte, typeShort = 1, 3
	if entry == nil {
		return
	}
	switch e.order.Uint16(entry[2:]) {
	case typeByte:
		if value <= 0xff {
			entry[8] = byte(value)
		}
	case typeShort:
		if value <= 0xffff {
			e.order.PutUint16(entry[8:], uint16(value))
		}
	case typeLong:
		e.order.PutUint32(entry[8:], value)
	}
}

// dropThumbnail returns the block with its second directory, that of the thumbnail, unlinked, and with the thumbnail
// itself removed or overwritten with zeros.
func (e exifReader) dropThumbnail() []byte {
	first := uint64(e.first())
	if first == 0 || first+2 > uint64(len(e.block)) {
		return e.block
	}
	link := first + 2 + 12*uint64(e.order.Uint16(e.block[first:]))
	if link+4 > uint64(len(e.block)) {
		return e.block
	}
	second := e.order.Uint32(e.block[link:])
	if second == 0 {
		return e.block
	}
	e.order.PutUint32(e.block[link:], 0)
	at := uint64(e.integer(e.entry(second, tagThumbnailAt)))
	end := at + uint64(e.integer(e.entry(second, tagThumbnailBytes)))
	switch {
	case at < link+4 || end > uint64(len(e.block)):
	case end == uint64(len(e.block)):
		return e.block[:at]
	default:
		clear(e.block[at:end])
	}
	return e.block
}

// tiffPhotoTags lists the tags of a TIFF file's first directory that belong to the photo and not to its pixels.
var tiffPhotoTags = []int{
	tagImageDescription, tagMake, tagModel, tagOrientation, 282, 283, 296, // the resolution
	tagSoftware, 306, 315, 33432, // date, artist, copyright
}

// The pointers to further directories of Exif.
const (
	tagGPSDirectory              = 0x8825
	tagInteroperabilityDirectory = 0xa005
)

// tiffPhotoExif returns an Exif block with the tags of a TIFF file that belong to the photo. The file itself is one
// large Exif block, of which the rest are the pixels.
func tiffPhotoExif(file []byte) []byte {
	d, err := readDirectory(file)
	if err != nil {
		return nil
	}
	root := map[int]tiffField{}
	for _, tag := range tiffPhotoTags {
		if f, ok := d.fields[tag]; ok {
			root[tag] = f
		}
	}
	tree := exifTree{d: d, fields: root, children: map[int]exifTree{}}
	for _, tag := range []int{tagExifDirectory, tagGPSDirectory} {
		child, ok := d.directoryAt(tag)
		if !ok {
			continue
		}
		below := exifTree{d: child, fields: child.fields, children: map[int]exifTree{}}
		if inner, ok := child.directoryAt(tagInteroperabilityDirectory); ok && tag == tagExifDirectory {
			below.children[tagInteroperabilityDirectory] = exifTree{d: inner, fields: inner.fields}
		}
		tree.children[tag] = below
	}
	if len(tree.fields)+len(tree.children) == 0 {
		return nil
	}
	block := []byte("II*\x00\x08\x00\x00\x00")
	if d.order.Uint16([]byte{0, 1}) == 1 {
		block = []byte("MM\x00*\x00\x00\x00\x08")
	}
	return tree.lay(block)
}

// exifTree is a directory of an Exif block that is written, with the directories that it points to by their tags.
type exifTree struct {
	d        *tiffDirectory
	fields   map[int]tiffField
	children map[int]exifTree
}

// lay appends the directory, the values of its fields, and then its children to block.
func (t exifTree) lay(block []byte) []byte {
	var tags []int
	for tag, f := range t.fields {
		if _, child := t.children[tag]; !child && f.kind < 13 && f.count <= maxCarriedExif {
			tags = append(tags, tag)
		}
	}
	for tag := range t.children {
		tags = append(tags, tag)
	}
	slices.Sort(tags)
	order := t.d.order
	start := len(block)
	block = append(block, make([]byte, 2+12*len(tags)+4)...)
	order.PutUint16(block[start:], uint16(len(tags)))
	for i, tag := range tags {
		at := start + 2 + 12*i
		order.PutUint16(block[at:], uint16(tag))
		kind, count, data := uint16(typeLong), uint32(1), []byte(nil)
		if child, ok := t.children[tag]; ok {
			order.PutUint32(block[at+8:], uint32(len(block)))
			block = child.lay(block)
		} else {
			kind, count = t.fields[tag].kind, uint32(t.fields[tag].count)
			data, _ = t.d.bytes(tag)
			if data == nil {
				count = 0
			}
			if len(data) <= 4 {
				copy(block[at+8:at+12], data)
			} else {
				order.PutUint32(block[at+8:], uint32(len(block)))
				block = append(block, data...)
			}
		}
		order.PutUint16(block[at+2:], kind)
		order.PutUint32(block[at+4:], count)
		if len(block)%2 == 1 {
			block = append(block, 0)
		}
		if len(block) > maxCarriedExif {
			return block // carriedExif refuses it
		}
	}
	return block
}

// heifExif returns the Exif block of a HEIF file: the item of type Exif, whose data begin with the offset of the block.
func heifExif(file []byte) []byte {
	meta := isoBox(file, "meta")
	if len(meta) < 4 {
		return nil
	}
	meta = meta[4:]
	item, found := exifItem(isoBox(meta, "iinf"))
	if !found {
		return nil
	}
	data := itemData(file, isoBox(meta, "iloc"), item)
	if len(data) < 4 {
		return nil
	}
	f := fields{data: data}
	offset := f.number(4)
	return data[min(4+offset, uint64(len(data))):]
}

// exifItem returns the number of the first item of type Exif in the box iinf.
func exifItem(iinf []byte) (item uint64, found bool) {
	f := fields{data: iinf}
	f.versioned(f.number(4) >> 24) // the number of items
	for kind, content := range isoBoxes(f.data) {
		entry := fields{data: content}
		version := entry.number(4) >> 24
		if kind != "infe" || version < 2 {
			continue
		}
		item = entry.versioned(version - 2)
		entry.number(2)
		if entry.number(4) == 0x45786966 { // "Exif"
			return item, true
		}
	}
	return 0, false
}

// itemData returns the data of an item that lies in the file, by the box iloc, up to maxCarriedExif bytes.
func itemData(file, iloc []byte, item uint64) (data []byte) {
	f := fields{data: iloc}
	version := f.number(4) >> 24
	sizes := f.number(2)
	offsetBytes, lengthBytes, baseBytes, indexBytes := int(sizes>>12), int(sizes>>8&15), int(sizes>>4&15), int(sizes&15)
	for range min(f.versioned(version/2), maxHEIFItems) {
		this := f.versioned(version / 2)
		inFile := true
		if version > 0 {
			inFile = f.number(2)&15 == 0
		} else {
			indexBytes = 0
		}
		f.number(2)
		base := f.number(baseBytes)
		for range f.number(2) {
			f.number(indexBytes)
			offset, length := f.number(offsetBytes), f.number(lengthBytes)
			if f.end {
				return data
			}
			if from := base + offset; this == item && inFile &&
				from <= uint64(len(file)) && length <= uint64(len(file))-from && uint64(len(data))+length <= maxCarriedExif {
				data = append(data, file[from:from+length]...)
			}
			if offsetBytes+lengthBytes == 0 {
				break
			}
		}
		if this == item || f.end {
			return data
		}
	}
	return data
}
