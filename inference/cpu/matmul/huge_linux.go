package matmul

import "golang.org/x/sys/unix"

// adviseHuge asks for large pages; whether the kernel follows does not matter.
func adviseHuge(m []byte) { _ = unix.Madvise(m, unix.MADV_HUGEPAGE) }
