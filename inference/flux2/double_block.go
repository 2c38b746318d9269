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

func loadDoubleStreamBlock(l *backend.Loader, cfg Config, i int) doubleStreamBlock {
	load := func(q, k, v, out, normQ, normK, ff string) stream {
		at := doubleBlockName(i)
		d, mlp := cfg.Hidden(), cfg.MLPHidden()
		in := l.Get(at+ff+".linear_in.weight", 2*mlp, d)
		s := stream{
			q: l.Get(at+"attn."+q+".weight", d, d), k: l.Get(at+"attn."+k+".weight", d, d),
			v: l.Get(at+"attn."+v+".weight", d, d), out: l.Get(at+"attn."+out+".weight", d, d),
			normQ: l.Get(at+"attn."+normQ+".weight", cfg.HeadDim),
			normK: l.Get(at+"attn."+normK+".weight", cfg.HeadDim),
			down:  l.Get(at+ff+".linear_out.weight", d, mlp),
		}
		if in != nil {
			s.gate, s.up = in.Slice(0, mlp), in.Slice(mlp, 2*mlp)
		}
		return s
	}
	return doubleStreamBlock{
		image: load("to_q", "to_k", "to_v", "to_out.0", "norm_q", "norm_k", "ff"),
		text:  load("add_q_proj", "add_k_proj", "add_v_proj", "to_add_out", "norm_added_q", "norm_added_k", "ff_context"),
	}
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
		heads := func(norm backend.Weight) backend.Epilogue {
			return backend.Epilogue{Heads: backend.Heads{Cols: r.hidden.Cols, Weight: norm, Eps: eps, RoPE: rope}}
		}
		b.Linear(qkv[0].RowRange(side.from, side.to), normed, side.q, heads(side.normQ))
		b.Linear(qkv[1].RowRange(side.from, side.to), normed, side.k, heads(side.normK))
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
