package ptxsim

import (
	"encoding/binary"

	"github.com/kleinbild/kleinbild/kernels/cu"
)

// A tensorMap is a decoded tensor map. The 128 bytes of a tensor map have a format of this device: a magic number, the
// address, the rank, type, swizzle and fill, and for each dimension its size, stride, box size and element stride.
type tensorMap struct {
	element       int // bytes of an element
	address       uint64
	dims, strides []int64 // elements and bytes of each dimension; strides[0] is the size of an element
	box           []int   // elements of the box in each dimension
	steps         []int   // element strides
	swizzle       cu.TensorMapSwizzle
	fillNaN       bool
	nan           uint32 // the bits of NaN
}

const tensorMapMagic = 0x70616d7478747031

// TensorMapEncodeTiled returns a tensor map in the format of this device. The error is that of t.Check.
func (c *Context) TensorMapEncodeTiled(t cu.TensorMapTiled) (cu.TensorMap, error) {
	var m cu.TensorMap
	if err := c.enter("encode tensor map"); err != nil {
		return m, err
	}
	defer c.mu.Unlock()
	if err := t.Check(); err != nil {
		return m, err
	}
	b := binary.LittleEndian.AppendUint64(m[:0], tensorMapMagic)
	b = binary.LittleEndian.AppendUint64(b, uint64(t.Address))
	b = append(b, byte(len(t.Dims)), byte(t.Type), byte(t.Swizzle), byte(t.Fill))
	for i := range 5 {
		dim, stride, box, step := int64(1), int64(0), 1, 1
		if i < len(t.Dims) {
			dim, box = t.Dims[i], t.Box[i]
			if t.ElementStrides != nil {
				step = t.ElementStrides[i]
			}
		}
		if i > 0 && i < len(t.Dims) {
			stride = t.Strides[i-1]
		}
		b = binary.LittleEndian.AppendUint32(b, uint32(dim-1))
		b = binary.LittleEndian.AppendUint64(b, uint64(stride))
		b = append(b, byte(box-1), byte(step))
	}
	return m, nil
}

// decodeTensorMap parses the bytes of a tensor map. It returns false if they are not one of this device.
func decodeTensorMap(b []byte) (tensorMap, bool) {
	if len(b) < cu.TensorMapBytes || binary.LittleEndian.Uint64(b) != tensorMapMagic {
		return tensorMap{}, false
	}
	rank := int(b[16])
	kind := cu.TensorMapDataType(b[17])
	t := tensorMap{address: binary.LittleEndian.Uint64(b[8:]), element: kind.Bytes(),
		swizzle: cu.TensorMapSwizzle(b[18]), fillNaN: b[19] == byte(cu.FillNaN)}
	t.nan = map[cu.TensorMapDataType]uint32{
		cu.TensorMapFloat16: 0x7fff, cu.TensorMapBFloat16: 0x7fff, cu.TensorMapFloat32: 0x7fffffff}[kind]
	at := b[20:]
	for i := range rank {
		t.dims = append(t.dims, int64(binary.LittleEndian.Uint32(at))+1)
		stride := int64(binary.LittleEndian.Uint64(at[4:]))
		if i == 0 {
			stride = int64(t.element)
		}
		t.strides = append(t.strides, stride)
		t.box = append(t.box, int(at[12])+1)
		t.steps = append(t.steps, int(at[13]))
		at = at[14:]
	}
	return t, true
}

// bytes returns the size of the box in bytes.
func (t *tensorMap) bytes() int {
	n := t.element
	for _, b := range t.box {
		n *= b
	}
	return n
}

// each calls f for every element of the box at the given coordinates, with its offset in the box before swizzling, its
// address, and whether it is inside the tensor.
func (t *tensorMap) each(coordinates []int32, f func(offset int, address uint64, inside bool)) {
	index := make([]int, len(t.box))
	for offset := 0; ; offset += t.element {
		address, inside := t.address, true
		for i, n := range index {
			c := int64(coordinates[i]) + int64(n)*int64(t.steps[i])
			inside = inside && c >= 0 && c < t.dims[i]
			address += uint64(c * t.strides[i])
		}
		f(offset, address, inside)
		i := 0
		for ; i < len(index); i++ {
			if index[i]++; index[i] < t.box[i] {
				break
			}
			index[i] = 0
		}
		if i == len(index) {
			return
		}
	}
}

// swizzled returns the address at which a byte of a tile is stored: the number of its 16-byte chunk in its row, xor the
// lowest bits of the number of its 128-byte row. Because it depends on the address itself, tiles must be aligned
// (tileAlign).
func swizzled(at uint64, mode cu.TensorMapSwizzle) uint64 {
	switch mode {
	case cu.Swizzle32B:
		return at ^ at>>3&0x10
	case cu.Swizzle64B:
		return at ^ at>>3&0x30
	case cu.Swizzle128B:
		return at ^ at>>3&0x70
	}
	return at
}
