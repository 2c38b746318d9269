//go:build gorgonia && cgo

package gorgonia

// #include "libcuda.h"
import "C"

import (
	"errors"
	"syscall"
	"unsafe"

	gorgonia "gorgonia.org/cu"

	"github.com/kleinbild/kleinbild/kernels/cu"
	"github.com/kleinbild/kleinbild/kernels/cu/driver"
)

// Driver is the machine's driver.
var Driver = At(driver.LibraryName)

// At returns the driver whose library lies at path: the machine's, or one that a test has made. A process has one
// library at a time: all calls reach the one that was opened last.
func At(path string) *driver.Driver { return driver.New(binding{}, path) }

type binding struct{}

// Name implements driver.Binding.
func (binding) Name() string { return "gorgonia" }

// Open implements driver.Binding.
func (binding) Open(path string) (driver.Calls, error) {
	cPath := C.CString(path)
	defer C.free(unsafe.Pointer(cPath))
	var why [1024]C.char
	if code := C.libcuda_open(cPath, &why[0], C.size_t(len(why))); code != 0 {
		if text := C.GoString(&why[0]); text != "" {
			return nil, errors.New(text)
		}
		return nil, syscall.Errno(code)
	}
	l := &library{ptx: map[driver.Handle][]byte{}}
	for s := range driver.SymbolCount {
		l.has[s] = has(s.Name())
	}
	return l, nil
}

func has(name string) bool {
	cName := C.CString(name)
	defer C.free(unsafe.Pointer(cName))
	return C.libcuda_has(cName) != 0
}

// of returns the CUresult in an error of gorgonia.org/cu. The error's type is not exported: E gets it from
// gorgonia.Success.
func of[E interface {
	error
	~int
}](_ E, err error) driver.Result {
	if err == nil {
		return driver.Success
	}
	var code E
	if !errors.As(err, &code) {
		return resultUnknown
	}
	return driver.Result(code)
}

// CUDA_ERROR_UNKNOWN
const resultUnknown = 999

func result(err error) driver.Result { return of(gorgonia.Success, err) }

// Has implements driver.Calls.
func (l *library) Has(s driver.Symbol) bool { return l.has[s] }

// Init implements driver.Calls. gorgonia.org/cu has called cuInit before main, when no library was open. So the library
// that is open now has not been initialised.
func (l *library) Init() driver.Result { return driver.Result(C.libcuda_init()) }

// DriverGetVersion implements driver.Calls.
func (l *library) DriverGetVersion() int { return max(gorgonia.Version(), 0) }

// DeviceGetCount implements driver.Calls.
func (l *library) DeviceGetCount() (int, driver.Result) {
	n, err := gorgonia.NumDevices()
	return n, result(err)
}

// DeviceGet implements driver.Calls.
func (l *library) DeviceGet(number int) (int32, driver.Result) {
	device, err := gorgonia.GetDevice(number)
	return int32(device), result(err)
}

// DeviceGetName implements driver.Calls.
func (l *library) DeviceGetName(device int32) (string, driver.Result) {
	name, err := gorgonia.Device(device).Name()
	return name, result(err)
}

// DeviceGetUuid implements driver.Calls.
func (l *library) DeviceGetUuid(device int32) ([16]byte, driver.Result) {
	uuid, err := gorgonia.Device(device).UUID()
	return uuid, result(err)
}

// DeviceGetAttribute implements driver.Calls.
func (l *library) DeviceGetAttribute(attribute int, device int32) (int, driver.Result) {
	v, err := gorgonia.Device(device).Attribute(gorgonia.DeviceAttribute(attribute))
	return v, result(err)
}

// DeviceTotalMem implements driver.Calls.
func (l *library) DeviceTotalMem(device int32) (int64, driver.Result) {
	bytes, err := gorgonia.Device(device).TotalMem()
	return bytes, result(err)
}

// DevicePrimaryCtxSetFlags implements driver.Calls.
func (l *library) DevicePrimaryCtxSetFlags(device int32, flags int) driver.Result {
	return result(gorgonia.Device(device).SetPrimaryCtxFlags(gorgonia.ContextFlags(flags)))
}

// DevicePrimaryCtxRetain implements driver.Calls.
func (l *library) DevicePrimaryCtxRetain(device int32) (driver.Handle, driver.Result) {
	context, err := gorgonia.Device(device).RetainPrimaryCtx()
	return handle(context), result(err)
}

// DevicePrimaryCtxRelease implements driver.Calls.
func (l *library) DevicePrimaryCtxRelease(device int32) driver.Result {
	return result(gorgonia.Device(device).ReleasePrimaryCtx())
}

// DevicePrimaryCtxReset implements driver.Calls.
func (l *library) DevicePrimaryCtxReset(device int32) driver.Result {
	return result(gorgonia.Device(device).ResetPrimaryCtx())
}

// CtxSetCurrent implements driver.Calls.
func (l *library) CtxSetCurrent(context driver.Handle) driver.Result {
	return result(gorgonia.SetCurrentContext(as[gorgonia.CUContext](context)))
}

// CtxSynchronize implements driver.Calls.
func (l *library) CtxSynchronize() driver.Result { return result(gorgonia.Synchronize()) }

// MemGetInfo implements driver.Calls.
func (l *library) MemGetInfo() (free, total int64, r driver.Result) {
	free, total, err := gorgonia.MemInfo()
	return free, total, result(err)
}

// MemAlloc implements driver.Calls.
func (l *library) MemAlloc(bytes int64) (cu.DevicePtr, driver.Result) {
	p, err := gorgonia.MemAlloc(bytes)
	return cu.DevicePtr(p), result(err)
}

// MemFree implements driver.Calls.
func (l *library) MemFree(p cu.DevicePtr) driver.Result {
	return result(gorgonia.MemFree(gorgonia.DevicePtr(p)))
}

// MemFreeHost implements driver.Calls.
func (l *library) MemFreeHost(p unsafe.Pointer) driver.Result { return result(gorgonia.MemFreeHost(p)) }

// MemcpyHtoDAsync implements driver.Calls.
func (l *library) MemcpyHtoDAsync(
	dst cu.DevicePtr, src unsafe.Pointer, bytes int64, stream driver.Handle,
) driver.Result {
	return result(gorgonia.MemcpyHtoDAsync(gorgonia.DevicePtr(dst), src, bytes, as[gorgonia.Stream](stream)))
}

// MemcpyDtoHAsync implements driver.Calls.
func (l *library) MemcpyDtoHAsync(
	dst unsafe.Pointer, src cu.DevicePtr, bytes int64, stream driver.Handle,
) driver.Result {
	return result(gorgonia.MemcpyDtoHAsync(dst, gorgonia.DevicePtr(src), bytes, as[gorgonia.Stream](stream)))
}

// MemcpyDtoDAsync implements driver.Calls.
func (l *library) MemcpyDtoDAsync(dst, src cu.DevicePtr, bytes int64, stream driver.Handle) driver.Result {
	to, from := gorgonia.DevicePtr(dst), gorgonia.DevicePtr(src)
	return result(gorgonia.MemcpyDtoDAsync(to, from, bytes, as[gorgonia.Stream](stream)))
}

// MemsetD8Async implements driver.Calls.
func (l *library) MemsetD8Async(dst cu.DevicePtr, value byte, bytes int64, stream driver.Handle) driver.Result {
	return result(gorgonia.MemsetD8Async(gorgonia.DevicePtr(dst), value, bytes, as[gorgonia.Stream](stream)))
}
