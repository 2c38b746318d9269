package picture

import (
	"bytes"
	"encoding/binary"
	"image"
	"image/color"
	"image/png"
	"os"
	"testing"
)

// exifBlock returns an Exif block with one tag.
func exifBlock(order binary.AppendByteOrder, magic string, tag, kind, value uint16) []byte {
	block := order.AppendUint32([]byte(magic), 8)
	block = order.AppendUint16(block, 1)
	block = order.AppendUint16(block, tag)
	block = order.AppendUint16(block, kind)
	block = order.AppendUint32(block, 1)
	block = order.AppendUint16(block, value)
	return append(block, 0, 0, 0, 0, 0, 0)
}

func TestExifOrientation(t *testing.T) {
	little := func(tag, kind, value uint16) []byte {
		return exifBlock(binary.LittleEndian, "II*\x00", tag, kind, value)
	}
	good := little(0x112, 3, 6)
	for _, row := range []struct {
		name  string
		block []byte
		want  orientation
	}{
		{"little-endian", good, 6},
		{"big-endian", exifBlock(binary.BigEndian, "MM\x00*", 0x112, 3, 8), 8},
		{"with JPEG's prefix", append([]byte("Exif\x00\x00"), good...), 6},
		{"value 0", little(0x112, 3, 0), 1},
		{"value 9", little(0x112, 3, 9), 1},
		{"a LONG, little-endian", little(0x112, 4, 6), 6},
		{"a LONG, big-endian", []byte("MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x04\x00\x00\x00\x01" +
			"\x00\x00\x00\x06\x00\x00\x00\x00"), 6},
		{"a BYTE", little(0x112, 1, 6), 6},
		{"a LONG that is too large", append(little(0x112, 4, 6)[:20], 1, 0, 0, 0, 0, 0), 1},
		{"text", little(0x112, 2, 6), 1},
		{"another tag", little(0x113, 3, 6), 1},
		{"nothing", nil, 1},
		{"no byte order", append([]byte("XX"), good[2:]...), 1},
		{"directory outside", append([]byte("II*\x00\xff\xff\xff\xff"), good[8:]...), 1},
		{"directory at the end", append([]byte("II*\x00\x15\x00\x00\x00"), good[8:21]...), 1},
		{"entry cut off", good[:18], 1},
		{"more entries than bytes", append([]byte("II*\x00\x08\x00\x00\x00\xff\xff"), little(0x100, 3, 6)[10:]...), 1},
	} {
		if got := exifOrientation(row.block); got != row.want {
			t.Errorf("%s: %d, want %d", row.name, got, row.want)
		}
	}
}

// stored gives, for each orientation, the rows that a file stores (Exif 2.3, tag 0x0112) of the upright picture
//
//	a b c
//	d e f
var stored = map[orientation][]string{
	1: {"abc", "def"},
	2: {"cba", "fed"},
	3: {"fed", "cba"},
	4: {"def", "abc"},
	5: {"ad", "be", "cf"},
	6: {"cf", "be", "ad"},
	7: {"fc", "eb", "da"},
	8: {"da", "eb", "fc"},
}

func TestOrientationApplies(t *testing.T) {
	for o, rows := range stored {
		img := image.NewRGBA(image.Rect(0, 0, len(rows[0]), len(rows)))
		for y, row := range rows {
			for x := range row {
				img.SetRGBA(x, y, color.RGBA{row[x], 1, 2, 255})
			}
		}
		got := o.apply(img)
		if got.Rect != image.Rect(0, 0, 3, 2) {
			t.Errorf("orientation %d: bounds %v, want 3x2", o, got.Rect)
			continue
		}
		if size := o.turn(Size{len(rows[0]), len(rows)}); size != (Size{3, 2}) {
			t.Errorf("orientation %d: upright size %v, want 3x2", o, size)
		}
		text := ""
		for i := 0; i < len(got.Pix); i += 4 {
			text += string(rune(got.Pix[i]))
		}
		if text != "abcdef" {
			t.Errorf("orientation %d: upright rows %q, want abcdef", o, text)
		}
	}
}

// cornered returns a black picture of 96 × 64 pixels with a white square in its upper left corner.
func cornered() *image.Gray {
	img := image.NewGray(image.Rect(0, 0, 96, 64))
	for y := range 16 {
		for x := range 16 {
			img.SetGray(x, y, color.Gray{255})
		}
	}
	return img
}

// insertChunk inserts a chunk into a PNG file, after IHDR or before IEND.
func insertChunk(file []byte, kind string, data []byte, atEnd bool) []byte {
	at := len(pngSignature) + 25
	if atEnd {
		at = len(file) - 12
	}
	return append(appendChunk(bytes.Clone(file[:at]), kind, data), file[at:]...)
}

// tiffFile returns an uncompressed gray TIFF file with an orientation.
func tiffFile(img *image.Gray, o orientation) []byte {
	order := binary.LittleEndian
	file := order.AppendUint32([]byte("II*\x00"), uint32(8+len(img.Pix)))
	file = append(file, img.Pix...)
	entries := [][2]uint32{
		{256, uint32(img.Rect.Dx())}, {257, uint32(img.Rect.Dy())}, {258, 8}, {259, 1}, {262, 1}, {273, 8},
		{274, uint32(o)}, {278, uint32(img.Rect.Dy())}, {279, uint32(len(img.Pix))},
	}
	file = order.AppendUint16(file, uint16(len(entries)))
	for _, entry := range entries {
		file = order.AppendUint16(file, uint16(entry[0]))
		if entry[0] == 274 {
			file = order.AppendUint16(file, 3)
		} else {
			file = order.AppendUint16(file, 4)
		}
		file = order.AppendUint32(file, 1)
		file = order.AppendUint32(file, entry[1])
	}
	return append(file, 0, 0, 0, 0)
}

// riffFile returns a WebP file of the given chunks: name, data, name, data, ….
func riffFile(chunks ...string) []byte {
	body := "WEBP"
	for i := 0; i < len(chunks); i += 2 {
		data := chunks[i+1]
		body += chunks[i] + string(binary.LittleEndian.AppendUint32(nil, uint32(len(data)))) + data
		if len(data)%2 == 1 {
			body += "\x00"
		}
	}
	return []byte("RIFF" + string(binary.LittleEndian.AppendUint32(nil, uint32(len(body)))) + body)
}

// vp8x returns the content of the header chunk of an extended WebP file.
func vp8x(flags byte, width, height int) string {
	w, h := width-1, height-1
	return string([]byte{flags, 0, 0, 0, byte(w), byte(w >> 8), byte(w >> 16), byte(h), byte(h >> 8), byte(h >> 16)})
}

// TestOrientationIsFound checks the formats that can declare an orientation, except JPEG, which is in the golden files.
func TestOrientationIsFound(t *testing.T) {
	var plain bytes.Buffer
	if err := png.Encode(&plain, cornered()); err != nil {
		t.Fatal(err)
	}
	block := exifBlock(binary.BigEndian, "MM\x00*", 0x112, 3, 6)
	for name, file := range map[string][]byte{
		"PNG":               insertChunk(plain.Bytes(), "eXIf", block, false),
		"PNG, after pixels": insertChunk(plain.Bytes(), "eXIf", block, true),
		"TIFF":              tiffFile(cornered(), 6),
	} {
		ref, err := Decode(t.Context(), file)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if ref.Size != (Size{64, 96}) || ref.Original != (Size{64, 96}) {
			t.Errorf("%s: size %v of %v, want 64x96 of 64x96", name, ref.Size, ref.Original)
			continue
		}
		// After the clockwise rotation the top left corner is at the top right.
		if left, right := ref.Image.RGBAAt(0, 0).R, ref.Image.RGBAAt(63, 0).R; left != 0 || right != 255 {
			t.Errorf("%s: top left %d, top right %d, want 0 and 255", name, left, right)
		}
	}

	lossless, err := os.ReadFile("testdata/prepare/lossless.webp")
	if err != nil {
		t.Fatal(err)
	}
	want, err := Decode(t.Context(), lossless)
	if err != nil {
		t.Fatal(err)
	}
	const hasExif = 1 << 3
	stored := want.Original
	got, err := Decode(t.Context(), riffFile("VP8X", vp8x(hasExif, stored.Width, stored.Height),
		"VP8L", string(lossless[20:]), "EXIF", string(block)))
	if err != nil {
		t.Fatal(err)
	}
	if rotated := (Size{stored.Height, stored.Width}); got.Original != rotated {
		t.Errorf("WebP: size %v, want %v", got.Original, rotated)
	}
}
