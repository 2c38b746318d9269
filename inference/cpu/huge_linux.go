package cpu

import "golang.org/x/sys/unix"

// adviseHuge asks for pages of 2 MB: fewer faults on first use, fewer misses later. Whether the kernel follows does
// not matter.
func adviseHuge(m []byte) { _ = unix.Madvise(m, unix.MADV_HUGEPAGE) }
