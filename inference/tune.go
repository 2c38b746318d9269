package inference

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/adrg/xdg"

	"kleinbild/inference/flux2"
	"kleinbild/inference/qwen3"
	"kleinbild/kernels"
	"kleinbild/kernels/cu"
	"kleinbild/kernels/ptxsim"
)

// KernelTimes is what was measured for one shape of an operation.
type KernelTimes = kernels.Measurement

// kernelChoicesDir is where the choices among a graphics card's kernels are kept.
func kernelChoicesDir() string { return filepath.Join(xdg.CacheHome, "kleinbild") }

// TuneReport is what Tune has found.
type TuneReport struct {
	// Device is the graphics card, GEMM and Attention the targets that those kernels are made for.
	Device, GEMM, Attention string
	Times                   []KernelTimes
	// Dir is where the choices are kept.
	Dir string
}

// Tune measures the kernels that compete on the graphics card, at the shapes of FLUX.2 [klein] 4B and a picture of
// width × height, and keeps the choices, which later runs follow; what is known is not measured again unless again. On
// device "sim" shapes are tiny, times mean nothing, and nothing is kept. progress is told of each shape measured.
func Tune(ctx context.Context, device Device, width, height int, again bool, progress func(KernelTimes)) (r TuneReport, err error) {
	o := kernels.TuneOptions{Dir: kernelChoicesDir(), Again: again, Report: progress}
	model := fourB
	var c cu.Context
	switch device {
	case DeviceCUDA:
		c, err = cu.Device(0).MakeContext()
	case "sim":
		c, model = ptxsim.Open(ptxsim.Device{}), tiny
		width, height = 32, 32
		o.Dir, o.Rounds, o.Budget = "", 1, time.Minute
	default:
		err = fmt.Errorf("want cuda or sim")
	}
	if err != nil {
		return r, fmt.Errorf("tune: device %s: %w", device, err)
	}
	defer c.Close()
	set := kernels.New(c)
	r.Device, r.Dir = c.Device().Name, o.Dir
	if r.GEMM, err = set.Target(kernels.GEMM); err != nil {
		return r, err
	}
	if r.Attention, err = set.Target(kernels.Attention); err != nil {
		return r, err
	}
	r.Times, err = set.Tune(ctx, model.shapes(c.Device(), width, height), o)
	return r, err
}

// modelSizes are the sizes that decide the shapes of a run.
type modelSizes struct {
	transformer flux2.Config
	encoder     qwen3.Config
	text        int
	vae         [4]int // channels, by level
}

var (
	fourB = modelSizes{
		transformer: flux2.Config{InChannels: 128, Heads: 24, HeadDim: 128, ContextDim: 7680, TimeChannels: 256, MLPRatio: 3},
		encoder:     qwen3.Config{HiddenSize: 2560, IntermediateSize: 9728, Heads: 32, KVHeads: 8, HeadDim: 128},
		text:        MaxSequenceLength, vae: [4]int{128, 256, 512, 512},
	}
	tiny = modelSizes{
		transformer: flux2.Config{InChannels: 64, Heads: 1, HeadDim: 128, ContextDim: 96, TimeChannels: 32, MLPRatio: 1},
		encoder:     qwen3.Config{HiddenSize: 32, IntermediateSize: 80, Heads: 2, KVHeads: 1, HeadDim: 128},
		text:        16, vae: [4]int{16, 16, 16, 32},
	}
)

// shapes lists what a text-to-image run launches with a choice of kernels, each once: the products and attentions of the
// text encoder and the transformer, then the decoder's convolutions. The last single block's have fewer rows.
func (m modelSizes) shapes(device cu.DeviceInfo, width, height int) []kernels.Shape {
	var all []kernels.Shape
	seen := map[kernels.Shape]bool{}
	add := func(s kernels.Shape) {
		if !seen[s] {
			seen[s] = true
			all = append(all, s)
		}
	}
	linear := func(rows, cols, depth int) {
		add(kernels.Shape{Operation: "gemm", Rows: rows, Cols: cols, Depth: depth})
	}
	// queries and keys, which leave their product as heads
	heads := func(rows, cols, depth, width int) {
		e := kernels.Epilogue{QKNormRoPE: kernels.QKNormRoPE{Cols: cols, Weight: kernels.Matrix{Cols: width}}}
		add(kernels.Shape{Operation: e.Operation(), Rows: rows, Cols: cols, Depth: depth})
	}
	swiglu := func(rows, cols, depth int) {
		add(kernels.Shape{Operation: "swiglu", Rows: rows, Cols: cols, Depth: depth})
	}

	e, q := m.encoder, m.encoder.Heads*m.encoder.HeadDim
	heads(m.text, q, e.HiddenSize, e.HeadDim)
	heads(m.text, e.KVHeads*e.HeadDim, e.HiddenSize, e.HeadDim)
	linear(m.text, e.KVHeads*e.HeadDim, e.HiddenSize)
	add(kernels.Shape{Operation: "attention", Rows: m.text, Cols: q, Depth: m.text, Heads: e.Heads, KVHeads: e.KVHeads, Causal: true})
	linear(m.text, e.HiddenSize, q)
	swiglu(m.text, e.IntermediateSize, e.HiddenSize)
	linear(m.text, e.HiddenSize, e.IntermediateSize)

	t, d, mlp := m.transformer, m.transformer.Hidden(), m.transformer.MLPHidden()
	image := width / 16 * height / 16
	for _, parts := range []int{6, 3, 2} { // modulations of double blocks, of single ones, of the output
		linear(1, parts*d, d)
	}
	linear(m.text, d, t.ContextDim)
	linear(image, d, t.InChannels)
	for _, rows := range []int{image, m.text} {
		heads(rows, d, d, t.HeadDim)
		linear(rows, d, d)
		swiglu(rows, mlp, d)
		linear(rows, d, mlp)
	}
	joint := image + m.text
	heads(joint, d, d, t.HeadDim)
	heads(joint, 2*d, d, t.HeadDim)
	add(kernels.Shape{Operation: "attention", Rows: joint, Cols: d, Depth: joint, Heads: t.Heads, KVHeads: t.Heads})
	swiglu(joint, mlp, d)
	linear(joint, d, d+mlp)

	h, w := height/8, width/8
	conv := func(out, in, kernel int, up, normed bool) {
		c := kernels.ConvShape{Height: h, Width: w, Kernel: kernel, Upsample: up}
		oh, ow := c.OutputSize()
		operation := "conv"
		if normed && kernels.FoldsNorm(device, kernels.Matrix{Cols: in, Stride: in}, c) {
			operation = "conv_norm"
		}
		add(kernels.Shape{Operation: operation, Rows: oh * ow, Cols: out, Depth: in, Conv: c})
		h, w = oh, ow
	}
	deepest := m.vae[len(m.vae)-1]
	latents := t.InChannels / 4
	conv(latents, latents, 1, false, false)
	conv(deepest, latents, 3, false, false)
	linear(h*w, deepest, deepest)
	in := deepest
	for level := len(m.vae) - 1; level >= 0; level-- {
		out := m.vae[level]
		conv(out, in, 3, false, true)
		if in != out {
			conv(out, in, 1, false, false)
		}
		conv(out, out, 3, false, true)
		if level > 0 {
			conv(out, out, 3, true, false)
		}
		in = out
	}
	return all
}
