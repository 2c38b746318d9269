package cpu

import (
	"runtime/debug"
	"unsafe"

	"github.com/kleinbild/kleinbild/inference/backend"
	"github.com/kleinbild/kleinbild/inference/cpu/matmul"
	"github.com/kleinbild/kleinbild/inference/cpu/simd"
	"github.com/kleinbild/kleinbild/inference/tensor"
)

// operand converts m to matmul's type.
func operand(m backend.Matrix) matmul.Matrix {
	buf := m.Buffer.(*buffer)
	o := matmul.Matrix{Rows: m.Rows, Cols: m.Cols, Stride: m.Stride}
	if m.DType == tensor.BF16 {
		o.BF16 = buf.bf16[m.Offset:]
	} else {
		o.F32 = buf.f32[m.Offset:]
	}
	return o
}

// precision returns the precision of products for the format of activations.
func (b *Backend) precision() matmul.Precision {
	if b.activation == tensor.BF16 {
		return matmul.BFloat16
	}
	return matmul.Float32
}

// Linear computes y = x·wᵀ and stores it as ep says.
func (b *Backend) Linear(dst, x backend.Matrix, w backend.Weight, ep backend.Epilogue) {
	if b.stop.Load() {
		return
	}
	defer b.recoverFault(debug.SetPanicOnFault(true))
	e := matmul.Epilogue{Bias: vectorOf(ep.Bias), Residual: ep.Add}
	if ep.Gate.Buffer != nil {
		e.Gate = vector(ep.Gate)
	}
	out := operand(dst)
	if ep.SiLU {
		e.Store = func(row, col int, y, _ []float32) {
			simd.SiLU(y, y)
			if at := row*out.Stride + col; out.BF16 != nil {
				simd.RoundBF16(out.BF16[at:at+len(y)], y)
			} else {
				copy(out.F32[at:], y)
			}
		}
	}
	if t, ok := b.int8Of(w); ok {
		b.multiplyInt8(x, matmul.Int8Product{Dst: out, Weight: t, Epilogue: e})
	} else if !b.stop.Load() {
		matmul.Linear(b.stop, out, operand(x), tensorOf(w), b.precision(), e)
	}
	if ep.QKNormRoPE.Cols > 0 {
		b.qkNormRoPE(dst.ColRange(0, ep.QKNormRoPE.Cols), ep.QKNormRoPE)
	}
}

// tensorOf returns a weight's tensor. A matrix becomes a tensor of the same memory.
func tensorOf(w backend.Weight) tensor.Tensor {
	m, ok := w.(backend.MatrixWeight)
	if !ok {
		return w.(*weight).Tensor
	}
	mustHave(m.Stride == m.Cols || m.Rows <= 1, "a matrix [%d %d] with a stride of %d as a weight, want %d columns",
		m.Rows, m.Cols, m.Stride, m.Cols)
	t := tensor.Tensor{Name: "a matrix", DType: m.DType, Shape: []int{m.Rows, m.Cols}, Scale: 1}
	buf, n := m.Buffer.(*buffer), m.Rows*m.Cols
	if m.DType == tensor.BF16 {
		values := buf.bf16[m.Offset : m.Offset+n]
		t.Data = unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(values))), 2*n)
	} else {
		values := buf.f32[m.Offset : m.Offset+n]
		t.Data = unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(values))), 4*n)
	}
	return t
}

// SwiGLU computes silu(x·gateᵀ) ⊙ (x·upᵀ). The first product is stored in dst, and the epilogue of the second combines
// both.
func (b *Backend) SwiGLU(dst, x backend.Matrix, gate, up backend.Weight) {
	if b.stop.Load() {
		return
	}
	defer b.recoverFault(debug.SetPanicOnFault(true))
	out := operand(dst)
	store := func(row, col int, y, wide []float32) {
		at := row*out.Stride + col
		if out.BF16 == nil {
			g := out.F32[at : at+len(y)]
			simd.SiLUMul(g, g, y)
			return
		}
		g := out.BF16[at : at+len(y)]
		simd.WidenBF16(wide, g)
		simd.SiLUMul(wide, wide, y)
		simd.RoundBF16(g, wide)
	}
	gate8, ok := b.int8Of(gate)
	if up8, both := b.int8Of(up); ok && both && gate8.Rotation == up8.Rotation {
		b.multiplyInt8(x, matmul.Int8Product{Dst: out, Weight: gate8},
			matmul.Int8Product{Dst: out, Weight: up8, Epilogue: matmul.Epilogue{Store: store}})
		return
	}
	b.Linear(dst, x, gate, backend.Epilogue{})
	if b.stop.Load() {
		return
	}
	if up8, ok := b.int8Of(up); ok {
		b.multiplyInt8(x, matmul.Int8Product{Dst: out, Weight: up8, Epilogue: matmul.Epilogue{Store: store}})
	} else {
		matmul.Linear(b.stop, out, operand(x), tensorOf(up), b.precision(), matmul.Epilogue{Store: store})
	}
}

// Attention computes softmax(scale·q·kᵀ + mask)·v head by head.
func (b *Backend) Attention(dst, q, k, v backend.Matrix, p backend.AttentionParams) {
	if b.stop.Load() {
		return
	}
	matmul.Attention(b.stop, operand(dst), operand(q), operand(k), operand(v), matmul.Heads{
		Query: p.Heads, KV: p.KVHeads, Dim: q.Cols / p.Heads, Scale: p.Scale, Causal: p.Causal, Keys: p.Keys,
	}, b.precision())
}

// Conv2D convolves the picture x.
func (b *Backend) Conv2D(dst, x backend.Matrix, w backend.Weight, p backend.ConvParams) {
	if b.stop.Load() {
		return
	}
	defer b.recoverFault(debug.SetPanicOnFault(true))
	if p.Norm != nil {
		normed := b.Alloc(x.Rows, x.Cols, x.DType)
		defer b.Free(normed)
		b.GroupNorm(normed, x, *p.Norm)
		x = normed
	}
	pic := matmul.Picture{Height: p.Height, Width: p.Width, Upsample: p.Upsample, Downsample: p.Downsample}
	matmul.Conv2D(b.stop, operand(dst), operand(x), pic, w.(*weight).Tensor, b.precision(),
		matmul.Epilogue{Bias: vectorOf(p.Bias), Residual: p.Add, ReLU: p.ReLU})
}
