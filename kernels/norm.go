package kernels

import "fmt"

// The names of the operations of src/norm.cu.
const (
	rmsNorm           = "rms_norm"
	layerNorm         = "layer_norm"
	qkNormRoPE        = "qk_norm_rope"
	normFamily Family = "norm"
)

// OpRMSNorm normalises rows by their root mean square.
var OpRMSNorm = define(Operation{
	Name:     rmsNorm,
	Families: []Family{normFamily},
	Fits:     fitsRows,
	Operands: func(s Shape) []Operand {
		return []Operand{{s.Rows, s.Cols, BF16}, {s.Rows, s.Cols, BF16}, {1, s.Cols, BF16}}
	},
	Launch: func(q *Queue, _ Shape, m []Matrix, _ Variant) error { return q.RMSNorm(m[0], m[1], m[2], 1e-6) },
	Trials: []Shape{{Operation: rmsNorm, Rows: 5, Cols: 528}},
})

// OpLayerNorm normalises rows and modulates them.
var OpLayerNorm = define(Operation{
	Name:     layerNorm,
	Families: []Family{normFamily},
	Fits:     fitsRows,
	Operands: func(s Shape) []Operand {
		return []Operand{{s.Rows, s.Cols, BF16}, {s.Rows, s.Cols, BF16}, {1, s.Cols, BF16}, {1, s.Cols, BF16}}
	},
	Launch: func(q *Queue, _ Shape, m []Matrix, _ Variant) error { return q.LayerNorm(m[0], m[1], m[2], m[3], 1e-6) },
	Trials: []Shape{{Operation: layerNorm, Rows: 5, Cols: 528}},
})

// OpQKNormRoPE normalises and rotates the heads of its first operand in place. The second operand is the weight, the
// third serves as cosines and as sines.
var OpQKNormRoPE = define(Operation{
	Name:     qkNormRoPE,
	Families: []Family{normFamily},
	Fits:     func(s Shape) bool { return s.Depth > 0 && s.Depth%2 == 0 && s.Cols%s.Depth == 0 },
	Operands: func(s Shape) []Operand {
		return []Operand{{s.Rows, s.Cols, BF16}, {1, s.Depth, BF16}, {s.Rows, s.Depth / 2, F32}}
	},
	Launch: func(q *Queue, _ Shape, m []Matrix, _ Variant) error {
		return q.QKNormRoPE(m[0], m[1], RoPE{Cos: m[2], Sin: m[2]}, 1e-6)
	},
	Trials: []Shape{{Operation: qkNormRoPE, Rows: 9, Cols: 96, Depth: 32}},
})

// RMSNorm computes dst = x / sqrt(mean(x²) + eps) ⊙ w over each row, w being [1, cols]; dst may be x.
func (q *Queue) RMSNorm(dst, x, w Matrix, eps float32) error {
	if err := sameShape(rmsNorm, dst, x); err != nil {
		return err
	}
	if err := isRow(rmsNorm, "weight", w, x.Cols); err != nil {
		return err
	}
	p := rmsNormParams{dst: dst, x: x, w: w, cols: x.Cols, eps: eps}
	return q.launchRMSNorm(pick(rmsNorm, aligned(dst, x, w)), p, x.Rows, 1)
}

// LayerNorm computes dst = (x − mean) / sqrt(var + eps) ⊙ (1 + scale) + shift over each row, scale and shift being
// [1, cols]; dst may be x.
func (q *Queue) LayerNorm(dst, x, scale, shift Matrix, eps float32) error {
	if err := sameShape(layerNorm, dst, x); err != nil {
		return err
	}
	if err := isRow(layerNorm, "scale", scale, x.Cols); err != nil {
		return err
	}
	if err := isRow(layerNorm, "shift", shift, x.Cols); err != nil {
		return err
	}
	p := layerNormParams{dst: dst, x: x, scale: scale, shift: shift, cols: x.Cols, eps: eps}
	return q.launchLayerNorm(pick(layerNorm, aligned(dst, x, scale, shift)), p, x.Rows, 1)
}

// RoPE holds the rotation of each row's coordinate pairs: cosines and sines, F32 [rows, d/2].
type RoPE struct {
	Cos, Sin Matrix
	// Halves pairs coordinate i with i + d/2, otherwise 2i with 2i + 1.
	Halves bool
}

// check returns an error unless r and the weight w [1, d] fit the heads x [rows, heads·d], BF16.
func (r RoPE) check(operation string, x, w Matrix) error {
	if err := check(operation, x, r.Cos, r.Sin); err != nil {
		return err
	}
	if err := isBF16(operation, x); err != nil {
		return err
	}
	d := w.Cols
	if err := isRow(operation, "weight", w, d); err != nil {
		return err
	}
	if d < 2 || d%2 != 0 || x.Cols%d != 0 {
		return fmt.Errorf("%s: %v with heads of %d, want an even width that divides the columns", operation, x, d)
	}
	for _, m := range [2]Matrix{r.Cos, r.Sin} {
		if m.DType != F32 || m.Rows != x.Rows || m.Cols != d/2 {
			return fmt.Errorf("%s: angles %v, want F32 [%d %d]", operation, m, x.Rows, d/2)
		}
	}
	return nil
}

// warpThreads is the number of threads of a warp, which computes one head.
const warpThreads = 32

// QKNormRoPE normalises each head of x [rows, heads·d], BF16, in place as RMSNorm does, with the weight w [1, d], and
// rotates it.
func (q *Queue) QKNormRoPE(x, w Matrix, rope RoPE, eps float32) error {
	if err := rope.check(qkNormRoPE, x, w); err != nil {
		return err
	}
	d := w.Cols
	// Neighbours are read as one word if the rows allow it.
	words := !rope.Halves && x.Data%4 == 0 && (x.Rows == 1 || x.Stride%2 == 0)
	k := pick(qkNormRoPE, words)
	return q.launchQKNormRoPE(k, qkNormRoPEParams{
		x: x.Data, stride: x.Stride, w: w, cos: rope.Cos.Data, sin: rope.Sin.Data, cosStride: rope.Cos.Stride,
		sinStride: rope.Sin.Stride,
		halves:    asInt(rope.Halves), rows: x.Rows, heads: x.Cols / d, d: d, eps: eps,
	}, ceilDiv(x.Rows*(x.Cols/d), k.threads/warpThreads), 1)
}
