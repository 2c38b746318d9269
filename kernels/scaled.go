package kernels

import (
	"fmt"
	"math"

	"github.com/kleinbild/kleinbild/kernels/cu"
)

// narrow names the operations of src/scaled.h for one format of 8 bits.
type narrow struct {
	dtype                                        DType
	quantise, gemm, silu, gemmQKNormRoPE, swiglu string
	maxDepth                                     int
}

var (
	narrowInt8 = narrow{I8, quantise, int8GEMM, int8SiLU, int8GEMMQKNormRoPE, int8SwiGLU, MaxInt8Depth}
	narrowFP8  = narrow{F8, quantiseFP8, fp8GEMM, fp8SiLU, fp8GEMMQKNormRoPE, fp8SwiGLU, maxElements}
)

// narrowOf returns the operations of a format of 8 bits, those of int8 for another format.
func narrowOf(dtype DType) narrow {
	if dtype == F8 {
		return narrowFP8
	}
	return narrowInt8
}

// fits says whether products have the shape, of which Beside columns of both factors are in bfloat16.
func (n narrow) fits(s Shape) bool {
	own := s.Depth - s.Beside
	return own > 0 && own%Int8Multiple == 0 && own <= n.maxDepth && s.Cols%8 == 0 && s.Beside%8 == 0
}

// operands lists the operands of a product with a number of weights: the result, the factors with their scales, and
// behind all of them the factors' columns in bfloat16, if there are any.
func (n narrow) operands(s Shape, weights int) []Operand {
	all := []Operand{{s.Rows, s.Cols, BF16}}
	for i := range weights + 1 {
		all = append(all, Operand{s.factorRows(i), s.Depth - s.Beside, n.dtype}, Operand{1, s.factorRows(i), F32})
	}
	for i := range weights + 1 {
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

// factors returns the factors among the operands that operands lists.
func (n narrow) factors(s Shape, m []Matrix) (f [3]Quantised) {
	count := 0
	for ; 2*count+2 < len(m) && m[2*count+1].DType == n.dtype; count++ {
		f[count] = Quantised{Values: m[2*count+1], Scales: m[2*count+2].Data}
	}
	for i := range count {
		if s.Beside > 0 {
			f[i].Beside = m[2*count+1+i]
		}
	}
	return f
}

// Int8Multiple divides the addresses, strides and columns of matrices of int8 and fp8, as kernels read them.
const Int8Multiple = 16

// Quantised is a matrix of int8 or fp8 with a scale for each row: value (i, j) of the matrix that it means is that of
// Values times scale i. Between the columns of that matrix and the next multiple of Int8Multiple, which is the number
// of columns of Values, there are zeros.
type Quantised struct {
	Values Matrix
	// Scales are float32, one after the other.
	Scales cu.DevicePtr
	// Beside, unless it is the zero Matrix, holds further columns in BF16. The factors of a product have as many, or none.
	Beside Matrix
}

// Int8Columns returns the number of columns that a matrix of cols columns has in int8 and fp8.
func Int8Columns(cols int) int { return roundUp(cols, Int8Multiple) }

// check returns an error for a matrix that no product takes.
func (m Quantised) check(operation string, dtype DType) error {
	v := m.Values
	if err := checkMemory(operation, v); err != nil {
		return err
	}
	if v.DType != dtype || v.Cols%Int8Multiple != 0 || !v.rowsAligned() || m.Scales%4 != 0 || v.Rows > 0 && m.Scales == 0 {
		return fmt.Errorf("%s: %v at %#x with scales at %#x, want %v whose rows begin and end at multiples of %d, and scales",
			operation, v, v.Data, m.Scales, dtype, Int8Multiple)
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

// Quantise rotates groups of columns of x, unless group is 0, and stores the rows as int8 or fp8 with a scale each. The
// bits are those of tensor.Rotate and of tensor.QuantiseInt8 or tensor.QuantiseFP8. A row with a NaN or an infinity has
// the scale NaN.
func (q *Queue) Quantise(dst Quantised, x Matrix, group int) error {
	n := narrowOf(dst.Values.DType)
	if err := check(n.quantise, x); err != nil {
		return err
	}
	if err := dst.check(n.quantise, n.dtype); err != nil {
		return err
	}
	if v := dst.Values; v.Rows != x.Rows || v.Cols != Int8Columns(x.Cols) || x.Cols == 0 {
		return fmt.Errorf("%s: %v into %v, want as many rows, and columns up to a multiple of %d", n.quantise, x, v,
			Int8Multiple)
	}
	if !quantises(x.Cols, group) {
		return fmt.Errorf("%s: groups of %d columns of %v, want 0, or 4, 16, 64 or 256 that divide the columns",
			n.quantise, group, x)
	}
	p := quantiseParams{
		dst: dst.Values.Data, stride: dst.Values.Stride, scales: dst.Scales, x: x, cols: x.Cols, group: group, norm: 1,
	}
	if group > 0 {
		p.norm = float32(1 / math.Sqrt(float64(group)))
	}
	k := pick(n.quantise, aligned(x))
	if n.dtype == F8 {
		return q.launchQuantiseFP8(k, quantiseFP8Params(p), x.Rows, 1)
	}
	return q.launchQuantise(k, p, x.Rows, 1)
}

// NarrowOperation names the operation that a product of I8 or F8 with this epilogue is.
func (e Epilogue) NarrowOperation(dtype DType) string {
	n := narrowOf(dtype)
	switch {
	case e.SiLU:
		return n.silu
	case e.QKNormRoPE.Cols > 0 && e.QKNormRoPE.Weight.Cols == headCols:
		return n.gemmQKNormRoPE
	}
	return n.gemm
}

// check returns an error if factors do not fit dst or each other.
func (n narrow) check(operation string, dst Matrix, a Quantised, bs ...Quantised) error {
	if err := check(operation, dst); err != nil {
		return err
	}
	if err := a.check(operation, n.dtype); err != nil {
		return err
	}
	for _, b := range bs {
		if err := b.check(operation, n.dtype); err != nil {
			return err
		}
		if x, w := a.Values, b.Values; x.Cols != w.Cols || x.Cols == 0 || x.Cols > n.maxDepth || dst.Rows != x.Rows ||
			dst.Cols != w.Rows {
			return fmt.Errorf("%s: %v by %v into %v, want [m k], [n k] and [m n] with k up to %d", operation, x, w, dst,
				n.maxDepth)
		}
		if a.Beside.Cols != b.Beside.Cols {
			return fmt.Errorf("%s: %v and %v beside the factors, want as many columns", operation, a.Beside, b.Beside)
		}
	}
	return nil
}

// narrowAlignment returns the alignment of a launch. Kernels for aligned results read the scales of columns in pairs.
func narrowAlignment(dst Matrix, scales ...cu.DevicePtr) alignment {
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

// NarrowGEMM computes y = a·bᵀ for a [m, k] and b [n, k], both of I8 or of F8, and stores it in dst [m, n] as e says.
// Sums of I8 are exact. The product of the columns beside them is added before the epilogue; there are none with SiLU,
// and further columns of e are not taken. If no kernel normalises and rotates the heads before it stores them, the
// kernel qk_norm_rope follows. The error wraps ErrNoKernels if the device has no products of F8.
func (q *Queue) NarrowGEMM(dst Matrix, a, b Quantised, e Epilogue, variant Variant) error {
	n := narrowOf(a.Values.DType)
	operation := e.NarrowOperation(n.dtype)
	if err := n.check(operation, dst, a, b); err != nil {
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
	have := e.alignment(narrowAlignment(dst, b.Scales))
	if qk.Cols > 0 && (qk.Weight.Cols != headCols || have != strict) {
		if err := q.NarrowGEMM(dst, a, b, Epilogue{}, Auto); err != nil {
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
		p := int8SiLUParams{
			a: x.Data, aStride: x.Stride, aScales: a.Scales, b: w.Data, bStride: w.Stride, bScales: b.Scales,
			dst: dst, rows: dst.Rows, cols: dst.Cols, depth: x.Cols,
		}
		if n.dtype == F8 {
			return q.launchFP8SiLU(k, fp8SiLUParams(p), grid, 1)
		}
		return q.launchInt8SiLU(k, p, grid, 1)
	case qk.Cols > 0:
		p := int8GEMMQKNormRoPEParams{
			a: x.Data, aStride: x.Stride, aScales: a.Scales, b: w.Data, bStride: w.Stride, bScales: b.Scales,
			aThin: a.Beside.Data, aThinStride: a.Beside.Stride, bThin: b.Beside.Data, bThinStride: b.Beside.Stride,
			thin: a.Beside.Cols, dst: dst, rows: dst.Rows, cols: dst.Cols, depth: x.Cols,
			w: qk.Weight, cos: qk.RoPE.Cos.Data, sin: qk.RoPE.Sin.Data, cosStride: qk.RoPE.Cos.Stride,
			sinStride: qk.RoPE.Sin.Stride,
			halves:    asInt(qk.RoPE.Halves), headCols: qk.Cols, eps: qk.Eps,
		}
		if n.dtype == F8 {
			return q.launchFP8GEMMQKNormRoPE(k, fp8GEMMQKNormRoPEParams(p), grid, 1)
		}
		return q.launchInt8GEMMQKNormRoPE(k, p, grid, 1)
	}
	p := int8GEMMParams{
		a: x.Data, aStride: x.Stride, aScales: a.Scales, b: w.Data, bStride: w.Stride, bScales: b.Scales,
		aThin: a.Beside.Data, aThinStride: a.Beside.Stride, bThin: b.Beside.Data, bThinStride: b.Beside.Stride,
		thin: a.Beside.Cols, dst: dst, bias: e.Bias, gate: e.Gate, rows: dst.Rows, cols: dst.Cols, add: asInt(e.Add),
		depth: x.Cols,
	}
	if n.dtype == F8 {
		return q.launchFP8GEMM(k, fp8GEMMParams(p), grid, 1)
	}
	return q.launchInt8GEMM(k, p, grid, 1)
}

// NarrowSwiGLU computes dst = silu(a·gateᵀ) ⊙ (a·upᵀ) for a [m, k], gate and up [n, k], all of I8 or of F8, and dst [m,
// n], with the products of the columns beside them added to both. gate and up have the same stride.
func (q *Queue) NarrowSwiGLU(dst Matrix, a, gate, up Quantised, variant Variant) error {
	n := narrowOf(a.Values.DType)
	if err := n.check(n.swiglu, dst, a, gate, up); err != nil {
		return err
	}
	x, g, u := a.Values, gate.Values, up.Values
	if g.Stride != u.Stride || gate.Beside.Stride != up.Beside.Stride {
		return fmt.Errorf("%s: rows of %d and of %d bytes, want two weights of one stride", n.swiglu, g.Stride, u.Stride)
	}
	if dst.Rows == 0 || dst.Cols == 0 {
		return nil
	}
	shape := Shape{
		Operation: n.swiglu, Rows: dst.Rows, Cols: dst.Cols, Depth: x.Cols + a.Beside.Cols, Beside: a.Beside.Cols,
	}
	k, err := q.tile(variant, narrowAlignment(dst, gate.Scales, up.Scales), shape)
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
	p := int8SwiGLUParams{
		a: x.Data, aStride: x.Stride, aScales: a.Scales, gate: g.Data, up: u.Data, bStride: g.Stride,
		gateScales: gate.Scales, upScales: up.Scales, aThin: a.Beside.Data, aThinStride: a.Beside.Stride,
		gateThin: gate.Beside.Data, upThin: up.Beside.Data, bThinStride: gate.Beside.Stride, thin: a.Beside.Cols, dst: dst,
		rows: dst.Rows, cols: dst.Cols, depth: x.Cols,
	}
	if n.dtype == F8 {
		return q.launchFP8SwiGLU(k, fp8SwiGLUParams(p), grid, 1)
	}
	return q.launchInt8SwiGLU(k, p, grid, 1)
}
