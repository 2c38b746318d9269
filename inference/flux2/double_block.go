package flux2

import (
	"fmt"
	"math"

	"kleinbild/inference/backend"
)

// stream is one side of a double-stream block, the image's (references included) or the text's: its own
// projections around an attention that both share.
type stream struct {
	q, k, v, out backend.Weight
	normQ, normK backend.Weight
	gate, up     backend.Weight
	down         backend.Weight
}

// doubleStreamBlock is Flux2TransformerBlock.
type doubleStreamBlock struct{ image, text stream }

func doubleBlockName(i int) string { return fmt.Sprintf("transformer_blocks.%d.", i) }

// loadDoubleStreamBlock asks for the weights in the order in which forward uses them: a device that does not hold all of
// them brings them in that order.
func loadDoubleStreamBlock(l *backend.Loader, cfg Config, i int) doubleStreamBlock {
	at := doubleBlockName(i)
	d, mlp := cfg.Hidden(), cfg.MLPHidden()
	attention := func(q, k, v, normQ, normK string) (s stream) {
		s.q, s.normQ = l.Get(at+"attn."+q+".weight", d, d), l.Get(at+"attn."+normQ+".weight", cfg.HeadDim)
		s.k, s.normK = l.Get(at+"attn."+k+".weight", d, d), l.Get(at+"attn."+normK+".weight", cfg.HeadDim)
		s.v = l.Get(at+"attn."+v+".weight", d, d)
		return s
	}
	rest := func(s *stream, out, ff string) {
		s.out = l.Get(at+"attn."+out+".weight", d, d)
		if in := l.Get(at+ff+".linear_in.weight", 2*mlp, d); in != nil {
			s.gate, s.up = in.Slice(0, mlp), in.Slice(mlp, 2*mlp)
		}
		s.down = l.Get(at+ff+".linear_out.weight", d, mlp)
	}
	var block doubleStreamBlock
	block.text = attention("add_q_proj", "add_k_proj", "add_v_proj", "norm_added_q", "norm_added_k")
	block.image = attention("to_q", "to_k", "to_v", "norm_q", "norm_k")
	rest(&block.text, "to_add_out", "ff_context")
	rest(&block.image, "to_out.0", "ff")
	return block
}

// forward updates r.hidden. A modulation is (shift, scale, gate) for the attention, then for the feed-forward.
func (block doubleStreamBlock) forward(r *Run, modImage, modText []backend.Matrix) {
	b, eps := r.t.b, r.t.cfg.eps()
	sides := []struct {
		stream
		from, to int
		mod      []backend.Matrix
	}{
		{block.text, 0, r.text, modText},
		{block.image, r.text, r.hidden.Rows, modImage},
	}
	qkv := r.qkv.Chunks(3)
	for _, side := range sides {
		normed := r.normed.RowRange(side.from, side.to)
		rope := backend.RoPE{Cos: r.rope.Cos.RowRange(side.from, side.to), Sin: r.rope.Sin.RowRange(side.from, side.to)}
		b.LayerNorm(normed, r.hidden.RowRange(side.from, side.to), side.mod[1], side.mod[0], eps)
		qkNormRoPE := func(norm backend.Weight) backend.Epilogue {
			return backend.Epilogue{QKNormRoPE: backend.QKNormRoPE{Cols: r.hidden.Cols, Weight: norm, Eps: eps, RoPE: rope}}
		}
		b.Linear(qkv[0].RowRange(side.from, side.to), normed, side.q, qkNormRoPE(side.normQ))
		b.Linear(qkv[1].RowRange(side.from, side.to), normed, side.k, qkNormRoPE(side.normK))
		b.Linear(qkv[2].RowRange(side.from, side.to), normed, side.v, backend.Epilogue{})
	}
	attended := r.inner.ColRange(0, r.hidden.Cols)
	b.Attention(attended, qkv[0], qkv[1], qkv[2], r.t.cfg.attention(r.hidden.Rows))
	for _, side := range sides {
		hidden, normed := r.hidden.RowRange(side.from, side.to), r.normed.RowRange(side.from, side.to)
		b.Linear(hidden, attended.RowRange(side.from, side.to), side.out, backend.Epilogue{Add: true, Gate: side.mod[2]})
		b.LayerNorm(normed, hidden, side.mod[4], side.mod[3], eps)
		mlp := r.inner.ColRange(r.hidden.Cols, r.inner.Cols).RowRange(side.from, side.to)
		b.SwiGLU(mlp, normed, side.gate, side.up)
		b.Linear(hidden, mlp, side.down, backend.Epilogue{Add: true, Gate: side.mod[5]})
	}
}

// attention is the plain attention over n keys.
func (c Config) attention(n int) backend.AttentionParams {
	return backend.AttentionParams{
		Heads: c.Heads, KVHeads: c.Heads, Keys: n, Scale: float32(1 / math.Sqrt(float64(c.HeadDim))),
	}
}
