package shell

import (
	"unsafe"

	"golang.org/x/sys/windows"
)

var (
	monitorFromWindow = user32.NewProc("MonitorFromWindow")
	getMonitorInfoW   = user32.NewProc("GetMonitorInfoW")
	getWindowRect     = user32.NewProc("GetWindowRect")
	setWindowPos      = user32.NewProc("SetWindowPos")
)

// monitorInfo is the structure MONITORINFO of the Windows headers. work is the screen without the taskbar.
type monitorInfo struct {
	size      uint32
	all, work windows.Rect
	flags     uint32
}

// KeepOnScreen moves a window, an HWND, so that all of it is visible, and shrinks it if it is larger than the screen.
// Windows places new windows in a cascade, in which the lower edge of a large window may lie below the screen. Call it
// on the thread that made the window.
func KeepOnScreen(window uintptr) {
	const nearest, noOrder, noFocus = 2, 0x4, 0x10
	var frame windows.Rect
	info := monitorInfo{size: uint32(unsafe.Sizeof(monitorInfo{}))}
	monitor, _, _ := monitorFromWindow.Call(window, nearest)
	if ok, _, _ := getMonitorInfoW.Call(monitor, uintptr(unsafe.Pointer(&info))); ok == 0 {
		return
	}
	if ok, _, _ := getWindowRect.Call(window, uintptr(unsafe.Pointer(&frame))); ok == 0 {
		return
	}
	left, width := within(frame.Left, frame.Right, info.work.Left, info.work.Right)
	top, height := within(frame.Top, frame.Bottom, info.work.Top, info.work.Bottom)
	if (windows.Rect{Left: left, Top: top, Right: left + width, Bottom: top + height}) == frame {
		return
	}
	const flags = noOrder | noFocus
	setWindowPos.Call(window, 0, uintptr(left), uintptr(top), uintptr(width), uintptr(height), flags)
}

// within moves an interval into the limits least and most, and shortens it if it is longer than they allow.
func within(from, to, least, most int32) (start, length int32) {
	length = min(to-from, most-least)
	return max(min(from, most-length), least), length
}
