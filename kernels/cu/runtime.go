package cu

import "time"

// DevicePtr is an address in a device's memory. The zero value points nowhere.
type DevicePtr uint64

// Dim3 is the extent of a grid in blocks or of a block in threads. Unused dimensions are 1, never 0.
type Dim3 struct{ X, Y, Z int }

// DeviceInfo describes a device.
type DeviceInfo struct {
	// Name is the maker's: "NVIDIA H200".
	Name string
	// Major and Minor are the compute capability: 9 and 0 for sm_90.
	Major, Minor int
	// DriverVersion is the newest CUDA version that the driver knows: 12080 for 12.8.
	DriverVersion int
	// UUID distinguishes cards of one model ("GPU-…"). PCIBusID is the card's place ("0000:01:00.0").
	UUID, PCIBusID string
	// TotalBytes is the device's memory.
	TotalBytes int64
	// SMs counts streaming multiprocessors.
	SMs int
	// SharedBytesPerBlock is the most shared memory of one block, static and dynamic together, after
	// SetMaxDynamicShared; SharedBytesPerSM is what the resident blocks of one multiprocessor share.
	SharedBytesPerBlock, SharedBytesPerSM int
	WarpSize                              int
	L2Bytes                               int
	// ClockKHz and MemoryClockKHz are peak clocks, MemoryBusBits is the width of the memory bus. Unknown values are 0.
	ClockKHz, MemoryClockKHz, MemoryBusBits int
}

// OldestMajor and OldestMinor are the lowest compute capability that contexts are made for. GPUs below sm_80 have
// neither bfloat16 matrix products nor asynchronous copies into shared memory.
const (
	OldestMajor = 8
	OldestMinor = 0
)

// Driver is NVIDIA's driver on this machine. It is loaded when it is first needed; two packages reach it, purego and
// gorgonia. GPUs are numbered in the driver's order, from 0.
type Driver interface {
	// Name is the package that reaches the driver: "purego" or "gorgonia".
	Name() string
	// NumDevices counts GPUs. If there is none, the error says why: ErrNoDriver, *DriverTooOldError, ErrNoDevice.
	NumDevices() (int, error)
	// Info describes a GPU without making a context.
	Info(number int) (DeviceInfo, error)
	// MakeContext starts using a GPU. Its errors are those of NumDevices, *DeviceTooOldError for a GPU below compute
	// capability 8.0, and *OutOfMemoryError if other processes hold all memory.
	MakeContext(number int) (Context, error)
}

// Context is a device in use: driver implements it over NVIDIA's driver, kernels/ptxsim in software.
//
// Methods of a context, and of everything made by it, may be called from any goroutine. The work of a stream runs in
// the order of the calls, so goroutines that share a stream must order their calls.
//
// Work is asynchronous: any later call may return an error that a kernel caused. Errors are those of this package. If
// one wraps ErrContextLost, nothing made by this context can be used any more: Close it and make another.
type Context interface {
	// Device describes the device.
	Device() DeviceInfo
	// Do runs f on the thread that owns the context and returns f's error. If f panics, Do panics in the caller.
	// Calls made by f itself (not by goroutines that it starts) run at once. A call from elsewhere is handed to that
	// thread, which takes some microseconds and a few small allocations: wrap many launches in one Do. f must not
	// wait for goroutines that call the context. If f waits for the device or loads a module, it blocks the thread for
	// that time. Waiting and loading outside of Do block only the goroutine that does it.
	Do(f func() error) error
	// MemGetInfo returns the bytes of device memory that are free, for all processes, and in all.
	MemGetInfo() (free, total int64, err error)

	// MemAlloc returns device memory of undefined contents, aligned to 256 bytes at least. bytes is positive.
	// If there is not enough, the error is an *OutOfMemoryError.
	MemAlloc(bytes int64) (DevicePtr, error)
	// MemFree frees memory of MemAlloc, after waiting for all work that may use it.
	MemFree(p DevicePtr) error
	// MemAllocHost returns page-locked host memory. Only copies to and from such memory are asynchronous. It is not
	// Go memory: it must not be used after MemFreeHost or Close.
	MemAllocHost(bytes int) ([]byte, error)
	// MemFreeHost frees memory of MemAllocHost. b is the slice that MemAllocHost returned.
	MemFreeHost(b []byte) error

	// LoadModule compiles PTX text for this device. A *JITError carries the compiler's log.
	LoadModule(ptx []byte, options ModuleOptions) (Module, error)
	// TensorMapEncodeTiled makes the descriptor that TMA instructions take, as a kernel parameter.
	TensorMapEncodeTiled(t TensorMapTiled) (TensorMap, error)

	// MakeStream returns a queue that does not wait for other streams unless told to.
	MakeStream() (Stream, error)
	// MakeEvent returns a mark for streams. Elapsed needs events with timing.
	MakeEvent(timing bool) (Event, error)

	// Synchronize waits for all work of the context.
	Synchronize() error
	// Close waits for all work, then frees everything that the context made. Closing twice does nothing.
	Close() error
}

// ModuleOptions says how a module is compiled.
type ModuleOptions struct {
	// Name stands for the module in errors: "gemm.sm_80.ptx".
	Name string
	// LineInfo keeps source lines for profilers and checkers.
	LineInfo bool
}

// Module is compiled PTX on the device.
type Module interface {
	// Function returns the kernel of this name, or ErrNotFound.
	Function(name string) (Function, error)
	// Unload frees the module. Its functions must not be used afterwards.
	Unload() error
}

// Function is a kernel.
type Function interface {
	// Name is the kernel's name in the PTX.
	Name() string
	// Attributes returns the resources that the kernel needs.
	Attributes() (FunctionAttributes, error)
	// SetMaxDynamicShared allows launches with this many bytes of dynamic shared memory. Without it the static and
	// dynamic shared memory together may have 48 KiB.
	SetMaxDynamicShared(bytes int) error
	// Launch queues the kernel. sharedBytes is the dynamic shared memory. params holds the parameters in the order of
	// the PTX, each at its natural alignment; Args packs them. Launch copies params before it returns. If it refuses
	// the launch, the error is a *LaunchError.
	Launch(grid, block Dim3, sharedBytes int, stream Stream, params []byte) error
}

// FunctionAttributes are the resources that a compiled kernel needs.
type FunctionAttributes struct {
	// Registers and LocalBytes are per thread. Local memory means that registers were spilled, or a stack.
	Registers, LocalBytes int
	// SharedBytes is the static shared memory of a block.
	SharedBytes int
	// MaxThreads is the largest block that can be launched.
	MaxThreads int
}

// Stream is a queue of work, executed in order.
type Stream interface {
	// MemcpyHtoDAsync queues a copy of src to the device. src must stay reachable and unchanged until the copy is
	// done. If src is not memory of MemAllocHost, the call blocks during the copy.
	MemcpyHtoDAsync(dst DevicePtr, src []byte) error
	// MemcpyDtoHAsync queues a copy from the device into dst. dst is valid when the stream has executed it.
	MemcpyDtoHAsync(dst []byte, src DevicePtr) error
	// MemcpyDtoDAsync queues a copy within the device. The ranges must not overlap.
	MemcpyDtoDAsync(dst, src DevicePtr, bytes int64) error
	// MemsetD8Async queues filling bytes bytes with value.
	MemsetD8Async(dst DevicePtr, value byte, bytes int64) error

	// Wait makes the stream's later work wait for the last mark of e.
	Wait(e Event) error
	// Synchronize waits until the queue is empty.
	Synchronize() error

	// BeginCapture starts recording: work queued until EndCapture is not executed but becomes a graph.
	BeginCapture() error
	// EndCapture stops recording. After an error the stream records no more.
	EndCapture() (Graph, error)

	// Destroy frees the stream once its work is done.
	Destroy() error
}

// Event is a mark in a stream.
type Event interface {
	// Record queues the mark; an earlier mark of this event is forgotten.
	Record(s Stream) error
	// Query says whether the stream has passed the mark. It returns true for an event that was never recorded.
	Query() (bool, error)
	// Synchronize waits until the stream has passed the mark.
	Synchronize() error
	// Elapsed returns the device's time from start to this event. Both must have timing, and their streams must have
	// passed them.
	Elapsed(start Event) (time.Duration, error)
	// Destroy frees the event.
	Destroy() error
}

// Graph is recorded work.
type Graph interface {
	// Instantiate prepares the graph for launches. It can be called more than once.
	Instantiate() (GraphExec, error)
	// Destroy frees the recording. Results of Instantiate stay usable.
	Destroy() error
}

// GraphExec is recorded work that is ready to run.
type GraphExec interface {
	// Launch queues the whole graph, with the parameters it was recorded with.
	Launch(s Stream) error
	// Destroy frees it.
	Destroy() error
}
