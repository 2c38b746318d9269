package picture

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"iter"
	"math"

	"github.com/kovidgoyal/imaging/prism/meta/icc"
)

// profileConversion returns the conversion by an ICC profile. Package icc parses the profile and evaluates its tables.
// The common kind of profile, curves and a matrix, becomes a shaper.
func profileConversion(data []byte, img image.Image) conversion {
	var c conversion
	err := checkProfile(data)
	if err == nil {
		err = guard(func() error {
			profile, err := icc.DecodeProfile(bytes.NewReader(data))
			if err != nil {
				return err
			}
			c.name, _ = profile.Description()
			c.name = printableName(c.name)
			c.to, err = newConverter(profile, img)
			if err != nil || samplesOf(img) == 4 {
				return err
			}
			if same := dropIdentity(c, profile.Header.DataColorSpace == icc.ColorSpaceGray); same.to == nil {
				c = same
			}
			return nil
		})
	}
	if err != nil {
		var own profileError
		if !errors.As(err, &own) {
			own = "it is damaged, or of a kind that is not read" // the other package's text is not for people
		}
		called := ""
		if c.name != "" {
			called = fmt.Sprintf(" %q", c.name)
		}
		return conversion{note: fmt.Sprintf("the colour profile%s was not applied (%s)%s", called, string(own), assumedSRGB)}
	}
	return c
}

// profileError is the reason why a profile is not applied, as a text for people.
type profileError string

func (e profileError) Error() string { return string(e) }

func profileErrorf(format string, args ...any) error {
	return profileError(fmt.Sprintf(format, args...))
}

// samplesOf returns the number of colour samples of a pixel: 1 for gray, 3 for RGB, 4 for CMYK.
func samplesOf(img image.Image) int {
	switch img := img.(type) {
	case *image.CMYK:
		return 4
	case *image.Gray, *image.Gray16:
		return 1
	case *image.NRGBA:
		return samplesOfRGBA(img.Pix, 1)
	case *image.NRGBA64:
		return samplesOfRGBA(img.Pix, 2)
	}
	return 3
}

// samplesOfRGBA returns 1 if all pixels are gray, and else 3. Package image has no type for gray with alpha, so such a
// picture comes as RGBA.
func samplesOfRGBA(pix []uint8, bytesEach int) int {
	for i := 0; i+3*bytesEach <= len(pix); i += 4 * bytesEach {
		for j := range bytesEach {
			if pix[i+j] != pix[i+bytesEach+j] || pix[i+j] != pix[i+2*bytesEach+j] {
				return 3
			}
		}
	}
	return 1
}

// newConverter returns the converter for a profile. Its error is a profileError if the profile is for another colour
// space than that of img.
func newConverter(profile *icc.Profile, img image.Image) (converter, error) {
	const relative = icc.RelativeColorimetricRenderingIntent
	found := samplesOf(img)
	switch space := profile.Header.DataColorSpace; {
	case space == icc.ColorSpaceGray && found == 1, space == icc.ColorSpaceCMYK && found == 4:
	case space == icc.ColorSpaceRGB && found != 4:
		tables := profile.TagTable.Has(icc.AToB0TagSignature) || profile.TagTable.Has(icc.AToB1TagSignature)
		if !tables {
			p, err := profile.CreateTransformerToPCS(relative, 3, true)
			if err != nil {
				return nil, err
			}
			return tabulate(img, func(rgb [3]float64) [3]float64 {
				x, y, z := p.Transform(rgb[0], rgb[1], rgb[2])
				return toSRGB.apply([3]float64{x, y, z})
			}), nil
		}
		found = 3
	default:
		return nil, profileErrorf("it is for %v, the picture is %s",
			space, map[int]string{1: "gray", 3: "RGB", 4: "CMYK"}[found])
	}
	p, err := profile.CreateTransformerToSRGB(relative, false, found, true, false, true)
	if err != nil {
		return nil, err
	}
	return &pipeline{p, found}, nil
}

// pipeline converts with the tables of a profile, one colour at a time. It is the slow kind of converter.
type pipeline struct {
	*icc.Pipeline
	samples int // colour samples that it reads of a pixel
}

// cached is a converted colour.
type cached struct {
	samples uint64
	known   bool
	levels  [3]uint8
}

func (p *pipeline) row(levels []uint8, samples []uint16) {
	// Neighbouring pixels often have the same colour, and a conversion takes a microsecond.
	var cache [1024]cached
	var in, out [4]float64
	for i := 0; i < len(samples); i += 4 {
		key := uint64(0)
		for c := range p.samples {
			key = key<<16 | uint64(samples[i+c])
		}
		kept := &cache[key*0x9e3779b97f4a7c15>>54]
		if !kept.known || kept.samples != key {
			for c := range in {
				in[c] = float64(samples[i+c]) / math.MaxUint16
			}
			p.TransformGeneral(out[:], in[:])
			kept.samples, kept.known = key, true
			for c := range kept.levels {
				kept.levels[c] = uint8(255*min(max(out[c], 0), 1) + 0.5)
			}
		}
		copy(levels[i/4*3:], kept.levels[:])
	}
}

// checkProfile refuses profiles from which package icc would allocate without limit, or which it would misread.
func checkProfile(data []byte) error {
	const header, entry, mostTags = 128, 12, 1000
	order := binary.BigEndian
	if len(data) < header+4 || len(data) > maxProfileBytes {
		return profileErrorf("it is damaged: found %d bytes", len(data))
	}
	count := order.Uint32(data[header:])
	table := data[header+4:]
	if count > mostTags || int(count)*entry > len(table) {
		return profileErrorf("it is damaged: found %d tags in %d bytes", count, len(data))
	}
	if err := checkLists(data); err != nil {
		return err
	}
	for i := range int(count) {
		offset, size := uint64(order.Uint32(table[entry*i+4:])), uint64(order.Uint32(table[entry*i+8:]))
		if offset < uint64(header+4+int(count)*entry) || offset+size > uint64(len(data)) {
			return profileErrorf("it is damaged: found a tag outside of it")
		}
		if name := string(table[entry*i : entry*i+4]); name != "A2B0" && name != "A2B1" {
			continue // package icc's reading of the other tags needs no check of tables
		}
		if err := checkTables(data[offset : offset+size]); err != nil {
			return err
		}
	}
	return nil
}

// checkLists refuses curves with too many points, and lists of names whose sum is too large because names share bytes.
// It searches the whole profile, because tags may share data and tables contain curves of their own.
func checkLists(data []byte) error {
	order := binary.BigEndian
	for at := range tagsCalled(data, "curv") {
		if n := order.Uint32(data[at+8:]); n > maxCurvePoints {
			return profileErrorf("it has a curve of %d points, want at most %d", n, maxCurvePoints)
		}
	}
	for at := range tagsCalled(data, "mft2") {
		if at+52 <= len(data) && max(order.Uint16(data[at+48:]), order.Uint16(data[at+50:])) > maxCurvePoints {
			return profileErrorf("it has a table with curves of more than %d points", maxCurvePoints)
		}
	}
	for at := range tagsCalled(data, "mluc") {
		const header, record = 16, 12
		records, names := int(order.Uint32(data[at+8:])), 0
		for i := 0; i < records && at+header+record*(i+1) <= len(data); i++ {
			if names += record + int(order.Uint32(data[at+header+record*i+4:])); names > maxNames {
				return profileErrorf("it is damaged: found names of more than %d bytes", maxNames)
			}
		}
	}
	return nil
}

// tagsCalled yields the offset of each piece of data that begins like a tag of the type name: the name, four zero
// bytes, and at least four bytes more.
func tagsCalled(data []byte, name string) iter.Seq[int] {
	start := []byte(name + "\x00\x00\x00\x00")
	return func(yield func(int) bool) {
		for at := 0; ; at++ {
			next := bytes.Index(data[at:], start)
			if next < 0 || at+next+12 > len(data) || !yield(at+next) {
				return
			}
			at += next
		}
	}
}

// checkTables checks the colour table of a tag of type mAB or mBA: the same number of points for each channel, values
// of one or two bytes, and all values present.
func checkTables(tag []byte) error {
	if len(tag) < 32 || string(tag[:4]) != "mAB " && string(tag[:4]) != "mBA " {
		return nil
	}
	inputs, outputs := int(tag[8]), int(tag[9])
	offset := uint64(binary.BigEndian.Uint32(tag[24:]))
	if offset == 0 {
		return nil
	}
	if offset+20 > uint64(len(tag)) || inputs < 1 || inputs > 4 || outputs < 1 || outputs > 4 {
		return profileErrorf("it is damaged: found a table of %d to %d channels", inputs, outputs)
	}
	values := outputs
	for _, points := range tag[offset : offset+uint64(inputs)] {
		if points != tag[offset] {
			return profileErrorf("its table has unequal sides, which is not read")
		}
		values *= int(points)
	}
	each := int(tag[offset+16])
	if each != 1 && each != 2 || values*each > len(tag)-int(offset)-20 {
		return profileErrorf("it is damaged: found a table of %d values", values)
	}
	return nil
}
