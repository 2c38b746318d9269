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
	e := kernels.Epilogue{Add: ep.Add, Gate: view(ep.Gate), SiLU: ep.SiLU}
	if h := ep.QKNormRoPE; h.Cols > 0 {
		e.QKNormRoPE = kernels.QKNormRoPE{Cols: h.Cols, Weight: row(h.Weight), Eps: h.Eps, RoPE: kernels.RoPE{Cos: view(h.RoPE.Cos), Sin: view(h.RoPE.Sin), Halves: h.RoPE.Halves}}
	}
	b.note(dst, kernels.Shape{Operation: e.Operation(), Depth: x.Cols})
	b.issue("linear", kernels.GEMM, func(q *kernels.Queue) error {
		// Where weights lie is known when they have come.
		e := e
		e.Bias, e.QKNormRoPE.Weight = row(ep.Bias), row(ep.QKNormRoPE.Weight)
		return q.GEMM(view(dst), view(x), matrix(w), e, kernels.Auto)
	}, w, ep.Bias, ep.QKNormRoPE.Weight)
}

// SwiGLU computes dst = silu(x·gateᵀ) ⊙ (x·upᵀ).
func (b *Backend) SwiGLU(dst, x backend.Matrix, gate, up backend.Weight) {
	b.note(dst, kernels.Shape{Operation: "swiglu", Depth: x.Cols})
	b.issue("swiglu", kernels.GEMM, func(q *kernels.Queue) error {
		return q.SwiGLU(view(dst), view(x), matrix(gate), matrix(up), kernels.Auto)
	}, gate, up)
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
	n, folds := p.Norm, kernels.FoldsNorm(b.info, view(x), shape)
	operation := "conv"
	if n != nil && folds {
		operation = "conv_norm"
	}
	b.note(dst, kernels.Shape{Operation: operation, Depth: x.Cols, Conv: shape})
	if n == nil {
		b.issue("conv", kernels.Conv, func(q *kernels.Queue) error {
			return q.Conv(view(dst), view(x), matrix(w), row(p.Bias), shape, p.Add, kernels.Auto)
		}, w, p.Bias)
		return
	}
	var normed backend.Matrix
	if !folds {
		normed = b.Alloc(x.Rows, x.Cols, x.DType)
		defer b.Free(normed)
	}
	b.scratch(kernels.GroupNormBytes(x.Rows, x.Cols, n.Groups), func(at cu.DevicePtr) {
		b.issue("conv", kernels.Conv, func(q *kernels.Queue) error {
			return q.ConvNorm(view(dst), view(x), matrix(w), row(p.Bias), shape, p.Add, norm(*n, at), view(normed), kernels.Auto)
		}, w, p.Bias, n.Gamma, n.Beta)
	})
}

// norm is n as kernels take it.
func norm(n backend.GroupNormParams, work cu.DevicePtr) kernels.Normalisation {
	return kernels.Normalisation{Groups: n.Groups, Gamma: row(n.Gamma), Beta: row(n.Beta), Eps: n.Eps, SiLU: n.SiLU, Work: work}
}

// GroupNorm normalises groups of columns over all rows.
func (b *Backend) GroupNorm(dst, x backend.Matrix, p backend.GroupNormParams) {
	b.scratch(kernels.GroupNormBytes(x.Rows, x.Cols, p.Groups), func(at cu.DevicePtr) {
		b.issue("group_norm", kernels.GroupNorm, func(q *kernels.Queue) error {
			return q.GroupNorm(view(dst), view(x), norm(p, at))
		}, p.Gamma, p.Beta)
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
