package shell

import (
	"runtime"
	"testing"
	"unsafe"

	"golang.org/x/sys/windows"
)

// TestKeepOnScreen opens windows that lie outside the screen or are larger.
func TestKeepOnScreen(t *testing.T) {
	runtime.LockOSThread() // A window belongs to the thread that made it.
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
		w, _, err := create.Call(0, uintptr(unsafe.Pointer(class)), 0, overlapped, uintptr(row.x), uintptr(row.y),
			uintptr(row.width), uintptr(row.height), 0, 0, 0, 0)
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
		work := info.work
		if work.Right == 0 || after.Left < work.Left || after.Top < work.Top ||
			after.Right > work.Right || after.Bottom > work.Bottom {
			t.Errorf("%s: the window is at %v, want it within %v", row.name, after, work)
		}
		if row.same != (before == after) {
			t.Errorf("%s: %v before, %v after; want them equal: %v", row.name, before, after, row.same)
		}
		if row.width < 1000 && sizeOf(before) != sizeOf(after) {
			t.Errorf("%s: the size changed from %v to %v", row.name, before, after)
		}
	}
	KeepOnScreen(0) // A window that does not exist is ignored.
}

func sizeOf(r windows.Rect) [2]int32 { return [2]int32{r.Right - r.Left, r.Bottom - r.Top} }
