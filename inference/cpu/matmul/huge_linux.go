package matmul

import "golang.org/x/sys/unix"

// adviseHuge asks for large pages; whether the kernel follows does not matter.
func adviseHuge(m []byte) { _ = unix.Madvise(m, unix.MADV_HUGEPAGE) }

// populate asks for m's pages in one call rather than fault by fault, which halves the cost of reading a mapped file
// for the first time. What fails, as on a kernel older than 5.14, is left to the faults.
func populate(m []byte) { _ = unix.Madvise(m, unix.MADV_POPULATE_READ) }
