package upscale

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/kleinbild/kleinbild/inference/backend"
	"github.com/kleinbild/kleinbild/inference/tensor"
)

const (
	spanBlocks = 6
	spanRange  = 255 // the network was trained with levels
	// maxSPANWidth bounds the time of folding convolutions. Published networks have 48 channels, and 96 inside.
	maxSPANWidth = 512
)

// spanMean is subtracted from RGB, unless the file has a tensor no_norm.
var spanMean = [3]float32{0.4488, 0.4371, 0.4040}

// span is SPAN: blocks of three convolutions whose last output gates the block's result, without weights of its own for
// that. Each 3×3 convolution stands for three convolutions and a shortcut of the file, folded into one.
type span struct {
	first, second, cat, up convolution
	blocks                 [spanBlocks][3]convolution
	width, scale           int
	normalises             bool
}

// newSPAN loads the network.
func newSPAN(b backend.Backend, src tensor.Source) (architecture, error) {
	n := &span{
		width: tensor.Dim(src, "conv_cat.weight", 0), normalises: tensor.Dim(src, "no_norm", 0) == 0,
	}
	out := tensor.Dim(src, "upsampler.0.weight", 0)
	var err error
	if n.scale, err = shuffleOf(out); err != nil {
		return nil, fmt.Errorf("upsampler.0.weight: %w", err)
	}
	folded := func(name string, in int) (c convolution) {
		if err != nil {
			return c
		}
		var weight, bias tensor.Tensor
		if weight, bias, err = fold(src, name, n.width, in); err != nil {
			return c
		}
		if c.weight, err = b.Weight(weight); err == nil {
			c.bias, err = b.Weight(bias)
		}
		return c
	}
	n.first = folded("conv_1", 3)
	for i := range n.blocks {
		for j := range n.blocks[i] {
			n.blocks[i][j] = folded(fmt.Sprintf("block_%d.c%d_r", i+1, j+1), n.width)
		}
	}
	n.second = folded("conv_2", n.width)
	if err != nil {
		return nil, err
	}
	l := backend.NewLoader(b, src)
	n.cat, n.up = conv(l, "conv_cat", n.width, 4*n.width, 1), conv(l, "upsampler.0", out, n.width, 3)
	return n, l.Err()
}

// fold returns the 3×3 convolution that equals a Conv3XC: 1×1, 3×3 and 1×1 convolutions one behind the other, and a 1×1
// convolution of the input beside them. The file's eval_conv may be out of date, so it is not read.
func fold(src tensor.Source, name string, out, in int) (weight, bias tensor.Tensor, err error) {
	wide := tensor.Dim(src, name+".conv.0.weight", 0)
	middle := tensor.Dim(src, name+".conv.1.weight", 0)
	if max(out, in, wide, middle) > maxSPANWidth {
		return weight, bias, fmt.Errorf("%s: %d, %d and %d channels, want at most %d", name, wide, middle, out, maxSPANWidth)
	}
	host := hostLoader{backend.NewLoader(nil, src)}
	w0, b0 := host.conv(name+".conv.0", wide, in, 1)
	w1, b1 := host.conv(name+".conv.1", middle, wide, 3)
	w2, b2 := host.conv(name+".conv.2", out, middle, 1)
	ws, bs := host.conv(name+".sk", out, in, 1)
	if err := host.Err(); err != nil {
		return weight, bias, err
	}
	const taps, centre = 9, 4
	// inner is [middle, in, taps], the first two convolutions; constant [middle] is what their biases give.
	inner, constant := make([]float64, middle*in*taps), make([]float64, middle)
	for m := range middle {
		constant[m] = b1[m]
		for k := range wide {
			for t := range taps {
				v := w1[(m*wide+k)*taps+t]
				constant[m] += v * b0[k]
				for i := range in {
					inner[(m*in+i)*taps+t] += v * w0[k*in+i]
				}
			}
		}
	}
	weights, biases := make([]float64, out*in*taps), make([]float64, out)
	for o := range out {
		biases[o] = b2[o] + bs[o]
		for m := range middle {
			v := w2[o*middle+m]
			biases[o] += v * constant[m]
			for i, w := range inner[m*in*taps : (m+1)*in*taps] {
				weights[o*in*taps+i] += v * w
			}
		}
		for i := range in {
			weights[(o*in+i)*taps+centre] += ws[o*in+i]
		}
	}
	return floats(name, weights, out, in, 3, 3), floats(name, biases, out), nil
}

// hostLoader reads weights in float64.
type hostLoader struct{ *backend.Loader }

func (l hostLoader) conv(name string, out, in, k int) (weight, bias []float64) {
	return widened(l.Host(name+".weight", out, in, k, k)), widened(l.Host(name+".bias", out))
}

func widened(values []float32) []float64 {
	list := make([]float64, len(values))
	for i, v := range values {
		list[i] = float64(v)
	}
	return list
}

// floats returns a tensor of float32 values.
func floats(name string, values []float64, shape ...int) tensor.Tensor {
	t := tensor.Tensor{Name: name + ", folded", DType: tensor.F32, Shape: shape, Scale: 1}
	for _, v := range values {
		t.Data = binary.LittleEndian.AppendUint32(t.Data, math.Float32bits(float32(v)))
	}
	return t
}

func (n *span) info() Info {
	i := Info{Architecture: "SPAN", Scale: n.scale, Fold: 1, Reach: 3 + 3*spanBlocks}
	i.Work = n.first.work() + n.second.work() + n.cat.work() + n.up.work()
	for _, block := range n.blocks {
		for _, c := range block {
			i.Work += c.work()
		}
	}
	i.Values = max(8*n.width, n.width+2*3*n.scale*n.scale)
	return i
}

func (n *span) input(pixels []float32) {
	if n.normalises {
		for i, v := range pixels {
			pixels[i] = (v - spanMean[i%3]) * spanRange
		}
	}
}

func (n *span) forward(p *pass) {
	b := p.n.b
	// The columns of parts are those that conv_cat takes: of the first convolution, the second one, the first block, and
	// the first convolution of the last block.
	parts := p.alloc(4 * n.width)
	part := parts.Chunks(4)
	p.convolve(part[0], p.x, n.first, false)
	inner, x, next := p.alloc(n.width), p.alloc(n.width), p.alloc(n.width)
	n.block(p, 0, part[2], part[0], part[3], inner)
	p.see("block_1", part[2])
	b.Copy(x, part[2])
	for i := 1; i < spanBlocks; i++ {
		n.block(p, i, next, x, part[3], inner)
		x, next = next, x
	}
	p.convolve(part[1], x, n.second, false)
	p.convolve(x, parts, n.cat, false)
	p.see("conv_cat", x)
	b.Free(parts, inner, next)
	p.replace(x)
	p.finish(n.up)
}

// block stores the result of a block for x in dst, and the output of its first convolution, behind SiLU, in first.
func (n *span) block(p *pass, i int, dst, x, first, second backend.Matrix) {
	b, convs := p.n.b, n.blocks[i]
	p.convolve(first, x, convs[0], false)
	b.SiLU(first, first)
	p.convolve(second, first, convs[1], false)
	b.SiLU(second, second)
	p.convolve(dst, second, convs[2], false)
	b.CentredGate(dst, x, dst)
}
