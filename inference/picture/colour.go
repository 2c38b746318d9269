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

// The model was trained on sRGB. A picture in another colour space is converted to sRGB with the relative colorimetric
// intent: white stays white, and colours outside sRGB are clipped, as on a screen.

// colourTags holds what a file declares about its colours. If several fields are set, the first of them in this order
// decides, as in the third edition of PNG.
type colourTags struct {
	cicp           []byte // code points of H.273: primaries, transfer, matrix, whether the range is full
	icc            []byte // an ICC profile
	srgb           bool
	gamma          float64       // the exponent of the encoding: 0.45455 for a screen of 2.2; 0 if not declared
	chromaticities *rgbPrimaries // nil if not declared
	adobeRGB       bool          // declared in Exif, as cameras do instead of a profile
	damaged        error         // why the profile cannot be read
}

// xy is a chromaticity in CIE 1931.
type xy = [2]float64

// rgbPrimaries holds the chromaticities of a colour space.
type rgbPrimaries struct{ red, green, blue, white xy }

var (
	d65            = xy{0.3127, 0.3290}
	srgbPrimaries  = rgbPrimaries{xy{0.64, 0.33}, xy{0.30, 0.60}, xy{0.15, 0.06}, d65}
	adobePrimaries = rgbPrimaries{xy{0.64, 0.33}, xy{0.21, 0.71}, xy{0.15, 0.06}, d65}
)

// cicpPrimaries holds the colour primaries of H.273, table 2, by their code points, with their usual names.
var cicpPrimaries = map[byte]struct {
	name string
	rgbPrimaries
}{
	1:  {"sRGB", srgbPrimaries},
	4:  {"BT.470 M", rgbPrimaries{xy{0.67, 0.33}, xy{0.21, 0.71}, xy{0.14, 0.08}, xy{0.310, 0.316}}},
	5:  {"BT.601 (625 lines)", rgbPrimaries{xy{0.64, 0.33}, xy{0.29, 0.60}, xy{0.15, 0.06}, d65}},
	6:  {"BT.601 (525 lines)", rgbPrimaries{xy{0.630, 0.340}, xy{0.310, 0.595}, xy{0.155, 0.070}, d65}},
	7:  {"SMPTE 240M", rgbPrimaries{xy{0.630, 0.340}, xy{0.310, 0.595}, xy{0.155, 0.070}, d65}},
	9:  {"Rec. 2020", rgbPrimaries{xy{0.708, 0.292}, xy{0.170, 0.797}, xy{0.131, 0.046}, d65}},
	11: {"DCI-P3", rgbPrimaries{xy{0.680, 0.320}, xy{0.265, 0.690}, xy{0.150, 0.060}, xy{0.314, 0.351}}},
	12: {"Display P3", rgbPrimaries{xy{0.680, 0.320}, xy{0.265, 0.690}, xy{0.150, 0.060}, d65}},
}

// cicpCurve returns the function from an encoded value to linear light for transfer characteristics of H.273, table 3.
// Those of television are treated as sRGB, because screens show them in this way. If the transfer is not converted,
// curve is nil and name describes it.
func cicpCurve(transfer byte) (curve func(float64) float64, name string) {
	switch transfer {
	case 1, 6, 13, 14, 15:
		return srgbToLinear, ""
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

const unspecified = 2 // the code point of unspecified primaries and transfer characteristics

func srgbToLinear(v float64) float64 {
	if v <= 0.04045 {
		return v / 12.92
	}
	return math.Pow((v+0.055)/1.055, 2.4)
}

func linearToSRGB(light float64) float64 {
	if light <= 0.0031308 {
		return light * 12.92
	}
	return 1.055*math.Pow(light, 1/2.4) - 0.055
}

func gammaCurve(gamma float64) func(float64) float64 {
	return func(v float64) float64 { return math.Pow(v, gamma) }
}

// conversion describes how the colours of a picture are converted to sRGB.
type conversion struct {
	to   converter // nil if the samples are used as they are
	name string    // of the picture's colour space; "" if nothing is converted
	note string    // why the declared colours were not converted; "" if there is no such reason
}

// converter converts samples to sRGB. Several goroutines may use it at the same time.
type converter interface {
	// row reads four 16-bit samples a pixel: RGB and alpha, or CMYK with all bits set for full ink, or gray three times
	// and alpha. It writes three 8-bit levels a pixel; it does not use alpha.
	row(levels []uint8, samples []uint16)
}

// assumedSRGB ends a note about colours that were not converted.
const assumedSRGB = "; its colours are taken for sRGB"

// damagedProfile is the conversion for a picture whose profile cannot be applied.
var damagedProfile = conversion{note: "the colour profile is damaged" + assumedSRGB}

// conversionOf returns the conversion of img to sRGB, by the colours that its file declares.
func conversionOf(tags colourTags, img image.Image) conversion {
	note := ""
	if len(tags.cicp) == 4 {
		c := cicpConversion(tags.cicp, img)
		if c.note == "" {
			return c
		}
		note = c.note // the code points cannot be applied, so the next declaration decides
	}
	_, cmyk := img.(*image.CMYK)
	switch {
	case tags.damaged != nil:
		return damagedProfile
	case tags.icc != nil:
		return profileConversion(tags.icc, img)
	case tags.srgb || cmyk:
	case tags.adobeRGB:
		return conversion{to: newShaper(adobePrimaries, gammaCurve(563.0/256), img), name: "Adobe RGB (1998)"}
	case note == "" && (tags.gamma > 0 || tags.chromaticities != nil):
		return calibrated(tags, img)
	}
	return conversion{note: note}
}

// cicpConversion returns the conversion by code points of H.273. If these colours cannot be converted, it has a note.
func cicpConversion(cicp []byte, img image.Image) conversion {
	primaries, transfer := cicp[0], cicp[1]
	if primaries == unspecified {
		primaries = 1
	}
	if transfer == unspecified {
		transfer = 13
	}
	curve, other := cicpCurve(transfer)
	colours, known := cicpPrimaries[primaries]
	switch {
	case other != "":
		return conversion{note: "the picture is in " + other + ", which is not converted" + assumedSRGB}
	case !known:
		return conversion{
			note: fmt.Sprintf("the picture has the primaries %d, which are not converted%s", primaries, assumedSRGB),
		}
	}
	return dropIdentity(conversion{to: newShaper(colours.rgbPrimaries, curve, img), name: colours.name}, false)
}

// calibrated returns the conversion by PNG's chunks gAMA and cHRM. A gamma within 5 % of a screen's 1/2.2 stands for
// sRGB's curve, because programs that write it next to sRGB's primaries mean sRGB.
func calibrated(tags colourTags, img image.Image) conversion {
	curve, colours := srgbToLinear, srgbPrimaries
	if tags.gamma > 0 && math.Abs(tags.gamma*2.2-1) > 0.05 {
		curve = gammaCurve(1 / tags.gamma)
	}
	if tags.chromaticities != nil {
		colours = *tags.chromaticities
	}
	shaper := newShaper(colours, curve, img)
	if shaper == nil {
		return conversion{note: "the chromaticities of the picture are no colours" + assumedSRGB}
	}
	return dropIdentity(conversion{to: shaper, name: "gamma and chromaticities"}, false)
}

// dropIdentity returns c, or an empty conversion if c changes no level by more than sameLevels. Such a picture is sRGB
// under another name, and its samples stay exactly as they are. If gray is true only grays are compared.
func dropIdentity(c conversion, gray bool) conversion {
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

// sameLevels is how much the small sRGB profiles of web servers differ from sRGB, because their curves are
// approximations.
const sameLevels = 1

// printableName makes the name in a profile fit for a sentence: printable, and not too long.
func printableName(name string) string {
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

// pngColours reads the declarations of colours in the chunks before the pixels.
func pngColours(file []byte) (tags colourTags) {
	for kind, data := range pngChunks(file) {
		switch {
		case kind == "cICP" && len(data) == 4:
			tags.cicp = data
		case kind == "iCCP" && tags.icc == nil && tags.damaged == nil: // the first only, as inflating many could take hours
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
			tags.chromaticities = &rgbPrimaries{
				white: xy(places[0:2]), red: xy(places[2:4]), green: xy(places[4:6]), blue: xy(places[6:8]),
			}
		case kind == "eXIf":
			tags.adobeRGB = exifAdobeRGB(data)
		}
	}
	return tags
}

// inflatedProfile parses the content of iCCP: a name, a zero byte, the compression method 0, and the deflated profile.
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

// jpegColours joins the ICC profile from its APP2 segments. Each segment has its number, from 1 on, and their count.
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
			return colourTags{damaged: fmt.Errorf("profile: found no part %d of %d", i, count)}
		}
		tags.icc = append(tags.icc, parts[i]...)
	}
	tags.adobeRGB = exifAdobeRGB(jpegExif(file))
	return tags
}

// webpColours reads the profile in the chunk ICCP and Exif's colour space.
func webpColours(file []byte) colourTags {
	return colourTags{icc: webpChunk(file, "ICCP"), adobeRGB: exifAdobeRGB(webpExif(file))}
}

// tiffColours reads the profile in its tag and Exif's colour space.
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
