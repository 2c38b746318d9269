package tensor

import (
	"encoding/binary"
	"math"
)

// Quant holds the scales of a quantised matrix beside Tensor.Scale. A value of the matrix is
// q · (Scale · Rows[row] · (scale of its block)) · Columns[column], and then the rotation is undone.
type Quant struct {
	// Rows has a scale for each row, or is nil.
	Rows []float32
	// Blocks has a scale for each block of the matrix, or is nil.
	Blocks *BlockScales
	// Columns has a factor for each column, or is nil.
	Columns []float32
	// Rotation is the number G of columns in a group if the matrix W was stored as W·H for each group of G columns (see
	// Rotate), and 0 if it was not. Since x·Wᵀ = (x·H)·(W·H)ᵀ, a product may rotate x instead of W.
	Rotation int
}

// Rotation returns the rotation of t's quantisation, or 0 if it has none.
func (t Tensor) Rotation() int {
	if t.Quant == nil {
		return 0
	}
	return t.Quant.Rotation
}

// slice returns the scales of rows [from, to).
func (q *Quant) slice(from, to int) *Quant {
	if q == nil {
		return nil
	}
	s := *q
	if q.Rows != nil {
		s.Rows = q.Rows[from:to]
	}
	if q.Blocks != nil {
		s.Blocks = q.Blocks.skip(from)
	}
	return &s
}

// SwapHalves returns the scales of a matrix of rows rows whose first and second half are exchanged. It does not change
// q, which may be nil.
func (q *Quant) SwapHalves(rows int) *Quant {
	if q == nil {
		return nil
	}
	s := *q
	if q.Rows != nil {
		s.Rows = append(append([]float32{}, q.Rows[rows/2:]...), q.Rows[:rows/2]...)
	}
	if q.Blocks != nil {
		s.Blocks = q.Blocks.skip(rows / 2)
	}
	return &s
}

// scale multiplies values of a row, which begin with column col, by all scales. It does not undo the rotation.
func (q *Quant) scale(dst []float32, scale float32, row, col int) {
	if q.Rows != nil {
		scale *= q.Rows[row]
	}
	if b := q.Blocks; b != nil {
		for i := 0; i < len(dst); {
			n := min(len(dst)-i, b.Width-(col+i)%b.Width)
			s := scale * b.At(row, (col+i)/b.Width)
			for j := i; j < i+n; j++ {
				dst[j] *= s
			}
			i += n
		}
	} else if scale != 1 {
		for i := range dst {
			dst[i] *= scale
		}
	}
	if q.Columns != nil {
		for i := range dst {
			dst[i] *= q.Columns[col+i]
		}
	}
}

// BlockScales has a scale for each block of Height rows and Width columns of a matrix. The scales are a matrix, too,
// with a row for Height rows; they stay in the checkpoint's file.
type BlockScales struct {
	// DType is F32, F16, BF16, F8E4M3 or F8E8M0.
	DType         DType
	Data          []byte
	Height, Width int
	// Stride is the number of scales in a row of the scales' matrix.
	Stride int
	// Swizzled says that the scales have the order that NVIDIA's matrix products read: tiles of 128 rows and 4 columns,
	// in which row r begins at byte r mod 32 · 16 + r / 32 · 4. Height is then 1 and Stride a multiple of 4.
	Swizzled bool
	// Row 0 of the tensor is row First of Rows rows. Behind the last row comes row 0 again.
	First, Rows int
}

// skip returns the scales of a matrix whose row 0 is row rows of the matrix of b.
func (b *BlockScales) skip(rows int) *BlockScales {
	s := *b
	s.First = (b.First + rows) % max(b.Rows, 1)
	return &s
}

// Index returns the index of the scale of block column c of a row.
func (b *BlockScales) Index(row, c int) int {
	r := (b.First + row) % b.Rows / b.Height
	if b.Swizzled {
		return (r/128*(b.Stride/4)+c/4)*512 + r%32*16 + r%128/32*4 + c%4
	}
	return r*b.Stride + c
}

// At returns the scale of the block in a row and in block column c.
func (b *BlockScales) At(row, c int) float32 {
	i := b.Index(row, c)
	switch b.DType {
	case F8E4M3:
		return f8e4m3[b.Data[i]]
	case F8E8M0:
		return F8E8M0ToF32(b.Data[i])
	case F16:
		return half(b.Data[2*i:])
	case BF16:
		return BF16ToF32(binary.LittleEndian.Uint16(b.Data[2*i:]))
	}
	return math.Float32frombits(binary.LittleEndian.Uint32(b.Data[4*i:]))
}

// Row stores the scales of the block columns [c, c+len(dst)) of a row, multiplied by scale.
func (b *BlockScales) Row(dst []float32, row, c int, scale float32) {
	if !b.Swizzled || b.DType != F8E4M3 {
		for i := range dst {
			dst[i] = scale * b.At(row, c+i)
		}
		return
	}
	// Four scales lie together, and the next four 512 bytes behind them.
	for i := range dst {
		if i == 0 || (c+i)%4 == 0 {
			at := b.Data[b.Index(row, c+i)-(c+i)%4:]
			_ = at[3]
			for j := i; j < min(len(dst), i+4-(c+i)%4); j++ {
				dst[j] = scale * f8e4m3[at[(c+j)%4]]
			}
		}
	}
}

// Rotate multiplies each group of `group` values by the matrix H that ConvRot uses: the Kronecker power of
// [1 1 1 −1; 1 1 −1 1; 1 −1 1 1; −1 1 1 1] with `group` rows, divided by √group. H is symmetric and its own inverse.
// group is a power of 4 that divides len(x); 0 changes nothing. The sums are float32, in log4(group) stages, and their
// order is part of the definition: activations that are quantised after it are the same to the bit on every device.
func Rotate(x []float32, group int) {
	if group == 0 {
		return
	}
	norm := float32(1 / math.Sqrt(float64(group)))
	for ; len(x) > 0; x = x[group:] {
		for step := 1; step < group; step *= 4 {
			for base := 0; base < group; base += 4 * step {
				a, b := x[base:base+step], x[base+step:base+2*step]
				c, d := x[base+2*step:base+3*step], x[base+3*step:base+4*step]
				for i, v := range a {
					sum := (v + b[i]) + (c[i] + d[i])
					if step == 4 { // where vectors of eight hold a and b in one, c and d in another
						sum = (v + c[i]) + (b[i] + d[i])
					}
					a[i], b[i], c[i], d[i] = sum-2*d[i], sum-2*c[i], sum-2*b[i], sum-2*v
				}
			}
		}
		for i := range group {
			x[i] *= norm
		}
	}
}

// maxRotation is the number of columns that ConvRot rotates together, if a row has that many.
const maxRotation = 256

// RotationFor returns the group in which rows of n values are rotated when they are quantised: the largest power of 4
// that divides n and is at most 256, or 0 if that is 1.
func RotationFor(n int) int {
	group := 1
	for group < maxRotation && n%(4*group) == 0 {
		group *= 4
	}
	if group == 1 {
		return 0
	}
	return group
}

// leastScale is the scale of zeros, since a scale must be positive. It is that of the reference.
const leastScale = 1e-30

// Int8Scale returns the scale of a row of int8 with the given largest magnitude: the least one with which no value is
// over 127. It returns NaN if the magnitude is no finite number.
func Int8Scale(largest float32) float32 {
	if !(largest <= math.MaxFloat32) {
		return float32(math.NaN())
	}
	return max(largest/127, leastScale)
}

// QuantiseInt8 stores a row, which was rotated, as int8 and returns its scale: values are multiplied by the scale's
// reciprocal and rounded to the nearest integer, ties to even. All devices give the same values to the bit. The formula
// is that of comfy_kitchen/tensor/int8_utils.py, which divides by the scale: rounding differs for about one value in
// 100,000.
func QuantiseInt8(dst []int8, row []float32) (scale float32) {
	scale = Int8Scale(largestMagnitude(row))
	RoundInt8(dst, row, scale)
	return scale
}

// largestMagnitude returns the largest magnitude of a row, or NaN if there is a NaN in it.
func largestMagnitude(row []float32) (largest float32) {
	for _, v := range row {
		if m := float32(math.Abs(float64(v))); !(m <= largest) { // also if v is NaN
			largest = m
		}
		if math.IsNaN(float64(largest)) {
			break
		}
	}
	return largest
}

// RoundInt8 stores values of a row with a scale, as QuantiseInt8 does.
func RoundInt8(dst []int8, row []float32, scale float32) {
	r := 1 / scale
	for i, v := range row {
		dst[i] = int8(max(-128, min(127, math.RoundToEven(float64(v*r)))))
	}
}

// QuantiseFP8 stores a row as float8_e4m3fn and returns its scale: the largest magnitude over 448, the largest number
// of the format. Values are multiplied by the scale's reciprocal and rounded to the nearest number, ties to even. All
// devices give the same values to the bit. A row with a NaN or an infinity has the scale NaN.
func QuantiseFP8(dst []byte, row []float32) (scale float32) {
	largest := largestMagnitude(row)
	if scale = max(largest/448, leastScale); !(largest <= math.MaxFloat32) {
		scale = float32(math.NaN())
	}
	r := 1 / scale
	for i, v := range row {
		dst[i] = F32ToF8E4M3(v * r)
	}
	return scale
}
