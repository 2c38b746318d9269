package dialog

// This file has the dialogs that sqweek/dialog lacks on Windows: those in which several files are chosen, and those for
// paths over 260 characters.

import (
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
	"unsafe"

	"golang.org/x/sys/windows"
)

var (
	comdlg32             = windows.NewLazySystemDLL("comdlg32.dll")
	getOpenFileNameW     = comdlg32.NewProc("GetOpenFileNameW")
	getSaveFileNameW     = comdlg32.NewProc("GetSaveFileNameW")
	commDlgExtendedError = comdlg32.NewProc("CommDlgExtendedError")
	shell32              = windows.NewLazySystemDLL("shell32.dll")
	shBrowseForFolderW   = shell32.NewProc("SHBrowseForFolderW")
	shGetPathFromIDList  = shell32.NewProc("SHGetPathFromIDListEx")
	ole32                = windows.NewLazySystemDLL("ole32.dll")
	coTaskMemFree        = ole32.NewProc("CoTaskMemFree")
)

// openFileName is the structure OPENFILENAMEW of the Windows headers.
type openFileName struct {
	structSize             uint32
	owner, instance        uintptr
	filter, customFilter   *uint16
	maxCustom, filterIndex uint32
	file                   *uint16
	maxFile                uint32
	fileTitle              *uint16
	maxFileTitle           uint32
	initialDir, title      *uint16
	flags                  uint32
	fileOffset, extension  uint16
	defaultExtension       *uint16
	customData, hook       uintptr
	template               *uint16
	reserved               uintptr
	reserved2, moreFlags   uint32
}

const (
	ofnOverwritePrompt  = 0x2
	ofnHideReadOnly     = 0x4 // without the box "Open as read-only", which has no meaning here
	ofnNoChangeDir      = 0x8
	ofnAllowMultiSelect = 0x200
	ofnPathMustExist    = 0x800
	ofnFileMustExist    = 0x1000
	ofnExplorer         = 0x80000
)

// nameRoom is the size of the buffer for the chosen names, in UTF-16 units. A user may choose hundreds of files.
const nameRoom = 64 << 10

// show asks for files with one of the two functions of comdlg32. The paths may have any length.
func (b *FileBuilder) show(dialog *windows.LazyProc, flags uint32) ([]string, error) {
	if err := dialog.Find(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	runtime.LockOSThread() // Windows sends the dialog's messages to the thread that opened it.
	defer runtime.UnlockOSThread()
	names := make([]uint16, nameRoom)
	if b.file != "" {
		name, err := windows.UTF16FromString(b.file)
		if err != nil {
			return nil, fmt.Errorf("dialog: %w", err)
		}
		copy(names, name)
	}
	kinds := filterList(b.filters)
	o := openFileName{owner: b.owner, filterIndex: 1, file: &names[0], maxFile: nameRoom,
		flags: flags | ofnExplorer | ofnNoChangeDir | ofnPathMustExist}
	o.structSize = uint32(unsafe.Sizeof(o))
	if len(b.filters) > 0 {
		o.filter = &kinds[0]
		o.defaultExtension, _ = windows.UTF16PtrFromString(b.filters[0].extensions[0])
	}
	o.title, _ = windows.UTF16PtrFromString(b.title)
	if dir := existing(b.dir); dir != "" {
		o.initialDir, _ = windows.UTF16PtrFromString(dir)
	}
	ok, _, _ := dialog.Call(uintptr(unsafe.Pointer(&o)))
	if ok == 0 {
		if code, _, _ := commDlgExtendedError.Call(); code != 0 {
			return nil, fmt.Errorf("dialog: the system's file dialog failed (code %#x): try again", code)
		}
		return nil, ErrCancelled
	}
	return chosenNames(names, flags&ofnAllowMultiSelect != 0), nil
}

// filterList returns the filters in the format of Windows: for each one its name and its patterns, each with a zero at
// the end, and a last zero after all of them. It adds a filter for all files.
func filterList(filters []filter) (list []uint16) {
	for _, f := range filters {
		list = append(list, windows.StringToUTF16(f.name)...)
		list = append(list, windows.StringToUTF16("*."+strings.Join(f.extensions, ";*."))...)
	}
	list = append(list, windows.StringToUTF16("All files")...)
	list = append(list, windows.StringToUTF16("*.*")...)
	return append(list, 0)
}

// chosenNames returns the paths that the dialog wrote into buffer. If the dialog allows one file, the buffer holds its
// path up to the first zero, and after that zero the rest of a longer name that was proposed. If it allows many, the
// buffer holds either one path or a folder and the names of files in it, each with a zero at the end, and a last zero.
func chosenNames(buffer []uint16, many bool) (paths []string) {
	if !many {
		return []string{windows.UTF16ToString(buffer)}
	}
	for len(buffer) > 0 && buffer[0] != 0 {
		end := 0
		for buffer[end] != 0 {
			end++
		}
		paths = append(paths, windows.UTF16ToString(buffer[:end]))
		buffer = buffer[end+1:]
	}
	if len(paths) < 2 {
		return paths
	}
	for i := range paths[1:] {
		paths[i+1] = filepath.Join(paths[0], paths[i+1])
	}
	return paths[1:]
}

// browseInfo is the structure BROWSEINFOW of the Windows headers.
type browseInfo struct {
	owner, root uintptr
	displayName *uint16
	title       *uint16
	flags       uint32
	callback    uintptr
	data        uintptr // passed to callback
	image       int32
}

const (
	bifReturnOnlyFSDirs = 0x1
	bifNewDialogStyle   = 0x40
)

// show asks for a folder. Its path may have any length. The caller has prepared the thread, and attach selects the
// folder to show first.
func (b *DirectoryBuilder) show() (string, error) {
	name := make([]uint16, windows.MAX_PATH) // The dialog writes the folder's base name here.
	info := browseInfo{displayName: &name[0], flags: bifReturnOnlyFSDirs | bifNewDialogStyle}
	info.title, _ = windows.UTF16PtrFromString(b.title)
	list, _, _ := shBrowseForFolderW.Call(uintptr(unsafe.Pointer(&info)))
	if list == 0 {
		return "", ErrCancelled
	}
	defer coTaskMemFree.Call(list)
	path := make([]uint16, windows.MAX_LONG_PATH)
	const noOptions = 0
	start, room := uintptr(unsafe.Pointer(&path[0])), uintptr(len(path))
	if ok, _, _ := shGetPathFromIDList.Call(list, start, room, noOptions); ok == 0 {
		return "", errors.New("dialog: the chosen place is not a folder on a disk, want one that is")
	}
	return windows.UTF16ToString(path), nil
}
