package cu

import (
	"fmt"
	"unsafe"
)

// OldestMajor and OldestMinor are the lowest compute capability that contexts are made for: below sm_80 a GPU has
// neither bfloat16 matrix products nor asynchronous copies into shared memory.
const (
	OldestMajor = 8
	OldestMinor = 0
)

// Device is the number of a GPU, in the driver's order.
type Device int

// NumDevices counts GPUs. Where it cannot, the error says why: ErrNoDriver, *DriverTooOldError, ErrNoDevice.
func NumDevices() (int, error) {
	d, err := installed()
	if err != nil {
		return 0, err
	}
	var n int32
	if err := d.error(cuDeviceGetCount, d.call(cuDeviceGetCount, uintptr(unsafe.Pointer(&n)))); err != nil {
		return 0, err
	}
	if n == 0 {
		return 0, fmt.Errorf("%w: the driver sees none", ErrNoDevice)
	}
	return int(n), nil
}

// Info describes the GPU without making a context.
func (dev Device) Info() (DeviceInfo, error) {
	d, err := installed()
	if err != nil {
		return DeviceInfo{}, err
	}
	_, info, err := d.describe(dev)
	return info, err
}

// Values of CUdevice_attribute.
const (
	attributeWarpSize         = 10
	attributeClockRate        = 13
	attributeSMs              = 16
	attributeMemoryClockRate  = 36
	attributeMemoryBusWidth   = 37
	attributeL2               = 38
	attributeMajor            = 75
	attributeMinor            = 76
	attributeSharedPerSM      = 81
	attributeSharedPerBlockIn = 97
)

// describe returns the driver's handle of a device and what it says of it.
func (d *driver) describe(dev Device) (handle int32, info DeviceInfo, err error) {
	n, err := NumDevices()
	if err != nil {
		return 0, info, err
	}
	if dev < 0 || int(dev) >= n {
		return 0, info, fmt.Errorf("%w with number %d: found %d, counted from 0", ErrNoDevice, dev, n)
	}
	if err = d.error(cuDeviceGet, d.call(cuDeviceGet, uintptr(unsafe.Pointer(&handle)), uintptr(dev))); err != nil {
		return 0, info, err
	}
	info.DriverVersion = d.version
	var name [256]byte
	if err = d.error(cuDeviceGetName, d.call(cuDeviceGetName, uintptr(unsafe.Pointer(&name)), uintptr(len(name)), uintptr(handle))); err != nil {
		return 0, info, err
	}
	info.Name = cString(&name[0])
	if err = d.error(cuDeviceTotalMem, d.call(cuDeviceTotalMem, uintptr(unsafe.Pointer(&info.TotalBytes)), uintptr(handle))); err != nil {
		return 0, info, err
	}
	for _, a := range []struct {
		to        *int
		attribute int
	}{
		{&info.WarpSize, attributeWarpSize}, {&info.ClockKHz, attributeClockRate}, {&info.SMs, attributeSMs},
		{&info.MemoryClockKHz, attributeMemoryClockRate}, {&info.MemoryBusBits, attributeMemoryBusWidth},
		{&info.L2Bytes, attributeL2}, {&info.Major, attributeMajor}, {&info.Minor, attributeMinor},
		{&info.SharedBytesPerSM, attributeSharedPerSM}, {&info.SharedBytesPerBlock, attributeSharedPerBlockIn},
	} {
		var v int32
		r := d.call(cuDeviceGetAttribute, uintptr(unsafe.Pointer(&v)), uintptr(a.attribute), uintptr(handle))
		if err = d.error(cuDeviceGetAttribute, r); err != nil {
			return 0, info, err
		}
		*a.to = int(v)
	}
	// Identity serves caches only: a driver that does not tell costs nothing but the cache.
	var uuid [16]byte
	if d.call(cuDeviceGetUuid, uintptr(unsafe.Pointer(&uuid)), uintptr(handle)) == success {
		info.UUID = fmt.Sprintf("GPU-%x-%x-%x-%x-%x", uuid[:4], uuid[4:6], uuid[6:8], uuid[8:10], uuid[10:])
	}
	var bus [32]byte
	if d.call(cuDeviceGetPCIBusId, uintptr(unsafe.Pointer(&bus)), uintptr(len(bus)), uintptr(handle)) == success {
		info.PCIBusID = cString(&bus[0])
	}
	return handle, info, nil
}
