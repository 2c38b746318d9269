// Package tensor describes the weights of a checkpoint: a name, a number format, a shape, and the bytes, which stay in
// the mapped file. It converts between number formats; other arithmetic belongs to the backends.
package tensor

import "fmt"

// DType is the number format of stored values.
type DType uint8

// The formats that a safetensors header may name. Float says which of them weights can have; the others are known only
// so that an error can name them.
const (
	Invalid DType = iota
	F64
	F32
	F16
	BF16
	F8E4M3
	F8E5M2
	I64
	I32
	I16
	I8
	U64
	U32
	U16
	U8
	Bool
	F8E8M0
)

// The formats that store values in blocks of a row. A block of GGUF's formats has its values and their scales; the
// layouts are those of ggml's src/ggml-common.h. F4E2M1 is the format of ComfyUI's nvfp4: two values in a byte, the
// one with the even column in the upper half; F4E2M1Low is that of NVIDIA ModelOpt, with the even column in the lower
// half. Their scales are other tensors (see Quant).
const (
	Q4_0 DType = iota + 64
	Q4_1
	Q5_0
	Q5_1
	Q8_0
	Q2_K
	Q3_K
	Q4_K
	Q5_K
	Q6_K
	IQ4_NL
	IQ4_XS
	MXFP4
	NVFP4
	F4E2M1
	F4E2M1Low
)

// blockFormats holds the number of values and of bytes of a block, in the order of the constants.
var blockFormats = [...]struct {
	name          string
	values, bytes int
}{
	{"Q4_0", 32, 18},
	{"Q4_1", 32, 20},
	{"Q5_0", 32, 22},
	{"Q5_1", 32, 24},
	{"Q8_0", 32, 34},
	{"Q2_K", 256, 84},
	{"Q3_K", 256, 110},
	{"Q4_K", 256, 144},
	{"Q5_K", 256, 176},
	{"Q6_K", 256, 210},
	{"IQ4_NL", 32, 18},
	{"IQ4_XS", 256, 136},
	{"MXFP4", 32, 17},
	{"NVFP4", 64, 36},
	{"F4_E2M1", 2, 1},
	{"F4_E2M1 (low first)", 2, 1},
}

var dtypes = [...]struct {
	name      string
	sizeBytes int
}{
	Invalid: {"invalid", 0},
	F64:     {"F64", 8},
	F32:     {"F32", 4},
	F16:     {"F16", 2},
	BF16:    {"BF16", 2},
	F8E4M3:  {"F8_E4M3", 1},
	F8E5M2:  {"F8_E5M2", 1},
	I64:     {"I64", 8},
	I32:     {"I32", 4},
	I16:     {"I16", 2},
	I8:      {"I8", 1},
	U64:     {"U64", 8},
	U32:     {"U32", 4},
	U16:     {"U16", 2},
	U8:      {"U8", 1},
	Bool:    {"BOOL", 1},
	F8E8M0:  {"F8_E8M0", 1},
}

// ParseDType returns the format whose safetensors name is name.
func ParseDType(name string) (DType, error) {
	for d, row := range dtypes {
		if DType(d) != Invalid && row.name == name {
			return DType(d), nil
		}
	}
	return Invalid, fmt.Errorf("tensor: unknown dtype %q", name)
}

// block returns the index of d in blockFormats. ok is false for a format without blocks.
func (d DType) block() (i int, ok bool) {
	i = int(d) - int(Q4_0)
	return i, i >= 0 && i < len(blockFormats)
}

// String returns the name of d in a safetensors header or in GGUF.
func (d DType) String() string {
	if i, ok := d.block(); ok {
		return blockFormats[i].name
	}
	if int(d) < len(dtypes) {
		return dtypes[d].name
	}
	return fmt.Sprintf("dtype(%d)", uint8(d))
}

// SizeBytes returns the size of one value in bytes, or 0 for an unknown format and for a format with blocks.
func (d DType) SizeBytes() int {
	if int(d) < len(dtypes) {
		return dtypes[d].sizeBytes
	}
	return 0
}

// BlockValues returns the number of values of a block, which is 1 for a format without blocks. A row has whole blocks.
func (d DType) BlockValues() int {
	if i, ok := d.block(); ok {
		return blockFormats[i].values
	}
	return 1
}

// BlockBytes returns the size of a block in bytes, which is SizeBytes for a format without blocks.
func (d DType) BlockBytes() int {
	if i, ok := d.block(); ok {
		return blockFormats[i].bytes
	}
	return d.SizeBytes()
}

// Bytes returns the size of n values in bytes. n must be a multiple of BlockValues.
func (d DType) Bytes(n int) int { return n / d.BlockValues() * d.BlockBytes() }

// Float reports whether weights may have this format: Widen converts it to float32. Integers (I8) and the two
// formats of E2M1 are weights only together with their scales.
func (d DType) Float() bool {
	_, block := d.block()
	return block || d == F32 || d == F16 || d == BF16 || d == F8E4M3 || d == F8E5M2 || d == I8
}
