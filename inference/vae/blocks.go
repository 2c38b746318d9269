package vae

import (
	"fmt"
	"math"

	"github.com/kleinbild/kleinbild/inference/backend"
)

// normEps is the epsilon of all group normalisations. It is not part of the config: Diffusers' VAE passes 1e-6 to
// ResnetBlock2D and Attention.
const normEps = 1e-6

// featureMap is the activation of a convolution: a matrix [height·width, channels] with pixels in raster order.
type featureMap struct {
	backend.Matrix
	height, width int
}

// convolution holds the weights of a Conv2d: weight [out, in, k, k] and bias [out].
type convolution struct{ weight, bias backend.Weight }

func loadConvolution(l *backend.Loader, name string, out, in, kernel int) convolution {
	return convolution{l.Get(name+".weight", out, in, kernel, kernel), l.Get(name+".bias", out)}
}

// convOptions are the options of one convolution (see backend.ConvParams). If norm is set, it normalises the input, and
// SiLU follows it, before the convolution.
type convOptions struct {
	upsample, downsample, add bool
	norm                      *groupNorm
}

// apply convolves x and stores the result in dst, which must have the resulting size.
func (p *pass) apply(c convolution, dst, x featureMap, o convOptions) {
	params := backend.ConvParams{
		Height: x.height, Width: x.width, Upsample: o.upsample, Downsample: o.downsample, Bias: c.bias, Add: o.add,
	}
	if o.norm != nil {
		n := o.norm.params(p.groups, true)
		params.Norm = &n
	}
	p.b.Conv2D(dst.Matrix, x.Matrix, c.weight, params)
}

// groupNorm holds the weights of a GroupNorm: gamma and beta [channels].
type groupNorm struct{ gamma, beta backend.Weight }

func loadGroupNorm(l *backend.Loader, name string, channels int) groupNorm {
	return groupNorm{l.Get(name+".weight", channels), l.Get(name+".bias", channels)}
}

func (g groupNorm) params(groups int, silu bool) backend.GroupNormParams {
	return backend.GroupNormParams{Groups: groups, Gamma: g.gamma, Beta: g.beta, Eps: normEps, SiLU: silu}
}

// resnetBlock is ResnetBlock2D: x + conv2(silu(norm2(conv1(silu(norm1(x)))))). If the numbers of input and output
// channels differ, the first x passes the 1×1 convolution shortcut.
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

// attentionBlock is the single-head attention over all pixels in the middle of encoder and decoder.
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

// midBlock is UNetMidBlock2D: a ResNet block, an attention unless the config leaves it out, a ResNet block.
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

// pass is one forward pass through the encoder or the decoder. x is the current feature map, which the pass owns: each
// layer updates it or replaces it.
type pass struct {
	b      backend.Backend
	groups int
	x      featureMap
}

func (p *pass) alloc(height, width, channels int) featureMap {
	return featureMap{p.b.Alloc(height*width, channels, p.b.Activation()), height, width}
}

// replace frees the current feature map and continues with next.
func (p *pass) replace(next featureMap) {
	p.b.Free(p.x.Matrix)
	p.x = next
}

func (p *pass) convolve(c convolution, o convOptions) {
	size := backend.ConvParams{Height: p.x.height, Width: p.x.width, Upsample: o.upsample, Downsample: o.downsample}
	height, width := size.OutputSize()
	next := p.alloc(height, width, c.weight.Shape()[0])
	p.apply(c, next, p.x, o)
	p.replace(next)
}

func (p *pass) resnet(r resnetBlock) {
	x := p.x
	h := p.alloc(x.height, x.width, r.out)
	p.apply(r.conv1, h, x, convOptions{norm: &r.norm1})
	if r.shortcut != nil {
		next := p.alloc(x.height, x.width, r.out)
		p.apply(*r.shortcut, next, x, convOptions{})
		p.replace(next)
	}
	p.apply(r.conv2, p.x, h, convOptions{norm: &r.norm2, add: true})
	p.b.Free(h.Matrix)
}

func (p *pass) attend(a attentionBlock) {
	b, x := p.b, p.x
	s := backend.NewScope(b)
	defer s.Free()
	normed := featureMap{s.Alloc(x.Rows, x.Cols), x.height, x.width}
	b.GroupNorm(normed.Matrix, x.Matrix, a.norm.params(p.groups, false))
	q, k, v := s.Alloc(x.Rows, x.Cols), s.Alloc(x.Rows, x.Cols), s.Alloc(x.Rows, x.Cols)
	b.Linear(q, normed.Matrix, a.q, backend.Epilogue{Bias: a.qBias})
	b.Linear(k, normed.Matrix, a.k, backend.Epilogue{Bias: a.kBias})
	b.Linear(v, normed.Matrix, a.v, backend.Epilogue{Bias: a.vBias})
	b.Attention(normed.Matrix, q, k, v, backend.AttentionParams{
		Heads: 1, KVHeads: 1, Keys: x.Rows, Scale: float32(1 / math.Sqrt(float64(x.Cols))),
	})
	b.Linear(x.Matrix, normed.Matrix, a.out, backend.Epilogue{Bias: a.oBias, Add: true})
}

func (p *pass) mid(m midBlock) {
	p.resnet(m.first)
	if m.attention != nil {
		p.attend(*m.attention)
	}
	p.resnet(m.second)
}

// levelName returns the name of level i, direction being "down" or "up".
func levelName(direction string, i int) string { return fmt.Sprintf("%s_blocks.%d", direction, i) }
