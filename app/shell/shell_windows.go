package shell

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"unsafe"

	"golang.org/x/sys/windows"
)

var (
	shell32          = windows.NewLazySystemDLL("shell32.dll")
	shFileOperationW = shell32.NewProc("SHFileOperationW")
)

// shFileOpStruct is the structure SHFILEOPSTRUCTW of the Windows headers.
type shFileOpStruct struct {
	window        uintptr
	function      uint32
	from, to      *uint16
	flags         uint16
	aborted       int32
	names         uintptr
	progressTitle *uint16
}

const (
	foDelete           = 3
	fofSilent          = 0x4
	fofNoConfirmation  = 0x10
	fofAllowUndo       = 0x40
	fofNoErrorUI       = 0x400
	fofWantNukeWarning = 0x4000
)

// Bin moves the file at path to the recycle bin. On a drive without one, such as a network drive, Windows would delete
// the file, and asks the user first.
func Bin(path string) error {
	path, err := filepath.Abs(path)
	if err != nil {
		return fmt.Errorf("bin: %w", err)
	}
	if _, err := os.Lstat(path); err != nil {
		return fmt.Errorf("bin: %w", err)
	}
	from, err := windows.UTF16FromString(path)
	if err != nil {
		return fmt.Errorf("bin: %w", err)
	}
	from = append(from, 0) // Windows takes a list of names, which an empty name ends.
	const flags = fofSilent | fofNoConfirmation | fofAllowUndo | fofNoErrorUI | fofWantNukeWarning
	op := shFileOpStruct{function: foDelete, from: &from[0], flags: flags}
	code, _, _ := shFileOperationW.Call(uintptr(unsafe.Pointer(&op)))
	switch {
	case op.aborted != 0:
		return fmt.Errorf("bin: %s was not moved, because the question about it was answered with no", path)
	case code != 0:
		return fmt.Errorf("bin: %s was not moved: Windows refused (code %d)", path, code)
	}
	return nil
}

// CanUnbin tells whether Unbin works on this system. Windows has no function that restores a file from its recycle bin.
const CanUnbin = false

// Unbin returns an error on this system: see CanUnbin.
func Unbin(path string) error {
	return fmt.Errorf("bin: %s: restore it in the Explorer: %w", path, errors.ErrUnsupported)
}

// Reveal opens the Explorer with the file at path selected. It does not wait for the Explorer, whose exit code has no
// meaning.
func Reveal(path string) error {
	c := exec.Command("explorer.exe")
	c.SysProcAttr = &syscall.SysProcAttr{CmdLine: `explorer.exe /select,"` + path + `"`}
	if err := c.Start(); err != nil {
		return fmt.Errorf("the Explorer could not be opened: %w", err)
	}
	go c.Wait() // releases the process handle
	return nil
}

// Open opens the file at path in the program that Windows has for its kind.
func Open(path string) error {
	file, err := windows.UTF16PtrFromString(path)
	if err == nil {
		err = windows.ShellExecute(0, windows.StringToUTF16Ptr("open"), file, nil, nil, windows.SW_SHOWNORMAL)
	}
	if err != nil {
		return fmt.Errorf("no program could be opened for %s: %w", path, err)
	}
	return nil
}
