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

// monitorInfo is MONITORINFO. work is the screen without the taskbar.
type monitorInfo struct {
	size      uint32
	all, work windows.Rect
	flags     uint32
}

// KeepOnScreen moves a window, an HWND, to where all of it is seen. Windows cascades new windows, so that the lower end of a
// large one would lie below the screen. A window that is larger than its screen is made smaller. It is to be called on the thread
// that made the window.
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
	if left == frame.Left && top == frame.Top && width == frame.Right-frame.Left && height == frame.Bottom-frame.Top {
		return
	}
	setWindowPos.Call(window, 0, uintptr(left), uintptr(top), uintptr(width), uintptr(height), noOrder|noFocus)
}

// within moves a stretch into limits, and shortens it where it is too long for them.
func within(from, to, least, most int32) (start, length int32) {
	length = min(to-from, most-least)
	return max(min(from, most-length), least), length
}
