package picture

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"fmt"
	"image"
	"io"
	"math"
	"strings"
	"unicode"
)

// The model sees sRGB. A picture that says that its numbers mean other colours is converted, relative to the white of
// both (relative colorimetric); colours that sRGB has not are clipped, as they are on a screen.

// colourTags is what a file says of its colours. The first of the fields that is there decides, as in PNG's third edition.
type colourTags struct {
	cicp           []byte // code points of H.273: primaries, transfer, matrix, whether the range is full
	icc            []byte // an ICC profile
	srgb           bool
	gamma          float64     // of the encoder: 0.45455 for a screen of 2.2; 0 where it is not said
	chromaticities *rgbColours // nil where they are not said
	adobeRGB       bool        // what cameras say in Exif instead of a profile
	damaged        error       // a profile that cannot be read
}

// xy is a colour's place in CIE's diagram.
type xy = [2]float64

// rgbColours are the places of red, green, blue and white.
type rgbColours struct{ red, green, blue, white xy }

var (
	d65          = xy{0.3127, 0.3290}
	srgbColours  = rgbColours{xy{0.64, 0.33}, xy{0.30, 0.60}, xy{0.15, 0.06}, d65}
	adobeColours = rgbColours{xy{0.64, 0.33}, xy{0.21, 0.71}, xy{0.15, 0.06}, d65}
)

// codedColours are the primaries of H.273, table 2, with the names that people know.
var codedColours = map[byte]struct {
	name string
	rgbColours
}{
	1:  {"sRGB", srgbColours},
	4:  {"BT.470 M", rgbColours{xy{0.67, 0.33}, xy{0.21, 0.71}, xy{0.14, 0.08}, xy{0.310, 0.316}}},
	5:  {"BT.601 (625 lines)", rgbColours{xy{0.64, 0.33}, xy{0.29, 0.60}, xy{0.15, 0.06}, d65}},
	6:  {"BT.601 (525 lines)", rgbColours{xy{0.630, 0.340}, xy{0.310, 0.595}, xy{0.155, 0.070}, d65}},
	7:  {"SMPTE 240M", rgbColours{xy{0.630, 0.340}, xy{0.310, 0.595}, xy{0.155, 0.070}, d65}},
	9:  {"Rec. 2020", rgbColours{xy{0.708, 0.292}, xy{0.170, 0.797}, xy{0.131, 0.046}, d65}},
	11: {"DCI-P3", rgbColours{xy{0.680, 0.320}, xy{0.265, 0.690}, xy{0.150, 0.060}, xy{0.314, 0.351}}},
	12: {"Display P3", rgbColours{xy{0.680, 0.320}, xy{0.265, 0.690}, xy{0.150, 0.060}, d65}},
}

// codedCurve returns the light of an encoded value by H.273, table 3. Those of television are taken for sRGB's, which is
// how screens show them. The name is that of one which is not converted.
func codedCurve(transfer byte) (curve func(float64) float64, name string) {
	switch transfer {
	case 1, 6, 13, 14, 15:
		return srgbLight, ""
	case 4:
		return gammaCurve(2.2), ""
	case 5:
		return gammaCurve(2.8), ""
	case 8:
		return gammaCurve(1), ""
	case 16:
		return nil, "HDR (PQ)"
	case 18:
		return nil, "HDR (HLG)"
	}
	return nil, fmt.Sprintf("the transfer characteristics %d", transfer)
}

const unspecified = 2 // of primaries and transfers

func srgbLight(v float64) float64 {
	if v <= 0.04045 {
		return v / 12.92
	}
	return math.Pow((v+0.055)/1.055, 2.4)
}

func srgbEncoded(light float64) float64 {
	if light <= 0.0031308 {
		return light * 12.92
	}
	return 1.055*math.Pow(light, 1/2.4) - 0.055
}

func gammaCurve(gamma float64) func(float64) float64 {
	return func(v float64) float64 { return math.Pow(v, gamma) }
}

// conversion is how the colours of a picture become sRGB.
type conversion struct {
	to   converter // nil: the numbers stay as they are
	name string    // of the picture's colours; "" for sRGB
	note string    // why colours were not converted; ""
}

// converter turns rows of samples into sRGB. Several goroutines use it.
type converter interface {
	// row reads four samples of 16 bits a pixel (RGB and alpha; CMYK, all for full ink; gray, thrice, and alpha) and writes
	// three levels a pixel.
	row(levels []uint8, samples []uint16)
}

// asTaken ends a note: what was done instead.
const asTaken = "; its colours are taken for sRGB"

// damagedProfile is the conversion of a picture whose profile cannot be applied.
var damagedProfile = conversion{note: "the colour profile is damaged" + asTaken}

// conversionOf decides how the colours of img become sRGB.
func conversionOf(tags colourTags, img image.Image) conversion {
	note := ""
	if len(tags.cicp) == 4 {
		c := codedConversion(tags.cicp, img)
		if c.note == "" {
			return c
		}
		note = c.note // what comes next says it in another way
	}
	_, cmyk := img.(*image.CMYK)
	switch {
	case tags.damaged != nil:
		return damagedProfile
	case tags.icc != nil:
		return profileConversion(tags.icc, img)
	case tags.srgb || cmyk:
	case tags.adobeRGB:
		return conversion{to: newShaper(adobeColours, gammaCurve(563.0/256), img), name: "Adobe RGB (1998)"}
	case note == "" && (tags.gamma > 0 || tags.chromaticities != nil):
		return calibrated(tags, img)
	}
	return conversion{note: note}
}

func codedConversion(cicp []byte, img image.Image) conversion {
	primaries, transfer := cicp[0], cicp[1]
	if primaries == unspecified {
		primaries = 1
	}
	if transfer == unspecified {
		transfer = 13
	}
	curve, other := codedCurve(transfer)
	colours, known := codedColours[primaries]
	switch {
	case other != "":
		return conversion{note: "the picture is in " + other + ", which is not converted" + asTaken}
	case !known:
		return conversion{note: fmt.Sprintf("the picture has the primaries %d, which are not converted%s", primaries, asTaken)}
	}
	return neutral(conversion{to: newShaper(colours.rgbColours, curve, img), name: colours.name}, false)
}

// calibrated converts by PNG's gAMA and cHRM. A gamma within a twentieth of a screen's is taken for sRGB's curve: that is
// what programs mean by it, which write it beside sRGB's colours.
func calibrated(tags colourTags, img image.Image) conversion {
	curve, colours := srgbLight, srgbColours
	if tags.gamma > 0 && math.Abs(tags.gamma*2.2-1) > 0.05 {
		curve = gammaCurve(1 / tags.gamma)
	}
	if tags.chromaticities != nil {
		colours = *tags.chromaticities
	}
	shaper := newShaper(colours, curve, img)
	if shaper == nil {
		return conversion{note: "the chromaticities of the picture are no colours" + asTaken}
	}
	return neutral(conversion{to: shaper, name: "gamma and chromaticities"}, false)
}

// neutral drops a conversion that moves no colour by more than a level: the picture is sRGB by another name, and its
// numbers stay exactly as they are.
func neutral(c conversion, gray bool) conversion {
	const steps = 17
	samples := make([]uint16, 0, 4*steps*steps*steps)
	level := func(i int) uint16 { return uint16(i*255/(steps-1)) * 257 }
	for i := range steps * steps * steps {
		if gray {
			break
		}
		samples = append(samples, level(i/steps/steps), level(i/steps%steps), level(i%steps), math.MaxUint16)
	}
	for v := range 256 {
		samples = append(samples, uint16(v)*257, uint16(v)*257, uint16(v)*257, math.MaxUint16)
	}
	levels := make([]uint8, len(samples)/4*3)
	c.to.row(levels, samples)
	for i, got := range levels {
		if d := int(got) - int(samples[i/3*4+i%3]>>8); d < -sameLevels || d > sameLevels {
			return c
		}
	}
	return conversion{}
}

// sameLevels is how far the small sRGB profiles of web servers, whose curves are approximations, are from sRGB.
const sameLevels = 1

// plainName makes the name in a profile fit for a sentence.
func plainName(name string) string {
	name = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(name, ""))
	const most = 60
	if runes := []rune(name); len(runes) > most {
		name = string(runes[:most]) + "…"
	}
	return strings.TrimSpace(name)
}

// pngColours reads the chunks before the picture's data.
func pngColours(file []byte) (tags colourTags) {
	for kind, data := range pngChunks(file) {
		switch {
		case kind == "cICP" && len(data) == 4:
			tags.cicp = data
		case kind == "iCCP" && tags.icc == nil && tags.damaged == nil: // the first one: to unpack each could take hours
			tags.icc, tags.damaged = inflatedProfile(data)
		case kind == "sRGB":
			tags.srgb = true
		case kind == "gAMA" && len(data) == 4:
			tags.gamma = float64(binary.BigEndian.Uint32(data)) / 1e5
		case kind == "cHRM" && len(data) == 32:
			var places [8]float64
			for i := range places {
				places[i] = float64(binary.BigEndian.Uint32(data[4*i:])) / 1e5
			}
			tags.chromaticities = &rgbColours{
				white: xy(places[0:2]), red: xy(places[2:4]), green: xy(places[4:6]), blue: xy(places[6:8]),
			}
		case kind == "eXIf":
			tags.adobeRGB = exifAdobeRGB(data)
		}
	}
	return tags
}

// inflatedProfile reads the content of iCCP: a name, a zero, the method 0, the deflated profile.
func inflatedProfile(data []byte) ([]byte, error) {
	_, rest, ok := bytes.Cut(data, []byte{0})
	if !ok || len(rest) == 0 || rest[0] != 0 {
		return nil, fmt.Errorf("iCCP: found no deflated profile")
	}
	inflate, err := zlib.NewReader(bytes.NewReader(rest[1:]))
	if err != nil {
		return nil, fmt.Errorf("iCCP: %w", err)
	}
	profile, err := io.ReadAll(io.LimitReader(inflate, maxProfileBytes+1))
	if err == nil && len(profile) > maxProfileBytes {
		err = fmt.Errorf("found more than %d MiB", maxProfileBytes>>20)
	}
	if err != nil {
		return nil, fmt.Errorf("iCCP: %w", err)
	}
	return profile, nil
}

// jpegColours joins the profile from its APP2 segments, each with its number (from 1) and their count.
func jpegColours(file []byte) (tags colourTags) {
	var parts [256][]byte
	count := 0
	for marker, content := range jpegSegments(file) {
		if rest, ok := bytes.CutPrefix(content, []byte("ICC_PROFILE\x00")); ok && marker == app2 && len(rest) > 2 {
			parts[rest[0]], count = rest[2:], int(rest[1])
		}
	}
	for i := 1; i <= count; i++ {
		if parts[i] == nil {
			return colourTags{damaged: fmt.Errorf("found no part %d of %d of the profile", i, count)}
		}
		tags.icc = append(tags.icc, parts[i]...)
	}
	tags.adobeRGB = exifAdobeRGB(jpegExif(file))
	return tags
}

// webpColours finds the chunk ICCP.
func webpColours(file []byte) colourTags {
	return colourTags{icc: webpChunk(file, "ICCP"), adobeRGB: exifAdobeRGB(webpExif(file))}
}

// tiffColours finds the tag of profiles.
func tiffColours(file []byte) colourTags {
	d, err := readDirectory(file)
	if err != nil {
		return colourTags{}
	}
	profile, err := d.bytes(tagProfile)
	if err != nil {
		profile = nil
	}
	return colourTags{icc: profile, adobeRGB: exifAdobeRGB(file)}
}
