// Package tensor describes the weights of a checkpoint: a name, a number format, a shape, and the bytes, which stay in
// the mapped file. It converts between number formats; other arithmetic belongs to the backends.
package tensor

import "fmt"

// DType is the number format of stored values.
type DType uint8

// The formats that a safetensors header may name. Weights can be F32, F16, BF16 or F8E4M3. The other formats are known
// only so that an error can name them.
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
)

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

// String returns the safetensors name of d.
func (d DType) String() string {
	if int(d) < len(dtypes) {
		return dtypes[d].name
	}
	return fmt.Sprintf("dtype(%d)", uint8(d))
}

// SizeBytes returns the size of one value in bytes, or 0 for an unknown format.
func (d DType) SizeBytes() int {
	if int(d) < len(dtypes) {
		return dtypes[d].sizeBytes
	}
	return 0
}

// Float reports whether weights may have this format: Widen converts it to float32.
func (d DType) Float() bool {
	return d == F32 || d == F16 || d == BF16 || d == F8E4M3
}
