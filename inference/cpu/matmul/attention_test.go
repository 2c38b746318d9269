package matmul

import (
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kleinbild/kleinbild/inference/cpu/simd"
)

// attend computes an attention in float64.
func attend(qm, km, vm Matrix, h Heads, precision Precision) [][]float64 {
	q, k, v := factors(qm, precision), factors(km, precision), factors(vm, precision)
	keys := h.Keys
	if keys == 0 {
		keys = len(k)
	}
	out := make([][]float64, len(q))
	for i := range out {
		out[i] = make([]float64, h.Query*h.Dim)
		for head := range h.Query {
			kv := head * h.KV / h.Query
			n := keys
			if h.Causal {
				n = min(n, i+1)
			}
			scores, top, sum := make([]float64, n), math.Inf(-1), 0.0
			for j := range scores {
				for d := range h.Dim {
					scores[j] += q[i][head*h.Dim+d] * k[j][kv*h.Dim+d]
				}
				scores[j] *= float64(h.Scale)
				top = max(top, scores[j])
			}
			for j, s := range scores {
				scores[j] = math.Exp(s - top)
				sum += scores[j]
			}
			for j, p := range scores {
				for d := range h.Dim {
					out[i][head*h.Dim+d] += p / sum * v[j][kv*h.Dim+d]
				}
			}
		}
	}
	return out
}

func TestAttention(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		for _, c := range []struct {
			name  string
			s, k  int
			heads Heads
			bf16  bool
		}{
			{"one", 1, 1, Heads{Query: 1, KV: 1, Dim: 16, Scale: 1}, false},
			{"ragged", 17, 33, Heads{Query: 2, KV: 2, Dim: 48, Scale: 0.3}, false},
			{"bfloat16", 31, 127, Heads{Query: 3, KV: 3, Dim: 128, Scale: 0.09}, true},
			{"grouped", 33, 33, Heads{Query: 4, KV: 2, Dim: 128, Scale: 0.2, Causal: true}, false},
			{"padded", 65, 65, Heads{Query: 4, KV: 1, Dim: 16, Scale: 1, Causal: true, Keys: 40}, true},
			{"blocks", 70, 600, Heads{Query: 1, KV: 1, Dim: 128, Scale: 0.5}, false},
			{"causal blocks", 600, 600, Heads{Query: 1, KV: 1, Dim: 128, Scale: 0.5, Causal: true}, false},
			{"wide", 40, 200, Heads{Query: 1, KV: 1, Dim: 512, Scale: 0.044}, true},
			{"sharp", 20, 300, Heads{Query: 1, KV: 1, Dim: 16, Scale: 40}, false},
		} {
			if testing.Short() && c.s*c.k > 50000 {
				continue
			}
			for _, precision := range []Precision{Float32, BFloat16} {
				name := c.name
				if precision == BFloat16 {
					name += " rounded"
				}
				t.Run(name, func(t *testing.T) {
					r := rand.New(rand.NewPCG(1, uint64(c.s)))
					h := c.heads
					q, o := randomMatrix(r, c.s, h.Query*h.Dim, c.bf16), randomMatrix(r, c.s, h.Query*h.Dim, c.bf16)
					k, v := randomMatrix(r, c.k, h.KV*h.Dim, c.bf16), randomMatrix(r, c.k, h.KV*h.Dim, c.bf16)
					before := clone(o)
					Attention(nil, o, q, k, v, h, precision)
					want := attend(q, k, v, h, precision)
					// A score is a sum of Dim products below 1. Its error times the scale is the relative error of a
					// weight, and twice that of the quotient of two weights. The output is a mean of values below 1.
					tolerance := float64(h.Dim+8)*0x1p-24*float64(h.Scale)*2 + 16*0x1p-24
					if _, ok := simd.BF16(); ok && precision == BFloat16 {
						tolerance = 2*tolerance + 0x1p-9 // half an ulp of every weight
					}
					for i := range want {
						for j, w := range want[i] {
							within(t, fmt.Sprintf("[%d,%d]", i, j), o.get(i, j), w, tolerance, c.bf16)
						}
						for j := len(want[i]); j < o.Stride; j++ {
							if o.get(i, j) != before.get(i, j) {
								t.Fatalf("wrote past row %d", i)
							}
						}
					}
				})
			}
		}
	})
}

func TestAttentionDeterministic(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	h := Heads{Query: 2, KV: 1, Dim: 32, Scale: 0.3}
	q, k, v := randomMatrix(r, 500, 64, false), randomMatrix(r, 500, 32, false), randomMatrix(r, 500, 32, false)
	var want []float32
	for _, procs := range []int{1, 2, 7} {
		old := runtime.GOMAXPROCS(procs)
		o := Matrix{Rows: 500, Cols: 64, Stride: 64, F32: make([]float32, 500*64)}
		Attention(nil, o, q, k, v, h, Float32)
		runtime.GOMAXPROCS(old)
		if want == nil {
			want = o.F32
		}
		if !slices.Equal(o.F32, want) {
			t.Errorf("%d goroutines give other bits than one", procs)
		}
	}
}

// TestAttentionStop checks that Attention returns soon after the stop flag is set.
func TestAttentionStop(t *testing.T) {
	const s, cols = 2048, 8 * 128
	m := func() Matrix { return Matrix{Rows: s, Cols: cols, Stride: cols, F32: make([]float32, s*cols)} }
	o, q, k, v := m(), m(), m(), m()
	var stop atomic.Bool
	var at time.Time
	time.AfterFunc(50*time.Millisecond, func() { at = time.Now(); stop.Store(true) })
	for !stop.Load() {
		Attention(&stop, o, q, k, v, Heads{Query: 8, KV: 8, Dim: 128, Scale: 0.1}, Float32)
	}
	if late := time.Since(at); late > 200*time.Millisecond {
		t.Errorf("returned %v after the flag", late)
	}
}
