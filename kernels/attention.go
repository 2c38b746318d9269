package kernels

import (
	"fmt"
	"slices"
)

const (
	attention                = "attention"
	attentionFamily   Family = "attention"
	maxAttentionWidth        = 512
)

// OpAttention is the attention of query [rows, cols] to key and value [depth, cols/heads·kvHeads].
var OpAttention = define(Operation{
	Name:     attention,
	Families: []Family{attentionFamily},
	Fits: func(s Shape) bool {
		return s.Depth > 0 && s.KVHeads > 0 && s.Heads > 0 && s.Heads%s.KVHeads == 0 && s.Cols%(8*s.Heads) == 0 &&
			s.Cols/s.Heads <= maxAttentionWidth
	},
	Operands: func(s Shape) []Operand {
		width := s.Cols / s.Heads * s.KVHeads
		return []Operand{{s.Rows, s.Cols, BF16}, {s.Rows, s.Cols, BF16}, {s.Depth, width, BF16}, {s.Depth, width, BF16}}
	},
	Launch: func(q *Queue, s Shape, m []Matrix, v Variant) error {
		return q.Attention(
			m[0], m[1], m[2], m[3],
			AttentionParams{Heads: s.Heads, KVHeads: s.KVHeads, Scale: 1, Causal: s.Causal, Keys: s.Depth}, v,
		)
	},
	FLOP: func(s Shape) float64 {
		flop := 4 * float64(s.Rows) * float64(s.Cols) * float64(s.Depth)
		if s.Causal {
			flop /= 2
		}
		return flop
	},
	Trials: []Shape{
		{Operation: attention, Rows: 150, Cols: 256, Depth: 300, Heads: 2, KVHeads: 1},
		{Operation: attention, Rows: 130, Cols: 128, Depth: 130, Heads: 1, KVHeads: 1, Causal: true},
	},
	tilesOf: func(s Shape) []*kernel {
		if s.Heads < 1 {
			return nil
		}
		return attentionTiles[attentionWidth(s.Cols/s.Heads)]
	},
})

// attentionTiles are the kernels by the width of the heads that they are made for, which is their n. A tile has the
// result of m queries of one head.
var attentionTiles = func() map[int][]*kernel {
	byWidth := map[int][]*kernel{}
	for _, t := range tilesIn(attention) {
		byWidth[t.n] = append(byWidth[t.n], t)
	}
	return byWidth
}()

// attentionWidths are the keys of attentionTiles in ascending order.
var attentionWidths = func() []int {
	var widths []int
	for width := range attentionTiles {
		widths = append(widths, width)
	}
	slices.Sort(widths)
	return widths
}()

// attentionWidth returns the width of the kernels that compute heads of d columns, the narrowest that is wide enough.
func attentionWidth(d int) int {
	for _, width := range attentionWidths {
		if d <= width {
			return width
		}
	}
	return maxAttentionWidth
}

// AttentionParams describes one attention. It has the fields of the backend's type of that name.
type AttentionParams struct {
	Heads, KVHeads int
	Scale          float32
	// Causal lets query i see keys 0 … i only.
	Causal bool
	// Keys masks all keys from this one on. It is at least 1.
	Keys int
}

// Attention computes dst = softmax(scale·q·kᵀ + mask)·v head by head, all BF16: query and dst [m, heads·d], key and
// value [n, kvHeads·d]. d is at most 512. Query head h reads key head h·kvHeads/heads.
func (q *Queue) Attention(dst, query, key, value Matrix, p AttentionParams, variant Variant) error {
	if err := check(attention, dst, query, key, value); err != nil {
		return err
	}
	if err := isBF16(attention, dst, query, key, value); err != nil {
		return err
	}
	if p.Heads < 1 || p.KVHeads < 1 || p.Heads%p.KVHeads != 0 || query.Cols%p.Heads != 0 {
		return fmt.Errorf(
			"%s: %v in %d heads on %d, want divisors of each other and of the columns", attention, query, p.Heads, p.KVHeads,
		)
	}
	d := query.Cols / p.Heads
	if d < 1 || d > maxAttentionWidth || dst.Rows != query.Rows || dst.Cols != query.Cols || key.Cols != p.KVHeads*d ||
		value.Rows != key.Rows || value.Cols != key.Cols {
		return fmt.Errorf("%s: %v by %v and %v into %v, want heads of %d columns at most and [m %d], twice [n %d], [m %d]",
			attention, query, key, value, dst, maxAttentionWidth, query.Cols, p.KVHeads*d, query.Cols)
	}
	if p.Keys < 1 || p.Keys > key.Rows {
		return fmt.Errorf("%s: %d keys of %v, want 1 to %d", attention, p.Keys, key, key.Rows)
	}
	if query.Rows == 0 {
		return nil
	}
	have := alignmentOf(dst, d, query, key, value)
	if have == loose { // for which there is no kernel of attention
		have = unaligned
	}
	k, err := q.tile(variant, have, Shape{
		Operation: attention, Rows: query.Rows, Cols: query.Cols, Depth: p.Keys, Heads: p.Heads, KVHeads: p.KVHeads,
		Causal: p.Causal,
	})
	if err != nil {
		return err
	}
	blocks := ceilDiv(query.Rows, k.m)
	if k.target == SM90a {
		params := attentionWGMMAParams{
			dst: dst, rows: query.Rows, keys: p.Keys, heads: p.Heads, kvHeads: p.KVHeads, d: d, causal: asInt(p.Causal),
			scale: p.Scale,
		}
		if params.q, err = q.tensor(headTensor(query, query.Rows, p.Heads, k.m)); err != nil {
			return err
		}
		if params.k, err = q.tensor(headTensor(key, p.Keys, p.KVHeads, k.k)); err != nil {
			return err
		}
		if params.v, err = q.tensor(headTensor(value, p.Keys, p.KVHeads, k.k)); err != nil {
			return err
		}
		return q.launchAttentionWGMMA(k, params, blocks, p.Heads)
	}
	return q.launchAttention(k, attentionParams{
		q: query.Data, k: key.Data, v: value.Data, dst: dst, qStride: query.Stride, kStride: key.Stride,
		vStride: value.Stride,
		rows:    query.Rows, keys: p.Keys, heads: p.Heads, kvHeads: p.KVHeads, d: d, causal: asInt(p.Causal), scale: p.Scale,
	}, blocks, p.Heads)
}
