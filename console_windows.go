package main

import (
	"os"

	"golang.org/x/sys/windows"
)

// A program with a window has no console on Windows. Started from one with arguments, it writes there all the same,
// unless its output already goes to a file or a pipe.
func init() {
	if len(os.Args) < 2 {
		return
	}
	const parent = ^uintptr(0)
	attach := windows.NewLazySystemDLL("kernel32.dll").NewProc("AttachConsole")
	for _, stream := range []struct {
		file   **os.File
		handle uint32
		device string
		mode   int
	}{
		{&os.Stdin, windows.STD_INPUT_HANDLE, "CONIN$", os.O_RDONLY},
		{&os.Stdout, windows.STD_OUTPUT_HANDLE, "CONOUT$", os.O_RDWR},
		{&os.Stderr, windows.STD_ERROR_HANDLE, "CONOUT$", os.O_RDWR},
	} {
		if handle, err := windows.GetStdHandle(stream.handle); err == nil && handle != 0 {
			continue
		}
		attach.Call(parent) // fails where there is no console, or it is attached already
		if f, err := os.OpenFile(stream.device, stream.mode, 0); err == nil {
			*stream.file = f
		}
	}
}
