package kernels

import (
	"fmt"

	"kleinbild/kernels/cu"
)

// RMSNorm computes dst = x / sqrt(mean(x²) + eps) ⊙ w over each row, w being [1, cols]; dst may be x.
func (q *Queue) RMSNorm(dst, x, w Matrix, eps float32) error {
	if err := sameShape("rms_norm", dst, x); err != nil {
		return err
	}
	if err := isRow("rms_norm", "weight", w, x.Cols); err != nil {
		return err
	}
	q.args.Reset()
	q.matrix(dst)
	q.matrix(x)
	q.matrix(w).Int32(int32(x.Cols)).Float32(eps)
	return q.launch(Norm, pick(aligned(dst, x, w), "rms_norm", "rms_norm_any"), x.Rows, 1)
}

// LayerNorm computes dst = (x − mean) / sqrt(var + eps) ⊙ (1 + scale) + shift over each row, scale and shift being
// [1, cols]; dst may be x.
func (q *Queue) LayerNorm(dst, x, scale, shift Matrix, eps float32) error {
	if err := sameShape("layer_norm", dst, x); err != nil {
		return err
	}
	if err := isRow("layer_norm", "scale", scale, x.Cols); err != nil {
		return err
	}
	if err := isRow("layer_norm", "shift", shift, x.Cols); err != nil {
		return err
	}
	q.args.Reset()
	q.matrix(dst)
	q.matrix(x)
	q.matrix(scale)
	q.matrix(shift).Int32(int32(x.Cols)).Float32(eps)
	return q.launch(Norm, pick(aligned(dst, x, scale, shift), "layer_norm", "layer_norm_any"), x.Rows, 1)
}

// RoPE holds the rotation of each row's coordinate pairs: cosines and sines, F32 [rows, d/2].
type RoPE struct {
	Cos, Sin Matrix
	// Halves pairs coordinate i with i + d/2, otherwise 2i with 2i + 1.
	Halves bool
}

// check refuses what does not fit heads x [rows, heads·d], BF16, whose weight is w [1, d].
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
	if d%2 != 0 || x.Cols%d != 0 {
		return fmt.Errorf("%s: %v with heads of %d, want an even width that divides the columns", operation, x, d)
	}
	for _, m := range [2]Matrix{r.Cos, r.Sin} {
		if m.DType != F32 || m.Rows != x.Rows || m.Cols != d/2 {
			return fmt.Errorf("%s: angles %v, want F32 [%d %d]", operation, m, x.Rows, d/2)
		}
	}
	return nil
}

// angles packs r as kernels take it.
func (q *Queue) angles(r RoPE) *cu.Args {
	return q.args.Ptr(r.Cos.Data).Ptr(r.Sin.Data).Int32(int32(r.Cos.Stride)).Int32(int32(r.Sin.Stride)).Int32(truth(r.Halves))
}

// QKNormRoPE normalises each head of x [rows, heads·d], BF16, in place as RMSNorm does, w being [1, d], and rotates it.
func (q *Queue) QKNormRoPE(x, w Matrix, rope RoPE, eps float32) error {
	const operation = "qk_norm_rope"
	if err := rope.check(operation, x, w); err != nil {
		return err
	}
	d := w.Cols
	q.args.Reset().Ptr(x.Data).Int32(int32(x.Stride))
	q.matrix(w)
	q.angles(rope).Int32(int32(x.Rows)).Int32(int32(x.Cols / d)).Int32(int32(d)).Float32(eps)
	// Neighbours are read as one word where rows allow it.
	words := !rope.Halves && x.Data%4 == 0 && (x.Rows == 1 || x.Stride%2 == 0)
	return q.launch(Norm, pick(words, operation, "qk_norm_rope_any"), ceilDiv(x.Rows*(x.Cols/d), 8), 1)
}
