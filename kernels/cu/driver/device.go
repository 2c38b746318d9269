package driver

import (
	"fmt"

	"github.com/kleinbild/kleinbild/kernels/cu"
)

// NumDevices implements cu.Driver.
func (d *Driver) NumDevices() (int, error) {
	l, err := d.installed()
	if err != nil {
		return 0, err
	}
	return l.devices()
}

func (l *library) devices() (int, error) {
	n, r := l.DeviceGetCount()
	if err := l.error(CuDeviceGetCount, r); err != nil {
		return 0, err
	}
	if n == 0 {
		return 0, fmt.Errorf("%w: the driver sees none", cu.ErrNoDevice)
	}
	return n, nil
}

// Info implements cu.Driver.
func (d *Driver) Info(number int) (cu.DeviceInfo, error) {
	l, err := d.installed()
	if err != nil {
		return cu.DeviceInfo{}, err
	}
	_, info, err := l.describe(number)
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

// describe returns the driver's handle of a device and its description.
func (l *library) describe(number int) (handle int32, info cu.DeviceInfo, err error) {
	n, err := l.devices()
	if err != nil {
		return 0, info, err
	}
	if number < 0 || number >= n {
		return 0, info, fmt.Errorf("%w with number %d: found %d, counted from 0", cu.ErrNoDevice, number, n)
	}
	handle, r := l.DeviceGet(number)
	if err = l.error(CuDeviceGet, r); err != nil {
		return 0, info, err
	}
	info.DriverVersion = l.version
	info.Name, r = l.DeviceGetName(handle)
	if err = l.error(CuDeviceGetName, r); err != nil {
		return 0, info, err
	}
	info.TotalBytes, r = l.DeviceTotalMem(handle)
	if err = l.error(CuDeviceTotalMem, r); err != nil {
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
		*a.to, r = l.DeviceGetAttribute(a.attribute, handle)
		if err = l.error(CuDeviceGetAttribute, r); err != nil {
			return 0, info, err
		}
	}
	// Only caches need the identity. Without it they are not used.
	if uuid, r := l.DeviceGetUuid(handle); r == Success {
		info.UUID = fmt.Sprintf("GPU-%x-%x-%x-%x-%x", uuid[:4], uuid[4:6], uuid[6:8], uuid[8:10], uuid[10:])
	}
	if bus, r := l.DeviceGetPCIBusId(handle); r == Success {
		info.PCIBusID = bus
	}
	return handle, info, nil
}
