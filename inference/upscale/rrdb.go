package upscale

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/kleinbild/kleinbild/inference/backend"
	"github.com/kleinbild/kleinbild/inference/tensor"
)

const (
	denseConvs    = 5   // convolutions of a dense block
	denseBlocks   = 3   // dense blocks of a block of the trunk
	residualScale = 0.2 // of dense blocks and of blocks of the trunk
	leak          = 0.2 // slope of the leaky ReLU
)

// rrdb is RRDBNet, the network of ESRGAN: a trunk of residual blocks of densely connected convolutions at the picture's
// size, then doublings of the size with a convolution each. Networks with a smaller scale see squares of fold × fold
// pixels as one.
type rrdb struct {
	first, body, hr, last convolution
	trunk                 [][denseBlocks][denseConvs]convolution
	ups                   []convolution
	width, growth, fold   int
	// wide and narrow are the slopes of the leaky ReLU for each channel of the trunk and of the growth.
	wide, narrow backend.Weight
}

// newRRDB loads the network by its new names.
func newRRDB(b backend.Backend, src tensor.Source) (architecture, error) {
	n := &rrdb{
		width: tensor.Dim(src, "conv_first.weight", 0), growth: tensor.Dim(src, "body.0.rdb1.conv1.weight", 0), fold: 1,
	}
	in := tensor.Dim(src, "conv_first.weight", 1)
	for n.fold < 4 && 3*n.fold*n.fold < in {
		n.fold *= 2
	}
	if 3*n.fold*n.fold != in {
		return nil, fmt.Errorf("conv_first.weight: %d channels of the picture, want 3, 12 or 48", in)
	}
	l := backend.NewLoader(b, src)
	n.first = conv(l, "conv_first", n.width, in, 3)
	for i := 0; tensor.Dim(src, fmt.Sprintf("body.%d.rdb1.conv1.weight", i), 0) > 0 && i < maxLayers; i++ {
		var block [denseBlocks][denseConvs]convolution
		for j := range block {
			for k := range block[j] {
				out := n.growth
				if k == denseConvs-1 {
					out = n.width
				}
				block[j][k] = conv(l, fmt.Sprintf("body.%d.rdb%d.conv%d", i, j+1, k+1), out, n.width+k*n.growth, 3)
			}
		}
		n.trunk = append(n.trunk, block)
	}
	n.body = conv(l, "conv_body", n.width, n.width, 3)
	for i := 1; tensor.Dim(src, fmt.Sprintf("conv_up%d.weight", i), 0) > 0 && i <= maxDoublings; i++ {
		n.ups = append(n.ups, conv(l, fmt.Sprintf("conv_up%d", i), n.width, n.width, 3))
	}
	n.hr, n.last = conv(l, "conv_hr", n.width, n.width, 3), conv(l, "conv_last", 3, n.width, 3)
	if err := l.Err(); err != nil {
		return nil, err
	}
	if 1<<len(n.ups)%n.fold != 0 {
		return nil, fmt.Errorf("RRDBNet that makes pictures smaller: %d doublings, squares of %d×%d pixels",
			len(n.ups), n.fold, n.fold)
	}
	var err, err2 error
	n.wide, err = leaky(b, n.width)
	n.narrow, err2 = leaky(b, n.growth)
	return n, errors.Join(err, err2)
}

// leaky returns the slope of the leaky ReLU for each of n channels.
func leaky(b backend.Backend, n int) (backend.Weight, error) {
	t := tensor.Tensor{Name: "slopes of the leaky ReLU", DType: tensor.F32, Shape: []int{n}, Scale: 1}
	for range n {
		t.Data = binary.LittleEndian.AppendUint32(t.Data, math.Float32bits(leak))
	}
	return b.Weight(t)
}

func (n *rrdb) info() Info {
	i := Info{Architecture: "RRDBNet", Scale: 1 << len(n.ups) / n.fold, Fold: n.fold}
	i.Work = n.first.work() + n.body.work()
	for _, block := range n.trunk {
		for _, dense := range block {
			for _, c := range dense {
				i.Work += c.work()
			}
		}
	}
	reach, pixels := float64(2+len(n.trunk)*denseBlocks*denseConvs), 1.0
	for _, c := range n.ups {
		pixels *= 4
		i.Work += pixels * c.work()
		reach += 1 / math.Sqrt(pixels)
	}
	i.Work += pixels * (n.hr.work() + n.last.work())
	reach += 2 / math.Sqrt(pixels)
	folded := n.fold * n.fold
	i.Work /= float64(folded)
	i.Reach = int(math.Ceil(reach)) * n.fold
	i.Values = (max(3*n.width+denseConvs*n.growth, int(pixels)*2*n.width) + folded - 1) / folded
	return i
}

func (n *rrdb) input([]float32) {}

func (n *rrdb) forward(p *pass) {
	b := p.n.b
	first := p.alloc(n.width)
	p.convolve(first, p.x, n.first, false)
	p.replace(first)
	p.see("conv_first", p.x)
	n.runTrunk(p)
	p.see("trunk", p.x)
	for _, up := range n.ups {
		p.upsample(up)
		b.PReLU(p.x, p.x, n.wide)
	}
	hr := p.alloc(n.width)
	p.convolve(hr, p.x, n.hr, false)
	p.replace(hr)
	b.PReLU(p.x, p.x, n.wide)
	p.finish(n.last)
}

// runTrunk adds the trunk's result to p.x. The columns of dense are the channels that a dense block has so far: first
// its input, then what each convolution adds.
func (n *rrdb) runTrunk(p *pass) {
	b := p.n.b
	dense, start, fresh := p.alloc(n.width+(denseConvs-1)*n.growth), p.alloc(n.width), p.alloc(n.width)
	x := dense.ColRange(0, n.width)
	b.Copy(x, p.x)
	for i, block := range n.trunk {
		b.Copy(start, x)
		for j, convs := range block {
			at := n.width
			for _, c := range convs[:denseConvs-1] {
				grown := dense.ColRange(at, at+n.growth)
				p.convolve(grown, dense.ColRange(0, at), c, false)
				b.PReLU(grown, grown, n.narrow)
				at += n.growth
			}
			p.convolve(fresh, dense, convs[denseConvs-1], false)
			b.AddScaled(x, x, fresh, residualScale)
			if i == 0 && j == 0 {
				p.see("rdb1", x)
			}
		}
		b.AddScaled(x, start, x, residualScale)
	}
	p.convolve(p.x, x, n.body, true)
	b.Free(dense, start, fresh)
}
