package kernels

// The names of the operations of src/fp8.sm_89.cu.
const (
	quantiseFP8       = "quantise_fp8"
	fp8GEMM           = "fp8_gemm"
	fp8SiLU           = "fp8_silu"
	fp8GEMMQKNormRoPE = "fp8_gemm_qk_norm_rope"
	fp8SwiGLU         = "fp8_swiglu"
)

// OpQuantiseFP8 makes fp8 of rows, which it rotates before. Shape.Depth is the number of columns in a group of the
// rotation, 0 for none. The operands are the result, its scales, and x.
var OpQuantiseFP8 = define(Operation{
	Name:     quantiseFP8,
	Families: []Family{fp8Family},
	Fits:     func(s Shape) bool { return s.Cols%Int8Multiple == 0 && quantises(s.Cols, s.Depth) },
	Operands: func(s Shape) []Operand {
		return []Operand{{s.Rows, s.Cols, F8}, {1, s.Rows, F32}, {s.Rows, s.Cols, BF16}}
	},
	Launch: func(q *Queue, s Shape, m []Matrix, _ Variant) error {
		return q.Quantise(Quantised{Values: m[0], Scales: m[1].Data}, m[2], s.Depth)
	},
	Trials: []Shape{
		{Operation: quantiseFP8, Rows: 3, Cols: 512, Depth: 256}, {Operation: quantiseFP8, Rows: 2, Cols: 4112},
	},
})

// OpFP8GEMM is y = a·bᵀ in fp8 for a [rows, depth] and b [cols, depth], with bias and residual. The operands are
// y, then a and b with their scales. It needs normFamily as OpGEMM does.
var OpFP8GEMM = define(Operation{
	Name:     fp8GEMM,
	Families: []Family{fp8Family, normFamily},
	Fits:     narrowFP8.fits,
	Operands: func(s Shape) []Operand { return narrowFP8.operands(s, 1) },
	Launch: func(q *Queue, s Shape, m []Matrix, v Variant) error {
		f := narrowFP8.factors(s, m)
		return q.NarrowGEMM(m[0], f[0], f[1], Epilogue{}, v)
	},
	FLOP: productFLOP,
	Trials: []Shape{
		{Operation: fp8GEMM, Rows: 200, Cols: 264, Depth: 144},
		{Operation: fp8GEMM, Rows: 70, Cols: 136, Depth: 72, Beside: 24},
	},
})

// OpFP8SiLU is silu(a·bᵀ) in fp8.
var OpFP8SiLU = define(Operation{
	Name:     fp8SiLU,
	Families: []Family{fp8Family},
	Fits:     func(s Shape) bool { return s.Beside == 0 && narrowFP8.fits(s) },
	Operands: func(s Shape) []Operand { return narrowFP8.operands(s, 1) },
	Launch: func(q *Queue, s Shape, m []Matrix, v Variant) error {
		f := narrowFP8.factors(s, m)
		return q.NarrowGEMM(m[0], f[0], f[1], Epilogue{SiLU: true}, v)
	},
	FLOP:   productFLOP,
	Trials: []Shape{{Operation: fp8SiLU, Rows: 5, Cols: 72, Depth: 144}},
})

// OpFP8GEMMQKNormRoPE is y = a·bᵀ in fp8 with y's heads of headCols columns normalised and rotated. The operands
// are those of OpFP8GEMM, followed by the weight of the normalisation and by one matrix that serves as cosines and as
// sines.
var OpFP8GEMMQKNormRoPE = define(Operation{
	Name:     fp8GEMMQKNormRoPE,
	Families: []Family{fp8Family, normFamily},
	Fits:     func(s Shape) bool { return s.Beside == 0 && narrowFP8.fits(s) && s.Cols%headCols == 0 },
	Operands: func(s Shape) []Operand {
		return append(narrowFP8.operands(s, 1), Operand{1, headCols, BF16}, Operand{s.Rows, headCols / 2, F32})
	},
	Launch: func(q *Queue, s Shape, m []Matrix, v Variant) error {
		f, p := narrowFP8.factors(s, m), QKNormRoPE{Cols: s.Cols, Weight: m[5], Eps: 1e-6, RoPE: RoPE{Cos: m[6], Sin: m[6]}}
		return q.NarrowGEMM(m[0], f[0], f[1], Epilogue{QKNormRoPE: p}, v)
	},
	FLOP:   productFLOP,
	Trials: []Shape{{Operation: fp8GEMMQKNormRoPE, Rows: 150, Cols: 384, Depth: 80}},
})

// OpFP8SwiGLU is silu(a·gateᵀ) ⊙ (a·upᵀ) in fp8. The operands are the result, then a, gate and up with their
// scales.
var OpFP8SwiGLU = define(Operation{
	Name:     fp8SwiGLU,
	Families: []Family{fp8Family},
	Fits:     narrowFP8.fits,
	Operands: func(s Shape) []Operand { return narrowFP8.operands(s, 2) },
	Launch: func(q *Queue, s Shape, m []Matrix, v Variant) error {
		f := narrowFP8.factors(s, m)
		return q.NarrowSwiGLU(m[0], f[0], f[1], f[2], v)
	},
	FLOP: func(s Shape) float64 { return 2 * productFLOP(s) },
	Trials: []Shape{
		{Operation: fp8SwiGLU, Rows: 70, Cols: 136, Depth: 144},
		{Operation: fp8SwiGLU, Rows: 70, Cols: 72, Depth: 72, Beside: 24},
	},
})

// fp8Family has kernels for sm_89 only, which devices without products of fp8 do not run: ErrNoKernels.
const fp8Family Family = "fp8"
