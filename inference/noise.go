package inference

import (
	"context"
	"fmt"

	"github.com/kleinbild/kleinbild/inference/checkpoint/safetensors"
)

// ReadNoise reads the tensor called noise of a safetensors file, for Ask.Noise.
func ReadNoise(path string) ([]float32, error) {
	f, err := safetensors.Open(context.Background(), path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	t, err := f.Tensor("noise")
	if err != nil {
		return nil, err
	}
	if !t.DType.Float() {
		return nil, fmt.Errorf("%s: noise: dtype %v, want F32, F16 or BF16", path, t.DType)
	}
	return t.Float32s(), nil
}
