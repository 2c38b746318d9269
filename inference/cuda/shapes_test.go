package cuda

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/kleinbild/kleinbild/inference/backend"
	"github.com/kleinbild/kleinbild/inference/tensor"
	"github.com/kleinbild/kleinbild/kernels"
	"github.com/kleinbild/kleinbild/kernels/ptxsim"
)

// TestShapes computes operations at the shapes of FLUX.2 [klein] 4B and a picture of 1024×1024 on a GPU, at small ones
// on software devices with the kernels of each target, and compares a sample of the results with float64 loops.
func TestShapes(t *testing.T) {
	if *deviceName == "cuda" {
		s := shapes{
			hidden: 3072, mlp: 9216, heads: 24, kvHeads: 8, width: 128, text: 512, joint: 4608, side: 1024, channels: 128,
		}
		s.test(t, openTest(t))
		return
	}
	s := shapes{hidden: 96, mlp: 160, heads: 2, kvHeads: 1, width: 128, text: 40, joint: 150, side: 12, channels: 32}
	for _, row := range []struct {
		target string
		device ptxsim.Device
	}{{"sm_80", ptxsim.Device{}}, {"sm_90a", ptxsim.Device{Major: 9}}} {
		t.Run(row.target, func(t *testing.T) {
			b, _ := openSims(t, row.device)
			s.test(t, b)
			if got, err := b.dev.tuner.Set().Target(kernels.OpGEMM); got.String() != row.target || err != nil {
				t.Errorf("products for %s, %v", got, err)
			}
		})
	}
}

func (s shapes) test(t *testing.T, b *Backend) {
	b.Begin(t.Context())
	rng := rand.New(rand.NewPCG(3, 4))
	t.Run("linear", func(t *testing.T) { s.linear(t, b, rng) })
	t.Run("attention", func(t *testing.T) {
		s.attention(t, b, rng, s.joint, s.heads, s.heads, s.joint, false)
		s.attention(t, b, rng, s.text, s.heads, s.kvHeads, s.text*3/4, true)
	})
	t.Run("picture", func(t *testing.T) { s.picture(t, b, rng) })
}

type shapes struct{ hidden, mlp, heads, kvHeads, width, text, joint, side, channels int }

// values are random and exact in bfloat16.
func values(rng *rand.Rand, n int, scale float64) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = tensor.BF16ToF32(tensor.F32ToBF16(float32(rng.NormFloat64() * scale)))
	}
	return v
}

func put(b *Backend, rows, cols int, v []float32) backend.Matrix {
	m := b.Alloc(rows, cols, tensor.BF16)
	b.Upload(m, v)
	return m
}

func weightOf(t *testing.T, b *Backend, v []float32, shape ...int) backend.Weight {
	t.Helper()
	data := make([]byte, 2*len(v))
	encode(data, v, tensor.BF16)
	w, err := b.Weight(tensor.Tensor{Name: "w", DType: tensor.BF16, Shape: shape, Scale: 1, Data: data})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// sample compares values of m at random places with those of want.
func sample(
	t *testing.T, b *Backend, rng *rand.Rand, name string, m backend.Matrix, n int, want func(row, col int) float64,
) {
	t.Helper()
	got := make([]float32, m.Rows*m.Cols)
	b.Download(got, m)
	if err := b.Sync(); err != nil {
		t.Fatal(err)
	}
	var diff, norm float64
	for range n {
		row, col := rng.IntN(m.Rows), rng.IntN(m.Cols)
		w := want(row, col)
		d := float64(got[row*m.Cols+col]) - w
		diff, norm = diff+d*d, norm+w*w
	}
	// One rounding to bfloat16, and the errors of a product before it, as in backendtest.
	if rel := math.Sqrt(diff / norm); !(rel <= 3e-3) {
		t.Errorf("%s: relative RMS %.3g over %d values, want at most 3e-3", name, rel, n)
	}
	b.Free(m)
}

func dot(x, y []float32) (sum float64) {
	for i, v := range x {
		sum += float64(v) * float64(y[i])
	}
	return sum
}

func silu(x float64) float64 { return x / (1 + math.Exp(-x)) }

func (s shapes) linear(t *testing.T, b *Backend, rng *rand.Rand) {
	for _, row := range []struct{ m, n, k int }{
		{s.joint, s.hidden, s.hidden + s.mlp}, {s.text, 2 * s.hidden, s.hidden}, {1, 6 * s.hidden, s.hidden},
	} {
		x, w := values(rng, row.m*row.k, 1), values(rng, row.n*row.k, 0.05)
		mx, dst := put(b, row.m, row.k, x), b.Alloc(row.m, row.n, tensor.BF16)
		b.Linear(dst, mx, weightOf(t, b, w, row.n, row.k), backend.Epilogue{})
		sample(
			t, b, rng, fmt.Sprint("linear ", row), dst, 500,
			func(i, j int) float64 { return dot(x[i*row.k:][:row.k], w[j*row.k:][:row.k]) },
		)
		b.Free(mx)
	}
	x, w := values(rng, s.joint*s.hidden, 1), values(rng, 2*s.mlp*s.hidden, 0.05)
	mx, dst := put(b, s.joint, s.hidden, x), b.Alloc(s.joint, s.mlp, tensor.BF16)
	both := weightOf(t, b, w, 2*s.mlp, s.hidden)
	b.SwiGLU(dst, mx, both.Slice(0, s.mlp), both.Slice(s.mlp, 2*s.mlp))
	sample(t, b, rng, "swiglu", dst, 500, func(i, j int) float64 {
		row := x[i*s.hidden:][:s.hidden]
		return silu(dot(row, w[j*s.hidden:][:s.hidden])) * dot(row, w[(s.mlp+j)*s.hidden:][:s.hidden])
	})
	b.Free(mx)
}

func (s shapes) attention(t *testing.T, b *Backend, rng *rand.Rand, rows, heads, kvHeads, keys int, causal bool) {
	d := s.width
	q, k, v := values(rng, rows*heads*d, 1), values(rng, rows*kvHeads*d, 1), values(rng, rows*kvHeads*d, 1)
	mq, mk, mv := put(b, rows, heads*d, q), put(b, rows, kvHeads*d, k), put(b, rows, kvHeads*d, v)
	dst, scale := b.Alloc(rows, heads*d, tensor.BF16), 1/math.Sqrt(float64(d))
	b.Attention(
		dst, mq, mk, mv,
		backend.AttentionParams{Heads: heads, KVHeads: kvHeads, Scale: float32(scale), Causal: causal, Keys: keys},
	)
	sample(t, b, rng, fmt.Sprintf("attention over %d rows, causal %v", rows, causal), dst, 200, func(i, j int) float64 {
		head := j / d
		kv := head * kvHeads / heads
		seen := keys
		if causal {
			seen = min(seen, i+1)
		}
		sum, total := 0.0, 0.0
		for n := range seen {
			e := math.Exp(scale * dot(q[(i*heads+head)*d:][:d], k[(n*kvHeads+kv)*d:][:d]))
			total += e
			sum += e * float64(v[(n*kvHeads+kv)*d+j%d])
		}
		return sum / total
	})
	b.Free(mq, mk, mv)
}

func (s shapes) picture(t *testing.T, b *Backend, rng *rand.Rand) {
	n, c := s.side*s.side, s.channels
	x := values(rng, n*c, 1)
	mx := put(b, n, c, x)
	for _, row := range []struct {
		name   string
		out    int
		up, by bool
	}{
		{"conv", c, false, false}, {"conv to colours", 3, false, false}, {"conv downsampling", c, false, true},
		{"conv upsampling", c, true, false},
	} {
		height := s.side
		source := mx
		if row.up { // the larger side is the result's
			height /= 2
			source = mx.RowRange(0, height*height)
		}
		w, bias := values(rng, row.out*c*9, 0.05), values(rng, row.out, 1)
		p := backend.ConvParams{
			Height: height, Width: height, Upsample: row.up, Downsample: row.by, Bias: weightOf(t, b, bias, row.out),
		}
		oh, ow := p.OutputSize()
		dst := b.Alloc(oh*ow, row.out, tensor.BF16)
		b.Conv2D(dst, source, weightOf(t, b, w, row.out, c, 3, 3), p)
		sample(t, b, rng, row.name, dst, 500, func(i, j int) float64 {
			sum := float64(bias[j])
			for tap := range 9 {
				y, x0 := i/ow+tap/3-1, i%ow+tap%3-1
				limit := height
				switch {
				case row.by:
					y, x0 = 2*(i/ow)+tap/3, 2*(i%ow)+tap%3
				case row.up:
					limit *= 2
				}
				if y < 0 || x0 < 0 || y >= limit || x0 >= limit {
					continue
				}
				if row.up {
					y, x0 = y/2, x0/2
				}
				for in := range c {
					sum += float64(x[(y*height+x0)*c+in]) * float64(w[(j*c+in)*9+tap])
				}
			}
			return sum
		})
	}

	const groups = 16
	width := c / groups
	dst := b.Alloc(n, c, tensor.BF16)
	gamma, beta := values(rng, c, 1), values(rng, c, 1)
	norm := backend.GroupNormParams{
		Groups: groups, Gamma: weightOf(t, b, gamma, c), Beta: weightOf(t, b, beta, c), Eps: 1e-6, SiLU: true,
	}
	b.GroupNorm(dst, mx, norm)
	mean, scale := make([]float64, groups), make([]float64, groups)
	for g := range groups {
		sum, squares := 0.0, 0.0
		for i := range n {
			for _, v := range x[i*c+g*width:][:width] {
				sum += float64(v)
				squares += float64(v) * float64(v)
			}
		}
		count := float64(n * width)
		mean[g] = sum / count
		scale[g] = 1 / math.Sqrt(squares/count-mean[g]*mean[g]+1e-6)
	}
	normed := func(pixel, channel int) float64 {
		g := channel / width
		return silu((float64(x[pixel*c+channel])-mean[g])*scale[g]*float64(gamma[channel]) + float64(beta[channel]))
	}
	sample(t, b, rng, "group norm", dst, 500, normed)

	w := values(rng, c*c*9, 0.05)
	dst = b.Alloc(n, c, tensor.BF16)
	b.Conv2D(dst, mx, weightOf(t, b, w, c, c, 3, 3), backend.ConvParams{Height: s.side, Width: s.side, Norm: &norm})
	sample(t, b, rng, "conv of what is normalised", dst, 500, func(i, j int) float64 {
		sum := 0.0
		for tap := range 9 {
			y, x0 := i/s.side+tap/3-1, i%s.side+tap%3-1
			if y < 0 || x0 < 0 || y >= s.side || x0 >= s.side {
				continue
			}
			for in := range c {
				sum += normed(y*s.side+x0, in) * float64(w[(j*c+in)*9+tap])
			}
		}
		return sum
	})
	b.Free(mx)
}
