package kernels

import "fmt"

// The tiles of src/gemm.cu and src/gemm.sm_90a.cu.
var (
	gemmTiles = []tile{
		{name: "gemm_128x256", m: 128, n: 256, k: 32, threads: 256, stages: 3, blocks: 1},
		{name: "gemm_128x256_deep", m: 128, n: 256, k: 32, threads: 256, stages: 4, blocks: 1},
		{name: "gemm_128x128", m: 128, n: 128, k: 32, threads: 128, stages: 3, blocks: 2},
		{name: "gemm_128x128_deep", m: 128, n: 128, k: 32, threads: 128, stages: 4, blocks: 2},
		{name: "gemm_64x64", m: 64, n: 64, k: 64, threads: 128, stages: 3, blocks: 3},
		{name: "gemm_loose", m: 64, n: 64, k: 64, threads: 128, stages: 3, blocks: 3, takes: loose},
		{name: "gemm_any", m: 64, n: 64, k: 32, threads: 128, stages: 2, blocks: 3, takes: unaligned},
		{name: "gemm_wgmma_128x256", target: sm90a, m: 128, n: 256, k: 64, threads: 384, stages: 4, blocks: 1},
		{name: "gemm_wgmma_192x192", target: sm90a, m: 192, n: 192, k: 64, threads: 512, stages: 4, blocks: 1},
		{name: "gemm_wgmma_128x128", target: sm90a, m: 128, n: 128, k: 64, threads: 384, stages: 6, blocks: 1},
		{name: "gemm_wgmma_128x128_twin", target: sm90a, m: 128, n: 128, k: 64, threads: 256, stages: 3, blocks: 2},
		{name: "gemm_wgmma_64x128", target: sm90a, m: 64, n: 128, k: 64, threads: 256, stages: 4, blocks: 2},
	}
	siluTiles = []tile{
		{name: "silu_64x64", m: 64, n: 64, k: 64, threads: 128, stages: 3, blocks: 3},
		{name: "silu_any", m: 64, n: 64, k: 32, threads: 128, stages: 2, blocks: 3, takes: unaligned},
	}
	qkNormRoPETiles = []tile{
		{name: "heads_128x256", m: 128, n: 256, k: 32, threads: 256, stages: 3, blocks: 1},
		{name: "heads_128x128", m: 128, n: 128, k: 32, threads: 128, stages: 3, blocks: 2},
		{name: "heads_64x128", m: 64, n: 128, k: 64, threads: 128, stages: 3, blocks: 2},
		{name: "heads_wgmma_128x256", target: sm90a, m: 128, n: 256, k: 64, threads: 384, stages: 4, blocks: 1},
		{name: "heads_wgmma_128x128", target: sm90a, m: 128, n: 128, k: 64, threads: 384, stages: 6, blocks: 1},
		{name: "heads_wgmma_64x128", target: sm90a, m: 64, n: 128, k: 64, threads: 256, stages: 4, blocks: 2},
	}
	swigluTiles = []tile{
		{name: "swiglu_128x256", m: 128, n: 128, k: 32, threads: 256, stages: 3, blocks: 1, paired: true},
		{name: "swiglu_128x256_deep", m: 128, n: 128, k: 32, threads: 256, stages: 4, blocks: 1, paired: true},
		{name: "swiglu_128x128", m: 128, n: 64, k: 32, threads: 128, stages: 3, blocks: 2, paired: true},
		{name: "swiglu_128x128_deep", m: 128, n: 64, k: 32, threads: 128, stages: 4, blocks: 2, paired: true},
		{name: "swiglu_64x128", m: 64, n: 64, k: 64, threads: 128, stages: 3, blocks: 2, paired: true},
		{name: "swiglu_any", m: 64, n: 64, k: 32, threads: 128, stages: 2, blocks: 2, paired: true, takes: unaligned},
		{name: "swiglu_wgmma_128x256", target: sm90a, m: 128, n: 128, k: 64, threads: 384, stages: 4, blocks: 1, paired: true},
		{name: "swiglu_wgmma_192x192", target: sm90a, m: 192, n: 96, k: 64, threads: 512, stages: 4, blocks: 1, paired: true},
		{name: "swiglu_wgmma_128x128", target: sm90a, m: 128, n: 64, k: 64, threads: 384, stages: 6, blocks: 1, paired: true},
		{name: "swiglu_wgmma_128x128_twin", target: sm90a, m: 128, n: 64, k: 64, threads: 256, stages: 3, blocks: 2, paired: true},
		{name: "swiglu_wgmma_64x128", target: sm90a, m: 64, n: 64, k: 64, threads: 256, stages: 4, blocks: 2, paired: true},
	}
)

// GEMMVariants, QKNormRoPEVariants and SwiGLUVariants name the kernels that GEMM, without QKNormRoPE and with it, and SwiGLU
// choose from, by Variant, for all targets.
func GEMMVariants() []string       { return variants(gemmTiles) }
func QKNormRoPEVariants() []string { return variants(qkNormRoPETiles) }
func SwiGLUVariants() []string     { return variants(swigluTiles) }

// Epilogue says what becomes of a product y = a·bᵀ.
type Epilogue struct {
	// Bias [1, n] is added to each row of y unless it is the zero Matrix.
	Bias Matrix
	// Add accumulates: dst += y, or dst += gate ⊙ y with the row Gate [1, n] where that is given.
	Add  bool
	Gate Matrix
	// SiLU stores silu(y). No other field may be set with it.
	SiLU bool
	// QKNormRoPE normalises and rotates heads of y. No other field may be set with it.
	QKNormRoPE QKNormRoPE
}

// QKNormRoPE is what attention wants done to queries and keys: the first Cols columns of a product are heads of d columns
// each, which are normalised and rotated. The columns behind them are stored unchanged. The zero value changes nothing.
type QKNormRoPE struct {
	Cols int
	// Weight [1, d] multiplies each head divided by its root mean square, sqrt(mean(x²) + Eps); then RoPE rotates it.
	Weight Matrix
	Eps    float32
	RoPE   RoPE
}

// headCols is the width of the heads that products normalise and rotate. For other widths the kernel qk_norm_rope follows.
const headCols = 128

// Operation names what Shape calls a product with this epilogue.
func (e Epilogue) Operation() string {
	switch {
	case e.SiLU:
		return "silu"
	case e.QKNormRoPE.Cols > 0 && e.QKNormRoPE.Weight.Cols == headCols:
		return "heads"
	}
	return "gemm"
}

// check refuses rows that do not fit n columns, and what does not go together.
func (e Epilogue) check(operation string, n int) error {
	if (e.SiLU || e.QKNormRoPE.Cols != 0) && (e.Bias.Data != 0 || e.Add || e.Gate.Data != 0 || e.SiLU && e.QKNormRoPE.Cols != 0) {
		return fmt.Errorf("%s: SiLU or QKNormRoPE with another field: want one of them alone", operation)
	}
	if e.QKNormRoPE.Cols < 0 || e.QKNormRoPE.Cols > n {
		return fmt.Errorf("%s: %d columns of heads, want 0 to %d", operation, e.QKNormRoPE.Cols, n)
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

// alignment is what is left of that of the operands: fast kernels read rows of an epilogue in pairs of columns.
func (e Epilogue) alignment(have alignment) alignment {
	cos, sin := e.QKNormRoPE.RoPE.Cos, e.QKNormRoPE.RoPE.Sin
	if uint64(e.Bias.Data|e.Gate.Data|e.QKNormRoPE.Weight.Data|cos.Data|sin.Data)%8 != 0 || (cos.Stride|sin.Stride)%2 != 0 {
		return max(have, loose)
	}
	return have
}

// alignmentOf says which kernels can take operands a and b whose slices are depth wide, and dst.
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

// GEMM computes y = a·bᵀ for a [m, k] and b [n, k], both BF16, and stores it in dst [m, n] as e says. A variant whose
// demands on alignment are not met is replaced. Where no kernel
// normalises and rotates heads before it stores them, the kernel qk_norm_rope follows.
func (q *Queue) GEMM(dst, a, b Matrix, e Epilogue, variant Variant) error {
	operation := e.Operation()
	if err := check(operation, dst, a, b); err != nil {
		return err
	}
	if err := isBF16(operation, a, b); err != nil {
		return err
	}
	if a.Cols != b.Cols || a.Cols == 0 || dst.Rows != a.Rows || dst.Cols != b.Rows {
		return fmt.Errorf("%s: %v by %v into %v, want [m k], [n k] and [m n]", operation, a, b, dst)
	}
	if err := e.check(operation, dst.Cols); err != nil {
		return err
	}
	p := e.QKNormRoPE
	if p.Cols > 0 {
		if err := p.RoPE.check(operation, dst.cols(0, p.Cols), p.Weight); err != nil {
			return err
		}
	}
	if dst.Rows == 0 || dst.Cols == 0 {
		return nil
	}
	have := e.alignment(alignmentOf(dst, a.Cols, a, b))
	if p.Cols > 0 && (operation != "heads" || have != strict) {
		if err := q.GEMM(dst, a, b, Epilogue{}, Auto); err != nil {
			return err
		}
		return q.QKNormRoPE(dst.cols(0, p.Cols), p.Weight, p.RoPE, p.Eps)
	}
	shape := Shape{Operation: operation, Rows: dst.Rows, Cols: dst.Cols, Depth: a.Cols}
	t, err := q.choose(tableOf(shape), variant, have, shape)
	if err != nil {
		return err
	}
	q.args.Reset()
	if err := q.operands(t, a, b); err != nil {
		return err
	}
	q.matrix(dst)
	switch operation {
	case "gemm":
		q.matrix(e.Bias)
		q.matrix(e.Gate)
		q.size(dst).Int32(truth(e.Add)).Int32(int32(a.Cols))
	case "silu":
		q.size(dst).Int32(int32(a.Cols))
	case "heads":
		q.size(dst).Int32(int32(a.Cols))
		q.matrix(p.Weight)
		q.angles(p.RoPE).Int32(int32(p.Cols)).Float32(p.Eps)
	}
	return q.launch(GEMM, t.kernel(), t.grid(dst.Rows, dst.Cols, q.set.ctx.Device().SMs), 1)
}

// operands packs A and the matrices that B is made of, as the tile's kernel takes them.
func (q *Queue) operands(t tile, a Matrix, b ...Matrix) error {
	if t.target == sm90a {
		if err := q.tensor(matrixTensor(a, t.m)); err != nil {
			return err
		}
		for _, m := range b {
			if err := q.tensor(matrixTensor(m, t.n)); err != nil {
				return err
			}
		}
		return nil
	}
	q.args.Ptr(a.Data).Int32(int32(a.Stride))
	for _, m := range b {
		q.args.Ptr(m.Data)
	}
	q.args.Int32(int32(b[0].Stride))
	return nil
}

// SwiGLU computes dst = silu(a·gateᵀ) ⊙ (a·upᵀ) for a [m, k], gate and up [n, k] and dst [m, n], all BF16. gate and up
// have the same stride.
func (q *Queue) SwiGLU(dst, a, gate, up Matrix, variant Variant) error {
	const operation = "swiglu"
	if err := check(operation, dst, a, gate, up); err != nil {
		return err
	}
	if err := isBF16(operation, dst, a, gate, up); err != nil {
		return err
	}
	if a.Cols != gate.Cols || a.Cols == 0 || up.Rows != gate.Rows || up.Cols != gate.Cols || up.Stride != gate.Stride ||
		dst.Rows != a.Rows || dst.Cols != gate.Rows {
		return fmt.Errorf("%s: %v by %v and %v into %v, want [m k], twice [n k] of one stride, and [m n]", operation, a, gate, up, dst)
	}
	if dst.Rows == 0 || dst.Cols == 0 {
		return nil
	}
	shape := Shape{Operation: operation, Rows: dst.Rows, Cols: dst.Cols, Depth: a.Cols}
	t, err := q.choose(swigluTiles, variant, alignmentOf(dst, a.Cols, a, gate, up), shape)
	if err != nil {
		return err
	}
	q.args.Reset()
	if err := q.operands(t, a, gate, up); err != nil {
		return err
	}
	q.matrix(dst)
	q.size(dst).Int32(int32(a.Cols))
	return q.launch(GEMM, t.kernel(), t.grid(dst.Rows, dst.Cols, q.set.ctx.Device().SMs), 1)
}
