package dialog

import (
	"fmt"
	"runtime"
	"sync"
	"unsafe"

	"golang.org/x/sys/windows"
)

var (
	user32              = windows.NewLazySystemDLL("user32.dll")
	setWindowsHookExW   = user32.NewProc("SetWindowsHookExW")
	unhookWindowsHookEx = user32.NewProc("UnhookWindowsHookEx")
	callNextHookEx      = user32.NewProc("CallNextHookEx")
	setWindowLongPtrW   = user32.NewProc("SetWindowLongPtrW")
	enableWindow        = user32.NewProc("EnableWindow")
	setForegroundWindow = user32.NewProc("SetForegroundWindow")
	postMessageW        = user32.NewProc("PostMessageW")
)

// Numbers of the Windows headers.
const (
	whCBT             = 5
	hcbtDestroyWindow = 4
	hcbtActivate      = 5
	gwlpOwner         = ^uintptr(7) // GWLP_HWNDPARENT, -8
	bffmSetSelectionW = 0x400 + 103
	dialogClass       = "#32770"
)

// attachment is what a dialog gets when it appears: the window that it stays in front of, and the folder to select.
type attachment struct {
	owner  uintptr
	start  *uint16
	dialog windows.HWND // the dialog, as soon as it has appeared
}

var (
	attaching sync.Mutex  // held while a dialog is open through attach
	attached  *attachment // of that dialog
)

// attach shows a dialog that knows no owner, and makes it belong to the window owner (0 for none), which takes no input
// meanwhile, as if Windows had been given the owner. In a folder dialog it selects the folder start ("" for none). Two
// dialogs are shown one after the other.
func attach(owner uintptr, start string, show func() (string, error)) (string, error) {
	attaching.Lock()
	defer attaching.Unlock()
	runtime.LockOSThread() // A hook is called for the windows of one thread.
	defer runtime.UnlockOSThread()
	attached = &attachment{owner: owner}
	if start != "" {
		attached.start, _ = windows.UTF16PtrFromString(start)
	}
	hook, _, err := setWindowsHookExW.Call(whCBT, onWindow(), 0, uintptr(windows.GetCurrentThreadId()))
	if hook == 0 {
		return "", fmt.Errorf("dialog: SetWindowsHookEx: %w", err)
	}
	defer unhookWindowsHookEx.Call(hook)
	defer func() {
		if attached.dialog != 0 && owner != 0 {
			enableWindow.Call(owner, 1)
			setForegroundWindow.Call(owner)
		}
	}()
	return show()
}

// onWindow returns the hook function, which Windows calls before it activates or destroys a window of the thread. Go
// never frees a callback, so all dialogs share this one.
var onWindow = sync.OnceValue(func() uintptr {
	return windows.NewCallback(func(code uintptr, window windows.HWND, data uintptr) uintptr {
		a := attached
		switch {
		case int32(code) == hcbtActivate && a.dialog == 0 && isDialog(window):
			a.dialog = window
			if a.owner != 0 {
				setWindowLongPtrW.Call(uintptr(window), gwlpOwner, a.owner)
				enableWindow.Call(a.owner, 0)
			}
			if a.start != nil {
				// The message waits until the dialog is ready. attached keeps the text alive.
				const isText = 1
				postMessageW.Call(uintptr(window), bffmSetSelectionW, isText, uintptr(unsafe.Pointer(a.start)))
			}
		case int32(code) == hcbtDestroyWindow && a.dialog == window && a.owner != 0:
			// If the owner could not be activated now, Windows would activate a window of another program.
			enableWindow.Call(a.owner, 1)
		}
		next, _, _ := callNextHookEx.Call(0, code, uintptr(window), data)
		return next
	})
})

// isDialog reports whether a window is a dialog of the system's.
func isDialog(window windows.HWND) bool {
	name := make([]uint16, 64)
	n, err := windows.GetClassName(window, &name[0], int32(len(name)))
	return err == nil && windows.UTF16ToString(name[:n]) == dialogClass
}
