package inference

import (
	"context"
	"errors"
	"fmt"
	"image"
	"slices"
	"time"

	"github.com/kleinbild/kleinbild/inference/backend"
	"github.com/kleinbild/kleinbild/inference/flux2"
	"github.com/kleinbild/kleinbild/inference/picture"
	"github.com/kleinbild/kleinbild/inference/scheduler"
	"github.com/kleinbild/kleinbild/inference/tensor"
)

// Generate makes the picture that req asks for, after Flux2KleinPipeline of Diffusers: prompt → embeds, references →
// latents, noise → steps → latents → pixels. progress may be nil. If ctx is cancelled, the run ends within a second and
// returns the cause; a second caller gets ErrBusy.
func (e *Engine) Generate(ctx context.Context, req Request, progress func(Progress)) (*Result, error) {
	if !e.busy.TryLock() {
		return nil, ErrBusy
	}
	defer e.busy.Unlock()
	if e.ckpt == nil {
		return nil, ErrClosed
	}
	if req.model != e.info.Digest || req.steps == 0 {
		return nil, errors.New("inference: the request was resolved for another model, want one for this model")
	}
	r, err := e.compute(ctx, req, nil, progress)
	if err != nil {
		return nil, cancelled(ctx, err)
	}
	result := &Result{
		Image: r.made, Workflow: WorkflowOf(len(req.references)), Metadata: e.metadata(req, r.content.loras),
		LoRAs:     infosOf(r.content.loras),
		Truncated: r.content.prompts[0].Cut,
	}
	if err := r.finish(req, result); err != nil {
		return nil, cancelled(ctx, err)
	}
	result.Timings = r.track.timings
	return result, nil
}

// compute runs the stages for req. The picture that the model has made is the run's. probe may be nil.
func (e *Engine) compute(ctx context.Context, req Request, probe *probe, progress func(Progress)) (*run, error) {
	if progress == nil {
		progress = func(Progress) {}
	}
	loras, err := e.openLoRAs(ctx, req.loras)
	if err != nil {
		return nil, err
	}
	s := e.shapeOf(req)
	var strengths []float64
	s.loras, strengths = e.setOf(loras)
	r := e.newRun(ctx, e.networks, &e.caches, s, progress)
	defer r.s.Free()
	r.probe = probe
	if r.content, err = e.contentOf(ctx, req); err != nil {
		return nil, err
	}
	r.content.loras, r.content.strengths = loras, strengths
	e.b.Begin(ctx)
	err = e.guard(func() (err error) {
		// What the run replaces goes before the run's own takes memory.
		if r.adapters.key != r.adaptersKey() {
			r.adapters.drop()
		}
		if err = e.makeRoom(r); err == nil {
			err = e.reserve(r)
		}
		if err == nil {
			r.made, err = r.picture()
		}
		return err
	})
	if err != nil {
		var unreadable *UnreadableError
		switch {
		case errors.Is(err, backend.ErrLost):
			e.caches = newCaches(e.b)
		case errors.As(err, &unreadable):
			e.caches.drop() // their newest results may come from a damaged file
		}
		return nil, e.explain(err, r.shape)
	}
	return r, nil
}

// cancelled returns the cause of ctx if it has ended, else err.
func cancelled(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// guard calls f, which reads weights. It fails with an *UnreadableError if the model's files have changed since they
// were opened, before f or during it: pages that are missing from a file that was cut off read as zeros.
func (e *Engine) guard(f func() error) error {
	if err := e.ckpt.Changed(); err != nil {
		return err
	}
	err := e.ckpt.Guard(f)
	if changed := e.ckpt.Changed(); changed != nil {
		return changed
	}
	return err
}

// run is the computation of one picture, or the rehearsal of one. In a rehearsal the networks and caches belong to a
// backend that computes nothing, and content is nil.
type run struct {
	networks
	*caches
	ctx        context.Context
	textTokens int
	shape      shape
	content    *content
	s          *backend.Scope
	track      tracker
	made       *image.RGBA // the picture that the model has made, of shape.size
	probe      *probe      // nil in most runs
}

func (e *Engine) newRun(ctx context.Context, n networks, c *caches, s shape, progress func(Progress)) *run {
	return &run{
		networks: n, caches: c, ctx: ctx, textTokens: e.info.MaxSequenceLength, shape: s, s: backend.NewScope(n.b),
		track: tracker{report: progress, start: time.Now(), total: n.work(s, e.info.MaxSequenceLength)},
	}
}

// picture runs all stages.
func (r *run) picture() (*image.RGBA, error) {
	noise := r.noise()
	embeds, err := r.encodePrompts()
	if err != nil {
		return nil, err
	}
	r.probe.prompt(r.b, embeds)
	// The weights of a network leave memory before those of the next network come in.
	r.content.releaseTextEncoder()
	references, err := r.encodeReferences()
	if err != nil {
		return nil, err
	}
	latents, err := r.denoise(<-noise, embeds, references)
	if err != nil {
		return nil, err
	}
	r.content.releaseTransformer()
	if r.probe.seesEnough() {
		return nil, nil
	}
	return r.decode(latents)
}

// encodePrompts returns the embeds [text tokens, context width] of each prompt.
func (r *run) encodePrompts() ([]backend.Matrix, error) {
	n := r.shape.prompts()
	r.track.begin(StagePrompt, float64(n)*promptWork(r.encoder.Config(), r.textTokens))
	defer r.track.end()
	var all []backend.Matrix
	for i := range n {
		p := r.prompt(i)
		progress := func(layer, total int) {
			r.track.counter(i*total+layer, n*total)
			if i == n-1 {
				r.content.releaseLayers()
			}
		}
		embeds, err := r.prompts.cached(p.key, func() (backend.Matrix, error) {
			dst := r.b.Keep(r.textTokens, r.encoder.Config().EmbedDim(), r.b.Activation())
			return dst, r.encoder.Encode(r.ctx, dst, p.ids, p.count, progress)
		})
		if err != nil {
			return nil, err
		}
		all = append(all, embeds)
	}
	return all, nil
}

// noise returns a channel with the noise from which the picture starts [image tokens, channels]. The noise of a seed is
// drawn in the background, while a graphics card encodes the prompt.
func (r *run) noise() <-chan []float32 {
	channels := r.transformer.Config().InChannels
	n := gridOf(r.shape.size).Tokens()
	drawn := make(chan []float32, 1)
	switch c := r.content; {
	case c == nil:
		drawn <- nil
	case c.noise != nil:
		drawn <- pack(c.noise, channels, n) // the caller may change its noise later
	default:
		go func() { drawn <- pack(scheduler.Noise(c.seed, n*channels), channels, n) }()
	}
	return drawn
}

// denoise integrates the flow from noise to latents [image tokens, channels], by Euler steps in float32.
func (r *run) denoise(noise []float32, embeds []backend.Matrix, references encoded) (backend.Matrix, error) {
	b, steps := r.b, r.shape.run()
	grid, channels := gridOf(r.shape.size), r.transformer.Config().InChannels
	n := grid.Tokens()
	r.track.begin(StageSteps, r.track.total-r.track.done-decodeWork(r.vae.Config(), r.shape.size))
	defer r.track.end()

	sigmas := scheduler.Sigmas(n, r.shape.steps)[r.shape.start:]
	latents := r.s.AllocAs(n, channels, tensor.F32)
	var inpaint *inpainting
	if r.shape.fromSource {
		inpaint = newInpainting(r.s, b, references.source, noise, r.mask(), r.shape.masked)
		inpaint.start(latents, sigmas[0])
	} else {
		b.Upload(latents, noise)
	}
	velocity := r.s.AllocAs(n, channels, tensor.F32)
	unguided := velocity
	if len(embeds) > 1 {
		unguided = r.s.AllocAs(n, channels, tensor.F32)
	}
	if err := r.adapt(); err != nil {
		return latents, err
	}
	var fr *flux2.Run
	if r.shape.cached {
		fr = r.transformer.NewCachedRun(embeds, grid, references.keysValues)
	} else {
		fr = r.transformer.NewRun(embeds, grid, references.latents, r.conditionGrids())
	}
	defer fr.Free()

	passes := steps * len(embeds)
	for i := range steps {
		r.probe.enter(b, latents, i)
		for p := range embeds {
			if err := r.ctx.Err(); err != nil {
				return latents, err
			}
			// The second prompt is the empty one, for guidance.
			dst := velocity
			if p > 0 {
				dst = unguided
			}
			fr.Velocity(dst, latents, p, sigmas[i], func(block, total int) {
				r.track.update(i, steps, (float64(i*len(embeds)+p)+float64(block)/float64(total))/float64(passes), nil)
			})
		}
		if len(embeds) > 1 {
			b.Lerp(velocity, unguided, velocity, r.guidance())
		}
		r.probe.leave(b, velocity)
		b.AddScaled(latents, latents, velocity, sigmas[i+1]-sigmas[i])
		if inpaint != nil {
			inpaint.blend(latents, sigmas[i+1])
		}
		if err := b.Sync(); err != nil {
			return latents, err
		}
		var preview *image.RGBA
		if r.shape.preview && i < steps-1 {
			var err error
			if preview, err = r.preview(latents, velocity, sigmas[i+1]); err != nil {
				return latents, err
			}
		}
		r.track.update(i+1, steps, float64(i+1)/float64(steps), preview)
	}
	return latents, nil
}

// pack turns [channels, tokens] into [tokens, channels].
func pack(x []float32, channels, tokens int) []float32 {
	out := make([]float32, len(x))
	for c := range channels {
		for t := range tokens {
			out[t*channels+c] = x[c*tokens+t]
		}
	}
	return out
}

// decode turns latents into the finished picture. In a rehearsal it returns nil.
func (r *run) decode(latents backend.Matrix) (*image.RGBA, error) {
	size := r.shape.size
	r.track.begin(StageDecode, decodeWork(r.vae.Config(), size))
	defer r.track.end()
	pixels, err := r.vae.Decode(r.ctx, latents, size.Height, size.Width, r.track.counter)
	if err != nil || r.content == nil {
		return nil, err
	}
	if slices.ContainsFunc(pixels, func(v float32) bool { return v != v }) {
		return nil, fmt.Errorf("inference: the picture has values that are not numbers: "+
			"the weights of %s are damaged, or too large for %s", r.content.model, r.content.precision)
	}
	return picture.FromFloats(pixels, size.Width, size.Height)
}
