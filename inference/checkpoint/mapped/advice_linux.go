package mapped

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// preferHuge asks the system to read the file in pages of 2 MB, which it does if the file system can. Weights are read
// from end to end in each step, and small pages cost page faults and TLB misses. Its error is ignored: it is only an
// optimisation.
func preferHuge(mapped []byte) {
	if len(mapped) > 0 {
		_ = unix.Madvise(mapped, unix.MADV_HUGEPAGE)
	}
}

// PreferSmall takes back the wish for large pages for a part of a mapping that is read here and there, such as an
// embedding table: a row would bring 2 MB into memory. Pages that reach beyond the part are left out.
func PreferSmall(part []byte) {
	page := uintptr(os.Getpagesize())
	skip := -uintptr(unsafe.Pointer(unsafe.SliceData(part))) & (page - 1)
	if uintptr(len(part)) < skip+page {
		return
	}
	_ = unix.Madvise(part[skip:skip+(uintptr(len(part))-skip)&^(page-1)], unix.MADV_NOHUGEPAGE)
}

// release removes the mapping's pages from the resident memory. Its error is ignored: it is only an optimisation.
func release(mapped []byte) {
	if len(mapped) > 0 {
		_ = unix.Madvise(mapped, unix.MADV_DONTNEED)
	}
}
