package driver

// Symbol is one entry point of the driver. Constants bear the names of CUDA's header; symbols has the names that
// the library exports, where _v2 marks the calls with 64-bit sizes and the like.
type Symbol int

// The entry points that cu needs.
const (
	CuInit Symbol = iota
	CuGetErrorString
	CuDeviceGetCount
	CuDeviceGet
	CuDeviceGetName
	CuDeviceGetUuid
	CuDeviceGetPCIBusId
	CuDeviceGetAttribute
	CuDeviceTotalMem
	CuDevicePrimaryCtxSetFlags
	CuDevicePrimaryCtxRetain
	CuDevicePrimaryCtxRelease
	CuDevicePrimaryCtxReset
	CuCtxSetCurrent
	CuCtxSynchronize
	CuMemGetInfo
	CuMemAlloc
	CuMemFree
	CuMemHostAlloc
	CuMemFreeHost
	CuMemcpyHtoDAsync
	CuMemcpyDtoHAsync
	CuMemcpyDtoDAsync
	CuMemsetD8Async
	CuModuleLoadDataEx
	CuModuleUnload
	CuModuleGetFunction
	CuFuncGetAttribute
	CuFuncSetAttribute
	CuLaunchKernel
	CuStreamCreate
	CuStreamSynchronize
	CuStreamWaitEvent
	CuStreamDestroy
	CuEventCreate
	CuEventRecord
	CuEventQuery
	CuEventSynchronize
	CuEventElapsedTime
	CuEventDestroy
	CuStreamBeginCapture
	CuStreamEndCapture
	CuGraphInstantiate
	CuGraphLaunch
	CuGraphDestroy
	CuGraphExecDestroy
	CuTensorMapEncodeTiled
	SymbolCount // of symbols
)

// feature groups symbols that a driver has or lacks together.
type feature struct {
	need string
	// cuda is the first CUDA version whose driver has all symbols.
	cuda int
}

var (
	base   = &feature{"this program", 11000}
	graphs = &feature{"graph capture", 11040}
	tma    = &feature{"the tensor memory accelerator", 12000}
)

// Name is what the library exports.
func (s Symbol) Name() string { return symbols[s].name }

var symbols = [SymbolCount]struct {
	name string
	of   *feature
}{
	CuInit:                     {"cuInit", base},
	CuGetErrorString:           {"cuGetErrorString", base},
	CuDeviceGetCount:           {"cuDeviceGetCount", base},
	CuDeviceGet:                {"cuDeviceGet", base},
	CuDeviceGetName:            {"cuDeviceGetName", base},
	CuDeviceGetUuid:            {"cuDeviceGetUuid", base},
	CuDeviceGetPCIBusId:        {"cuDeviceGetPCIBusId", base},
	CuDeviceGetAttribute:       {"cuDeviceGetAttribute", base},
	CuDeviceTotalMem:           {"cuDeviceTotalMem_v2", base},
	CuDevicePrimaryCtxSetFlags: {"cuDevicePrimaryCtxSetFlags_v2", base},
	CuDevicePrimaryCtxRetain:   {"cuDevicePrimaryCtxRetain", base},
	CuDevicePrimaryCtxRelease:  {"cuDevicePrimaryCtxRelease_v2", base},
	CuDevicePrimaryCtxReset:    {"cuDevicePrimaryCtxReset_v2", base},
	CuCtxSetCurrent:            {"cuCtxSetCurrent", base},
	CuCtxSynchronize:           {"cuCtxSynchronize", base},
	CuMemGetInfo:               {"cuMemGetInfo_v2", base},
	CuMemAlloc:                 {"cuMemAlloc_v2", base},
	CuMemFree:                  {"cuMemFree_v2", base},
	CuMemHostAlloc:             {"cuMemHostAlloc", base},
	CuMemFreeHost:              {"cuMemFreeHost", base},
	CuMemcpyHtoDAsync:          {"cuMemcpyHtoDAsync_v2", base},
	CuMemcpyDtoHAsync:          {"cuMemcpyDtoHAsync_v2", base},
	CuMemcpyDtoDAsync:          {"cuMemcpyDtoDAsync_v2", base},
	CuMemsetD8Async:            {"cuMemsetD8Async", base},
	CuModuleLoadDataEx:         {"cuModuleLoadDataEx", base},
	CuModuleUnload:             {"cuModuleUnload", base},
	CuModuleGetFunction:        {"cuModuleGetFunction", base},
	CuFuncGetAttribute:         {"cuFuncGetAttribute", base},
	CuFuncSetAttribute:         {"cuFuncSetAttribute", base},
	CuLaunchKernel:             {"cuLaunchKernel", base},
	CuStreamCreate:             {"cuStreamCreate", base},
	CuStreamSynchronize:        {"cuStreamSynchronize", base},
	CuStreamWaitEvent:          {"cuStreamWaitEvent", base},
	CuStreamDestroy:            {"cuStreamDestroy_v2", base},
	CuEventCreate:              {"cuEventCreate", base},
	CuEventRecord:              {"cuEventRecord", base},
	CuEventQuery:               {"cuEventQuery", base},
	CuEventSynchronize:         {"cuEventSynchronize", base},
	CuEventElapsedTime:         {"cuEventElapsedTime", base},
	CuEventDestroy:             {"cuEventDestroy_v2", base},
	CuStreamBeginCapture:       {"cuStreamBeginCapture_v2", graphs},
	CuStreamEndCapture:         {"cuStreamEndCapture", graphs},
	CuGraphInstantiate:         {"cuGraphInstantiateWithFlags", graphs},
	CuGraphLaunch:              {"cuGraphLaunch", graphs},
	CuGraphDestroy:             {"cuGraphDestroy", graphs},
	CuGraphExecDestroy:         {"cuGraphExecDestroy", graphs},
	CuTensorMapEncodeTiled:     {"cuTensorMapEncodeTiled", tma},
}

// Result is a CUresult; the constants are those that callers distinguish.
type Result int32

const (
	Success           Result = 0
	resultOutOfMemory Result = 2
	resultStubLibrary Result = 34
	resultNoDevice    Result = 100
	resultPTXVersion  Result = 222
	resultNotFound    Result = 500
	resultNotReady    Result = 600
	resultMismatch    Result = 803
)

// sticky says whether the driver answers every later call on the context with an error, as after faults of kernels and
// of the hardware.
func (r Result) sticky() bool {
	switch r {
	case 4, // deinitialized: the driver is going away
		46,            // device unavailable
		214, 220, 226, // uncorrectable errors of memory and links
		700,                // illegal address
		702,                // launch timeout
		709,                // context is destroyed
		710,                // assert
		714, 715, 716, 717, // hardware stack, illegal instruction, misaligned address, address space
		718, 719, // invalid program counter, launch failed
		721, // tensor memory leak
		999: // unknown: the answer of a card that is no longer on the bus
		return true
	}
	return false
}
