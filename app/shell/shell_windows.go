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

// shFileOpStruct is SHFILEOPSTRUCTW.
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

// Bin moves a file to the recycle bin. Where there is none, as on a network drive, Windows would delete the file: it asks first.
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
	from = append(from, 0) // a list of names, ended by an empty one
	op := shFileOpStruct{function: foDelete, from: &from[0], flags: fofSilent | fofNoConfirmation | fofAllowUndo | fofNoErrorUI | fofWantNukeWarning}
	code, _, _ := shFileOperationW.Call(uintptr(unsafe.Pointer(&op)))
	switch {
	case op.aborted != 0:
		return fmt.Errorf("bin: %s stays where it is", path)
	case code != 0:
		return fmt.Errorf("bin: %s: Windows refuses (code %d)", path, code)
	}
	return nil
}

// CanUnbin says that Unbin works on this system. Windows has no call that takes a file back from its bin.
const CanUnbin = false

// Unbin is there for other systems.
func Unbin(path string) error {
	return fmt.Errorf("bin: %s: take it back with the Explorer: %w", path, errors.ErrUnsupported)
}

// Reveal opens the Explorer with the file selected. Its exit code says nothing.
func Reveal(path string) error {
	c := exec.Command("explorer.exe")
	c.SysProcAttr = &syscall.SysProcAttr{CmdLine: `explorer.exe /select,"` + path + `"`}
	if err := c.Start(); err != nil {
		return fmt.Errorf("explorer: %w", err)
	}
	go c.Wait() // not to leave a zombie's handle
	return nil
}
