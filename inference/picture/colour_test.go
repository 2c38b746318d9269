package picture

import (
	"bytes"
	"encoding/binary"
	"image"
	"image/jpeg"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// profileIn returns the ICC profile of a picture in testdata/kinds.
func profileIn(t *testing.T, name string) []byte {
	t.Helper()
	file, err := os.ReadFile(filepath.Join("testdata", "kinds", name))
	if err != nil {
		t.Fatal(err)
	}
	tags := pngColours(file)
	if tags.icc == nil {
		t.Fatalf("%s has no profile", name)
	}
	return tags.icc
}

// withSegments inserts APP segments after the start marker of a JPEG file.
func withSegments(file []byte, marker byte, contents ...[]byte) []byte {
	out := bytes.Clone(file[:2])
	for _, content := range contents {
		out = append(out, 0xff, marker)
		out = binary.BigEndian.AppendUint16(out, uint16(2+len(content)))
		out = append(out, content...)
	}
	return append(out, file[2:]...)
}

func photoJPEG(t *testing.T, img image.Image) []byte {
	t.Helper()
	var file bytes.Buffer
	if err := jpeg.Encode(&file, img, &jpeg.Options{Quality: 95}); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

// uniform returns a picture of one colour.
func uniform(r, g, b uint8) *image.RGBA {
	img := image.NewRGBA(image.Rect(0, 0, 64, 64))
	for i := 0; i < len(img.Pix); i += 4 {
		copy(img.Pix[i:], []uint8{r, g, b, 255})
	}
	return img
}

func TestProfileInSegments(t *testing.T) {
	profile := profileIn(t, "profile-display-p3.png")
	part := func(number, count byte, data []byte) []byte {
		return append([]byte("ICC_PROFILE\x00"+string([]byte{number, count})), data...)
	}
	third := len(profile) / 3
	first, second, last := part(1, 3, profile[:third]), part(2, 3, profile[third:2*third]), part(3, 3, profile[2*third:])
	plain := photoJPEG(t, uniform(200, 40, 40))
	for _, row := range []struct {
		name          string
		file          []byte
		profile, note string
		red           uint8
	}{
		{"none", plain, "", "", 200},
		{"in order", withSegments(plain, app2, first, second, last), "Display P3", "", 217},
		{"in another order", withSegments(plain, app2, last, first, second), "Display P3", "", 217},
		{"one is missing", withSegments(plain, app2, first, last), "", "profile is damaged", 200},
		{"cut off", withSegments(plain, app2, part(1, 1, profile[:third])), "", "damaged", 200},
	} {
		ref, err := Decode(t.Context(), row.file)
		if err != nil {
			t.Errorf("%s: %v", row.name, err)
			continue
		}
		red := ref.Image.RGBAAt(30, 30).R
		if ref.Profile != row.profile || !strings.Contains(ref.ProfileNote, row.note) ||
			row.note == "" && ref.ProfileNote != "" || max(red, row.red)-min(red, row.red) > 2 {
			t.Errorf("%s: profile %q, note %q, red %d, want %q, %q, %d",
				row.name, ref.Profile, ref.ProfileNote, red, row.profile, row.note, row.red)
		}
	}
}

// TestAdobeRGBOfCameras checks that the Exif declaration of cameras is applied: index R03, and a colour space other
// than sRGB.
func TestAdobeRGBOfCameras(t *testing.T) {
	block := func(space uint16, index string) []byte {
		order := binary.BigEndian
		directory := func(entries ...[]byte) []byte {
			return append(append(order.AppendUint16(nil, uint16(len(entries))), bytes.Join(entries, nil)...), 0, 0, 0, 0)
		}
		entry := func(tag, kind uint16, count uint32, value []byte) []byte {
			e := order.AppendUint32(order.AppendUint16(order.AppendUint16(nil, tag), kind), count)
			return append(append(e, value...), make([]byte, 4-len(value))...)
		}
		exif := []byte("Exif\x00\x00MM\x00*\x00\x00\x00\x08")
		exif = append(exif, directory(entry(0x8769, 4, 1, []byte{0, 0, 0, 26}))...)
		exif = append(exif, directory(entry(0xa001, 3, 1, order.AppendUint16(nil, space)),
			entry(0xa005, 4, 1, []byte{0, 0, 0, 56}))...)
		return append(exif, directory(entry(1, 2, 4, []byte(index)))...)
	}
	plain := photoJPEG(t, uniform(200, 40, 40))
	for _, row := range []struct {
		name    string
		exif    []byte
		profile string
		red     uint8
	}{
		{"sRGB", block(1, "R98\x00"), "", 200},
		{"Adobe RGB", block(0xffff, "R03\x00"), "Adobe RGB (1998)", 231},
		{"uncalibrated", block(0xffff, "R98\x00"), "", 200},
	} {
		ref, err := Decode(t.Context(), withSegments(plain, app1, row.exif))
		if err != nil {
			t.Fatal(err)
		}
		red := ref.Image.RGBAAt(30, 30).R
		if ref.Profile != row.profile || max(red, row.red)-min(red, row.red) > 2 {
			t.Errorf("%s: profile %q, red %d, want %q, %d", row.name, ref.Profile, red, row.profile, row.red)
		}
	}
}

// TestProfilesThatAreNotApplied checks that the note of an unusable profile gives the reason and the profile's name, if
// it has one, and that the pixels are not converted.
func TestProfilesThatAreNotApplied(t *testing.T) {
	p3, gray := profileIn(t, "profile-display-p3.png"), profileIn(t, "profile-gray22.png")
	patched := func(profile []byte, at int, text string) []byte {
		profile = bytes.Clone(profile)
		copy(profile[at:], text)
		return profile
	}
	for _, row := range []struct {
		name    string
		profile []byte
		want    string
	}{
		{"for gray", gray, `"Gray Gamma 2.2" was not applied (it is for Gray, the picture is RGB)`},
		{"for CMYK", patched(p3, 16, "CMYK"), `"Display P3" was not applied (it is for CMYK`},
		{"for L*a*b*", patched(p3, 16, "Lab "), "not applied (it is damaged, or of a kind that is not read)"},
		{"no profile", []byte("profile"), "not applied (it is damaged"},
		{"no curve", patched(p3, bytes.Index(p3, []byte("rTRC")), "xTRC"), "not applied (it is damaged"},
		{"many tags", patched(p3, 128, "\xff\xff\xff\xff"), "not applied (it is damaged: found 4294967295 tags"},
	} {
		img := uniform(200, 40, 40)
		c := profileConversion(row.profile, img)
		if c.to != nil || c.name != "" || !strings.Contains(c.note, row.want) ||
			!strings.HasSuffix(c.note, "taken for sRGB") {
			t.Errorf("%s: name %q, note %q, want %q", row.name, c.name, c.note, row.want)
		}
	}
	for _, row := range []struct {
		name string
		cicp []byte
		want string
	}{
		{"HDR", []byte{9, 16, 0, 1}, "HDR (PQ)"},
		{"HDR of television", []byte{9, 18, 0, 1}, "HDR (HLG)"},
		{"unknown", []byte{77, 13, 0, 1}, "primaries 77"},
	} {
		c := conversionOf(colourTags{cicp: row.cicp}, uniform(1, 2, 3))
		if c.to != nil || !strings.Contains(c.note, row.want) {
			t.Errorf("%s: %q, want %q", row.name, c.note, row.want)
		}
	}
	c := conversionOf(colourTags{cicp: []byte{9, 16, 0, 1}, icc: p3}, uniform(1, 2, 3))
	if c.name != "Display P3" || c.note != "" {
		t.Errorf("HDR and a profile: %q, %q, want the profile's conversion", c.name, c.note)
	}
}

// withTag returns a profile in which the data of one tag are replaced.
func withTag(t *testing.T, profile []byte, name string, data []byte) []byte {
	t.Helper()
	const header, entry = 132, 12
	file := bytes.Clone(profile)
	for len(file)%4 != 0 {
		file = append(file, 0)
	}
	for i := range int(binary.BigEndian.Uint32(file[128:])) {
		if e := file[header+entry*i:]; string(e[:4]) == name {
			binary.BigEndian.PutUint32(e[4:], uint32(len(file)))
			binary.BigEndian.PutUint32(e[8:], uint32(len(data)))
			file = append(file, data...)
			binary.BigEndian.PutUint32(file, uint32(len(file)))
			return file
		}
	}
	t.Fatalf("the profile has no tag %s", name)
	return nil
}

// nameBomb returns the data of a name tag in so many languages, which all share the same bytes.
func nameBomb(languages, bytesEach int) []byte {
	tag := binary.BigEndian.AppendUint32([]byte("mluc\x00\x00\x00\x00"), uint32(languages))
	tag = append(tag, 0, 0, 0, 12)
	for range languages {
		tag = binary.BigEndian.AppendUint32(append(tag, "frFR"...), uint32(bytesEach))
		tag = binary.BigEndian.AppendUint32(tag, uint32(16+12*languages))
	}
	return append(tag, make([]byte, bytesEach)...)
}

// TestHostileProfilesCostNothing checks that a profile of a few bytes cannot cause large allocations.
func TestHostileProfilesCostNothing(t *testing.T) {
	profile := bytes.Clone(profileIn(t, "profile-table-rgb.png"))
	at := bytes.Index(profile, []byte("mft1"))
	table := func(kind string, channels, points, each byte) []byte {
		tag := append([]byte(kind+"\x00\x00\x00\x00"+string([]byte{channels, 3, 0, 0})), make([]byte, 20)...)
		binary.BigEndian.PutUint32(tag[24:], 32)
		tag = append(tag, bytes.Repeat([]byte{points}, 16)...)
		tag = append(tag, each, 0, 0, 0)
		file := bytes.Clone(profile)
		copy(file[at:], tag)
		return file
	}
	mft := bytes.Clone(profile)
	copy(mft[at+8:], []byte{255, 255, 255})
	deflated := insertChunk(encodePNG(t, cornered()), "iCCP", []byte("x\x00\x00\x78\x9c\x01"), false)
	for name, file := range map[string][]byte{
		"values of no bytes": table("mAB ", 3, 255, 0),
		"four channels":      table("mAB ", 4, 255, 1),
		"mBA instead of mAB": table("mBA ", 3, 255, 0),
		"255 channels":       mft,
		"unequal sides": append(table("mAB ", 3, 9, 1)[:at+33],
			append([]byte{8}, table("mAB ", 3, 9, 1)[at+34:]...)...),
		"a name in 500 languages": withTag(t, profileIn(t, "profile-display-p3.png"), "desc", nameBomb(500, 200<<10)),
		"a curve of 20,000 points": withTag(t, profileIn(t, "profile-display-p3.png"), "rTRC",
			append([]byte("curv\x00\x00\x00\x00\x00\x00\x4e\x20\xff\xff"), make([]byte, 40_000)...)),
		"table curves of 20,000 points": withTag(t, profile, "A2B0",
			append([]byte("mft2\x00\x00\x00\x00\x03\x03\x02\x00"), append(make([]byte, 36), "\x4e\x20\x4e\x20"...)...)),
		"tags beyond the file": append(bytes.Clone(profile[:140]), bytes.Repeat([]byte{0xff}, len(profile)-140)...),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		c := profileConversion(file, uniform(1, 2, 3))
		runtime.ReadMemStats(&after)
		if c.to != nil || !strings.Contains(c.note, "not applied") {
			t.Errorf("%s: name %q, note %q, want it refused", name, c.name, c.note)
		}
		if cost := after.TotalAlloc - before.TotalAlloc; cost > 1<<20 {
			t.Errorf("%s costs %d bytes, want less than 1 MiB", name, cost)
		}
	}
	ref, err := Decode(t.Context(), deflated)
	if err != nil || !strings.Contains(ref.ProfileNote, "damaged") {
		t.Errorf("a profile that is not a deflate stream: %v, want a note", err)
	}
}

// failing is a converter that panics.
type failing struct{}

func (failing) row([]uint8, []uint16) { panic("index out of range") }

func TestConverterPanicIsAnError(t *testing.T) {
	_, err := convertedOnWhite(t.Context(), uniform(1, 2, 3), Size{64, 64}, failing{})
	if err == nil || !strings.Contains(err.Error(), "out of range") {
		t.Errorf("%v, want the panic as an error", err)
	}
}

// TestLargePicturesAreScaledBeforeSlowConversions checks that scaling first and converting then gives nearly the same
// levels as the other order.
func TestLargePicturesAreScaledBeforeSlowConversions(t *testing.T) {
	const side = 600
	rgb, cmyk := image.NewRGBA(image.Rect(0, 0, side, side)), image.NewCMYK(image.Rect(0, 0, side, side))
	for i := range side * side {
		x, y := i%side, i/side
		a, b, c := uint8(x*255/side), uint8(y*255/side), uint8((x+y)*255/(2*side))
		copy(rgb.Pix[4*i:], []uint8{a, b, c, 255})
		copy(cmyk.Pix[4*i:], []uint8{a, b, c, uint8(x * y / 3000)})
	}
	cmykFile, err := os.ReadFile(filepath.Join("testdata", "kinds", "profile-cmyk.jpg"))
	if err != nil {
		t.Fatal(err)
	}
	canvas := Size{side, side}
	for name, row := range map[string]struct {
		img  image.Image
		tags colourTags
	}{
		"RGB":  {rgb, colourTags{icc: profileIn(t, "profile-table-rgb.png")}},
		"CMYK": {cmyk, jpegColours(cmykFile)},
	} {
		c := conversionOf(row.tags, row.img)
		if _, slow := c.to.(*pipeline); !slow {
			t.Fatalf("%s: %T %s, want a profile with tables", name, c.to, c.note)
		}
		fit := Size{150, 150}
		got, err := convertedAndScaled(t.Context(), row.img, canvas, fit, c.to, 1000)
		if err != nil {
			t.Fatal(err)
		}
		flat, err := convertedOnWhite(t.Context(), row.img, canvas, c.to)
		if err != nil {
			t.Fatal(err)
		}
		want, err := scale(t.Context(), flat, fit)
		if err != nil {
			t.Fatal(err)
		}
		mean, worst, at := difference(got, want)
		t.Logf("%s: mean %.3f, worst %d at %v", name, mean, worst, at)
		if mean > 0.5 || worst > 8 {
			t.Errorf("%s: mean difference %.3f, worst %d at %v", name, mean, worst, at)
		}
	}
}
