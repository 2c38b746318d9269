package driver

import (
	"unsafe"

	"github.com/kleinbild/kleinbild/kernels/cu"
)

// Binding reaches NVIDIA's driver library in its own way.
type Binding interface {
	// Name tells bindings apart.
	Name() string
	// Open loads the library from path. The error says why it cannot be loaded.
	Open(path string) (Calls, error)
}

// Handle is the driver's own pointer to something that it has made; 0 is none.
type Handle uintptr

// Calls are the functions of the driver library that cu needs. They have CUDA's names without "cu", return a CUresult,
// and check nothing. A call that needs a context uses the one that is current on the caller's thread.
type Calls interface {
	// Has says whether the library has the function.
	Has(s Symbol) bool

	Init() Result
	// DriverGetVersion returns 0 for a library that has no such function.
	DriverGetVersion() int
	// GetErrorString returns "" for a result that the driver does not know.
	GetErrorString(r Result) string

	DeviceGetCount() (n int, r Result)
	DeviceGet(number int) (device int32, r Result)
	DeviceGetName(device int32) (name string, r Result)
	DeviceGetUuid(device int32) (uuid [16]byte, r Result)
	DeviceGetPCIBusId(device int32) (bus string, r Result)
	DeviceGetAttribute(attribute int, device int32) (value int, r Result)
	DeviceTotalMem(device int32) (bytes int64, r Result)

	DevicePrimaryCtxSetFlags(device int32, flags int) Result
	DevicePrimaryCtxRetain(device int32) (context Handle, r Result)
	DevicePrimaryCtxRelease(device int32) Result
	DevicePrimaryCtxReset(device int32) Result
	CtxSetCurrent(context Handle) Result
	CtxSynchronize() Result

	MemGetInfo() (free, total int64, r Result)
	MemAlloc(bytes int64) (p cu.DevicePtr, r Result)
	MemFree(p cu.DevicePtr) Result
	MemHostAlloc(bytes int) (p unsafe.Pointer, r Result)
	MemFreeHost(p unsafe.Pointer) Result
	MemcpyHtoDAsync(dst cu.DevicePtr, src unsafe.Pointer, bytes int64, stream Handle) Result
	MemcpyDtoHAsync(dst unsafe.Pointer, src cu.DevicePtr, bytes int64, stream Handle) Result
	MemcpyDtoDAsync(dst, src cu.DevicePtr, bytes int64, stream Handle) Result
	MemsetD8Async(dst cu.DevicePtr, value byte, bytes int64, stream Handle) Result

	// ModuleLoadDataEx compiles PTX text. The compiler's errors go to log, ended by a zero byte.
	ModuleLoadDataEx(ptx, log []byte, lineInfo bool) (module Handle, r Result)
	ModuleUnload(module Handle) Result
	ModuleGetFunction(module Handle, name string) (f Function, r Result)

	StreamCreate(flags int) (stream Handle, r Result)
	StreamSynchronize(stream Handle) Result
	StreamWaitEvent(stream, event Handle) Result
	StreamDestroy(stream Handle) Result

	EventCreate(flags int) (event Handle, r Result)
	EventRecord(event, stream Handle) Result
	EventQuery(event Handle) Result
	EventSynchronize(event Handle) Result
	EventElapsedTime(start, end Handle) (milliseconds float64, r Result)
	EventDestroy(event Handle) Result

	StreamBeginCapture(stream Handle, mode int) Result
	StreamEndCapture(stream Handle) (graph Handle, r Result)
	GraphInstantiate(graph Handle) (exec Handle, r Result)
	GraphLaunch(exec, stream Handle) Result
	GraphDestroy(graph Handle) Result
	GraphExecDestroy(exec Handle) Result

	TensorMapEncodeTiled(t cu.TensorMapTiled) (m cu.TensorMap, r Result)
}

// Function is a kernel of a module. Only the thread that owns the context calls it.
type Function interface {
	GetAttribute(attribute int) (value int, r Result)
	SetAttribute(attribute, value int) Result
	// LaunchKernel queues the kernel without allocating. params are packed as cu.Function.Launch says, and copied. The
	// extents fit into 32 bits, the parameters into MaxParamBytes.
	LaunchKernel(grid, block cu.Dim3, sharedBytes int, stream Handle, params []byte) Result
}

// MaxParamBytes is the size of all parameters of a kernel before PTX 8.1.
const MaxParamBytes = 4096
