package cuda

import (
	"kleinbild/inference/backend"
	"kleinbild/kernels"
	"kleinbild/kernels/cu"
)

// Copy copies src into dst, converting between formats.
func (b *Backend) Copy(dst, src backend.Matrix) {
	b.issue("copy", kernels.Elementwise, func(q *kernels.Queue) error { return q.Copy(view(dst), view(src)) })
}

// Linear computes y = x·wᵀ and stores it as ep says.
func (b *Backend) Linear(dst, x backend.Matrix, w backend.Weight, ep backend.Epilogue) {
	b.note(dst, kernels.Shape{Operation: "gemm", Depth: x.Cols})
	b.issue("linear", kernels.GEMM, func(q *kernels.Queue) error {
		return q.GEMM(view(dst), view(x), matrix(w), kernels.Epilogue{Bias: row(ep.Bias), Add: ep.Add, Gate: view(ep.Gate)}, kernels.Auto)
	}, w, ep.Bias)
}

// SwiGLU computes dst = silu(x·gateᵀ) ⊙ (x·upᵀ).
func (b *Backend) SwiGLU(dst, x backend.Matrix, gate, up backend.Weight) {
	b.note(dst, kernels.Shape{Operation: "swiglu", Depth: x.Cols})
	b.issue("swiglu", kernels.GEMM, func(q *kernels.Queue) error {
		return q.SwiGLU(view(dst), view(x), matrix(gate), matrix(up), kernels.Auto)
	}, gate, up)
}

// SiLU computes dst = x·sigmoid(x).
func (b *Backend) SiLU(dst, x backend.Matrix) {
	b.issue("silu", kernels.Elementwise, func(q *kernels.Queue) error { return q.SiLU(view(dst), view(x)) })
}

// AddScaled computes dst = x + s·y.
func (b *Backend) AddScaled(dst, x, y backend.Matrix, s float32) {
	b.issue("add_scaled", kernels.Elementwise, func(q *kernels.Queue) error { return q.AddScaled(view(dst), view(x), view(y), s) })
}

// Lerp computes dst = x + s·(y − x).
func (b *Backend) Lerp(dst, x, y backend.Matrix, s float32) {
	b.issue("lerp", kernels.Elementwise, func(q *kernels.Queue) error { return q.Lerp(view(dst), view(x), view(y), s) })
}

// Affine computes dst = x ⊙ scale + shift.
func (b *Backend) Affine(dst, x, scale, shift backend.Matrix) {
	b.issue("affine", kernels.Elementwise, func(q *kernels.Queue) error { return q.Affine(view(dst), view(x), view(scale), view(shift), false) })
}

// RMSNorm normalises each row by its root mean square.
func (b *Backend) RMSNorm(dst, x backend.Matrix, w backend.Weight, eps float32) {
	b.issue("rms_norm", kernels.Norm, func(q *kernels.Queue) error { return q.RMSNorm(view(dst), view(x), row(w), eps) }, w)
}

// LayerNorm normalises each row and modulates it.
func (b *Backend) LayerNorm(dst, x, scale, shift backend.Matrix, eps float32) {
	b.issue("layer_norm", kernels.Norm, func(q *kernels.Queue) error { return q.LayerNorm(view(dst), view(x), view(scale), view(shift), eps) })
}

// QKNormRoPE normalises and rotates each head of x in place.
func (b *Backend) QKNormRoPE(x backend.Matrix, w backend.Weight, rope backend.RoPE, eps float32) {
	b.issue("qk_norm_rope", kernels.Norm, func(q *kernels.Queue) error {
		return q.QKNormRoPE(view(x), row(w), kernels.RoPE{Cos: view(rope.Cos), Sin: view(rope.Sin), Halves: rope.Halves}, eps)
	}, w)
}

// Attention computes softmax(scale·q·kᵀ + mask)·v head by head.
func (b *Backend) Attention(dst, query, key, value backend.Matrix, p backend.AttentionParams) {
	b.note(dst, kernels.Shape{Operation: "attention", Depth: p.Keys, Heads: p.Heads, KVHeads: p.KVHeads, Causal: p.Causal})
	b.issue("attention", kernels.Attention, func(q *kernels.Queue) error {
		return q.Attention(view(dst), view(query), view(key), view(value), kernels.AttentionShape{
			Heads: p.Heads, KVHeads: p.KVHeads, Scale: p.Scale, Causal: p.Causal, Keys: p.Keys,
		}, kernels.Auto)
	})
}

// Conv2D convolves the picture x.
func (b *Backend) Conv2D(dst, x backend.Matrix, w backend.Weight, p backend.ConvParams) {
	shape := kernels.ConvShape{Height: p.Height, Width: p.Width, Kernel: w.Shape()[2], Upsample: p.Upsample, Downsample: p.Downsample}
	b.note(dst, kernels.Shape{Operation: "conv", Depth: x.Cols, Conv: shape})
	b.issue("conv", kernels.Conv, func(q *kernels.Queue) error {
		return q.Conv(view(dst), view(x), matrix(w), row(p.Bias), shape, p.Add, kernels.Auto)
	}, w, p.Bias)
}

// GroupNorm normalises groups of columns over all rows.
func (b *Backend) GroupNorm(dst, x backend.Matrix, gamma, beta backend.Weight, p backend.GroupNormParams) {
	b.scratch(kernels.GroupNormBytes(x.Rows, x.Cols, p.Groups), func(at cu.DevicePtr) {
		b.issue("group_norm", kernels.GroupNorm, func(q *kernels.Queue) error {
			return q.GroupNorm(view(dst), view(x), row(gamma), row(beta), p.Groups, p.Eps, p.SiLU, at)
		}, gamma, beta)
	})
}

// Patchify turns 2×2 pixels into one.
func (b *Backend) Patchify(dst, x backend.Matrix, height, width int) {
	b.issue("patchify", kernels.Elementwise, func(q *kernels.Queue) error { return q.Patchify(view(dst), view(x), height, width) })
}

// Unpatchify is the inverse of Patchify.
func (b *Backend) Unpatchify(dst, x backend.Matrix, height, width int) {
	b.issue("unpatchify", kernels.Elementwise, func(q *kernels.Queue) error { return q.Unpatchify(view(dst), view(x), height, width) })
}
