package matmul

import (
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/kleinbild/kleinbild/inference/tensor"
)

// For calls f(i) for each i < n on GOMAXPROCS goroutines, and returns when all calls have returned. A goroutine that is
// free calls f with the next i. If stop, which may be nil, becomes true, no further call begins. If a call cannot read
// a mapped file, For panics with the *tensor.Fault, on the caller's goroutine.
func For(stop *atomic.Bool, n int, f func(i int)) {
	forEach(stop, n, func(i int, _ *workspace) { f(i) })
}

// forEach is like For, and gives each goroutine a workspace.
func forEach(stop *atomic.Bool, n int, f func(i int, ws *workspace)) {
	var next atomic.Int64
	var fault atomic.Pointer[tensor.Fault]
	loop := func() {
		ws := workspaces.Get().(*workspace)
		defer workspaces.Put(ws)
		for !stopped(stop) && fault.Load() == nil {
			i := int(next.Add(1)) - 1
			if i >= n {
				return
			}
			f(i, ws)
		}
	}
	work := func() {
		var f *tensor.Fault
		if err := tensor.Guard(loop); errors.As(err, &f) {
			fault.Store(f)
		}
	}
	var wg sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), n) - 1 {
		wg.Go(work)
	}
	work()
	wg.Wait()
	if f := fault.Load(); f != nil {
		panic(f)
	}
}

func stopped(stop *atomic.Bool) bool { return stop != nil && stop.Load() }

// workspace is the working memory of a goroutine. It is reused by later calls.
type workspace struct {
	packer
	a, b, acc, row, line []float32
}

var workspaces = sync.Pool{New: func() any { return new(workspace) }}

// shared holds buffers that all goroutines of a product read.
var shared = sync.Pool{New: func() any { return new([]float32) }}

// grow returns *s with length n. Its contents are undefined.
func grow[T float32 | uint16 | int16 | int8](s *[]T, n int) []T {
	if cap(*s) < n {
		*s = newBuffer[T](n)
	}
	*s = (*s)[:n]
	return *s
}

// hugePage is the size of a large page of memory in bytes. Buffers of at least a tenth of it are aligned to large pages
// and filled up to whole ones, if the system has them: products read several buffers at the same time, and in a virtual
// machine a TLB miss costs twice as much.
const hugePage = 2 << 20

// newBuffer returns a slice of at least n values.
func newBuffer[T float32 | uint16 | int16 | int8](n int) []T {
	size := int(unsafe.Sizeof(*new(T)))
	if n*size < hugePage/10 {
		return make([]T, n)
	}
	n = roundUp(n*size, hugePage) / size
	s := make([]T, n+hugePage/size)
	skip := (-int(uintptr(unsafe.Pointer(&s[0]))) & (hugePage - 1)) / size
	s = s[skip : skip+n : skip+n]
	adviseHuge(unsafe.Slice((*byte)(unsafe.Pointer(&s[0])), n*size))
	return s
}
