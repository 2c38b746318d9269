package inference

import (
	"context"
	"errors"
	"fmt"
	"image"
	"math"
	"time"

	"github.com/kleinbild/kleinbild/inference/backend"
	"github.com/kleinbild/kleinbild/inference/picture"
)

// QualityPrompts are the prompts by which models are compared unless others are given. The demo model can draw them,
// and large models have colours, shapes, places and light to be wrong about.
var QualityPrompts = []string{
	"a red house under a yellow sun",
	"a blue boat on the sea at night",
	"a green tree left of a brown horse on a meadow",
	"a white cat on a mountain in the snow",
}

// QualitySeed is the seed of the first prompt; it increases by one from prompt to prompt.
const QualitySeed = 1

// QualityOptions say what CompareModels compares. Models are compared with the first of them. A model can be named
// again with another precision.
type QualityOptions struct {
	Models []string
	Device Device
	// Precisions has one precision for all models, or one for each.
	Precisions []Precision
	Prompts    []string      // QualityPrompts if empty
	Size       *picture.Size // nil for the native square of the first model
	Steps      int           // 0 for those of the first model
}

// Quality tells how far a model is from another one. All errors are relative RMS: 0 for equal values.
type Quality struct {
	Model     string // as in QualityOptions
	Precision Precision
	Weights   string // the formats of each network
	// SizeBytes is the size of all files, and TransformerBytes and EncoderBytes those of two networks.
	SizeBytes, TransformerBytes, EncoderBytes int64
	// Seconds is the time of a picture from the prompt to the pixels, the mean over all prompts.
	Seconds float64
	// Embeds is the error of the prompt embeds.
	Embeds float64
	// Velocities are the errors of the transformer's velocities in each step, with the latents of the other model's run.
	Velocities []float64
	// PSNR compares the pictures, in decibels: the mean over all prompts, and the least. It is infinite for equal
	// pictures.
	PSNR, LeastPSNR float64
}

// probe looks into a run. The methods of a nil probe do nothing.
type probe struct {
	// given, unless nil, are the latents that enter each step, in place of those of the run, which then makes no picture.
	given [][]float32
	// embeds, latents and velocities are copies: of the prompt's embeds, and of the matrices of each step.
	embeds              []float32
	latents, velocities [][]float32
}

// seesEnough reports whether the run may end after the steps.
func (p *probe) seesEnough() bool { return p != nil && p.given != nil }

func copyOf(b backend.Backend, m backend.Matrix) []float32 {
	dst := make([]float32, m.Rows*m.Cols)
	b.Download(dst, m)
	return dst
}

// prompt copies the embeds of the prompt.
func (p *probe) prompt(b backend.Backend, embeds []backend.Matrix) {
	if p != nil {
		p.embeds = copyOf(b, embeds[0])
	}
}

// enter copies or replaces the latents that enter step i.
func (p *probe) enter(b backend.Backend, latents backend.Matrix, i int) {
	switch {
	case p == nil:
	case p.given != nil:
		b.Upload(latents, p.given[i])
	default:
		p.latents = append(p.latents, copyOf(b, latents))
	}
}

// leave copies the velocity of a step.
func (p *probe) leave(b backend.Backend, velocity backend.Matrix) {
	if p != nil {
		p.velocities = append(p.velocities, copyOf(b, velocity))
	}
}

// traced is a run with one prompt and one model.
type traced struct {
	probe
	made *image.RGBA
	took time.Duration
}

// CompareModels makes pictures of fixed prompts and seeds with all models of opts, and tells how far each is from the
// first one, which comes first with errors of 0. It calls report for each model when it is done, and progress, unless
// nil, for each picture. Models are open one after the other.
func CompareModels(
	ctx context.Context, opts QualityOptions, report func(Quality), progress func(model string, done, total int),
) error {
	if len(opts.Models) < 2 {
		return fmt.Errorf("bench: %d models, want at least two", len(opts.Models))
	}
	if n := len(opts.Precisions); n != 1 && n != len(opts.Models) {
		return fmt.Errorf("bench: %d precisions for %d models, want one, or one for each", n, len(opts.Models))
	}
	if len(opts.Prompts) == 0 {
		opts.Prompts = QualityPrompts
	}
	if progress == nil {
		progress = func(string, int, int) {}
	}
	var first []traced
	var asks []Ask
	for i, model := range opts.Models {
		err := func() error {
			e, err := Open(ctx, Options{Model: model, Device: opts.Device, Precision: opts.Precisions[i%len(opts.Precisions)]})
			if err != nil {
				return err
			}
			defer e.Close()
			if i == 0 {
				asks = e.qualityAsks(opts)
			}
			q, runs, err := e.quality(ctx, asks, first, func(done int) { progress(model, done, len(asks)) })
			if err != nil {
				return fmt.Errorf("%s: %w", model, err)
			}
			if i == 0 {
				first = runs
			}
			q.Model, q.Precision = model, e.info.Precision
			report(q)
			return nil
		}()
		if err != nil {
			return err
		}
	}
	return nil
}

// qualityAsks returns what all models are asked for. The first model decides about what opts leaves open.
func (e *Engine) qualityAsks(opts QualityOptions) (asks []Ask) {
	size, steps, guidance := opts.Size, opts.Steps, e.info.Guidance
	if size == nil {
		side := min(e.info.NativeSize, picture.NativeSide)
		size = &picture.Size{Width: side, Height: side}
	}
	if steps == 0 {
		steps = e.info.Steps
	}
	for i, prompt := range opts.Prompts {
		seed := uint64(QualitySeed + i)
		asks = append(asks, Ask{Prompt: prompt, Size: size, Steps: &steps, Guidance: &guidance, Seed: &seed})
	}
	return asks
}

// quality makes the pictures of asks and compares them with first, the runs of another model; nil if this is the
// first.
func (e *Engine) quality(
	ctx context.Context, asks []Ask, first []traced, progress func(done int),
) (Quality, []traced, error) {
	q := Quality{
		Weights: e.info.Weights, SizeBytes: e.info.SizeBytes,
		TransformerBytes: e.ckpt.Transformer.SizeBytes, EncoderBytes: e.ckpt.TextEncoder.SizeBytes,
		LeastPSNR: math.Inf(1),
	}
	var runs []traced
	var embeds ratio
	var velocities []ratio
	for i, ask := range asks {
		progress(i)
		own := traced{}
		err := e.trace(ctx, ask, &own)
		if err != nil {
			return q, nil, err
		}
		q.Seconds += own.took.Seconds() / float64(len(asks))
		runs = append(runs, own)
		reference := own
		if first != nil {
			reference = first[i]
			given := traced{probe: probe{given: reference.latents}}
			if err := e.trace(ctx, ask, &given); err != nil {
				return q, nil, err
			}
			own.velocities = given.velocities
		}
		if err := embeds.add(own.embeds, reference.embeds); err != nil {
			return q, nil, fmt.Errorf("prompt embeds: %w", err)
		}
		if velocities == nil {
			velocities = make([]ratio, len(reference.velocities))
		}
		for step := range velocities {
			if err := velocities[step].add(own.velocities[step], reference.velocities[step]); err != nil {
				return q, nil, fmt.Errorf("velocity: %w", err)
			}
		}
		psnr := psnrOf(own.made, reference.made)
		q.PSNR += psnr / float64(len(asks))
		q.LeastPSNR = min(q.LeastPSNR, psnr)
	}
	progress(len(asks))
	q.Embeds = embeds.root()
	for _, v := range velocities {
		q.Velocities = append(q.Velocities, v.root())
	}
	return q, runs, nil
}

// trace makes one picture and notes in t what its probe sees.
func (e *Engine) trace(ctx context.Context, ask Ask, t *traced) error {
	req, err := ask.Resolve(e.info)
	if err != nil {
		return err
	}
	if !e.busy.TryLock() {
		return ErrBusy
	}
	defer e.busy.Unlock()
	start := time.Now()
	r, err := e.compute(ctx, req, &t.probe, nil)
	if err != nil {
		return cancelled(ctx, err)
	}
	t.made, t.took = r.made, time.Since(start)
	return nil
}

// ratio adds up the squares of differences and of references.
type ratio struct{ differences, references float64 }

func (r *ratio) add(have, want []float32) error {
	if len(have) != len(want) {
		return errors.New("the models have other sizes, want models of one size")
	}
	for i, w := range want {
		d := float64(have[i]) - float64(w)
		r.differences += d * d
		r.references += float64(w) * float64(w)
	}
	return nil
}

// root returns the relative RMS.
func (r ratio) root() float64 {
	if r.differences == 0 {
		return 0
	}
	return math.Sqrt(r.differences / r.references)
}

// psnrOf compares the colours of two pictures of one size: 20·log10 of 255 over the RMS of the differences.
func psnrOf(a, b *image.RGBA) float64 {
	sum, n := 0.0, 0
	for i := range a.Pix {
		if i%4 == 3 {
			continue
		}
		d := float64(a.Pix[i]) - float64(b.Pix[i])
		sum += d * d
		n++
	}
	return 10 * math.Log10(255*255*float64(n)/sum)
}
