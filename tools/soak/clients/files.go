package clients

import (
	"bytes"
	"encoding/binary"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"strings"
	"sync"
)

// Picture returns a valid PNG of side × side pixels.
func Picture(side int) []byte {
	img := image.NewRGBA(image.Rect(0, 0, side, side))
	for i := range img.Pix {
		img.Pix[i] = byte(i * 7)
	}
	var b bytes.Buffer
	_ = png.Encode(&b, img) // to memory
	return b.Bytes()
}

// hostileFiles returns damaged pictures, and pictures that are as expensive to decode as possible.
var hostileFiles = sync.OnceValue(func() map[string][]byte {
	sound := Picture(640)
	var photo, movie bytes.Buffer
	img := image.NewGray(image.Rect(0, 0, 800, 800))
	_ = jpeg.Encode(&photo, img, nil)
	var frames gif.GIF
	for range 200 {
		frame := image.NewPaletted(image.Rect(0, 0, 500, 500), color.Palette{color.Black, color.White})
		frames.Image = append(frames.Image, frame)
		frames.Delay = append(frames.Delay, 1)
	}
	_ = gif.EncodeAll(&movie, &frames)
	flipped := bytes.Clone(sound)
	for i := 60; i < len(flipped); i += 97 {
		flipped[i] ^= 0x55
	}
	header := bytes.Clone(sound)
	binary.BigEndian.PutUint32(header[16:], 1<<31-1)
	return map[string][]byte{
		"many empty scans":     EmptyScans(6000, 15),
		"very many scans":      EmptyScans(10000, 400),
		"a large empty PNG":    largePNG(8000),
		"many frames":          movie.Bytes(),
		"a cut PNG":            sound[:len(sound)/2],
		"a flipped PNG":        flipped,
		"a PNG of 2^31 pixels": header,
		"a cut JPEG":           photo.Bytes()[:photo.Len()-200],
		"a cut WebP":           []byte("RIFF\x00\x10\x00\x00WEBPVP8L\xff\xff\xff\x7f\x2f\xff\xff\xff\xff"),
		"a cyclic TIFF": []byte("II*\x00\x08\x00\x00\x00\x01\x00\x00\x01\x04\x00" +
			"\xff\xff\xff\xff\x08\x00\x00\x00\x08\x00\x00\x00"),
		"an empty HEIC": []byte("\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic\xff\xff\xff\xffmeta"),
		"zeros":         make([]byte, 1<<20),
		"an empty file": {},
	}
})

// EmptyScans returns a progressive gray JPEG of side × side pixels whose scans change no block: a few kilobytes that
// take seconds to decode.
func EmptyScans(side, scans int) []byte {
	var file bytes.Buffer
	file.WriteString("\xff\xd8\xff\xc2\x00\x0b\x08")
	_ = binary.Write(&file, binary.BigEndian, [2]uint16{uint16(side), uint16(side)})
	file.WriteString("\x01\x01\x11\x00")
	// A Huffman table with a single code, of one bit. It declares a run of at least 16,384 empty blocks; the next 14 bits
	// add to that number.
	file.WriteString("\xff\xc4\x00\x14\x10\x01" + strings.Repeat("\x00", 15) + "\xe0")
	blocks := (side + 7) / 8 * ((side + 7) / 8)
	for range scans {
		file.WriteString("\xff\xda\x00\x08\x01\x01\x00\x01\x3f\x00")
		bits, count := uint64(0), 0
		for left := blocks; left > 0; left -= 1<<15 - 1 {
			bits, count = bits<<15|1<<14-1, count+15
			for ; count >= 8; count -= 8 {
				b := byte(bits >> (count - 8))
				file.WriteByte(b)
				if b == 0xff {
					file.WriteByte(0)
				}
			}
		}
		file.WriteByte(byte(bits<<(8-count) | 0xff>>count&0x7f))
	}
	file.WriteString("\xff\xd9")
	return file.Bytes()
}

// largePNG returns a PNG of side × side pixels of one colour, which has about a thousandth as many bytes as pixels.
func largePNG(side int) []byte {
	var b bytes.Buffer
	encoder := png.Encoder{CompressionLevel: png.BestSpeed}
	_ = encoder.Encode(&b, image.NewPaletted(image.Rect(0, 0, side, side), color.Palette{color.Black}))
	return b.Bytes()
}
