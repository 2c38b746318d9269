package kernels

import "slices"

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
	Fits:     narrowInt8.fits,
	Operands: func(s Shape) []Operand { return narrowInt8.operands(s, 1) },
	Launch: func(q *Queue, s Shape, m []Matrix, v Variant) error {
		f := narrowInt8.factors(s, m)
		return q.NarrowGEMM(m[0], f[0], f[1], Epilogue{}, v)
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
	Fits:     func(s Shape) bool { return s.Beside == 0 && narrowInt8.fits(s) },
	Operands: func(s Shape) []Operand { return narrowInt8.operands(s, 1) },
	Launch: func(q *Queue, s Shape, m []Matrix, v Variant) error {
		f := narrowInt8.factors(s, m)
		return q.NarrowGEMM(m[0], f[0], f[1], Epilogue{SiLU: true}, v)
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
	Fits:     func(s Shape) bool { return s.Beside == 0 && narrowInt8.fits(s) && s.Cols%headCols == 0 },
	Operands: func(s Shape) []Operand {
		return append(narrowInt8.operands(s, 1), Operand{1, headCols, BF16}, Operand{s.Rows, headCols / 2, F32})
	},
	Launch: func(q *Queue, s Shape, m []Matrix, v Variant) error {
		f, p := narrowInt8.factors(s, m), QKNormRoPE{Cols: s.Cols, Weight: m[5], Eps: 1e-6, RoPE: RoPE{Cos: m[6], Sin: m[6]}}
		return q.NarrowGEMM(m[0], f[0], f[1], Epilogue{QKNormRoPE: p}, v)
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
	Fits:     narrowInt8.fits,
	Operands: func(s Shape) []Operand { return narrowInt8.operands(s, 2) },
	Launch: func(q *Queue, s Shape, m []Matrix, v Variant) error {
		f := narrowInt8.factors(s, m)
		return q.NarrowSwiGLU(m[0], f[0], f[1], f[2], v)
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
