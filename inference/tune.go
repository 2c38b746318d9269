package inference

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/adrg/xdg"

	"github.com/kleinbild/kleinbild/inference/checkpoint"
	"github.com/kleinbild/kleinbild/inference/checkpoint/synthetic"
	"github.com/kleinbild/kleinbild/inference/cuda"
	"github.com/kleinbild/kleinbild/inference/picture"
	"github.com/kleinbild/kleinbild/kernels"
	"github.com/kleinbild/kleinbild/kernels/tune"
)

// KernelTimes is what was measured for one shape of an operation.
type KernelTimes = tune.Measurement

// kernelChoicesDir is the folder where the choices among a graphics card's kernels are kept.
func kernelChoicesDir() string { return filepath.Join(xdg.CacheHome, "kleinbild") }

// TuneReport is what Tune has found.
type TuneReport struct {
	// Device is the graphics card. GEMM and Attention name the kind of card that the kernels used for products and
	// attention are made for.
	Device, GEMM, Attention string
	Times                   []KernelTimes
	// Dir is the folder where the choices are kept, "" if they are not.
	Dir string
}

// Tune measures the kernels that compete on the graphics card, at the shapes of a picture of width × height made by the
// model that Open would find, or by FLUX.2 [klein] 4B if there is none. It keeps the choices, which later runs follow.
// It measures what is known already only if again is set. On device "sim" the model is tiny, times mean nothing, and
// nothing is kept. progress is told of each shape measured.
func Tune(
	ctx context.Context, device Device, width, height int, again bool, progress func(KernelTimes),
) (r TuneReport, err error) {
	o := tune.Options{Dir: kernelChoicesDir(), Again: again, Report: progress}
	size := picture.Size{Width: width, Height: height}
	var e *Engine
	switch device {
	case DeviceCUDA:
		e, err = engineToTune(ctx)
	case DeviceSim:
		size = tinySize
		o.Dir, o.Rounds, o.Budget = "", 1, time.Hour
		e, err = hollowTiny()
	default:
		err = fmt.Errorf("want cuda or sim")
	}
	if err != nil {
		return r, fmt.Errorf("tune: device %s: %w", device, err)
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	if err := e.rehearse(size); err != nil {
		return r, fmt.Errorf("tune: %w", err)
	}
	b := e.b.(*cuda.Backend)
	r.Device, r.Dir = b.DeviceName(), o.Dir
	if r.GEMM, err = b.Target(kernels.OpGEMM); err != nil {
		return r, err
	}
	if r.Attention, err = b.Target(kernels.OpAttention); err != nil {
		return r, err
	}
	r.Times, err = b.Tune(ctx, o)
	return r, err
}

// engineToTune opens the model that Open would find, or FLUX.2 [klein] 4B without its weights, on the graphics card.
func engineToTune(ctx context.Context) (*Engine, error) {
	opts := Options{Device: DeviceCUDA}
	_, err := FindModel(ctx, opts)
	var missing *NoModelError
	switch {
	case err == nil:
		return Open(ctx, opts)
	case errors.As(err, &missing):
		return openHollow(synthetic.Full4B(), nil, opts)
	}
	return nil, err
}

// rehearse finds out the shapes of all operations of a picture of a size, from a prompt alone, without computing
// anything. The backend must be a *cuda.Backend; it remembers them.
func (e *Engine) rehearse(size picture.Size) error {
	req, err := Ask{Size: &size}.Resolve(e.info)
	if err == nil {
		_, err = e.Plan(req)
	}
	return err
}

// KernelShapes lists the shapes of the products, attentions and convolutions that the device computes for a picture of
// a size made by FLUX.2 [klein] 4B, or by a tiny model if tiny is set, each once, in their order.
func KernelShapes(device Device, size picture.Size, tiny bool) (shapes []kernels.Shape, err error) {
	var e *Engine
	if tiny {
		size = tinySize
		e, err = hollowTiny()
	} else {
		e, err = openHollow(synthetic.Full4B(), nil, Options{Device: device})
	}
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	if err := e.rehearse(size); err != nil {
		return nil, err
	}
	return e.b.(*cuda.Backend).RehearsedShapes(), nil
}

// openHollow opens a checkpoint that has the sizes of s, but no weights: it can rehearse runs, but make no pictures.
// tokens holds the files of its tokenizer; if nil, it has the tokenizer that is part of the program.
func openHollow(s synthetic.Spec, tokens fs.FS, opts Options) (*Engine, error) {
	c, err := hollowCheckpoint(s, tokens)
	if err != nil {
		return nil, err
	}
	return newEngine(context.Background(), c, opts)
}

// hollowCheckpoint returns the checkpoint of openHollow.
func hollowCheckpoint(s synthetic.Spec, tokens fs.FS) (*checkpoint.Checkpoint, error) {
	c := &checkpoint.Checkpoint{
		Name: "hollow", TokenizerFiles: tokens, Index: checkpoint.ModelIndex{IsDistilled: &s.Distilled},
	}
	for _, part := range []struct {
		name string
		to   *checkpoint.Component
		make func() (synthetic.Hollow, error)
	}{
		{"transformer", &c.Transformer, s.HollowTransformer}, {"vae", &c.VAE, s.HollowVAE},
		{"text_encoder", &c.TextEncoder, s.HollowTextEncoder},
	} {
		h, err := part.make()
		if err != nil {
			return nil, err
		}
		*part.to = checkpoint.Component{Source: h, ConfigJSON: h.ConfigJSON, Files: []string{part.name}}
	}
	return c, nil
}

// tinySize and tinyText are the picture and the number of text tokens of hollowTiny.
var tinySize = picture.Size{Width: 64, Height: 64}

const tinyText = 24

// hollowTiny opens a model that is as small as the configs allow, on the software device.
func hollowTiny() (*Engine, error) {
	s := synthetic.TinyDistilled()
	s.Transformer = synthetic.NewTransformer(1, 1, 1, 3*32)
	s.VAE = synthetic.NewVAE([]int{32, 32, 32, 64}, nil)
	s.TextEncoder = synthetic.NewTextEncoder(28, 32, 2, 1, 80, s.TextEncoder.VocabSize)
	tokens, err := synthetic.TinyTokenizer(s.Distilled)
	if err != nil {
		return nil, err
	}
	return openHollow(s, tokens, Options{Device: DeviceSim, MaxSequenceLength: tinyText})
}
