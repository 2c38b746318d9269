package ptxsim

import (
	"fmt"
	"math/bits"
	"strings"
)

// barrierOps are the block's barriers and the fences.
var barrierOps = map[string]func(d *decoder){
	"bar":     decodeBar,
	"barrier": decodeBar,
	"membar": func(d *decoder) {
		d.want("cta", "gl", "sys")
		d.in.run = nop
	},
	"fence": decodeFence,
}

// decodeFence decodes fence. Each access to global memory takes effect at once for all blocks, so that the memory
// fences do nothing; only the proxy fences change a state.
func decodeFence(d *decoder) {
	if d.has("proxy") {
		d.needHopper()
		if d.oneOf("async", "async::generic") == "" {
			d.fail("only fence.proxy.async is supported")
		}
		d.ignore("global", "shared::cta", "shared::cluster", "shared", "acquire", "release",
			"sync_restrict::shared::cta", "cluster", "cta")
		d.in.run = fenceProxy
		return
	}
	if d.has("mbarrier_init") {
		d.needHopper()
		d.ignore("release", "cluster")
		d.in.run = fenceProxy // a wider fence than fence.mbarrier_init
		return
	}
	d.ignore("sc", "acq_rel", "acquire", "release", "cta", "cluster", "gpu", "sys")
	d.in.run = nop
}

// fenceProxy records that all writes which the warp knows of are visible to the asynchronous proxy. Later writes of the
// warp are not.
func fenceProxy(w *warp, in *instr, active uint32) {
	join(w.fenced, w.clock)
	w.clock[w.id]++
}

// A barrier is one of the sixteen barriers of a block.
type barrier struct {
	warps         uint32 // a bit for each warp that has arrived
	threads       int    // 32 for each warp that has arrived
	expected      int    // threads; 0 for all warps that have not exited
	at            *instr // the instruction of the first arrival
	waiting       []waiter
	clock, fenced []uint32 // the joined clocks of the arrived warps
	count         int      // of true predicates, for bar.red
	contributors  int      // of lanes, for bar.red
}

// A waiter is a warp that waits at a barrier.
type waiter struct {
	w      *warp
	in     *instr
	active uint32
	reduce string // the operation of bar.red, or ""
}

// decodeBar decodes bar and barrier (sync, arrive and red) and bar.warp.sync. It treats barriers without .aligned as
// .aligned: all live lanes of a warp must arrive together.
func decodeBar(d *decoder) {
	if d.has("warp") {
		if !d.operands(1, 1) {
			return
		}
		d.members(0)
		d.in.run = nop
		return
	}
	if d.has("cluster") {
		d.decodeClusterBarrier()
		return
	}
	d.ignore("cta", "aligned")
	kind := d.want("sync", "arrive", "red")
	reduce, first := "", 0
	if kind == "red" {
		reduce = d.want("popc", "and", "or")
		first = 1
		t := d.typ()
		if (reduce == "popc") != (t == "u32") || t != "u32" && t != "pred" {
			d.fail("bar.red.%s.%s", reduce, t)
		}
		d.in.d = d.write(0, width(t))
	}
	n := len(d.text.Operands) - first
	if reduce != "" {
		n--
		d.in.c = d.read(len(d.text.Operands)-1, 1)
	}
	if n < 1 || n > 2 || kind == "arrive" && n != 2 {
		d.fail("%d operands", len(d.text.Operands))
		return
	}
	d.in.a = d.read(first, 32)
	d.in.b = d.value32(0)
	if n == 2 {
		d.in.b = d.read(first+1, 32)
	}
	d.in.lanes = liveLanes
	d.in.run = func(w *warp, in *instr, active uint32) { w.arrive(in, active, kind != "arrive", reduce) }
}

// arrive records that the warp has arrived at a barrier. If wait is true, the warp stops until the barrier completes.
func (w *warp) arrive(in *instr, active uint32, wait bool, reduce string) {
	lane := bits.TrailingZeros32(active) & 31
	id, expected := int(w.r32[in.a][lane]), int(w.r32[in.b][lane])
	if id >= len(w.barriers) {
		w.fault(in, active, "barrier %d, want one below %d", id, len(w.barriers))
	}
	if expected%32 != 0 || expected > 32*len(w.warps) {
		w.fault(in, active, "barrier %d for %d threads, want a multiple of 32, at most the block's %d",
			id, expected, 32*len(w.warps))
	}
	b := &w.barriers[id]
	switch {
	case b.warps == 0:
		b.at, b.expected = in, expected
		clear(b.clock)
		clear(b.fenced)
	case b.expected != expected:
		w.fault(in, active, "barrier %d for %d threads, but %s (%s) expects %d",
			id, expected, w.program.position(b.at.source), b.at.source.Text, b.expected)
	case b.warps>>w.id&1 != 0:
		w.fault(in, active, "warp %d arrives twice at barrier %d", w.id, id)
	case expected == 0 && b.at != in && !w.launch.checks.SkipBarrierMatch:
		w.fault(in, active, "mismatched barrier %d: other warps wait at %s", id, w.program.position(b.at.source))
	}
	b.warps |= 1 << w.id
	b.threads += 32
	w.release(b.clock, b.fenced)
	if reduce != "" {
		b.count += bits.OnesCount32(w.selector(in) & active)
		b.contributors += bits.OnesCount32(active)
	}
	if wait {
		b.waiting = append(b.waiting, waiter{w, in, active, reduce})
		w.state, w.barrier, w.barrierAt = atBarrier, id, in
	}
	w.completeBarrier(id)
}

// completeBarrier releases the waiting warps and resets the barrier if all expected threads have arrived.
func (b *block) completeBarrier(id int) {
	bar := &b.barriers[id]
	if bar.warps == 0 {
		return
	}
	if bar.expected > 0 && bar.threads < bar.expected {
		return
	}
	if bar.expected == 0 {
		for _, w := range b.warps {
			if w.live != 0 && bar.warps>>w.id&1 == 0 {
				return
			}
		}
	}
	for _, v := range bar.waiting {
		v.w.acquire(bar.clock, bar.fenced)
		v.w.state = running
		switch v.reduce {
		case "popc":
			v.w.broadcast(v.in.d, v.active, uint32(bar.count))
		case "and":
			v.w.setPredicate(v.in.d, v.active, -one(bar.count == bar.contributors))
		case "or":
			v.w.setPredicate(v.in.d, v.active, -one(bar.count > 0))
		}
	}
	*bar = barrier{waiting: bar.waiting[:0], clock: bar.clock, fenced: bar.fenced}
	b.changes++
}

// stuck faults because no warp of the block can continue.
func (b *block) stuck() {
	var waiting *warp
	var others []string
	for _, w := range b.warps {
		switch {
		case w.state == atBarrier && waiting == nil:
			waiting = w
		case w.state == atBarrier && w.barrierAt == waiting.barrierAt:
		case w.state == atBarrier:
			place := b.program.position(w.barrierAt.source)
			others = append(others, fmt.Sprintf("warp %d waits at barrier %d (%s)", w.id, w.barrier, place))
		case w.state == finished:
			others = append(others, fmt.Sprintf("warp %d has exited", w.id))
		case w.state == yielded:
			place := b.program.position(b.program.code[w.pc].source)
			others = append(others, fmt.Sprintf("warp %d waits at %s", w.id, place))
		}
	}
	if len(others) > 4 {
		others = append(others[:4], fmt.Sprintf("and %d more", len(others)-4))
	}
	if waiting != nil {
		bar := &b.barriers[waiting.barrier]
		waiting.fault(waiting.barrierAt, waiting.live, "barrier %d never completes: %d of %d warps have arrived; %s",
			waiting.barrier, bits.OnesCount32(bar.warps), len(b.warps), strings.Join(others, ", "))
	}
	for _, w := range b.warps {
		if w.state == yielded {
			at := w.waitingAt
			if at == nil {
				at = &b.program.code[w.pc]
			}
			w.fault(at, w.active, "waits for ever: no warp of the block can continue%s", b.describeMbarrier())
		}
	}
}
