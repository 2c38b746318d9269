package inference

import (
	"context"
	"errors"
	"fmt"
	"image"
	"slices"
	"time"

	"kleinbild/inference/backend"
	"kleinbild/inference/checkpoint"
	"kleinbild/inference/flux2"
	"kleinbild/inference/picture"
	"kleinbild/inference/scheduler"
	"kleinbild/inference/tensor"
	"kleinbild/inference/tokenizer"
	"kleinbild/inference/vae"
)

// Generate makes the picture that req asks for, after Flux2KleinPipeline of Diffusers: prompt → embeds, references →
// latents, noise → steps → latents → pixels. progress may be nil. A cancelled ctx ends the run within a second, with
// its error; a second caller gets ErrBusy.
func (e *Engine) Generate(ctx context.Context, req Request, progress func(Progress)) (*Result, error) {
	if !e.busy.TryLock() {
		return nil, ErrBusy
	}
	defer e.busy.Unlock()
	if e.ckpt == nil {
		return nil, ErrClosed
	}
	req, err := e.complete(req)
	if err != nil {
		return nil, err
	}
	req.References = e.forModel(req.References)
	if progress == nil {
		progress = func(Progress) {}
	}
	r := &run{e: e, networks: e.networks, caches: &e.caches, ctx: ctx, req: req, s: backend.NewScope(e.b),
		track: tracker{report: progress, start: time.Now()}}
	defer r.s.Free()
	e.b.Begin(ctx)
	var img *image.RGBA
	err = e.guard(func() (err error) {
		if err = e.reserve(req); err == nil {
			img, err = r.picture()
		}
		return err
	})
	if err != nil {
		var unreadable *UnreadableError
		switch {
		case errors.Is(err, backend.ErrLost):
			e.caches = newCaches(e.b)
		case errors.As(err, &unreadable):
			e.caches.drop() // what was computed just before may be of a file that was half gone
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, e.explain(err, req)
	}
	return &Result{
		Image: img, Workflow: WorkflowOf(len(req.References)), Metadata: e.metadata(req),
		Truncated: r.truncated, Timings: r.track.timings,
	}, nil
}

// guard calls f, which reads weights, and fails with an *UnreadableError if the model's files are not what was opened, before
// or after: pages that a cut leaves in place read as zeros.
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

// run is one picture on its way.
type run struct {
	e *Engine
	networks
	*caches
	ctx       context.Context
	req       Request
	s         *backend.Scope
	track     tracker
	truncated string
	// rehearsal marks a run that only finds out what memory it needs.
	rehearsal bool
}

// picture is the whole data flow.
func (r *run) picture() (*image.RGBA, error) {
	prompts := r.e.prompted(r.req)
	r.track.total = r.e.work(r.req)
	noise := r.noise()
	embeds, err := r.encodePrompts(prompts)
	if err != nil {
		return nil, err
	}
	// Each network's weights leave memory before the next comes in.
	r.release(r.e.ckpt.TextEncoder)
	refLatents, refs, err := r.encodeReferences()
	if err != nil {
		return nil, err
	}
	latents, err := r.denoise(<-noise, embeds, refLatents, refs)
	if err != nil {
		return nil, err
	}
	r.release(r.e.ckpt.Transformer)
	return r.decode(latents)
}

// release lets the pages of a component's files leave memory.
func (r *run) release(c checkpoint.Component) {
	if !r.rehearsal {
		c.Release()
	}
}

// grid is the size of a picture in tokens.
func (e *Engine) grid(s picture.Size) flux2.Grid {
	return flux2.Grid{Height: s.Height / vae.PixelsPerToken, Width: s.Width / vae.PixelsPerToken}
}

// Work estimates the arithmetic of a request in multiply-adds, whatever the caches hold of it: runs of one engine take
// time in proportion. A request that Generate would refuse has none.
func (e *Engine) Work(req Request) float64 {
	req, err := e.complete(req)
	if err != nil {
		return 0
	}
	return e.work(req)
}

func (e *Engine) work(req Request) float64 {
	prompts := 1
	if e.guided(req) {
		prompts = 2
	}
	tokens := e.info.MaxSequenceLength + e.grid(req.Size).Tokens()
	total := float64(prompts)*promptWork(e.encoder.Config(), e.info.MaxSequenceLength) +
		decodeWork(e.vae.Config(), req.Size.Width*req.Size.Height)
	for _, ref := range req.References {
		size := ref.SizeFor(e.info.NativeSize)
		tokens += e.grid(size).Tokens()
		total += encodeWork(e.vae.Config(), size.Width*size.Height)
	}
	return total + float64(req.Steps*prompts)*stepWork(e.transformer.Config(), tokens)
}

// prompted lists the prompts that a run encodes; the empty one is where guidance starts from.
func (e *Engine) prompted(req Request) []string {
	if e.guided(req) {
		return []string{req.Prompt, ""}
	}
	return []string{req.Prompt}
}

// promptKey tells prompts apart. The same ids may be text or padding: a long prompt can end in the padding token.
func promptKey(enc tokenizer.Encoding) string { return fmt.Sprint(enc.Count, enc.IDs) }

// encodePrompts returns the embeds [text tokens, context width] of each prompt.
func (r *run) encodePrompts(prompts []string) ([]backend.Matrix, error) {
	e := r.e
	length := e.info.MaxSequenceLength
	r.track.begin(StagePrompt, float64(len(prompts))*promptWork(e.encoder.Config(), length))
	defer r.track.end()
	var all []backend.Matrix
	for i, prompt := range prompts {
		enc, err := e.tokens.Prompt(prompt, length)
		if err != nil {
			return nil, err
		}
		if i == 0 {
			r.truncated = enc.Cut
		}
		progress := func(layer, total int) { r.track.counter(i*total+layer, len(prompts)*total) }
		embeds, err := r.prompts.cached(promptKey(enc), func() (backend.Matrix, error) {
			dst := r.b.Keep(length, r.encoder.Config().EmbedDim(), r.b.Activation())
			return dst, r.encoder.Encode(r.ctx, dst, enc.IDs, enc.Count, progress)
		})
		if err != nil {
			return nil, err
		}
		all = append(all, embeds)
	}
	return all, nil
}

// encodeReferences returns the latents of all references [reference tokens, channels] and their sizes.
func (r *run) encodeReferences() (joined backend.Matrix, grids []flux2.Grid, err error) {
	e := r.e
	if len(r.req.References) == 0 {
		return backend.Matrix{}, nil, nil
	}
	work, tokens := 0.0, 0
	for _, ref := range r.req.References {
		grids = append(grids, e.grid(ref.Size))
		tokens += e.grid(ref.Size).Tokens()
		work += encodeWork(e.vae.Config(), ref.Size.Width*ref.Size.Height)
	}
	r.track.begin(StageReferences, work)
	defer r.track.end()
	channels := e.transformer.Config().InChannels
	joined = r.s.AllocAs(tokens, channels, tensor.F32)
	from := 0
	for i, ref := range r.req.References {
		latents, err := r.references.cached(ref.PixelsSHA256, func() (backend.Matrix, error) {
			dst := r.b.Keep(grids[i].Tokens(), channels, tensor.F32)
			return dst, r.vae.Encode(r.ctx, dst, ref.Rows(), ref.Size.Height, ref.Size.Width)
		})
		if err != nil {
			return joined, nil, err
		}
		r.b.Copy(joined.RowRange(from, from+latents.Rows), latents)
		from += latents.Rows
		r.track.counter(i+1, len(r.req.References))
	}
	return joined, grids, nil
}

// noise delivers what the picture starts from [image tokens, channels], which is made while a graphics card encodes.
func (r *run) noise() <-chan []float32 {
	channels := r.transformer.Config().InChannels
	n := r.e.grid(r.req.Size).Tokens()
	made := make(chan []float32, 1)
	if r.req.Noise != nil {
		made <- pack(r.req.Noise, channels, n) // the caller's, who has it back when Generate returns
		return made
	}
	go func() { made <- pack(scheduler.Noise(r.req.Seed, n*channels), channels, n) }()
	return made
}

// denoise integrates the flow from noise to latents [image tokens, channels], by Euler steps in float32.
func (r *run) denoise(noise []float32, embeds []backend.Matrix, refLatents backend.Matrix, refs []flux2.Grid) (backend.Matrix, error) {
	e, b, steps := r.e, r.b, r.req.Steps
	grid, channels := e.grid(r.req.Size), e.transformer.Config().InChannels
	n := grid.Tokens()
	r.track.begin(StageSteps, r.track.total-r.track.done-decodeWork(e.vae.Config(), r.req.Size.Width*r.req.Size.Height))
	defer r.track.end()

	latents := r.s.Upload(n, channels, noise)
	velocity := r.s.AllocAs(n, channels, tensor.F32)
	unguided := velocity
	if len(embeds) > 1 {
		unguided = r.s.AllocAs(n, channels, tensor.F32)
	}
	fr := r.transformer.NewRun(embeds, grid, refLatents, refs)
	defer fr.Free()

	sigmas := scheduler.Sigmas(n, steps)
	passes := steps * len(embeds)
	for i := range steps {
		for p := range embeds {
			if err := r.ctx.Err(); err != nil {
				return latents, err
			}
			// The empty prompt comes second, and is where guidance starts from.
			dst := velocity
			if p > 0 {
				dst = unguided
			}
			fr.Velocity(dst, latents, p, sigmas[i], func(block, total int) {
				r.track.update(i, steps, (float64(i*len(embeds)+p)+float64(block)/float64(total))/float64(passes), nil)
			})
		}
		if len(embeds) > 1 {
			b.Lerp(velocity, unguided, velocity, float32(r.req.Guidance))
		}
		b.AddScaled(latents, latents, velocity, sigmas[i+1]-sigmas[i])
		if err := b.Sync(); err != nil {
			return latents, err
		}
		var preview *image.RGBA
		if r.req.Preview && i < steps-1 {
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

// decode turns latents into the finished picture.
func (r *run) decode(latents backend.Matrix) (*image.RGBA, error) {
	size := r.req.Size
	r.track.begin(StageDecode, decodeWork(r.e.vae.Config(), size.Width*size.Height))
	defer r.track.end()
	pixels, err := r.vae.Decode(r.ctx, latents, size.Height, size.Width, r.track.counter)
	if err != nil {
		return nil, err
	}
	if slices.ContainsFunc(pixels, func(v float32) bool { return v != v }) {
		return nil, fmt.Errorf("inference: the picture has values that are no numbers: the weights of %s are damaged, or too large for %s", r.e.info.Model, r.e.info.Precision)
	}
	return picture.FromFloats(pixels, size.Width, size.Height)
}
