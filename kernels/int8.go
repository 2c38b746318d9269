package kernels

import (
	"fmt"
	"math"
	"slices"

	"github.com/kleinbild/kleinbild/kernels/cu"
)

// The names of the operations of src/int8.cu and src/int8.sm_90a.cu.
const (
	quantise           = "quantise"
	int8GEMM           = "int8_gemm"
	int8SiLU           = "int8_silu"
	int8GEMMQKNormRoPE = "int8_gemm_qk_norm_rope"
	int8SwiGLU         = "int8_swiglu"
)

// OpQuantise makes int8 of rows, which it rotates before. Shape.Depth is the number of columns in a group of the
// rotation, 0 for none. The operands are the result, its scales, and x.
var OpQuantise = define(Operation{
	Name:     quantise,
	Families: []Family{int8Family},
	Fits:     func(s Shape) bool { return s.Cols%Int8Multiple == 0 && quantises(s.Cols, s.Depth) },
	Operands: func(s Shape) []Operand {
		return []Operand{{s.Rows, s.Cols, I8}, {1, s.Rows, F32}, {s.Rows, s.Cols, BF16}}
	},
	Launch: func(q *Queue, s Shape, m []Matrix, _ Variant) error {
		return q.Quantise(Quantised{Values: m[0], Scales: m[1].Data}, m[2], s.Depth)
	},
	Trials: []Shape{
		{Operation: quantise, Rows: 3, Cols: 512, Depth: 256}, {Operation: quantise, Rows: 2, Cols: 4112},
	},
})

// OpInt8GEMM is y = a·bᵀ in integers for a [rows, depth] and b [cols, depth], with bias and residual. The operands are
// y, then a and b with their scales. It needs normFamily as OpGEMM does.
var OpInt8GEMM = define(Operation{
	Name:     int8GEMM,
	Families: []Family{int8Family, normFamily},
	Fits:     fitsInt8,
	Operands: func(s Shape) []Operand { return int8Operands(s, 1) },
	Launch: func(q *Queue, s Shape, m []Matrix, v Variant) error {
		f := int8Factors(s, m)
		return q.Int8GEMM(m[0], f[0], f[1], Epilogue{}, v)
	},
	FLOP:    productFLOP,
	tilesOf: int8Tiles(int8GEMM),
	Trials: []Shape{
		{Operation: int8GEMM, Rows: 200, Cols: 264, Depth: 144},
		{Operation: int8GEMM, Rows: 70, Cols: 136, Depth: 72, Beside: 24},
	},
})

// OpInt8SiLU is silu(a·bᵀ) in integers.
var OpInt8SiLU = define(Operation{
	Name:     int8SiLU,
	Families: []Family{int8Family},
	Fits:     func(s Shape) bool { return s.Beside == 0 && fitsInt8(s) },
	Operands: func(s Shape) []Operand { return int8Operands(s, 1) },
	Launch: func(q *Queue, s Shape, m []Matrix, v Variant) error {
		f := int8Factors(s, m)
		return q.Int8GEMM(m[0], f[0], f[1], Epilogue{SiLU: true}, v)
	},
	FLOP:   productFLOP,
	Trials: []Shape{{Operation: int8SiLU, Rows: 5, Cols: 72, Depth: 144}},
})

// OpInt8GEMMQKNormRoPE is y = a·bᵀ in integers with y's heads of headCols columns normalised and rotated. The operands
// are those of OpInt8GEMM, followed by the weight of the normalisation and by one matrix that serves as cosines and as
// sines.
var OpInt8GEMMQKNormRoPE = define(Operation{
	Name:     int8GEMMQKNormRoPE,
	Families: []Family{int8Family, normFamily},
	Fits:     func(s Shape) bool { return s.Beside == 0 && fitsInt8(s) && s.Cols%headCols == 0 },
	Operands: func(s Shape) []Operand {
		return append(int8Operands(s, 1), Operand{1, headCols, BF16}, Operand{s.Rows, headCols / 2, F32})
	},
	Launch: func(q *Queue, s Shape, m []Matrix, v Variant) error {
		f, p := int8Factors(s, m), QKNormRoPE{Cols: s.Cols, Weight: m[5], Eps: 1e-6, RoPE: RoPE{Cos: m[6], Sin: m[6]}}
		return q.Int8GEMM(m[0], f[0], f[1], Epilogue{QKNormRoPE: p}, v)
	},
	FLOP:    productFLOP,
	tilesOf: int8Tiles(int8GEMMQKNormRoPE),
	Trials:  []Shape{{Operation: int8GEMMQKNormRoPE, Rows: 150, Cols: 384, Depth: 80}},
})

// OpInt8SwiGLU is silu(a·gateᵀ) ⊙ (a·upᵀ) in integers. The operands are the result, then a, gate and up with their
// scales.
var OpInt8SwiGLU = define(Operation{
	Name:     int8SwiGLU,
	Families: []Family{int8Family},
	Fits:     fitsInt8,
	Operands: func(s Shape) []Operand { return int8Operands(s, 2) },
	Launch: func(q *Queue, s Shape, m []Matrix, v Variant) error {
		f := int8Factors(s, m)
		return q.Int8SwiGLU(m[0], f[0], f[1], f[2], v)
	},
	FLOP:    func(s Shape) float64 { return 2 * productFLOP(s) },
	tilesOf: int8Tiles(int8SwiGLU),
	Trials: []Shape{
		{Operation: int8SwiGLU, Rows: 70, Cols: 136, Depth: 144},
		{Operation: int8SwiGLU, Rows: 70, Cols: 72, Depth: 72, Beside: 24},
	},
})

const int8Family Family = "int8"

// MaxInt8Depth bounds the depth of a product in integers, so that no sum leaves an int32: depth·127·128 < 2^31, and no
// value of Quantise is −128.
const MaxInt8Depth = 1 << 17

// fitsInt8 takes shapes of which Beside columns of both factors are in bfloat16.
func fitsInt8(s Shape) bool {
	own := s.Depth - s.Beside
	return own > 0 && own%Int8Multiple == 0 && own <= MaxInt8Depth && s.Cols%8 == 0 && s.Beside%8 == 0
}

// int8Tiles returns a function for Operation.tilesOf: only kernels for sm_80 take columns in bfloat16 as well.
func int8Tiles(group string) func(s Shape) []*kernel {
	all := tilesIn(group)
	both := slices.DeleteFunc(slices.Clone(all), func(k *kernel) bool { return k.target != SM80 })
	return func(s Shape) []*kernel {
		if s.Beside > 0 {
			return both
		}
		return all
	}
}

// int8Operands lists the operands of a product with n weights: the result, the factors with their scales, and behind
// all of them the factors' columns in bfloat16, if there are any.
func int8Operands(s Shape, n int) []Operand {
	all := []Operand{{s.Rows, s.Cols, BF16}}
	for i := range n + 1 {
		all = append(all, Operand{s.factorRows(i), s.Depth - s.Beside, I8}, Operand{1, s.factorRows(i), F32})
	}
	for i := range n + 1 {
		if s.Beside > 0 {
			all = append(all, Operand{s.factorRows(i), s.Beside, BF16})
		}
	}
	return all
}

// factorRows returns the rows of a product's factor, of which 0 is the left one.
func (s Shape) factorRows(i int) int {
	if i == 0 {
		return s.Rows
	}
	return s.Cols
}

// int8Factors returns the factors among the operands that int8Operands lists.
func int8Factors(s Shape, m []Matrix) (f [3]Quantised) {
	n := 0
	for ; 2*n+2 < len(m) && m[2*n+1].DType == I8; n++ {
		f[n] = Quantised{Values: m[2*n+1], Scales: m[2*n+2].Data}
	}
	for i := range n {
		if s.Beside > 0 {
			f[i].Beside = m[2*n+1+i]
		}
	}
	return f
}

// Int8Multiple divides the addresses, strides and columns of matrices of int8, as kernels read them.
const Int8Multiple = 16

// Quantised is a matrix of int8 with a scale for each row: value (i, j) of the matrix that it means is that of Values
// times scale i. Between the columns of that matrix and the next multiple of Int8Multiple, which is the number of
// columns of Values, there are zeros.
type Quantised struct {
	Values Matrix
	// Scales are float32, one after the other.
	Scales cu.DevicePtr
	// Beside, unless it is the zero Matrix, holds further columns in BF16. The factors of a product have as many, or none.
	Beside Matrix
}

// Int8Columns returns the number of columns that a matrix of cols columns has in int8.
func Int8Columns(cols int) int { return roundUp(cols, Int8Multiple) }

// check returns an error for a matrix that no product takes.
func (m Quantised) check(operation string) error {
	v := m.Values
	if err := checkMemory(operation, v); err != nil {
		return err
	}
	if v.DType != I8 || v.Cols%Int8Multiple != 0 || !v.rowsAligned() || m.Scales%4 != 0 || v.Rows > 0 && m.Scales == 0 {
		return fmt.Errorf("%s: %v at %#x with scales at %#x, want I8 whose rows begin and end at multiples of %d, and scales",
			operation, v, v.Data, m.Scales, Int8Multiple)
	}
	if m.Beside == (Matrix{}) {
		return nil
	}
	if err := check(operation, m.Beside); err != nil {
		return err
	}
	if m.Beside.DType != BF16 || m.Beside.Rows != v.Rows || !aligned(m.Beside) {
		return fmt.Errorf("%s: %v beside %v, want BF16 of as many rows, which begin and end at multiples of 16 bytes",
			operation, m.Beside, v)
	}
	return nil
}

// quantises says whether Quantise has a kernel for rows of cols columns that are rotated in groups.
func quantises(cols, group int) bool { return group == 0 || Rotates(group) && cols%group == 0 }

// Quantise rotates groups of columns of x, unless group is 0, and stores the rows as int8 with a scale each. The bits
// are those of tensor.Rotate and tensor.QuantiseInt8. A row with a NaN or an infinity has the scale NaN.
func (q *Queue) Quantise(dst Quantised, x Matrix, group int) error {
	if err := check(quantise, x); err != nil {
		return err
	}
	if err := dst.check(quantise); err != nil {
		return err
	}
	if v := dst.Values; v.Rows != x.Rows || v.Cols != Int8Columns(x.Cols) || x.Cols == 0 {
		return fmt.Errorf("%s: %v into %v, want as many rows, and columns up to a multiple of %d", quantise, x, v,
			Int8Multiple)
	}
	if !quantises(x.Cols, group) {
		return fmt.Errorf("%s: groups of %d columns of %v, want 0, or 4, 16, 64 or 256 that divide the columns", quantise,
			group, x)
	}
	p := quantiseParams{
		dst: dst.Values.Data, stride: dst.Values.Stride, scales: dst.Scales, x: x, cols: x.Cols, group: group, norm: 1,
	}
	if group > 0 {
		p.norm = float32(1 / math.Sqrt(float64(group)))
	}
	return q.launchQuantise(pick(quantise, aligned(x)), p, x.Rows, 1)
}

// Int8Operation names the operation that a product in integers with this epilogue is.
func (e Epilogue) Int8Operation() string {
	switch {
	case e.SiLU:
		return int8SiLU
	case e.QKNormRoPE.Cols > 0 && e.QKNormRoPE.Weight.Cols == headCols:
		return int8GEMMQKNormRoPE
	}
	return int8GEMM
}

// checkInt8 returns an error if factors do not fit dst or each other.
func checkInt8(operation string, dst Matrix, a Quantised, bs ...Quantised) error {
	if err := check(operation, dst); err != nil {
		return err
	}
	if err := a.check(operation); err != nil {
		return err
	}
	for _, b := range bs {
		if err := b.check(operation); err != nil {
			return err
		}
		if x, w := a.Values, b.Values; x.Cols != w.Cols || x.Cols == 0 || x.Cols > MaxInt8Depth || dst.Rows != x.Rows ||
			dst.Cols != w.Rows {
			return fmt.Errorf("%s: %v by %v into %v, want [m k], [n k] and [m n] with k up to %d", operation, x, w, dst,
				MaxInt8Depth)
		}
		if a.Beside.Cols != b.Beside.Cols {
			return fmt.Errorf("%s: %v and %v beside the factors, want as many columns", operation, a.Beside, b.Beside)
		}
	}
	return nil
}

// int8Alignment returns the alignment of a launch. Kernels for aligned results read the scales of columns in pairs.
func int8Alignment(dst Matrix, scales ...cu.DevicePtr) alignment {
	for _, at := range scales {
		if at%8 != 0 {
			return loose
		}
	}
	if dst.DType != BF16 || !aligned(dst) {
		return loose
	}
	return strict
}

// Int8GEMM computes y = a·bᵀ for a [m, k] and b [n, k] in integers, and stores it in dst [m, n] as e says. Sums are
// exact. The product of the columns beside them is added before the epilogue; there are none with SiLU, and further
// columns of e are not taken. If no kernel normalises and rotates the heads before it stores them, the
// kernel qk_norm_rope follows.
func (q *Queue) Int8GEMM(dst Matrix, a, b Quantised, e Epilogue, variant Variant) error {
	operation := e.Int8Operation()
	if err := checkInt8(operation, dst, a, b); err != nil {
		return err
	}
	if e.Beside != (Matrix{}) || e.SiLU && a.Beside != (Matrix{}) {
		return fmt.Errorf("%s: %v and %v beside the weight, want them in Quantised, and none with SiLU", operation, e.Beside,
			b.Beside)
	}
	if err := e.check(operation, dst.Cols); err != nil {
		return err
	}
	qk := e.QKNormRoPE
	if qk.Cols > 0 {
		if err := qk.RoPE.check(operation, dst.Columns(0, qk.Cols), qk.Weight); err != nil {
			return err
		}
	}
	if dst.Rows == 0 || dst.Cols == 0 {
		return nil
	}
	have := e.alignment(int8Alignment(dst, b.Scales))
	if qk.Cols > 0 && (qk.Weight.Cols != headCols || have != strict) {
		if err := q.Int8GEMM(dst, a, b, Epilogue{}, Auto); err != nil {
			return err
		}
		return q.QKNormRoPE(dst.Columns(0, qk.Cols), qk.Weight, qk.RoPE, qk.Eps)
	}
	x, w := a.Values, b.Values
	k, err := q.tile(variant, have, Shape{
		Operation: operation, Rows: dst.Rows, Cols: dst.Cols, Depth: x.Cols + a.Beside.Cols, Beside: a.Beside.Cols,
	})
	if err != nil {
		return err
	}
	grid := k.grid(dst.Rows, dst.Cols, q.set.ctx.Device().SMs)
	switch {
	case k.target == SM90a:
		return q.int8WGMMA(k, dst, a, b, e, grid)
	case e.SiLU:
		return q.launchInt8SiLU(k, int8SiLUParams{
			a: x.Data, aStride: x.Stride, aScales: a.Scales, b: w.Data, bStride: w.Stride, bScales: b.Scales,
			dst: dst, rows: dst.Rows, cols: dst.Cols, depth: x.Cols,
		}, grid, 1)
	case qk.Cols > 0:
		return q.launchInt8GEMMQKNormRoPE(k, int8GEMMQKNormRoPEParams{
			a: x.Data, aStride: x.Stride, aScales: a.Scales, b: w.Data, bStride: w.Stride, bScales: b.Scales,
			aThin: a.Beside.Data, aThinStride: a.Beside.Stride, bThin: b.Beside.Data, bThinStride: b.Beside.Stride,
			thin: a.Beside.Cols, dst: dst, rows: dst.Rows, cols: dst.Cols, depth: x.Cols,
			w: qk.Weight, cos: qk.RoPE.Cos.Data, sin: qk.RoPE.Sin.Data, cosStride: qk.RoPE.Cos.Stride,
			sinStride: qk.RoPE.Sin.Stride,
			halves:    asInt(qk.RoPE.Halves), headCols: qk.Cols, eps: qk.Eps,
		}, grid, 1)
	}
	return q.launchInt8GEMM(k, int8GEMMParams{
		a: x.Data, aStride: x.Stride, aScales: a.Scales, b: w.Data, bStride: w.Stride, bScales: b.Scales,
		aThin: a.Beside.Data, aThinStride: a.Beside.Stride, bThin: b.Beside.Data, bThinStride: b.Beside.Stride,
		thin: a.Beside.Cols, dst: dst, bias: e.Bias, gate: e.Gate, rows: dst.Rows, cols: dst.Cols, add: asInt(e.Add),
		depth: x.Cols,
	}, grid, 1)
}

// int8WGMMA launches a tile of src/int8.sm_90a.cu.
func (q *Queue) int8WGMMA(k *kernel, dst Matrix, a, b Quantised, e Epilogue, grid int) error {
	mapA, mapB, err := q.operandTensors(k, a.inPairs(), b.inPairs())
	if err != nil {
		return err
	}
	if qk := e.QKNormRoPE; qk.Cols > 0 {
		return q.launchInt8GEMMQKNormRoPEWGMMA(k, int8GEMMQKNormRoPEWGMMAParams{
			a: mapA, b: mapB, aScales: a.Scales, bScales: b.Scales, dst: dst, rows: dst.Rows, cols: dst.Cols,
			depth: a.Values.Cols, w: qk.Weight, cos: qk.RoPE.Cos.Data, sin: qk.RoPE.Sin.Data, cosStride: qk.RoPE.Cos.Stride,
			sinStride: qk.RoPE.Sin.Stride, halves: asInt(qk.RoPE.Halves), headCols: qk.Cols, eps: qk.Eps,
		}, grid, 1)
	}
	return q.launchInt8GEMMWGMMA(k, int8GEMMWGMMAParams{
		a: mapA, b: mapB, aScales: a.Scales, bScales: b.Scales, dst: dst, bias: e.Bias, gate: e.Gate, rows: dst.Rows,
		cols: dst.Cols, add: asInt(e.Add), depth: a.Values.Cols,
	}, grid, 1)
}

// inPairs returns the values as a matrix of half as many columns in BF16, as descriptors and copies take them.
func (m Quantised) inPairs() Matrix {
	v := m.Values
	v.Cols, v.Stride, v.DType = v.Cols/2, v.Stride/2, BF16
	return v
}

// Int8SwiGLU computes dst = silu(a·gateᵀ) ⊙ (a·upᵀ) in integers for a [m, k], gate and up [n, k] and dst [m, n]. gate
// and up have the same stride.
func (q *Queue) Int8SwiGLU(dst Matrix, a, gate, up Quantised, variant Variant) error {
	if err := checkInt8(int8SwiGLU, dst, a, gate, up); err != nil {
		return err
	}
	x, g, u := a.Values, gate.Values, up.Values
	if g.Stride != u.Stride || gate.Beside.Stride != up.Beside.Stride {
		return fmt.Errorf("%s: rows of %d and of %d bytes, want two weights of one stride", int8SwiGLU, g.Stride, u.Stride)
	}
	if dst.Rows == 0 || dst.Cols == 0 {
		return nil
	}
	shape := Shape{
		Operation: int8SwiGLU, Rows: dst.Rows, Cols: dst.Cols, Depth: x.Cols + a.Beside.Cols, Beside: a.Beside.Cols,
	}
	k, err := q.tile(variant, int8Alignment(dst, gate.Scales, up.Scales), shape)
	if err != nil {
		return err
	}
	grid := k.grid(dst.Rows, dst.Cols, q.set.ctx.Device().SMs)
	if k.target == SM90a {
		mapA, mapGate, err := q.operandTensors(k, a.inPairs(), gate.inPairs())
		if err != nil {
			return err
		}
		mapUp, err := q.tensor(matrixTensor(up.inPairs(), k.n))
		if err != nil {
			return err
		}
		return q.launchInt8SwiGLUWGMMA(k, int8SwiGLUWGMMAParams{
			a: mapA, gate: mapGate, up: mapUp, aScales: a.Scales, gateScales: gate.Scales, upScales: up.Scales, dst: dst,
			rows: dst.Rows, cols: dst.Cols, depth: x.Cols,
		}, grid, 1)
	}
	return q.launchInt8SwiGLU(k, int8SwiGLUParams{
		a: x.Data, aStride: x.Stride, aScales: a.Scales, gate: g.Data, up: u.Data, bStride: g.Stride,
		gateScales: gate.Scales, upScales: up.Scales, aThin: a.Beside.Data, aThinStride: a.Beside.Stride,
		gateThin: gate.Beside.Data, upThin: up.Beside.Data, bThinStride: gate.Beside.Stride, thin: a.Beside.Cols, dst: dst,
		rows: dst.Rows, cols: dst.Cols, depth: x.Cols,
	}, grid, 1)
}
