package upscale

import (
	"fmt"

	"github.com/kleinbild/kleinbild/inference/backend"
	"github.com/kleinbild/kleinbild/inference/tensor"
)

// compact is SRVGGNetCompact: convolutions with PReLU between them, all at the picture's size, whose result is shuffled
// to the larger size and added to the picture enlarged by repetition.
type compact struct {
	convs  []convolution
	slopes []backend.Weight // of the PReLU behind each convolution but the last
	width  int
	scale  int
}

// newCompact loads the network. Its weights are body.0, body.1, …: convolutions have even numbers.
func newCompact(b backend.Backend, src tensor.Source) (architecture, error) {
	c := &compact{width: tensor.Dim(src, "body.0.weight", 0)}
	last := 0
	for last+2 < 2*maxLayers && tensor.Dim(src, fmt.Sprintf("body.%d.weight", last+2), 0) > 0 {
		last += 2
	}
	out := tensor.Dim(src, fmt.Sprintf("body.%d.weight", last), 0)
	var err error
	if c.scale, err = shuffleOf(out); err != nil {
		return nil, fmt.Errorf("body.%d.weight: %w", last, err)
	}
	l := backend.NewLoader(b, src)
	in := 3
	for i := 0; i < last; i += 2 {
		c.convs = append(c.convs, conv(l, fmt.Sprintf("body.%d", i), c.width, in, 3))
		c.slopes = append(c.slopes, l.Get(fmt.Sprintf("body.%d.weight", i+1), c.width))
		in = c.width
	}
	c.convs = append(c.convs, conv(l, fmt.Sprintf("body.%d", last), out, in, 3))
	return c, l.Err()
}

func (c *compact) info() Info {
	i := Info{Architecture: "SRVGGNetCompact", Scale: c.scale, Fold: 1, Reach: len(c.convs)}
	for _, conv := range c.convs {
		i.Work += conv.work()
	}
	i.Values = max(2*c.width, c.width+3*c.scale*c.scale) + 3*c.scale*c.scale
	return i
}

func (c *compact) input([]float32) {}

// addsInput says that the enlarged input is added to the result.
func (c *compact) addsInput() bool { return true }

func (c *compact) forward(p *pass) {
	for i, slope := range c.slopes {
		next := p.alloc(c.width)
		p.convolve(next, p.x, c.convs[i], false)
		p.replace(next)
		p.n.b.PReLU(p.x, p.x, slope)
		if i == 0 {
			p.see("first", p.x)
		}
	}
	p.finish(c.convs[len(c.slopes)])
	p.see("before-shuffle", p.x)
}
