package shell

import (
	"bytes"
	"encoding/binary"
	"errors"
	"image"
	"image/png"
	"slices"
	"testing"
	"unicode/utf16"
)

// content returns what the clipboard holds in a format, whether a program put it there or Windows converted it.
func content(t *testing.T, format uintptr) (data []byte) {
	t.Helper()
	err := withClipboard(func() (err error) {
		data, err = getData(format)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// fill replaces the clipboard's content by data in one format.
func fill(t *testing.T, format uintptr, data []byte) {
	t.Helper()
	err := withClipboard(func() error {
		emptyClipboard.Call()
		return setData(format, data)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func pngOf(t *testing.T, img image.Image) []byte {
	t.Helper()
	var file bytes.Buffer
	if err := png.Encode(&file, img); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

// TestCopy reads what another program sees of a copied picture: the file, the bitmap, and the bitmap that Windows makes
// of that for older programs.
func TestCopy(t *testing.T) {
	for _, img := range []*image.NRGBA{testPicture(), opaque(testPicture())} {
		file := pngOf(t, img)
		if err := CopyPNG(file); err != nil {
			t.Fatal(err)
		}
		if have := content(t, pngFormat()); !bytes.HasPrefix(have, file) { // Windows rounds sizes up.
			t.Errorf("PNG: %d bytes, want %d", len(have), len(file))
		}
		checkDIBV5(t, content(t, cfDIBV5), img)
		old, err := bmpOfDIB(content(t, cfDIB))
		if err != nil {
			t.Fatal(err)
		}
		comparePicture(t, old, opaque(img))
		pasted, err := PastePicture()
		if err != nil {
			t.Fatal(err)
		}
		comparePicture(t, pasted, img)
	}
	if err := CopyPNG([]byte("no picture")); err == nil {
		t.Error("a text: no error, want one")
	}
}

func TestPaste(t *testing.T) {
	for _, row := range dibs() {
		t.Run(row.name, func(t *testing.T) {
			format := uintptr(cfDIB)
			if row.dib[0] == v5HeaderBytes {
				format = cfDIBV5
			}
			fill(t, format, row.dib)
			file, err := PastePicture()
			if err != nil {
				t.Fatal(err)
			}
			comparePicture(t, file, row.want)
		})
	}
	img := testPicture()
	fill(t, pngFormat(), pngOf(t, img))
	file, err := PastePicture()
	if err != nil {
		t.Fatal(err)
	}
	comparePicture(t, file, img)
}

// TestPasteFiles pastes the structure DROPFILES: a header, then names with a zero at the end of each and one at the
// end.
func TestPasteFiles(t *testing.T) {
	const header = 20
	drop := binary.LittleEndian.AppendUint32(nil, header)
	drop = append(drop, make([]byte, 12)...)
	drop = binary.LittleEndian.AppendUint32(drop, 1) // wide characters
	want := []string{`C:\a b\ä+#%.png`, `C:\c.jpg`}
	for _, name := range append(want, "") {
		for _, u := range append(utf16.Encode([]rune(name)), 0) {
			drop = binary.LittleEndian.AppendUint16(drop, u)
		}
	}
	fill(t, cfHDrop, drop)
	if files, err := PasteFiles(); err != nil || !slices.Equal(files, want) {
		t.Errorf("files %q, %v; want %q", files, err, want)
	}
	if _, err := PastePicture(); !errors.Is(err, ErrNoPicture) {
		t.Errorf("files but no picture: %v, want ErrNoPicture", err)
	}
}

// TestCopyFiles pastes the files that were copied, as another program reads them.
func TestCopyFiles(t *testing.T) {
	want := []string{`C:\Users\Ada\a fox ä 狐.png`, `C:\b.jpg`}
	if err := CopyFiles(want...); err != nil {
		t.Fatal(err)
	}
	if got, err := PasteFiles(); err != nil || !slices.Equal(got, want) {
		t.Errorf("pasted %q, %v, want %q", got, err, want)
	}
}
