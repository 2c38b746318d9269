package cuda

import (
	"github.com/kleinbild/kleinbild/inference/backend"
	"github.com/kleinbild/kleinbild/inference/tensor"
	"github.com/kleinbild/kleinbild/kernels"
	"github.com/kleinbild/kleinbild/kernels/cu"
)

// Copy copies src into dst, converting between formats.
func (b *Backend) Copy(dst, src backend.Matrix) {
	b.issue("copy", kernels.OpCopy, func(q *kernels.Queue) error { return q.Copy(view(dst), view(src)) })
}

// Linear computes y = x·wᵀ and stores it as ep says.
func (b *Backend) Linear(dst, x backend.Matrix, w backend.Weight, ep backend.Epilogue) {
	e := kernels.Epilogue{Add: ep.Add, Gate: view(ep.Gate), SiLU: ep.SiLU}
	if h := ep.QKNormRoPE; h.Cols > 0 {
		e.QKNormRoPE = kernels.QKNormRoPE{
			Cols: h.Cols, Weight: row(h.Weight), Eps: h.Eps,
			RoPE: kernels.RoPE{Cos: view(h.RoPE.Cos), Sin: view(h.RoPE.Sin), Halves: h.RoPE.Halves},
		}
	}
	w, beside := apart(w)
	if ints := narrowIn(w); ints != nil {
		b.linearNarrow(dst, x, ints, beside, e, ep)
		return
	}
	e.Beside = view(beside)
	operation := e.Operation()
	b.rehearse(dst, kernels.Shape{Operation: operation, Depth: x.Cols})
	b.product(x, []backend.Weight{w}, func(x kernels.Matrix, w func(int) kernels.Matrix, needed []backend.Weight) {
		b.issue("linear", kernels.Find(operation), func(q *kernels.Queue) error {
			// Only now do the weights have addresses: they are on the device.
			e := e
			e.Bias, e.QKNormRoPE.Weight = row(ep.Bias), row(ep.QKNormRoPE.Weight)
			return q.GEMM(view(dst), x, w(0), e, kernels.Auto)
		}, append(needed, ep.Bias, ep.QKNormRoPE.Weight)...)
	})
}

// JoinsBeside is true: the kernels of products go on with a second matrix.
func (b *Backend) JoinsBeside() bool { return true }

// apart returns a weight and the matrix beside it, the zero Matrix if there is none.
func apart(w backend.Weight) (backend.Weight, backend.Matrix) {
	if j, ok := w.(backend.WeightBeside); ok {
		return j.Weight, j.Beside
	}
	return w, backend.Matrix{}
}

// SwiGLU computes dst = silu(x·gateᵀ) ⊙ (x·upᵀ).
func (b *Backend) SwiGLU(dst, x backend.Matrix, gate, up backend.Weight) {
	gateAlone, gateBeside := apart(gate)
	upAlone, upBeside := apart(up)
	gateInts, upInts := narrowIn(gateAlone), narrowIn(upAlone)
	// Does one x fit both?
	if (gateInts == nil) != (upInts == nil) || rotationOf(gateAlone) != rotationOf(upAlone) {
		b.forgetting(func() { b.swiGLUApart(dst, x, gate, up) })
		return
	}
	if gateInts != nil {
		b.swiGLUNarrow(dst, x, gateInts, upInts, gateBeside, upBeside)
		return
	}
	b.rehearse(dst, kernels.Shape{Operation: kernels.OpSwiGLU.Name, Depth: x.Cols})
	ws := []backend.Weight{gateAlone, upAlone}
	b.product(x, ws, func(x kernels.Matrix, w func(int) kernels.Matrix, needed []backend.Weight) {
		b.issue("swiglu", kernels.OpSwiGLU, func(q *kernels.Queue) error {
			return q.SwiGLUBeside(view(dst), x, w(0), w(1), view(gateBeside), view(upBeside), kernels.Auto)
		}, needed...)
	})
}

// swiGLUApart is SwiGLU with two products.
func (b *Backend) swiGLUApart(dst, x backend.Matrix, gate, up backend.Weight) {
	b.Linear(dst, x, gate, backend.Epilogue{})
	b.scratch(2*int64(dst.Rows)*int64(dst.Cols), func(at cu.DevicePtr) {
		other := backend.Matrix{
			Rows: dst.Rows, Cols: dst.Cols, Stride: dst.Cols, DType: tensor.BF16, Buffer: &buffer{at: at, offset: -1},
		}
		b.Linear(other, x, up, backend.Epilogue{})
		b.SiLUMul(dst, dst, other)
	})
}

// SiLUMul computes dst = silu(x) ⊙ y.
func (b *Backend) SiLUMul(dst, x, y backend.Matrix) {
	b.issue("silu_mul", kernels.OpSiLUMul, func(q *kernels.Queue) error {
		return q.SiLUMul(view(dst), view(x), view(y))
	})
}

// ReLU computes dst = max(x, 0).
func (b *Backend) ReLU(dst, x backend.Matrix) {
	b.issue("relu", kernels.OpReLU, func(q *kernels.Queue) error { return q.ReLU(view(dst), view(x)) })
}

// PReLU computes dst = x where x ≥ 0, else x ⊙ slope.
func (b *Backend) PReLU(dst, x backend.Matrix, slope backend.Weight) {
	b.issue("prelu", kernels.OpPReLU, func(q *kernels.Queue) error {
		return q.PReLU(view(dst), view(x), row(slope))
	}, slope)
}

// SiLU computes dst = x·sigmoid(x).
func (b *Backend) SiLU(dst, x backend.Matrix) {
	b.issue("silu", kernels.OpSiLUOnly, func(q *kernels.Queue) error { return q.SiLU(view(dst), view(x)) })
}

// CentredGate computes dst = (x + y) ⊙ (sigmoid(y) − 1/2).
func (b *Backend) CentredGate(dst, x, y backend.Matrix) {
	b.issue("centred_gate", kernels.OpCentredGate, func(q *kernels.Queue) error {
		return q.CentredGate(view(dst), view(x), view(y))
	})
}

// QKNormRoPE normalises and rotates the heads of x in place.
func (b *Backend) QKNormRoPE(x backend.Matrix, p backend.QKNormRoPE) {
	b.issue("qk_norm_rope", kernels.OpQKNormRoPE, func(q *kernels.Queue) error {
		rope := kernels.RoPE{Cos: view(p.RoPE.Cos), Sin: view(p.RoPE.Sin), Halves: p.RoPE.Halves}
		return q.QKNormRoPE(view(x), row(p.Weight), rope, p.Eps)
	}, p.Weight)
}

// TransposeRows transposes the matrix of a rows that each row of x holds.
func (b *Backend) TransposeRows(dst, x backend.Matrix, a int) {
	b.issue("transpose_rows", kernels.OpTransposeRows, func(q *kernels.Queue) error {
		return q.TransposeRows(view(dst), view(x), a)
	})
}

// AddScaled computes dst = x + s·y.
func (b *Backend) AddScaled(dst, x, y backend.Matrix, s float32) {
	b.issue("add_scaled", kernels.OpAddScaled, func(q *kernels.Queue) error {
		return q.AddScaled(view(dst), view(x), view(y), s)
	})
}

// Lerp computes dst = x + s·(y − x).
func (b *Backend) Lerp(dst, x, y backend.Matrix, s float32) {
	b.issue("lerp", kernels.OpLerp, func(q *kernels.Queue) error { return q.Lerp(view(dst), view(x), view(y), s) })
}

// Affine computes dst = x ⊙ scale + shift.
func (b *Backend) Affine(dst, x, scale, shift backend.Matrix) {
	b.issue("affine", kernels.OpAffine, func(q *kernels.Queue) error {
		return q.Affine(view(dst), view(x), view(scale), view(shift), false)
	})
}

// RMSNorm normalises each row by its root mean square.
func (b *Backend) RMSNorm(dst, x backend.Matrix, w backend.Weight, eps float32) {
	b.issue("rms_norm", kernels.OpRMSNorm, func(q *kernels.Queue) error {
		return q.RMSNorm(view(dst), view(x), row(w), eps)
	}, w)
}

// LayerNorm normalises each row and modulates it.
func (b *Backend) LayerNorm(dst, x, scale, shift backend.Matrix, eps float32) {
	b.issue("layer_norm", kernels.OpLayerNorm, func(q *kernels.Queue) error {
		return q.LayerNorm(view(dst), view(x), view(scale), view(shift), eps)
	})
}

// Attention computes softmax(scale·q·kᵀ + mask)·v head by head.
func (b *Backend) Attention(dst, query, key, value backend.Matrix, p backend.AttentionParams) {
	b.rehearse(dst, kernels.Shape{
		Operation: kernels.OpAttention.Name, Depth: p.Keys, Heads: p.Heads, KVHeads: p.KVHeads, Causal: p.Causal,
	})
	b.issue("attention", kernels.OpAttention, func(q *kernels.Queue) error {
		return q.Attention(view(dst), view(query), view(key), view(value), kernels.AttentionParams(p), kernels.Auto)
	})
}

// Conv2D convolves the picture x. A ReLU of the result is a kernel of its own.
func (b *Backend) Conv2D(dst, x backend.Matrix, w backend.Weight, p backend.ConvParams) {
	if p.ReLU {
		defer func() { b.ReLU(dst, dst) }()
	}
	conv := kernels.ConvParams{
		Height: p.Height, Width: p.Width, Kernel: w.Shape()[2], Upsample: p.Upsample, Downsample: p.Downsample,
	}
	n, folds := p.Norm, kernels.FoldsNorm(b.info, view(x), conv)
	operation := kernels.OpConv
	if n != nil && folds {
		operation = kernels.OpConvNorm
	}
	b.rehearse(dst, kernels.Shape{Operation: operation.Name, Depth: x.Cols, Conv: conv})
	if n == nil {
		b.issue("conv", operation, func(q *kernels.Queue) error {
			return q.Conv(view(dst), view(x), matrix(w), row(p.Bias), conv, p.Add, kernels.Auto)
		}, w, p.Bias)
		return
	}
	var normed backend.Matrix
	if !folds {
		normed = b.Alloc(x.Rows, x.Cols, x.DType)
		defer b.Free(normed)
	}
	b.scratch(kernels.GroupNormBytes(x.Rows, x.Cols, n.Groups), func(at cu.DevicePtr) {
		// Without a kernel that folds the normalisation in, ConvNorm launches GroupNorm and Conv.
		b.issue("conv", kernels.OpConvNorm, func(q *kernels.Queue) error {
			return q.ConvNorm(
				view(dst), view(x), matrix(w), row(p.Bias), conv, p.Add, groupNorm(*n, at), view(normed), kernels.Auto,
			)
		}, w, p.Bias, n.Gamma, n.Beta)
	})
}

// groupNorm is n as kernels take it, with working memory.
func groupNorm(n backend.GroupNormParams, work cu.DevicePtr) kernels.GroupNormParams {
	return kernels.GroupNormParams{
		Groups: n.Groups, Gamma: row(n.Gamma), Beta: row(n.Beta), Eps: n.Eps, SiLU: n.SiLU, Work: work,
	}
}

// GroupNorm normalises groups of columns over all rows.
func (b *Backend) GroupNorm(dst, x backend.Matrix, p backend.GroupNormParams) {
	b.scratch(kernels.GroupNormBytes(x.Rows, x.Cols, p.Groups), func(at cu.DevicePtr) {
		b.issue("group_norm", kernels.OpGroupNorm, func(q *kernels.Queue) error {
			return q.GroupNorm(view(dst), view(x), groupNorm(p, at))
		}, p.Gamma, p.Beta)
	})
}

// Patchify makes one row of n×n pixels.
func (b *Backend) Patchify(dst, x backend.Matrix, height, width int) {
	b.issue("patchify", kernels.OpPatchify, func(q *kernels.Queue) error {
		return q.Patchify(view(dst), view(x), height, width)
	})
}

// Unpatchify is the inverse of Patchify.
func (b *Backend) Unpatchify(dst, x backend.Matrix, height, width int) {
	b.issue("unpatchify", kernels.OpUnpatchify, func(q *kernels.Queue) error {
		return q.Unpatchify(view(dst), view(x), height, width)
	})
}
