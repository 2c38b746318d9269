package shell

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"image"
	"image/draw"
	"image/png"
	"runtime"
	"time"
	"unsafe"

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
	enumClipboardFormats     = user32.NewProc("EnumClipboardFormats")
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
	cfDIBV5      = 17
	gmemMoveable = 2
)

// withClipboard calls do while this thread has the clipboard open. One program at a time can open it, so it tries for
// 0.2 s.
func withClipboard(do func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for tries := 0; ; tries++ {
		if ok, _, err := openClipboard.Call(0); ok != 0 {
			break
		} else if tries == 10 {
			return fmt.Errorf("clipboard: another program holds it: try again: %w", err)
		}
		time.Sleep(20 * time.Millisecond)
	}
	defer closeClipboard.Call()
	return do()
}

// pngFormat returns the clipboard format under which browsers and picture editors share PNG files.
func pngFormat() uintptr {
	name, _ := windows.UTF16PtrFromString("PNG")
	format, _, _ := registerClipboardFormatW.Call(uintptr(unsafe.Pointer(name)))
	return format
}

// getData returns the bytes that the open clipboard holds in a format, or nil if it does not hold that format.
func getData(format uintptr) ([]byte, error) {
	if format == 0 {
		return nil, nil
	}
	handle, _, _ := getClipboardData.Call(format)
	if handle == 0 {
		return nil, nil
	}
	size, _, _ := globalSize.Call(handle)
	if size > maxPictureBytes {
		return nil, errTooLarge
	}
	from, _, _ := globalLock.Call(handle)
	if from == 0 || size == 0 {
		return nil, nil
	}
	defer globalUnlock.Call(handle)
	data := make([]byte, size)
	rtlMoveMemory.Call(uintptr(unsafe.Pointer(&data[0])), from, size)
	return data, nil
}

// PasteFiles returns the paths of the files that were copied in a file manager, none if the clipboard holds something
// else.
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

// PastePicture returns the clipboard's picture as a PNG file, or as a BMP file if the clipboard holds no PNG. The error
// is ErrNoPicture if it holds no picture.
func PastePicture() (file []byte, err error) {
	var dib []byte
	err = withClipboard(func() error {
		if file, err = getData(pngFormat()); file == nil && err == nil {
			dib, err = getData(bitmapFormat())
		}
		return err
	})
	switch {
	case err != nil:
		return nil, err
	case file != nil:
		return file, nil
	case dib == nil:
		return nil, ErrNoPicture
	}
	return bmpOfDIB(dib)
}

// bitmapFormat returns the format in which a bitmap was copied: CF_DIB, CF_DIBV5, or 0 for none. Windows converts a
// bitmap to the other format too and lists that one later. The CF_DIBV5 that it makes of a CF_DIB has no usable alpha.
func bitmapFormat() (format uintptr) {
	for {
		format, _, _ = enumClipboardFormats.Call(format)
		if format == 0 || format == cfDIB || format == cfDIBV5 {
			return format
		}
	}
}

// CopyPNG puts a PNG file on the clipboard, and the same picture as a bitmap for programs that do not paste PNG.
func CopyPNG(file []byte) error {
	img, err := png.Decode(bytes.NewReader(file))
	if err != nil {
		return fmt.Errorf("clipboard: %w", err)
	}
	straight, ok := img.(*image.NRGBA)
	if !ok {
		straight = image.NewNRGBA(img.Bounds())
		draw.Draw(straight, straight.Rect, img, straight.Rect.Min, draw.Src)
	}
	dib := dibV5(straight)
	return withClipboard(func() error {
		if ok, _, err := emptyClipboard.Call(); ok == 0 {
			return fmt.Errorf("clipboard: %w", err)
		}
		// PNG comes first, because programs take the first format that they know.
		if err := setData(pngFormat(), file); err != nil {
			return err
		}
		return setData(cfDIBV5, dib) // Windows makes CF_DIB and CF_BITMAP of it.
	})
}

// CopyFiles puts files on the clipboard, as the Explorer does: they can be pasted into folders, mails and other
// programs. Paths are absolute.
func CopyFiles(paths ...string) error {
	// The structure DROPFILES: where the names begin, a point and a flag that are not used, and that they are UTF-16.
	data := make([]byte, 20)
	binary.LittleEndian.PutUint32(data, uint32(len(data)))
	binary.LittleEndian.PutUint32(data[16:], 1)
	for _, path := range paths {
		name, err := windows.UTF16FromString(path)
		if err != nil {
			return fmt.Errorf("clipboard: %s: %w", path, err)
		}
		for _, unit := range name { // with a zero at the end
			data = binary.LittleEndian.AppendUint16(data, unit)
		}
	}
	data = append(data, 0, 0)
	return withClipboard(func() error {
		if ok, _, err := emptyClipboard.Call(); ok == 0 {
			return fmt.Errorf("clipboard: %w", err)
		}
		return setData(cfHDrop, data)
	})
}

// setData puts data on the open clipboard in a format.
func setData(format uintptr, data []byte) error {
	handle, _, err := globalAlloc.Call(gmemMoveable, uintptr(len(data)))
	if handle == 0 {
		return fmt.Errorf("clipboard: %w", err)
	}
	to, _, err := globalLock.Call(handle)
	if to == 0 {
		globalFree.Call(handle)
		return fmt.Errorf("clipboard: %w", err)
	}
	rtlMoveMemory.Call(to, uintptr(unsafe.Pointer(&data[0])), uintptr(len(data)))
	globalUnlock.Call(handle)
	if ok, _, err := setClipboardData.Call(format, handle); ok == 0 {
		globalFree.Call(handle)
		return fmt.Errorf("clipboard: %w", err)
	}
	return nil // The clipboard owns the memory now.
}
