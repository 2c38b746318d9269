//go:build unix

package cpu

import "golang.org/x/sys/unix"

// mapMemory returns zeroed memory in pages of its own.
func mapMemory(sizeBytes int) ([]byte, error) {
	m, err := unix.Mmap(-1, 0, sizeBytes, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err == nil {
		adviseHuge(m)
	}
	return m, err
}

// unmapMemory frees memory of mapMemory. It can fail only for other memory.
func unmapMemory(m []byte) { _ = unix.Munmap(m) }
