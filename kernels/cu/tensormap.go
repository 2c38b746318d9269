package cu

// TensorMapBytes and TensorMapAlign are the size and alignment of a TensorMap as a kernel parameter.
const (
	TensorMapBytes = 128
	TensorMapAlign = 64
)

// TensorMap is an encoded descriptor, passed to a kernel by value as a __grid_constant__ parameter. Its bytes mean
// something to the context that made it only.
type TensorMap [TensorMapBytes]byte

// TensorMapTiled describes a tensor of up to five dimensions and the box of it that one TMA instruction moves. The
// innermost (contiguous) dimension comes first, as in CUDA's cuTensorMapEncodeTiled, whose rules apply: Address a
// multiple of 16, Strides multiples of 16, box sizes 1 … 256, the box's innermost extent in bytes a multiple of 16
// and no more than the swizzle's width.
type TensorMapTiled struct {
	Type    TensorMapDataType
	Address DevicePtr
	// Dims are the tensor's extents in elements; reads outside give Fill, writes outside are dropped.
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

// TensorMapFill is what reads outside the tensor give; the values are CUtensorMapFloatOOBfill's.
type TensorMapFill int

// Fills.
const (
	FillZero TensorMapFill = 0
	FillNaN  TensorMapFill = 1
)
