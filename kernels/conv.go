package kernels

import (
	"fmt"

	"github.com/kleinbild/kleinbild/kernels/cu"
)

const (
	conv              = "conv"
	convNorm          = "conv_norm"
	convFamily Family = "conv"
	// trialGroups is the number of groups when a kernel is measured or tried. It divides the channels of every aligned
	// shape. The statistics before a convolution take the same time, whatever kernel follows.
	trialGroups = 8
)

// OpConv is a convolution of depth channels into cols, of the picture that Shape.Conv describes.
var OpConv = define(Operation{
	Name:     conv,
	Families: []Family{convFamily},
	Fits:     fitsConv,
	Operands: convOperands,
	Launch: func(q *Queue, s Shape, m []Matrix, v Variant) error {
		return q.Conv(m[0], m[1], m[2], Matrix{}, s.Conv, false, v)
	},
	FLOP: convFLOP,
	Trials: []Shape{
		{Operation: conv, Rows: 9 * 18, Cols: 136, Depth: 72, Conv: ConvParams{Height: 9, Width: 18, Kernel: 3}},
		{
			Operation: conv, Rows: 4 * 3 * 5, Cols: 16, Depth: 16,
			Conv: ConvParams{Height: 3, Width: 5, Kernel: 3, Upsample: true},
		},
		{
			Operation: conv, Rows: 4 * 3, Cols: 16, Depth: 16,
			Conv: ConvParams{Height: 8, Width: 6, Kernel: 3, Downsample: true},
		},
	},
	tilesOf: func(s Shape) []*kernel {
		if s.Conv.Downsample { // src/conv.sm_90a.cu does not downsample
			return convTilesSM80
		}
		return convTiles
	},
})

// OpConvNorm is a 3×3 convolution of a picture that is normalised while it is loaded. The operands of a convolution are
// followed by gamma, beta and the working memory of the normalisation, and by memory for the normalised picture, for
// targets whose kernels do not normalise.
var OpConvNorm = define(Operation{
	Name:     convNorm,
	Families: []Family{convFamily, groupNormFamily, elementwiseFamily},
	Fits:     func(s Shape) bool { return fitsConv(s) && s.Conv.folds() },
	Operands: func(s Shape) []Operand {
		work := GroupNormBytes(s.Conv.Height*s.Conv.Width, s.Depth, trialGroups)
		return append(convOperands(s), Operand{1, s.Depth, BF16}, Operand{1, s.Depth, BF16}, Operand{1, int(work), BF16},
			Operand{s.Conv.Height * s.Conv.Width, s.Depth, BF16})
	},
	Launch: func(q *Queue, s Shape, m []Matrix, v Variant) error {
		n := GroupNormParams{Groups: trialGroups, Gamma: m[3], Beta: m[4], Eps: 1e-6, SiLU: true, Work: m[5].Data}
		return q.ConvNorm(m[0], m[1], m[2], Matrix{}, s.Conv, false, n, m[6], v)
	},
	FLOP: convFLOP,
	Trials: []Shape{
		{Operation: convNorm, Rows: 9 * 18, Cols: 136, Depth: 72, Conv: ConvParams{Height: 9, Width: 18, Kernel: 3}},
	},
})

var (
	convTiles     = tilesIn(conv)
	convTilesSM80 = func() []*kernel {
		var tiles []*kernel
		for _, t := range convTiles {
			if t.target == SM80 {
				tiles = append(tiles, t)
			}
		}
		return tiles
	}()
)

func fitsConv(s Shape) bool {
	return s.Depth > 0 && s.Depth%8 == 0 && s.Cols%8 == 0 && s.Conv.check() == nil && s.Rows == s.Conv.outputRows()
}

func convOperands(s Shape) []Operand {
	return []Operand{
		{s.Rows, s.Cols, BF16}, {s.Conv.Height * s.Conv.Width, s.Depth, BF16},
		{s.Cols, s.Conv.Kernel * s.Conv.Kernel * s.Depth, BF16},
	}
}

func convFLOP(s Shape) float64 {
	return 2 * float64(s.Rows) * float64(s.Cols) * float64(s.Depth) * float64(s.Conv.Kernel*s.Conv.Kernel)
}

// ConvParams describes a convolution of stride 1 and zero padding Kernel/2, unless a field says otherwise.
type ConvParams struct {
	// Height and Width are those of the input as stored.
	Height, Width int
	// Kernel is 1 or 3.
	Kernel int
	// Upsample doubles the input by nearest neighbour before convolving.
	Upsample bool
	// Downsample uses stride 2 after padding one row below and one column on the right only.
	Downsample bool
}

// check returns an error for a convolution that no kernel computes.
func (p ConvParams) check() error {
	if p.Kernel != 1 && p.Kernel != 3 || p.Upsample && p.Downsample || p.Downsample && p.Kernel != 3 {
		return fmt.Errorf("conv: a kernel of %d, upsample %v, downsample %v: want 1 or 3, not both, and 3 with downsample",
			p.Kernel, p.Upsample, p.Downsample)
	}
	return nil
}

// OutputSize returns the height and width of the result.
func (p ConvParams) OutputSize() (height, width int) {
	switch {
	case p.Upsample:
		return 2 * p.Height, 2 * p.Width
	case p.Downsample:
		return p.Height / 2, p.Width / 2
	}
	return p.Height, p.Width
}

// outputRows is the number of pixels of the result.
func (p ConvParams) outputRows() int {
	height, width := p.OutputSize()
	return height * width
}

// folds says whether sm_80 has a kernel that normalises what it loads for this convolution.
func (p ConvParams) folds() bool { return p.Kernel == 3 && !p.Upsample && !p.Downsample }

// FoldsNorm says whether ConvNorm on device d normalises x while loading it, so that it needs no normed. It assumes
// that the filters are aligned. It returns false for devices with a target of their own, even if the kernels for that
// target turn out to be unusable; ConvNorm then does not use normed.
func FoldsNorm(d cu.DeviceInfo, x Matrix, p ConvParams) bool {
	for t := SM80 + 1; t < targets; t++ {
		if t.RunsOn(d) && len(kernelsOf(convFamily, t)) > 0 {
			return false
		}
	}
	return p.folds() && x.Cols%8 == 0 && x.rowsAligned()
}

// ConvNorm is Conv of x normalised by n. If a kernel can normalise what it loads, x is read as it is. Otherwise normed,
// BF16 and of the shape of x, holds the normalised picture until the queue has passed. It may be the zero Matrix if
// FoldsNorm returns true.
func (q *Queue) ConvNorm(
	dst, x, w, bias Matrix, p ConvParams, add bool, n GroupNormParams, normed Matrix, variant Variant,
) error {
	k, err := q.convNormKernel(dst, x, w, bias, p, variant)
	if err != nil {
		return err
	}
	if k == nil {
		if err := q.GroupNorm(normed, x, n); err != nil {
			return err
		}
		return q.Conv(dst, normed, w, bias, p, add, Auto)
	}
	scale, shift, err := q.statistics(x, n)
	if err != nil || dst.Rows == 0 || dst.Cols == 0 {
		return err
	}
	patches := ceilDiv(p.Height, k.m/patch) * ceilDiv(p.Width, patch)
	return q.launchConvNorm(k, convNormParams{
		x: x.Data, xStride: x.Stride, w: w.Data, wStride: w.Stride, dst: dst, bias: bias, rows: dst.Rows, cols: dst.Cols,
		add: asInt(add), height: p.Height, width: p.Width, channels: x.Cols, scale: scale.Data, shift: shift.Data,
		silu: asInt(n.SiLU),
	}, patches*ceilDiv(dst.Cols, k.n), 1)
}

// convNormKernel returns the kernel that normalises what it loads, or nil if there is none for the device or the
// operands. The kernels for sm_90a load by TMA, which cannot normalise. They are so fast that normalising before them
// takes less time than the kernels for sm_80 that fold.
func (q *Queue) convNormKernel(dst, x, w, bias Matrix, p ConvParams, variant Variant) (*kernel, error) {
	e := Epilogue{Bias: bias}
	if err := p.checkOperands(dst, x, w, e); err != nil {
		return nil, err
	}
	best, err := q.set.bestTarget(convFamily)
	if err != nil || best != SM80 || !p.folds() {
		return nil, err
	}
	have := e.alignment(alignmentOf(dst, x.Cols, x, w))
	if have == unaligned {
		return nil, nil
	}
	return q.tile(variant, have, Shape{Operation: convNorm, Rows: dst.Rows, Cols: dst.Cols, Depth: x.Cols, Conv: p})
}

// Conv convolves the picture x [height·width, in] by w [out, kernel·kernel·in], a filter's values by row, column and
// channel, adds bias [1, out] unless it is the zero Matrix, and stores the result in dst [outHeight·outWidth, out], or
// adds it to dst if add is set. x and w are BF16.
func (q *Queue) Conv(dst, x, w, bias Matrix, p ConvParams, add bool, variant Variant) error {
	e := Epilogue{Bias: bias}
	if err := p.checkOperands(dst, x, w, e); err != nil {
		return err
	}
	if dst.Rows == 0 || dst.Cols == 0 {
		return nil
	}
	shape := Shape{Operation: conv, Rows: dst.Rows, Cols: dst.Cols, Depth: x.Cols, Conv: p}
	k, err := q.tile(variant, e.alignment(alignmentOf(dst, x.Cols, x, w)), shape)
	if err != nil {
		return err
	}
	if k.target == SM90a {
		return q.patches(k, dst, x, w, bias, p, add)
	}
	_, width := p.OutputSize()
	return q.launchConv(k, convParams{
		x: x.Data, xStride: x.Stride, w: w.Data, wStride: w.Stride, dst: dst, bias: bias, rows: dst.Rows, cols: dst.Cols,
		add: asInt(add), height: p.Height, width: p.Width, channels: x.Cols, outWidth: width, kernel: p.Kernel,
		upsample: asInt(p.Upsample), downsample: asInt(p.Downsample),
	}, k.grid(dst.Rows, dst.Cols, q.set.ctx.Device().SMs), 1)
}

// checkOperands returns an error if the matrices do not fit the convolution.
func (p ConvParams) checkOperands(dst, x, w Matrix, e Epilogue) error {
	if err := check(conv, dst, x, w); err != nil {
		return err
	}
	if err := isBF16(conv, x, w); err != nil {
		return err
	}
	if err := p.check(); err != nil {
		return err
	}
	height, width := p.OutputSize()
	if x.Rows != p.Height*p.Width || x.Cols == 0 || w.Cols != p.Kernel*p.Kernel*x.Cols || dst.Rows != height*width ||
		dst.Cols != w.Rows {
		return fmt.Errorf("%s: %v as %d×%d pixels by %v into %v, want [pixels in], [out %d·in] and [%d out]",
			conv, x, p.Height, p.Width, w, dst, p.Kernel*p.Kernel, height*width)
	}
	return e.check(conv, dst.Cols)
}

// patches launches a tile of src/conv.sm_90a.cu, whose rows are the pixels of a patch.
func (q *Queue) patches(k *kernel, dst, x, w, bias Matrix, p ConvParams, add bool) error {
	height := k.m / patch
	pixels, err := q.tensor(pictureTensor(x, p.Height, p.Width, height, patch))
	if err != nil {
		return err
	}
	filters, err := q.tensor(headTensor(w, w.Rows, p.Kernel*p.Kernel, k.n))
	if err != nil {
		return err
	}
	patches := ceilDiv(p.Height, height) * ceilDiv(p.Width, patch)
	if p.Upsample {
		patches *= 4
	}
	return q.launchConvWGMMA(k, convWGMMAParams{
		pixels: pixels, filters: filters, dst: dst, bias: bias, cols: dst.Cols, add: asInt(add), height: p.Height,
		width:    p.Width,
		channels: x.Cols, kernel: p.Kernel, upsample: asInt(p.Upsample),
	}, k.grid(patches*k.m, dst.Cols, q.set.ctx.Device().SMs), 1)
}
