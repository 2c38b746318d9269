package gguf

import (
	"fmt"

	"github.com/kleinbild/kleinbild/inference/tensor"
)

// kinds are the types of tensors by their numbers in ggml's include/ggml.h. A type without a format of package tensor
// is known only so that an error can name it.
var kinds = map[uint32]struct {
	name  string
	dtype tensor.DType
}{
	0:  {"F32", tensor.F32},
	1:  {"F16", tensor.F16},
	2:  {"Q4_0", tensor.Q4_0},
	3:  {"Q4_1", tensor.Q4_1},
	6:  {"Q5_0", tensor.Q5_0},
	7:  {"Q5_1", tensor.Q5_1},
	8:  {"Q8_0", tensor.Q8_0},
	9:  {"Q8_1", tensor.Invalid},
	10: {"Q2_K", tensor.Q2_K},
	11: {"Q3_K", tensor.Q3_K},
	12: {"Q4_K", tensor.Q4_K},
	13: {"Q5_K", tensor.Q5_K},
	14: {"Q6_K", tensor.Q6_K},
	15: {"Q8_K", tensor.Invalid},
	16: {"IQ2_XXS", tensor.Invalid},
	17: {"IQ2_XS", tensor.Invalid},
	18: {"IQ3_XXS", tensor.Invalid},
	19: {"IQ1_S", tensor.Invalid},
	20: {"IQ4_NL", tensor.IQ4_NL},
	21: {"IQ3_S", tensor.Invalid},
	22: {"IQ2_S", tensor.Invalid},
	23: {"IQ4_XS", tensor.IQ4_XS},
	24: {"I8", tensor.Invalid},
	25: {"I16", tensor.Invalid},
	26: {"I32", tensor.Invalid},
	27: {"I64", tensor.Invalid},
	28: {"F64", tensor.Invalid},
	29: {"IQ1_M", tensor.Invalid},
	30: {"BF16", tensor.BF16},
	34: {"TQ1_0", tensor.Invalid},
	35: {"TQ2_0", tensor.Invalid},
	39: {"MXFP4", tensor.MXFP4},
	40: {"NVFP4", tensor.NVFP4},
	41: {"Q1_0", tensor.Invalid},
	42: {"Q2_0", tensor.Invalid},
}

// kindName returns the name of a type for messages.
func kindName(id uint32) string {
	if k, ok := kinds[id]; ok {
		return k.name
	}
	return fmt.Sprintf("type %d", id)
}

// UnsupportedError is the error for a tensor of a type that this program does not read.
type UnsupportedError struct {
	Path, Tensor, Kind string
}

func (e *UnsupportedError) Error() string {
	return fmt.Sprintf("gguf: %s: %s: %s is not supported, want F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, "+
		"Q2_K to Q6_K, IQ4_NL, IQ4_XS, MXFP4 or NVFP4", e.Path, e.Tensor, e.Kind)
}
