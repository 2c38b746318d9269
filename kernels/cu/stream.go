package cu

import (
	"errors"
	"fmt"
	"math"
	"time"
	"unsafe"

	"github.com/ebitengine/purego"
)

type stream struct {
	c      *driverContext
	handle uintptr
}

// CU_STREAM_NON_BLOCKING: no order between this stream and the default one.
const streamNonBlocking = 1

// MakeStream implements Context.
func (c *driverContext) MakeStream() (Stream, error) {
	s := &stream{c: c}
	err := c.Do(func() error {
		r := c.call(cuStreamCreate, uintptr(unsafe.Pointer(&s.handle)), streamNonBlocking)
		if r == success {
			c.made(cuStreamDestroy, s.handle)
		}
		return c.check(cuStreamCreate, r)
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}

var errForeign = errors.New("made by another device's context")

// stream returns the handle of one of the context's own streams. A destroyed one has none: to the driver, 0 would
// be the default stream.
func (c *driverContext) stream(s Stream) (uintptr, error) {
	own, ok := s.(*stream)
	switch {
	case !ok || own == nil || own.c != c:
		return 0, fmt.Errorf("stream: %w", errForeign)
	case own.handle == 0:
		return 0, fmt.Errorf("stream: %w", ErrClosed)
	}
	return own.handle, nil
}

// queue makes a call of up to four arguments, on the owner's thread, without allocating; the calls that take fewer do
// not see the rest.
//
//go:uintptrescapes
func (c *driverContext) queue(s symbol, a0, a1, a2, a3 uintptr) error {
	args := c.launch.args[:4]
	args[0], args[1], args[2], args[3] = a0, a1, a2, a3
	r, _, _ := purego.SyscallN(c.entry[s], args...)
	return c.check(s, result(r))
}

// MemcpyHtoDAsync implements Stream.
func (s *stream) MemcpyHtoDAsync(dst DevicePtr, src []byte) error {
	c := s.c
	if !c.here() {
		return c.Do(func() error { return s.MemcpyHtoDAsync(dst, src) })
	}
	on, err := c.stream(s)
	if err != nil || len(src) == 0 {
		return err
	}
	return c.queue(cuMemcpyHtoDAsync, uintptr(dst), uintptr(unsafe.Pointer(&src[0])), uintptr(len(src)), on)
}

// MemcpyDtoHAsync implements Stream.
func (s *stream) MemcpyDtoHAsync(dst []byte, src DevicePtr) error {
	c := s.c
	if !c.here() {
		return c.Do(func() error { return s.MemcpyDtoHAsync(dst, src) })
	}
	on, err := c.stream(s)
	if err != nil || len(dst) == 0 {
		return err
	}
	return c.queue(cuMemcpyDtoHAsync, uintptr(unsafe.Pointer(&dst[0])), uintptr(src), uintptr(len(dst)), on)
}

// MemcpyDtoDAsync implements Stream.
func (s *stream) MemcpyDtoDAsync(dst, src DevicePtr, bytes int64) error {
	c := s.c
	if !c.here() {
		return c.Do(func() error { return s.MemcpyDtoDAsync(dst, src, bytes) })
	}
	on, err := c.stream(s)
	if err != nil || bytes == 0 {
		return err
	}
	return c.queue(cuMemcpyDtoDAsync, uintptr(dst), uintptr(src), uintptr(bytes), on)
}

// MemsetD8Async implements Stream.
func (s *stream) MemsetD8Async(dst DevicePtr, value byte, bytes int64) error {
	c := s.c
	if !c.here() {
		return c.Do(func() error { return s.MemsetD8Async(dst, value, bytes) })
	}
	on, err := c.stream(s)
	if err != nil || bytes == 0 {
		return err
	}
	return c.queue(cuMemsetD8Async, uintptr(dst), uintptr(value), uintptr(bytes), on)
}

// Wait implements Stream.
func (s *stream) Wait(e Event) error {
	c := s.c
	if !c.here() {
		return c.Do(func() error { return s.Wait(e) })
	}
	on, err := c.stream(s)
	if err != nil {
		return err
	}
	mark, err := c.event(e)
	if err != nil {
		return err
	}
	return c.queue(cuStreamWaitEvent, on, mark, 0, 0)
}

// Synchronize implements Stream.
func (s *stream) Synchronize() error {
	return s.c.wait(func() error {
		on, err := s.c.stream(s)
		if err != nil {
			return err
		}
		return s.c.check(cuStreamSynchronize, s.c.call(cuStreamSynchronize, on))
	})
}

// Destroy implements Stream.
func (s *stream) Destroy() error { return s.c.destroyOnce(cuStreamDestroy, &s.handle) }

type event struct {
	c      *driverContext
	handle uintptr
	timing bool
}

// Flags of cuEventCreate. Whoever waits for an event sleeps.
const (
	eventBlockingSync  = 1
	eventDisableTiming = 2
)

// MakeEvent implements Context.
func (c *driverContext) MakeEvent(timing bool) (Event, error) {
	e := &event{c: c, timing: timing}
	flags := uintptr(eventBlockingSync)
	if !timing {
		flags |= eventDisableTiming
	}
	err := c.Do(func() error {
		r := c.call(cuEventCreate, uintptr(unsafe.Pointer(&e.handle)), flags)
		if r == success {
			c.made(cuEventDestroy, e.handle)
		}
		return c.check(cuEventCreate, r)
	})
	if err != nil {
		return nil, err
	}
	return e, nil
}

// event returns the handle of one of the context's own events.
func (c *driverContext) event(e Event) (uintptr, error) {
	own, ok := e.(*event)
	switch {
	case !ok || own == nil || own.c != c:
		return 0, fmt.Errorf("event: %w", errForeign)
	case own.handle == 0:
		return 0, fmt.Errorf("event: %w", ErrClosed)
	}
	return own.handle, nil
}

// Record implements Event.
func (e *event) Record(s Stream) error {
	c := e.c
	if !c.here() {
		return c.Do(func() error { return e.Record(s) })
	}
	mark, err := c.event(e)
	if err != nil {
		return err
	}
	on, err := c.stream(s)
	if err != nil {
		return err
	}
	return c.queue(cuEventRecord, mark, on, 0, 0)
}

// Query implements Event.
func (e *event) Query() (passed bool, err error) {
	err = e.c.Do(func() error {
		mark, err := e.c.event(e)
		if err != nil {
			return err
		}
		r := e.c.call(cuEventQuery, mark)
		if r == resultNotReady {
			return nil
		}
		passed = r == success
		return e.c.check(cuEventQuery, r)
	})
	return passed, err
}

// Synchronize implements Event.
func (e *event) Synchronize() error {
	return e.c.wait(func() error {
		mark, err := e.c.event(e)
		if err != nil {
			return err
		}
		return e.c.check(cuEventSynchronize, e.c.call(cuEventSynchronize, mark))
	})
}

// Elapsed implements Event.
func (e *event) Elapsed(start Event) (d time.Duration, err error) {
	err = e.c.Do(func() error {
		to, err := e.c.event(e)
		if err != nil {
			return err
		}
		from, err := e.c.event(start)
		if err != nil {
			return err
		}
		var ms float32
		r := e.c.call(cuEventElapsedTime, uintptr(unsafe.Pointer(&ms)), from, to)
		d = time.Duration(math.Round(float64(ms) * 1e6))
		return e.c.check(cuEventElapsedTime, r)
	})
	return d, err
}

// Destroy implements Event.
func (e *event) Destroy() error { return e.c.destroyOnce(cuEventDestroy, &e.handle) }
