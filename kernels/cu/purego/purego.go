// Package purego reaches NVIDIA's driver without cgo, with ebitengine's purego. It implements driver.Calls. A program
// that imports it runs on machines without a driver, and is built without a C compiler.
package purego

import (
	"sync"
	"unsafe"

	"github.com/ebitengine/purego"

	"github.com/kleinbild/kleinbild/kernels/cu"
	"github.com/kleinbild/kleinbild/kernels/cu/driver"
)

// Driver is the machine's driver.
var Driver = At(driver.LibraryName)

// At returns the driver whose library lies at path: the machine's, or one that a test has made.
func At(path string) *driver.Driver { return driver.New(binding{}, path) }

type binding struct{}

// Name implements driver.Binding.
func (binding) Name() string { return "purego" }

// Open implements driver.Binding.
func (binding) Open(path string) (driver.Calls, error) {
	handle, err := openLibrary(path)
	if err != nil {
		return nil, err
	}
	l := &library{}
	l.version, _ = findSymbol(handle, "cuDriverGetVersion")
	for s := range driver.SymbolCount {
		l.entry[s], _ = findSymbol(handle, s.Name())
	}
	return l, nil
}

// library is the loaded library. Functions that it lacks are 0.
type library struct {
	entry   [driver.SymbolCount]uintptr
	version uintptr
}

// Has implements driver.Calls.
func (l *library) Has(s driver.Symbol) bool { return l.entry[s] != 0 }

// call calls an entry point that is there. Pointers are converted in the argument list itself, which keeps what they
// point to on the heap and alive until the return.
//
//go:uintptrescapes
func (l *library) call(s driver.Symbol, args ...uintptr) driver.Result {
	return call(l.entry[s], args...)
}

//go:uintptrescapes
func call(entry uintptr, args ...uintptr) driver.Result {
	r, _, _ := purego.SyscallN(entry, args...)
	return driver.Result(r)
}

// arguments holds memory for the arguments of queue: SyscallN moves them to the heap.
var arguments = sync.Pool{New: func() any { return new([4]uintptr) }}

// queue makes a call of up to four arguments without allocating; the calls that take fewer do not see the rest.
//
//go:uintptrescapes
func (l *library) queue(s driver.Symbol, a0, a1, a2, a3 uintptr) driver.Result {
	args := arguments.Get().(*[4]uintptr)
	*args = [4]uintptr{a0, a1, a2, a3}
	r, _, _ := purego.SyscallN(l.entry[s], args[:]...)
	arguments.Put(args)
	return driver.Result(r)
}

// cString copies a C string.
func cString(s *byte) string {
	n := 0
	for *(*byte)(unsafe.Add(unsafe.Pointer(s), n)) != 0 {
		n++
	}
	return string(unsafe.Slice(s, n))
}

// Init implements driver.Calls.
func (l *library) Init() driver.Result { return l.call(driver.CuInit, 0) }

// DriverGetVersion implements driver.Calls.
func (l *library) DriverGetVersion() int {
	var v int32
	if l.version != 0 {
		call(l.version, uintptr(unsafe.Pointer(&v)))
	}
	return int(v)
}

// GetErrorString implements driver.Calls.
func (l *library) GetErrorString(r driver.Result) string {
	var text *byte
	if l.call(driver.CuGetErrorString, uintptr(r), uintptr(unsafe.Pointer(&text))) != driver.Success || text == nil {
		return ""
	}
	return cString(text)
}

// DeviceGetCount implements driver.Calls.
func (l *library) DeviceGetCount() (int, driver.Result) {
	var n int32
	r := l.call(driver.CuDeviceGetCount, uintptr(unsafe.Pointer(&n)))
	return int(n), r
}

// DeviceGet implements driver.Calls.
func (l *library) DeviceGet(number int) (device int32, r driver.Result) {
	r = l.call(driver.CuDeviceGet, uintptr(unsafe.Pointer(&device)), uintptr(number))
	return device, r
}

// DeviceGetName implements driver.Calls.
func (l *library) DeviceGetName(device int32) (string, driver.Result) {
	var name [256]byte
	r := l.call(driver.CuDeviceGetName, uintptr(unsafe.Pointer(&name)), uintptr(len(name)), uintptr(device))
	return cString(&name[0]), r
}

// DeviceGetUuid implements driver.Calls.
func (l *library) DeviceGetUuid(device int32) (uuid [16]byte, r driver.Result) {
	r = l.call(driver.CuDeviceGetUuid, uintptr(unsafe.Pointer(&uuid)), uintptr(device))
	return uuid, r
}

// DeviceGetPCIBusId implements driver.Calls.
func (l *library) DeviceGetPCIBusId(device int32) (string, driver.Result) {
	var bus [32]byte
	r := l.call(driver.CuDeviceGetPCIBusId, uintptr(unsafe.Pointer(&bus)), uintptr(len(bus)), uintptr(device))
	return cString(&bus[0]), r
}

// DeviceGetAttribute implements driver.Calls.
func (l *library) DeviceGetAttribute(attribute int, device int32) (int, driver.Result) {
	var v int32
	r := l.call(driver.CuDeviceGetAttribute, uintptr(unsafe.Pointer(&v)), uintptr(attribute), uintptr(device))
	return int(v), r
}

// DeviceTotalMem implements driver.Calls.
func (l *library) DeviceTotalMem(device int32) (bytes int64, r driver.Result) {
	r = l.call(driver.CuDeviceTotalMem, uintptr(unsafe.Pointer(&bytes)), uintptr(device))
	return bytes, r
}

// DevicePrimaryCtxSetFlags implements driver.Calls.
func (l *library) DevicePrimaryCtxSetFlags(device int32, flags int) driver.Result {
	return l.call(driver.CuDevicePrimaryCtxSetFlags, uintptr(device), uintptr(flags))
}

// DevicePrimaryCtxRetain implements driver.Calls.
func (l *library) DevicePrimaryCtxRetain(device int32) (context driver.Handle, r driver.Result) {
	r = l.call(driver.CuDevicePrimaryCtxRetain, uintptr(unsafe.Pointer(&context)), uintptr(device))
	return context, r
}

// DevicePrimaryCtxRelease implements driver.Calls.
func (l *library) DevicePrimaryCtxRelease(device int32) driver.Result {
	return l.call(driver.CuDevicePrimaryCtxRelease, uintptr(device))
}

// DevicePrimaryCtxReset implements driver.Calls.
func (l *library) DevicePrimaryCtxReset(device int32) driver.Result {
	return l.call(driver.CuDevicePrimaryCtxReset, uintptr(device))
}

// CtxSetCurrent implements driver.Calls.
func (l *library) CtxSetCurrent(context driver.Handle) driver.Result {
	return l.call(driver.CuCtxSetCurrent, uintptr(context))
}

// CtxSynchronize implements driver.Calls.
func (l *library) CtxSynchronize() driver.Result { return l.call(driver.CuCtxSynchronize) }

// MemGetInfo implements driver.Calls.
func (l *library) MemGetInfo() (free, total int64, r driver.Result) {
	r = l.call(driver.CuMemGetInfo, uintptr(unsafe.Pointer(&free)), uintptr(unsafe.Pointer(&total)))
	return free, total, r
}

// MemAlloc implements driver.Calls.
func (l *library) MemAlloc(bytes int64) (p cu.DevicePtr, r driver.Result) {
	r = l.call(driver.CuMemAlloc, uintptr(unsafe.Pointer(&p)), uintptr(bytes))
	return p, r
}

// MemFree implements driver.Calls.
func (l *library) MemFree(p cu.DevicePtr) driver.Result { return l.call(driver.CuMemFree, uintptr(p)) }

// MemHostAlloc implements driver.Calls.
func (l *library) MemHostAlloc(bytes int) (p unsafe.Pointer, r driver.Result) {
	r = l.call(driver.CuMemHostAlloc, uintptr(unsafe.Pointer(&p)), uintptr(bytes), 0)
	return p, r
}

// MemFreeHost implements driver.Calls.
func (l *library) MemFreeHost(p unsafe.Pointer) driver.Result {
	return l.call(driver.CuMemFreeHost, uintptr(p))
}

// MemcpyHtoDAsync implements driver.Calls.
func (l *library) MemcpyHtoDAsync(
	dst cu.DevicePtr, src unsafe.Pointer, bytes int64, stream driver.Handle,
) driver.Result {
	return l.queue(driver.CuMemcpyHtoDAsync, uintptr(dst), uintptr(src), uintptr(bytes), uintptr(stream))
}

// MemcpyDtoHAsync implements driver.Calls.
func (l *library) MemcpyDtoHAsync(
	dst unsafe.Pointer, src cu.DevicePtr, bytes int64, stream driver.Handle,
) driver.Result {
	return l.queue(driver.CuMemcpyDtoHAsync, uintptr(dst), uintptr(src), uintptr(bytes), uintptr(stream))
}

// MemcpyDtoDAsync implements driver.Calls.
func (l *library) MemcpyDtoDAsync(dst, src cu.DevicePtr, bytes int64, stream driver.Handle) driver.Result {
	return l.queue(driver.CuMemcpyDtoDAsync, uintptr(dst), uintptr(src), uintptr(bytes), uintptr(stream))
}

// MemsetD8Async implements driver.Calls.
func (l *library) MemsetD8Async(dst cu.DevicePtr, value byte, bytes int64, stream driver.Handle) driver.Result {
	return l.queue(driver.CuMemsetD8Async, uintptr(dst), uintptr(value), uintptr(bytes), uintptr(stream))
}
