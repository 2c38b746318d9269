package shell

import (
	"bytes"
	"fmt"
	"image/png"
	"runtime"
	"time"
	"unsafe"

	"github.com/jsummers/gobmp"
	"golang.org/x/sys/windows"
)

var (
	user32                   = windows.NewLazySystemDLL("user32.dll")
	kernel32                 = windows.NewLazySystemDLL("kernel32.dll")
	openClipboard            = user32.NewProc("OpenClipboard")
	closeClipboard           = user32.NewProc("CloseClipboard")
	emptyClipboard           = user32.NewProc("EmptyClipboard")
	getClipboardData         = user32.NewProc("GetClipboardData")
	setClipboardData         = user32.NewProc("SetClipboardData")
	registerClipboardFormatW = user32.NewProc("RegisterClipboardFormatW")
	globalAlloc              = kernel32.NewProc("GlobalAlloc")
	globalFree               = kernel32.NewProc("GlobalFree")
	globalLock               = kernel32.NewProc("GlobalLock")
	globalUnlock             = kernel32.NewProc("GlobalUnlock")
	globalSize               = kernel32.NewProc("GlobalSize")
	rtlMoveMemory            = kernel32.NewProc("RtlMoveMemory")
	dragQueryFileW           = shell32.NewProc("DragQueryFileW")
)

const (
	cfDIB        = 8
	cfHDrop      = 15
	gmemMoveable = 2
)

// withClipboard opens the clipboard, which belongs to one program at a time, on one thread.
func withClipboard(do func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for tries := 0; ; tries++ {
		if ok, _, err := openClipboard.Call(0); ok != 0 {
			break
		} else if tries == 10 {
			return fmt.Errorf("clipboard: another program holds it: %w", err)
		}
		time.Sleep(20 * time.Millisecond)
	}
	defer closeClipboard.Call()
	return do()
}

// pngFormat is the format that browsers and picture editors share PNG files under.
func pngFormat() uintptr {
	name, _ := windows.UTF16PtrFromString("PNG")
	format, _, _ := registerClipboardFormatW.Call(uintptr(unsafe.Pointer(name)))
	return format
}

// read copies a format's bytes; nil where the clipboard does not have it.
func read(format uintptr) []byte {
	handle, _, _ := getClipboardData.Call(format)
	if handle == 0 {
		return nil
	}
	size, _, _ := globalSize.Call(handle)
	from, _, _ := globalLock.Call(handle)
	if from == 0 || size == 0 {
		return nil
	}
	defer globalUnlock.Call(handle)
	data := make([]byte, size)
	rtlMoveMemory.Call(uintptr(unsafe.Pointer(&data[0])), from, size)
	return data
}

// PasteFiles returns the files that were copied in a file manager.
func PasteFiles() (paths []string, err error) {
	err = withClipboard(func() error {
		drop, _, _ := getClipboardData.Call(cfHDrop)
		if drop == 0 {
			return nil
		}
		const all = 0xffffffff
		count, _, _ := dragQueryFileW.Call(drop, all, 0, 0)
		for i := range count {
			length, _, _ := dragQueryFileW.Call(drop, i, 0, 0)
			name := make([]uint16, length+1)
			dragQueryFileW.Call(drop, i, uintptr(unsafe.Pointer(&name[0])), length+1)
			paths = append(paths, windows.UTF16ToString(name))
		}
		return nil
	})
	return paths, err
}

// PastePNG returns the clipboard's picture as a PNG file.
func PastePNG() (file []byte, err error) {
	var dib []byte
	err = withClipboard(func() error {
		if file = read(pngFormat()); file == nil {
			dib = read(cfDIB)
		}
		return nil
	})
	switch {
	case err != nil:
		return nil, err
	case file != nil:
		return file, nil
	case dib == nil:
		return nil, ErrNoPicture
	}
	return pngOfDIB(dib)
}

// pngOfDIB puts the file header back in front of a device-independent bitmap.
func pngOfDIB(dib []byte) ([]byte, error) {
	if len(dib) < 40 {
		return nil, ErrNoPicture
	}
	le := func(at int) uint32 {
		return uint32(dib[at]) | uint32(dib[at+1])<<8 | uint32(dib[at+2])<<16 | uint32(dib[at+3])<<24
	}
	header, bits, compression, colours := le(0), le(14)&0xffff, le(16), le(32)
	offset := 14 + header
	const bitfields = 3
	if compression == bitfields && header == 40 {
		offset += 12
	}
	if colours == 0 && bits <= 8 {
		colours = 1 << bits
	}
	offset += 4 * colours
	size := uint32(14 + len(dib))
	file := []byte{'B', 'M', byte(size), byte(size >> 8), byte(size >> 16), byte(size >> 24), 0, 0, 0, 0,
		byte(offset), byte(offset >> 8), byte(offset >> 16), byte(offset >> 24)}
	// Windows makes bit fields of many pictures, which x/image/bmp refuses behind a header of 40 bytes.
	img, err := gobmp.Decode(bytes.NewReader(append(file, dib...)))
	if err != nil {
		return nil, fmt.Errorf("clipboard: the picture is of a kind that is not read: %w", err)
	}
	var out bytes.Buffer
	if err := png.Encode(&out, img); err != nil {
		return nil, fmt.Errorf("clipboard: %w", err)
	}
	return out.Bytes(), nil
}

// CopyPNG puts a PNG file on the clipboard.
func CopyPNG(file []byte) error {
	return withClipboard(func() error {
		if ok, _, err := emptyClipboard.Call(); ok == 0 {
			return fmt.Errorf("clipboard: %w", err)
		}
		handle, _, err := globalAlloc.Call(gmemMoveable, uintptr(len(file)))
		if handle == 0 {
			return fmt.Errorf("clipboard: %w", err)
		}
		to, _, err := globalLock.Call(handle)
		if to == 0 {
			globalFree.Call(handle)
			return fmt.Errorf("clipboard: %w", err)
		}
		rtlMoveMemory.Call(to, uintptr(unsafe.Pointer(&file[0])), uintptr(len(file)))
		globalUnlock.Call(handle)
		if ok, _, err := setClipboardData.Call(pngFormat(), handle); ok == 0 {
			globalFree.Call(handle)
			return fmt.Errorf("clipboard: %w", err)
		}
		return nil // the memory is the clipboard's now
	})
}
