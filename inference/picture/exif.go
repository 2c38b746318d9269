package picture

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf16"

	"golang.org/x/image/riff"
)

// JPEG and WebP files hold metadata in an Exif block: a TIFF header and directories. Kleinbild's JSON is in the field
// ImageDescription, in ASCII with JSON's escapes. The text for other programs is in UserComment, where they look for
// it. The four fields are written here, because a module that writes Exif (dsoprea/go-exif) is far larger than this
// code.

const (
	tagDocumentName     = 0x010d // Kleinbild's JSON if a photo has a description of its own
	tagImageDescription = 0x010e
	tagMake             = 0x010f // ComfyUI's nodes for WebP write "workflow:{…}" here
	tagModel            = 0x0110 // and "prompt:{…}" here
	tagSoftware         = 0x0131
	tagExifDirectory    = 0x8769
	tagUserComment      = 0x9286

	typeASCII     = 2
	typeLong      = 4
	typeUndefined = 7
)

// unicodeComment is the prefix of a UserComment in UTF-16.
const unicodeComment = "UNICODE\x00"

// maxExifBytes is the largest Exif block that a JPEG segment holds after its length and exifPrefix.
const maxExifBytes = 0xffff - 2 - len(exifPrefix)

const exifPrefix = "Exif\x00\x00"

// exif returns the Exif block for m, of at most limit bytes. If the block is longer, the text for other programs is
// left out. If it is still too long, exif returns an error.
func (m Metadata) exif(limit int) ([]byte, error) {
	own, err := m.json()
	if err != nil {
		return nil, err
	}
	entries := []exifEntry{
		{tagImageDescription, typeASCII, append(asciiJSON(own), 0)},
		{tagSoftware, typeASCII, []byte(m.software() + "\x00")},
	}
	if block := layExif(entries, []exifEntry{{tagUserComment, typeUndefined, m.comment()}}); len(block) <= limit {
		return block, nil
	}
	block := layExif(entries, nil)
	if len(block) > limit {
		return nil, fmt.Errorf("metadata of %d bytes, want at most %d in this format; .png takes more", len(block), limit)
	}
	return block, nil
}

// comment returns the text for other programs as a UserComment.
func (m Metadata) comment() []byte {
	comment := []byte(unicodeComment)
	for _, unit := range utf16.Encode([]rune(m.parameters())) {
		comment = binary.BigEndian.AppendUint16(comment, unit)
	}
	return comment
}

// asciiJSON replaces the characters of JSON that are not ASCII by escapes.
func asciiJSON(text []byte) []byte {
	var s []byte
	for _, r := range string(text) {
		if r < 0x80 {
			s = append(s, byte(r))
			continue
		}
		for _, unit := range utf16.Encode([]rune{r}) {
			s = fmt.Appendf(s, `\u%04x`, unit)
		}
	}
	return s
}

// exifEntry is a field of a directory. Data of up to four bytes is stored in the field itself, longer data elsewhere.
type exifEntry struct {
	tag, kind uint16
	data      []byte
}

// layExif writes a TIFF header and two directories, the first of which refers to the second if that has entries.
// Entries must be sorted by tag.
func layExif(first, second []exifEntry) []byte {
	const header = 8
	directoryBytes := func(entries []exifEntry) int { return 2 + 12*len(entries) + 4 }
	block := []byte("MM\x00*\x00\x00\x00\x08")
	if len(second) > 0 {
		first = append(slices.Clone(first), exifEntry{tagExifDirectory, typeLong, nil})
		size := header + directoryBytes(first)
		for _, e := range first {
			if len(e.data) > 4 {
				size += len(e.data)
			}
		}
		first[len(first)-1].data = binary.BigEndian.AppendUint32(nil, uint32(size))
	}
	for _, entries := range [][]exifEntry{first, second} {
		if len(entries) == 0 {
			continue
		}
		at := len(block) + directoryBytes(entries)
		var values []byte
		block = binary.BigEndian.AppendUint16(block, uint16(len(entries)))
		for _, e := range entries {
			count := len(e.data)
			if e.kind == typeLong {
				count /= 4
			}
			block = binary.BigEndian.AppendUint16(block, e.tag)
			block = binary.BigEndian.AppendUint16(block, e.kind)
			block = binary.BigEndian.AppendUint32(block, uint32(count))
			if len(e.data) <= 4 {
				block = append(append(block, e.data...), make([]byte, 4-len(e.data))...)
				continue
			}
			block = binary.BigEndian.AppendUint32(block, uint32(at+len(values)))
			values = append(values, e.data...)
		}
		block = append(binary.BigEndian.AppendUint32(block, 0), values...)
	}
	return block
}

// exifFields returns the texts of the first directory, and UserComment of the Exif directory, by their tags. Damaged
// fields are empty.
func exifFields(block []byte) map[uint16][]byte {
	fields := map[uint16][]byte{}
	e, ok := newExif(block)
	if !ok {
		return fields
	}
	for _, tag := range []uint16{tagDocumentName, tagImageDescription, tagMake, tagModel, tagSoftware} {
		fields[tag] = e.bytes(e.entry(e.first(), tag))
	}
	fields[tagUserComment] = e.bytes(e.entry(e.integer(e.entry(e.first(), tagExifDirectory)), tagUserComment))
	return fields
}

// addExif adds the texts of an Exif block under the keywords that they have in PNG files.
func (l *textList) addExif(block []byte) {
	fields := exifFields(block)
	for _, tag := range []uint16{tagImageDescription, tagDocumentName} {
		description := strings.TrimRight(string(fields[tag]), "\x00")
		var own struct {
			Format *int `json:"format"`
		}
		if strings.HasPrefix(description, "{") && looseJSON(description, &own) && own.Format != nil {
			l.add(keyword, description)
			break
		}
	}
	for _, tag := range []uint16{tagMake, tagModel, tagImageDescription} {
		name, value, found := strings.Cut(strings.TrimRight(string(fields[tag]), "\x00"), ":")
		if name = strings.ToLower(name); found && (name == keywordPrompt || name == keywordWorkflow) {
			l.add(name, strings.TrimSpace(value))
		}
	}
	if comment := userComment(fields[tagUserComment]); comment != "" {
		l.add(keywordParameters, comment)
	}
}

// userComment decodes a UserComment, whose first eight bytes name the encoding. Programs write UTF-16 in either byte
// order, whatever that of the block is, so the order is guessed.
func userComment(data []byte) string {
	if len(data) < len(unicodeComment) {
		return ""
	}
	kind, data := string(data[:len(unicodeComment)]), data[len(unicodeComment):]
	if kind != unicodeComment {
		return strings.TrimRight(latin1(data), "\x00 ")
	}
	var zeros [2]int // at even and at odd indices: the upper byte of most letters is zero
	for i, b := range data {
		if b == 0 {
			zeros[i%2]++
		}
	}
	var order binary.ByteOrder = binary.BigEndian
	if zeros[1] > zeros[0] {
		order = binary.LittleEndian
	}
	var units []uint16
	for ; len(data) >= 2; data = data[2:] {
		units = append(units, order.Uint16(data))
	}
	return strings.TrimPrefix(strings.TrimRight(string(utf16.Decode(units)), "\x00"), "\uFEFF")
}

// jpegTexts returns the texts in the segments before the first scan.
func jpegTexts(r io.Reader) ([]text, error) {
	var list textList
	var head [4]byte
	if _, err := io.ReadFull(r, head[:2]); err != nil { // start of image
		return nil, err
	}
	for {
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return list.texts, endsEarly("JPEG", err)
		}
		for head[0] == 0xff && head[1] == 0xff { // padding before a marker
			copy(head[:], head[1:])
			if _, err := io.ReadFull(r, head[3:]); err != nil {
				return list.texts, endsEarly("JPEG", err)
			}
		}
		length := int(binary.BigEndian.Uint16(head[2:]))
		switch {
		case head[0] != 0xff || length < 2:
			return list.texts, errors.New("JPEG: found no segment where one is due")
		case head[1] == startOfScan || head[1] == endOfImage:
			return list.texts, nil
		}
		segment := make([]byte, length-2)
		if _, err := io.ReadFull(r, segment); err != nil {
			return list.texts, endsEarly("JPEG", err)
		}
		if head[1] == app1 && bytes.HasPrefix(segment, []byte(exifPrefix)) {
			list.addExif(segment)
		}
	}
}

// webpTexts returns the texts in the first chunk EXIF that has any.
func webpTexts(r io.Reader) ([]text, error) {
	var list textList
	_, chunks, err := riff.NewReader(r)
	for err == nil {
		var id riff.FourCC
		var length uint32
		var data io.Reader
		if id, length, data, err = chunks.Next(); err != nil {
			break
		}
		if id == (riff.FourCC{'E', 'X', 'I', 'F'}) && len(list.texts) == 0 {
			if length > maxExifChunk {
				list.tooLong(keywordParameters)
				continue
			}
			var block []byte
			if block, err = io.ReadAll(data); err == nil {
				list.addExif(block)
			}
		}
	}
	if errors.Is(err, io.EOF) {
		return list.texts, nil
	}
	return list.texts, endsEarly("WebP", err)
}

// endsEarly wraps an error of reading; io.EOF is then io.ErrUnexpectedEOF.
func endsEarly(format string, err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%s: the file ends too early: %w", format, io.ErrUnexpectedEOF)
	}
	return fmt.Errorf("%s: %w", format, err)
}
