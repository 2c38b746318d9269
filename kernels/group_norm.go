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

// Normalisation describes a group normalisation.
type Normalisation struct {
	// Each of Groups groups of columns is normalised over all rows, scaled and shifted by the rows Gamma and Beta [1, cols].
	Groups      int
	Gamma, Beta Matrix
	Eps         float32
	// SiLU is applied behind it.
	SiLU bool
	// Work is GroupNormBytes of device memory, aligned to 16 bytes, in use until the queue has passed.
	Work cu.DevicePtr
}

// GroupNorm normalises x; dst may be x.
func (q *Queue) GroupNorm(dst, x Matrix, n Normalisation) error {
	if err := sameShape("group_norm", dst, x); err != nil {
		return err
	}
	scale, shift, err := q.statistics(x, n)
	if err != nil || x.Rows == 0 {
		return err
	}
	return q.Affine(dst, x, scale, shift, n.SiLU)
}

// statistics makes the rows, F32 [1, cols], that x is multiplied by and added to.
func (q *Queue) statistics(x Matrix, n Normalisation) (scale, shift Matrix, err error) {
	const operation = "group_norm"
	if err := n.check(operation, x); err != nil || x.Rows == 0 {
		return scale, shift, err
	}
	chunks := ceilDiv(x.Rows, groupNormChunk)
	scale = Matrix{Data: n.Work + cu.DevicePtr(chunks*n.Groups*partBytes), Rows: 1, Cols: x.Cols, Stride: x.Cols, DType: F32}
	shift = scale
	shift.Data += cu.DevicePtr(4 * roundUp(x.Cols, 8))

	q.args.Reset().Ptr(n.Work)
	q.matrix(x)
	q.size(x).Int32(int32(n.Groups))
	if err := q.launch(GroupNorm, pick(aligned(x), "group_norm_sums", "group_norm_sums_any"), chunks, 1); err != nil {
		return scale, shift, err
	}
	q.args.Reset().Ptr(scale.Data).Ptr(shift.Data).Ptr(n.Work)
	q.matrix(n.Gamma)
	q.matrix(n.Beta).Int32(int32(chunks)).Int32(int32(x.Cols)).Int32(int32(n.Groups)).Float32(n.Eps)
	return scale, shift, q.launch(GroupNorm, kernel{name: "group_norm_finish", threads: 128}, n.Groups, 1)
}

func (n Normalisation) check(operation string, x Matrix) error {
	if n.Groups < 1 || x.Cols%n.Groups != 0 || x.Cols > groupNormColumns {
		return fmt.Errorf("%s: %v in %d groups, want a divisor of the columns, and %d columns at most", operation, x, n.Groups, groupNormColumns)
	}
	if err := isRow(operation, "gamma", n.Gamma, x.Cols); err != nil {
		return err
	}
	if err := isRow(operation, "beta", n.Beta, x.Cols); err != nil {
		return err
	}
	if n.Work == 0 || n.Work%16 != 0 {
		return fmt.Errorf("%s: working memory at %#x, want a multiple of 16", operation, n.Work)
	}
	return nil
}
