package cpu

import (
	"unsafe"

	"golang.org/x/sys/windows"
)

// mapMemory returns zeroed memory of its own pages.
func mapMemory(sizeBytes int) ([]byte, error) {
	at, err := windows.VirtualAlloc(0, uintptr(sizeBytes), windows.MEM_RESERVE|windows.MEM_COMMIT, windows.PAGE_READWRITE)
	if err != nil {
		return nil, err
	}
	// The address is no Go pointer: reading it out of its own variable tells vet so.
	return unsafe.Slice(*(**byte)(unsafe.Pointer(&at)), sizeBytes), nil
}

// unmapMemory fails only for memory that mapMemory did not give.
func unmapMemory(m []byte) {
	_ = windows.VirtualFree(uintptr(unsafe.Pointer(unsafe.SliceData(m))), 0, windows.MEM_RELEASE)
}
