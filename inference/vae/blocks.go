package vae

import (
	"fmt"
	"math"

	"kleinbild/inference/backend"
)

// normEps is the epsilon of every group normalisation (ResnetBlock2D and Attention as the VAE builds them).
const normEps = 1e-6

// picture is an activation with its size: a row a pixel in raster order, a column a channel.
type picture struct {
	backend.Matrix
	height, width int
}

// convolution is a Conv2d with bias.
type convolution struct{ weight, bias backend.Weight }

func loadConvolution(l *backend.Loader, name string, out, in, kernel int) convolution {
	return convolution{l.Get(name+".weight", out, in, kernel, kernel), l.Get(name+".bias", out)}
}

// pass says how a convolution walks over the picture, and what normalises it first.
type pass struct {
	upsample, downsample, add bool
	norm                      *groupNorm
}

// apply stores the convolution of x in dst, which has the size that p makes.
func (w *walk) apply(c convolution, dst, x picture, p pass) {
	params := backend.ConvParams{Height: x.height, Width: x.width, Upsample: p.upsample, Downsample: p.downsample, Bias: c.bias, Add: p.add}
	if p.norm != nil {
		n := p.norm.params(w.groups, true)
		params.Norm = &n
	}
	w.b.Conv2D(dst.Matrix, x.Matrix, c.weight, params)
}

// groupNorm is a GroupNorm with affine weights.
type groupNorm struct{ gamma, beta backend.Weight }

func loadGroupNorm(l *backend.Loader, name string, channels int) groupNorm {
	return groupNorm{l.Get(name+".weight", channels), l.Get(name+".bias", channels)}
}

func (g groupNorm) params(groups int, silu bool) backend.GroupNormParams {
	return backend.GroupNormParams{Groups: groups, Gamma: g.gamma, Beta: g.beta, Eps: normEps, SiLU: silu}
}

// resnetBlock is ResnetBlock2D: x + conv2(silu(norm2(conv1(silu(norm1(x)))))), with a 1×1 convolution on x
// where the width changes.
type resnetBlock struct {
	norm1, norm2 groupNorm
	conv1, conv2 convolution
	shortcut     *convolution
	out          int
}

func loadResnetBlock(l *backend.Loader, name string, in, out int) resnetBlock {
	r := resnetBlock{
		norm1: loadGroupNorm(l, name+".norm1", in), conv1: loadConvolution(l, name+".conv1", out, in, 3),
		norm2: loadGroupNorm(l, name+".norm2", out), conv2: loadConvolution(l, name+".conv2", out, out, 3),
		out: out,
	}
	if in != out {
		c := loadConvolution(l, name+".conv_shortcut", out, in, 1)
		r.shortcut = &c
	}
	return r
}

// attentionBlock is the single-head attention of the middle, over all pixels.
type attentionBlock struct {
	norm                       groupNorm
	q, k, v, out               backend.Weight
	qBias, kBias, vBias, oBias backend.Weight
}

func loadAttentionBlock(l *backend.Loader, name string, channels int) attentionBlock {
	linear := func(part string) (w, bias backend.Weight) {
		return l.Get(name+"."+part+".weight", channels, channels), l.Get(name+"."+part+".bias", channels)
	}
	var a attentionBlock
	a.norm = loadGroupNorm(l, name+".group_norm", channels)
	a.q, a.qBias = linear("to_q")
	a.k, a.kBias = linear("to_k")
	a.v, a.vBias = linear("to_v")
	a.out, a.oBias = linear("to_out.0")
	return a
}

// midBlock is UNetMidBlock2D: a ResNet block, the attention, a ResNet block.
type midBlock struct {
	first, second resnetBlock
	attention     *attentionBlock
}

func loadMidBlock(l *backend.Loader, name string, channels int, attention bool) midBlock {
	m := midBlock{
		first:  loadResnetBlock(l, name+".resnets.0", channels, channels),
		second: loadResnetBlock(l, name+".resnets.1", channels, channels),
	}
	if attention {
		a := loadAttentionBlock(l, name+".attentions.0", channels)
		m.attention = &a
	}
	return m
}

// walk carries one picture through the network, allocating each next activation and freeing the last.
type walk struct {
	b      backend.Backend
	groups int
	x      picture
}

func (w *walk) alloc(height, width, channels int) picture {
	return picture{w.b.Alloc(height*width, channels, w.b.Activation()), height, width}
}

// become replaces the current picture.
func (w *walk) become(next picture) {
	w.b.Free(w.x.Matrix)
	w.x = next
}

func (w *walk) convolve(c convolution, p pass) {
	height, width := backend.ConvParams{Height: w.x.height, Width: w.x.width, Upsample: p.upsample, Downsample: p.downsample}.OutputSize()
	next := w.alloc(height, width, c.weight.Shape()[0])
	w.apply(c, next, w.x, p)
	w.become(next)
}

func (w *walk) resnet(r resnetBlock) {
	x := w.x
	h := w.alloc(x.height, x.width, r.out)
	w.apply(r.conv1, h, x, pass{norm: &r.norm1})
	if r.shortcut != nil {
		next := w.alloc(x.height, x.width, r.out)
		w.apply(*r.shortcut, next, x, pass{})
		w.become(next)
	}
	w.apply(r.conv2, w.x, h, pass{norm: &r.norm2, add: true})
	w.b.Free(h.Matrix)
}

func (w *walk) attend(a attentionBlock) {
	b, x := w.b, w.x
	s := backend.NewScope(b)
	defer s.Free()
	normed := picture{s.Alloc(x.Rows, x.Cols), x.height, x.width}
	b.GroupNorm(normed.Matrix, x.Matrix, a.norm.params(w.groups, false))
	q, k, v := s.Alloc(x.Rows, x.Cols), s.Alloc(x.Rows, x.Cols), s.Alloc(x.Rows, x.Cols)
	b.Linear(q, normed.Matrix, a.q, backend.Epilogue{Bias: a.qBias})
	b.Linear(k, normed.Matrix, a.k, backend.Epilogue{Bias: a.kBias})
	b.Linear(v, normed.Matrix, a.v, backend.Epilogue{Bias: a.vBias})
	b.Attention(normed.Matrix, q, k, v, backend.AttentionParams{
		Heads: 1, KVHeads: 1, Keys: x.Rows, Scale: float32(1 / math.Sqrt(float64(x.Cols))),
	})
	b.Linear(x.Matrix, normed.Matrix, a.out, backend.Epilogue{Bias: a.oBias, Add: true})
}

func (w *walk) mid(m midBlock) {
	w.resnet(m.first)
	if m.attention != nil {
		w.attend(*m.attention)
	}
	w.resnet(m.second)
}

func level(side string, i int) string { return fmt.Sprintf("%s_blocks.%d", side, i) }
