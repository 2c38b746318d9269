package cu

import (
	"fmt"
	"unsafe"
)

// MemGetInfo implements Context.
func (c *driverContext) MemGetInfo() (free, total int64, err error) {
	err = c.Do(func() error {
		return c.check(cuMemGetInfo, c.call(cuMemGetInfo, uintptr(unsafe.Pointer(&free)), uintptr(unsafe.Pointer(&total))))
	})
	return free, total, err
}

// MemAlloc implements Context.
func (c *driverContext) MemAlloc(bytes int64) (p DevicePtr, err error) {
	if bytes <= 0 {
		return 0, fmt.Errorf("allocate device memory: found %d bytes, want more than 0", bytes)
	}
	err = c.Do(func() error {
		r := c.call(cuMemAlloc, uintptr(unsafe.Pointer(&p)), uintptr(bytes))
		if r == resultOutOfMemory {
			return c.outOfMemory(bytes)
		}
		if r == success {
			c.made(cuMemFree, uintptr(p))
		}
		return c.check(cuMemAlloc, r)
	})
	return p, err
}

// MemFree implements Context.
func (c *driverContext) MemFree(p DevicePtr) error { return c.destroy(cuMemFree, uintptr(p)) }

// MemAllocHost implements Context.
func (c *driverContext) MemAllocHost(bytes int) ([]byte, error) {
	if bytes <= 0 {
		return nil, fmt.Errorf("allocate page-locked memory: found %d bytes, want more than 0", bytes)
	}
	var p unsafe.Pointer
	err := c.Do(func() error {
		r := c.call(cuMemHostAlloc, uintptr(unsafe.Pointer(&p)), uintptr(bytes), 0)
		if r != success {
			// The machine's memory has run out, not the device's.
			return fmt.Errorf("allocate %d bytes of page-locked memory: %w", bytes, c.error(cuMemHostAlloc, r))
		}
		c.made(cuMemFreeHost, uintptr(p))
		return nil
	})
	if err != nil {
		return nil, err
	}
	return unsafe.Slice((*byte)(p), bytes), nil
}

// MemFreeHost implements Context.
func (c *driverContext) MemFreeHost(b []byte) error {
	return c.destroy(cuMemFreeHost, uintptr(unsafe.Pointer(unsafe.SliceData(b))))
}
