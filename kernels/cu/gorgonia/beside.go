//go:build gorgonia && cgo

package gorgonia

// #include "libcuda.h"
//
// // launch_packed launches a kernel with its parameters in one buffer, which the driver copies.
// static CUresult launch_packed(CUfunction f, const unsigned int *extent, unsigned int shared, CUstream s,
//                               void *params, size_t bytes) {
//   void *extra[] = {
//     CU_LAUNCH_PARAM_BUFFER_POINTER, params, CU_LAUNCH_PARAM_BUFFER_SIZE, &bytes, CU_LAUNCH_PARAM_END,
//   };
//   return cuLaunchKernel(f, extent[0], extent[1], extent[2], extent[3], extent[4], extent[5], shared, s, NULL,
//                         bytes ? extra : NULL);
// }
//
// // encode_tiled takes the address of device memory as a number: to Go it is no pointer.
// static CUresult encode_tiled(CUtensorMap *map, int type, cuuint32_t rank, CUdeviceptr address,
//                              const cuuint64_t *dims, const cuuint64_t *strides, const cuuint32_t *box,
//                              const cuuint32_t *steps, int swizzle, int promotion, int fill) {
//   const int no_interleave = 0;
//   return cuTensorMapEncodeTiled(map, type, rank, (void *)(uintptr_t)address, dims, strides, box, steps,
//                                 no_interleave, swizzle, promotion, fill);
// }
import "C"

import (
	"unsafe"

	gorgonia "gorgonia.org/cu"

	"github.com/kleinbild/kleinbild/kernels/cu"
	"github.com/kleinbild/kleinbild/kernels/cu/driver"
)

// This file has the calls of the driver that gorgonia.org/cu v0.9.6 lacks. They take the handles that the package has
// made. They are: the driver's words for an error, the address on the PCI bus, page-locked memory, dynamic shared
// memory above 48 KiB, the recording of streams and the launch of what was recorded, descriptors of tensors, and the
// launch of kernels that take a structure by value.

// handles are the package's types that hold a handle of the driver and nothing else.
type handles interface {
	gorgonia.CUContext | gorgonia.Module | gorgonia.Function |
		gorgonia.Stream | gorgonia.Event | gorgonia.Graph | gorgonia.ExecGraph
}

// handle returns the handle in v, which the package keeps to itself.
func handle[T handles](v T) driver.Handle { return *(*driver.Handle)(unsafe.Pointer(&v)) }

// as returns the package's value for a handle.
func as[T handles](h driver.Handle) T { return *(*T)(unsafe.Pointer(&h)) }

// The compiler refuses these lines if a type of the package is no longer just a handle.
var (
	_ [unsafe.Sizeof(gorgonia.CUContext{})]byte = [unsafe.Sizeof(driver.Handle(0))]byte{}
	_ [unsafe.Sizeof(gorgonia.Module{})]byte    = [unsafe.Sizeof(driver.Handle(0))]byte{}
	_ [unsafe.Sizeof(gorgonia.Function{})]byte  = [unsafe.Sizeof(driver.Handle(0))]byte{}
	_ [unsafe.Sizeof(gorgonia.Stream{})]byte    = [unsafe.Sizeof(driver.Handle(0))]byte{}
	_ [unsafe.Sizeof(gorgonia.Event{})]byte     = [unsafe.Sizeof(driver.Handle(0))]byte{}
	_ [unsafe.Sizeof(gorgonia.Graph{})]byte     = [unsafe.Sizeof(driver.Handle(0))]byte{}
	_ [unsafe.Sizeof(gorgonia.ExecGraph{})]byte = [unsafe.Sizeof(driver.Handle(0))]byte{}
)

// c returns a handle as C's own type for it.
func c[T C.CUfunction | C.CUstream | C.CUgraph | C.CUgraphExec](h driver.Handle) T {
	return *(*T)(unsafe.Pointer(&h))
}

// GetErrorString implements driver.Calls.
func (l *library) GetErrorString(r driver.Result) string {
	var text *C.char
	if C.cuGetErrorString(C.CUresult(r), &text) != C.CUDA_SUCCESS {
		return ""
	}
	return C.GoString(text)
}

// DeviceGetPCIBusId implements driver.Calls.
func (l *library) DeviceGetPCIBusId(device int32) (string, driver.Result) {
	var bus [32]C.char
	r := C.cuDeviceGetPCIBusId(&bus[0], C.int(len(bus)), C.CUdevice(device))
	return C.GoString(&bus[0]), driver.Result(r)
}

// MemHostAlloc implements driver.Calls.
func (l *library) MemHostAlloc(bytes int) (p unsafe.Pointer, r driver.Result) {
	r = driver.Result(C.cuMemHostAlloc(&p, C.size_t(bytes), 0))
	return p, r
}

// SetAttribute implements driver.Function.
func (f *function) SetAttribute(attribute, value int) driver.Result {
	kernel := c[C.CUfunction](handle(f.kernel))
	return driver.Result(C.cuFuncSetAttribute(kernel, C.CUfunction_attribute(attribute), C.int(value)))
}

// launchPacked launches a kernel whose parameters the package cannot take.
func (f *function) launchPacked(
	grid, block cu.Dim3, sharedBytes int, stream driver.Handle, params []byte,
) driver.Result {
	for i, n := range [...]int{grid.X, grid.Y, grid.Z, block.X, block.Y, block.Z} {
		f.extent[i] = C.uint(n)
	}
	return driver.Result(C.launch_packed(c[C.CUfunction](handle(f.kernel)), &f.extent[0], C.uint(sharedBytes),
		c[C.CUstream](stream), unsafe.Pointer(unsafe.SliceData(params)), C.size_t(len(params))))
}

// extent is a grid and a block, as launchPacked hands them to C.
type extent [6]C.uint

// StreamBeginCapture implements driver.Calls.
func (l *library) StreamBeginCapture(stream driver.Handle, mode int) driver.Result {
	return driver.Result(C.cuStreamBeginCapture_v2(c[C.CUstream](stream), C.CUstreamCaptureMode(mode)))
}

// StreamEndCapture implements driver.Calls.
func (l *library) StreamEndCapture(stream driver.Handle) (driver.Handle, driver.Result) {
	var graph gorgonia.Graph
	r := C.cuStreamEndCapture(c[C.CUstream](stream), (*C.CUgraph)(unsafe.Pointer(&graph)))
	return handle(graph), driver.Result(r)
}

// GraphInstantiate implements driver.Calls.
func (l *library) GraphInstantiate(graph driver.Handle) (driver.Handle, driver.Result) {
	var exec gorgonia.ExecGraph
	r := C.cuGraphInstantiateWithFlags((*C.CUgraphExec)(unsafe.Pointer(&exec)), c[C.CUgraph](graph), 0)
	return handle(exec), driver.Result(r)
}

// GraphLaunch implements driver.Calls.
func (l *library) GraphLaunch(exec, stream driver.Handle) driver.Result {
	return driver.Result(C.cuGraphLaunch(c[C.CUgraphExec](exec), c[C.CUstream](stream)))
}

// TensorMapEncodeTiled implements driver.Calls.
func (l *library) TensorMapEncodeTiled(t cu.TensorMapTiled) (m cu.TensorMap, r driver.Result) {
	var dims, strides [cu.MaxTensorRank]C.cuuint64_t
	var box [cu.MaxTensorRank]C.cuuint32_t
	steps := [cu.MaxTensorRank]C.cuuint32_t{1, 1, 1, 1, 1}
	for i, n := range t.Dims {
		dims[i], box[i] = C.cuuint64_t(n), C.cuuint32_t(t.Box[i])
	}
	for i, n := range t.Strides {
		strides[i] = C.cuuint64_t(n)
	}
	for i, n := range t.ElementStrides {
		steps[i] = C.cuuint32_t(n)
	}
	// Go aligns no variable to 64 bytes: the map is where they begin in memory that has room to spare.
	storage := new([cu.TensorMapBytes + cu.TensorMapAlign]byte)
	at := -int(uintptr(unsafe.Pointer(storage))) & (cu.TensorMapAlign - 1)
	r = driver.Result(C.encode_tiled((*C.CUtensorMap)(unsafe.Pointer(&storage[at])), C.int(t.Type),
		C.cuuint32_t(len(t.Dims)), C.CUdeviceptr(t.Address), &dims[0], &strides[0], &box[0], &steps[0],
		C.int(t.Swizzle), C.int(t.L2Promotion), C.int(t.Fill)))
	copy(m[:], storage[at:])
	return m, r
}
