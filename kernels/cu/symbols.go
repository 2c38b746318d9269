package cu

// symbol is one entry point of the driver. Constants bear the names of CUDA's header; symbols has the names that
// the library exports, where _v2 marks the calls with 64-bit sizes and the like.
type symbol int

const (
	cuInit symbol = iota
	cuGetErrorString
	cuDeviceGetCount
	cuDeviceGet
	cuDeviceGetName
	cuDeviceGetUuid
	cuDeviceGetPCIBusId
	cuDeviceGetAttribute
	cuDeviceTotalMem
	cuDevicePrimaryCtxSetFlags
	cuDevicePrimaryCtxRetain
	cuDevicePrimaryCtxRelease
	cuDevicePrimaryCtxReset
	cuCtxSetCurrent
	cuCtxSynchronize
	cuMemGetInfo
	cuMemAlloc
	cuMemFree
	cuMemHostAlloc
	cuMemFreeHost
	cuMemcpyHtoDAsync
	cuMemcpyDtoHAsync
	cuMemcpyDtoDAsync
	cuMemsetD8Async
	cuModuleLoadDataEx
	cuModuleUnload
	cuModuleGetFunction
	cuFuncGetAttribute
	cuFuncSetAttribute
	cuLaunchKernel
	cuStreamCreate
	cuStreamSynchronize
	cuStreamWaitEvent
	cuStreamDestroy
	cuEventCreate
	cuEventRecord
	cuEventQuery
	cuEventSynchronize
	cuEventElapsedTime
	cuEventDestroy
	cuStreamBeginCapture
	cuStreamEndCapture
	cuGraphInstantiate
	cuGraphLaunch
	cuGraphDestroy
	cuGraphExecDestroy
	cuTensorMapEncodeTiled
	symbolCount
)

// feature groups symbols that a driver has or lacks together.
type feature struct {
	need string
	// cuda is the first CUDA version whose driver has all of them.
	cuda int
}

var (
	base   = &feature{"this program", 11000}
	graphs = &feature{"graph capture", 11040}
	tma    = &feature{"the tensor memory accelerator", 12000}
)

var symbols = [symbolCount]struct {
	name string
	of   *feature
}{
	cuInit:                     {"cuInit", base},
	cuGetErrorString:           {"cuGetErrorString", base},
	cuDeviceGetCount:           {"cuDeviceGetCount", base},
	cuDeviceGet:                {"cuDeviceGet", base},
	cuDeviceGetName:            {"cuDeviceGetName", base},
	cuDeviceGetUuid:            {"cuDeviceGetUuid", base},
	cuDeviceGetPCIBusId:        {"cuDeviceGetPCIBusId", base},
	cuDeviceGetAttribute:       {"cuDeviceGetAttribute", base},
	cuDeviceTotalMem:           {"cuDeviceTotalMem_v2", base},
	cuDevicePrimaryCtxSetFlags: {"cuDevicePrimaryCtxSetFlags_v2", base},
	cuDevicePrimaryCtxRetain:   {"cuDevicePrimaryCtxRetain", base},
	cuDevicePrimaryCtxRelease:  {"cuDevicePrimaryCtxRelease_v2", base},
	cuDevicePrimaryCtxReset:    {"cuDevicePrimaryCtxReset_v2", base},
	cuCtxSetCurrent:            {"cuCtxSetCurrent", base},
	cuCtxSynchronize:           {"cuCtxSynchronize", base},
	cuMemGetInfo:               {"cuMemGetInfo_v2", base},
	cuMemAlloc:                 {"cuMemAlloc_v2", base},
	cuMemFree:                  {"cuMemFree_v2", base},
	cuMemHostAlloc:             {"cuMemHostAlloc", base},
	cuMemFreeHost:              {"cuMemFreeHost", base},
	cuMemcpyHtoDAsync:          {"cuMemcpyHtoDAsync_v2", base},
	cuMemcpyDtoHAsync:          {"cuMemcpyDtoHAsync_v2", base},
	cuMemcpyDtoDAsync:          {"cuMemcpyDtoDAsync_v2", base},
	cuMemsetD8Async:            {"cuMemsetD8Async", base},
	cuModuleLoadDataEx:         {"cuModuleLoadDataEx", base},
	cuModuleUnload:             {"cuModuleUnload", base},
	cuModuleGetFunction:        {"cuModuleGetFunction", base},
	cuFuncGetAttribute:         {"cuFuncGetAttribute", base},
	cuFuncSetAttribute:         {"cuFuncSetAttribute", base},
	cuLaunchKernel:             {"cuLaunchKernel", base},
	cuStreamCreate:             {"cuStreamCreate", base},
	cuStreamSynchronize:        {"cuStreamSynchronize", base},
	cuStreamWaitEvent:          {"cuStreamWaitEvent", base},
	cuStreamDestroy:            {"cuStreamDestroy_v2", base},
	cuEventCreate:              {"cuEventCreate", base},
	cuEventRecord:              {"cuEventRecord", base},
	cuEventQuery:               {"cuEventQuery", base},
	cuEventSynchronize:         {"cuEventSynchronize", base},
	cuEventElapsedTime:         {"cuEventElapsedTime", base},
	cuEventDestroy:             {"cuEventDestroy_v2", base},
	cuStreamBeginCapture:       {"cuStreamBeginCapture_v2", graphs},
	cuStreamEndCapture:         {"cuStreamEndCapture", graphs},
	cuGraphInstantiate:         {"cuGraphInstantiateWithFlags", graphs},
	cuGraphLaunch:              {"cuGraphLaunch", graphs},
	cuGraphDestroy:             {"cuGraphDestroy", graphs},
	cuGraphExecDestroy:         {"cuGraphExecDestroy", graphs},
	cuTensorMapEncodeTiled:     {"cuTensorMapEncodeTiled", tma},
}

// result is a CUresult; these are the ones that are told apart.
type result int32

const (
	success             result = 0
	resultOutOfMemory   result = 2
	resultStubLibrary   result = 34
	resultNoDevice      result = 100
	resultInvalidDevice result = 101
	resultPTXVersion    result = 222
	resultNotFound      result = 500
	resultNotReady      result = 600
	resultMismatch      result = 803
)

// sticky tells the results after which the driver answers every call on the context with an error: faults of
// kernels and of the hardware.
func (r result) sticky() bool {
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
		999: // unknown: what a card that has fallen off the bus answers
		return true
	}
	return false
}
