package inference

import (
	"fmt"
	"strings"

	"github.com/kleinbild/kleinbild/inference/backend"
	"github.com/kleinbild/kleinbild/inference/flux2"
	"github.com/kleinbild/kleinbild/inference/tensor"
)

// encoded are the references of a run as the transformer takes them. The matrices have no rows if there are none.
type encoded struct {
	// latents are those of all references that the transformer sees, one after the other [reference tokens, channels].
	latents backend.Matrix
	// keysValues are those of the same references, if the run has them cached.
	keysValues backend.Matrix
	// source are the latents of the first reference, whether it is seen or not, for edits that start from them.
	source backend.Matrix
}

// encodeReferences encodes the references, and caches their keys and values if the model wants that.
func (r *run) encodeReferences() (e encoded, err error) {
	refs, seen := r.shape.referenced(), r.shape.conditions()
	if len(refs) == 0 {
		return e, nil
	}
	encoding := 0.0
	for _, ref := range refs {
		encoding += encodeWork(r.vae.Config(), ref.size)
	}
	caching, parts := r.costs().cacheWork(r.shape), len(refs)
	if _, held := r.keysValues.get(r.keysValuesKey()); r.shape.cached && held {
		// It can be most of the run's work. What is left is estimated without it.
		r.track.total -= caching
		caching = 0
	}
	if caching > 0 {
		parts++
	}
	work := encoding + caching
	r.track.begin(StageReferences, work)
	defer r.track.end()
	channels := r.transformer.Config().InChannels
	if tokens := r.shape.conditionTokens(); tokens > 0 {
		e.latents = r.s.AllocAs(tokens, channels, tensor.F32)
	}
	from := 0
	for i, ref := range refs {
		key, pixels := r.reference(i)
		latents, err := r.references.cached(key, func() (backend.Matrix, error) {
			dst := r.b.Keep(gridOf(ref.size).Tokens(), channels, tensor.F32)
			return dst, r.vae.Encode(r.ctx, dst, pixels(), ref.size.Height, ref.size.Width)
		})
		if err != nil {
			return e, err
		}
		if i == 0 {
			e.source = latents
		}
		if i >= len(refs)-len(seen) {
			r.b.Copy(e.latents.RowRange(from, from+latents.Rows), latents)
			from += latents.Rows
		}
		r.track.update(i+1, parts, float64(i+1)/float64(len(refs))*encoding/work, nil)
	}
	if r.shape.cached {
		e.keysValues, err = r.cacheReferences(e.latents, func(block, total int) {
			step := len(refs)
			if block == total {
				step = parts
			}
			r.track.update(step, parts, (encoding+float64(block)/float64(total)*caching)/work, nil)
		})
	}
	return e, err
}

// cacheReferences returns the keys and values of the references with the given latents, which it computes if they are
// not those of the last run.
func (r *run) cacheReferences(latents backend.Matrix, progress func(block, total int)) (backend.Matrix, error) {
	if err := r.adapt(); err != nil {
		return backend.Matrix{}, err
	}
	return r.keysValues.cached(r.keysValuesKey(), func() (backend.Matrix, error) {
		rows, cols := r.transformer.Config().CacheSize(latents.Rows)
		dst := r.b.Keep(rows, cols, r.b.Activation())
		r.transformer.CacheReferences(dst, latents, r.conditionGrids(), progress)
		return dst, r.b.Sync()
	})
}

// keysValuesKey identifies what keys and values of references depend on: the references that the transformer sees, in
// their order, and the adapters.
func (r *run) keysValuesKey() string {
	keys := []string{r.adaptersKey()}
	hidden := len(r.shape.referenced()) - len(r.shape.conditions())
	for i := range r.shape.conditions() {
		key, _ := r.reference(hidden + i)
		keys = append(keys, key)
	}
	return strings.Join(keys, " ")
}

// conditionGrids returns the sizes of the references that the transformer sees.
func (r *run) conditionGrids() (grids []flux2.Grid) {
	for _, ref := range r.shape.conditions() {
		grids = append(grids, gridOf(ref.size))
	}
	return grids
}

// keysValuesBytes returns the memory of the keys and values that a run of shape s caches.
func (n networks) keysValuesBytes(s shape) int64 {
	if !s.cached {
		return 0
	}
	rows, cols := n.transformer.Config().CacheSize(s.conditionTokens())
	return int64(rows) * int64(cols) * int64(n.b.Activation().SizeBytes())
}

// makeRoom drops the keys and values of the last references if r brings those of others, or if they do not fit into the
// device's memory beside the model. On a processor it refuses r if its own are larger than the computer's memory; a
// graphics card plans its memory by itself.
func (e *Engine) makeRoom(r *run) error {
	_, own := e.keysValues.get(r.keysValuesKey())
	if r.shape.cached && !own {
		e.keysValues.drop()
	}
	held, need := e.keysValues.sizeBytes(), e.keysValuesBytes(r.shape)
	if held == 0 && need == 0 {
		return nil
	}
	if device := e.planner.device; device != nil {
		if own || held == 0 {
			return nil // reserve counts those of the run itself
		}
		m, err := e.planner.memory(e, r.shape)
		if err != nil {
			return err
		}
		if room, _, err := device.Room(); err == nil && m.Most()+held > room {
			e.keysValues.drop()
		}
		return nil
	}
	fits, err := keysValuesFit(need, held, e.ckpt.Need(), RoomOn(DeviceCPU))
	if !fits {
		e.keysValues.drop()
	}
	return err
}

// keysValuesFit says whether keys and values of so many bytes that are held may stay in the room beside a model with
// the given need. The error is that for a run that needs more of its own than the whole room.
func keysValuesFit(need, held int64, model Need, room Room) (bool, error) {
	if room.Bytes > 0 && need > room.Bytes {
		return false, fmt.Errorf("inference: the keys and values of the references take %.1f GB, want at most the %.1f GB "+
			"of this computer: take fewer or smaller references", float64(need)/1e9, float64(room.Bytes)/1e9)
	}
	model.Processor, model.Card = model.Processor+held, model.Card+held
	return room.Fits(model), nil
}
