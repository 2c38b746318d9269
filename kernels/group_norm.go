package kernels

import (
	"fmt"

	"github.com/kleinbild/kleinbild/kernels/cu"
)

const (
	groupNorm              = "group_norm"
	groupNormFamily Family = "group_norm"
)

// OpGroupNorm normalises groups of columns over all rows; Shape.Depth is the number of groups. Its operands are the
// result, the picture, gamma, beta and the working memory.
var OpGroupNorm = define(Operation{
	Name:     groupNorm,
	Families: []Family{groupNormFamily, elementwiseFamily},
	Groups:   []string{"group_norm_sums", "group_norm_finish"},
	Fits: func(s Shape) bool {
		return s.Depth > 0 && s.Cols%8 == 0 && s.Cols%s.Depth == 0 && s.Cols <= groupNormColumns
	},
	Operands: func(s Shape) []Operand {
		work := Operand{1, int(GroupNormBytes(s.Rows, s.Cols, s.Depth)), BF16}
		return []Operand{{s.Rows, s.Cols, BF16}, {s.Rows, s.Cols, BF16}, {1, s.Cols, BF16}, {1, s.Cols, BF16}, work}
	},
	Launch: func(q *Queue, s Shape, m []Matrix, _ Variant) error {
		return q.GroupNorm(
			m[0], m[1], GroupNormParams{Groups: s.Depth, Gamma: m[2], Beta: m[3], Eps: 1e-6, SiLU: true, Work: m[4].Data},
		)
	},
	Trials: []Shape{{Operation: groupNorm, Rows: 300, Cols: 128, Depth: 32}},
})

// GroupNormBytes is the size of the working memory that GroupNorm needs for a picture of this shape.
func GroupNormBytes(rows, cols, groups int) int64 {
	return int64(ceilDiv(rows, groupNormChunk))*int64(groups)*groupNormPartBytes + 2*4*int64(roundUp(cols, 8))
}

func roundUp(n, multiple int) int { return ceilDiv(n, multiple) * multiple }

// GroupNormParams describes a group normalisation, as the backend's type of that name does.
type GroupNormParams struct {
	// Each of Groups groups of columns is normalised over all rows, scaled and shifted by the rows Gamma and Beta [1,
	// cols].
	Groups      int
	Gamma, Beta Matrix
	Eps         float32
	// SiLU applies SiLU to the normalised values.
	SiLU bool
	// Work is GroupNormBytes of device memory, aligned to 16 bytes. It is in use until the device has executed the launch.
	Work cu.DevicePtr
}

// GroupNorm stores x [rows, cols], normalised as n says, in dst of the same shape; dst may be x.
func (q *Queue) GroupNorm(dst, x Matrix, n GroupNormParams) error {
	if err := sameShape(groupNorm, dst, x); err != nil {
		return err
	}
	scale, shift, err := q.statistics(x, n)
	if err != nil || x.Rows == 0 {
		return err
	}
	return q.Affine(dst, x, scale, shift, n.SiLU)
}

// statistics computes two rows, F32 [1, cols]: the normalised x is x ⊙ scale + shift.
func (q *Queue) statistics(x Matrix, n GroupNormParams) (scale, shift Matrix, err error) {
	if err := n.check(x); err != nil || x.Rows == 0 {
		return scale, shift, err
	}
	chunks := ceilDiv(x.Rows, groupNormChunk)
	scale = Matrix{
		Data: n.Work + cu.DevicePtr(chunks*n.Groups*groupNormPartBytes), Rows: 1, Cols: x.Cols, Stride: x.Cols, DType: F32,
	}
	shift = scale
	shift.Data += cu.DevicePtr(4 * roundUp(x.Cols, 8))

	sums := groupNormSumsParams{parts: n.Work, x: x, rows: x.Rows, cols: x.Cols, groups: n.Groups}
	if err := q.launchGroupNormSums(pick("group_norm_sums", aligned(x)), sums, chunks, 1); err != nil {
		return scale, shift, err
	}
	return scale, shift, q.launchGroupNormFinish(pick("group_norm_finish", true), groupNormFinishParams{
		scale: scale.Data, shift: shift.Data, parts: n.Work, gamma: n.Gamma, beta: n.Beta,
		chunks: chunks, cols: x.Cols, groups: n.Groups, eps: n.Eps,
	}, n.Groups, 1)
}

// check returns an error unless n fits x.
func (n GroupNormParams) check(x Matrix) error {
	if n.Groups < 1 || x.Cols%n.Groups != 0 || x.Cols > groupNormColumns {
		return fmt.Errorf(
			"%s: %v in %d groups, want a divisor of the columns, and %d columns at most", groupNorm, x, n.Groups,
			groupNormColumns,
		)
	}
	if err := isRow(groupNorm, "gamma", n.Gamma, x.Cols); err != nil {
		return err
	}
	if err := isRow(groupNorm, "beta", n.Beta, x.Cols); err != nil {
		return err
	}
	if n.Work == 0 || n.Work%16 != 0 {
		return fmt.Errorf("%s: working memory at %#x, want a multiple of 16", groupNorm, n.Work)
	}
	return nil
}
