package kernels

import (
	"fmt"

	"kleinbild/kernels/cu"
)

// Sizes of src/group_norm.cu.
const (
	groupNormChunk   = 256
	groupNormColumns = 2048
	partBytes        = 16
)

// GroupNormBytes is the working memory that GroupNorm needs for a picture of this shape.
func GroupNormBytes(rows, cols, groups int) int64 {
	return int64(ceilDiv(rows, groupNormChunk))*int64(groups)*partBytes + 2*4*int64(roundUp(cols, 8))
}

func roundUp(n, multiple int) int { return ceilDiv(n, multiple) * multiple }

// GroupNorm normalises each of groups groups of columns of x over all its rows, scales and shifts by gamma and beta
// [1, cols], and applies SiLU where silu; dst may be x. work is GroupNormBytes of device memory, aligned to 16 bytes, in
// use until the queue has passed.
func (q *Queue) GroupNorm(dst, x, gamma, beta Matrix, groups int, eps float32, silu bool, work cu.DevicePtr) error {
	const operation = "group_norm"
	if err := sameShape(operation, dst, x); err != nil {
		return err
	}
	if groups < 1 || x.Cols%groups != 0 || x.Cols > groupNormColumns {
		return fmt.Errorf("%s: %v in %d groups, want a divisor of the columns, and %d columns at most", operation, x, groups, groupNormColumns)
	}
	if err := isRow(operation, "gamma", gamma, x.Cols); err != nil {
		return err
	}
	if err := isRow(operation, "beta", beta, x.Cols); err != nil {
		return err
	}
	if work == 0 || work%16 != 0 {
		return fmt.Errorf("%s: working memory at %#x, want a multiple of 16", operation, work)
	}
	if x.Rows == 0 {
		return nil
	}
	chunks := ceilDiv(x.Rows, groupNormChunk)
	scale := Matrix{Data: work + cu.DevicePtr(chunks*groups*partBytes), Rows: 1, Cols: x.Cols, Stride: x.Cols, DType: F32}
	shift := scale
	shift.Data += cu.DevicePtr(4 * roundUp(x.Cols, 8))

	q.args.Reset().Ptr(work)
	q.matrix(x)
	q.size(x).Int32(int32(groups))
	if err := q.launch(GroupNorm, pick(aligned(x), "group_norm_sums", "group_norm_sums_any"), chunks, 1); err != nil {
		return err
	}
	q.args.Reset().Ptr(scale.Data).Ptr(shift.Data).Ptr(work)
	q.matrix(gamma)
	q.matrix(beta).Int32(int32(chunks)).Int32(int32(x.Cols)).Int32(int32(groups)).Float32(eps)
	if err := q.launch(GroupNorm, kernel{name: "group_norm_finish", threads: 128}, groups, 1); err != nil {
		return err
	}
	return q.Affine(dst, x, scale, shift, silu)
}
