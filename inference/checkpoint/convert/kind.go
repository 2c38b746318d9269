package convert

import (
	"fmt"
	"strings"

	"github.com/kleinbild/kleinbild/inference/tensor"
)

// Kind is what the large matrices of a written file consist of.
type Kind struct {
	// Name is the kind's name for people, such as Q4_K.
	Name string
	// GGUF says that the file is a GGUF file; otherwise it is a safetensors file with ComfyUI's markers.
	GGUF bool
	// DType is the format of the values.
	DType tensor.DType
	// WeightedIsBetter says that the weighted functions gave the smaller errors of velocities with the demo model. Of Q4_0
	// the plain one did (docs/quality.md).
	WeightedIsBetter bool
	// fileType is the number of the kind in GGUF's metadata (general.file_type).
	fileType uint32
}

// Kinds are all kinds, from the largest to the smallest files.
var Kinds = []Kind{
	{Name: "Q8_0", GGUF: true, DType: tensor.Q8_0, fileType: 7},
	{Name: "int8", DType: tensor.I8},
	{Name: "fp8", DType: tensor.F8E4M3},
	{Name: "Q6_K", GGUF: true, DType: tensor.Q6_K, WeightedIsBetter: true, fileType: 18},
	// llama.cpp's name for 14 is Q4_K_S: all matrices are Q4_K.
	{Name: "Q4_K", GGUF: true, DType: tensor.Q4_K, WeightedIsBetter: true, fileType: 14},
	{Name: "Q4_0", GGUF: true, DType: tensor.Q4_0, fileType: 2},
}

// KindNames returns the names of all kinds.
func KindNames() (names []string) {
	for _, k := range Kinds {
		names = append(names, k.Name)
	}
	return names
}

// ParseKind returns the kind called name, in upper or lower case.
func ParseKind(name string) (Kind, error) {
	for _, k := range Kinds {
		if strings.EqualFold(k.Name, name) {
			return k, nil
		}
	}
	return Kind{}, fmt.Errorf("kind %.40q, want one of %s", name, strings.Join(KindNames(), ", "))
}

// Extension returns the ending of the names of files of this kind.
func (k Kind) Extension() string {
	if k.GGUF {
		return ".gguf"
	}
	return ".safetensors"
}

// Network is one of the networks that can be converted.
type Network int

const (
	Transformer Network = iota
	TextEncoder
)

// wideNames begin the names of layers of a transformer that no maker of GGUF files quantises: the first and the last
// ones, which are small and through which everything goes.
var wideNames = []string{"img_in.", "txt_in.", "time_in.", "vector_in.", "guidance_in.", "final_layer."}

// smallTensor is the largest number of values that makers of GGUF files store as F32.
const smallTensor = 1024

// dtypeOf returns the format in which a file of this kind has a tensor of the given name and shape in the file, which
// the source has in the format stored. GGUF files are mixed as the makers mix them: transformers like city96's
// converter for ComfyUI, which keeps wideNames, and text encoders like llama.cpp's quantiser, which gives the table of
// a tied embedding six bits. ComfyUI's kinds quantise only the matrices of blocks, as the files of Black Forest Labs
// do.
func (k Kind) dtypeOf(network Network, name string, shape []int, stored tensor.DType) tensor.DType {
	matrix := len(shape) == 2 && strings.HasSuffix(name, ".weight")
	if !k.GGUF {
		if matrix && isInBlock(network, name) {
			return k.DType
		}
		return stored
	}
	switch {
	case len(shape) < 2 || tensor.Elements(shape) <= smallTensor:
		return tensor.F32
	case !matrix:
		return stored
	case network == TextEncoder && name == "token_embd.weight" && k.DType != tensor.Q8_0:
		return fallback(tensor.Q6_K, shape[1])
	}
	for _, prefix := range wideNames {
		if network == Transformer && strings.HasPrefix(name, prefix) {
			return stored
		}
	}
	return fallback(k.DType, shape[1])
}

// isInBlock reports whether a tensor belongs to one of the numbered blocks or layers of a network.
func isInBlock(network Network, name string) bool {
	if network == TextEncoder {
		return strings.HasPrefix(name, "model.layers.")
	}
	return strings.HasPrefix(name, "double_blocks.") || strings.HasPrefix(name, "single_blocks.")
}

// fallback returns dtype, or, if rows of the given length are no multiple of its blocks, the format that llama.cpp's
// quantiser takes instead: one with blocks of 32 and at least as many bits. It returns F16 if that does not divide a
// row either.
func fallback(dtype tensor.DType, row int) tensor.DType {
	switch {
	case row%dtype.BlockValues() == 0:
		return dtype
	case row%32 != 0:
		return tensor.F16
	case dtype == tensor.Q4_K:
		return tensor.Q5_0
	}
	return tensor.Q8_0
}
