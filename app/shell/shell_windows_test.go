package shell

import (
	"bytes"
	"encoding/binary"
	"errors"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"unicode/utf16"
	"unsafe"

	"golang.org/x/image/bmp"
)

func TestClipboard(t *testing.T) {
	file := bytes.Repeat([]byte("PNG as it is"), 30_000)
	if err := CopyPNG(file); err != nil {
		t.Fatal(err)
	}
	got, err := PastePNG()
	if err != nil || !bytes.HasPrefix(got, file) { // the system rounds its sizes up
		t.Errorf("pasted %d of %d bytes, %v", len(got), len(file), err)
	}

	// A bitmap, as older programs copy it.
	img := image.NewRGBA(image.Rect(0, 0, 5, 3))
	for i := range img.Pix {
		img.Pix[i] = 255 - byte(i)%40
	}
	for i := 3; i < len(img.Pix); i += 4 {
		img.Pix[i] = 255
	}
	var bitmap bytes.Buffer
	if err := bmp.Encode(&bitmap, img); err != nil {
		t.Fatal(err)
	}
	put(t, cfDIB, bitmap.Bytes()[14:])
	got, err = PastePNG()
	if err != nil {
		t.Fatal(err)
	}
	back, err := png.Decode(bytes.NewReader(got))
	if err != nil || back.Bounds() != img.Rect {
		t.Fatalf("%v, %v", back, err)
	}
	for y := range 3 {
		for x := range 5 {
			if r, g, b, _ := back.At(x, y).RGBA(); uint8(r>>8) != img.RGBAAt(x, y).R || uint8(g>>8) != img.RGBAAt(x, y).G || uint8(b>>8) != img.RGBAAt(x, y).B {
				t.Fatalf("pixel %d,%d is %v, want %v", x, y, back.At(x, y), img.At(x, y))
			}
		}
	}

	// Copied files: DROPFILES, then names ended by zeros.
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
	put(t, cfHDrop, drop)
	if files, err := PasteFiles(); err != nil || !slices.Equal(files, want) {
		t.Errorf("files %q, %v", files, err)
	}
	if _, err := PastePNG(); !errors.Is(err, ErrNoPicture) {
		t.Errorf("a picture of files: %v", err)
	}
}

// put fills the clipboard with one format.
func put(t *testing.T, format uintptr, data []byte) {
	t.Helper()
	err := withClipboard(func() error {
		emptyClipboard.Call()
		handle, _, _ := globalAlloc.Call(gmemMoveable, uintptr(len(data)))
		to, _, _ := globalLock.Call(handle)
		rtlMoveMemory.Call(to, uintptr(unsafe.Pointer(&data[0])), uintptr(len(data)))
		globalUnlock.Call(handle)
		if ok, _, err := setClipboardData.Call(format, handle); ok == 0 {
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestBin(t *testing.T) {
	path := filepath.Join(os.TempDir(), "kleinbild test.png")
	if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(path)
	if err := Bin(path); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("the file is still there")
	}
	if err := Bin(path); err == nil {
		t.Error("a file that is gone was moved")
	}
}
