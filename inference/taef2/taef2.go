// Package taef2 turns latents into a picture with the decoder of TAEF2, a tiny autoencoder for FLUX.2's latents. What
// it makes is close to what the VAE makes, for a small part of the VAE's arithmetic: it is for previews.
//
// The arithmetic follows taesd.py of madebyollin/taesd.
package taef2

import (
	"context"
	"fmt"
	"math"

	"github.com/kleinbild/kleinbild/inference/backend"
	"github.com/kleinbild/kleinbild/inference/tensor"
)

// The widths are the same in every published file: 32 latent channels, 64 inside, 256 in four groups inside of a pool.
const (
	latentChannels = 32
	width          = 64
	poolWidth      = 256
	poolGroups     = 4
	poolEps        = 1e-5
)

// TokenChannels is the width of a token: the channels of 2×2 latents.
const TokenChannels = 4 * latentChannels

// pixelsPerToken is the side, in pixels, of the square that one token stands for.
const pixelsPerToken = 16

// Decoder is TAEF2's decoder, its weights loaded on a backend.
type Decoder struct {
	b      backend.Backend
	first  convolution // [width, latent channels]
	levels [4]level
	last   convolution // [3, width]
	// watch, unless nil, is called with the output of the numbered layers that tests compare.
	watch func(layer int, x backend.Matrix)
}

// level is the part of the decoder at one resolution: a convolution behind the doubling of the size, which the first
// level does not have, and blocks.
type level struct {
	layer    int // the number of upsample, in the names of weights
	upsample *convolution
	blocks   []block
}

// convolution has weights [out, in, k, k] and bias [out], or none.
type convolution struct{ weight, bias backend.Weight }

// block is relu(x + conv(relu(conv(relu(conv(x)))))). With a pool, x + pool(x) takes the place of x.
type block struct {
	layer int
	pool  *pool
	convs [3]convolution
}

// pool is two linear layers with a normalisation over the whole picture and a ReLU between them.
type pool struct {
	in, out     backend.Weight
	gamma, beta backend.Weight
}

// New loads the weights from src, by their names in taef2.safetensors. It returns an error if one is missing or has
// another shape.
func New(b backend.Backend, src tensor.Source) (*Decoder, error) {
	l := backend.NewLoader(b, src)
	conv := func(name string, out, in, k int, bias bool) (c convolution) {
		c.weight = l.Get("decoder.layers."+name+".weight", out, in, k, k)
		if bias {
			c.bias = l.Get("decoder.layers."+name+".bias", out)
		}
		return c
	}
	d := &Decoder{b: b, first: conv("0", width, latentChannels, 3, true)}
	layer := 2 // 1 is a ReLU
	for i := range d.levels {
		blocks := 3
		if i > 0 {
			layer++ // the doubling
			up := conv(fmt.Sprint(layer), width, width, 3, false)
			d.levels[i].layer, d.levels[i].upsample = layer, &up
			layer++
		}
		if i == len(d.levels)-1 {
			blocks = 1
		}
		for range blocks {
			blk := block{layer: layer}
			for j := range blk.convs {
				blk.convs[j] = conv(fmt.Sprintf("%d.conv.%d", layer, 2*j), width, width, 3, true)
			}
			if i == 0 {
				name := fmt.Sprintf("decoder.layers.%d.pool.", layer)
				blk.pool = &pool{
					in:    l.Get(name+"0.weight", poolWidth, width, 1, 1),
					gamma: l.Get(name+"1.weight", poolWidth), beta: l.Get(name+"1.bias", poolWidth),
					out: l.Get(name+"3.weight", width, poolWidth, 1, 1),
				}
			}
			d.levels[i].blocks = append(d.levels[i].blocks, blk)
			layer++
		}
	}
	d.last = conv(fmt.Sprint(layer), 3, width, 3, true)
	if err := l.Err(); err != nil {
		return nil, fmt.Errorf("taef2: %w", err)
	}
	return d, nil
}

// Work is the arithmetic of a decoding in multiply-adds for each pixel of the picture.
func Work() float64 {
	const conv = 9 * width * width
	const atLatent = 9*latentChannels*width + 3*(3*conv+2*width*poolWidth)
	const at2, at4, at8 = 4 * (conv + 9*conv), 16 * (conv + 9*conv), 64 * (conv + 3*conv + 9*width*3)
	return (atLatent + at2 + at4 + at8) / 64.0
}

// Decode decodes tokens [(height/16)·(width/16), TokenChannels], as the transformer sees them, to a picture: row-major
// [height·width, 3] with values around [0, 1], which are not clamped. height and width are multiples of 16. In a
// rehearsal the result is nil. Errors are ctx's and the backend's.
func (d *Decoder) Decode(ctx context.Context, tokens backend.Matrix, height, width int) ([]float32, error) {
	b := d.b
	s := backend.NewScope(b)
	defer s.Free()
	var values []float32
	if !backend.Rehearses(b) {
		values = make([]float32, tokens.Rows*tokens.Cols)
		b.Download(values, tokens)
		if err := b.Sync(); err != nil {
			return nil, err
		}
		for i, v := range values {
			values[i] = 3 * float32(math.Tanh(float64(v)/3))
		}
	}
	clamped := s.Upload(tokens.Rows, tokens.Cols, values)
	p := &pass{d: d, height: height / pixelsPerToken * 2, width: width / pixelsPerToken * 2}
	p.x = p.alloc(latentChannels)
	defer func() { b.Free(p.x) }()
	b.Unpatchify(p.x, clamped, p.height, p.width)
	p.convolve(d.first, false)
	d.see(0, p.x)
	b.ReLU(p.x, p.x)
	for _, level := range d.levels {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if level.upsample != nil {
			p.convolve(*level.upsample, true)
			d.see(level.layer, p.x)
		}
		for _, blk := range level.blocks {
			p.block(blk)
			d.see(blk.layer, p.x)
		}
	}
	p.convolve(d.last, false)
	if backend.Rehearses(b) {
		return nil, b.Sync()
	}
	pixels := make([]float32, p.x.Rows*p.x.Cols)
	b.Download(pixels, p.x)
	return pixels, b.Sync()
}

func (d *Decoder) see(layer int, x backend.Matrix) {
	if d.watch != nil {
		d.watch(layer, x)
	}
}

// pass is one decoding. x is the current activation [height·width, channels], which the pass owns.
type pass struct {
	d             *Decoder
	x             backend.Matrix
	height, width int
}

func (p *pass) alloc(channels int) backend.Matrix {
	return p.d.b.Alloc(p.height*p.width, channels, p.d.b.Activation())
}

// convolve replaces x by its convolution, after doubling its size if upsample is set.
func (p *pass) convolve(c convolution, upsample bool) {
	params := backend.ConvParams{Height: p.height, Width: p.width, Upsample: upsample, Bias: c.bias}
	p.height, p.width = params.OutputSize()
	next := p.alloc(c.weight.Shape()[0])
	p.d.b.Conv2D(next, p.x, c.weight, params)
	p.d.b.Free(p.x)
	p.x = next
}

func (p *pass) block(blk block) {
	b, same := p.d.b, backend.ConvParams{Height: p.height, Width: p.width}
	if q := blk.pool; q != nil {
		wide, sum := p.alloc(poolWidth), same
		b.Conv2D(wide, p.x, q.in, same)
		b.GroupNorm(wide, wide, backend.GroupNormParams{Groups: poolGroups, Gamma: q.gamma, Beta: q.beta, Eps: poolEps})
		b.ReLU(wide, wide)
		sum.Add = true
		b.Conv2D(p.x, wide, q.out, sum)
		b.Free(wide)
	}
	convolve := func(dst, x backend.Matrix, c convolution, add bool) {
		params := same
		params.Bias, params.Add, params.ReLU = c.bias, add, true
		b.Conv2D(dst, x, c.weight, params)
	}
	first, second := p.alloc(width), p.alloc(width)
	convolve(first, p.x, blk.convs[0], false)
	convolve(second, first, blk.convs[1], false)
	convolve(p.x, second, blk.convs[2], true)
	b.Free(first, second)
}
