package cuda

import (
	"fmt"

	"github.com/kleinbild/kleinbild/inference/backend"
)

// Rehearsal returns a backend that computes nothing and needs no device: stages built and run on it find out what
// memory this one will need.
func (b *Backend) Rehearsal() backend.Rehearsal {
	r := &Backend{info: b.info, rehearsal: true, options: b.options, rehearsed: b.rehearsed}
	r.arena.reset(endless)
	return r
}

// Rehearses says whether this backend is a rehearsal.
func (b *Backend) Rehearses() bool { return b.rehearsal }

// Memory is the memory that the run since Begin has asked for, and that of all weights.
func (b *Backend) Memory() backend.Memory {
	m := backend.Memory{Activations: b.arena.peak, Kept: b.kept}
	for _, p := range b.parts {
		if len(p.weights) > 0 {
			m.Parts = append(m.Parts, backend.PartMemory{Network: p.network, Bytes: p.bytes})
		}
	}
	return m
}

// Room returns the memory of the device that a run can have: what is free and what this backend holds, all of which can
// be freed, without the driver's margin. It may be called during a run.
func (b *Backend) Room() (room, total int64, err error) {
	room, total, err = b.available()
	return room + b.keeping.Load(), total, err
}

// available is Room without the matrices that were kept of earlier runs.
func (b *Backend) available() (room, total int64, err error) {
	b.opened.Lock()
	defer b.opened.Unlock()
	if b.dev == nil {
		return 0, b.info.TotalBytes, fmt.Errorf("cuda: %s is not in use", b.info.Name)
	}
	room, total, err = b.dev.ctx.MemGetInfo()
	return max(room+b.dev.held.Load()-b.options.MarginBytes, 0), total, err
}

// Reserve prepares the device for a run that needs m: it measures kernels that compete for rehearsed shapes, makes the
// arena as large as m says, and decides which weights stay on the device. Matrices of Alloc must not be used
// afterwards. The error is a *backend.MemoryError if the device is too small.
func (b *Backend) Reserve(m backend.Memory) error {
	if !b.usable() {
		return b.err
	}
	b.clock++
	b.tune()
	b.planned = m
	room, total, err := b.available()
	if err == nil && m.Least() > room {
		return &backend.MemoryError{Need: m.Least(), Room: room, Total: total}
	}
	if err == nil && m.Activations != b.dev.size {
		err = b.resize(m.Activations)
	}
	if err == nil {
		clear(b.noLanes)
		err = b.place()
	}
	if err != nil {
		b.fail("memory", err)
		return b.err
	}
	b.arena.reset(b.dev.size)
	return nil
}

// resize replaces the arena's memory.
func (b *Backend) resize(bytes int64) error {
	b.flush()
	b.arena.reset(0)
	if b.dev.size > 0 {
		at := b.dev.base
		b.dev.held.Add(-b.dev.size)
		b.dev.base, b.dev.size = 0, 0
		if err := b.dev.ctx.MemFree(at); err != nil {
			return err
		}
	}
	if bytes == 0 {
		return nil
	}
	base, err := b.allocate(bytes, "activations")
	if err == nil {
		b.dev.base, b.dev.size = base, bytes
		b.dev.held.Add(bytes)
	}
	return err
}
