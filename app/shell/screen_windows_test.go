package shell

import (
	"runtime"
	"testing"
	"unsafe"

	"golang.org/x/sys/windows"
)

// TestKeepOnScreen opens windows that the screen does not hold.
func TestKeepOnScreen(t *testing.T) {
	runtime.LockOSThread() // a window belongs to the thread that made it
	defer runtime.UnlockOSThread()
	class, _ := windows.UTF16PtrFromString("Static")
	create, destroy := user32.NewProc("CreateWindowExW"), user32.NewProc("DestroyWindow")
	info := monitorInfo{size: uint32(unsafe.Sizeof(monitorInfo{}))}
	for _, row := range []struct {
		name                string
		x, y, width, height int32
		same                bool
	}{
		{"on it", 10, 10, 300, 200, true},
		{"below it", 100, 5000, 300, 200, false},
		{"above and left of it", -200, -100, 300, 200, false},
		{"larger than it", 26, 26, 9000, 8000, false},
	} {
		const overlapped = 0xcf0000
		w, _, err := create.Call(0, uintptr(unsafe.Pointer(class)), 0, overlapped, uintptr(row.x), uintptr(row.y), uintptr(row.width), uintptr(row.height), 0, 0, 0, 0)
		if w == 0 {
			t.Fatal(err)
		}
		var before, after windows.Rect
		getWindowRect.Call(w, uintptr(unsafe.Pointer(&before)))
		KeepOnScreen(w)
		getWindowRect.Call(w, uintptr(unsafe.Pointer(&after)))
		monitor, _, _ := monitorFromWindow.Call(w, 2)
		getMonitorInfoW.Call(monitor, uintptr(unsafe.Pointer(&info)))
		destroy.Call(w)
		if after.Left < info.work.Left || after.Top < info.work.Top || after.Right > info.work.Right || after.Bottom > info.work.Bottom || info.work.Right == 0 {
			t.Errorf("%s: the window lies at %v, want it within %v", row.name, after, info.work)
		}
		if row.same != (before == after) {
			t.Errorf("%s: %v before, %v after", row.name, before, after)
		}
		if row.width < 1000 && (after.Right-after.Left != before.Right-before.Left || after.Bottom-after.Top != before.Bottom-before.Top) {
			t.Errorf("%s: size changed from %v to %v", row.name, before, after)
		}
	}
	KeepOnScreen(0) // a window that is gone
}
