package kernels

import (
	"errors"
	"fmt"
	"slices"

	"github.com/kleinbild/kleinbild/kernels/cu"
)

// The names of the operations of src/gemm.cu.
const (
	gemm           = "gemm"
	silu           = "silu"
	gemmQKNormRoPE = "gemm_qk_norm_rope"
	swiglu         = "swiglu"
)

// OpGEMM is y = a·bᵀ for a [rows, depth] and b [cols, depth], with bias and residual. It needs normFamily because GEMM
// launches qk_norm_rope behind a product whose heads are not headCols wide.
var OpGEMM = define(Operation{
	Name:     gemm,
	Families: []Family{gemmFamily, normFamily},
	Fits:     fitsProduct,
	Operands: func(s Shape) []Operand {
		return append([]Operand{{s.Rows, s.Cols, BF16}, {s.Rows, s.Depth, BF16}}, s.weights(1)...)
	},
	Launch: func(q *Queue, s Shape, m []Matrix, v Variant) error {
		e := Epilogue{}
		if s.Beside > 0 {
			e.Beside = m[3]
		}
		return q.GEMM(m[0], m[1], m[2], e, v)
	},
	FLOP: productFLOP,
	Int8: int8GEMM,
	Trials: []Shape{
		{Operation: gemm, Rows: 200, Cols: 264, Depth: 136}, {Operation: gemm, Rows: 70, Cols: 136, Depth: 88, Beside: 24},
	},
})

// OpSiLU is silu(a·bᵀ).
var OpSiLU = define(Operation{
	Name:     silu,
	Families: []Family{gemmFamily},
	Fits:     func(s Shape) bool { return s.Beside == 0 && fitsProduct(s) },
	Operands: func(s Shape) []Operand {
		return []Operand{{s.Rows, s.Cols, BF16}, {s.Rows, s.Depth, BF16}, {s.Cols, s.Depth, BF16}}
	},
	Launch: func(q *Queue, s Shape, m []Matrix, v Variant) error {
		return q.GEMM(m[0], m[1], m[2], Epilogue{SiLU: true}, v)
	},
	FLOP:   productFLOP,
	Int8:   int8SiLU,
	Trials: []Shape{{Operation: silu, Rows: 5, Cols: 72, Depth: 136}},
})

// OpGEMMQKNormRoPE is y = a·bᵀ with y's heads of headCols columns normalised and rotated. The operands y, a and b are
// followed by the weight of the normalisation and by one matrix that serves as cosines and as sines.
var OpGEMMQKNormRoPE = define(Operation{
	Name:     gemmQKNormRoPE,
	Families: []Family{gemmFamily, normFamily},
	Fits:     func(s Shape) bool { return s.Beside == 0 && fitsProduct(s) && s.Cols%headCols == 0 },
	Operands: func(s Shape) []Operand {
		return []Operand{
			{s.Rows, s.Cols, BF16}, {s.Rows, s.Depth, BF16}, {s.Cols, s.Depth, BF16}, {1, headCols, BF16},
			{s.Rows, headCols / 2, F32},
		}
	},
	Launch: func(q *Queue, s Shape, m []Matrix, v Variant) error {
		p := QKNormRoPE{Cols: s.Cols, Weight: m[3], Eps: 1e-6, RoPE: RoPE{Cos: m[4], Sin: m[4]}}
		return q.GEMM(m[0], m[1], m[2], Epilogue{QKNormRoPE: p}, v)
	},
	FLOP:   productFLOP,
	Int8:   int8GEMMQKNormRoPE,
	Trials: []Shape{{Operation: gemmQKNormRoPE, Rows: 150, Cols: 384, Depth: 72}},
})

// OpSwiGLU is silu(a·gateᵀ) ⊙ (a·upᵀ).
var OpSwiGLU = define(Operation{
	Name:     swiglu,
	Families: []Family{gemmFamily},
	Fits:     fitsProduct,
	Operands: func(s Shape) []Operand {
		return append([]Operand{{s.Rows, s.Cols, BF16}, {s.Rows, s.Depth, BF16}}, s.weights(2)...)
	},
	Launch: func(q *Queue, s Shape, m []Matrix, v Variant) error {
		if s.Beside > 0 {
			return q.SwiGLUBeside(m[0], m[1], m[2], m[3], m[4], m[5], v)
		}
		return q.SwiGLU(m[0], m[1], m[2], m[3], v)
	},
	FLOP: func(s Shape) float64 { return 2 * productFLOP(s) },
	Int8: int8SwiGLU,
	Trials: []Shape{
		{Operation: swiglu, Rows: 70, Cols: 136, Depth: 136}, {Operation: swiglu, Rows: 70, Cols: 72, Depth: 88, Beside: 24},
	},
})

const gemmFamily Family = "gemm"

func fitsProduct(s Shape) bool {
	own := s.Depth - s.Beside
	return own > 0 && s.Depth%8 == 0 && s.Cols%8 == 0 && (s.Beside == 0 || own%BesideMultiple == 0)
}

// weights are n weights of a product, and behind them the matrices beside them, if there are any.
func (s Shape) weights(n int) []Operand {
	all := slices.Repeat([]Operand{{s.Cols, s.Depth - s.Beside, BF16}}, n)
	if s.Beside > 0 {
		all = append(all, slices.Repeat([]Operand{{s.Cols, s.Beside, BF16}}, n)...)
	}
	return all
}

func productFLOP(s Shape) float64 { return 2 * float64(s.Rows) * float64(s.Cols) * float64(s.Depth) }

// Epilogue says what is done with a product y = a·bᵀ before it is stored in dst.
type Epilogue struct {
	// Beside [n, r], unless it is the zero Matrix, holds further columns of b, so that a has r columns more than b. The
	// columns of b are then a multiple of BesideMultiple. It can be set together with all other fields but SiLU.
	Beside Matrix
	// Bias [1, n] is added to each row of y unless it is the zero Matrix.
	Bias Matrix
	// Add accumulates: dst += y, or dst += gate ⊙ y if the row Gate [1, n] is given.
	Add  bool
	Gate Matrix
	// SiLU stores silu(y). No other field may be set with it.
	SiLU bool
	// QKNormRoPE normalises and rotates heads of y. No other field may be set with it.
	QKNormRoPE QKNormRoPE
}

// BesideMultiple is the multiple of columns behind which a product can go on with another matrix.
const BesideMultiple = 64

// columns returns the columns of b and beside together.
func columns(b, beside Matrix) int { return b.Cols + beside.Cols }

// checkBeside returns an error if beside, unless it is the zero Matrix, cannot follow the columns of b.
func checkBeside(operation string, b, beside Matrix) error {
	if beside == (Matrix{}) {
		return nil
	}
	if err := check(operation, beside); err != nil {
		return err
	}
	if beside.DType != BF16 || beside.Rows != b.Rows || b.Cols%BesideMultiple != 0 {
		return fmt.Errorf("%s: %v beside %v, want BF16 of as many rows, behind a multiple of %d columns", operation, beside,
			b, BesideMultiple)
	}
	return nil
}

// QKNormRoPE is what attention wants done to queries and keys: the first Cols columns of a product are heads of d
// columns each, which are normalised and rotated. The columns behind them are stored unchanged. The zero value changes
// nothing.
type QKNormRoPE struct {
	Cols int
	// Weight [1, d] multiplies each head divided by its root mean square, sqrt(mean(x²) + Eps); then RoPE rotates it.
	Weight Matrix
	Eps    float32
	RoPE   RoPE
}

// Operation names the operation that a product with this epilogue is.
func (e Epilogue) Operation() string {
	switch {
	case e.SiLU:
		return silu
	case e.QKNormRoPE.Cols > 0 && e.QKNormRoPE.Weight.Cols == headCols:
		return gemmQKNormRoPE
	}
	return gemm
}

// check returns an error if rows do not fit n columns, or if fields are set that exclude each other.
func (e Epilogue) check(operation string, n int) error {
	rotates, others := e.QKNormRoPE.Cols != 0, e.Bias.Data != 0 || e.Add || e.Gate.Data != 0
	if e.SiLU && e.Beside.Data != 0 {
		return fmt.Errorf("%s: SiLU with columns beside the weight: want one of them", operation)
	}
	if (e.SiLU || rotates) && others || e.SiLU && rotates {
		return fmt.Errorf("%s: SiLU or QKNormRoPE with another field: want one of them alone", operation)
	}
	if cols := e.QKNormRoPE.Cols; cols < 0 || cols > n {
		return fmt.Errorf("%s: %d columns of heads, want 0 to %d", operation, cols, n)
	}
	if e.Bias.Data != 0 {
		if err := isRow(operation, "bias", e.Bias, n); err != nil {
			return err
		}
	}
	if e.Gate.Data == 0 {
		return nil
	}
	if !e.Add {
		return fmt.Errorf("%s: a gate without a residual: want Add", operation)
	}
	return isRow(operation, "gate", e.Gate, n)
}

// alignment returns the alignment of a launch whose operands have the alignment have. Kernels for aligned operands read
// the rows of an epilogue two columns at a time.
func (e Epilogue) alignment(have alignment) alignment {
	cos, sin := e.QKNormRoPE.RoPE.Cos, e.QKNormRoPE.RoPE.Sin
	if uint64(e.Bias.Data|e.Gate.Data|e.QKNormRoPE.Weight.Data|cos.Data|sin.Data)%8 != 0 ||
		(cos.Stride|sin.Stride)%2 != 0 {
		return max(have, loose)
	}
	return have
}

// alignmentOf returns the alignment of a launch. depth is the number of neighbouring values that kernels read of a row
// of an operand: the depth of a product, the channels of a convolution, the width of a head.
func alignmentOf(dst Matrix, depth int, operands ...Matrix) alignment {
	for _, m := range operands {
		if depth%8 != 0 || !m.rowsAligned() {
			return unaligned
		}
	}
	if dst.DType != BF16 || !aligned(dst) {
		return loose
	}
	return strict
}

// GEMM computes y = a·bᵀ for a [m, k] and b [n, k], both BF16, and stores it in dst [m, n] as e says. If the operands
// do not have the alignment that variant needs, another kernel is launched. If no kernel normalises and rotates the
// heads before it stores them, the kernel qk_norm_rope follows.
func (q *Queue) GEMM(dst, a, b Matrix, e Epilogue, variant Variant) error {
	operation := e.Operation()
	if err := check(operation, dst, a, b); err != nil {
		return err
	}
	if err := isBF16(operation, a, b); err != nil {
		return err
	}
	if err := checkBeside(operation, b, e.Beside); err != nil {
		return err
	}
	if a.Cols != columns(b, e.Beside) || a.Cols == 0 || dst.Rows != a.Rows || dst.Cols != b.Rows {
		return fmt.Errorf("%s: %v by %v into %v, want [m k], [n k] and [m n]", operation, a, b, dst)
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
	have := e.alignment(alignmentOf(dst, a.Cols, a, b, e.Beside))
	if qk.Cols > 0 && (qk.Weight.Cols != headCols || have != strict) {
		if err := q.GEMM(dst, a, b, Epilogue{Beside: e.Beside}, Auto); err != nil {
			return err
		}
		return q.QKNormRoPE(dst.Columns(0, qk.Cols), qk.Weight, qk.RoPE, qk.Eps)
	}
	k, err := q.tile(variant, have, Shape{Operation: operation, Rows: dst.Rows, Cols: dst.Cols, Depth: a.Cols})
	if err != nil {
		return err
	}
	if k.target == SM90a {
		return q.productWGMMA(k, dst, a, b, e)
	}
	return q.product(k, dst, a, b, e)
}

// product launches a tile of src/gemm.cu.
func (q *Queue) product(k *kernel, dst, a, b Matrix, e Epilogue) error {
	grid := k.grid(dst.Rows, dst.Cols, q.set.ctx.Device().SMs)
	switch qk := e.QKNormRoPE; {
	case e.SiLU:
		return q.launchSiLU(k, siluParams{
			a: a.Data, aStride: a.Stride, b: b.Data, bStride: b.Stride, dst: dst, rows: dst.Rows, cols: dst.Cols, depth: a.Cols,
		}, grid, 1)
	case qk.Cols > 0:
		return q.launchGEMMQKNormRoPE(k, gemmQKNormRoPEParams{
			a: a.Data, aStride: a.Stride, b: b.Data, bStride: b.Stride, beside: e.Beside.Data, besideStride: e.Beside.Stride,
			dst: dst, rows: dst.Rows, cols: dst.Cols, depth: a.Cols, split: b.Cols,
			w: qk.Weight, cos: qk.RoPE.Cos.Data, sin: qk.RoPE.Sin.Data, cosStride: qk.RoPE.Cos.Stride,
			sinStride: qk.RoPE.Sin.Stride,
			halves:    asInt(qk.RoPE.Halves), headCols: qk.Cols, eps: qk.Eps,
		}, grid, 1)
	}
	return q.launchGEMM(k, gemmParams{
		a: a.Data, aStride: a.Stride, b: b.Data, bStride: b.Stride, beside: e.Beside.Data, besideStride: e.Beside.Stride,
		dst: dst, bias: e.Bias, gate: e.Gate, rows: dst.Rows, cols: dst.Cols, add: asInt(e.Add), depth: a.Cols, split: b.Cols,
	}, grid, 1)
}

// productWGMMA launches a tile of src/gemm.sm_90a.cu.
func (q *Queue) productWGMMA(k *kernel, dst, a, b Matrix, e Epilogue) error {
	mapA, mapB, err := q.operandTensors(k, a, b)
	if err != nil {
		return err
	}
	beside, err := q.besideTensor(k, mapB, e.Beside)
	if err != nil {
		return err
	}
	grid := k.grid(dst.Rows, dst.Cols, q.set.ctx.Device().SMs)
	if qk := e.QKNormRoPE; qk.Cols > 0 {
		return q.launchGEMMQKNormRoPEWGMMA(k, gemmQKNormRoPEWGMMAParams{
			a: mapA, b: mapB, beside: beside, dst: dst, rows: dst.Rows, cols: dst.Cols, depth: a.Cols, split: b.Cols,
			w: qk.Weight, cos: qk.RoPE.Cos.Data, sin: qk.RoPE.Sin.Data, cosStride: qk.RoPE.Cos.Stride,
			sinStride: qk.RoPE.Sin.Stride,
			halves:    asInt(qk.RoPE.Halves), headCols: qk.Cols, eps: qk.Eps,
		}, grid, 1)
	}
	return q.launchGEMMWGMMA(k, gemmWGMMAParams{
		a: mapA, b: mapB, beside: beside, dst: dst, bias: e.Bias, gate: e.Gate, rows: dst.Rows, cols: dst.Cols,
		add: asInt(e.Add), depth: a.Cols, split: b.Cols,
	}, grid, 1)
}

// operandTensors describes the operands of a product in boxes of a tile's rows and columns.
func (q *Queue) operandTensors(k *kernel, a, b Matrix) (mapA, mapB *cu.TensorMap, err error) {
	if mapA, err = q.tensor(matrixTensor(a, k.m)); err != nil {
		return nil, nil, err
	}
	mapB, err = q.tensor(matrixTensor(b, k.n))
	return mapA, mapB, err
}

// besideTensor describes a matrix beside b, whose descriptor serves where there is none.
func (q *Queue) besideTensor(k *kernel, b *cu.TensorMap, beside Matrix) (*cu.TensorMap, error) {
	if beside.Data == 0 {
		return b, nil
	}
	return q.tensor(matrixTensor(beside, k.n))
}

// SwiGLU computes dst = silu(a·gateᵀ) ⊙ (a·upᵀ) for a [m, k], gate and up [n, k] and dst [m, n], all BF16. gate and up
// have the same stride.
func (q *Queue) SwiGLU(dst, a, gate, up Matrix, variant Variant) error {
	return q.SwiGLUBeside(dst, a, gate, up, Matrix{}, Matrix{}, variant)
}

// SwiGLUBeside is SwiGLU with further columns of gate and up, [n, r] each and of one stride, as Epilogue.Beside has
// them.
func (q *Queue) SwiGLUBeside(dst, a, gate, up, gateBeside, upBeside Matrix, variant Variant) error {
	if err := check(swiglu, dst, a, gate, up); err != nil {
		return err
	}
	if err := isBF16(swiglu, dst, a, gate, up); err != nil {
		return err
	}
	if err := errors.Join(checkBeside(swiglu, gate, gateBeside), checkBeside(swiglu, up, upBeside)); err != nil {
		return err
	}
	if gateBeside.Cols != upBeside.Cols || gateBeside.Stride != upBeside.Stride {
		return fmt.Errorf("%s: %v beside the gate, %v beside up, want two of one stride", swiglu, gateBeside, upBeside)
	}
	if a.Cols != columns(gate, gateBeside) || a.Cols == 0 || up.Rows != gate.Rows || up.Cols != gate.Cols ||
		up.Stride != gate.Stride || dst.Rows != a.Rows || dst.Cols != gate.Rows {
		return fmt.Errorf(
			"%s: %v by %v and %v into %v, want [m k], twice [n k] of one stride, and [m n]", swiglu, a, gate, up, dst,
		)
	}
	if dst.Rows == 0 || dst.Cols == 0 {
		return nil
	}
	shape := Shape{Operation: swiglu, Rows: dst.Rows, Cols: dst.Cols, Depth: a.Cols}
	k, err := q.tile(variant, alignmentOf(dst, a.Cols, a, gate, up, gateBeside, upBeside), shape)
	if err != nil {
		return err
	}
	grid := k.grid(dst.Rows, dst.Cols, q.set.ctx.Device().SMs)
	if k.target == SM90a {
		mapA, mapGate, err := q.operandTensors(k, a, gate)
		if err != nil {
			return err
		}
		mapUp, err := q.tensor(matrixTensor(up, k.n))
		if err != nil {
			return err
		}
		besideGate, err := q.besideTensor(k, mapGate, gateBeside)
		if err != nil {
			return err
		}
		besideUp, err := q.besideTensor(k, mapUp, upBeside)
		if err != nil {
			return err
		}
		return q.launchSwiGLUWGMMA(k, swigluWGMMAParams{
			a: mapA, gate: mapGate, up: mapUp, gateBeside: besideGate, upBeside: besideUp, dst: dst, rows: dst.Rows,
			cols: dst.Cols, depth: a.Cols, split: gate.Cols,
		}, grid, 1)
	}
	return q.launchSwiGLU(k, swigluParams{
		a: a.Data, aStride: a.Stride, gate: gate.Data, up: up.Data, bStride: gate.Stride, gateBeside: gateBeside.Data,
		upBeside: upBeside.Data, besideStride: gateBeside.Stride, dst: dst, rows: dst.Rows, cols: dst.Cols, depth: a.Cols,
		split: gate.Cols,
	}, grid, 1)
}
