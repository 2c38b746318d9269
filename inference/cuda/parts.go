package cuda

import (
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/kleinbild/kleinbild/inference/backend"
	"github.com/kleinbild/kleinbild/kernels/cu"
)

// ensureOnDevice copies w's part of its network to the device unless it is there, and waits for the chunks up to w. It
// returns false if the operation cannot be queued.
func (b *Backend) ensureOnDevice(operation string, w *weight) bool {
	p := w.part
	p.used = b.clock
	last := (w.offset + w.bytes() - 1) / int64(b.options.ChunkBytes)
	if p.at != 0 && p.chunks[last].failed() { // in an earlier run, with other parts of its upload
		b.drop(p)
	}
	if p.at == 0 {
		if err := b.fetch(p); err != nil {
			b.fail(operation, fmt.Errorf("%s: %w", w.Name, err))
			return false
		}
	}
	b.ahead(p)
	c := p.chunks[last]
	select {
	case <-c.ready:
	default:
		select {
		case <-c.ready:
		case <-b.ctx.Done():
			return !b.stopped()
		}
	}
	if c.err != nil {
		b.fail(operation, fmt.Errorf("%s: %w", w.Name, c.err))
		b.drop(p) // the next run tries again
	}
	return c.err == nil
}

// fetch makes room for a part that an operation waits for, if necessary by evicting others, and starts its copy.
func (b *Backend) fetch(p *part) error {
	if p.travels {
		l, err := b.openLanes(p.network)
		if err != nil {
			return err
		}
		if lane, err := b.vacate(l, true); lane != nil || err != nil {
			if err == nil {
				b.bring(p, lane.at, lane)
			}
			return err
		}
	}
	at, err := b.allocate(p.bytes, p.network)
	if err != nil {
		return err
	}
	b.dev.held.Add(p.bytes)
	b.bring(p, at, nil)
	return nil
}

// ahead starts the copies of the parts that a run uses after p, in their order, as far as there is room. The copies run
// while operations use p. Parts of other networks are evicted for parts of p's network.
func (b *Backend) ahead(p *part) {
	if b.capturing || p == b.aheadOf && !b.aheadWaits {
		return
	}
	b.aheadOf, b.aheadWaits = p, false
	for next := range b.after(p) {
		switch {
		case next.at != 0:
		case next.travels:
			l, err := b.openLanes(next.network)
			var to *lane
			if err == nil {
				to, err = b.vacate(l, false)
			}
			if err != nil {
				b.fail("lanes of "+next.network, err)
				return
			}
			if to == nil { // until p, or the part before it, has been used for the last time
				b.aheadWaits = true
				return
			}
			b.bring(next, to.at, to)
		default:
			at := b.room(next, next.network == p.network)
			if at == 0 {
				return
			}
			b.dev.held.Add(next.bytes)
			b.bring(next, at, nil)
		}
	}
}

// after yields the parts in the order in which a run uses them after p. The parts of a network with lanes are used in a
// circle, step after step. A network without lanes is followed by the networks after it.
func (b *Backend) after(p *part) iter.Seq[*part] {
	return func(yield func(*part) bool) {
		at := slices.Index(b.parts, p)
		circle := b.laneBytes[p.network] > 0
		for i := range b.parts {
			next := b.parts[(at+1+i)%len(b.parts)]
			switch {
			case len(next.weights) == 0, circle && next.network != p.network, !circle && at+1+i >= len(b.parts):
			case !circle && next.travels:
				return
			case next == p || !yield(next):
				return
			}
		}
	}
}

// room allocates memory for a part that is not needed yet. It returns 0 if there is none.
func (b *Backend) room(p *part, evictOthers bool) cu.DevicePtr {
	for {
		free, _, err := b.dev.ctx.MemGetInfo()
		if err != nil {
			return 0 // the operation that needs the part reports the error
		}
		if free >= p.bytes+b.planned.Kept+b.options.MarginBytes {
			at, err := b.dev.ctx.MemAlloc(p.bytes)
			if err != nil {
				return 0
			}
			return at
		}
		evicted := b.partToEvict(p.network)
		if !evictOthers || evicted == nil || evicted.network == p.network {
			return 0
		}
		b.drop(evicted)
	}
}

// drop removes a part from the device.
func (b *Backend) drop(p *part) {
	b.flush()
	p.wait()
	at, in := p.at, b.holding(p)
	p.leave()
	b.drops++
	if in != nil {
		in.part = nil
		return
	}
	b.dev.held.Add(-p.bytes)
	if !b.usable() {
		return
	}
	if err := b.dev.ctx.MemFree(at); err != nil {
		b.blame(err)
	}
}

// allocate allocates device memory. If there is too little, it evicts weights that the current operation does not need.
func (b *Backend) allocate(bytes int64, what string) (cu.DevicePtr, error) {
	for {
		at, err := b.dev.ctx.MemAlloc(bytes)
		if !errors.Is(err, cu.ErrOutOfMemory) {
			return at, err
		}
		if !b.evict(what) {
			room, total, roomErr := b.available()
			full := &backend.MemoryError{Need: b.planned.Least(), Room: room, Total: total}
			return 0, errors.Join(fmt.Errorf("%s: %w: %w", what, full, err), roomErr)
		}
	}
}

// evict removes weights that the current operation, which uses a network, does not need: parts of other networks, then
// their lanes, then parts and lanes of the network itself. In the last two cases the next operation places all weights
// anew. It returns false if there is nothing to remove.
func (b *Backend) evict(network string) bool {
	evicted := b.partToEvict(network)
	if evicted != nil && evicted.network != network {
		if _, weights := b.laneBytes[network]; !weights { // activations: the networks have less room
			b.misplaced = true
		}
		b.drop(evicted)
		return b.err == nil
	}
	for other, l := range b.lanes {
		if other != network && !l.inUse(b.clock) {
			return b.giveUpLanes(other)
		}
	}
	if evicted != nil {
		b.misplaced = true
		b.drop(evicted)
		return b.err == nil
	}
	if own := b.lanes[network]; own != nil && own.open && !own.inUse(b.clock) {
		b.misplaced = true
		return b.giveUpLanes(network)
	}
	return false
}

// giveUpLanes closes lanes so that their memory can be used otherwise.
func (b *Backend) giveUpLanes(network string) bool {
	if err := b.closeLanes(network); err != nil {
		b.blame(err)
	}
	return b.err == nil
}

// partToEvict returns the part to remove for a network, among those that have memory of their own, or nil.
func (b *Backend) partToEvict(network string) *part {
	var candidates []backend.PartUse
	for i, p := range b.parts {
		if p.at != 0 && p.used < b.clock && b.holding(p) == nil {
			candidates = append(candidates, backend.PartUse{Part: i, Other: p.network != network, Bytes: p.bytes, Used: p.used})
		}
	}
	if i := backend.PartToEvict(candidates); i >= 0 {
		return b.parts[i]
	}
	return nil
}
