package driver

import (
	"cmp"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/kleinbild/kleinbild/kernels/cu"
)

// driverContext is a device's primary context. One thread owns it: that thread retains, uses and releases it. Only
// waiting and compiling, which take long and change nothing, happen on the caller's thread, where the context is
// current for that time. So an upload continues while a module is compiled or a caller waits for a step.
type driverContext struct {
	*library
	info   cu.DeviceInfo
	device int32
	// owner is the id of the owning thread, 0 after the context was closed.
	owner atomic.Uint32
	jobs  chan *job
	// gone is closed when the owning thread has ended.
	gone chan struct{}
	// handle is the driver's handle.
	handle Handle
	// last is the kernel launched last, for the error that it may cause.
	last atomic.Pointer[function]
	lost atomic.Bool
	// aside is held for reading by wait, while a call is made on another thread than the owner's, and for writing by
	// Close.
	aside sync.RWMutex

	mutex sync.Mutex
	// live has the resources that the context has made and not destroyed.
	live map[resource]struct{}
}

// resource is a handle with the call that destroys it.
type resource struct {
	destroy Symbol
	handle  Handle
}

// destroyOrder is the order in which Close frees resources: each before the ones that it uses.
var destroyOrder = []Symbol{
	CuGraphExecDestroy, CuGraphDestroy, CuEventDestroy, CuStreamDestroy, CuModuleUnload, CuMemFreeHost, CuMemFree,
}

// free destroys the resource r.
func (c *driverContext) free(r resource) Result {
	switch r.destroy {
	case CuGraphExecDestroy:
		return c.GraphExecDestroy(r.handle)
	case CuGraphDestroy:
		return c.GraphDestroy(r.handle)
	case CuEventDestroy:
		return c.EventDestroy(r.handle)
	case CuStreamDestroy:
		return c.StreamDestroy(r.handle)
	case CuModuleUnload:
		return c.ModuleUnload(r.handle)
	case CuMemFreeHost:
		return c.library.MemFreeHost(hostPointer(r.handle))
	}
	return c.library.MemFree(cu.DevicePtr(r.handle))
}

// job is a function on its way to the owner's thread.
type job struct {
	f        func() error
	err      error
	panicked any
	done     chan struct{}
}

// MakeContext implements cu.Driver.
func (d *Driver) MakeContext(number int) (cu.Context, error) {
	l, err := d.installed()
	if err != nil {
		return nil, err
	}
	handle, info, err := l.describe(number)
	if err != nil {
		return nil, err
	}
	if info.Major < cu.OldestMajor || info.Major == cu.OldestMajor && info.Minor < cu.OldestMinor {
		return nil, &cu.DeviceTooOldError{Name: info.Name, FoundMajor: info.Major, FoundMinor: info.Minor,
			WantMajor: cu.OldestMajor, WantMinor: cu.OldestMinor}
	}
	c := &driverContext{
		library: l, info: info, device: handle, jobs: make(chan *job), gone: make(chan struct{}),
		live: map[resource]struct{}{},
	}
	started := make(chan error)
	go c.serve(started)
	if err := <-started; err != nil {
		return nil, fmt.Errorf("make a context on %s: %w", info.Name, err)
	}
	return c, nil
}

// CU_CTX_SCHED_BLOCKING_SYNC: waiting threads sleep and leave the processors to readers of weights and the tokenizer.
const blockingSync = 4

// serve runs on the owner's thread until the context is closed. It returns without unlocking the thread, which ends the
// thread with everything that the driver left on it.
func (c *driverContext) serve(started chan<- error) {
	runtime.LockOSThread()
	defer close(c.gone)
	// The driver may refuse the flag, if something else in this process already uses the context.
	c.DevicePrimaryCtxSetFlags(c.device, blockingSync)
	var r Result
	c.handle, r = c.DevicePrimaryCtxRetain(c.device)
	switch {
	case r == resultOutOfMemory:
		started <- &cu.OutOfMemoryError{TotalBytes: c.info.TotalBytes}
		return
	case r != Success:
		started <- c.error(CuDevicePrimaryCtxRetain, r)
		return
	}
	if r := c.CtxSetCurrent(c.handle); r != Success {
		c.DevicePrimaryCtxRelease(c.device)
		started <- c.error(CuCtxSetCurrent, r)
		return
	}
	c.owner.Store(threadID())
	started <- nil
	// A job that calls runtime.Goexit ends the thread. Nothing may wait for the thread then.
	defer c.owner.Store(0)
	for c.owner.Load() != 0 {
		(<-c.jobs).run()
	}
}

func (j *job) run() {
	defer close(j.done)
	defer func() { j.panicked = recover() }()
	j.err = errExited
	j.err = j.f()
}

// errExited is the error of Do for a function that called runtime.Goexit.
var errExited = fmt.Errorf("GPU context: %w: its thread was ended", cu.ErrClosed)

func errClosedContext() error { return fmt.Errorf("GPU context: %w", cu.ErrClosed) }

// here says whether the caller runs on the owner's thread.
func (c *driverContext) here() bool { return threadID() == c.owner.Load() }

// Do implements Context.
func (c *driverContext) Do(f func() error) error {
	if c.here() {
		return f()
	}
	if c.owner.Load() == 0 {
		return errClosedContext()
	}
	j := &job{f: f, done: make(chan struct{})}
	select {
	case c.jobs <- j:
	case <-c.gone:
		return errClosedContext()
	}
	<-j.done
	if j.panicked != nil {
		panic(j.panicked)
	}
	return j.err
}

// wait runs a call that takes long on the caller's thread, so that the owner's thread can work.
func (c *driverContext) wait(f func() error) error {
	if c.here() {
		return f()
	}
	c.aside.RLock()
	defer c.aside.RUnlock()
	if c.owner.Load() == 0 {
		return errClosedContext()
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := c.check(CuCtxSetCurrent, c.CtxSetCurrent(c.handle)); err != nil {
		return err
	}
	defer c.CtxSetCurrent(0)
	return f()
}

// check returns the error for a result, nil for Success. After a sticky result the context is lost.
func (c *driverContext) check(s Symbol, r Result) error {
	switch {
	case r == Success:
		return nil
	case r == resultOutOfMemory:
		return c.outOfMemory(0)
	case !r.sticky():
		return c.error(s, r)
	}
	c.lost.Store(true)
	if f := c.last.Load(); f != nil {
		return fmt.Errorf("%w: %w; the last kernel launched was %s", cu.ErrContextLost, c.error(s, r), f.name)
	}
	return fmt.Errorf("%w: %w", cu.ErrContextLost, c.error(s, r))
}

func (c *driverContext) outOfMemory(asked int64) error {
	e := &cu.OutOfMemoryError{AskedBytes: asked, TotalBytes: c.info.TotalBytes}
	if free, total, r := c.library.MemGetInfo(); r == Success {
		e.FreeBytes, e.TotalBytes = free, total
	}
	return e
}

// made remembers a resource until its destruction.
func (c *driverContext) made(destroy Symbol, handle Handle) {
	c.mutex.Lock()
	c.live[resource{destroy, handle}] = struct{}{}
	c.mutex.Unlock()
}

// destroy frees a resource, unless it was freed before.
func (c *driverContext) destroy(destroy Symbol, handle Handle) error {
	return c.Do(func() error {
		r := resource{destroy, handle}
		c.mutex.Lock()
		_, ok := c.live[r]
		delete(c.live, r)
		c.mutex.Unlock()
		if !ok {
			return fmt.Errorf("%s: %w", destroy.Name(), cu.ErrClosed)
		}
		return c.check(destroy, c.free(r))
	})
}

// destroyOnce is destroy, and clears the handle first. The driver may give the same handle to something else later, so
// a second call with it would free that.
func (c *driverContext) destroyOnce(destroy Symbol, handle *Handle) error {
	return c.Do(func() error {
		h := *handle
		*handle = 0
		return c.destroy(destroy, h)
	})
}

// Device implements Context.
func (c *driverContext) Device() cu.DeviceInfo { return c.info }

// Synchronize implements Context.
func (c *driverContext) Synchronize() error {
	return c.wait(func() error { return c.check(CuCtxSynchronize, c.CtxSynchronize()) })
}

// Close implements Context.
func (c *driverContext) Close() error {
	err := c.Do(c.close)
	if errors.Is(err, cu.ErrClosed) {
		return nil
	}
	return err
}

func (c *driverContext) close() error {
	if c.owner.Load() == 0 {
		return nil
	}
	err := c.check(CuCtxSynchronize, c.CtxSynchronize())
	c.aside.Lock()
	defer c.aside.Unlock()
	c.mutex.Lock()
	defer c.mutex.Unlock()
	for _, s := range destroyOrder {
		for r := range c.live {
			if r.destroy == s {
				err = cmp.Or(err, c.check(s, c.free(r)))
			}
		}
	}
	clear(c.live)
	c.owner.Store(0)
	c.CtxSetCurrent(0)
	released := c.check(CuDevicePrimaryCtxRelease, c.DevicePrimaryCtxRelease(c.device))
	if c.lost.Load() {
		// The call that met the fault has reported it. Without a reset the next context would inherit the fault.
		c.DevicePrimaryCtxReset(c.device)
		return nil
	}
	return cmp.Or(err, released)
}

// hostPointer is the address that a handle of page-locked memory is.
func hostPointer(h Handle) unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&h)) }
