package driver

import (
	"fmt"
	"unsafe"

	"github.com/kleinbild/kleinbild/kernels/cu"
)

// MemGetInfo implements Context.
func (c *driverContext) MemGetInfo() (free, total int64, err error) {
	err = c.Do(func() error {
		var r Result
		free, total, r = c.library.MemGetInfo()
		return c.check(CuMemGetInfo, r)
	})
	return free, total, err
}

// MemAlloc implements Context.
func (c *driverContext) MemAlloc(bytes int64) (p cu.DevicePtr, err error) {
	if bytes <= 0 {
		return 0, fmt.Errorf("allocate device memory: found %d bytes, want more than 0", bytes)
	}
	err = c.Do(func() error {
		var r Result
		p, r = c.library.MemAlloc(bytes)
		if r == resultOutOfMemory {
			return c.outOfMemory(bytes)
		}
		if r == Success {
			c.made(CuMemFree, Handle(p))
		}
		return c.check(CuMemAlloc, r)
	})
	return p, err
}

// MemFree implements Context.
func (c *driverContext) MemFree(p cu.DevicePtr) error { return c.destroy(CuMemFree, Handle(p)) }

// MemAllocHost implements Context.
func (c *driverContext) MemAllocHost(bytes int) ([]byte, error) {
	if bytes <= 0 {
		return nil, fmt.Errorf("allocate page-locked memory: found %d bytes, want more than 0", bytes)
	}
	var p unsafe.Pointer
	err := c.Do(func() error {
		var r Result
		if p, r = c.MemHostAlloc(bytes); r != Success {
			// The machine's memory has run out, not the device's.
			return fmt.Errorf("allocate %d bytes of page-locked memory: %w", bytes, c.error(CuMemHostAlloc, r))
		}
		c.made(CuMemFreeHost, Handle(p))
		return nil
	})
	if err != nil {
		return nil, err
	}
	return unsafe.Slice((*byte)(p), bytes), nil
}

// MemFreeHost implements Context.
func (c *driverContext) MemFreeHost(b []byte) error {
	return c.destroy(CuMemFreeHost, Handle(unsafe.Pointer(unsafe.SliceData(b))))
}
