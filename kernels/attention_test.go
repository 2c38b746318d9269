package kernels

import (
	"bytes"
	"fmt"
	"math"
	"testing"
)

func TestAttention(t *testing.T) { onEachDevice(t, testAttention) }

func testAttention(h *harness) {
	for _, s := range []struct {
		queries, rows, keys, heads, kvHeads, d int
		causal                                 bool
		l                                      layout
	}{
		{1, 1, 1, 1, 1, 16, false, whole},
		{5, 5, 5, 2, 1, 128, true, whole},
		{70, 70, 20, 4, 2, 128, true, whole},
		{131, 131, 131, 1, 1, 128, true, whole},
		{33, 200, 199, 2, 2, 128, false, whole},
		{70, 70, 1, 2, 2, 32, true, whole},
		{65, 65, 65, 1, 1, 64, false, whole},
		{20, 90, 90, 2, 1, 112, false, whole},
		{7, 100, 97, 2, 1, 48, false, ragged},
		{19, 70, 70, 1, 1, 9, true, ragged},
		{9, 66, 66, 2, 2, 128, false, ragged},
		{67, 67, 67, 1, 1, 512, false, whole},
		{5, 130, 129, 1, 1, 160, false, whole},
		{66, 66, 66, 2, 1, 256, true, whole},
		{3, 65, 65, 1, 1, 224, false, ragged},
		{3, 65, 65, 1, 1, 270, false, ragged},
		{70, 400, 397, 2, 1, 128, false, whole}, // the rings of keys and values wrap around
		{139, 270, 270, 1, 1, 120, true, whole},
	} {
		q, k, v := h.random(s.queries, s.heads*s.d), h.random(s.rows, s.kvHeads*s.d), h.random(s.rows, s.kvHeads*s.d)
		scale := 1 / math.Sqrt(float64(s.d))
		want := each(s.queries, s.heads*s.d, func(int, int) float64 { return 0 })
		for head := range s.heads {
			kv := head * s.kvHeads / s.heads * s.d
			for i := range s.queries {
				seen := s.keys
				if s.causal {
					seen = min(seen, i+1)
				}
				e, sum := make([]float64, seen), 0.0
				for j := range seen {
					dot := 0.0
					for c := range s.d {
						dot += q[i][head*s.d+c] * k[j][kv+c]
					}
					e[j] = math.Exp(dot * scale)
					sum += e[j]
				}
				for j := range seen {
					for c := range s.d {
						want[i][head*s.d+c] += e[j] / sum * v[j][kv+c]
					}
				}
			}
		}
		mq, mk, mv := h.upload(q, s.l), h.upload(k, s.l), h.upload(v, s.l)
		var first []byte
		shape := Shape{Operation: attention, Cols: s.heads * s.d, Heads: s.heads}
		for variant, name := range OpAttention.Variants(shape) {
			if !h.tries(shape, variant, s.l.alignment()) {
				continue
			}
			dst := h.fenced(s.queries, s.heads*s.d, s.l)
			h.must(h.Attention(
				dst, mq, mk, mv,
				AttentionParams{Heads: s.heads, KVHeads: s.kvHeads, Scale: float32(scale), Causal: s.causal, Keys: s.keys},
				Variant(variant),
			))
			// Probabilities are rounded before they are multiplied by the values: a second rounding, averaged over the keys.
			h.checkWithin(fmt.Sprintf("%s %+v", name, s), dst, want, true, 2*toleranceOf(dst))
			if have := h.bytes(dst); first == nil {
				first = have
			} else if !bytes.Equal(first, have) {
				h.Errorf("%s %+v: not the bits of the first", name, s)
			}
		}
	}
}
