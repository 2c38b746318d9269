package simd

import (
	"sync"

	"golang.org/x/sys/unix"
)

const (
	archReqXCompPerm = 0x1023 // ARCH_REQ_XCOMP_PERM
	xfeatureTileData = 18     // XFEATURE_XTILEDATA
)

// tilesPermitted asks the kernel, once, for the permission to use tiles, which enlarge the state of a thread by 8 KB. A
// kernel before 5.16 refuses, and any kernel if the signal stack of a thread is too small for the larger state: it
// takes 11 KB, and Go's signal stacks have 32 KB. The permission also holds for threads that start later.
var tilesPermitted = sync.OnceValue(func() bool {
	_, _, errno := unix.Syscall(unix.SYS_ARCH_PRCTL, archReqXCompPerm, xfeatureTileData, 0)
	return errno == 0
})
