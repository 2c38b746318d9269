package matmul

import (
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"unsafe"

	"kleinbild/inference/tensor"
)

// For calls f(i) for every i < n, on as many goroutines as GOMAXPROCS, each taking the next i when it is free. No
// further i is begun once stop (which may be nil) is true. It returns when all calls have. If one of them could not read
// a mapped file, it panics with the *tensor.Fault, on the caller's goroutine.
func For(stop *atomic.Bool, n int, f func(i int)) {
	forEach(stop, n, func(i int, _ *workspace) { f(i) })
}

// forEach is For with a workspace for each goroutine.
func forEach(stop *atomic.Bool, n int, f func(i int, ws *workspace)) {
	var next atomic.Int64
	var fault atomic.Pointer[tensor.Fault]
	turns := func() {
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
		var met *tensor.Fault
		if err := tensor.Guard(turns); errors.As(err, &met) {
			fault.Store(met)
		}
	}
	var wg sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), n) - 1 {
		wg.Go(work)
	}
	work()
	wg.Wait()
	if met := fault.Load(); met != nil {
		panic(met)
	}
}

func stopped(stop *atomic.Bool) bool { return stop != nil && stop.Load() }

// workspace is the memory of one goroutine at work, kept from call to call.
type workspace struct {
	packer
	a, b, acc, row, line []float32
}

var workspaces = sync.Pool{New: func() any { return new(workspace) }}

// shared holds the buffers that goroutines read together.
var shared = sync.Pool{New: func() any { return new([]float32) }}

// grow returns s with length n; what it held is lost.
func grow[T float32 | uint16](s *[]T, n int) []T {
	if cap(*s) < n {
		*s = newBuffer[T](n)
	}
	*s = (*s)[:n]
	return *s
}

// hugePage is the size of a large page of memory. Buffers of a tenth of it and more are made of whole ones where the
// system has them: products walk through several buffers at once, and a virtual machine pays twice for each page that
// it looks up.
const hugePage = 2 << 20

func newBuffer[T float32 | uint16](n int) []T {
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
