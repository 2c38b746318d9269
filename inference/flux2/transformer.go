// Package flux2 is the FLUX.2 [klein] transformer. From noisy latents, the embeds of a prompt and the latents of
// references it computes the velocity of the flow. It knows nothing of text, pixels or schedules.
//
// Arithmetic and weight names are those of Flux2Transformer2DModel of Diffusers.
package flux2

import (
	"fmt"
	"math"

	"github.com/kleinbild/kleinbild/inference/backend"
	"github.com/kleinbild/kleinbild/inference/tensor"
)

// Transformer is the network, its weights loaded on a backend.
type Transformer struct {
	b   backend.Backend
	cfg Config

	xEmbedder, contextEmbedder   linear
	timeLinear1, timeLinear2     linear // of timestep_embedder
	modImage, modText, modSingle linear
	doubleBlocks                 []doubleStreamBlock
	singleBlocks                 []singleStreamBlock
	normOut, projOut             linear

	// shapes are the rows and columns of all weights of products, by their names without ".weight".
	shapes map[string][2]int
	// ranges are the rows of weights that products read, by the weights' names: those of the blocks. See operands.
	ranges map[string][][]rows
	// adapters change the weights in the runs that begin, nil without any.
	adapters *Adapters
}

// New loads all weights from src. It returns an error if a weight is missing or has another shape than cfg gives.
func New(b backend.Backend, cfg Config, src tensor.Source) (*Transformer, error) {
	l := backend.NewLoader(b, src)
	d := cfg.Hidden()
	t := &Transformer{b: b, cfg: cfg, shapes: map[string][2]int{}, ranges: map[string][][]rows{}}
	// A GPU loads the weights in this order, which is the order of their use in NewRun and Velocity.
	t.contextEmbedder = t.load(l, "context_embedder", d, cfg.ContextDim)
	t.timeLinear1 = t.load(l, "time_guidance_embed.timestep_embedder.linear_1", d, cfg.TimeChannels)
	t.timeLinear2 = t.load(l, "time_guidance_embed.timestep_embedder.linear_2", d, d)
	t.modImage = t.load(l, "double_stream_modulation_img.linear", 6*d, d)
	t.modText = t.load(l, "double_stream_modulation_txt.linear", 6*d, d)
	t.modSingle = t.load(l, "single_stream_modulation.linear", 3*d, d)
	t.normOut = t.load(l, "norm_out.linear", 2*d, d)
	t.xEmbedder = t.load(l, "x_embedder", d, cfg.InChannels)
	for i := range cfg.DoubleBlocks {
		t.doubleBlocks = append(t.doubleBlocks, t.loadDoubleStreamBlock(l, i))
	}
	for i := range cfg.SingleBlocks {
		t.singleBlocks = append(t.singleBlocks, t.loadSingleStreamBlock(l, i))
	}
	t.projOut = t.load(l, "proj_out", cfg.OutChannels, d)
	if err := l.Err(); err != nil {
		return nil, fmt.Errorf("flux2: %w", err)
	}
	return t, nil
}

// Config returns the config that New was given.
func (t *Transformer) Config() Config { return t.cfg }

// Run holds the matrices of one picture. Those that are the same for all its steps (embedded prompts and references,
// rotations) are computed once, when it is made.
type Run struct {
	t *Transformer
	s *backend.Scope

	textTokens, imageTokens int

	prompts []backend.Matrix // a matrix [text tokens, hidden] for each prompt, after context_embedder
	refs    backend.Matrix   // [reference tokens, hidden], after x_embedder
	rope    backend.RoPE     // of the sequence

	// Keys and values of references that are not in the sequence, or those that the run fills: see references.go.
	cached, filled backend.Matrix

	// Working memory with a row for each token of the sequence: text, image, references. Behind these rows, qkv has one
	// for each token of cached.
	hidden, normed backend.Matrix // [tokens, hidden]
	qkv            backend.Matrix // [tokens, 3·hidden]; if the run fills a cache, queries alone
	inner          backend.Matrix // [tokens, hidden + mlp]: results of the attention, then of the MLP
	// Behind the columns of normed and inner there is room for A·x of adapters.

	// Working memory that is filled anew in each step. All but latents have one row.
	latents                              backend.Matrix // [image tokens, in channels]
	sinusoid, timeHidden, temb           backend.Matrix
	modImage, modText, modSingle, modOut backend.Matrix

	adapted adapterMemory
	held    held
}

// sequence is what the rows of a run stand for. Each part may be missing.
type sequence struct {
	prompts    []backend.Matrix
	image      Grid
	refLatents backend.Matrix
	refs       []Grid
}

// NewRun prepares the making of one picture of the given size. prompts are one or more matrices [text tokens, context
// width] with the same number of rows. refLatents [reference tokens, in channels] holds the tokens of all references
// one after the other, and refs their sizes; without references refLatents has no rows. The caller may free prompts and
// refLatents after Sync, and must free the Run.
func (t *Transformer) NewRun(prompts []backend.Matrix, image Grid, refLatents backend.Matrix, refs []Grid) *Run {
	return t.newRun(sequence{prompts, image, refLatents, refs}, backend.Matrix{}, backend.Matrix{})
}

// newRun makes a run with the keys and values in cached beside those of q, or one that fills the matrix filled. The
// other matrix, or both, have no rows.
func (t *Transformer) newRun(q sequence, cached, filled backend.Matrix) *Run {
	b, d := t.b, t.cfg.Hidden()
	s := backend.NewScope(b)
	r := &Run{t: t, s: s, imageTokens: q.image.Tokens(), cached: cached, filled: filled}
	if len(q.prompts) > 0 {
		r.textTokens = q.prompts[0].Rows
	}
	tokens := r.textTokens + r.imageTokens + q.refLatents.Rows
	if filled.Rows > 0 {
		r.qkv = s.Alloc(tokens, d)
	} else {
		r.qkv = s.Alloc(tokens+cached.Rows/t.blocks(), 3*d)
	}
	r.allocAdapters(tokens)
	for _, p := range q.prompts {
		embedded := s.Alloc(r.textTokens, d)
		r.linear(embedded, p, t.contextEmbedder, backend.Epilogue{})
		r.prompts = append(r.prompts, embedded)
	}
	if q.refLatents.Rows > 0 {
		in := s.Alloc(q.refLatents.Rows, q.refLatents.Cols)
		b.Copy(in, q.refLatents)
		r.refs = s.Alloc(q.refLatents.Rows, d)
		r.linear(r.refs, in, t.xEmbedder, backend.Epilogue{})
	}
	var cos, sin []float32
	if !backend.Rehearses(b) {
		cos, sin = t.cfg.rotations(positions(r.textTokens, q.image, q.refs))
	}
	half := t.cfg.HeadDim / 2
	r.rope = backend.RoPE{Cos: s.Upload(tokens, half, cos), Sin: s.Upload(tokens, half, sin)}
	both := d + t.cfg.MLPHidden()
	r.hidden = s.Alloc(tokens, d)
	r.normed = s.Alloc(tokens, d+t.adapters.spareColumns()).ColRange(0, d)
	r.inner = s.Alloc(tokens, both+t.adapters.spareColumns()).ColRange(0, both)
	if r.imageTokens > 0 {
		r.latents = s.Alloc(r.imageTokens, t.cfg.InChannels)
	}
	r.sinusoid, r.timeHidden, r.temb = s.Alloc(1, t.cfg.TimeChannels), s.Alloc(1, d), s.Alloc(1, d)
	modulation := func(w linear) backend.Matrix { return s.Alloc(1, w.to) }
	r.modImage, r.modText = modulation(t.modImage), modulation(t.modText)
	r.modSingle, r.modOut = modulation(t.modSingle), modulation(t.normOut)
	return r
}

// Free frees the matrices of the run.
func (r *Run) Free() { r.s.Free() }

// replayTokens is the size of a picture (512×512 pixels) up to which a GPU can take longer to be given the operations
// of a step than to compute them. Steps of such pictures are recorded once and replayed.
const replayTokens = 32 * 32

// replayKey identifies the recorded operations of a velocity: they are the same for the same matrices.
type replayKey struct {
	r            *Run
	prompt       int
	dst, latents backend.Matrix
}

// Velocity computes the velocity of the flow at latents [image tokens, in channels] and noise level sigma (0 to 1) for
// prompts[prompt] of NewRun, and stores it in dst, which has the shape of latents. progress is called after the
// operations of each block were issued; it is not called in a step that a backend replays.
func (r *Run) Velocity(dst, latents backend.Matrix, prompt int, sigma float32, progress func(block, total int)) {
	r.t.b.Upload(r.sinusoid, sinusoid(r.t.cfg.TimeChannels, sigma))
	compute := func() { r.velocity(dst, latents, prompt, progress) }
	if r.imageTokens > replayTokens {
		compute()
		return
	}
	r.t.b.Replay(replayKey{r, prompt, dst, latents}, compute)
}

// velocity computes the velocity from r.sinusoid. As Replay requires, it neither allocates nor uploads.
func (r *Run) velocity(dst, latents backend.Matrix, prompt int, progress func(block, total int)) {
	t, b := r.t, r.t.b
	r.embedTime()
	modImage, modText := r.modulation(r.modImage, t.modImage), r.modulation(r.modText, t.modText)
	modSingle, modOut := r.modulation(r.modSingle, t.modSingle), r.modulation(r.modOut, t.normOut)

	b.Copy(r.hidden.RowRange(0, r.textTokens), r.prompts[prompt])
	imageEnd := r.textTokens + r.imageTokens
	b.Copy(r.latents, latents)
	r.linear(r.hidden.RowRange(r.textTokens, imageEnd), r.latents, t.xEmbedder, backend.Epilogue{})
	if imageEnd < r.hidden.Rows {
		b.Copy(r.hidden.RowRange(imageEnd, r.hidden.Rows), r.refs)
	}

	total := t.blocks()
	for i, block := range t.doubleBlocks {
		block.forward(r, i, modImage, modText)
		progress(i+1, total)
	}
	for i, block := range t.singleBlocks {
		from, to := 0, r.hidden.Rows
		if i == len(t.singleBlocks)-1 {
			// Nothing after the last block reads the text or the references.
			from, to = r.textTokens, imageEnd
		}
		at := len(t.doubleBlocks) + i
		block.forward(r, at, modSingle, from, to)
		progress(at+1, total)
	}

	out := r.normed.RowRange(r.textTokens, imageEnd)
	// norm_out.linear gives the scale first, unlike the modulations of the blocks.
	r.layerNorm(out, r.hidden.RowRange(r.textTokens, imageEnd), modOut[0], modOut[1])
	r.linear(dst, out, t.projOut, backend.Epilogue{})
}

// sinusoid returns the sinusoidal embedding of a noise level: channels/2 cosines, then as many sines.
func sinusoid(channels int, sigma float32) []float32 {
	half := channels / 2
	// The reference computes σ·1000 in the scheduler, divides it by 1000 and multiplies it again, all in float32.
	timestep := sigma * 1000 / 1000 * 1000
	out := make([]float32, 2*half)
	for i := range half {
		freq := float32(math.Exp(float64(float32(-math.Log(10000)) * float32(i) / float32(half))))
		sn, cs := math.Sincos(float64(timestep * freq))
		out[i], out[half+i] = float32(cs), float32(sn)
	}
	return out
}

// embedTime stores the silu of the time embedding in r.temb. All modulations are products of it.
func (r *Run) embedTime() {
	t := r.t
	r.linear(r.timeHidden, r.sinusoid, t.timeLinear1, backend.Epilogue{SiLU: true})
	r.linear(r.temb, r.timeHidden, t.timeLinear2, backend.Epilogue{SiLU: true})
}

// modulation computes the rows [1, hidden] of a modulation from r.temb, in m.
func (r *Run) modulation(m backend.Matrix, w linear) []backend.Matrix {
	r.linear(m, r.temb, w, backend.Epilogue{})
	return m.Chunks(m.Cols / r.t.cfg.Hidden())
}

// blocks returns the number of all blocks.
func (t *Transformer) blocks() int { return t.cfg.blocks() }

func (c Config) eps() float32 { return float32(c.Eps) }
