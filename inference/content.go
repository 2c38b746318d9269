package inference

import (
	"context"
	"fmt"

	"github.com/kleinbild/kleinbild/inference/checkpoint"
	"github.com/kleinbild/kleinbild/inference/edit"
	"github.com/kleinbild/kleinbild/inference/picture"
	"github.com/kleinbild/kleinbild/inference/tokenizer"
)

// content is what a run reads apart from sizes: texts, pixels and numbers. A rehearsal has a nil content, for which the
// methods do nothing.
type content struct {
	prompts    []tokenizer.Encoding // one for each pass of a step; the second is the empty prompt
	references []Reference          // scaled for the model
	guidance   float64
	seed       uint64
	noise      []float32 // nil if the seed gives it
	mask       []float32 // the mask's value of each token; nil if there is none
	around     *around   // what surrounds previews; nil if nothing does
	loras      []appliedLoRA
	strengths  []float64 // of the adapters in shape.loras
	model      string    // for messages
	precision  Precision
	ckpt       *checkpoint.Checkpoint
}

// contentOf prepares what the run of req reads.
func (e *Engine) contentOf(ctx context.Context, req Request) (*content, error) {
	c := &content{
		guidance: req.guidance, seed: req.seed, noise: req.noise,
		model: e.info.Model, precision: e.info.Precision, ckpt: e.ckpt,
	}
	texts := []string{req.prompt}
	if e.guided(req) {
		texts = append(texts, "")
	}
	for _, text := range texts {
		enc, err := e.tokens.Prompt(text, e.info.MaxSequenceLength)
		if err != nil {
			return nil, err
		}
		c.prompts = append(c.prompts, enc)
	}
	for i, ref := range req.references {
		if i == 0 && req.original != nil {
			cut, err := edit.Cut(ctx, req.original, req.area)
			if err != nil {
				return nil, err
			}
			c.references = append(c.references, Reference{ref.Path, picture.NewReference(cut)})
			continue
		}
		c.references = append(c.references, Reference{ref.Path, ref.For(e.info.NativeSize)})
	}
	if req.mask != nil {
		c.mask = edit.Tokens(req.mask, req.area)
		if req.preview {
			c.around = newAround(req)
		}
	}
	return c, nil
}

// releaseTextEncoder lets the pages of the text encoder's files leave memory.
func (c *content) releaseTextEncoder() {
	if c != nil {
		c.ckpt.TextEncoder.Release()
	}
}

// releaseLayers lets the pages of the text encoder's files leave memory after each layer, in int8: the text encoder
// would otherwise take more memory than the transformer.
func (c *content) releaseLayers() {
	if c != nil && c.precision == Int8 {
		c.ckpt.TextEncoder.Release()
	}
}

// releaseTransformer lets the pages of the transformer's files leave memory.
func (c *content) releaseTransformer() {
	if c != nil {
		c.ckpt.Transformer.Release()
	}
}

// runPrompt is a prompt as token ids and its key in the cache. The first count ids are text, the others padding.
type runPrompt struct {
	key   string
	ids   []int32
	count int
}

// promptKey returns the key of a prompt in the cache. It contains the count, because the same ids may be text or
// padding: a long prompt can end in the padding token.
func promptKey(enc tokenizer.Encoding) string { return fmt.Sprint(enc.Count, enc.IDs) }

// prompt returns the prompt of pass i. A rehearsal has no ids: all are 0, and the keys only tell whether both passes
// have the same prompt.
func (r *run) prompt(i int) runPrompt {
	if r.content != nil {
		enc := r.content.prompts[i]
		return runPrompt{promptKey(enc), enc.IDs, enc.Count}
	}
	if r.shape.unprompted {
		i = 0
	}
	return runPrompt{fmt.Sprint(i), make([]int32, r.textTokens), r.textTokens}
}

// reference returns the key of reference i in the cache, and its pixels, row-major [height·width, 3] in [−1, 1]; nil in
// a rehearsal.
func (r *run) reference(i int) (key string, pixels func() []float32) {
	if r.content != nil {
		ref := r.content.references[i]
		return ref.PixelsSHA256, ref.Rows
	}
	return fmt.Sprint(r.shape.references[i].same), func() []float32 { return nil }
}

// mask returns the mask's value of each token, nil in a rehearsal and without a mask.
func (r *run) mask() []float32 {
	if r.content == nil {
		return nil
	}
	return r.content.mask
}

// guidance returns the factor by which the velocity goes from that of the empty prompt towards that of the prompt.
func (r *run) guidance() float32 {
	if r.content == nil {
		return NoGuidance
	}
	return float32(r.content.guidance)
}

// keptBytes returns the size of those results that r needs and the caches hold already.
func (r *run) keptBytes() (bytes int64) {
	seen := map[string]bool{}
	add := func(c *cache, key string) {
		if m, ok := c.get(key); ok && !seen[key] {
			seen[key] = true
			bytes += m.Buffer.SizeBytes()
		}
	}
	for i := range r.content.prompts {
		add(&r.prompts, r.prompt(i).key)
	}
	for _, ref := range r.content.references {
		add(&r.references, ref.PixelsSHA256)
	}
	if r.shape.cached {
		add(&r.keysValues, r.keysValuesKey())
	}
	return bytes + r.adapters.sizeBytes(r.adaptersKey())
}
