package kernels

import (
	"fmt"

	"kleinbild/kernels/cu"
)

// The tiles of src/conv.cu and src/conv.sm_90a.cu.
var convTiles = []tile{
	{name: "conv_256x128", m: 256, n: 128, k: 32, threads: 256, stages: 3, blocks: 1},
	{name: "conv_128x128", m: 128, n: 128, k: 32, threads: 128, stages: 3, blocks: 2},
	{name: "conv_128x128_deep", m: 128, n: 128, k: 32, threads: 128, stages: 4, blocks: 2},
	{name: "conv_128x32", m: 128, n: 32, k: 32, threads: 128, stages: 4, blocks: 2, takes: loose},
	{name: "conv_any", m: 64, n: 64, k: 32, threads: 128, stages: 2, blocks: 3, takes: unaligned},
	{name: "conv_wgmma_128x256", target: sm90a, m: 128, n: 256, k: 64, threads: 384, stages: 4, blocks: 1},
	{name: "conv_wgmma_256x128", target: sm90a, m: 256, n: 128, k: 64, threads: 384, stages: 4, blocks: 1},
	{name: "conv_wgmma_128x128_twin", target: sm90a, m: 128, n: 128, k: 64, threads: 256, stages: 3, blocks: 2},
}

// convNormTiles normalise what they load, src/halo.h.
var convNormTiles = []tile{
	halos(tile{name: "conv_norm_256x128", m: 256, n: 128, k: 32, threads: 256, stages: 3, blocks: 1}),
	halos(tile{name: "conv_norm_128x128", m: 128, n: 128, k: 32, threads: 128, stages: 3, blocks: 2}),
	halos(tile{name: "conv_norm_128x32", m: 128, n: 32, k: 32, threads: 128, stages: 4, blocks: 2, takes: loose}),
}

// halos gives a tile its shared memory: two patches with the pixels around them, and the filters' stages.
func halos(t tile) tile {
	patch := (t.m/convPatch + 2) * (convPatch + 2)
	t.sharedBytes = (2*patch + t.stages*t.n) * t.k * 2
	return t
}

// convPatch is the width of the patches that tiles of sm_90a and of convNormTiles are made of.
const convPatch = 16

// ConvVariants names the kernels that Conv chooses from, by Variant, for all targets.
func ConvVariants() []string { return variants(convTiles) }

// ConvNormVariants names those that ConvNorm chooses from where it folds.
func ConvNormVariants() []string { return variants(convNormTiles) }

// ConvShape describes a convolution of stride 1 and zero padding Kernel/2, unless changed.
type ConvShape struct {
	// Height and Width are of the input as stored.
	Height, Width int
	// Kernel is 1 or 3.
	Kernel int
	// Upsample doubles the input by nearest neighbour before convolving.
	Upsample bool
	// Downsample uses stride 2 after padding one row below and one column on the right only.
	Downsample bool
}

// check refuses what no kernel computes.
func (s ConvShape) check() error {
	if s.Kernel != 1 && s.Kernel != 3 || s.Upsample && s.Downsample || s.Downsample && s.Kernel != 3 {
		return fmt.Errorf("conv: a kernel of %d, upsample %v, downsample %v: want 1 or 3, not both, and 3 with downsample", s.Kernel, s.Upsample, s.Downsample)
	}
	return nil
}

// OutputSize returns the height and width of the result.
func (s ConvShape) OutputSize() (height, width int) {
	switch {
	case s.Upsample:
		return 2 * s.Height, 2 * s.Width
	case s.Downsample:
		return s.Height / 2, s.Width / 2
	}
	return s.Height, s.Width
}

// FoldsNorm says that on such a device ConvNorm normalises x while it loads it, and needs no normed. Filters are aligned where
// x is.
func FoldsNorm(d cu.DeviceInfo, x Matrix, s ConvShape) bool {
	for t := sm80 + 1; t < targets; t++ {
		if t.runsOn(d) && len(kernelsOf(Conv, t)) > 0 {
			return false
		}
	}
	return s.folds() && x.Cols%8 == 0 && x.rowsAligned()
}

// folds says whether some kernel normalises what it loads for the convolution.
func (s ConvShape) folds() bool { return s.Kernel == 3 && !s.Upsample && !s.Downsample }

// ConvNorm is Conv of x normalised by n. Where kernels fold that into what they load, x is read as it is; else normed, of the
// shape of x and BF16, holds it until the queue has passed. The zero Matrix will do where FoldsNorm says so.
func (q *Queue) ConvNorm(dst, x, w, bias Matrix, s ConvShape, add bool, n Normalisation, normed Matrix, variant Variant) error {
	t, folds, err := q.convNorm(dst, x, w, bias, s, variant)
	if err != nil {
		return err
	}
	if !folds {
		if err := q.GroupNorm(normed, x, n); err != nil {
			return err
		}
		return q.Conv(dst, normed, w, bias, s, add, Auto)
	}
	scale, shift, err := q.statistics(x, n)
	if err != nil || dst.Rows == 0 || dst.Cols == 0 {
		return err
	}
	q.args.Reset().Ptr(x.Data).Int32(int32(x.Stride)).Ptr(w.Data).Int32(int32(w.Stride))
	q.matrix(dst)
	q.matrix(bias)
	q.size(dst).Int32(truth(add)).Int32(int32(s.Height)).Int32(int32(s.Width)).Int32(int32(x.Cols)).
		Ptr(scale.Data).Ptr(shift.Data).Int32(truth(n.SiLU))
	patches := ceilDiv(s.Height, t.m/convPatch) * ceilDiv(s.Width, convPatch)
	return q.launch(Conv, t.kernel(), patches*ceilDiv(dst.Cols, t.n), 1)
}

// convNorm chooses the kernel that normalises what it loads, if there is one: the kernels for sm_90a load by TMA, which
// computes nothing, and are faster all the same.
func (q *Queue) convNorm(dst, x, w, bias Matrix, s ConvShape, variant Variant) (t tile, folds bool, err error) {
	e := Epilogue{Bias: bias}
	if err := s.checkOperands(dst, x, w, e); err != nil {
		return t, false, err
	}
	best, err := q.set.bestTarget(Conv)
	if err != nil || best != sm80 || !s.folds() {
		return t, false, err
	}
	have := e.alignment(alignmentOf(dst, x.Cols, x, w))
	if have == unaligned {
		return t, false, nil
	}
	t, err = q.choose(convNormTiles, variant, have, Shape{Operation: "conv_norm", Rows: dst.Rows, Cols: dst.Cols, Depth: x.Cols, Conv: s})
	return t, err == nil, err
}

// Conv convolves the picture x [height·width, in] by w [out, kernel·kernel·in], a filter's values by row, column and
// channel as Taps orders them, adds bias [1, out] unless it is the zero Matrix, and stores the result in dst
// [outHeight·outWidth, out], or adds it to dst where add. All but bias are BF16.
func (q *Queue) Conv(dst, x, w, bias Matrix, s ConvShape, add bool, variant Variant) error {
	e := Epilogue{Bias: bias}
	if err := s.checkOperands(dst, x, w, e); err != nil {
		return err
	}
	if dst.Rows == 0 || dst.Cols == 0 {
		return nil
	}
	_, width := s.OutputSize()
	shape := Shape{Operation: "conv", Rows: dst.Rows, Cols: dst.Cols, Depth: x.Cols, Conv: s}
	t, err := q.choose(convTiles, variant, e.alignment(alignmentOf(dst, x.Cols, x, w)), shape)
	if err != nil {
		return err
	}
	sms := q.set.ctx.Device().SMs
	if t.target == sm90a {
		return q.convPatches(t, dst, x, w, bias, s, add, sms)
	}
	q.args.Reset().Ptr(x.Data).Int32(int32(x.Stride)).Ptr(w.Data).Int32(int32(w.Stride))
	q.matrix(dst)
	q.matrix(bias)
	q.size(dst).Int32(truth(add)).Int32(int32(s.Height)).Int32(int32(s.Width)).Int32(int32(x.Cols)).Int32(int32(width)).
		Int32(int32(s.Kernel)).Int32(truth(s.Upsample)).Int32(truth(s.Downsample))
	return q.launch(Conv, t.kernel(), t.grid(dst.Rows, dst.Cols, sms), 1)
}

// checkOperands refuses matrices that do not fit the convolution.
func (s ConvShape) checkOperands(dst, x, w Matrix, e Epilogue) error {
	const operation = "conv"
	if err := check(operation, dst, x, w); err != nil {
		return err
	}
	if err := isBF16(operation, dst, x, w); err != nil {
		return err
	}
	if err := s.check(); err != nil {
		return err
	}
	height, width := s.OutputSize()
	if x.Rows != s.Height*s.Width || x.Cols == 0 || w.Cols != s.Kernel*s.Kernel*x.Cols || dst.Rows != height*width || dst.Cols != w.Rows {
		return fmt.Errorf("%s: %v as %d×%d pixels by %v into %v, want [pixels in], [out %d·in] and [%d out]",
			operation, x, s.Height, s.Width, w, dst, s.Kernel*s.Kernel, height*width)
	}
	return e.check(operation, dst.Cols)
}

// convPatches launches a tile of src/conv.sm_90a.cu.
func (q *Queue) convPatches(t tile, dst, x, w, bias Matrix, s ConvShape, add bool, sms int) error {
	height := t.m / convPatch
	q.args.Reset()
	if err := q.tensor(pictureTensor(x, s.Height, s.Width, height, convPatch)); err != nil {
		return err
	}
	if err := q.tensor(headTensor(w, w.Rows, s.Kernel*s.Kernel, t.n)); err != nil {
		return err
	}
	q.matrix(dst)
	q.matrix(bias).Int32(int32(dst.Cols)).Int32(truth(add)).Int32(int32(s.Height)).Int32(int32(s.Width)).Int32(int32(x.Cols)).
		Int32(int32(s.Kernel)).Int32(truth(s.Upsample))
	patches := ceilDiv(s.Height, height) * ceilDiv(s.Width, convPatch)
	if s.Upsample {
		patches *= 4
	}
	return q.launch(Conv, t.kernel(), t.grid(patches*t.m, dst.Cols, sms), 1)
}
