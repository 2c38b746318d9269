package cu

import "fmt"

// TensorMapBytes and TensorMapAlign are the size and alignment of a TensorMap as a kernel parameter.
const (
	TensorMapBytes = 128
	TensorMapAlign = 64
)

// TensorMap is an encoded descriptor, passed to a kernel by value as a __grid_constant__ parameter. Only the context
// that made it understands its bytes.
type TensorMap [TensorMapBytes]byte

// TensorMapTiled describes a tensor of up to five dimensions and the box of it that one TMA instruction moves. The
// innermost (contiguous) dimension comes first, as in CUDA's cuTensorMapEncodeTiled, whose rules apply: Address a
// multiple of 16, Strides multiples of 16, box sizes 1 … 256, the box's innermost extent in bytes a multiple of 16
// and no more than the swizzle's width.
type TensorMapTiled struct {
	Type    TensorMapDataType
	Address DevicePtr
	// Dims are the tensor's extents in elements. Reads outside give Fill, writes outside do nothing.
	Dims []int64
	// Strides are the distances in bytes between neighbours in dimensions 1 … rank−1: one fewer than Dims.
	Strides []int64
	// Box is the extent of one transfer in elements, one for each dimension.
	Box []int
	// ElementStrides step through each dimension; nil means 1 everywhere.
	ElementStrides []int
	Swizzle        TensorMapSwizzle
	L2Promotion    TensorMapL2Promotion
	Fill           TensorMapFill
}

// TensorMapDataType is an element's type; the values are CUtensorMapDataType's.
type TensorMapDataType int

// The element types in use.
const (
	TensorMapUint8    TensorMapDataType = 0
	TensorMapInt32    TensorMapDataType = 4
	TensorMapFloat16  TensorMapDataType = 6
	TensorMapFloat32  TensorMapDataType = 7
	TensorMapBFloat16 TensorMapDataType = 9
)

// Bytes returns an element's size, 0 for an unknown type.
func (t TensorMapDataType) Bytes() int {
	switch t {
	case TensorMapUint8:
		return 1
	case TensorMapFloat16, TensorMapBFloat16:
		return 2
	case TensorMapInt32, TensorMapFloat32:
		return 4
	}
	return 0
}

// TensorMapSwizzle is how 16-byte chunks are permuted in shared memory; the values are CUtensorMapSwizzle's.
type TensorMapSwizzle int

// Swizzles by the width of their pattern.
const (
	SwizzleNone TensorMapSwizzle = 0
	Swizzle32B  TensorMapSwizzle = 1
	Swizzle64B  TensorMapSwizzle = 2
	Swizzle128B TensorMapSwizzle = 3
)

// TensorMapL2Promotion is the granularity of reads into L2; the values are CUtensorMapL2promotion's.
type TensorMapL2Promotion int

// Promotions.
const (
	L2PromotionNone TensorMapL2Promotion = 0
	L2Promotion64B  TensorMapL2Promotion = 1
	L2Promotion128B TensorMapL2Promotion = 2
	L2Promotion256B TensorMapL2Promotion = 3
)

// TensorMapFill is the result of reads outside the tensor. The values are those of CUtensorMapFloatOOBfill.
type TensorMapFill int

// Fills.
const (
	FillZero TensorMapFill = 0
	FillNaN  TensorMapFill = 1
)

// Check returns an error that names the rule that t breaks, nil if there is none. TensorMapEncodeTiled calls it.
func (t TensorMapTiled) Check() error {
	size, rank := t.Type.Bytes(), len(t.Dims)
	switch {
	case size == 0:
		return fmt.Errorf("tensor map: element type %d is not known", t.Type)
	case rank < 1 || rank > MaxTensorRank:
		return fmt.Errorf("tensor map: rank %d, want 1 … %d", rank, MaxTensorRank)
	case len(t.Strides) != rank-1 || len(t.Box) != rank || t.ElementStrides != nil && len(t.ElementStrides) != rank:
		return fmt.Errorf(
			"tensor map: %d strides, %d box sizes and %d element strides for rank %d, want %d, %d and none or %d",
			len(t.Strides), len(t.Box), len(t.ElementStrides), rank, rank-1, rank, rank,
		)
	case t.Address%16 != 0 || t.Address == 0:
		return fmt.Errorf("tensor map: address %#x, want a multiple of 16", t.Address)
	}
	for i, n := range t.Dims {
		if n < 1 || n > 1<<32 {
			return fmt.Errorf("tensor map: dimension %d: extent %d, want 1 … 2³²", i, n)
		}
	}
	for i, n := range t.Strides {
		if n <= 0 || n%16 != 0 || n >= 1<<40 {
			return fmt.Errorf("tensor map: dimension %d: stride %d bytes, want a multiple of 16 below 2⁴⁰", i+1, n)
		}
	}
	for i, n := range t.Box {
		if n < 1 || n > 256 {
			return fmt.Errorf("tensor map: dimension %d: box size %d, want 1 … 256", i, n)
		}
	}
	for i, n := range t.ElementStrides {
		if n < 1 || n > 8 {
			return fmt.Errorf("tensor map: dimension %d: element stride %d, want 1 … 8", i, n)
		}
	}
	row := t.Box[0] * size
	switch {
	case row%16 != 0:
		return fmt.Errorf("tensor map: box row of %d bytes, want a multiple of 16", row)
	case t.Swizzle < SwizzleNone || t.Swizzle > Swizzle128B:
		return fmt.Errorf("tensor map: swizzle %d is not known", t.Swizzle)
	case t.Swizzle != SwizzleNone && row > 16<<t.Swizzle:
		return fmt.Errorf("tensor map: box row of %d bytes, want at most the swizzle's %d", row, 16<<t.Swizzle)
	case t.L2Promotion < L2PromotionNone || t.L2Promotion > L2Promotion256B:
		return fmt.Errorf("tensor map: L2 promotion %d is not known", t.L2Promotion)
	case t.Fill != FillZero && (t.Fill != FillNaN || t.Type == TensorMapUint8 || t.Type == TensorMapInt32):
		return fmt.Errorf("tensor map: fill %d for element type %d, want zero, or NaN for floats", t.Fill, t.Type)
	}
	return nil
}

// MaxTensorRank is how many dimensions a TensorMapTiled can have.
const MaxTensorRank = 5
