package jpegrows

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/kleinbild/kleinbild/inference/picture/jpegrows/jpegtest"
)

// decode decodes a whole file in bands of so many rows.
func decode(file []byte, bandRows int) (*Picture, []byte, error) {
	p, err := New(file)
	if err != nil {
		return nil, nil, err
	}
	d := p.NewDecoder(bandRows)
	c, scratch := d.NewCoefficients(), d.NewScratch()
	pix := make([]byte, 4*p.Width*p.Height)
	for d.Next(c) {
		for part := range d.Parts() {
			if err := d.Read(c, part); err != nil {
				return nil, nil, err
			}
		}
		for row := range c.Rows() {
			d.Transform(c, row)
		}
		first, end := d.Ready(c)
		for y := first; y < end; y++ {
			d.Row(y, pix[4*p.Width*y:4*p.Width*(y+1)], scratch)
		}
		d.Advance(c)
	}
	return p, pix, nil
}

type size struct{ width, height int }

// sizes are smaller than a block, smaller than an MCU, whole MCUs, and several bands of 16 rows.
var sizes = []size{{1, 1}, {2, 3}, {3, 2}, {5, 17}, {16, 16}, {17, 33}, {31, 8}, {64, 47}, {131, 77}}

// kinds holds, for each kind of file, the SHA-256 of the pixels of all sizes, four bytes a pixel, as Pillow 13.0 with
// libjpeg-turbo 3.2 decodes them. Gray and coloured pictures are converted with convert("RGBA"); CMYK is not converted.
var kinds = []struct {
	name     string
	kind     Kind
	factors  []byte
	segments string
	digest   string
}{
	{"gray", Gray, []byte{0x11}, "",
		"614fe7522e5818f67df7227a28584cb80259b667a4c948849640e3dc7af85118"},
	{"gray-22", Gray, []byte{0x22}, "",
		"614fe7522e5818f67df7227a28584cb80259b667a4c948849640e3dc7af85118"},
	{"444", RGB, []byte{0x11, 0x11, 0x11}, "",
		"54f9b2e88abf6aeffec9de29e862d77a61eb570dbc26eb2ec26404fdbfa9597d"},
	{"422", RGB, []byte{0x21, 0x11, 0x11}, "",
		"9935c256f49755129fdde85b16e5b4f045866a1379c33edb13ee76701209cdc6"},
	{"440", RGB, []byte{0x12, 0x11, 0x11}, "",
		"5e71711e96332d5357f71fdedaf94014e3b7b54199f6ff26bf3a8de0daa57ade"},
	{"420", RGB, []byte{0x22, 0x11, 0x11}, "",
		"24fa6607941e74739743a95418a6ba20252ac5515a592adb8996cdb3735a7166"},
	{"440-22", RGB, []byte{0x22, 0x21, 0x21}, "",
		"5e71711e96332d5357f71fdedaf94014e3b7b54199f6ff26bf3a8de0daa57ade"},
	{"rgb", RGB, []byte{0x11, 0x11, 0x11}, jpegtest.Adobe(0),
		"ae19d664895b419b787e13a58667224de1416f45baba0db17169a5f4c0b34f4e"},
	{"cmyk", CMYK, []byte{0x11, 0x11, 0x11, 0x11}, "",
		"c61636c8f98cc930c871ce54556bff46074399769f9dba8f66440928c004b8bb"},
	{"cmyk-adobe", CMYK, []byte{0x11, 0x11, 0x11, 0x11}, jpegtest.Adobe(0),
		"c61636c8f98cc930c871ce54556bff46074399769f9dba8f66440928c004b8bb"},
	{"cmyk-22", CMYK, []byte{0x22, 0x11, 0x11, 0x22}, jpegtest.Adobe(0),
		"eafb775bb162b72755fcf9c1579ac4412a9ede17a1c46aa5e38b94112fce62e2"},
	{"ycck", CMYK, []byte{0x11, 0x11, 0x11, 0x11}, jpegtest.Adobe(2),
		"be7ed00435da68a335fbc12072d96495ac2a55f919e85f335173aa2e362d9b08"},
	{"ycck-22", CMYK, []byte{0x22, 0x11, 0x11, 0x22}, jpegtest.Adobe(2),
		"5c2df6783893a5444248941c0554643e37584725f62c3ad1f87312be1c503ccd"},
}

// ways lists the ways in which the same coefficients can be written.
var ways = []struct {
	name string
	set  func(*jpegtest.File)
}{
	{"sequential", func(*jpegtest.File) {}},
	{"separate", func(f *jpegtest.File) { f.Separate = true }},
	{"progressive", func(f *jpegtest.File) { f.Progressive = true }},
	{"restarts", func(f *jpegtest.File) { f.Restart = 3 }},
	{"progressive-restarts", func(f *jpegtest.File) { f.Progressive, f.Restart = true, 5 }},
}

// TestLevelsAreLibjpegs compares with Pillow. All levels must be equal, for every kind and size, every way to write a
// file, and every number of rows in a band. If $KLEINBILD_JPEG_FILES names a folder, the files are written there, so
// that Pillow can decode them.
func TestLevelsAreLibjpegs(t *testing.T) {
	folder := os.Getenv("KLEINBILD_JPEG_FILES")
	for _, kind := range kinds {
		for _, way := range ways {
			digest := sha256.New()
			for i, size := range sizes {
				f := jpegtest.File{
					Width: size.width, Height: size.height, Factors: kind.factors, Segments: kind.segments,
					Coefficients: jpegtest.Noise,
				}
				way.set(&f)
				file := f.Encode()
				if folder != "" {
					name := fmt.Sprintf("%s.%s.%d.jpg", kind.name, way.name, i)
					if err := os.WriteFile(filepath.Join(folder, name), file, 0o666); err != nil {
						t.Fatal(err)
					}
				}
				p, pix, err := decode(file, 16)
				if err != nil || p.Kind != kind.kind || p.Width != size.width || p.Height != size.height {
					t.Fatalf("%s, %s, %v: %v, %+v", kind.name, way.name, size, err, p)
				}
				digest.Write(pix)
				for _, rows := range []int{1, 1000} {
					if _, other, err := decode(file, rows); err != nil || !bytes.Equal(other, pix) {
						t.Errorf("%s, %s, %v: %v, or other levels with bands of %d rows", kind.name, way.name, size, err, rows)
					}
				}
			}
			if got := hex.EncodeToString(digest.Sum(nil)); got != kind.digest {
				t.Errorf("%s, %s: digest %s, want %s", kind.name, way.name, got, kind.digest)
			}
		}
	}
}

// TestColoursOfSegments checks which segments decide between YCbCr and RGB, as in libjpeg: a JFIF segment means YCbCr,
// even with a thumbnail's segment (JFXX) after it and an Adobe segment that says RGB.
func TestColoursOfSegments(t *testing.T) {
	const (
		jfif = "\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00"
		jfxx = "\xff\xe0\x00\x08JFXX\x00\x10"
		tiny = "\xff\xe0\x00\x07JFIF\x00" // too short to be one
	)
	for _, row := range []struct {
		name, segments string
		toRGB          bool
	}{
		{"none", "", true},
		{"Adobe", jpegtest.Adobe(0), false},
		{"JFIF and Adobe", jfif + jpegtest.Adobe(0), true},
		{"JFIF, its thumbnail and Adobe", jfif + jfxx + jpegtest.Adobe(0), true},
		{"a short JFIF and Adobe", tiny + jpegtest.Adobe(0), false},
	} {
		f := jpegtest.File{
			Width: 16, Height: 16, Factors: []byte{0x11, 0x11, 0x11}, Segments: row.segments, Coefficients: jpegtest.Noise,
		}
		p, err := New(f.Encode())
		if err != nil {
			t.Fatalf("%s: %v", row.name, err)
		}
		if p.toRGB != row.toRGB {
			t.Errorf("%s: converted from YCbCr: %v, want %v", row.name, p.toRGB, row.toRGB)
		}
	}
}

// TestTableOfFirstScan checks that a component keeps the quantisation table of its first scan, as in libjpeg.
func TestTableOfFirstScan(t *testing.T) {
	f := jpegtest.File{Width: 48, Height: 32, Factors: []byte{0x11}, Progressive: true, Coefficients: jpegtest.Noise}
	file := f.Encode()
	_, want, err := decode(file, 16)
	if err != nil {
		t.Fatal(err)
	}
	later := append([]byte{0xff, markerDQT, 0, 67, 0}, bytes.Repeat([]byte{40}, 64)...)
	first := bytes.Index(file, []byte{0xff, markerSOS})
	second := first + 2 + bytes.Index(file[first+2:], []byte{0xff, markerSOS})
	for at, same := range map[int]bool{first: false, second: true} {
		_, got, err := decode(slices.Concat(file[:at], later, file[at:]), 16)
		if err != nil || bytes.Equal(got, want) != same {
			t.Errorf("another table at byte %d: %v, the same levels: %v, want %v", at, err, !same, same)
		}
	}
}
