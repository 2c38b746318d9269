package main

import (
	"os"

	"golang.org/x/sys/windows"
)

// On Windows a program with a window is started without a console. If it has arguments, this function attaches it to
// the console that it was started from, for the standard streams that do not go to a file or a pipe already.
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
		attach.Call(parent) // fails if there is no console, or if it is attached already
		if f, err := os.OpenFile(stream.device, stream.mode, 0); err == nil {
			*stream.file = f
		}
	}
}
