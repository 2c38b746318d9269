package cpu

import (
	"unsafe"

	"golang.org/x/sys/windows"
)

// mapMemory returns zeroed memory in pages of its own.
func mapMemory(sizeBytes int) ([]byte, error) {
	at, err := windows.VirtualAlloc(0, uintptr(sizeBytes), windows.MEM_RESERVE|windows.MEM_COMMIT, windows.PAGE_READWRITE)
	if err != nil {
		return nil, err
	}
	// at is not a Go pointer. vet accepts the conversion only if the address is read from the variable.
	return unsafe.Slice(*(**byte)(unsafe.Pointer(&at)), sizeBytes), nil
}

// unmapMemory frees memory of mapMemory. It can fail only for other memory.
func unmapMemory(m []byte) {
	_ = windows.VirtualFree(uintptr(unsafe.Pointer(unsafe.SliceData(m))), 0, windows.MEM_RELEASE)
}
