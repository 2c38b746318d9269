package driver

import (
	"errors"
	"fmt"
	"math"
	"time"
	"unsafe"

	"github.com/kleinbild/kleinbild/kernels/cu"
)

type stream struct {
	c      *driverContext
	handle Handle
}

// CU_STREAM_NON_BLOCKING: no order between this stream and the default one.
const streamNonBlocking = 1

// MakeStream implements Context.
func (c *driverContext) MakeStream() (cu.Stream, error) {
	s := &stream{c: c}
	err := c.Do(func() error {
		var r Result
		if s.handle, r = c.StreamCreate(streamNonBlocking); r == Success {
			c.made(CuStreamDestroy, s.handle)
		}
		return c.check(CuStreamCreate, r)
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}

var errForeign = errors.New("made by another device's context")

// stream returns the handle of a stream of this context. A destroyed stream has none, since for the driver 0 would be
// the default stream.
func (c *driverContext) stream(s cu.Stream) (Handle, error) {
	st, ok := s.(*stream)
	switch {
	case !ok || st == nil || st.c != c:
		return 0, fmt.Errorf("stream: %w", errForeign)
	case st.handle == 0:
		return 0, fmt.Errorf("stream: %w", cu.ErrClosed)
	}
	return st.handle, nil
}

// MemcpyHtoDAsync implements Stream.
func (s *stream) MemcpyHtoDAsync(dst cu.DevicePtr, src []byte) error {
	c := s.c
	if !c.here() {
		return c.Do(func() error { return s.MemcpyHtoDAsync(dst, src) })
	}
	on, err := c.stream(s)
	if err != nil || len(src) == 0 {
		return err
	}
	return c.check(CuMemcpyHtoDAsync, c.library.MemcpyHtoDAsync(dst, unsafe.Pointer(&src[0]), int64(len(src)), on))
}

// MemcpyDtoHAsync implements Stream.
func (s *stream) MemcpyDtoHAsync(dst []byte, src cu.DevicePtr) error {
	c := s.c
	if !c.here() {
		return c.Do(func() error { return s.MemcpyDtoHAsync(dst, src) })
	}
	on, err := c.stream(s)
	if err != nil || len(dst) == 0 {
		return err
	}
	return c.check(CuMemcpyDtoHAsync, c.library.MemcpyDtoHAsync(unsafe.Pointer(&dst[0]), src, int64(len(dst)), on))
}

// MemcpyDtoDAsync implements Stream.
func (s *stream) MemcpyDtoDAsync(dst, src cu.DevicePtr, bytes int64) error {
	c := s.c
	if !c.here() {
		return c.Do(func() error { return s.MemcpyDtoDAsync(dst, src, bytes) })
	}
	on, err := c.stream(s)
	if err != nil || bytes == 0 {
		return err
	}
	return c.check(CuMemcpyDtoDAsync, c.library.MemcpyDtoDAsync(dst, src, bytes, on))
}

// MemsetD8Async implements Stream.
func (s *stream) MemsetD8Async(dst cu.DevicePtr, value byte, bytes int64) error {
	c := s.c
	if !c.here() {
		return c.Do(func() error { return s.MemsetD8Async(dst, value, bytes) })
	}
	on, err := c.stream(s)
	if err != nil || bytes == 0 {
		return err
	}
	return c.check(CuMemsetD8Async, c.library.MemsetD8Async(dst, value, bytes, on))
}

// Wait implements Stream.
func (s *stream) Wait(e cu.Event) error {
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
	return c.check(CuStreamWaitEvent, c.StreamWaitEvent(on, mark))
}

// Synchronize implements Stream.
func (s *stream) Synchronize() error {
	return s.c.wait(func() error {
		on, err := s.c.stream(s)
		if err != nil {
			return err
		}
		return s.c.check(CuStreamSynchronize, s.c.StreamSynchronize(on))
	})
}

// Destroy implements Stream.
func (s *stream) Destroy() error { return s.c.destroyOnce(CuStreamDestroy, &s.handle) }

type event struct {
	c      *driverContext
	handle Handle
	timing bool
}

// Flags of CuEventCreate. A thread that waits for an event sleeps.
const (
	eventBlockingSync  = 1
	eventDisableTiming = 2
)

// MakeEvent implements Context.
func (c *driverContext) MakeEvent(timing bool) (cu.Event, error) {
	e := &event{c: c, timing: timing}
	flags := eventBlockingSync
	if !timing {
		flags |= eventDisableTiming
	}
	err := c.Do(func() error {
		var r Result
		if e.handle, r = c.EventCreate(flags); r == Success {
			c.made(CuEventDestroy, e.handle)
		}
		return c.check(CuEventCreate, r)
	})
	if err != nil {
		return nil, err
	}
	return e, nil
}

// event returns the handle of an event of this context.
func (c *driverContext) event(e cu.Event) (Handle, error) {
	ev, ok := e.(*event)
	switch {
	case !ok || ev == nil || ev.c != c:
		return 0, fmt.Errorf("event: %w", errForeign)
	case ev.handle == 0:
		return 0, fmt.Errorf("event: %w", cu.ErrClosed)
	}
	return ev.handle, nil
}

// Record implements Event.
func (e *event) Record(s cu.Stream) error {
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
	return c.check(CuEventRecord, c.EventRecord(mark, on))
}

// Query implements Event.
func (e *event) Query() (passed bool, err error) {
	err = e.c.Do(func() error {
		mark, err := e.c.event(e)
		if err != nil {
			return err
		}
		r := e.c.EventQuery(mark)
		if r == resultNotReady {
			return nil
		}
		passed = r == Success
		return e.c.check(CuEventQuery, r)
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
		return e.c.check(CuEventSynchronize, e.c.EventSynchronize(mark))
	})
}

// Elapsed implements Event.
func (e *event) Elapsed(start cu.Event) (d time.Duration, err error) {
	err = e.c.Do(func() error {
		to, err := e.c.event(e)
		if err != nil {
			return err
		}
		from, err := e.c.event(start)
		if err != nil {
			return err
		}
		ms, r := e.c.EventElapsedTime(from, to)
		d = time.Duration(math.Round(ms * 1e6))
		return e.c.check(CuEventElapsedTime, r)
	})
	return d, err
}

// Destroy implements Event.
func (e *event) Destroy() error { return e.c.destroyOnce(CuEventDestroy, &e.handle) }
