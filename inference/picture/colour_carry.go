package picture

import (
	"bytes"
	"encoding/binary"
	"image"
	"math"
	"slices"
)

// What a file declares about its colours and its resolution in print goes into the file that is written of an Original.
// PNG takes PNG's own declarations as they are; a declaration that the other formats cannot hold becomes an ICC
// profile.

// carriedColours returns the declarations of colours in a file. The profile of a file is left out if it is for another
// colour space than that of the samples, or cannot be read.
func carriedColours(f format, file []byte, tags colourTags, gray bool) (c carried) {
	space := "RGB "
	if gray {
		space = "GRAY"
	}
	if len(tags.icc) >= 128 && string(tags.icc[16:20]) == space && checkProfile(tags.icc) == nil {
		c.icc = tags.icc
	}
	c.byCode = len(tags.cicp) == 4 && cicpConversion(tags.cicp, &image.NRGBA{}).note == ""
	if f.name == "PNG" {
		for kind, data := range pngChunks(file) {
			switch kind {
			case "cICP", "sRGB", "gAMA", "cHRM", "pHYs":
				// The first of a kind decides. A grey picture has no chromaticities to keep, but they do no harm.
				if !slices.ContainsFunc(c.chunks, func(other chunk) bool { return other.kind == kind }) {
					c.chunks = append(c.chunks, chunk{kind, bytes.Clone(data)})
				}
			}
		}
		return c
	}
	if f.name == "JPEG" {
		if density := jfifDensity(file); density != nil {
			c.chunks = append(c.chunks, chunk{"pHYs", density})
		}
	}
	if len(tags.cicp) == 4 && c.icc == nil && !gray {
		// The samples are RGB of the full range by now, whatever matrix and range the file has.
		c.chunks = append(c.chunks, chunk{"cICP", []byte{tags.cicp[0], tags.cicp[1], 0, 1}})
	}
	return c
}

// jfifDensity returns the content of PNG's chunk pHYs, pixels in a metre, for the density in the JFIF header of a JPEG
// file. It returns nil if the header declares none.
func jfifDensity(file []byte) []byte {
	const app0, perInch, perCentimetre = 0xe0, 1, 2
	for marker, content := range jpegSegments(file) {
		if marker != app0 || len(content) < 12 || string(content[:5]) != "JFIF\x00" {
			continue
		}
		metre := map[byte]float64{perInch: 1 / 0.0254, perCentimetre: 100}[content[7]]
		x, y := binary.BigEndian.Uint16(content[8:]), binary.BigEndian.Uint16(content[10:])
		if metre == 0 || x == 0 || y == 0 {
			return nil
		}
		density := binary.BigEndian.AppendUint32(nil, uint32(float64(x)*metre+0.5))
		return append(binary.BigEndian.AppendUint32(density, uint32(float64(y)*metre+0.5)), 1)
	}
	return nil
}

// profileToWrite returns the ICC profile for a format that holds no other declaration of colours: the file's own one,
// or one that is made of the declarations that decide. It returns nil for sRGB, and if the colours cannot be described.
func (o *Original) profileToWrite() []byte {
	if o.carried.icc != nil && !o.carried.byCode {
		return o.carried.icc
	}
	if o.converted.to == nil || o.gray {
		return nil
	}
	l := o.Light()
	if l.table != nil {
		return nil
	}
	return l.profile(o.converted.name)
}

// profile returns an ICC profile (version 4, display, a matrix and a curve for each channel) of the colours of l.
func (l *Light) profile(name string) []byte {
	if name == "" {
		name = "RGB"
	}
	order := binary.BigEndian
	fixed := func(v float64) uint32 { return uint32(int32(math.Round(v * 65536))) }
	xyz := func(v [3]float64) []byte {
		b := []byte("XYZ \x00\x00\x00\x00")
		for _, x := range v {
			b = order.AppendUint32(b, fixed(x))
		}
		return b
	}
	text := func(s string) []byte {
		b := []byte("mluc\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x0cenUS")
		units := []byte{}
		for _, r := range s {
			units = order.AppendUint16(units, uint16(min(r, 0xfffd)))
		}
		b = order.AppendUint32(b, uint32(len(units)))
		return append(order.AppendUint32(b, 28), units...)
	}
	const points = 1024
	curve := func(c int) []byte {
		b := order.AppendUint32([]byte("curv\x00\x00\x00\x00"), points)
		for i := range points {
			v := l.curve(c, float64(i)/(points-1))
			b = order.AppendUint16(b, uint16(min(max(v, 0), 1)*math.MaxUint16+0.5))
		}
		return b
	}
	toPCS, ok := toSRGB.inverse()
	if !ok {
		return nil
	}
	matrix := toPCS.times(l.matrix)
	column := func(c int) [3]float64 { return [3]float64{matrix[0][c], matrix[1][c], matrix[2][c]} }
	tags := []chunk{
		{"desc", text(name)}, {"cprt", text("No copyright")}, {"wtpt", xyz(d50)},
		{"rXYZ", xyz(column(0))}, {"gXYZ", xyz(column(1))}, {"bXYZ", xyz(column(2))},
		{"rTRC", curve(0)}, {"gTRC", curve(1)}, {"bTRC", curve(2)},
	}
	header := make([]byte, 128)
	copy(header[8:], "\x04\x30\x00\x00mntrRGB XYZ ")
	copy(header[36:], "acsp")
	for i, v := range d50 {
		order.PutUint32(header[68+4*i:], fixed(v))
	}
	table := order.AppendUint32(nil, uint32(len(tags)))
	at := len(header) + 4 + 12*len(tags)
	var data []byte
	for _, t := range tags {
		table = append(table, t.kind...)
		table = order.AppendUint32(table, uint32(at+len(data)))
		table = order.AppendUint32(table, uint32(len(t.data)))
		data = append(data, t.data...)
		data = append(data, make([]byte, (4-len(data)%4)%4)...)
	}
	profile := slices.Concat(header, table, data)
	order.PutUint32(profile, uint32(len(profile)))
	return profile
}
