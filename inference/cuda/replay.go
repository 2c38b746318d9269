package cuda

import (
	"slices"

	"github.com/kleinbild/kleinbild/kernels/cu"
)

// replay is one key's recording, and its last operation.
type replay struct {
	graph cu.GraphExec
	last  string
	// drops is the backend's count when f was called last. While it stays the same, all weights of f are where they were.
	drops int64
	// borrowed is the working memory of f's operations.
	borrowed borrowed
}

// borrowed is working memory: pieces of the arena, each once. outside says that some was not in the arena, so that its
// address changes.
type borrowed struct {
	pieces  []span
	outside bool
}

func (m *borrowed) add(buf *buffer) {
	s := span{buf.offset, buf.offset + aligned(buf.bytes)}
	switch {
	case buf.offset < 0:
		m.outside = true
	case !slices.Contains(m.pieces, s):
		m.pieces = append(m.pieces, s)
	}
}

// free says whether the memory can be had again. Then a recording, which asks for it anew, finds room, also for two
// pieces at the same time: the arena gives the outer one its old place or one before it. If that covers the inner one's
// old place, the inner one lay before the outer one, in a gap too narrow for that, and now fits into what is left free
// of the outer one's old place.
func (m borrowed) free(a *arena) bool {
	return !m.outside && !slices.ContainsFunc(m.pieces, func(s span) bool { return !a.vacant(s) })
}

// Replay runs f as it is the first time, records it the second, and plays the recording from then on: by the second
// time its weights are on the device and its kernels compiled. Where weights come and go, or the working memory of its
// operations is taken, it runs f.
func (b *Backend) Replay(key any, f func()) {
	if b.rehearsal {
		b.guarded(f) // so that its shapes are rehearsed
		return
	}
	if b.stopped() {
		return
	}
	r := b.replays[key]
	if r == nil || r.drops != b.drops || !r.borrowed.free(&b.arena) {
		if b.replays == nil {
			b.replays = map[any]*replay{}
		}
		r.destroy(b)
		r = &replay{drops: b.drops}
		b.replays[key] = r
		b.guarded(f)
		r.borrowed = b.borrowed
		return
	}
	if r.graph == nil {
		if r.graph = b.record(f); r.graph == nil {
			return
		}
		r.borrowed = b.borrowed
		r.last = "a replay that ends with " + b.last
	}
	b.flush()
	b.last = r.last
	if err := b.dev.ctx.Do(func() error { return r.graph.Launch(b.dev.compute) }); err != nil {
		b.fail("replay", err)
	}
}

// guarded calls f. f must not do anything that a recording could not repeat.
func (b *Backend) guarded(f func()) {
	b.recording, b.borrowed = true, borrowed{}
	defer func() { b.recording = false }()
	f()
}

// record returns a recording of what f queues, ready to run, or nil after a failure.
func (b *Backend) record(f func()) cu.GraphExec {
	if b.flush(); b.err != nil {
		return nil
	}
	if err := b.dev.compute.BeginCapture(); err != nil {
		b.fail("begin capture", err)
		return nil
	}
	b.capturing = true
	b.guarded(f)
	b.flush()
	b.capturing = false
	if b.dev.lost {
		return nil
	}
	graph, err := b.dev.compute.EndCapture()
	if err != nil {
		b.fail("end capture", err)
		return nil
	}
	defer graph.Destroy()
	if b.err != nil {
		return nil // what was recorded is not all of f
	}
	exec, err := graph.Instantiate()
	if err != nil {
		b.fail("instantiate a graph", err)
		return nil
	}
	return exec
}

// forget destroys all recordings.
func (b *Backend) forget() {
	for _, r := range b.replays {
		r.destroy(b)
	}
	b.replays = nil
}

// destroy frees a recording, if there is one.
func (r *replay) destroy(b *Backend) {
	if r == nil || r.graph == nil {
		return
	}
	if err := r.graph.Destroy(); err != nil {
		b.fail("destroy a graph", err)
	}
	r.graph = nil
}
