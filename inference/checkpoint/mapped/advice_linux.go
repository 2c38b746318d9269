package mapped

import "golang.org/x/sys/unix"

// preferHuge asks the system to read the file in pages of 2 MB, which it does if the file system can. Weights are read
// from end to end in each step, and small pages cost page faults and TLB misses. Its error is ignored: it is only an
// optimisation.
func preferHuge(mapped []byte) {
	if len(mapped) > 0 {
		_ = unix.Madvise(mapped, unix.MADV_HUGEPAGE)
	}
}

// release removes the mapping's pages from the resident memory. Its error is ignored: it is only an optimisation.
func release(mapped []byte) {
	if len(mapped) > 0 {
		_ = unix.Madvise(mapped, unix.MADV_DONTNEED)
	}
}
