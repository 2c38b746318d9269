package checkpoint

import (
	"bytes"
	"fmt"
	"math"

	"github.com/kleinbild/kleinbild/inference/checkpoint/safetensors"
	"github.com/kleinbild/kleinbild/inference/tensor"
)

// This file checks the values of scales.

// checkScale returns an error unless the tensor called name is one positive number.
func checkScale(set *safetensors.Set, name string) error {
	t, err := set.Tensor(name)
	if err != nil {
		return err
	}
	if tensor.Elements(t.Shape) != 1 {
		return fmt.Errorf("%s: shape %v, want one scale", t.Name, t.Shape)
	}
	return checkPositive(t)
}

// checkBlocks returns an error if one of the scales of blocks, in the table t, cannot be used. The scale of a block of
// zeros may be 0 in the formats of one byte, so that only NaN is an error there. columns is the number of scales of a
// row of the matrix; the table's other bytes are padding, which may hold anything.
func checkBlocks(t tensor.Tensor, b *tensor.BlockScales, columns int) error {
	var isNaN func(code byte) bool
	switch b.DType {
	case tensor.F8E4M3:
		isNaN = func(code byte) bool { return code&0x7f == 0x7f }
	case tensor.F8E8M0:
		isNaN = func(code byte) bool { return code == 0xff }
	default:
		return checkPositive(t)
	}
	if bytes.IndexByte(t.Data, 0xff) < 0 && (b.DType == tensor.F8E8M0 || bytes.IndexByte(t.Data, 0x7f) < 0) {
		return nil
	}
	for row := range b.Rows {
		for c := range columns {
			if isNaN(t.Data[b.Index(row, c)]) {
				return fmt.Errorf("%s: NaN for row %d and block %d of it, want a number", t.Name, row, c)
			}
		}
	}
	return nil
}

// positive returns the values of a table of scales. It returns an error if one of them is not a positive number.
func positive(t tensor.Tensor) ([]float32, error) {
	if err := checkPositive(t); err != nil {
		return nil, err
	}
	return t.Float32s(), nil
}

// checkPositive returns an error unless a table of scales holds positive numbers only. A table can be as large as its
// matrix, so that it is read in pieces.
func checkPositive(t tensor.Tensor) error {
	if t.DType != tensor.F32 && t.DType != tensor.F16 && t.DType != tensor.BF16 {
		return fmt.Errorf("%s: dtype %v, want F32, F16 or BF16", t.Name, t.DType)
	}
	n := tensor.Elements(t.Shape)
	if n == 0 {
		return fmt.Errorf("%s: shape %v, want at least one scale", t.Name, t.Shape)
	}
	var piece [1024]float32
	for at := 0; at < n; at += len(piece) {
		values := piece[:min(n-at, len(piece))]
		t.Values(values, at)
		for i, v := range values {
			if !(v > 0) || math.IsInf(float64(v), 0) {
				where := ""
				if n > 1 {
					where = fmt.Sprintf(" at index %d", at+i)
				}
				return fmt.Errorf("%s: %v%s, want a positive number", t.Name, v, where)
			}
		}
	}
	return nil
}
