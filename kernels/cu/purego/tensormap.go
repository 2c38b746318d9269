package purego

import (
	"unsafe"

	"github.com/kleinbild/kleinbild/kernels/cu"
	"github.com/kleinbild/kleinbild/kernels/cu/driver"
)

// tensorMapRequest is what cuTensorMapEncodeTiled reads and writes, in one object so that all of it stays where it
// is; the map is the 128 bytes at the first address of storage that TensorMapAlign divides.
type tensorMapRequest struct {
	dims, strides  [cu.MaxTensorRank]uint64
	box, elementBy [cu.MaxTensorRank]uint32
	storage        [cu.TensorMapBytes + cu.TensorMapAlign]byte
}

// TensorMapEncodeTiled implements driver.Calls.
func (l *library) TensorMapEncodeTiled(t cu.TensorMapTiled) (m cu.TensorMap, r driver.Result) {
	q := &tensorMapRequest{elementBy: [cu.MaxTensorRank]uint32{1, 1, 1, 1, 1}}
	for i, n := range t.Dims {
		q.dims[i], q.box[i] = uint64(n), uint32(t.Box[i])
	}
	for i, n := range t.Strides {
		q.strides[i] = uint64(n)
	}
	for i, n := range t.ElementStrides {
		q.elementBy[i] = uint32(n)
	}
	at := -int(uintptr(unsafe.Pointer(&q.storage))) & (cu.TensorMapAlign - 1)
	const noInterleave = 0
	r = l.call(driver.CuTensorMapEncodeTiled, uintptr(unsafe.Pointer(&q.storage[at])),
		uintptr(t.Type), uintptr(len(t.Dims)), uintptr(t.Address), uintptr(unsafe.Pointer(&q.dims)),
		uintptr(unsafe.Pointer(&q.strides)), uintptr(unsafe.Pointer(&q.box)), uintptr(unsafe.Pointer(&q.elementBy)),
		noInterleave, uintptr(t.Swizzle), uintptr(t.L2Promotion), uintptr(t.Fill))
	copy(m[:], q.storage[at:])
	return m, r
}
