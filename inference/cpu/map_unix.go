//go:build unix

package cpu

import "golang.org/x/sys/unix"

// mapMemory returns zeroed memory of its own pages.
func mapMemory(sizeBytes int) ([]byte, error) {
	m, err := unix.Mmap(-1, 0, sizeBytes, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err == nil {
		adviseHuge(m)
	}
	return m, err
}

// unmapMemory fails only for memory that mapMemory did not give.
func unmapMemory(m []byte) { _ = unix.Munmap(m) }
