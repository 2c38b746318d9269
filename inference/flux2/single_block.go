package flux2

import (
	"fmt"

	"github.com/kleinbild/kleinbild/inference/backend"
)

// singleStreamBlock is Flux2SingleTransformerBlock of Diffusers: attention and MLP read the same normalised joint
// sequence, and one projection reads the results of both.
type singleStreamBlock struct {
	q, kv        linear // the first 3·hidden rows of attn.to_qkv_mlp_proj
	gate, up     linear // its other 2·mlp rows
	normQ, normK backend.Weight
	out          linear // [hidden, hidden + mlp]
}

func singleBlockName(i int) string { return fmt.Sprintf("single_transformer_blocks.%d.", i) }

func (t *Transformer) loadSingleStreamBlock(l *backend.Loader, i int) singleStreamBlock {
	cfg, prefix := t.cfg, singleBlockName(i)+"attn."
	d, mlp := cfg.Hidden(), cfg.MLPHidden()
	// A GPU loads the weights in this order. The norms come first, since they are part of the first products (QK norm).
	block := singleStreamBlock{
		normQ: l.Get(prefix+"norm_q.weight", cfg.HeadDim),
		normK: l.Get(prefix+"norm_k.weight", cfg.HeadDim),
	}
	fused := t.loadInBlock(l, prefix+"to_qkv_mlp_proj", 3*d+2*mlp, d)
	block.out = t.loadInBlock(l, prefix+"to_out", d, d+mlp)
	block.q, block.kv = fused.slice(0, d), fused.slice(d, 3*d)
	block.gate, block.up = fused.slice(3*d, 3*d+mlp), fused.slice(3*d+mlp, 3*d+2*mlp)
	t.operands(block.q)
	t.operands(block.kv)
	t.operands(block.gate, block.up)
	t.operands(block.out)
	return block
}

// forward applies the block, which is number at of all blocks, to rows [from, to) of r.hidden in place. Keys and values
// come from all rows; if there are no rows from from to to, nothing else is computed. mod holds three rows [1, hidden]:
// shift, scale and gate.
func (block singleStreamBlock) forward(r *Run, at int, mod []backend.Matrix, from, to int) {
	b, eps, d := r.t.b, r.t.cfg.eps(), r.hidden.Cols
	all := r.keysValues(at)
	k, v := all.ColRange(0, d), all.ColRange(d, 2*d)
	kv := all.RowRange(0, r.hidden.Rows)
	hidden, normed := r.hidden.RowRange(from, to), r.normed.RowRange(from, to)
	inner := r.inner.RowRange(from, to)
	ropeQ := backend.RoPE{Cos: r.rope.Cos.RowRange(from, to), Sin: r.rope.Sin.RowRange(from, to)}
	qkNormRoPE := func(norm backend.Weight, rope backend.RoPE) backend.Epilogue {
		return backend.Epilogue{QKNormRoPE: backend.QKNormRoPE{Cols: d, Weight: norm, Eps: eps, RoPE: rope}}
	}

	r.layerNorm(r.normed, r.hidden, mod[1], mod[0])
	if from == to {
		r.linear(kv, r.normed, block.kv, qkNormRoPE(block.normK, r.rope))
		return
	}
	q := r.queries().RowRange(from, to)
	b.Unchanged(normed, func() {
		r.linear(q, normed, block.q, qkNormRoPE(block.normQ, ropeQ))
		r.linear(kv, r.normed, block.kv, qkNormRoPE(block.normK, r.rope))
		b.Attention(inner.ColRange(0, d), q, k, v, r.t.cfg.attention(k.Rows))
		r.swiGLU(inner.ColRange(d, inner.Cols), normed, block.gate, block.up)
	})
	r.linear(hidden, inner, block.out, backend.Epilogue{Add: true, Gate: mod[2]})
}
