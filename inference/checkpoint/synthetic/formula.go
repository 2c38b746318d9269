package synthetic

import (
	"encoding/binary"
	"hash/fnv"
	"math"
	"strings"

	"kleinbild/inference/tensor"
)

const golden64 = 0x9E3779B97F4A7C15 // 2^64 divided by the golden ratio, splitmix64's step

// values are the numbers of one weight: a + b·u, with u uniform in [-1, 1) by the weight's name and the seed.
type values struct {
	key  uint64
	a, b float64
}

// newValues gives the numbers of the weight called name, which begins with its component ("vae.decoder.conv_in.weight").
func newValues(name string, shape []int, seed uint64) values {
	h := fnv.New64a()
	h.Write([]byte(name))
	a, b := spread(name, shape)
	return values{h.Sum64() ^ seed*golden64, a, b}
}

// spread gives a and b. They keep a network of any depth and width within the range where its activations carry
// information: unit variance through linear layers, norms that matter.
func spread(name string, shape []int) (a, b float64) {
	is := func(parts ...string) bool {
		for _, p := range parts {
			if strings.Contains(name, p) {
				return true
			}
		}
		return false
	}
	switch {
	case is("running_mean"):
		return 0, 0.3
	case is("running_var"):
		return 1, 0.5
	case is("norm_q.weight", "norm_k.weight", "norm_added_", "q_norm.weight", "k_norm.weight"):
		return 1.4, 0.3
	case len(shape) == 1 && strings.HasSuffix(name, ".weight"):
		return 1, 0.25
	case len(shape) == 1:
		return 0, 0.1
	case is("embed_tokens", "lm_head"):
		return 0, 1
	}
	gain := 1.0
	switch {
	case is("decoder.conv_out.weight"):
		gain = 0.9
	case is("proj_out.weight"):
		gain = 0.6
	case is("modulation", "norm_out.linear"):
		gain = 0.8
	}
	fanIn := tensor.Elements(shape[1:])
	return 0, gain * math.Sqrt(3/float64(fanIn))
}

// at gives the bfloat16 with row-major index i.
func (v values) at(i int) uint16 {
	z := v.key + uint64(i+1)*golden64
	z ^= z >> 30
	z *= 0xBF58476D1CE4E5B9
	z ^= z >> 27
	z *= 0x94D049BB133111EB
	z ^= z >> 31
	u := float64(z>>40)*0x1p-23 - 1
	// The conversion keeps the product from being fused with the sum on machines that could.
	return tensor.F32ToBF16(float32(v.a + float64(v.b*u)))
}

// fill writes bfloat16 values from index first on into dst.
type fill func(dst []byte, first int)

func (v values) fill(dst []byte, first int) {
	for i := range len(dst) / 2 {
		binary.LittleEndian.PutUint16(dst[2*i:], v.at(first+i))
	}
}

// zeros stands for integer buffers that are still at their start.
func zeros(dst []byte, _ int) { clear(dst) }
