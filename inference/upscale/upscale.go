// Package upscale enlarges pictures with small convolutional networks: SRVGGNetCompact, RRDBNet (ESRGAN) and SPAN.
//
// What enters is a picture in rows of RGB from 0 to 1; what leaves is the same picture with each side Scale times as
// long, not clamped. The network is recognised by the names and shapes of its weights, and all widths are read from the
// shapes. Tiles divides large pictures and joins the enlarged parts without seams. Networks of other architectures are
// refused by their name. The package knows nothing of files.
//
// The arithmetic follows the architectures' authors, as chaiNNer-org/spandrel collects them.
package upscale

import (
	"context"
	"fmt"

	"github.com/kleinbild/kleinbild/inference/backend"
	"github.com/kleinbild/kleinbild/inference/tensor"
)

// Network is a network that enlarges pictures, its weights loaded on a backend.
type Network struct {
	b    backend.Backend
	arch architecture
	info Info
	// watch, unless nil, is called with the inner stages that tests compare.
	watch func(stage string, x backend.Matrix)
}

// Info describes a network.
type Info struct {
	Architecture string // "SRVGGNetCompact", "RRDBNet" or "SPAN"
	// Scale is how many times as long the sides become.
	Scale int
	// Fold is the side of the squares of pixels that the network sees as one; 1 for most. Tiles begin at its multiples.
	Fold int
	// Reach is how many pixels of the picture a pixel of the result depends on, in each direction.
	Reach int
	// Work is the arithmetic in multiply-adds for each pixel of the picture.
	Work float64
	// Values is the greatest number of values of activations that are kept at a time for each pixel of the picture.
	Values int
}

// architecture is a network's arithmetic.
type architecture interface {
	info() Info
	// forward replaces the input p.x, [height·width, 3·fold²], by the result before any shuffling of pixels.
	forward(p *pass)
	// input prepares RGB values from 0 to 1 in place.
	input(pixels []float32)
}

// New loads the network whose weights src has, under the names of its author and without a root such as "params_ema".
// The error of another network names its architecture, if it is known.
func New(b backend.Backend, src tensor.Source) (*Network, error) {
	load, err := recognise(src)
	if err != nil {
		return nil, fmt.Errorf("upscale: %w", err)
	}
	arch, err := load(b)
	if err != nil {
		return nil, fmt.Errorf("upscale: %w", err)
	}
	return &Network{b: b, arch: arch, info: arch.info()}, nil
}

// Info describes the network.
func (n *Network) Info() Info { return n.info }

// Enlarge enlarges a picture: pixels is row-major [height·width, 3] with values from 0 to 1, and so is the result
// [Scale·height·Scale·width, 3], whose values are not clamped. progress, which may be nil, is called with the share of
// the work that is done. In a rehearsal pixels and the result are nil. Errors are ctx's and the backend's.
func (n *Network) Enlarge(
	ctx context.Context, pixels []float32, height, width int, progress func(share float64),
) ([]float32, error) {
	b, fold, scale := n.b, n.info.Fold, n.info.Scale
	rehearsal := backend.Rehearses(b)
	// Sides that fold does not divide are continued by reflection.
	padded := func(side int) int { return (side + fold - 1) / fold * fold }
	p := &pass{n: n, ctx: ctx, height: padded(height), width: padded(width), progress: progress}
	var in []float32
	if !rehearsal {
		in = reflected(pixels, height, width, p.height, p.width)
		n.arch.input(in)
	}
	s := backend.NewScope(b)
	defer s.Free()
	full := s.Upload(p.height*p.width, 3, in)
	p.total = n.info.Work * float64(p.height*p.width)
	p.height, p.width = p.height/fold, p.width/fold
	p.x = b.Alloc(p.height*p.width, 3*fold*fold, b.Activation())
	defer func() { b.Free(p.x) }()
	b.Patchify(p.x, full, p.height*fold, p.width*fold)
	n.arch.forward(p)
	height0, width0 := padded(height)*scale, padded(width)*scale
	out := s.AllocAs(height0*width0, 3, tensor.F32)
	b.Unpatchify(out, p.x, height0, width0)
	if rehearsal {
		return nil, b.Sync()
	}
	if p.err != nil {
		return nil, p.err
	}
	enlarged := make([]float32, out.Rows*out.Cols)
	b.Download(enlarged, out)
	if err := b.Sync(); err != nil {
		return nil, err
	}
	if a, ok := n.arch.(interface{ addsInput() bool }); ok && a.addsInput() {
		addRepeated(enlarged, pixels, height, width, scale)
	}
	return cropped(enlarged, width0, height*scale, width*scale), nil
}

// reflected returns the picture with rows and columns added below and on the right, which mirror those before the last.
func reflected(pixels []float32, height, width, toHeight, toWidth int) []float32 {
	out := make([]float32, 3*toHeight*toWidth)
	mirror := func(i, n int) int {
		for i >= n {
			i = max(2*(n-1)-i, 0)
		}
		return i
	}
	for y := range toHeight {
		row := pixels[3*width*mirror(y, height):][:3*width]
		to := out[3*toWidth*y:][:3*toWidth]
		copy(to, row)
		for x := width; x < toWidth; x++ {
			copy(to[3*x:], row[3*mirror(x, width):][:3])
		}
	}
	return out
}

// addRepeated adds to each pixel of an enlarged picture the pixel that it comes from.
func addRepeated(enlarged, pixels []float32, height, width, scale int) {
	for y := range height * scale {
		row, from := enlarged[3*width*scale*y:][:3*width*scale], pixels[3*width*(y/scale):][:3*width]
		for i := range row {
			row[i] += from[i/3/scale*3+i%3]
		}
	}
}

// cropped returns the upper left part of a picture whose rows have stride pixels.
func cropped(pixels []float32, stride, height, width int) []float32 {
	if stride != width {
		for y := range height {
			copy(pixels[3*width*y:3*width*(y+1)], pixels[3*stride*y:])
		}
	}
	return pixels[:3*width*height]
}

// convolution has weights [out, in, k, k] and bias [out].
type convolution struct{ weight, bias backend.Weight }

// conv loads a convolution with k × k positions.
func conv(l *backend.Loader, name string, out, in, k int) convolution {
	return convolution{l.Get(name+".weight", out, in, k, k), l.Get(name+".bias", out)}
}

// work is the arithmetic of a convolution for each pixel of its result.
func (c convolution) work() float64 {
	shape := c.weight.Shape()
	return float64(tensor.Elements(shape))
}

// pass is one run of a network. x is the current activation [height·width, channels], which the pass owns.
type pass struct {
	n             *Network
	ctx           context.Context
	x             backend.Matrix
	height, width int
	progress      func(share float64)
	done, total   float64
	err           error
}

func (p *pass) alloc(channels int) backend.Matrix {
	return p.n.b.Alloc(p.height*p.width, channels, p.n.b.Activation())
}

// finish replaces the current activation by the convolution of it that is the network's result: in float32, because a
// bfloat16 is coarser than a level of 8 bits.
func (p *pass) finish(c convolution) {
	result := p.n.b.Alloc(p.height*p.width, c.weight.Shape()[0], tensor.F32)
	p.convolve(result, p.x, c, false)
	p.replace(result)
}

// replace frees the current activation and puts x in its place.
func (p *pass) replace(x backend.Matrix) {
	p.n.b.Free(p.x)
	p.x = x
}

// convolve stores the convolution of x in dst, or adds it to dst.
func (p *pass) convolve(dst, x backend.Matrix, c convolution, add bool) {
	p.n.b.Conv2D(dst, x, c.weight, backend.ConvParams{Height: p.height, Width: p.width, Bias: c.bias, Add: add})
	p.worked(c)
}

// upsample replaces x by its convolution after doubling its size.
func (p *pass) upsample(c convolution) {
	params := backend.ConvParams{Height: p.height, Width: p.width, Upsample: true, Bias: c.bias}
	p.height, p.width = params.OutputSize()
	next := p.alloc(c.weight.Shape()[0])
	p.n.b.Conv2D(next, p.x, c.weight, params)
	p.replace(next)
	p.worked(c)
}

// worked reports a convolution at the present size, and notices the end of the context.
func (p *pass) worked(c convolution) {
	p.done += c.work() * float64(p.height*p.width)
	if p.err == nil && p.ctx.Err() != nil {
		p.err = context.Cause(p.ctx)
	}
	if p.progress != nil && p.err == nil {
		p.progress(min(p.done/p.total, 1))
	}
}

func (p *pass) see(stage string, x backend.Matrix) {
	if p.n.watch != nil {
		p.n.watch(stage, x)
	}
}
