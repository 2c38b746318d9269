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

// Picture is a sound PNG of side x side pixels.
func Picture(side int) []byte {
	img := image.NewRGBA(image.Rect(0, 0, side, side))
	for i := range img.Pix {
		img.Pix[i] = byte(i * 7)
	}
	var b bytes.Buffer
	_ = png.Encode(&b, img) // to memory
	return b.Bytes()
}

// hostileFiles are pictures that cost a decoder what they can, and damaged ones.
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
		"a TIFF in circles": []byte("II*\x00\x08\x00\x00\x00" +
			"\x01\x00\x00\x01\x04\x00\xff\xff\xff\xff\x08\x00\x00\x00\x08\x00\x00\x00"),
		"an HEIC of nothing": []byte("\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic\xff\xff\xff\xffmeta"),
		"zeros":              make([]byte, 1<<20),
		"nothing":            {},
	}
})

// EmptyScans returns a progressive JPEG of side × side gray pixels whose scans say of each block that nothing changes:
// a few kilobytes that take seconds.
func EmptyScans(side, scans int) []byte {
	var file bytes.Buffer
	file.WriteString("\xff\xd8\xff\xc2\x00\x0b\x08")
	_ = binary.Write(&file, binary.BigEndian, [2]uint16{uint16(side), uint16(side)})
	file.WriteString("\x01\x01\x11\x00")
	// A table of one code, of one bit: the end of a run of 16,384 blocks and more, as the next 14 bits say.
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

// largePNG is side x side pixels of one colour, a thousandth of that in bytes.
func largePNG(side int) []byte {
	var b bytes.Buffer
	encoder := png.Encoder{CompressionLevel: png.BestSpeed}
	_ = encoder.Encode(&b, image.NewPaletted(image.Rect(0, 0, side, side), color.Palette{color.Black}))
	return b.Bytes()
}
