// Package flux2 is the FLUX.2 [klein] transformer: noisy latents, a prompt's embeds and reference latents go
// in, the velocity of the flow comes out. It knows nothing of text, pixels or schedules.
//
// The arithmetic follows Flux2Transformer2DModel of Diffusers; weight names are its names.
package flux2

import (
	"fmt"
	"math"

	"kleinbild/inference/backend"
	"kleinbild/inference/tensor"
)

// Transformer is the model on a backend.
type Transformer struct {
	b   backend.Backend
	cfg Config

	latentIn, contextIn          backend.Weight // x_embedder, context_embedder
	timeIn, timeOut              backend.Weight
	modImage, modText, modSingle backend.Weight
	doubleBlocks                 []doubleStreamBlock
	singleBlocks                 []singleStreamBlock
	modOut, velocityOut          backend.Weight // norm_out.linear, proj_out
}

// New loads all weights from src and checks their shapes against cfg.
func New(b backend.Backend, cfg Config, src tensor.Source) (*Transformer, error) {
	l := backend.NewLoader(b, src)
	d := cfg.Hidden()
	t := &Transformer{
		b: b, cfg: cfg,
		// In the order in which a run and its steps use them.
		contextIn: l.Get("context_embedder.weight", d, cfg.ContextDim),
		timeIn:    l.Get("time_guidance_embed.timestep_embedder.linear_1.weight", d, cfg.TimeChannels),
		timeOut:   l.Get("time_guidance_embed.timestep_embedder.linear_2.weight", d, d),
		modImage:  l.Get("double_stream_modulation_img.linear.weight", 6*d, d),
		modText:   l.Get("double_stream_modulation_txt.linear.weight", 6*d, d),
		modSingle: l.Get("single_stream_modulation.linear.weight", 3*d, d),
		modOut:    l.Get("norm_out.linear.weight", 2*d, d),
		latentIn:  l.Get("x_embedder.weight", d, cfg.InChannels),
	}
	for i := range cfg.DoubleBlocks {
		t.doubleBlocks = append(t.doubleBlocks, loadDoubleStreamBlock(l, cfg, i))
	}
	for i := range cfg.SingleBlocks {
		t.singleBlocks = append(t.singleBlocks, loadSingleStreamBlock(l, cfg, i))
	}
	t.velocityOut = l.Get("proj_out.weight", cfg.OutChannels, d)
	if err := l.Err(); err != nil {
		return nil, fmt.Errorf("flux2: %w", err)
	}
	return t, nil
}

// Config returns the sizes.
func (t *Transformer) Config() Config { return t.cfg }

// Run holds what stays the same over the steps of one picture: the projected prompt and references, the
// rotations, and the working memory.
type Run struct {
	t     *Transformer
	s     *backend.Scope
	text  int
	image int

	prompts []backend.Matrix // projected prompts [text, hidden]
	refs    backend.Matrix   // projected references [reference tokens, hidden]
	rope    backend.RoPE

	// The joint sequence [text | image | references] and one row of working memory for each of its tokens.
	hidden, normed backend.Matrix
	qkv            backend.Matrix // [·, 3·hidden]
	inner          backend.Matrix // [·, hidden + mlp]: attention and MLP side by side

	// What a step starts from: the latents, the noise level and what the modulations make of it, a row each.
	latents                               backend.Matrix // [image, in channels]
	sinusoid, mid, temb                   backend.Matrix
	modImage, modText, modSingle, modLast backend.Matrix
}

// NewRun prepares a picture of the given size for one or more prompts of equal length, each [text tokens, context
// width]. refLatents is [reference tokens, channels], all references in order, refs being their sizes. Prompts and
// references may be freed once Sync has returned.
func (t *Transformer) NewRun(prompts []backend.Matrix, image Grid, refLatents backend.Matrix, refs []Grid) *Run {
	b, d := t.b, t.cfg.Hidden()
	s := backend.NewScope(b)
	r := &Run{t: t, s: s, text: prompts[0].Rows, image: image.Tokens()}
	at := positions(r.text, image, refs)
	for _, p := range prompts {
		projected := s.Alloc(r.text, d)
		b.Linear(projected, p, t.contextIn, backend.Epilogue{})
		r.prompts = append(r.prompts, projected)
	}
	if refLatents.Rows > 0 {
		in := s.Alloc(refLatents.Rows, refLatents.Cols)
		b.Copy(in, refLatents)
		r.refs = s.Alloc(refLatents.Rows, d)
		b.Linear(r.refs, in, t.latentIn, backend.Epilogue{})
	}
	r.rope = t.cfg.rope(s, at)
	r.hidden, r.normed = s.Alloc(len(at), d), s.Alloc(len(at), d)
	r.qkv, r.inner = s.Alloc(len(at), 3*d), s.Alloc(len(at), d+t.cfg.MLPHidden())
	r.latents = s.Alloc(r.image, t.cfg.InChannels)
	r.sinusoid, r.mid, r.temb = s.Alloc(1, t.cfg.TimeChannels), s.Alloc(1, d), s.Alloc(1, d)
	modulation := func(w backend.Weight) backend.Matrix { return s.Alloc(1, w.Shape()[0]) }
	r.modImage, r.modText = modulation(t.modImage), modulation(t.modText)
	r.modSingle, r.modLast = modulation(t.modSingle), modulation(t.modOut)
	return r
}

// Free gives the working memory back.
func (r *Run) Free() { r.s.Free() }

// replayTokens is the size of a picture, 512×512 pixels, up to which issuing a step may take as long as computing it.
const replayTokens = 32 * 32

// step names the operations of one velocity.
type step struct {
	r            *Run
	prompt       int
	dst, latents backend.Matrix
}

// Velocity computes the velocity of latents [image tokens, channels] at noise level sigma, under the prompt of the
// given index, into dst of the same shape. progress is called after each block that is issued; a small picture's steps
// are issued once and replayed.
func (r *Run) Velocity(dst, latents backend.Matrix, prompt int, sigma float32, progress func(block, total int)) {
	r.t.b.Upload(r.sinusoid, sinusoid(r.t.cfg.TimeChannels, sigma))
	compute := func() { r.velocity(dst, latents, prompt, progress) }
	if r.image > replayTokens {
		compute()
		return
	}
	r.t.b.Replay(step{r, prompt, dst, latents}, compute)
}

// velocity is Velocity from the sinusoid on. It allocates nothing.
func (r *Run) velocity(dst, latents backend.Matrix, prompt int, progress func(block, total int)) {
	t, b := r.t, r.t.b
	r.embedTime()
	d := t.cfg.Hidden()
	modulation := func(m backend.Matrix, w backend.Weight) []backend.Matrix {
		b.Linear(m, r.temb, w, backend.Epilogue{})
		return m.Chunks(m.Cols / d)
	}
	modImage, modText := modulation(r.modImage, t.modImage), modulation(r.modText, t.modText)
	modSingle, modOut := modulation(r.modSingle, t.modSingle), modulation(r.modLast, t.modOut)

	b.Copy(r.hidden.RowRange(0, r.text), r.prompts[prompt])
	imageEnd := r.text + r.image
	b.Copy(r.latents, latents)
	b.Linear(r.hidden.RowRange(r.text, imageEnd), r.latents, t.latentIn, backend.Epilogue{})
	if imageEnd < r.hidden.Rows {
		b.Copy(r.hidden.RowRange(imageEnd, r.hidden.Rows), r.refs)
	}

	total := len(t.doubleBlocks) + len(t.singleBlocks)
	for i, block := range t.doubleBlocks {
		block.forward(r, modImage, modText)
		progress(i+1, total)
	}
	for i, block := range t.singleBlocks {
		from, to := 0, r.hidden.Rows
		if i == len(t.singleBlocks)-1 {
			// Nothing after the last block reads the text or the references.
			from, to = r.text, imageEnd
		}
		block.forward(r, modSingle, from, to)
		progress(len(t.doubleBlocks)+i+1, total)
	}

	out := r.normed.RowRange(r.text, imageEnd)
	b.LayerNorm(out, r.hidden.RowRange(r.text, imageEnd), modOut[0], modOut[1], t.cfg.eps())
	b.Linear(dst, out, t.velocityOut, backend.Epilogue{})
}

// sinusoid encodes a noise level: cosines, then sines.
func sinusoid(channels int, sigma float32) []float32 {
	half := channels / 2
	// The reference divides the scheduler's timestep by 1000 and multiplies it again, in float32.
	timestep := sigma * 1000 / 1000 * 1000
	out := make([]float32, 2*half)
	for i := range half {
		freq := float32(math.Exp(float64(float32(-math.Log(10000)) * float32(i) / float32(half))))
		sn, cs := math.Sincos(float64(timestep * freq))
		out[i], out[half+i] = float32(cs), float32(sn)
	}
	return out
}

// embedTime computes silu(temb), which all modulations start from.
func (r *Run) embedTime() {
	t, b := r.t, r.t.b
	b.Linear(r.mid, r.sinusoid, t.timeIn, backend.Epilogue{SiLU: true})
	b.Linear(r.temb, r.mid, t.timeOut, backend.Epilogue{SiLU: true})
}

func (c Config) eps() float32 { return float32(c.Eps) }
