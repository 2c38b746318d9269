package ptxsim

import (
	"encoding/binary"
	"errors"
	"fmt"

	"kleinbild/kernels/cu"
)

// A tensorMap is the decoded form of a descriptor. The bytes are this device's own: a magic number, then the fields of
// cu.TensorMapTiled in order.
type tensorMap struct {
	element       int // bytes
	address       uint64
	dims, strides []int64 // strides[i] for dimension i, strides[0] the element
	box           []int
	steps         []int
	swizzle       cu.TensorMapSwizzle
	fillNaN       bool
	nan           uint32
}

const tensorMapMagic = 0x70616d7478747031

// TensorMapEncodeTiled checks what cuTensorMapEncodeTiled checks.
func (c *Context) TensorMapEncodeTiled(t cu.TensorMapTiled) (cu.TensorMap, error) {
	var m cu.TensorMap
	if err := c.enter("encode tensor map"); err != nil {
		return m, err
	}
	defer c.mu.Unlock()
	if err := checkTensorMap(t); err != nil {
		return m, fmt.Errorf("encode tensor map: %w", err)
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

func checkTensorMap(t cu.TensorMapTiled) error {
	rank, size := len(t.Dims), t.Type.Bytes()
	switch {
	case size == 0:
		return fmt.Errorf("data type %d", t.Type)
	case rank < 1 || rank > 5 || len(t.Box) != rank || len(t.Strides) != rank-1 || t.ElementStrides != nil && len(t.ElementStrides) != rank:
		return fmt.Errorf("%d dimensions, %d strides, %d box sizes: want 1 to 5 dimensions, one stride fewer, as many box sizes", rank, len(t.Strides), len(t.Box))
	case t.Address&15 != 0:
		return fmt.Errorf("address %#x, want a multiple of 16", uint64(t.Address))
	case t.Swizzle < cu.SwizzleNone || t.Swizzle > cu.Swizzle128B:
		return fmt.Errorf("swizzle %d", t.Swizzle)
	case t.Fill == cu.FillNaN && (t.Type == cu.TensorMapUint8 || t.Type == cu.TensorMapInt32):
		return errors.New("NaN as the fill of integers")
	}
	for i := range rank {
		if t.Dims[i] < 1 || t.Dims[i] > 1<<32 {
			return fmt.Errorf("dimension %d of %d elements", i, t.Dims[i])
		}
		if t.Box[i] < 1 || t.Box[i] > 256 {
			return fmt.Errorf("box of %d elements in dimension %d, want 1 to 256", t.Box[i], i)
		}
		if t.ElementStrides != nil && (t.ElementStrides[i] < 1 || t.ElementStrides[i] > 8) {
			return fmt.Errorf("element stride %d, want 1 to 8", t.ElementStrides[i])
		}
		if i > 0 && (t.Strides[i-1]&15 != 0 || t.Strides[i-1] <= 0 || t.Strides[i-1] >= 1<<40) {
			return fmt.Errorf("stride of %d bytes in dimension %d, want a multiple of 16 below 2^40", t.Strides[i-1], i)
		}
	}
	inner := t.Box[0] * size
	if inner&15 != 0 {
		return fmt.Errorf("box of %d bytes in the innermost dimension, want a multiple of 16", inner)
	}
	if width := 16 << t.Swizzle; t.Swizzle != cu.SwizzleNone && inner > width {
		return fmt.Errorf("box of %d bytes in the innermost dimension, the swizzle takes %d", inner, width)
	}
	return nil
}

// decodeTensorMap reads a descriptor back; false for bytes that are none.
func decodeTensorMap(b []byte) (tensorMap, bool) {
	if len(b) < cu.TensorMapBytes || binary.LittleEndian.Uint64(b) != tensorMapMagic {
		return tensorMap{}, false
	}
	rank := int(b[16])
	kind := cu.TensorMapDataType(b[17])
	t := tensorMap{address: binary.LittleEndian.Uint64(b[8:]), element: kind.Bytes(), swizzle: cu.TensorMapSwizzle(b[18]), fillNaN: b[19] == byte(cu.FillNaN)}
	t.nan = map[cu.TensorMapDataType]uint32{cu.TensorMapFloat16: 0x7fff, cu.TensorMapBFloat16: 0x7fff, cu.TensorMapFloat32: 0x7fffffff}[kind]
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

// bytes is the size of a whole box.
func (t *tensorMap) bytes() int {
	n := t.element
	for _, b := range t.box {
		n *= b
	}
	return n
}

// each calls f for every element of the box at the given coordinates: its offset in the box, unswizzled, and its
// address, or inside false where it lies outside the tensor.
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

// swizzled permutes the 16-byte chunks of a shared address: the bits above the pattern's row choose the exclusive-or.
// The pattern is a function of the address itself, so tiles are aligned to it.
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
