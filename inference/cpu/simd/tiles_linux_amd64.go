package simd

import (
	"sync"

	"golang.org/x/sys/unix"
)

const (
	archReqXCompPerm = 0x1023 // ARCH_REQ_XCOMP_PERM
	xfeatureTileData = 18     // XFEATURE_XTILEDATA
)

// tilesPermitted asks the kernel, once, to let this process use tiles: the tiles' 8 KB in a thread's state are handed out on
// demand. It refuses if it is older than 5.16, or if a thread has a signal stack too small for the larger state; Go's own
// have 32 KB, of which that state takes 11. Threads made later are permitted too.
var tilesPermitted = sync.OnceValue(func() bool {
	_, _, errno := unix.Syscall(unix.SYS_ARCH_PRCTL, archReqXCompPerm, xfeatureTileData, 0)
	return errno == 0
})
