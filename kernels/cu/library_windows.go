package cu

import "golang.org/x/sys/windows"

// libraryName is what the driver installs into System32.
const libraryName = "nvcuda.dll"

// openLibrary looks in System32 only, so that no DLL lying beside a program or a picture is ever loaded.
func openLibrary(name string) (uintptr, error) {
	h, err := windows.LoadLibraryEx(name, 0, windows.LOAD_LIBRARY_SEARCH_SYSTEM32)
	return uintptr(h), err
}

func findSymbol(library uintptr, name string) (uintptr, error) {
	return windows.GetProcAddress(windows.Handle(library), name)
}

// threadID tells OS threads apart; it is never 0.
func threadID() uint32 { return windows.GetCurrentThreadId() }
