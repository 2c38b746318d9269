package mapped

import "golang.org/x/sys/unix"

// release removes the mapping's pages from the resident memory. Its error is ignored: it is only an optimisation.
func release(mapped []byte) {
	if len(mapped) > 0 {
		_ = unix.Madvise(mapped, unix.MADV_DONTNEED)
	}
}
