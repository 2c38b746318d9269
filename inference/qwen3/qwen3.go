// Package qwen3 turns token ids into prompt embeds: it runs the first 27 layers of the Qwen3 language model and
// concatenates the outputs of layers 9, 18 and 27. It knows nothing of text, padding ids or pictures.
//
// The arithmetic follows Qwen3Model of Hugging Face transformers.
package qwen3

import (
	"context"
	"fmt"
	"math"

	"github.com/kleinbild/kleinbild/inference/backend"
	"github.com/kleinbild/kleinbild/inference/tensor"
)

// Encoder is the text encoder, its weights loaded on a backend.
type Encoder struct {
	b      backend.Backend
	cfg    Config
	embed  backend.Weight
	layers []decoderLayer
	// norm is the model's final norm. It is nil if the model has more layers than the encoder runs: the reference
	// applies it to the output of the last layer only.
	norm backend.Weight
}

type decoderLayer struct {
	inputNorm, postNorm backend.Weight
	q, k, v, o          backend.Weight
	qNorm, kNorm        backend.Weight
	gate, up, down      backend.Weight
}

func layer(i int) string { return fmt.Sprintf("model.layers.%d.", i) }

// New loads the first 27 layers from src. It returns an error if a weight is missing or has another shape than cfg
// gives.
func New(b backend.Backend, cfg Config, src tensor.Source) (*Encoder, error) {
	l := backend.NewLoader(b, src)
	hidden, qDim, kvDim := cfg.HiddenSize, cfg.Heads*cfg.HeadDim, cfg.KVHeads*cfg.HeadDim
	e := &Encoder{b: b, cfg: cfg, embed: l.Table("model.embed_tokens.weight", cfg.VocabSize, hidden)}
	for i := range HiddenStates[len(HiddenStates)-1] {
		at := layer(i)
		e.layers = append(e.layers, decoderLayer{
			// A GPU loads the weights in this order, which is the order of their use in Encode.
			inputNorm: l.Get(at+"input_layernorm.weight", hidden),
			q:         l.Get(at+"self_attn.q_proj.weight", qDim, hidden),
			qNorm:     l.Get(at+"self_attn.q_norm.weight", cfg.HeadDim),
			k:         l.Get(at+"self_attn.k_proj.weight", kvDim, hidden),
			kNorm:     l.Get(at+"self_attn.k_norm.weight", cfg.HeadDim),
			v:         l.Get(at+"self_attn.v_proj.weight", kvDim, hidden),
			o:         l.Get(at+"self_attn.o_proj.weight", hidden, qDim),
			postNorm:  l.Get(at+"post_attention_layernorm.weight", hidden),
			gate:      l.Get(at+"mlp.gate_proj.weight", cfg.IntermediateSize, hidden),
			up:        l.Get(at+"mlp.up_proj.weight", cfg.IntermediateSize, hidden),
			down:      l.Get(at+"mlp.down_proj.weight", hidden, cfg.IntermediateSize),
		})
	}
	if cfg.Layers == len(e.layers) {
		e.norm = l.Get("model.norm.weight", hidden)
	}
	if err := l.Err(); err != nil {
		return nil, fmt.Errorf("qwen3: %w", err)
	}
	return e, nil
}

// Config returns the config that New was given.
func (e *Encoder) Config() Config { return e.cfg }

// Encode computes the prompt embeds of ids and stores them in dst [len(ids), 3·hidden]. The first valid ids are text,
// the others padding. Padding is masked as keys, but its rows are computed too, because the transformer reads them.
// progress is called after each layer. Encode returns an error for an id outside the vocabulary, ctx's error, and the
// backend's.
func (e *Encoder) Encode(ctx context.Context, dst backend.Matrix, ids []int32, valid int,
	progress func(layer, total int)) error {
	for i, id := range ids {
		if id < 0 || int(id) >= e.cfg.VocabSize {
			return fmt.Errorf("qwen3: token %d is %d, want 0 to %d: the tokenizer belongs to another model",
				i, id, e.cfg.VocabSize-1)
		}
	}
	b, cfg, n := e.b, e.cfg, len(ids)
	s := backend.NewScope(b)
	defer s.Free()
	rope := e.rope(s, n)
	x, normed := s.Alloc(n, cfg.HiddenSize), s.Alloc(n, cfg.HiddenSize)
	qDim, kvDim := cfg.Heads*cfg.HeadDim, cfg.KVHeads*cfg.HeadDim
	q, k, v := s.Alloc(n, qDim), s.Alloc(n, kvDim), s.Alloc(n, kvDim)
	attended, inner := s.Alloc(n, qDim), s.Alloc(n, cfg.IntermediateSize)
	eps := float32(cfg.RMSNormEps)
	add := backend.Epilogue{Add: true}

	b.Embedding(x, e.embed, ids)
	for i, l := range e.layers {
		if err := ctx.Err(); err != nil {
			return err
		}
		b.RMSNorm(normed, x, l.inputNorm, eps)
		b.Linear(q, normed, l.q, backend.Epilogue{
			QKNormRoPE: backend.QKNormRoPE{Cols: qDim, Weight: l.qNorm, Eps: eps, RoPE: rope},
		})
		b.Linear(k, normed, l.k, backend.Epilogue{
			QKNormRoPE: backend.QKNormRoPE{Cols: kvDim, Weight: l.kNorm, Eps: eps, RoPE: rope},
		})
		b.Linear(v, normed, l.v, backend.Epilogue{})
		b.Attention(attended, q, k, v, backend.AttentionParams{
			Heads: cfg.Heads, KVHeads: cfg.KVHeads, Causal: true, Keys: valid,
			Scale: float32(1 / math.Sqrt(float64(cfg.HeadDim))),
		})
		b.Linear(x, attended, l.o, add)
		b.RMSNorm(normed, x, l.postNorm, eps)
		b.SwiGLU(inner, normed, l.gate, l.up)
		b.Linear(x, inner, l.down, add)

		for part, state := range HiddenStates {
			if state != i+1 {
				continue
			}
			out := dst.ColRange(part*cfg.HiddenSize, (part+1)*cfg.HiddenSize)
			if state == cfg.Layers {
				b.RMSNorm(out, x, e.norm, eps)
			} else {
				b.Copy(out, x)
			}
		}
		progress(i+1, len(e.layers))
	}
	return b.Sync()
}

// rope returns the rotations of positions 0 … n−1.
func (e *Encoder) rope(s *backend.Scope, n int) backend.RoPE {
	var cos, sin []float32
	if !backend.Rehearses(e.b) {
		cos, sin = e.cfg.rotations(n)
	}
	half := e.cfg.HeadDim / 2
	return backend.RoPE{Cos: s.Upload(n, half, cos), Sin: s.Upload(n, half, sin), Halves: true}
}

// rotations returns the cosines and sines of positions 0 … n−1, each row-major [n, half the head]. Frequencies and
// angles are float32, as in the reference: for late positions (511) the rounding of an angle is large enough to be seen
// in the results.
func (c Config) rotations(n int) (cos, sin []float32) {
	half := c.HeadDim / 2
	cos, sin = make([]float32, n*half), make([]float32, n*half)
	for i := range half {
		freq := float32(1 / float32(math.Pow(c.RopeTheta, float64(2*i)/float64(c.HeadDim))))
		for pos := range n {
			angle := float64(float32(pos) * freq)
			cos[pos*half+i], sin[pos*half+i] = float32(math.Cos(angle)), float32(math.Sin(angle))
		}
	}
	return cos, sin
}
