package kernels

import (
	"fmt"
	"math"
	"strings"

	"github.com/kleinbild/kleinbild/kernels/cu"
)

// The names of the operations of src/widen.cu.
const (
	widenOperation  = "widen"
	rotateOperation = "rotate"
)

// OpWiden makes bfloat16 of a weight in its own bytes. Shape.Format is the format of the weight [rows, cols]. The
// operands are the result, the weight's bytes, and a scale for each row if the format has no scales in its blocks.
var OpWiden = define(Operation{
	Name:     widenOperation,
	Families: []Family{widenFamily},
	Groups:   []string{"widen", "widen_scaled"},
	Fits:     func(s Shape) bool { return s.Format.known() && s.Format.TakesRows(s.Cols) },
	Operands: func(s Shape) []Operand {
		bytes := s.Rows * s.Format.Bytes(s.Cols)
		operands := []Operand{{s.Rows, s.Cols, BF16}, {1, (bytes + 1) / 2, BF16}}
		if s.Format.scaled() {
			operands = append(operands, Operand{1, s.Rows, F32})
		}
		return operands
	},
	Launch: func(q *Queue, s Shape, m []Matrix, _ Variant) error {
		p := Packed{Format: s.Format, Data: m[1].Data, Rows: s.Rows, Cols: s.Cols, Scale: 1}
		if s.Format.scaled() {
			p.RowScales = m[2].Data
		}
		return q.Widen(m[0], p)
	},
	Trials: func() (trials []Shape) {
		for f := Q4_0; f.known(); f++ {
			trials = append(trials, Shape{Operation: widenOperation, Rows: 3, Cols: 2 * max(formats[f].values, 8), Format: f})
		}
		return trials
	}(),
})

// OpRotate multiplies groups of columns by the matrix of ConvRot. Shape.Depth is the number of columns in a group.
var OpRotate = define(Operation{
	Name:     rotateOperation,
	Families: []Family{widenFamily},
	Fits:     func(s Shape) bool { return Rotates(s.Depth) && s.Cols%max(s.Depth, 8) == 0 },
	Operands: func(s Shape) []Operand { return []Operand{{s.Rows, s.Cols, BF16}, {s.Rows, s.Cols, BF16}} },
	Launch:   func(q *Queue, s Shape, m []Matrix, _ Variant) error { return q.Rotate(m[0], m[1], s.Depth) },
	Trials: []Shape{
		{Operation: rotateOperation, Rows: 3, Cols: 512, Depth: 256},
		{Operation: rotateOperation, Rows: 5, Cols: 64, Depth: 16},
	},
})

const widenFamily Family = "widen"

// Format is how the values of a weight are stored. Blocks of GGUF's formats have their scales in them; the others need
// scales of other tensors. Package inference/tensor describes all of them. The zero value is no format.
type Format int

// The formats that Widen reads.
const (
	Q4_0 Format = iota + 1
	Q4_1
	Q5_0
	Q5_1
	Q8_0
	Q2_K
	Q3_K
	Q4_K
	Q5_K
	Q6_K
	IQ4_NL
	IQ4_XS
	MXFP4
	NVFP4
	E4M3
	E5M2
	Int8
	E2M1    // two values in a byte, the one with the even column in the upper half
	E2M1Low // two values in a byte, the one with the even column in the lower half
)

// formats holds for each format the name of its kernel, and the values and bytes of a block.
var formats = [...]struct {
	kernel        string
	values, bytes int
}{
	Q4_0:    {"widen_from_q4_0", q40Values, q40Bytes},
	Q4_1:    {"widen_from_q4_1", q41Values, q41Bytes},
	Q5_0:    {"widen_from_q5_0", q50Values, q50Bytes},
	Q5_1:    {"widen_from_q5_1", q51Values, q51Bytes},
	Q8_0:    {"widen_from_q8_0", q80Values, q80Bytes},
	Q2_K:    {"widen_from_q2_k", q2KValues, q2KBytes},
	Q3_K:    {"widen_from_q3_k", q3KValues, q3KBytes},
	Q4_K:    {"widen_from_q4_k", q4KValues, q4KBytes},
	Q5_K:    {"widen_from_q5_k", q5KValues, q5KBytes},
	Q6_K:    {"widen_from_q6_k", q6KValues, q6KBytes},
	IQ4_NL:  {"widen_from_iq4_nl", iq4NlValues, iq4NlBytes},
	IQ4_XS:  {"widen_from_iq4_xs", iq4XsValues, iq4XsBytes},
	MXFP4:   {"widen_from_mxfp4", mxfp4Values, mxfp4Bytes},
	NVFP4:   {"widen_from_nvfp4", nvfp4Values, nvfp4Bytes},
	E4M3:    {"widen_scaled_from_e4m3", e4m3Values, e4m3Bytes},
	E5M2:    {"widen_scaled_from_e5m2", e5m2Values, e5m2Bytes},
	Int8:    {"widen_scaled_from_int8", int8Values, int8Bytes},
	E2M1:    {"widen_scaled_from_e2m1", e2m1Values, e2m1Bytes},
	E2M1Low: {"widen_scaled_from_e2m1_low", e2m1LowValues, e2m1LowBytes},
}

func (f Format) known() bool { return f > 0 && int(f) < len(formats) }

// scaled says whether the scales of the format are those of Packed.
func (f Format) scaled() bool { return f >= E4M3 }

// String is the format's name in the names of kernels: "q4_k".
func (f Format) String() string {
	if !f.known() {
		return fmt.Sprintf("format(%d)", int(f))
	}
	_, name, _ := strings.Cut(formats[f].kernel, "_from_")
	return name
}

// TakesRows says whether a row of cols values consists of whole blocks and of whole groups of eight values.
func (f Format) TakesRows(cols int) bool { return cols > 0 && cols%max(formats[f].values, 8) == 0 }

// Bytes returns the size of n values, which are whole blocks.
func (f Format) Bytes(n int) int { return n / formats[f].values * formats[f].bytes }

// align divides the address of a weight: the kernel reads so many bytes at a time.
func (f Format) align() uint64 {
	if f.scaled() {
		return 4
	}
	bytes := formats[f].bytes
	return uint64(min(bytes&-bytes, 4))
}

// Packed is a weight in its own bytes, rows × cols values without gaps. A value is q · (Scale · row scale · block
// scale) · column factor, where q is what the format makes of the bytes. Only formats without scales in their blocks
// have row scales, block scales and column factors; these may be missing, as zeros.
type Packed struct {
	Format     Format
	Data       cu.DevicePtr
	Rows, Cols int
	Scale      float32
	// RowScales has a float32 for each row, ColumnFactors one for each column.
	RowScales, ColumnFactors cu.DevicePtr
	Blocks                   Blocks
}

// Blocks is a matrix of scales with a row for Height rows and a column for Width columns of a weight. Rows of scales
// are Stride scales apart. Row 0 of the weight is row First of Rows rows; behind the last row comes row 0 again.
type Blocks struct {
	Data          cu.DevicePtr
	Format        ScaleFormat
	Height, Width int
	Stride        int
	// Swizzled scales have the order of NVIDIA's matrix products: tiles of 128 rows and 4 columns.
	Swizzled    bool
	First, Rows int
}

// ScaleFormat is how block scales are stored.
type ScaleFormat int

// The formats of block scales.
const (
	ScaleF32  ScaleFormat = scaleF32
	ScaleF16  ScaleFormat = scaleF16
	ScaleBF16 ScaleFormat = scaleBf16
	ScaleE4M3 ScaleFormat = scaleE4m3
	ScaleE8M0 ScaleFormat = scaleE8m0
)

// check returns an error unless the blocks fit a weight of cols columns.
func (b Blocks) check(p Packed) error {
	if b.Height < 1 || b.Width < 8 || b.Width%8 != 0 || b.Stride < ceilDiv(p.Cols, b.Width) || b.First < 0 ||
		b.First >= b.Rows || b.Swizzled && (b.Height != 1 || b.Stride%4 != 0) || b.Format < ScaleF32 || b.Format > ScaleE8M0 {
		return fmt.Errorf(
			"%s: %+v for %d×%d values, want blocks of a multiple of 8 columns whose scales cover all columns", widenOperation, b,
			p.Rows, p.Cols,
		)
	}
	return nil
}

// Widen stores the values of p in dst [p.Rows, p.Cols], BF16, whose rows follow each other without gaps. The bits are
// those that package inference/tensor gives, rounded to bfloat16.
func (q *Queue) Widen(dst Matrix, p Packed) error {
	if err := check(widenOperation, dst); err != nil {
		return err
	}
	if !p.Format.known() || !p.Format.TakesRows(p.Cols) || p.Rows < 0 || uint64(p.Data)%p.Format.align() != 0 ||
		p.Rows > 0 && p.Data == 0 {
		return fmt.Errorf("%s: %v %d×%d at %#x, want rows of whole blocks in device memory", widenOperation, p.Format,
			p.Rows, p.Cols, p.Data)
	}
	if dst.Rows != p.Rows || dst.Cols != p.Cols || dst.DType != BF16 || !aligned(dst) ||
		dst.Rows > 1 && dst.Stride != dst.Cols {
		return fmt.Errorf("%s: %v %d×%d into %v, want BF16 of that shape without gaps, at a multiple of 16", widenOperation,
			p.Format, p.Rows, p.Cols, dst)
	}
	k := named[formats[p.Format].kernel]
	chunks := p.Rows * p.Cols / 8
	grid := ceilDiv(chunks, k.threads)
	if !p.Format.scaled() {
		if p.RowScales|p.ColumnFactors|p.Blocks.Data != 0 {
			return fmt.Errorf("%s: %v with scales beside its blocks, want none", widenOperation, p.Format)
		}
		return q.launchWiden(k, widenParams{dst: dst.Data, src: p.Data, chunks: chunks, scale: p.Scale}, grid, 1)
	}
	b := p.Blocks
	if b.Data != 0 {
		if err := b.check(p); err != nil {
			return err
		}
	}
	return q.launchWidenScaled(k, widenScaledParams{
		dst: dst.Data, src: p.Data, chunks: chunks, cols: p.Cols, scale: p.Scale, rowScales: p.RowScales,
		blockScales: b.Data, columnFactors: p.ColumnFactors, format: int(b.Format), height: b.Height, width: b.Width,
		stride: b.Stride, swizzled: asInt(b.Swizzled), first: b.First, total: b.Rows,
	}, grid, 1)
}

// Rotates says whether Rotate has a kernel for groups of so many columns.
func Rotates(group int) bool {
	return group == 4 || group == 16 || group == 64 || group == rotationLimit
}

// Rotate multiplies each group of columns of x by the matrix that tensor.Rotate describes, and stores the products in
// dst, which is not x.
func (q *Queue) Rotate(dst, x Matrix, group int) error {
	if err := sameShape(rotateOperation, dst, x); err != nil {
		return err
	}
	if !Rotates(group) || x.Cols%group != 0 {
		return fmt.Errorf("%s: groups of %d columns of %v, want 4, 16, 64 or 256 that divide the columns", rotateOperation,
			group, x)
	}
	p := rotateParams{dst: dst, x: x, cols: x.Cols, group: group, norm: float32(1 / math.Sqrt(float64(group)))}
	return q.launchRotate(pick(rotateOperation, aligned(x)), p, x.Rows*ceilDiv(x.Cols, rotatedColumns), 1)
}
