package flux2

import "github.com/kleinbild/kleinbild/inference/backend"

// This file is the scheme of Flux2KleinKVPipeline of Diffusers, for weights that were distilled for it. There the rows
// of references are modulated as at noise level 0, in whatever step, and see each other only. So their keys and values
// depend on the references and their order, and on nothing else: they are computed once, for steps, prompts, seeds and
// sizes, and text and image attend to them as to their own. The reference computes them within its first step, with the
// same result.

// CacheSize returns the size of the matrix of CacheReferences for a number of tokens of all references together.
func (c Config) CacheSize(tokens int) (rows, cols int) { return c.blocks() * tokens, 2 * c.Hidden() }

// CacheReferences fills dst with the keys and values that the references have in each block, one block after the other:
// a row for each token, with all heads of its key, after norm and rotation, and then those of its value. dst has the
// size of CacheSize and the format of activations. refLatents [reference tokens, in channels] holds the tokens of all
// references one after the other, at least one, and refs their sizes. progress is called after the operations of each
// block were issued.
func (t *Transformer) CacheReferences(
	dst, refLatents backend.Matrix, refs []Grid, progress func(block, total int),
) {
	r := t.newRun(sequence{refLatents: refLatents, refs: refs}, backend.Matrix{}, dst)
	defer r.Free()
	t.b.Upload(r.sinusoid, sinusoid(t.cfg.TimeChannels, 0))
	r.embedTime()
	modImage, modSingle := r.modulation(r.modImage, t.modImage), r.modulation(r.modSingle, t.modSingle)
	t.b.Copy(r.hidden, r.refs)
	for i, block := range t.doubleBlocks {
		block.forward(r, i, modImage, nil)
		progress(i+1, t.blocks())
	}
	for i, block := range t.singleBlocks {
		to := r.hidden.Rows
		if i == len(t.singleBlocks)-1 {
			to = 0 // of the last block only keys and values are needed
		}
		at := len(t.doubleBlocks) + i
		block.forward(r, at, modSingle, 0, to)
		progress(at+1, t.blocks())
	}
}

// NewCachedRun is NewRun with the references whose keys and values CacheReferences has stored in cached. It must stay
// unchanged until the Run is freed, and the adapters must be those with which it was filled.
func (t *Transformer) NewCachedRun(prompts []backend.Matrix, image Grid, cached backend.Matrix) *Run {
	return t.newRun(sequence{prompts: prompts, image: image}, cached, backend.Matrix{})
}

// queries returns the matrix [tokens, hidden] for the queries of a block.
func (r *Run) queries() backend.Matrix {
	return r.qkv.ColRange(0, r.hidden.Cols).RowRange(0, r.hidden.Rows)
}

// keysValues returns the matrix [tokens, 2·hidden] for the keys and values of a block. Behind the rows of the sequence
// it has those of the cached references, filled.
func (r *Run) keysValues(block int) backend.Matrix {
	if n := r.filled.Rows / r.t.blocks(); n > 0 {
		return r.filled.RowRange(block*n, (block+1)*n)
	}
	kv := r.qkv.ColRange(r.hidden.Cols, 3*r.hidden.Cols)
	if n := r.cached.Rows / r.t.blocks(); n > 0 {
		// A product may need the memory of qkv for something else, so that the rows are copied in each step. That is
		// little beside the attention, which reads each of them for every query.
		r.t.b.Copy(kv.RowRange(r.hidden.Rows, kv.Rows), r.cached.RowRange(block*n, (block+1)*n))
	}
	return kv
}
