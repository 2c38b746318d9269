package synthetic

import (
	"encoding/binary"
	"hash/fnv"
	"math"
	"strings"

	"github.com/kleinbild/kleinbild/inference/tensor"
)

const golden64 = 0x9E3779B97F4A7C15 // 2^64 divided by the golden ratio: the step of splitmix64

// values computes the values of a weight: a + b·u, with u uniform in [-1, 1). The sequence of u depends on the weight's
// name and the seed.
type values struct {
	key  uint64
	a, b float64
}

// newValues returns the values of the weight called name, which begins with the component
// ("vae.decoder.conv_in.weight").
func newValues(name string, shape []int, seed uint64) values {
	h := fnv.New64a()
	h.Write([]byte(name))
	a, b := spread(name, shape)
	return values{h.Sum64() ^ seed*golden64, a, b}
}

// spread returns a and b for a weight. They keep the activations of a network of any depth and width in a useful range:
// linear layers preserve the variance, and the weights of norms differ from 1 enough to show errors.
func spread(name string, shape []int) (a, b float64) {
	is := func(parts ...string) bool {
		for _, p := range parts {
			if strings.Contains(name, p) {
				return true
			}
		}
		return false
	}
	taef2 := strings.HasPrefix(name, "taef2.")
	switch {
	case taef2 && is("decoder.layers.18.bias"):
		return 0.5, 0.1
	case taef2 && is("pool.1.weight"):
		return 1, 0.25
	case taef2 && len(shape) == 1:
		return 0, 0.1
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
	case taef2 && is("decoder.layers.18.weight"):
		gain = 0.2
	case taef2 && is("conv.4.weight", "pool.3.weight"):
		gain = 0.5
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

// at returns the bfloat16 value with row-major index i.
func (v values) at(i int) uint16 { return tensor.F32ToBF16(v.float32(i)) }

// float32 returns the value with row-major index i before it is rounded to a format of weights.
func (v values) float32(i int) float32 {
	z := v.key + uint64(i+1)*golden64
	z ^= z >> 30
	z *= 0xBF58476D1CE4E5B9
	z ^= z >> 27
	z *= 0x94D049BB133111EB
	z ^= z >> 31
	u := float64(z>>40)*0x1p-23 - 1
	// The conversion to float64 forbids the compiler to fuse the product with the sum.
	return float32(v.a + float64(v.b*u))
}

// fill stores values in dst, little-endian, starting with the one whose row-major index is first.
type fill func(dst []byte, first int)

// fill is a fill of bfloat16 values.
func (v values) fill(dst []byte, first int) {
	for i := range len(dst) / 2 {
		binary.LittleEndian.PutUint16(dst[2*i:], v.at(first+i))
	}
}

// fillF16 stores values as F16 in dst, little-endian, starting with the first.
func (v values) fillF16(dst []byte) {
	for i := range len(dst) / 2 {
		binary.LittleEndian.PutUint16(dst[2*i:], tensor.F32ToF16(v.float32(i)))
	}
}

// zeros is the fill of integer buffers, which count from 0.
func zeros(dst []byte, _ int) { clear(dst) }
