package safetensors

import "golang.org/x/sys/unix"

// release forgets the mapping's pages. It fails only for what is no mapping, and losing it changes nothing.
func release(mapped []byte) {
	if len(mapped) > 0 {
		_ = unix.Madvise(mapped, unix.MADV_DONTNEED)
	}
}
