package flux2

import (
	"fmt"
	"math"

	"github.com/kleinbild/kleinbild/inference/backend"
)

// stream holds the weights of one of the two streams of a double-stream block: the text's, or the image's, to which the
// references belong. Each stream has projections and an MLP of its own; both attend to the joint sequence.
type stream struct {
	q, k, v, out linear
	normQ, normK backend.Weight
	gate, up     linear
	down         linear
}

// doubleStreamBlock is Flux2TransformerBlock of Diffusers.
type doubleStreamBlock struct{ image, text stream }

func doubleBlockName(i int) string { return fmt.Sprintf("transformer_blocks.%d.", i) }

// loadDoubleStreamBlock loads the weights of block i in the order in which forward uses them, since a GPU loads them in
// that order.
func (t *Transformer) loadDoubleStreamBlock(l *backend.Loader, i int) doubleStreamBlock {
	cfg, prefix := t.cfg, doubleBlockName(i)
	d, mlp := cfg.Hidden(), cfg.MLPHidden()
	qkv := func(q, k, v, normQ, normK string) (s stream) {
		s.q, s.normQ = t.loadInBlock(l, prefix+"attn."+q, d, d), l.Get(prefix+"attn."+normQ+".weight", cfg.HeadDim)
		s.k, s.normK = t.loadInBlock(l, prefix+"attn."+k, d, d), l.Get(prefix+"attn."+normK+".weight", cfg.HeadDim)
		s.v = t.loadInBlock(l, prefix+"attn."+v, d, d)
		return s
	}
	outAndMLP := func(s *stream, out, mlpName string) {
		s.out = t.loadInBlock(l, prefix+"attn."+out, d, d)
		in := t.loadInBlock(l, prefix+mlpName+".linear_in", 2*mlp, d)
		s.gate, s.up = in.slice(0, mlp), in.slice(mlp, 2*mlp)
		s.down = t.loadInBlock(l, prefix+mlpName+".linear_out", d, mlp)
	}
	var block doubleStreamBlock
	block.text = qkv("add_q_proj", "add_k_proj", "add_v_proj", "norm_added_q", "norm_added_k")
	block.image = qkv("to_q", "to_k", "to_v", "norm_q", "norm_k")
	outAndMLP(&block.text, "to_add_out", "ff_context")
	outAndMLP(&block.image, "to_out.0", "ff")
	for _, s := range []stream{block.text, block.image} {
		for _, l := range []linear{s.q, s.k, s.v, s.out, s.down} {
			t.operands(l)
		}
		t.operands(s.gate, s.up)
	}
	return block
}

// forward applies the block, which is number at of all blocks, to r.hidden in place. modImage and modText are six rows
// [1, hidden] each: shift, scale and gate of the attention, then shift, scale and gate of the MLP.
func (block doubleStreamBlock) forward(r *Run, at int, modImage, modText []backend.Matrix) {
	b, eps := r.t.b, r.t.cfg.eps()
	type side struct {
		stream
		from, to int
		mod      []backend.Matrix
	}
	var sides []side
	if r.textTokens > 0 {
		sides = append(sides, side{block.text, 0, r.textTokens, modText})
	}
	sides = append(sides, side{block.image, r.textTokens, r.hidden.Rows, modImage})
	q := r.queries()
	kv := r.keysValues(at).Chunks(2)
	k, v := kv[0], kv[1]
	for _, side := range sides {
		normed := r.normed.RowRange(side.from, side.to)
		rope := backend.RoPE{Cos: r.rope.Cos.RowRange(side.from, side.to), Sin: r.rope.Sin.RowRange(side.from, side.to)}
		r.layerNorm(normed, r.hidden.RowRange(side.from, side.to), side.mod[1], side.mod[0])
		qkNormRoPE := func(norm backend.Weight) backend.Epilogue {
			return backend.Epilogue{QKNormRoPE: backend.QKNormRoPE{Cols: r.hidden.Cols, Weight: norm, Eps: eps, RoPE: rope}}
		}
		b.Unchanged(normed, func() {
			r.linear(q.RowRange(side.from, side.to), normed, side.q, qkNormRoPE(side.normQ))
			r.linear(k.RowRange(side.from, side.to), normed, side.k, qkNormRoPE(side.normK))
			r.linear(v.RowRange(side.from, side.to), normed, side.v, backend.Epilogue{})
		})
	}
	attended := r.inner.ColRange(0, r.hidden.Cols)
	b.Attention(attended, q, k, v, r.t.cfg.attention(k.Rows))
	for _, side := range sides {
		hidden, normed := r.hidden.RowRange(side.from, side.to), r.normed.RowRange(side.from, side.to)
		r.linear(hidden, attended.RowRange(side.from, side.to), side.out, backend.Epilogue{Add: true, Gate: side.mod[2]})
		r.layerNorm(normed, hidden, side.mod[4], side.mod[3])
		mlp := r.inner.ColRange(r.hidden.Cols, r.inner.Cols).RowRange(side.from, side.to)
		r.swiGLU(mlp, normed, side.gate, side.up)
		r.linear(hidden, mlp, side.down, backend.Epilogue{Add: true, Gate: side.mod[5]})
	}
}

// attention returns the parameters of an attention over n keys, without a mask.
func (c Config) attention(n int) backend.AttentionParams {
	return backend.AttentionParams{
		Heads: c.Heads, KVHeads: c.Heads, Keys: n, Scale: float32(1 / math.Sqrt(float64(c.HeadDim))),
	}
}
