package dialog

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/windows"
)

// These tests open the dialogs of Windows and press their buttons, as a user does.

var (
	postMessageW = user32.NewProc("PostMessageW")
	getDlgCtrlID = user32.NewProc("GetDlgCtrlID")
)

const (
	wmSetText, wmCommand = 0xc, 0x111
	idOK, idCancel       = 1, 2
	readOnlyBox          = 0x410 // the control chx1 of dlgs.h
)

// found collects the windows that EnumChildWindows passes to its callback.
type found struct {
	class string // the class of windows to collect; "" collects all
	list  []windows.HWND
}

var collect = windows.NewCallback(func(w windows.HWND, to *found) uintptr {
	name := make([]uint16, 64)
	_, err := windows.GetClassName(w, &name[0], int32(len(name)))
	if err == nil && (to.class == "" || windows.UTF16ToString(name) == to.class) {
		to.list = append(to.list, w)
	}
	return 1 // continue with the next window
})

func windowsOf(parent windows.HWND, class string) []windows.HWND {
	f := &found{class: class}
	windows.EnumChildWindows(parent, collect, unsafe.Pointer(f))
	return f.list
}

// use waits until this program shows a dialog and passes it to do. The caller opens the dialog afterwards, and then
// waits for done to be closed.
func use(t *testing.T, do func(dialog windows.HWND)) (done chan struct{}) {
	done = make(chan struct{})
	go func() {
		defer close(done)
		const dialogClass = "#32770"
		for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
			for _, w := range windowsOf(windows.GetDesktopWindow(), dialogClass) {
				var process uint32
				_, err := windows.GetWindowThreadProcessId(w, &process)
				if err == nil && process == windows.GetCurrentProcessId() && windows.IsWindowVisible(w) {
					do(w)
					return
				}
			}
		}
		t.Error("no dialog appeared within 20 s")
	}()
	return done
}

func press(dialog windows.HWND, button uintptr) {
	postMessageW.Call(uintptr(dialog), wmCommand, button, 0)
}

// folder makes a folder that is removed at the end of the test, which must leave it empty. t.TempDir fails under Wine
// 8, because os.RemoveAll does.
func folder(t *testing.T, name string) string {
	t.Helper()
	dir := filepath.Join(os.TempDir(), name)
	if err := os.MkdirAll(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Remove(dir) })
	return dir
}

// TestSaveShorterName saves under a name that is shorter than the proposed one, whose rest stays in the buffer.
func TestSaveShorterName(t *testing.T) {
	dir := folder(t, "kleinbild ä save")
	pressed := use(t, func(w windows.HWND) {
		name, _ := windows.UTF16PtrFromString("k.png")
		for _, edit := range windowsOf(w, "Edit") {
			sendMessageW.Call(uintptr(edit), wmSetText, 0, uintptr(unsafe.Pointer(name)))
		}
		press(w, idOK)
	})
	proposed := strings.Repeat("long ", 20) + "name.png"
	have, err := File().Filter("PNG", "png").SetStartDir(dir).SetStartFile(proposed).Save()
	<-pressed
	if want := filepath.Join(dir, "k.png"); err != nil || have != want {
		t.Errorf("%q, %v; want %q", have, err, want)
	}
}

// TestNoReadOnlyBox checks that the dialog does not offer to open files as read-only.
func TestNoReadOnlyBox(t *testing.T) {
	pressed := use(t, func(w windows.HWND) {
		for _, child := range windowsOf(w, "") {
			if id, _, _ := getDlgCtrlID.Call(uintptr(child)); id == readOnlyBox && windows.IsWindowVisible(child) {
				t.Error("the dialog shows the box “Open as read-only”")
			}
		}
		press(w, idCancel)
	})
	if have, err := File().Filter("PNG", "png").LoadMany(); !errors.Is(err, ErrCancelled) {
		t.Errorf("cancelled: %q, %v", have, err)
	}
	<-pressed
}

// treeItem is the structure TVITEMW of the Windows headers.
type treeItem struct {
	mask                                    uint32
	item                                    uintptr
	state, stateMask                        uint32
	text                                    *uint16
	textMax, image, selectedImage, children int32
	param                                   uintptr
}

// chosenInTree returns the name of the folder that is selected in a folder dialog.
func chosenInTree(dialog windows.HWND) string {
	const getNextItem, caret, getItem, byHandle, text = 0x110a, 9, 0x113e, 0x10, 0x1
	for _, tree := range windowsOf(dialog, "SysTreeView32") {
		name := make([]uint16, windows.MAX_PATH)
		i := treeItem{mask: byHandle | text, text: &name[0], textMax: int32(len(name))}
		i.item, _, _ = sendMessageW.Call(uintptr(tree), getNextItem, caret, 0)
		sendMessageW.Call(uintptr(tree), getItem, 0, uintptr(unsafe.Pointer(&i)))
		return windows.UTF16ToString(name)
	}
	return ""
}

func TestBrowseStartsInItsFolder(t *testing.T) {
	dir := folder(t, "kleinbild ä folder")
	// In a new profile, Wine 8 does not select the folder in the first dialog, so this one is cancelled.
	pressed := use(t, func(w windows.HWND) { press(w, idCancel) })
	if have, err := Directory().SetStartDir(dir).Browse(); !errors.Is(err, ErrCancelled) {
		t.Errorf("cancelled: %q, %v", have, err)
	}
	<-pressed
	for _, start := range []string{filepath.ToSlash(dir), filepath.Join(dir, "not", "there")} {
		pressed = use(t, func(w windows.HWND) {
			// The dialog opens the folders above one after another, which may take a moment.
			end := time.Now().Add(5 * time.Second)
			for chosenInTree(w) != filepath.Base(dir) && time.Now().Before(end) {
				time.Sleep(20 * time.Millisecond)
			}
			press(w, idOK)
		})
		have, err := Directory().Title("Where?").SetStartDir(start).Browse()
		<-pressed
		if err != nil || !sameFile(have, dir) {
			t.Errorf("start folder %s: %q, %v; want %s", start, have, err, dir)
		}
	}
}

func sameFile(a, b string) bool {
	one, err := os.Stat(a)
	if err != nil {
		return false
	}
	two, err := os.Stat(b)
	return err == nil && os.SameFile(one, two)
}
