package jpegrows

import (
	"bytes"
	"errors"
	"fmt"
	"image/jpeg"
	"io"
	"strings"
	"testing"

	"github.com/kleinbild/kleinbild/inference/picture/jpegrows/jpegtest"
)

// file420 returns a 4:2:0 file of the given size; set may change the other fields.
func file420(width, height int, set func(*jpegtest.File)) []byte {
	f := jpegtest.File{
		Width: width, Height: height, Factors: []byte{0x22, 0x11, 0x11}, Coefficients: jpegtest.Noise,
	}
	set(&f)
	return f.Encode()
}

// withEnd returns a file followed by another end marker, which package picture adds for files that have lost theirs.
func withEnd(file []byte) io.Reader {
	return io.MultiReader(bytes.NewReader(file), bytes.NewReader([]byte{0xff, markerEOI}))
}

// TestCutOffFiles checks that a file which lacks a part of its data ends too early, whichever way it is written. A file
// without its end marker is complete. So is a progressive file that ends between two scans, as for package image/jpeg.
func TestCutOffFiles(t *testing.T) {
	for _, way := range ways {
		file := file420(80, 64, way.set)
		_, whole, err := decode(file, 16)
		if err != nil {
			t.Fatal(err)
		}
		for _, missing := range []int{1, 2} {
			if _, pix, err := decode(file[:len(file)-missing], 16); err != nil || !bytes.Equal(pix, whole) {
				t.Errorf("%s without %d bytes: %v, want the whole picture", way.name, missing, err)
			}
		}
		for cut := 2; cut < len(file)-4; cut += 1 + cut/50 {
			_, _, err := decode(file[:cut], 16)
			if err == nil && strings.HasPrefix(way.name, "progressive") {
				_, err := jpeg.Decode(withEnd(file[:cut]))
				if err != nil && way.name == "progressive" { // with restarts, image/jpeg reads no such file
					t.Errorf("%s, cut at %d of %d bytes: accepted, image/jpeg says %v", way.name, cut, len(file), err)
				}
				continue
			}
			if !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, ErrNotRead) {
				t.Errorf("%s, cut at %d of %d bytes: %v, want %v", way.name, cut, len(file), err, io.ErrUnexpectedEOF)
			}
		}
	}
}

// TestDamagedData checks that damaged data give the errors of package image/jpeg.
func TestDamagedData(t *testing.T) {
	restarts := file420(80, 64, func(f *jpegtest.File) { f.Restart = 3 })
	for _, row := range []struct {
		name string
		file []byte
		want string
	}{
		{"another restart marker", bytes.Replace(restarts, []byte{0xff, 0xd3}, []byte{0xff, 0xd4}, 1), "bad RST marker"},
		{"an end marker amid the data", append(bytes.Clone(restarts[:len(restarts)/2]), 0xff, markerEOI),
			"short Huffman data"},
		{"an unused code", func() []byte {
			file := bytes.Clone(restarts)
			at := bytes.Index(file, []byte{0xff, markerSOS}) + 2 + 12
			copy(file[at:], bytes.Repeat([]byte{0xff, 0}, 20))
			return file
		}(), "bad Huffman code"},
	} {
		_, _, err := decode(row.file, 16)
		var damaged jpeg.FormatError
		if !errors.As(err, &damaged) || !strings.Contains(string(damaged), row.want) {
			t.Errorf("%s: %v, want %q", row.name, err, row.want)
		}
	}
}

// TestHeadersThatAreNotRead checks the headers that are left to package image/jpeg.
func TestHeadersThatAreNotRead(t *testing.T) {
	plain := file420(80, 64, func(*jpegtest.File) {})
	sof := bytes.Index(plain, []byte{0xff, markerSOF1})
	sos := bytes.Index(plain, []byte{0xff, markerSOS})
	patched := func(at int, values ...byte) []byte {
		file := bytes.Clone(plain)
		copy(file[at:], values)
		return file
	}
	for _, row := range []struct {
		name string
		file []byte
	}{
		{"not a JPEG", []byte("\x89PNG\r\n\x1a\n")},
		{"empty", nil},
		{"start marker only", plain[:2]},
		{"12 bits", patched(sof+4, 12)},
		{"arithmetic codes", patched(sof+1, 0xc9)},
		{"no height", patched(sof+5, 0, 0)},
		{"five components", patched(sof+9, 5)},
		{"4:1:1", patched(sof+11, 0x41)},
		{"a component twice", patched(sof+13, 1)},
		{"a scan of an unknown component", patched(sos+5, 9)},
		{"a table that is missing", patched(sos+6, 0x31)},
		{"the same scan twice", append(bytes.Clone(plain[:len(plain)-2]), plain[sos:]...)},
		{"too many codes", patched(bytes.Index(plain, []byte{0xff, markerDHT})+5, 9)},
	} {
		if _, err := New(row.file); !errors.Is(err, ErrNotRead) {
			t.Errorf("%s: %v, want %v", row.name, err, ErrNotRead)
		}
	}
}

// FuzzDecode checks that no file causes a panic, and that every file whose header is read here is either decoded by
// both this package and image/jpeg, or refused by both.
func FuzzDecode(f *testing.F) {
	for _, kind := range kinds {
		for _, way := range ways {
			file := jpegtest.File{
				Width: 33, Height: 20, Factors: kind.factors, Segments: kind.segments,
				Coefficients: jpegtest.Noise,
			}
			way.set(&file)
			f.Add(file.Encode())
		}
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		p, err := New(file)
		if err != nil || p.Width*p.Height > 1<<16 || len(p.scans) > 20 || unlikeJPEG(p) {
			return
		}
		if bytes.Contains(file, []byte{0xff, 0xff, 0}) {
			return // package image/jpeg takes such padding for a marker
		}
		_, _, err = decode(file, 16)
		_, wantErr := jpeg.Decode(withEnd(file))
		if (err == nil) != (wantErr == nil) {
			t.Errorf("%v, image/jpeg says %v", err, wantErr)
		}
	})
}

// unlikeJPEG reports whether package image/jpeg may treat the file differently. That package reads four components only
// with an Adobe marker, counts the restarts of scans with one component in another way than the standard, and carries
// runs of empty blocks that exceed their scan over to the next scan.
func unlikeJPEG(p *Picture) bool {
	if p.Kind == CMYK {
		return true
	}
	for _, s := range p.scans {
		if s.restart > 0 && len(s.components) == 1 && len(p.components) > 1 {
			return true
		}
	}
	d := p.NewDecoder(p.Height)
	c := d.NewCoefficients()
	d.Next(c)
	for i := range d.scans { // independently, so that an error in one scan does not hide the others
		s := &d.scans[i]
		for row := 0; row < c.Rows() && s.readRow(c, row) == nil; row++ {
		}
		if s.eobRun > 0 {
			return true
		}
	}
	return false
}

func ExamplePicture() {
	file := jpegtest.File{Width: 100, Height: 50, Factors: []byte{0x11}, Coefficients: jpegtest.Noise}
	p, err := New(file.Encode())
	fmt.Println(p.Width, p.Height, p.Kind == Gray, err)
	// Output: 100 50 true <nil>
}
